"""Learning the policy of one prompt."""
