"""For pythonia: a module that JavaScript calls."""


def echo(data: str) -> str:
    """The same text again."""
    return data
