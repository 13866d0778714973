"""Functions that tests call as `module:function`; the module counts how often it is imported."""

import os
import threading
from collections.abc import Iterator

NUMBER = 3
os.environ["FUNCTIONS_IMPORTED"] = str(int(os.environ.get("FUNCTIONS_IMPORTED", "0")) + 1)


def greet(name: str) -> str:
    return f"hello {name}"


async def greet_later(name: str) -> str:
    return greet(name)


def letters(word: str) -> Iterator[str]:
    yield from word


def joined(words: Iterator[str]) -> str:
    return "".join(words)


def by_position(a: int, /, b: int = 2) -> int:
    return a + b


def where() -> str:
    return threading.current_thread().name


def imports() -> int:
    return int(os.environ["FUNCTIONS_IMPORTED"])
