"""Performing one call: what plain and async tools have in common, and how a plain one runs on the thread it was given.

claim ─▶ arguments fit? ─▶ Started ─▶ the tool's code ─▶ outcome ─▶ finish
  │            │
  │            └ invalid, or too late: cancelled
  └ it was dropped meanwhile
"""

from __future__ import annotations

import asyncio
import enum
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from snakepit._current import Cancelled, running
from snakepit._inputs import Inputs
from snakepit._job import Job
from snakepit._payload import InvalidArguments
from snakepit._pieces import Encoded, Pieces
from snakepit._spans import traced
from snakepit._tool import Tool
from snakepit._visit import Attempt, Visit

SLOW_SECONDS = 0.001  # a tool that takes longer can afford a message of its own for Started, about 0.05 ms
MOST_MICROS = 0xFFFF_FFFF  # uint32: 71 minutes
MOST_SECONDS = MOST_MICROS / 1e6
FLUSH_SECONDS = 0.05  # a host that does not read must not stop the tools


class Closed(enum.Enum):
    """A generator was closed because its call is not wanted any more."""

    CLOSED = enum.auto()


PAYLOADS = (bytes, Pieces)

# the payload of Done; the size of what was too large; what was raised
Outcome = Encoded | int | BaseException | Closed


class Ledger(Protocol):
    """What a call needs of the executor while it runs."""

    quick: set[Tool[..., Any]]

    def claim(self, job: Job) -> bool: ...
    def wait(self, job: Job, ready: Callable[[], bool]) -> bool: ...
    def enter(self, job: Job) -> None: ...
    def attempt(self, job: Job) -> Attempt | None: ...
    def begin(self, attempt: Attempt) -> None: ...
    def has_tried(self, attempt: Attempt) -> None: ...
    def waiting(self, job: Job, visit: Visit) -> AbstractContextManager[None]: ...
    def finish(self, job: Job) -> None: ...


def perform(ledger: Ledger, job: Job, tool: Tool[..., Any]) -> None:
    """Runs a call of a plain tool, from its claim to its end."""
    if not job.claimed and not ledger.claim(job):
        return
    arguments: dict[str, Any] | None
    outcome: Outcome
    outbox = job.outbox
    try:
        job.began = time.monotonic()
        arguments = prepare(job, tool, job.began)
        if arguments is None:
            return
        outbox.started(job.id)
        quick = tool in ledger.quick
        if quick:
            outbox.later()
        else:
            # a tool that holds the GIL would keep Started, and finished results, from leaving
            outbox.flush(FLUSH_SECONDS)
            job.began = time.monotonic()
        running.set(job)
        if job.visit is not None or job.feed is not None:
            _furnish(ledger, job, tool, arguments)
        if tool.streams:
            outcome = _stream(ledger, job, tool, arguments)
        else:
            function = traced(job, tool) if job.trace else tool.function
            outcome = fitting(job, tool.payload.encode(function(**arguments)))
        now = time.monotonic()
        ran = now - job.began
        if (ran < SLOW_SECONDS) is not quick:
            note(ledger, tool, ran)
        if job.cancelled or outcome.__class__ not in PAYLOADS or (job.deadline is not None and now > job.deadline):
            conclude(job, tool, outcome)
        else:
            outbox.done(job.id, outcome, micros(ran))
    except BaseException as raised:
        conclude(job, tool, raised)
    finally:
        running.set(None)
        arguments, outcome = None, b""  # they may look into segments, which are free now
        ledger.finish(job)


def _furnish(ledger: Ledger, job: Job, tool: Tool[..., Any], arguments: dict[str, Any]) -> None:
    """What a call may have beside its arguments: a session, a stream of inputs."""
    if job.visit is not None and not job.visit.begun:
        ledger.enter(job)
        job.began = time.monotonic()
    if job.feed is not None and tool.payload.input is not None:
        arguments[tool.payload.input] = Inputs(job, job.feed, tool.payload, ledger.wait)


def prepare(job: Job, tool: Tool[..., Any], now: float) -> dict[str, Any] | None:
    """The arguments; None when they do not fit or nobody wants the result any more, which is said."""
    if len(job.arguments) > job.max_payload:
        job.outbox.invalid(
            job.id,
            f"tool {tool.name!r}: the arguments have {len(job.arguments)} bytes, "
            f"more than the {job.max_payload} of max_payload; send less or raise the limit of the pool",
        )
        return None
    try:
        arguments = tool.payload.arguments(job.arguments)
    except InvalidArguments as misfit:
        job.outbox.invalid(job.id, str(misfit))
        return None
    if job.cancelled or (job.deadline is not None and now > job.deadline):
        job.outbox.cancelled(job.id, "queued")
        return None
    job.arguments = b""
    if job.received is not None:
        job.received.collect()
    return arguments


def note(ledger: Ledger, tool: Tool[..., Any], seconds: float) -> None:
    """How long its code ran says how it is begun the next time."""
    if seconds < SLOW_SECONDS:
        ledger.quick.add(tool)
    else:
        ledger.quick.discard(tool)


def micros(ran: float) -> int:
    """How long its code ran, at least 1: 0 says nothing."""
    return int(1e6 * ran) + 1 if ran < MOST_SECONDS else MOST_MICROS


def fitting(job: Job, payload: Encoded) -> Encoded | int:
    """The payload, or its size when it is too large."""
    return payload if len(payload) <= job.max_payload else len(payload)


def conclude(job: Job, tool: Tool[..., Any], outcome: Outcome) -> None:
    """Says what became of a call whose code has run."""
    if job.stopping:
        how = _how(job, tool, outcome)
        if isinstance(outcome, BaseException) and not isinstance(outcome, Cancelled | asyncio.CancelledError):
            print(f"snakepit: tool {tool.name!r} raised after call {job.id} was cancelled:", file=sys.stderr)
            traceback.print_exception(outcome)
        job.outbox.cancelled(job.id, how)
    elif isinstance(outcome, PAYLOADS):
        job.outbox.done(job.id, outcome, micros(time.monotonic() - job.began))
    elif isinstance(outcome, BaseException):
        job.outbox.raised(job.id, outcome)
    else:
        assert isinstance(outcome, int)  # a generator is closed only when its call is to stop
        job.outbox.too_large(job.id, outcome)


def _how(job: Job, tool: Tool[..., Any], outcome: Outcome) -> str:
    if isinstance(outcome, Closed):
        return "generator"
    if tool.asynchronous and isinstance(outcome, asyncio.CancelledError):
        return "async"
    return "cooperative" if job.seen else "finished"


def _stream(ledger: Ledger, job: Job, tool: Tool[..., Any], arguments: dict[str, Any]) -> Outcome:
    encode = tool.payload.encode
    function = traced(job, tool) if job.trace else tool.function
    elements = function(**arguments)
    try:
        for position, element in enumerate(elements):
            if job.stopping:
                return Closed.CLOSED
            if position < job.skip:
                continue
            payload = encode(element)
            if len(payload) > job.max_payload:
                return len(payload)
            # only this thread spends, so there is no lock to take while there is credit
            if job.spent >= job.credit:
                job.outbox.push()
                if not ledger.wait(job, lambda: job.credit > job.spent):
                    return Closed.CLOSED
            job.spent += 1
            job.outbox.item(job.id, payload)
            job.outbox.later()
    finally:
        elements.close()
    return b""
