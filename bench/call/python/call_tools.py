"""The tools that calls are measured with."""

import os
import time
from collections.abc import Iterator

from snakepit import telemetry, tool

ELEMENT = bytes(32)


@tool
def echo(data: bytes) -> bytes:
    """The same bytes again."""
    return data


@tool
def told(data: bytes) -> bytes:
    """The same bytes again, and an event."""
    telemetry.emit("bench.told", {"bytes": len(data)})
    return data


@tool
def mirror(data: memoryview) -> memoryview:
    """The same bytes again, looked at where they are."""
    return data


@tool
def hold(seconds: float) -> None:
    """Keep the worker, without its processor."""
    time.sleep(seconds)


@tool
def elements() -> Iterator[bytes]:
    """Elements until the caller goes away."""
    while True:
        yield ELEMENT


@tool
def process() -> int:
    """Tell which worker this is."""
    return os.getpid()
