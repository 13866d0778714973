"""One call on its way through the worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from snakepit._inputs import Feed
from snakepit._pieces import Encoded
from snakepit._segments import Received
from snakepit._tool import Tool
from snakepit._visit import Visit

if TYPE_CHECKING:
    import asyncio

    from snakepit._host import Asked, Host


class Speaker(Protocol):
    """Where what becomes of calls is said, from any thread: the outbox of a session, or a test."""

    def started(self, id: int) -> None: ...
    def item(self, id: int, payload: Encoded) -> None: ...
    def done(self, id: int, payload: Encoded, micros: int) -> None: ...
    def raised(self, id: int, exception: BaseException) -> None: ...
    def cancelled(self, id: int, how: str) -> None: ...
    def invalid(self, id: int, issue: str) -> None: ...
    def unknown(self, id: int, why: str) -> None: ...
    def declined(self, id: int) -> None: ...
    def too_large(self, id: int, size: int) -> None: ...
    def want(self, id: int, elements: int) -> None: ...
    def drained(self) -> None: ...
    def flush(self, timeout: float) -> None: ...
    def push(self) -> None: ...
    def later(self) -> None: ...


class Job:
    """A call and its state; `deadline` is on the monotonic clock.

    `tool` is None for a `function` ("module:function") that was not looked up yet. What most calls never have is a
    default of the class, and parameters are given by position: there is one of these for every call, and made so it
    costs a third.
    """

    deadline: float | None = None
    credit = 0
    """Elements that the caller has asked for, of a tool that streams."""
    skip = 0
    """Elements that an attempt before this one has said."""
    session = ""
    trace = b""
    trace_state = ""
    function = ""
    received: Received | None = None
    """Where payloads of its host lie that did not come in frames."""

    visit: Visit | None = None
    """The caller's session that it is a call of."""
    ends: Visit | None = None
    """It is no call, but the end of this one."""
    alone = False
    """It is the whole of its session, if that has not begun already."""
    for_main = False
    """It runs on the main thread."""
    claimed = False
    """It runs, or its outcome is being said: nobody may drop it any more."""
    began = 0.0
    """When its tool's code began, on the monotonic clock."""
    cancelled = False
    seen = False
    """Its code has learned that it is to stop."""
    spent = 0
    feed: Feed | None = None
    changed: threading.Condition | None = None
    wake: Callable[[], None] | None = None
    """Called under the executor's lock when there is something new for its code to wait no longer."""
    stop: Callable[[], object] | None = None
    """Called under the executor's lock, once, to cancel the task that runs it."""
    task: asyncio.Task[None] | None = None
    """That runs it, of an async tool."""
    host: Host | None = None
    """Who serves its host calls."""
    asked: set[Asked] | None = None
    """Those that have no answer yet."""

    def __init__(
        self,
        id: int,
        tool: Tool[..., Any] | None,
        arguments: bytes | memoryview,
        outbox: Speaker,
        max_payload: int,
    ) -> None:
        self.id = id
        self.tool = tool
        self.arguments = arguments
        self.outbox = outbox
        self.max_payload = max_payload

    def release(self) -> None:
        """Nothing of what came with it is needed any more."""
        self.arguments = b""
        self.feed = None
        if self.received is not None:
            self.received.collect()

    @property
    def stopping(self) -> bool:
        """Whether it is to stop: it was cancelled, or its time is up."""
        return self.cancelled or (self.deadline is not None and time.monotonic() > self.deadline)
