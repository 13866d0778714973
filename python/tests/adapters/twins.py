"""Two tools, one name."""

from snakepit import tool


@tool
def first() -> int:
    return 1


@tool(name="first")
def second() -> int:
    return 2
