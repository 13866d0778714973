"""The call that runs: what its code may ask about it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snakepit._host import Host
    from snakepit._job import Job


class Cancelled(BaseException):
    """The call is not wanted any more: it was cancelled, or its deadline has passed.

    Raised in a tool by `current().raise_if_cancelled()` and by a stream of inputs. Like asyncio's it is no Exception,
    so `except Exception` lets it through. Let it pass: the worker then says that the call has stopped.
    """


Cancelled.__module__ = "snakepit"

running: ContextVar[Job | None] = ContextVar("snakepit-call", default=None)


class Call:
    """The running call, as `snakepit.current()` gives it."""

    __slots__ = ("_job",)

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    def id(self) -> int:
        """The host's number of it, unique in a pool for the host's life."""
        return self._job.id

    @property
    def tool(self) -> str:
        """The name that was called."""
        tool = self._job.tool
        assert tool is not None
        return tool.name

    @property
    def session(self) -> str | None:
        """The caller's session, None when it named none."""
        return self._job.session or None

    @property
    def state(self) -> dict[str, Any]:
        """What the calls of its session on this worker share, from `on_session_start` until `on_session_end`.

        Raises LookupError when the call names no session.
        """
        visit = self._job.visit
        if visit is None:
            raise LookupError(
                f"call {self.id} of {self.tool!r} names no session, so it has no state: name one in the call's "
                "options, or keep what all calls share in the adapter"
            )
        return visit.state

    @property
    def trace(self) -> bytes:
        """The W3C trace context in binary (trace id, span id, flags: 25 bytes); empty when it is not sampled."""
        return self._job.trace

    @property
    def traceparent(self) -> str | None:
        """The same in W3C's text form, as the header of that name has it; None when it is not sampled."""
        trace = self._job.trace
        return f"00-{trace[:16].hex()}-{trace[16:24].hex()}-{trace[24]:02x}" if trace else None

    @property
    def tracestate(self) -> str | None:
        """What came with `traceparent` for those who trace, untouched; None when nothing did."""
        return self._job.trace_state or None

    @property
    def deadline(self) -> float | None:
        """When it must be over, on the clock of `time.monotonic()`; None for never."""
        return self._job.deadline

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, 0 when it has passed; None without one."""
        deadline = self._job.deadline
        return None if deadline is None else max(deadline - time.monotonic(), 0.0)

    @property
    def cancelled(self) -> bool:
        """Whether the result is not wanted any more: it was cancelled, or its deadline has passed."""
        if not self._job.stopping:
            return False
        self._job.seen = True
        return True

    def raise_if_cancelled(self) -> None:
        """Raises Cancelled when the result is not wanted any more."""
        if self.cancelled:
            raise Cancelled(f"call {self.id} (tool {self.tool!r}) is not wanted any more")

    def call(self, name: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """The result of a function of the host, one of the call's host tools; this thread waits until then.

        Arguments are named; those in a mapping may have any name. Pings, cancellations and other calls of the worker
        go on meanwhile. Raises a HostCallError (see its classes), Cancelled when this call is not wanted any more, and
        RuntimeError on an event loop: write `await current().acall(...)` there.

        A thread that the tool has started may call too, by the `Call` it was given or in a copy of the tool's context,
        as long as the tool runs: when that is over, its host calls are cancelled.
        """
        return self._host(name).call(self._job, name, {**(arguments or {}), **named})

    async def acall(self, name: str, arguments: Mapping[str, object] | None = None, /, **named: object) -> Any:
        """As `call`, for async tools: other tasks go on, and cancelling the task cancels the host tool."""
        return await self._host(name).acall(self._job, name, {**(arguments or {}), **named})

    def _host(self, name: str) -> Host:
        from snakepit._host import nobody

        if self._job.host is None:
            raise nobody(name)
        return self._job.host

    def __repr__(self) -> str:
        return f"<call {self.id} of {self.tool}>"


def current() -> Call:
    """The call that runs here: in a tool, in what it calls or awaits, and in the tasks that it starts.

    A thread that a tool starts knows of it only when it runs in a copy of the tool's context
    (`contextvars.copy_context().run`, `asyncio.to_thread`). Raises LookupError where no call runs.
    """
    job = running.get()
    if job is None:
        raise LookupError(
            "no call runs here: snakepit.current() works in a tool and in what it calls; "
            "run a thread of your own in contextvars.copy_context()"
        )
    return Call(job)
