"""The event loop of a worker: async tools, async generators and the async hooks of adapters, on a thread of its own.

The thread is started by the first of them, so a process that forks never has it.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from snakepit._current import running
from snakepit._inputs import AsyncInputs
from snakepit._job import Job, Speaker
from snakepit._perform import Closed, Ledger, Outcome, conclude, fitting, note, prepare
from snakepit._spans import traced
from snakepit._tool import Tool
from snakepit._visit import Attempt, Visit
from snakepit._waking import wake

GOODBYE_SECONDS = 0.5  # for tasks that tools have left to clean up; a worker's whole stop has seconds

T = TypeVar("T")


class Loop:
    """One event loop; `lock` guards what other threads tell a call, `ledger` is told its end."""

    def __init__(self, ledger: Ledger, lock: threading.Lock) -> None:
        self._ledger = ledger
        self._lock = lock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._given: deque[tuple[Job, Tool[..., Any]]] = deque()
        self._woken = False
        self._to_push: set[Speaker] = set()

    def give(self, job: Job, tool: Tool[..., Any]) -> None:
        """Has the loop perform a call; from any thread, under the lock."""
        self._given.append((job, tool))
        if not self._woken:
            self._woken = True
            loop = self._running()
            if threading.current_thread() is self._thread:
                loop.call_soon(self._take)  # what ends makes room for the next: no system call for that
            else:
                loop.call_soon_threadsafe(self._take)

    def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that runs on the loop; blocks another thread until then."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def close(self) -> None:
        """Cancels what tools have left running on it, and ends the thread."""
        if self._loop is None or self._thread is None:
            return
        self.complete(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop = self._thread = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="snakepit-loop", daemon=True)
            self._thread.start()
        return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    def _take(self) -> None:
        self._woken = False  # first: what is given from here on wakes it again
        while self._given:
            job, tool = self._given.popleft()
            # claimed here and not in the task: one that is cancelled before its first step never takes it
            if self._ledger.claim(job):
                job.task = task = asyncio.get_running_loop().create_task(self._perform(job, tool))
                with self._lock:
                    if not job.cancelled:  # else it sees that when it prepares
                        job.stop = partial(task.get_loop().call_soon_threadsafe, task.cancel)

    async def _perform(self, job: Job, tool: Tool[..., Any]) -> None:
        arguments: dict[str, Any] | None
        outcome: Outcome
        late: asyncio.TimerHandle | None = None
        try:
            arguments = prepare(job, tool, time.monotonic())
            if arguments is None:
                return
            job.outbox.started(job.id)
            if tool not in self._ledger.quick:
                job.outbox.flush(0)  # what waited here would hold up all others
            running.set(job)
            job.began = time.monotonic()
            if job.deadline is not None:
                late = asyncio.get_running_loop().call_at(job.deadline, self._expire, job)
            if job.visit is not None and not job.visit.begun:
                await self._enter(job, job.visit)
                job.began = time.monotonic()
            if job.feed is not None and tool.payload.input is not None:
                arguments[tool.payload.input] = AsyncInputs(job, job.feed, tool.payload, self._wait)
            if tool.streams:
                outcome = await self._stream(job, tool, arguments)
            else:
                function = traced(job, tool) if job.trace else tool.function
                outcome = fitting(job, tool.payload.encode(await function(**arguments)))
            note(self._ledger, tool, time.monotonic() - job.began)
            conclude(job, tool, outcome)
        except BaseException as raised:
            conclude(job, tool, raised)
        finally:
            if late is not None:
                late.cancel()
            arguments, outcome = None, b""  # they may look into segments, which are free now
            self._ledger.finish(job)
            self._push_soon(job)

    async def _enter(self, job: Job, visit: Visit) -> None:
        """As `enter` of the ledger: a hook that is no coroutine must not hold up the loop, nor who waits a thread."""
        while (attempt := self._ledger.attempt(job)) is not None:
            if attempt.job is job:
                await self._begin(attempt)
            else:
                with self._ledger.waiting(job, visit):
                    await self._wait(job, attempt.is_over)
            if attempt.raised is not None:
                raise attempt.raised

    def _begin(self, attempt: Attempt) -> asyncio.Future[None]:
        """Runs the hooks on a thread of ours: those of the loop's executor are for what async hooks and tools await."""
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # who awaits it may be cancelled, and the hooks go on for others

        def begin() -> None:
            try:
                self._ledger.begin(attempt)
            except BaseException as raised:
                done.set_exception(raised)
            else:
                done.set_result(None)

        run = contextvars.copy_context().run
        try:
            threading.Thread(target=run, args=(begin,), name="snakepit-session", daemon=True).start()
        except RuntimeError:  # there is no thread to be had
            self._ledger.has_tried(attempt)
            raise
        return asyncio.wrap_future(done)

    def _push_soon(self, job: Job) -> None:
        """What tasks say in one turn of the loop leaves together."""
        if job.outbox not in self._to_push:
            if not self._to_push:
                asyncio.get_running_loop().call_soon(self._push)
            self._to_push.add(job.outbox)

    def _push(self) -> None:
        said, self._to_push = self._to_push, set()
        for outbox in said:
            outbox.push()

    def _expire(self, job: Job) -> None:
        with self._lock:
            if not job.cancelled:
                job.cancelled = True
                if job.stop is not None:
                    job.stop()
                    job.stop = None

    async def _stream(self, job: Job, tool: Tool[..., Any], arguments: dict[str, Any]) -> Outcome:
        encode = tool.payload.encode
        position = 0
        function = traced(job, tool) if job.trace else tool.function
        elements = function(**arguments)
        try:
            async for element in elements:
                if job.stopping:
                    return Closed.CLOSED
                position += 1
                if position <= job.skip:
                    continue
                payload = encode(element)
                if len(payload) > job.max_payload:
                    return len(payload)
                if job.spent >= job.credit:
                    try:
                        await self._wait(job, lambda: job.credit > job.spent)
                    except asyncio.CancelledError:
                        if job.stopping:
                            return Closed.CLOSED
                        raise
                job.spent += 1
                job.outbox.item(job.id, payload)
                self._push_soon(job)
        finally:
            await elements.aclose()
        return b""

    async def _wait(self, job: Job, ready: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if ready():
                    return
                woken = loop.create_future()
                job.wake = partial(_wake, job, woken)
            try:
                await woken
            finally:
                with self._lock:  # whoever wakes looks whether there is something to call, and calls it
                    job.wake = None


def _wake(job: Job, woken: asyncio.Future[None]) -> None:
    job.wake = None
    wake(woken)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=GOODBYE_SECONDS)
    await asyncio.get_running_loop().shutdown_asyncgens()
