"""Tools that note when they really run, behave, and misbehave on purpose."""

from __future__ import annotations

import collections
import ctypes
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from snakepit import tool

SLICE = 2_000_000  # steps of a C loop: about five milliseconds
FOR_EVER = 1e6  # seconds: nobody asks for the interpreter lock before

# PyDLL keeps the interpreter lock while it is in C, CDLL lets go of it
libc_holding_the_lock = ctypes.PyDLL(None)


def note(id: int) -> None:
    """Append one line to the journal in one write: `id pid`."""
    journal = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(journal, f"{id} {os.getpid()}\n".encode())
    finally:
        os.close(journal)


def work(millis: float, burn: bool) -> None:
    """Wait, or compute, for so long."""
    if not burn:
        time.sleep(millis / 1000)
        return
    until = time.perf_counter() + millis / 1000
    while time.perf_counter() < until:
        pass


def count_in_c(steps: int) -> None:
    """Loop in C without ever letting go of the interpreter lock."""
    collections.deque(itertools.repeat(None, steps), maxlen=0)


def burn_holding_the_lock(seconds: float) -> None:
    """Compute for so many seconds of CPU time, so at least as many on the clock, and let nobody have the interpreter lock meanwhile."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(FOR_EVER)
    try:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            count_in_c(SLICE)
    finally:
        sys.setswitchinterval(interval)


@tool
def once(id: int, millis: float, burn: bool) -> int:
    """Must not run twice."""
    note(id)
    work(millis, burn)
    return id


@tool
def again(id: int, millis: float, burn: bool) -> int:
    """May run again."""
    note(id)
    work(millis, burn)
    return id


@tool
def once_stream(id: int, elements: int, millis: float) -> Iterator[int]:
    """Must not run twice."""
    note(id)
    for element in range(elements):
        time.sleep(millis / 1000)
        yield element


@tool
def again_stream(id: int, elements: int, millis: float) -> Iterator[int]:
    """May run again, with the same elements."""
    note(id)
    for element in range(elements):
        time.sleep(millis / 1000)
        yield element


@tool
def nap(id: int, seconds: float) -> int:
    """Wait."""
    note(id)
    time.sleep(seconds)
    return id


@tool
def hold_lock(id: int, seconds: float) -> int:
    """Compute for so long and hold the interpreter lock throughout: healthy, and unable to answer."""
    note(id)
    burn_holding_the_lock(seconds)
    return id


@tool
def hold_lock_for_good(id: int) -> int:
    """Compute without end, a second at a time, with the interpreter lock but for moments."""
    note(id)
    while True:
        burn_holding_the_lock(1)


@tool
def grandchildren(id: int, seconds: float) -> int:
    """Start one in a session of its own and one whose parent ends at once, which would both outlive the worker; then wait."""
    note(id)
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    subprocess.run(
        ["sh", "-c", "sleep 600 & setsid sleep 600 & exit 0"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    return id


@tool
def ignore_sigterm(id: int, seconds: float) -> int:
    """Ignore SIGTERM, start a grandchild that does so too, and go on."""
    note(id)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "600"], start_new_session=True)  # inherits the ignored signal
    time.sleep(seconds)
    return id


@tool
def deadlock_holding_lock(id: int) -> int:
    """Wait in C for a mutex that this thread itself holds, with the interpreter lock: no thread runs any more."""
    note(id)
    mutex = ctypes.create_string_buffer(128)  # a zeroed pthread_mutex_t is PTHREAD_MUTEX_INITIALIZER on Linux
    libc_holding_the_lock.pthread_mutex_lock(mutex)
    libc_holding_the_lock.pthread_mutex_lock(mutex)
    return id


@tool
def deadlock(id: int) -> int:
    """Wait in Python for a lock that this thread itself holds."""
    note(id)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
    return id


@tool
def endless(id: int) -> int:
    """Loop without end, in Python."""
    note(id)
    while True:
        pass


LEAKED: list[bytes] = []
LEAK = 5_000_000  # bytes a call: a decoded image that somebody keeps


@tool
def leak(id: int) -> int:
    """Keep some memory for good."""
    note(id)
    LEAKED.append(os.urandom(4096) * (LEAK // 4096))
    return id
