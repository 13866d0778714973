"""Tools for the tests of a worker, one for each behaviour."""

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from snakepit import tool


@tool
def add(a: int, b: int = 1) -> int:
    """Adds.

    Nothing more.
    """
    return a + b


@tool
def pause(seconds: float) -> None:
    time.sleep(seconds)


@tool
def echo(value: object) -> object:
    return value


@tool(name="bounded.half")
def half(of: Annotated[int, msgspec.Meta(ge=0)]) -> float:
    return of / 2


@tool
def count(to: int, trace: str = "") -> Iterator[int]:
    try:
        for n in range(to):
            if trace:
                Path(trace).write_text(str(n))
            yield n
    finally:
        if trace:
            Path(trace).write_text("closed")


@tool
def fail_after(elements: int) -> Iterator[int]:
    yield from range(elements)
    raise LookupError("ran dry")


@tool
def fail() -> None:
    group = ExceptionGroup("several", [ValueError("one"), KeyError("two")])
    try:
        os.environ["MISSING"]
    except KeyError as cause:
        problem = RuntimeError("could not")
        problem.add_note("try the other door")
        problem.__context__ = group
        raise problem from cause


@tool
def fail_together() -> None:
    raise ExceptionGroup("several", [ValueError("one"), OSError("two")])


@tool
def leave() -> None:
    raise SystemExit(3)


@tool
def wait_for(path: str) -> str:
    """Holds the main thread, but not the GIL, until someone opens the fifo for writing."""
    with open(path) as fifo:
        return fifo.read()


@tool
def wait_until(path: str) -> None:
    """Returns when the file exists; unlike `wait_for`, its thread handles signals meanwhile, whenever they come."""
    while not Path(path).exists():
        time.sleep(0.001)


@tool
def hold_gil(seconds: int) -> None:
    ctypes.PyDLL(None).sleep(seconds)


@tool
def opaque() -> object:
    return threading.Lock()


@tool
def big(size: int) -> bytes:
    return bytes(size)


@tool
def ask() -> str:
    return input()


@tool
def whoami() -> dict[str, object]:
    return {"pid": os.getpid(), "main": threading.current_thread() is threading.main_thread()}


@tool
def arrays() -> object:
    import numpy as np

    return {"scalar": np.float32(0.5), "count": np.int64(3), "flag": np.bool_(True), "rows": np.eye(2)}
