"""Calls the tools of an adapter in the process of a test: no host, no worker, the same path.

    import snakepit.testing

    def test_add():
        with snakepit.testing.serve("my_adapter") as tools:
            assert tools.call("add", a=1, b=2) == 3
            assert list(tools.stream("count", to=3)) == [0, 1, 2]

Arguments are encoded, decoded and checked, results encoded and decoded, adapter classes started and stopped, and calls
queued, cancelled and bounded in time as in a worker. What differs: what runs on the main thread of a worker runs on a
thread of the test, so a tool that sets signal handlers cannot be tested so; and nothing is contained.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec

from snakepit import _ndarray, _wire
from snakepit._adapter import Instances
from snakepit._catalogue import Catalogue
from snakepit._errors import describe
from snakepit._execution import Executor
from snakepit._functions import Functions
from snakepit._host import Asked, Host, HostToolError
from snakepit._hub import hub
from snakepit._job import Job
from snakepit._pieces import Encoded, whole
from snakepit._visit import Hooks

MAX_PAYLOAD = 16 * 1024 * 1024  # as a pool has it by default
CREDIT = 64  # likewise
MOST_TOLD = 1_000_000  # records of telemetry that one test may look at
SAMPLED = bytes(range(1, 25)) + b"\x01"  # a trace context: any ids, and the flag


class ToolError(Exception):
    """A call that did not end well; the message is what the caller would read.

    `reason` is "exception", "invalid" (the arguments do not fit), "unknown" (no such tool or function), "cancelled",
    "too_large" or "declined". `exception` is what was raised as it goes over the wire: type, bases, message, frames,
    notes, cause and members; `__cause__` is the very exception. `how` says how a cancelled call came to its end.
    """

    def __init__(
        self, message: str, reason: str, *, exception: _wire.PythonException | None = None, how: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.exception = exception
        self.how = how


class RunningCall:
    """A call that was begun: iterate it for the elements of a stream, or wait for its `result`.

    Both give it the inputs that it wants, as far as it wants them.
    """

    def __init__(self, executor: Executor, id: int, inputs: Iterable[object] | None) -> None:
        self.id = id
        self._executor = executor
        self._inputs = None if inputs is None else iter(inputs)
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._ended: tuple[str, Any] | None = None

    def cancel(self) -> None:
        """Tells the worker that the result is not wanted any more."""
        self._executor.cancel(self.id)

    def close(self) -> None:
        """Cancels it, and waits until it is over."""
        self.cancel()
        for _ in self._elements():
            pass

    def result(self) -> Any:
        """Waits for the result; raises ToolError."""
        for _ in self._elements():
            pass
        assert self._ended is not None
        kind, value = self._ended
        if kind != "done":
            raise _error(kind, value)
        return _decode(value) if value else None

    def __iter__(self) -> Iterator[Any]:
        for payload in self._elements():
            yield _decode(payload)
            self._executor.give_credit(self.id, 1)
        self.result()

    def _elements(self) -> Iterator[bytes]:
        while self._ended is None:
            kind, value = self._events.get()
            if kind == "item":
                yield value
            elif kind == "want":
                self._feed(value)
            elif kind != "started":
                self._ended = kind, value

    def _feed(self, wanted: int) -> None:
        if self._inputs is None:
            return
        try:
            for element in itertools.islice(self._inputs, wanted):
                self._executor.give_input(self.id, _encode(element))
                wanted -= 1
        except Exception as problem:
            self._inputs = None
            self._executor.end_input(self.id, f"{type(problem).__name__}: {problem}")
            return
        if wanted:
            self._inputs = None
            self._executor.end_input(self.id, "")


class Tools:
    """The tools that a test calls; made by `serve`."""

    def __init__(self, executor: Executor, catalogue: Catalogue, max_payload: int, host: Host | None) -> None:
        self._executor = executor
        self._host = host
        self._tools = {tool.name: tool for tool in catalogue.tools}
        self._max_payload = max_payload
        self._ids = itertools.count(1)
        self._calls: dict[int, RunningCall] = {}

    @property
    def names(self) -> list[str]:
        """What is served, sorted."""
        return sorted(self._tools)

    def begin(
        self,
        tool: str,
        arguments: Mapping[str, object] | None = None,
        /,
        *,
        inputs: Iterable[object] | None = None,
        session: str | None = None,
        timeout: float | None = None,
        credit: int = CREDIT,
        **named: object,
    ) -> RunningCall:
        """Begins a call and does not wait for it. `tool` may be a `module:function` that `allow` permits.

        Arguments are named; those called like a parameter of this method go into the mapping `arguments`. `inputs` are
        the stream of inputs, `timeout` the seconds until its deadline, `credit` the elements that a stream may be
        ahead. Raises ToolError when there is no such tool, TypeError when an argument cannot be
        carried or the tool takes no stream.
        """
        known = self._tools.get(tool)
        if known is None and ":" not in tool:
            raise ToolError(f"there is no tool {tool!r}; there are: {', '.join(self.names)}", "unknown")
        if known is not None and known.payload.input is None and inputs is not None:
            raise TypeError(
                f"tool {tool!r} takes no stream of inputs: none of its parameters is annotated Iterator[...]"
            )
        payload = _encode({**(arguments or {}), **named})
        id = next(self._ids)
        job = Job(id, known, payload, _Ears(self._calls), self._max_payload)
        job.deadline = None if timeout is None else time.monotonic() + timeout
        job.credit = credit
        job.session = session or ""
        job.trace = SAMPLED if hub.is_open else b""
        job.function = "" if known else tool
        job.host = self._host
        call = self._calls[id] = RunningCall(self._executor, id, inputs)
        self._executor.submit(job)
        if inputs is None:
            self._executor.end_input(id, "")
        return call

    def open_session(self, id: str, data: object = None) -> None:
        """Begins a session with data, before its first call; one without data begins with its first call."""
        self._executor.announce(_Ears(self._calls), id, _encode(data))

    def end_session(self, id: str, timeout: float = 10.0) -> None:
        """Ends a session when its calls are over, and waits for `on_session_end`.

        Raises ToolError with what that raised, TimeoutError after `timeout` seconds.
        """
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._executor.end_session(id, lambda failure, overran: ended.put(failure), timeout)
        try:
            failure = ended.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(
                f"session {id!r} has not ended after {timeout:g} s: a call of it, or a hook, runs"
            ) from None
        if failure:
            raise ToolError(failure, "exception")

    def call(self, tool: str, arguments: Mapping[str, object] | None = None, /, **named: Any) -> Any:
        """The result of a call, or None of a stream; takes what `begin` takes, and raises ToolError."""
        return self.begin(tool, arguments, **named).result()

    def stream(self, tool: str, arguments: Mapping[str, object] | None = None, /, **named: Any) -> Iterator[Any]:
        """The elements of a stream, as they come; ending early closes the generator. Takes what `begin` takes."""
        call = self.begin(tool, arguments, **named)
        try:
            yield from call
        finally:
            call.close()


@contextmanager
def serve(
    adapter: ModuleType | str | Sequence[Any],
    *,
    concurrency: int = 1,
    allow: Sequence[str] = (),
    max_payload: int = MAX_PAYLOAD,
    host_tools: Mapping[str, Callable[..., Any]] | None = None,
) -> Iterator[Tools]:
    """Serves an adapter: a module, its name, or a list of tools and adapter classes.

    `concurrency` and `allow` are those of the pool. `host_tools` are what its tools find at the host, by name: plain or
    async functions of the named arguments; a HostToolError that one raises is an error that its contract declares, all
    else is a HostToolFailed. Calls that are still running at the end are cancelled, then adapter
    classes are stopped. What `on_start` raises is raised here.
    """
    if isinstance(adapter, str):
        adapter = importlib.import_module(adapter)
    if not isinstance(adapter, ModuleType):
        module = ModuleType("adapter")
        vars(module).update({f"part{number}": part for number, part in enumerate(adapter)})
        adapter = module
    catalogue = Catalogue.of(adapter)
    executor = Executor(concurrency, Functions(allow))
    instances = Instances(catalogue.adapters, executor.loop)
    instances.start()
    catalogue.bind(instances)
    host = None
    if host_tools is not None:
        functions = _HostTools(host_tools)
        host = functions.host = Host(functions, executor)
    tools = Tools(executor, catalogue, max_payload, host)
    executor.hooks = Hooks(catalogue.session_hooks(instances), executor.loop)
    main = threading.Thread(target=executor.run, name="snakepit-main", daemon=True)
    main.start()
    try:
        yield tools
    finally:
        for call in list(tools._calls.values()):
            call.cancel()
        executor.drain()
        main.join()
        executor.end_sessions()
        instances.stop()
        executor.loop.close()


@dataclass(frozen=True)
class Told:
    """One event or span that tools told. `error` is the type of what a span ended with, empty when it went well."""

    kind: str
    name: str
    call: int
    tool: str
    measurements: Mapping[str, float]
    attributes: Mapping[str, str | float | bool]
    error: str = ""
    span_id: bytes = b""
    parent_id: bytes = b""


class Telemetry:
    """What was told; made by `telemetry`."""

    def __init__(self) -> None:
        self._told: list[Told] = []

    @property
    def told(self) -> list[Told]:
        """The events and spans that have been told, a span when it is over."""
        hub.flush()
        return list(self._told)

    def telemetry(self, telemetry: _wire.Telemetry) -> None:
        """Takes what the worker says."""
        self._told.extend(map(_told, telemetry.records))


@contextmanager
def telemetry() -> Iterator[Telemetry]:
    """Keeps the events and spans of all tools that run meanwhile, whose calls are all sampled."""
    kept = Telemetry()
    hub.open()
    hub.control(kept, _wire.TelemetryControl(settings=_wire.TelemetrySettings(on=True), credit=MOST_TOLD))
    try:
        yield kept
    finally:
        hub.close()


def _told(record: _wire.TelemetryRecord) -> Told:
    kind = record.WhichOneof("record")
    assert kind is not None
    values = ((said, said.WhichOneof("value")) for said in record.attributes)
    attributes = {said.key: getattr(said, value) for said, value in values if value is not None}
    if kind == "span":
        span = record.span
        return Told(
            kind, span.name, record.call, record.tool, {}, attributes, span.error.type, span.span_id, span.parent_id
        )
    measurements = {measured.key: measured.value for measured in record.event.measurements}
    return Told(kind, record.event.name, record.call, record.tool, measurements, attributes)


class _HostTools:
    """Stands in for the host of a session: runs each of its functions on a thread of its own."""

    host: Host

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions

    def host_call(self, asked: Asked, payload: bytes, *, waits: bool) -> None:
        threading.Thread(target=self._run, args=(asked, payload), name="snakepit-host-tool", daemon=True).start()

    def host_call_cancel(self, number: int) -> None: ...

    def push(self) -> None: ...

    def _run(self, asked: Asked, payload: bytes) -> None:
        function = self._functions.get(asked.name)
        if function is None:
            there = ", ".join(sorted(self._functions)) or "none"
            self.host.answer(
                asked.number, b"", ("unknown", f"there is no host tool {asked.name!r}; there are: {there}", "", b"")
            )
            return
        try:
            result = function(**_decode(payload))
            if inspect.iscoroutine(result):
                result = asyncio.run(result)
            self.host.answer(asked.number, _encode(result), None)
        except HostToolError as error:
            self.host.answer(asked.number, b"", ("raised", error.message, error.tag, _encode(error.data)))
        except Exception as problem:
            about = f"host tool {asked.name!r} broke down: {type(problem).__name__}: {problem}"
            self.host.answer(asked.number, b"", ("failed", about, "", b""))


class _Ears:
    """Takes what the executor says of a call to the call."""

    def __init__(self, calls: dict[int, RunningCall]) -> None:
        self._calls = calls

    def _hear(self, kind: str, id: int, value: object = None) -> None:
        self._calls[id]._events.put((kind, value))

    def started(self, id: int) -> None:
        self._hear("started", id)

    def item(self, id: int, payload: Encoded) -> None:
        self._hear("item", id, whole(payload))

    def want(self, id: int, elements: int) -> None:
        self._hear("want", id, elements)

    def done(self, id: int, payload: Encoded, micros: int) -> None:
        self._hear("done", id, whole(payload))

    def raised(self, id: int, exception: BaseException) -> None:
        self._hear("exception", id, exception)

    def cancelled(self, id: int, how: str) -> None:
        self._hear("cancelled", id, how)

    def invalid(self, id: int, issue: str) -> None:
        self._hear("invalid", id, issue)

    def unknown(self, id: int, why: str) -> None:
        self._hear("unknown", id, why)

    def declined(self, id: int) -> None:
        self._hear("declined", id)

    def too_large(self, id: int, size: int) -> None:
        self._hear("too_large", id, size)

    def drained(self) -> None: ...

    def flush(self, timeout: float) -> None: ...

    def push(self) -> None: ...

    def later(self) -> None: ...


def _encode(value: object) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=_array)


def _array(value: Any) -> object:
    if not _ndarray.is_array(value):
        raise NotImplementedError(f"a {type(value).__name__} cannot be sent")
    return _ndarray.extension(value)


def _decode(payload: bytes) -> Any:
    return msgspec.msgpack.decode(payload, ext_hook=_ndarray.read)


def _error(reason: str, value: Any) -> ToolError:
    match reason:
        case "exception":
            exception = _wire.PythonException()
            describe(value, exception)
            error = ToolError(f"{exception.type}: {exception.message}", reason, exception=exception)
            error.__cause__ = value
            return error
        case "cancelled":
            return ToolError(f"it was cancelled, or its deadline has passed; how it ended: {value}", reason, how=value)
        case "too_large":
            return ToolError(f"a result or element has {value} bytes, more than max_payload", reason)
        case "declined":
            return ToolError("it had not begun when serving ended", reason)
        case _:
            return ToolError(value, reason)
