"""Running the calls of a worker: one at a time, in order, in the main thread.

              submit            take                    end
    (host) ──────────▶ queued ─────────▶ running ──────────────▶ outcome: done, raised, cancelled or too large
                         │ cancel, drain,    │ cancel: a generator is closed at its next element or while it
                         │ stream ended      │ waits for credit; a plain tool finishes and its result is dropped
                         ▼                   ▼
                       outcome: cancelled, or declined when draining; exactly one per call

Readers of streams submit, cancel and give credit from their own threads. The main thread runs the tools because
libraries that touch signals work nowhere else.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass
from typing import Any

from snakepit._outbox import Outbox
from snakepit._payload import InvalidArguments
from snakepit._tool import Tool, tool

REMEMBERED_CALLS = 65_536  # far more than a host has in flight; bounds what refusing a second start costs
SLOW_SECONDS = 0.001  # a tool that takes longer can afford waiting for Started to leave, about 0.1 ms
FLUSH_SECONDS = 0.05  # a host that does not read must not stop the tools


class AlreadyStarted(RuntimeError):
    """A call with this id has run on this worker process; it is never run twice."""


AlreadyStarted.__module__ = "snakepit"


@dataclass(slots=True, eq=False)
class Job:
    """One call on its way through the worker; `deadline` is on the monotonic clock."""

    id: int
    tool: Tool[..., Any]
    arguments: bytes
    deadline: float | None
    credit: int
    skip: int
    max_payload: int
    outbox: Any
    session: str = ""
    trace: bytes = b""
    function: str = ""
    running: bool = False
    cancelled: bool = False


@tool
def _nothing() -> None:
    pass


# the payload of Done; the size of what was too large; why it did not fit the tool; what was raised; None when cancelled
Outcome = bytes | int | str | BaseException | None


class Executor:
    """Queue, ledger and loop of the calls of this process."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        # invariant: a job is in here from submit to its outcome, unless its stream has ended
        self._jobs: dict[int, Job] = {}
        self._started: set[int] = set()
        self._started_order: deque[int] = deque()
        self._quick: set[Tool[..., Any]] = set()
        self._draining = False
        self._held: Any = None
        self._closed = False
        self.idle = False
        """The main thread waits for a job, or is about to say something about one."""

    # -- from any thread -------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        with self._changed:
            if self._closed or self._draining or job.outbox is self._held:
                job.outbox.declined(job.id)
            elif job.id in self._jobs or job.id in self._started:
                job.outbox.raised(job.id, _already_started(job))
            else:
                self._jobs[job.id] = job
                self._queue.put(job)

    def cancel(self, id: int) -> None:
        with self._changed:
            job = self._jobs.get(id)
            if job is not None:
                self._cancel(job)

    def give_credit(self, id: int, elements: int) -> None:
        with self._changed:
            job = self._jobs.get(id)
            if job is not None:
                job.credit += elements
                self._changed.notify_all()

    def give_input(self, id: int, payload: bytes) -> None:
        """One element of the stream of inputs of a call; no tool takes one yet."""

    def end_input(self, id: int, failure: str) -> None:
        """The stream of inputs of a call has ended, or failed; no tool takes one yet."""

    def abandon(self, outbox: Outbox) -> None:
        """The stream of these calls has ended: those queued are dropped, the running one is cancelled."""
        with self._changed:
            for job in [job for job in self._jobs.values() if job.outbox is outbox]:
                self._cancel(job)

    def hold(self, outbox: Outbox) -> None:
        """Declines what waits on this stream and what still comes on it; says Drained when its running call is over."""
        with self._changed:
            self._held = outbox
            for job in [job for job in self._jobs.values() if job.outbox is outbox and not job.running]:
                self._drop(job)
                outbox.declined(job.id)
            if not any(job.outbox is outbox for job in self._jobs.values()):
                outbox.drained()

    def rehearse(self) -> None:
        """Runs the path of a call once, so that the first real one finds all of it in memory."""
        with self._changed:
            job = Job(
                id=0, tool=_nothing, arguments=b"", deadline=None, credit=0, skip=0, max_payload=1, outbox=Outbox()
            )
            self._quick.add(_nothing)  # nobody would take what it says
            self._jobs[job.id] = job
            self._queue.put(job)

    def wait_until_free(self) -> None:
        """Returns when no call is running: a new stream must not be told that a busy worker is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not any(job.running for job in self._jobs.values()))

    def drain(self) -> None:
        """Lets the running call finish and `run` return. Safe in a signal handler: takes no lock."""
        self._draining = True
        self._queue.put(None)

    def _cancel(self, job: Job) -> None:
        if job.running:
            job.cancelled = True
        else:
            self._drop(job)
            job.outbox.cancelled(job.id, "queued")
        self._changed.notify_all()

    def _drop(self, job: Job) -> None:
        job.cancelled = True
        del self._jobs[job.id]

    # -- the main thread -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Performs calls until drained; what is then still queued is declined."""
        while not self._draining:
            self.idle = True
            job = self._queue.get()
            self.idle = False
            if job is not None and not self._draining:
                self._perform(job)
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.outbox.declined(job.id)
            self._jobs.clear()
            self._changed.notify_all()

    def _perform(self, job: Job) -> None:
        outcome: Outcome
        try:
            if job.cancelled:
                return
            if job.deadline is not None and time.monotonic() > job.deadline:
                self.cancel(job.id)
                return
            try:
                arguments = self._arguments(job)
            except InvalidArguments as misfit:
                self._end(job, str(misfit))
                return
            if not self._start(job):
                return
            began = time.monotonic()
            outcome = self._stream(job, arguments) if job.tool.streams else self._answer(job, arguments)
            self._learn(job.tool, time.monotonic() - began)
        except BaseException as raised:
            outcome = raised
        self._end(job, outcome)

    def _arguments(self, job: Job) -> dict[str, Any]:
        if len(job.arguments) > job.max_payload:
            raise InvalidArguments(
                f"tool {job.tool.name!r}: the arguments have {len(job.arguments)} bytes, "
                f"more than the {job.max_payload} of max_payload; send less or raise the limit of the pool"
            )
        return job.tool.payload.arguments(job.arguments)

    def _start(self, job: Job) -> bool:
        with self._changed:
            if job.cancelled:
                return False
            job.running = True
            self._started.add(job.id)
            self._started_order.append(job.id)
            if len(self._started_order) > REMEMBERED_CALLS:
                self._started.discard(self._started_order.popleft())
        job.outbox.started(job.id)
        if job.tool not in self._quick:
            # a tool that holds the GIL would keep Started, and finished results, from leaving
            job.outbox.flush(FLUSH_SECONDS)
        return True

    def _learn(self, tool: Tool[..., Any], seconds: float) -> None:
        if seconds < SLOW_SECONDS:
            self._quick.add(tool)
        else:
            self._quick.discard(tool)

    def _answer(self, job: Job, arguments: dict[str, Any]) -> Outcome:
        payload = job.tool.payload.encode(job.tool.function(**arguments))
        return payload if len(payload) <= job.max_payload else len(payload)

    def _stream(self, job: Job, arguments: dict[str, Any]) -> Outcome:
        elements = job.tool.function(**arguments)
        try:
            for position, element in enumerate(elements):
                if job.cancelled:
                    return None
                if position < job.skip:
                    continue
                payload = job.tool.payload.encode(element)
                if len(payload) > job.max_payload:
                    return len(payload)
                if not self._spend_credit(job):
                    return None
                job.outbox.item(job.id, payload)
        finally:
            elements.close()
        return b""

    def _spend_credit(self, job: Job) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: job.credit > 0 or job.cancelled)
            job.credit -= 1
            return not job.cancelled

    def _end(self, job: Job, outcome: Outcome) -> None:
        with self._changed:
            if self._jobs.get(job.id) is not job:
                return  # it was dropped before it began, and that was said
            job.running = True  # also one that did not start: nobody may drop it any more
        self._say(job, outcome)
        with self._changed:
            del self._jobs[job.id]
            if job.outbox is self._held:
                job.outbox.drained()
            self._changed.notify_all()

    def _say(self, job: Job, outcome: Outcome) -> None:
        if job.cancelled:
            if isinstance(outcome, BaseException):
                print(f"snakepit: tool {job.tool.name!r} raised after call {job.id} was cancelled:", file=sys.stderr)
                traceback.print_exception(outcome)
            job.outbox.cancelled(job.id, "generator" if job.tool.streams else "finished")
            return
        match outcome:
            case bytes():
                job.outbox.done(job.id, outcome)
            case int():
                job.outbox.too_large(job.id, outcome)
            case str():
                job.outbox.invalid(job.id, outcome)
            case BaseException():
                job.outbox.raised(job.id, outcome)
            case None:
                job.outbox.cancelled(job.id, "generator")


def _already_started(job: Job) -> AlreadyStarted:
    return AlreadyStarted(
        f"call {job.id} (tool {job.tool.name!r}) was already given to this worker and is never run twice; "
        "a retry needs a new id, and an idempotent tool"
    )
