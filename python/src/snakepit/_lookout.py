"""Who reads the connection of a session: the main thread itself while it has nothing to run, and else a lookout.

    main thread   reads ─▶ runs what came, sends what it said ─▶ reads ─▶ runs ………………………………………… runs ─▶ wants it back
                   │ lease                                                                         │
    lookout       sleeps                                               2 ms later: reads, queues ─▶ gives it back

A call that comes to an idle worker is read, run and answered by one thread, which wakes no other: that is most of what
a short call costs (ADR 12). While a tool runs, the lookout answers pings, cancels, and takes in what comes.
"""

from __future__ import annotations

import queue
import threading
import time
from select import POLLIN, poll
from socket import socket
from typing import Protocol

TICK_SECONDS = 0.002  # how long a call may run before the lookout reads: far below any heartbeat, far above short calls
WAKE_UPS = 64  # taken at once: any number of them asks for one look
UNREAD_TICKS = 3  # so long short calls may follow one another before somebody reads
QUIET = 10  # so many ticks nothing ran: then the lookout sleeps until the main thread wakes it


class Source(Protocol):
    """A connection."""

    def fileno(self) -> int: ...
    def take(self) -> bool:
        """Takes in what comes next; False when it is over."""


class Main(Protocol):
    """The main thread, as a lookout sees it."""

    idle: bool
    performed: int

    def wake(self) -> None: ...
    def leads(self, lookout: Lookout) -> bool:
        """Whether it would read its connection when idle."""

    def leave(self, lookout: Lookout) -> None:
        """Its connection is over."""


class Lookout:
    """Reads one connection, on a thread of its own (`watch`) or for the main thread (`lead`)."""

    def __init__(self, main: Main) -> None:
        self._main = main
        self._source: Source | None = None
        # held by the main thread while it reads, or waits for something to read
        self._lease = threading.Lock()
        self._reads = True
        self._wanted = False
        self._over = False
        # the lookout looks at every tick whether it has to read
        self.armed = True
        self._called: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._now = False
        # how often the main thread has read, or waited for something to read
        self._led = 0
        self._polling: poll | None = None

    # -- its thread ------------------------------------------------------------------------------------------------

    def watch(self, source: Source) -> None:
        """Reads when it has to, until the connection is over."""
        self._source = source
        while not self._over:
            if not source.take():
                self._over = True
                self._main.leave(self)
            elif self._wanted:
                with self._lease:
                    self._wanted = self._reads = False
                self._main.wake()
                self._sleep()

    def _sleep(self) -> None:
        """Returns when it has to read."""
        main = self._main
        quiet = unread = 0
        performed, led = -1, self._led
        while not self._over:
            if not self._now:
                time.sleep(TICK_SECONDS)
            unread = 0 if main.idle or self._led != led else unread + 1
            if self._now or not main.leads(self):
                self._now = False
                with self._lease:  # which the main thread gives back soon: it runs something, or was woken
                    self._reads = True
                return
            is_held_up = not main.idle and (main.performed == performed or unread >= UNREAD_TICKS)
            if is_held_up and self._lease.acquire(blocking=False):
                self._reads = True
                self._lease.release()
                return
            performed, led = main.performed, self._led
            quiet = quiet + 1 if main.idle else 0
            if quiet >= QUIET:
                while not self._called.empty():  # by those who called it while it was awake
                    self._called.get()
                self.armed = False
                # the main thread may have begun a call, and seen that it was armed
                if main.idle and not self._now and main.leads(self):
                    self._called.get()
                self.armed = True
                quiet = 0

    # -- the main thread -------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """A call is about to run: the lookout looks after it."""
        self.armed = True
        self._called.put(None)

    def look(self) -> None:
        """A call is about to wait, or may take long: the lookout reads at once."""
        if not self._reads:
            self._now = True
            self.arm()

    def lead(self, woken: socket) -> bool:
        """Waits for what comes next and takes it in, or for `woken`; False at once when the lookout reads."""
        with self._lease:
            if self._reads or self._over or self._source is None:
                self._wanted = True
                return False
            self._take(woken, None)
        return True

    def catch_up(self, woken: socket) -> None:
        """Takes in what has come, and waits for nothing."""
        with self._lease:
            while not self._reads and not self._over and self._take(woken, 0):
                pass

    def _take(self, woken: socket, timeout: float | None) -> bool:
        source = self._source
        assert source is not None
        self._led += 1
        if self._polling is None:
            self._polling = poll()
            self._polling.register(woken, POLLIN)
            self._polling.register(source, POLLIN)
        ready = self._polling.poll(timeout)
        for fd, _ in ready:
            if fd == woken.fileno():
                woken.recv(WAKE_UPS)
            elif not source.take():
                self._over = True
                self._main.leave(self)
                self.arm()  # so that its thread ends
        return bool(ready)

    def give_back(self) -> None:
        """The main thread reads it no more."""
        self._wanted = False
        self.look()
