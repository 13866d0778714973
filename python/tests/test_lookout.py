"""Who reads a connection, the main thread or its lookout, as that is idle, runs something, or leaves."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from snakepit._lookout import Lookout

PATIENCE = 10.0  # seconds for what comes in milliseconds; only a failing test waits so long


class Source:
    """A connection of single bytes; notes who took them."""

    def __init__(self) -> None:
        self.peer, self._socket = socket.socketpair()
        self.taken_by: deque[str] = deque()
        self._changed = threading.Condition()

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self) -> bool:
        data = self._socket.recv(1)
        with self._changed:
            self.taken_by.append(threading.current_thread().name)
            self._changed.notify_all()
        return bool(data)

    def until_taken(self, times: int) -> str:
        """Who took the last of so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.taken_by) >= times, PATIENCE), self.taken_by
            return self.taken_by[times - 1]


class Main:
    """A main thread that leads one lookout, and runs what a test tells it to."""

    def __init__(self, source: Source) -> None:
        self.idle = False
        self.performed = 0
        self.led: Lookout | None = None
        self.left = threading.Event()
        self.lookout = Lookout(self)
        self._wake, self._woken = socket.socketpair()
        self._to_run: deque[Callable[[], None]] = deque()
        self._over = False
        self.watching = threading.Thread(target=self.lookout.watch, args=(source,), name="lookout", daemon=True)
        self.watching.start()
        self._thread = threading.Thread(target=self._run, name="main", daemon=True)
        self._thread.start()

    def leads(self, lookout: Lookout) -> bool:
        return self.led is lookout

    def leave(self, lookout: Lookout) -> None:
        self.led = None
        self.left.set()

    def wake(self) -> None:
        self._wake.send(b"w")

    def lead(self, lookout: Lookout | None) -> None:
        before, self.led = self.led, lookout
        if before is not None:
            before.give_back()
        self.wake()

    def run(self, job: Callable[[], None]) -> None:
        self._to_run.append(job)
        self.wake()

    def stop(self) -> None:
        self._over = True
        self.wake()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._over:
            self.idle = True
            if self._to_run:
                self.idle = False
                if self.led is not None and not self.led.armed:
                    self.led.arm()
                self._to_run.popleft()()
                continue
            lookout = self.led
            if lookout is None or not lookout.lead(self._woken):
                self._woken.recv(64)
            self.idle = False


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def main(source: Source) -> Iterator[Main]:
    main = Main(source)
    yield main
    source.peer.close()
    main.watching.join(PATIENCE)
    assert not main.watching.is_alive(), "the thread of a connection that is over goes on"
    main.stop()


def led(main: Main, source: Source) -> int:
    """Until the main thread reads: how many were taken by then."""
    main.lead(main.lookout)
    before = len(source.taken_by)
    for taken in range(before + 1, before + 1000):
        source.peer.send(b"x")
        if source.until_taken(taken) == "main":
            return taken
    raise AssertionError("the main thread never reads")


def test_the_main_thread_reads_while_it_is_idle_and_the_lookout_before_and_after(main: Main, source: Source) -> None:
    source.peer.send(b"x")
    assert source.until_taken(1) == "lookout"
    taken = led(main, source)
    for _ in range(20):
        source.peer.send(b"x")
        taken += 1
        assert source.until_taken(taken) == "main"
    main.lead(None)
    source.peer.send(b"x")
    source.peer.send(b"x")
    assert source.until_taken(taken + 2) == "lookout"


def occupied(main: Main, first: Callable[[], None] = lambda: None) -> threading.Event:
    """The main thread runs one thing, which begins with `first`, until this is set."""
    over, begun = threading.Event(), threading.Event()

    def job() -> None:
        main.performed += 1
        first()
        begun.set()
        over.wait(PATIENCE)

    main.run(job)
    assert begun.wait(PATIENCE)
    return over


def test_the_lookout_reads_while_the_main_thread_runs_one_thing(main: Main, source: Source) -> None:
    taken = led(main, source)
    over = occupied(main)
    for _ in range(5):
        source.peer.send(b"x")
        taken += 1
        assert source.until_taken(taken) == "lookout"
    over.set()
    led(main, source)


def test_the_lookout_reads_while_short_calls_follow_one_another(main: Main, source: Source) -> None:
    taken = led(main, source)
    over, begun = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        while not over.is_set():
            main.performed += 1  # each of them is another

    main.run(job)
    assert begun.wait(PATIENCE)
    source.peer.send(b"x")
    assert source.until_taken(taken + 1) == "lookout"
    over.set()


def test_the_lookout_reads_at_once_when_a_call_waits(main: Main, source: Source) -> None:
    taken = led(main, source)
    over = occupied(main, main.lookout.look)
    source.peer.send(b"x")
    assert source.until_taken(taken + 1) == "lookout"
    over.set()


def test_a_lookout_that_was_called_a_thousand_times_sleeps_all_the_same(main: Main, source: Source) -> None:
    led(main, source)
    for _ in range(1000):
        main.lookout.arm()
    until = time.monotonic() + PATIENCE
    while main.lookout.armed:
        assert time.monotonic() < until, "each call costs it another while of looking"
    assert main.lookout._called.empty()


def test_a_connection_may_end_while_the_main_thread_reads(main: Main, source: Source) -> None:
    led(main, source)
    source.peer.close()
    assert main.left.wait(PATIENCE)
    main.watching.join(PATIENCE)
    assert not main.watching.is_alive()


def test_what_has_come_is_taken_in_before_the_main_thread_reads_no_more(main: Main, source: Source) -> None:
    taken = led(main, source)
    woken = main._woken
    caught_up = threading.Event()

    def job() -> None:
        source.peer.send(b"xyz")
        main.lookout.catch_up(woken)
        caught_up.set()

    main.run(job)
    assert caught_up.wait(PATIENCE)
    assert len(source.taken_by) == taken + 3


def test_leading_changes_hands_a_thousand_times_and_nothing_stays_unread(main: Main, source: Source) -> None:
    for number in range(1, 1001):
        main.lead(main.lookout if number % 2 else None)
        source.peer.send(b"x")
        source.until_taken(number)
