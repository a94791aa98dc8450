"""Every number that a user may want to change, as frozen dataclasses that check themselves."""
