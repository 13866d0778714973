"""An adapter that forgot its decorator."""


def add(a: int, b: int) -> int:
    return a + b
