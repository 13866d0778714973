"""Spans of sampled calls: the call's own, and those that its tool opens within.

    Call.trace: the host's span ──▶ python.call ──▶ telemetry.span("load") ──▶ telemetry.span("parse")

A call that is not sampled has none, and costs one look. A span that the rules leave out is passed over: what is in it
has the span around it for a parent.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from snakepit import _record
from snakepit._current import running
from snakepit._hub import hub
from snakepit._qualified import qualified_name

if TYPE_CHECKING:
    from snakepit._job import Job
    from snakepit._tool import Tool

CALL = "python.call"
TRACE_BYTES = 25  # trace id, span id, flags
SAMPLED = 1


@dataclass(slots=True)
class Open:
    """A span that is not over."""

    said: _record.Span
    job: Job
    at: int
    attributes: dict[str, _record.Value]
    outer: Token[Open | None]
    detach: Callable[[], None] | None


_open: ContextVar[Open | None] = ContextVar("snakepit-span", default=None)


def here() -> tuple[bytes, bytes]:
    """The trace, and the span in it that code is in here: an open one, or the host's; empty when there is none."""
    job = running.get()
    if job is None or len(job.trace) != TRACE_BYTES:
        return b"", b""
    around = _open.get()
    if around is not None and around.job is job:
        return around.said.trace_id, around.said.span_id
    return job.trace[:16], job.trace[16:24]


def begin(name: str, attributes: Mapping[str, object], *, server: bool = False) -> Open | None:
    """Opens a span here; None when there is to be none."""
    job = running.get()
    trace_id, parent_id = here()
    if job is None or not trace_id or not hub.is_traced:
        return None
    if not _record.is_name(name):
        hub.drop("invalid")
        return None
    if not hub.wants(name):
        return None
    said = _record.Span(name, trace_id, os.urandom(8), parent_id, server)
    opened = Open(said, job, time.monotonic_ns() // 1000, _record.attributes_of(attributes), _MISSING, None)
    opened.outer = _open.set(opened)
    opened.detach = _enter_opentelemetry(trace_id, said.span_id, sampled=True)
    return opened


def end(opened: Open, raised: BaseException | None) -> None:
    """Closes what `begin` has opened."""
    if opened.detach is not None:
        opened.detach()
    with suppress(ValueError):  # it was entered in another context, which is gone with what it held
        _open.reset(opened.outer)
    said, job = opened.said, opened.job
    said.took_micros = time.monotonic_ns() // 1000 - opened.at
    if raised is not None and not isinstance(raised, GeneratorExit):
        said.error = _raised(raised)
    tool = job.tool.name if job.tool is not None else ""
    hub.tell(_record.Record(opened.at, said, job.id, tool, opened.attributes))


_MISSING: Any = None  # until it is set


def _raised(raised: BaseException) -> _record.Raised:
    try:
        message = str(raised)
    except Exception:  # of its own making
        message = "its message cannot be had"
    stack = "".join(traceback.format_exception(raised))
    most = _record.TEXT_BYTES
    return _record.Raised(
        _record.text(qualified_name(type(raised)), most), _record.text(message, most), _record.text_end(stack, most)
    )


class Span:
    """What `telemetry.span` gives: a context manager, and a decorator."""

    def __init__(self, name: str, attributes: Mapping[str, object]) -> None:
        self.name = name
        self._attributes = attributes
        self._opened: Open | None = None

    @property
    def is_recording(self) -> bool:
        """Whether it is open, in a sampled call of which spans are wanted."""
        return self._opened is not None

    def set(self, **attributes: object) -> None:
        """Adds attributes, while it is open."""
        if self._opened is not None:
            self._opened.attributes = _record.attributes_of({**self._opened.attributes, **attributes})

    def __enter__(self) -> Span:
        self._opened = begin(self.name, self._attributes)
        return self

    def __exit__(
        self, type: type[BaseException] | None, raised: BaseException | None, stack: TracebackType | None
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            end(opened, raised)


def traced(job: Job, tool: Tool[..., Any]) -> Callable[..., Any]:
    """The tool's function within a span of its call, when that is sampled."""
    if not hub.is_traced:
        return tool.function
    name = f"{tool.__module__}.{getattr(tool, '__qualname__', tool.name)}"
    return _within(tool, lambda: _Serving(CALL, {"code.function.name": name}))


class _Serving(Span):
    def __enter__(self) -> Span:
        self._opened = begin(self.name, self._attributes, server=True)
        return self


Scope = Callable[[], AbstractContextManager[object]]


def _within(tool: Tool[..., Any], scope: Scope) -> Callable[..., Any]:
    """The tool's function, each run of it within a scope of its own."""
    if not tool.asynchronous:
        return (_streamed if tool.streams else _plain)(tool.function, scope)
    return (_async_streamed if tool.streams else _async_plain)(tool.function, scope)


def _plain(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    def run(**arguments: Any) -> Any:
        with scope():
            return function(**arguments)

    return run


def _streamed(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    def run(**arguments: Any) -> Iterator[Any]:
        with scope():
            yield from function(**arguments)

    return run


def _async_plain(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    async def run(**arguments: Any) -> Any:
        with scope():
            return await function(**arguments)

    return run


def _async_streamed(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    async def run(**arguments: Any) -> AsyncIterator[Any]:
        with scope():
            async with aclosing(function(**arguments)) as elements:
                async for element in elements:
                    yield element

    return run


# -- OpenTelemetry -----------------------------------------------------------------------------------------------------


def instrumented(tool: Tool[..., Any]) -> Tool[..., Any]:
    """The tool as a worker runs it: what OpenTelemetry instruments keeps to the decision of the call.

    It is the tool itself where OpenTelemetry is not installed, which is asked once: no call pays for it then.
    """
    if not _is_installed():
        return tool
    assert tool.payload is not None  # made from the function itself
    within = copy.copy(tool)
    within.function = _within(tool, Decided)
    return within


class Decided:
    """A scope with the decision that the host has made of the running call: sampled, or a span that is not recorded.

    Without it a library that OpenTelemetry instruments would begin a trace and decide by itself. Where nobody has
    imported OpenTelemetry there is nothing to decide.
    """

    _leave: Callable[[], None] | None = None

    def __enter__(self) -> None:
        if API in sys.modules:
            trace_id, span_id = here()
            self._leave = _enter_opentelemetry(trace_id or os.urandom(16), span_id or os.urandom(8), bool(trace_id))

    def __exit__(self, *raised: object) -> None:
        if self._leave is not None:
            self._leave()


API = "opentelemetry.trace"


@cache
def _is_installed() -> bool:
    try:
        return importlib.util.find_spec(API) is not None
    except ModuleNotFoundError:  # nor anything else of it
        return False


@cache
def _opentelemetry() -> tuple[Any, Any] | None:
    """Its API, when it is installed: looked for at the first sampled call."""
    try:
        return importlib.import_module(API), importlib.import_module("opentelemetry.context")
    except ImportError:
        return None


def _enter_opentelemetry(trace_id: bytes, span_id: bytes, sampled: bool) -> Callable[[], None] | None:
    """Makes the span the current one for what the user has instrumented; gives how to leave it."""
    api = _opentelemetry()
    if api is None:
        return None
    trace, context = api
    job = running.get()
    state = job.trace_state if job is not None else ""
    span = trace.NonRecordingSpan(
        trace.SpanContext(
            int.from_bytes(trace_id),
            int.from_bytes(span_id),
            is_remote=False,
            trace_flags=trace.TraceFlags(SAMPLED if sampled else 0),
            trace_state=trace.TraceState.from_header([state]) if state else None,
        )
    )
    token = context.attach(trace.set_span_in_context(span))

    def leave() -> None:
        context.detach(token)

    return leave
