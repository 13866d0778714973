"""The stream of inputs of a call, as its tool sees it.

host ── Input ──▶ whoever reads: give ──▶ arrived ──▶ the tool's thread or task: next
 ▲                                                        │
 └───────────── Want: room for more ◀─────────────────────┘ when half of the window is used up
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from snakepit._current import Cancelled
from snakepit._payload import InvalidArguments, Payload

if TYPE_CHECKING:
    from snakepit._job import Job

WINDOW = 64  # elements on the way: a round trip of 0.2 ms then admits 300 thousand a second
WINDOW_BYTES = 64 * 1024 * 1024  # of them: four of the largest that a host sends by default


class InputFailed(RuntimeError):
    """The stream of inputs of this call is broken: it failed at the caller's, or an element does not fit."""


InputFailed.__module__ = "snakepit"


class Feed:
    """What has arrived of a stream and was not taken yet. The reader's thread gives, one other takes."""

    __slots__ = ("_arrived", "_asked", "_given", "_largest", "_taken", "ended", "failure")

    def __init__(self) -> None:
        self._arrived: deque[bytes | memoryview] = deque()
        self._asked = 0
        self._given = 0
        self._taken = 0
        self._largest = 0
        self.ended = False
        self.failure = ""

    def give(self, payload: bytes | memoryview, max_payload: int) -> None:
        if self.ended:
            return
        self._given += 1
        if len(payload) > max_payload:
            self.end(f"element {self._given} has {len(payload)} bytes, more than the {max_payload} of max_payload")
        elif self._given > self._asked:
            self.end(f"element {self._given} came, and {self._asked} were wanted")
        else:
            self._largest = max(self._largest, len(payload))
            self._arrived.append(payload)

    def end(self, failure: str) -> None:
        """Nothing comes any more; what has arrived can still be taken. The first end counts."""
        if not self.ended:
            self.failure = failure
            self.ended = True

    @property
    def ready(self) -> bool:
        return self.ended or bool(self._arrived)

    def take(self) -> bytes | memoryview | None:
        """The next element; None when there is none yet, or `ended`."""
        if not self._arrived:
            return None
        self._taken += 1
        return self._arrived.popleft()

    @property
    def taken(self) -> int:
        return self._taken

    def room(self, max_payload: int) -> int:
        """How many more the host may send now; counts them as wanted."""
        # before one was seen any may be as large as they can be
        largest = self._largest if self._given else max_payload
        window = max(1, min(WINDOW, WINDOW_BYTES // max(largest, 1)))
        outstanding = self._asked - self._taken
        if self.ended or outstanding > window // 2:
            return 0
        more = window - outstanding
        self._asked += more
        return more


class _Elements:
    """What both kinds of streams do: everything but to wait."""

    def __init__(self, job: Job, feed: Feed, payload: Payload) -> None:
        self._job = job
        self._feed = feed
        self._payload = payload
        self._want()

    def _want(self) -> None:
        more = self._feed.room(self._job.max_payload)
        if more:
            self._job.outbox.want(self._job.id, more)

    def _next(self) -> tuple[bool, Any]:
        """Whether there is an element, and which; raises InputFailed for one that does not fit."""
        data = self._feed.take()
        if data is None:
            return False, None
        self._want()
        try:
            element = self._payload.element(data)
        except InvalidArguments as misfit:
            raise InputFailed(self._about(f"element {self._feed.taken}: {misfit}")) from None
        del data
        if self._job.received is not None:
            self._job.received.collect()
        return True, element

    def _check_end(self) -> None:
        if self._feed.failure:
            raise InputFailed(self._about(self._feed.failure))

    def _about(self, what: str) -> str:
        assert self._job.tool is not None
        return f"tool {self._job.tool.name!r}, stream of inputs {self._payload.input!r}: {what}"


class Inputs(_Elements):
    """The stream of inputs of a plain tool; `wait` returns when its argument says True, or the call is to stop."""

    def __init__(self, job: Job, feed: Feed, payload: Payload, wait: Callable[[Job, Callable[[], bool]], bool]) -> None:
        super().__init__(job, feed, payload)
        self._wait = wait

    def __iter__(self) -> Inputs:
        return self

    def __next__(self) -> Any:
        while not self._job.cancelled:
            ended = self._feed.ended  # before the look at what has arrived, or the last ones would be missed
            found, element = self._next()
            if found:
                return element
            if ended:
                self._check_end()
                raise StopIteration
            if not self._wait(self._job, lambda: self._feed.ready):
                break
        self._job.seen = True
        raise Cancelled(self._about("the call is not wanted any more"))


class AsyncInputs(_Elements):
    """The stream of inputs of an async tool; `wait` resolves when its argument says True."""

    def __init__(
        self, job: Job, feed: Feed, payload: Payload, wait: Callable[[Job, Callable[[], bool]], Awaitable[None]]
    ) -> None:
        super().__init__(job, feed, payload)
        self._wait = wait

    def __aiter__(self) -> AsyncInputs:
        return self

    async def __anext__(self) -> Any:
        while True:
            ended = self._feed.ended
            found, element = self._next()
            if found:
                return element
            if ended:
                self._check_end()
                raise StopAsyncIteration
            await self._wait(self._job, lambda: self._feed.ready)
