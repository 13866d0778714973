"""Functions of the host that a running tool calls.

tool: call("name") ──▶ ask: numbered, HostCall ──▶ host runs its function
        waits, others go on                              │
        │ cancelled, or late: HostCallCancel             ▼
        └──────────── answer: woken ◀────────── HostResult, one for each HostCall
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from snakepit import _ndarray
from snakepit._current import Cancelled, running
from snakepit._payload import CARRIED, reason_of
from snakepit._qualified import qualified_name
from snakepit._spans import here
from snakepit._waking import wake

if TYPE_CHECKING:
    from snakepit._job import Job

NAME_BYTES = 64  # of a host tool: long enough for any name in a program, and a bound for what a worker may send


class HostCallError(Exception):
    """A call of a host tool that did not end well; `tool` is its name. What it is says the class."""

    def __init__(self, message: str, *, tool: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.tool = tool


class HostToolError(HostCallError):
    """The host tool failed with an error that its contract declares.

    `tag` says which one, `data` is the whole error as its contract encodes it (mostly a dict), `message` its text.
    """

    def __init__(self, message: str, *, tag: str, data: Any = None, tool: str = "") -> None:
        super().__init__(message, tool=tool)
        self.tag = tag
        self.data = data


class UnknownHostTool(HostCallError):
    """The host has no tool of that name for this call."""


class InvalidHostArguments(HostCallError):
    """The arguments do not fit the host tool, or cannot be carried. It did not run."""


class HostPayloadTooLarge(HostCallError):
    """The arguments, or the result, of the host tool are larger than the pool allows."""


class HostCallTimeout(HostCallError):
    """The host tool was not done within its time."""


class HostBusy(HostCallError):
    """The worker has as many host calls under way as its pool allows. It did not run."""


class HostGone(HostCallError):
    """Nobody is there to answer: the session with the host is over, or the call did not come from a pool."""


class HostCallCancelled(HostCallError):
    """The host gave it up: the call whose tool asked is over, or the host tool was taken away while it ran."""


class HostToolFailed(HostCallError):
    """The host tool broke down: a defect of the host, not an error that its contract declares."""


ERRORS: Mapping[str, type[HostCallError]] = {
    "unknown": UnknownHostTool,
    "invalid": InvalidHostArguments,
    "too_large": HostPayloadTooLarge,
    "timeout": HostCallTimeout,
    "busy": HostBusy,
    "cancelled": HostCallCancelled,
    "gone": HostGone,
    "failed": HostToolFailed,
}

for _class in (HostCallError, HostToolError, *ERRORS.values()):
    _class.__module__ = "snakepit"


Failure = tuple[str, str, str, bytes]  # reason, message, tag and data of a HostFailure


class Asked:
    """One host call on its way.

    `wake` is called, from any thread, when there is an answer or its call is to stop; it never raises.
    """

    __slots__ = ("failure", "job", "name", "number", "result", "span_id", "wake", "was_answered")

    def __init__(self, job: Job, name: str, wake: Callable[[], object]) -> None:
        self.job = job
        self.name = name
        # that is open here; a thread of the tool's own may ask where another call runs, or none
        self.span_id = here()[1] if running.get() is job else b""
        self.wake = wake
        self.number = 0
        self.was_answered = False
        self.result: bytes | memoryview = b""
        self.failure: Failure | None = None


class Speaker(Protocol):
    """Where host calls are said: the outbox of a session, or what stands in for a host in a test."""

    def host_call(self, asked: Asked, payload: bytes, *, waits: bool) -> None: ...
    def host_call_cancel(self, number: int) -> None: ...
    def push(self) -> None: ...


class Executor(Protocol):
    """What runs calls, as a host call sees it."""

    def look(self, job: Job) -> None:
        """Has somebody else read: the thread of this call is about to wait."""

    def is_tool_thread(self) -> bool:
        """Whether this is a thread that tools run on, and none that a tool has started."""


class Host:
    """The host of one session: numbers what it is asked, and knows what it has not answered yet."""

    def __init__(self, speaker: Speaker, executor: Executor) -> None:
        self._speaker = speaker
        self._executor = executor
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, Asked] = {}
        self._over = ""

    # -- whoever reads ---------------------------------------------------------------------------------------------

    def answer(self, number: int, result: bytes | memoryview, failure: Failure | None) -> None:
        """The host's answer; raises KeyError when nothing of that number waits for one."""
        with self._lock:
            asked = self._asked.pop(number)
            asked.was_answered = True
            asked.result, asked.failure = result, failure
        asked.wake()

    def end(self, because: str) -> None:
        """Nothing is answered any more."""
        with self._lock:
            self._over = because
            left, self._asked = self._asked, {}
        for asked in left.values():
            asked.failure = ("gone", f"host tool {asked.name!r} gave no answer: {because}", "", b"")
            asked.was_answered = True
            asked.wake()

    # -- tools -----------------------------------------------------------------------------------------------------

    def call(self, job: Job, name: str, arguments: Mapping[str, object]) -> Any:
        """The result of a host tool; blocks this thread until then. Raises HostCallError and Cancelled."""
        if _in_a_loop():
            raise RuntimeError(
                f"call({name!r}) would stop the event loop that runs here, and all tasks on it: "
                f"write `await snakepit.current().acall({name!r}, ...)`"
            )
        done = threading.Event()
        own = running.get() is job and self._executor.is_tool_thread()
        asked = self._ask(job, name, arguments, done.set, waits=own)
        self._executor.look(job)
        try:
            while not asked.was_answered:
                left = None if job.deadline is None else job.deadline - time.monotonic()
                if job.cancelled or (left is not None and left <= 0):
                    job.seen = True
                    raise Cancelled(f"host tool {name!r}: the call that waits for it is not wanted any more")
                done.wait(left)
                done.clear()
        finally:
            self._leave(asked)
        return self._outcome(asked)

    async def acall(self, job: Job, name: str, arguments: Mapping[str, object]) -> Any:
        """As `call`, and waits without holding up other tasks; its task may be cancelled."""
        answered = asyncio.get_running_loop().create_future()
        asked = self._ask(job, name, arguments, partial(wake, answered), waits=asyncio.current_task() is job.task)
        try:
            await answered
        finally:
            self._leave(asked)
        if not asked.was_answered:
            raise Cancelled(f"host tool {name!r}: the call that waits for it is not wanted any more")
        return self._outcome(asked)

    def _ask(
        self, job: Job, name: str, arguments: Mapping[str, object], wake: Callable[[], object], *, waits: bool
    ) -> Asked:
        payload = _encoded(name, arguments)
        if len(payload) > job.max_payload:
            raise HostPayloadTooLarge(
                f"the arguments of host tool {name!r} have {len(payload)} bytes, more than the {job.max_payload} of "
                "max_payload; send less at once, or raise the limit of the pool",
                tool=name,
            )
        asked = Asked(job, name, wake)
        with self._lock:
            if self._over:
                raise HostGone(f"host tool {name!r} was not called: {self._over}", tool=name)
            asked.number = next(self._numbers)
            self._asked[asked.number] = asked
            if job.asked is None:
                job.asked = set()
            job.asked.add(asked)
            # under the lock: numbers are said in their order
            self._speaker.host_call(asked, payload, waits=waits)
        self._speaker.push()
        return asked

    def _leave(self, asked: Asked) -> None:
        with self._lock:
            if asked.job.asked is not None:
                asked.job.asked.discard(asked)
            unanswered = not asked.was_answered
            if unanswered:
                self._speaker.host_call_cancel(asked.number)
        if unanswered:
            self._speaker.push()

    def _outcome(self, asked: Asked) -> Any:
        if asked.failure is not None:
            raise _error(asked.name, *asked.failure)
        try:
            return msgspec.msgpack.decode(asked.result, ext_hook=_ndarray.read) if asked.result else None
        finally:
            asked.result = b""
            if asked.job.received is not None:
                asked.job.received.collect()


def _error(name: str, reason: str, message: str, tag: str, data: bytes) -> HostCallError:
    """What a host's failure is here; one of a newer host is a plain HostCallError."""
    if reason == "raised":
        value = msgspec.msgpack.decode(data, ext_hook=_ndarray.read) if data else None
        return HostToolError(message, tag=tag, data=value, tool=name)
    return ERRORS.get(reason, HostCallError)(message, tool=name)


def nobody(name: str) -> HostGone:
    """Of a call that came without a host."""
    return HostGone(
        f"host tool {name!r} cannot be called: this call did not come from a pool, but by `Execute`, or from a test "
        "that gives `serve` no `host_tools`",
        tool=name,
    )


def _encoded(name: str, arguments: Mapping[str, object]) -> bytes:
    if len(name.encode("utf-8", "replace")) > NAME_BYTES:
        raise UnknownHostTool(f"no host tool has a name of more than {NAME_BYTES} bytes", tool=name)
    try:
        return msgspec.msgpack.encode(dict(arguments), enc_hook=_convert)
    except (TypeError, *UNCARRIED) as problem:
        raise InvalidHostArguments(
            f"the arguments of host tool {name!r} cannot be carried{_which(arguments)}: {reason_of(problem)}", tool=name
        ) from None


UNCARRIED = (OverflowError, RecursionError, UnicodeEncodeError, BufferError, _ndarray.NotCarried)


def _which(arguments: Mapping[str, object]) -> str:
    for key, value in arguments.items():
        try:
            msgspec.msgpack.encode(value, enc_hook=_convert)
        except (TypeError, *UNCARRIED):
            return f", argument {key!r}"
    return ""


def _convert(value: Any) -> object:
    numpy = _ndarray.module()
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return _ndarray.extension(value)
        if isinstance(value, numpy.generic) and not isinstance(item := value.item(), numpy.generic):
            return item
    raise TypeError(f"it is a {qualified_name(type(value))}; convert it to one of: {CARRIED}")


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
