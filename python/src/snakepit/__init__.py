"""Tools that a Snakepit worker serves.

An adapter is a module with tools in it. The worker imports it and serves every tool that it finds by name:

    from collections.abc import Iterator

    from snakepit import tool


    @tool
    def add(a: int, b: int) -> int:
        return a + b


    @tool
    def count(to: int) -> Iterator[int]:
        yield from range(to)

A function answers once, a generator function streams; both may be async. A parameter that is annotated as an Iterator,
or AsyncIterator, gets the caller's stream. Arguments arrive by name and are checked against the annotations; results
leave as MessagePack. Whatever a tool raises reaches the caller as a typed error, and the worker lives on.

`current` tells of the running call, holds the state of its session and calls functions of the host, `on_session_start`
and `on_session_end` are called when sessions begin and end, `adapter` makes a class with a beginning and an end of its
methods, `telemetry` tells events and spans of a tool's own, and `snakepit.testing` calls tools without a host. The
README beside this package has an example of each.
"""

from snakepit import telemetry
from snakepit._adapter import adapter
from snakepit._current import Call, Cancelled, current
from snakepit._host import (
    HostBusy,
    HostCallCancelled,
    HostCallError,
    HostCallTimeout,
    HostGone,
    HostPayloadTooLarge,
    HostToolError,
    HostToolFailed,
    InvalidHostArguments,
    UnknownHostTool,
)
from snakepit._inputs import InputFailed
from snakepit._payload import InvalidArguments
from snakepit._tool import Tool, tool
from snakepit._visit import Session, on_session_end, on_session_start

__all__ = [
    "Call",
    "Cancelled",
    "HostBusy",
    "HostCallCancelled",
    "HostCallError",
    "HostCallTimeout",
    "HostGone",
    "HostPayloadTooLarge",
    "HostToolError",
    "HostToolFailed",
    "InputFailed",
    "InvalidArguments",
    "InvalidHostArguments",
    "Session",
    "Tool",
    "UnknownHostTool",
    "adapter",
    "current",
    "on_session_end",
    "on_session_start",
    "telemetry",
    "tool",
]
