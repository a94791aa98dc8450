"""How a configuration checks itself."""


def check(condition: bool, message: str) -> None:
    """Raise a `ValueError` with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)
