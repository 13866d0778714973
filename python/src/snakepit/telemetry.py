"""What tools tell beside their results: events and spans of their own.

    from snakepit import telemetry, tool

    @tool
    def infer(prompt: str) -> str:
        with telemetry.span("tokenize", model="small") as span:
            tokens = prompt.split()
            span.set(tokens=len(tokens))
        telemetry.emit("model.inference", {"tokens": len(tokens)}, {"model": "small"})
        return " ".join(tokens)

Logging and printing need nothing from here: `logging` is told at the level that the pool has, and lines written to
sys.stdout and sys.stderr where the pool says so, each with the call that it came from.

All of it may be used from any thread and from any task, never waits, and never raises because of what it was given.
What the host has no room for is dropped, and counted there. Outside a worker it does nothing; with
`snakepit.testing.telemetry` a test sees what was told.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from snakepit._current import running
from snakepit._hub import hub
from snakepit._record import Event, Record, attributes_of, is_name, measurements_of
from snakepit._spans import Span as _Span

__all__ = ["Span", "emit", "span"]

F = TypeVar("F", bound=Callable[..., Any])

_logger = logging.getLogger("snakepit.telemetry")


def emit(
    name: str, measurements: Mapping[str, float] | None = None, attributes: Mapping[str, object] | None = None
) -> None:
    """Tells that something happened: the host's bus has it as `snakepit.python.event`, with the running call.

    `name`, and the names of what belongs to it, are letters, digits, `_`, `.` and `-`, and begin with a letter; at most
    128 and 64. Measurements are finite numbers: name their unit (`took_ms`). Attributes are texts of up to 1024 bytes
    of UTF-8, numbers and booleans; anything else is told as its `str`. Of either there may be 32. What does not fit
    is left out of the event; an event without a proper name is dropped, and counted as "invalid".
    """
    if not hub.is_open:
        _logger.debug("%s %s %s", name, measurements or {}, attributes or {})
    elif not is_name(name):
        hub.drop("invalid")
    elif hub.wants(name):
        job = running.get()
        tool = job.tool.name if job is not None and job.tool is not None else ""
        said = Event(name, measurements_of(measurements or {}))
        call = job.id if job is not None else 0
        hub.tell(Record(time.monotonic_ns() // 1000, said, call, tool, attributes_of(attributes or {})))


class Span(_Span):
    """A span of a tool's own; made by `span`. It may be entered again when it is over, not while it is open."""

    def __call__(self, function: F) -> F:
        """Decorates a function, plain or async: each call of it is a span."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"telemetry.span({self.name!r}) cannot decorate the generator {function.__qualname__!r}, of which a "
                "call runs nothing; write `with telemetry.span(...)` in it"
            )
        name, attributes = self.name, self._attributes

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: Any, **named: Any) -> Any:
                with Span(name, attributes):
                    return await function(*args, **named)

            return run_async  # type: ignore[return-value]

        @functools.wraps(function)
        def run(*args: Any, **named: Any) -> Any:
            with Span(name, attributes):
                return function(*args, **named)

        return run  # type: ignore[return-value]


def span(name: str, attributes: Mapping[str, object] | None = None, /, **named: object) -> Span:
    """A span around what takes time: `with telemetry.span("load"):`, or `@telemetry.span("load")` on a function.

    It is told when the call that runs is sampled by its host: then it lies within the span of the call, and within each
    other that is open here. What is raised in it is noted and goes on. With `opentelemetry-api` installed it is the
    current span there as well, so what that instruments lies within it. Names and attributes are as those of `emit`.
    """
    return Span(name, {**(attributes or {}), **named})
