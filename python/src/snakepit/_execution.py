"""Which calls of a worker run, and where: up to `concurrency` at once, in the order in which they came.

              submit            admit                     claim                finish
    (host) ──────────▶ waiting ───────▶ given to a lane ─────────▶ running ─────────────▶ its outcome was said
                          │ cancel, drain, its session ended │        │ cancel: a task is cancelled, a generator closed,
                          ▼                                  ▼        ▼ a plain tool has a token to look at
                       cancelled or declined: it never ran         outcome; exactly one per call

    lane          runs                                                       how many at once
    main thread   plain tools when concurrency is 1, and thread-sensitive    1
    threads       the other plain tools                                      concurrency
    event loop    async tools and async generators                           concurrency

Whoever reads a connection submits, cancels, and gives credit and inputs: a lookout, or the main thread. That runs what
is thread-sensitive because libraries that touch signals work nowhere else.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import get_ident
from typing import Any

from snakepit._current import Cancelled
from snakepit._functions import Functions, UnknownFunction
from snakepit._inputs import Feed
from snakepit._job import Job, Speaker
from snakepit._lookout import WAKE_UPS, Lookout
from snakepit._loop import Loop
from snakepit._outbox import Outbox
from snakepit._perform import perform
from snakepit._tool import Tool, tool
from snakepit._visit import END, Attempt, Hooks, Session, Told, Visit, Visits

FIRST_ENDING = -(2**60)  # ends of sessions have numbers below those of any call
REMEMBERED_CALLS = 32_768  # at least, and at most twice as many: far more than a host has in flight


class AlreadyStarted(RuntimeError):
    """A call with this id has run on this worker process; it is never run twice."""


AlreadyStarted.__module__ = "snakepit"


@tool
def _nothing() -> None:
    pass


class Executor:
    """Queue and ledger of the calls of this process, and the lanes they run in."""

    def __init__(self, concurrency: int = 1, functions: Functions | None = None) -> None:
        self.concurrency = concurrency
        self._functions = functions or Functions()
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        # invariant: a job is in here from submit to its outcome
        self._jobs: dict[int, Job] = {}
        # the ids of those that have ended: the latest, and as many before them
        self._ended: set[int] = set()
        self._ended_before: set[int] = set()
        self._waiting: deque[Job] = deque()
        # came before all that are waiting, when the main thread was busy
        self._for_main: deque[Job] = deque()
        self._permits = concurrency
        self._main_free = True
        self._main: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._main_thread = 0
        # what a call that ran there has made room for, or came when it read
        self._next_on_main: Job | None = None
        self._lookout: Lookout | None = None
        self.idle = False
        self.performed = 0
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._threads = 0
        self._tool_threads: set[int] = set()
        self._on_threads = 0
        self._for_threads: queue.SimpleQueue[tuple[Job, Tool[..., Any]] | None] = queue.SimpleQueue()
        self._watchers = 0
        self._when_free: list[Callable[[], None]] = []
        self._draining = False
        self._held: Speaker | None = None
        self._closed = False
        self._visits = Visits()
        self._endings = itertools.count(FIRST_ENDING, -1)
        self.loop = Loop(self, self._lock)
        """Where async tools run, for hooks too."""
        self.hooks = Hooks([], self.loop)
        self.quick: set[Tool[..., Any]] = set()

    # -- from any thread -------------------------------------------------------------------------------------------

    def submit(self, *jobs: Job) -> None:
        """Takes them in, in this order; those of one batch at once."""
        with self._lock:
            for job in jobs:
                if self._closed or self._draining or job.outbox is self._held:
                    job.release()
                    job.outbox.declined(job.id)
                elif job.id in self._jobs or job.id in self._ended or job.id in self._ended_before:
                    job.release()
                    job.outbox.raised(job.id, _already_started(job))
                else:
                    self._accept(job)

    def cancel(self, id: int) -> None:
        with self._lock:
            job = self._jobs.get(id)
            if job is not None:
                self._cancel(job)

    def give_credit(self, id: int, elements: int) -> None:
        with self._lock:
            job = self._jobs.get(id)
            if job is not None:
                job.credit += elements
                if job.wake is not None:
                    job.wake()

    def give_input(self, id: int, payload: bytes | memoryview) -> None:
        """One element of the stream of inputs of a call."""
        with self._lock:
            job = self._jobs.get(id)
            if job is not None and job.feed is not None:
                job.feed.give(payload, job.max_payload)
                if job.wake is not None:
                    job.wake()

    def end_input(self, id: int, failure: str) -> None:
        """No further input comes; `failure` says why, empty when it has ended."""
        with self._lock:
            job = self._jobs.get(id)
            if job is not None:
                self._end_feed(job, failure)

    def abandon(self, outbox: Speaker) -> None:
        """Nobody hears what becomes of these calls: those that wait are dropped, those that run are cancelled."""
        with self._lock:
            for job in [job for job in self._jobs.values() if job.outbox is outbox and job.ends is None]:
                self._cancel(job)
            for visit in self._visits.all(outbox):
                self._end_visit(visit)

    def hold(self, outbox: Speaker) -> None:
        """Declines what waits of this session and what still comes; says Drained when its running calls are over."""
        with self._lock:
            self._held = outbox
            self._decline([job for job in self._jobs.values() if job.outbox is outbox])
            for visit in self._visits.all(outbox):
                self._end_visit(visit)
            if not any(job.outbox is outbox for job in self._jobs.values()):
                outbox.drained()

    def announce(self, outbox: Speaker, session: str, data: bytes) -> None:
        """A caller's session begins with this data, before its first call."""
        with self._lock:
            self._visits.announce(outbox, session, data)

    def end_session(self, session: str, told: Told, limit: float) -> None:
        """A caller's session ends when its calls that have come are over; `told` hears when nothing of it is left."""
        with self._lock:
            visit = self._visits.get(session)
            if visit is not None:
                visit.told, visit.limit = told, limit
                self._end_visit(visit)
                return
        told("", False)

    def end_sessions(self) -> None:
        """Ends all that are left, after `run` has returned."""
        with self._lock:
            left = self._visits.all()
        for visit in left:
            self._run_end(visit)

    def rehearse(self) -> None:
        """Runs the path of a call once, so that the first real one finds all of it in memory."""
        with self._lock:
            if 0 in self._jobs:
                return
            job = Job(0, _nothing, b"", Outbox(), max_payload=1)
            self.quick.add(_nothing)  # nobody would take what it says
            self._accept(job)

    def when_free(self, then: Callable[[], None]) -> None:
        """Calls `then` when no call is running: a new session must not be told that a busy worker is free."""
        with self._lock:
            if not self._closed and self._is_busy():
                self._when_free.append(then)
                return
        then()

    def drain(self) -> None:
        """Lets the running calls finish and `run` return. Safe in a signal handler: takes no lock."""
        self._draining = True
        self._main.put(None)
        self.wake()

    def lead(self, lookout: Lookout) -> None:
        """The main thread reads this connection when it has nothing to run, and no other."""
        before, self._lookout = self._lookout, lookout
        if before is not None and before is not lookout:
            before.give_back()
        self.wake()

    def leads(self, lookout: Lookout) -> bool:
        return self._lookout is lookout

    def leave(self, lookout: Lookout) -> None:
        if self._lookout is lookout:
            self._lookout = None

    def wake(self) -> None:
        """Has the main thread look again for what there is to do."""
        with contextlib.suppress(BlockingIOError):  # as many wake-ups as a socket holds are enough
            self._wake.send(b"w")

    # -- the main thread -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Performs calls until drained; what then still waits is declined."""
        self._main_thread = get_ident()
        job: Job | None = None
        while not self._draining:
            job = self._next()
            while job is not None and not self._draining:
                outbox, lookout = job.outbox, self._lookout
                if lookout is not None and not lookout.armed:
                    lookout.arm()
                self.performed += 1
                if job.tool is None:
                    self._find(job)
                else:
                    perform(self, job, job.tool)
                job, self._next_on_main = self._next_on_main, None
                if job is None or job.outbox is not outbox:
                    outbox.push()
        if (lookout := self._lookout) is not None:
            lookout.catch_up(self._woken)  # what came while the last call ran is declined, not left unread
            lookout.give_back()
        if job is not None:
            job.claimed = False  # it has not begun, and is declined below
        with self._lock:
            self._closed = True
            self._decline(list(self._jobs.values()))
            self._watchers += 1
            self._quiet.wait_for(lambda: not self._is_busy())
            self._watchers -= 1
            for _ in range(self._threads):
                self._for_threads.put(None)

    def _next(self) -> Job | None:
        """What to run next, None to drain; reads the connection of the session until there is something."""
        while True:
            job, self._next_on_main = self._next_on_main, None
            if job is not None:
                return job
            self.idle = True  # before the look: who gives something from now on wakes this thread
            if not self._main.empty():
                self.idle = False
                return self._main.get()
            lookout = self._lookout
            if lookout is None or not lookout.lead(self._woken):
                self._woken.recv(WAKE_UPS)
            self.idle = False

    def _find(self, job: Job) -> None:
        if job.ends is not None:
            if self.claim(job):
                self._run_end(job.ends)
                self.finish(job)
            return
        try:
            job.tool = self._functions.find(job.function)
        except UnknownFunction as unknown:
            if self.claim(job):
                job.outbox.unknown(job.id, str(unknown))
                self.finish(job)
            return
        with self._lock:
            job.for_main = self._is_for_main(job.tool)
            self._main_free = True
            if job.for_main:
                self._give_main(job)
            else:
                self._give(job)
            self._admit()

    # -- what lanes say --------------------------------------------------------------------------------------------

    def claim(self, job: Job) -> bool:
        """Whether it is to run: from then on nobody may drop it, and who has claimed it says its outcome."""
        with self._lock:
            if self._draining and not job.cancelled:
                self._decline([job])
            if not job.cancelled:
                job.claimed = True
                return True
            self._let_go(job)
        self._tell_when_free()
        return False

    def wait(self, job: Job, ready: Callable[[], bool]) -> bool:
        """Returns True when `ready` holds, False when the call is to stop."""
        self.look(job)
        with self._lock:
            if job.changed is None:
                job.changed = threading.Condition(self._lock)
                job.wake = job.changed.notify_all
            while not ready():
                left = None if job.deadline is None else job.deadline - time.monotonic()
                if job.cancelled or (left is not None and left <= 0):
                    return False
                job.changed.wait(left)
            return not job.cancelled

    def look(self, job: Job) -> None:
        """Has the lookout read at once, when the main thread is about to wait for something that this call needs."""
        if job.for_main and self._lookout is not None:
            self._lookout.look()

    def is_tool_thread(self) -> bool:
        """Whether tools run on this thread; a thread that a tool has started is none."""
        here = get_ident()
        return here == self._main_thread or here in self._tool_threads

    def enter(self, job: Job) -> None:
        """Begins the session of a call that has not begun; raises what its hooks raise. Others wait for it."""
        while (attempt := self.attempt(job)) is not None:
            if attempt.job is job:
                self.begin(attempt)
            else:
                self._wait_for(job, _visit_of(job), attempt.is_over)
            if attempt.raised is not None:
                raise attempt.raised

    def attempt(self, job: Job) -> Attempt | None:
        """Whose run of the hooks begins the session of a call, its own if nobody's does; None when it has begun."""
        visit = _visit_of(job)
        with self._lock:
            if visit.begun:
                return None
            if visit.attempt is None:
                visit.attempt = Attempt(job)
                visit.calls += 1  # also when the call is given up meanwhile
            return visit.attempt

    def begin(self, attempt: Attempt) -> None:
        """Runs the hooks, for all who wait; raises Cancelled when its call is given up before."""
        try:
            self._begin(attempt.job, _visit_of(attempt.job), attempt)
        finally:
            self.has_tried(attempt)

    def has_tried(self, attempt: Attempt) -> None:
        """Lets those who wait go on."""
        visit = _visit_of(attempt.job)
        with self._lock:
            attempt.over = True
            visit.attempt = None
            self._depart(visit)
            _wake(visit)

    @contextlib.contextmanager
    def waiting(self, job: Job, visit: Visit) -> Iterator[None]:
        """The call is woken when something of the visit has changed."""
        with self._lock:
            visit.waiting.add(job)
        try:
            yield
        finally:
            with self._lock:
                visit.waiting.discard(job)

    def _begin(self, job: Job, visit: Visit, attempt: Attempt) -> None:
        before = visit.before
        while before is not None and not before.over:
            self._wait_for(job, before, lambda: before.over or (before.calls == 0 and not before.taken))
            self._run_end(before)
        visit.before = None
        try:
            self.hooks.start(Session(visit))
            visit.begun = True
        except BaseException as raised:
            visit.state.clear()
            attempt.raised = raised

    def _wait_for(self, job: Job, visit: Visit, ready: Callable[[], bool]) -> None:
        """Raises Cancelled when the call is given up before."""
        with self.waiting(job, visit):
            if not self.wait(job, ready):
                job.seen = True
                raise Cancelled(f"call {job.id} was given up before session {visit.id!r} had begun")

    def _run_end(self, visit: Visit) -> None:
        """Runs the hooks of its end, unless somebody does or has."""
        with self._lock:
            if visit.taken:
                return
            visit.ending = visit.taken = True
            told, visit.told = visit.told, None
        ended = threading.Event()
        timer = None
        if visit.begun and visit.limit and told is not None:
            timer = threading.Timer(visit.limit, self._overrun, [visit, told, ended])
            timer.daemon = True
            timer.start()
        failure = self.hooks.end(Session(visit)) if visit.begun else ""
        with self._lock:
            late = ended.is_set()
            ended.set()
            self._visits.forget(visit)
            visit.state = {}
            _wake(visit)
        if timer is not None:
            timer.cancel()
        if told is not None and not late:
            told(failure, False)
            visit.outbox.push()

    def _overrun(self, visit: Visit, told: Told, ended: threading.Event) -> None:
        with self._lock:
            if ended.is_set():
                return
            ended.set()
        told(f"{END} of session {visit.id!r} goes on beyond its limit of {visit.limit:g} s", True)
        visit.outbox.push()

    def finish(self, job: Job) -> None:
        """Its outcome was said."""
        id, ended = job.id, self._ended
        with self._lock:
            del self._jobs[id]
            ended.add(id)
            if len(ended) >= REMEMBERED_CALLS:
                self._ended, self._ended_before = set(), ended
            if job.feed is not None:
                self._end_feed(job, "the call is over")
            job.release()
            if job.visit is not None:
                self._depart(job.visit)
            if job.outbox is self._held and not any(other.outbox is self._held for other in self._jobs.values()):
                job.outbox.drained()
            self._let_go(job)
        if self._when_free:
            self._tell_when_free()

    def _tell_when_free(self) -> None:
        with self._lock:
            if self._is_busy():
                return
            waiting, self._when_free = self._when_free, []
        for then in waiting:
            then()

    # -- under the lock --------------------------------------------------------------------------------------------

    def _accept(self, job: Job) -> None:
        self._jobs[job.id] = job
        if job.session:
            job.visit = self._visits.join(job)
        if job.function:
            job.tool = self._functions.known(job.function)
        job.for_main = job.tool is None or self._is_for_main(job.tool)
        if job.tool is None or job.tool.payload.input is not None:
            job.feed = Feed()
        self._waiting.append(job)
        if self._permits:
            self._admit()

    def _depart(self, visit: Visit) -> None:
        """A call of it is over."""
        visit.calls -= 1
        if visit.calls == 0:
            if visit.ending or visit.brief:
                self._end_visit(visit)
            _wake(visit)

    def _end_visit(self, visit: Visit) -> None:
        """It ends when its calls are over: by the main thread, before what waits; at once without hooks."""
        visit.ending = True
        if visit.calls or visit.taken:
            return
        if not (visit.begun and self.hooks):
            visit.taken = True
            self._visits.forget(visit)
            if visit.told is not None:
                visit.told("", False)
        elif not self._closed:
            job = Job(next(self._endings), None, b"", visit.outbox, max_payload=0)
            job.ends = visit
            job.for_main = True
            self._jobs[job.id] = job
            self._waiting.appendleft(job)
            if self._permits:
                self._admit()

    def _admit(self) -> None:
        """Gives to lanes what may run now: the oldest first, and one for the main thread not while that is busy."""
        while self._permits and not self._draining:
            if self._main_free and self._for_main:
                job = self._for_main.popleft()
            elif self._waiting:
                job = self._waiting.popleft()
            else:
                return
            if job.cancelled:
                continue
            if not job.for_main:
                self._permits -= 1
                self._give(job)
            elif self._main_free:
                self._permits -= 1
                self._give_main(job)
            else:
                self._for_main.append(job)

    def _give_main(self, job: Job) -> None:
        self._main_free = False
        if get_ident() == self._main_thread:
            # it is the next to run there; dropped meanwhile, when it waited for its function to be found
            job.claimed = job.tool is not None and not job.cancelled
            self._next_on_main = job
        else:
            self._main.put(job)
            if self.idle:
                self.wake()

    def _give(self, job: Job) -> None:
        assert job.tool is not None
        if job.tool.asynchronous:
            self.loop.give(job, job.tool)
            return
        self._on_threads += 1
        if self._on_threads > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name=f"snakepit-tool-{self._threads}", daemon=True).start()
        self._for_threads.put((job, job.tool))

    def _is_for_main(self, tool: Tool[..., Any]) -> bool:
        return not tool.asynchronous and (self.concurrency == 1 or tool.thread_sensitive)

    def _work(self) -> None:
        self._tool_threads.add(get_ident())
        while (given := self._for_threads.get()) is not None:
            perform(self, *given)
            if self._for_threads.empty():
                given[0].outbox.push()
            else:
                given[0].outbox.later()

    def _let_go(self, job: Job) -> None:
        """Its lane is free for the next."""
        self._permits += 1
        if job.for_main:
            self._main_free = True
        elif job.tool is not None and not job.tool.asynchronous:
            self._on_threads -= 1
        if self._waiting or self._for_main:
            self._admit()
        if self._watchers:
            self._quiet.notify_all()

    def _cancel(self, job: Job) -> None:
        if not job.claimed:
            self._drop(job)
            job.outbox.cancelled(job.id, "queued")
            return
        job.cancelled = True
        if job.stop is not None:
            stop, job.stop = job.stop, None
            stop()
        if job.wake is not None:
            job.wake()
        if job.asked is not None:
            for asked in list(job.asked):
                asked.wake()

    def _decline(self, jobs: list[Job]) -> None:
        for job in jobs:
            if not job.claimed and job.ends is None:
                self._drop(job)
                job.outbox.declined(job.id)

    def _drop(self, job: Job) -> None:
        job.cancelled = True
        job.release()
        del self._jobs[job.id]
        if job.visit is not None:
            self._depart(job.visit)

    def _end_feed(self, job: Job, failure: str) -> None:
        if job.feed is not None:
            job.feed.end(failure)
            if job.wake is not None:
                job.wake()

    def _is_busy(self) -> bool:
        return any(job.claimed for job in self._jobs.values())


def _visit_of(job: Job) -> Visit:
    assert job.visit is not None
    return job.visit


def _wake(visit: Visit) -> None:
    for job in visit.waiting:
        if job.wake is not None:
            job.wake()


def _already_started(job: Job) -> AlreadyStarted:
    name = job.function or (job.tool.name if job.tool is not None else "")
    return AlreadyStarted(
        f"call {job.id} (tool {name!r}) was already given to this worker and is never run twice; "
        "a retry needs a new id, and an idempotent tool"
    )
