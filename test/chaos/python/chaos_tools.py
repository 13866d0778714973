"""Tools that note when they really run, behave, and misbehave on purpose."""

from __future__ import annotations

import collections
import ctypes
import itertools
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from snakepit import adapter, tool

SLICE = 2_000_000  # steps of a C loop: about five milliseconds
PIECE = 1 << 24  # bytes: few enough to be stopped soon, many enough to be quick
FOR_EVER = 1e6  # seconds: nobody asks for the interpreter lock before

FOLDER = os.environ["CHAOS_FOLDER"]

# PyDLL keeps the interpreter lock while it is in C, CDLL lets go of it
libc_holding_the_lock = ctypes.PyDLL(None)


def note(id: int) -> None:
    """It begins."""
    append("journal.txt", id)


def finish(id: int) -> None:
    """It has run to its end: its worker knows the outcome."""
    append("finished.txt", id)


def append(name: str, id: int) -> None:
    """One line in one write: `id pid`."""
    journal = os.open(f"{FOLDER}/{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(journal, f"{id} {os.getpid()}\n".encode())
    finally:
        os.close(journal)


def turned(toggle: str) -> float | None:
    """What the runner has told the workers of this pool, if it has."""
    pool = os.environ["SNAKEPIT_WORKER"].partition("/")[0]
    try:
        with open(f"{FOLDER}/{pool}.{toggle}") as told:
            return float(told.read())
    except FileNotFoundError:
        return None


if turned("broken") is not None:
    raise ImportError("chaos has broken this adapter")


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
    finish(id)
    return id


@tool
def again(id: int, millis: float, burn: bool) -> int:
    """May run again."""
    note(id)
    work(millis, burn)
    finish(id)
    return id


@tool
def once_stream(id: int, elements: int, millis: float) -> Iterator[int]:
    """Must not run twice."""
    note(id)
    for element in range(elements):
        time.sleep(millis / 1000)
        yield element
    finish(id)


@tool
def again_stream(id: int, elements: int, millis: float) -> Iterator[int]:
    """May run again, with the same elements."""
    note(id)
    for element in range(elements):
        time.sleep(millis / 1000)
        yield element
    finish(id)


@adapter
class Sleeper:
    """Sleeps, and takes as long to start as it is told."""

    def on_start(self) -> None:
        """In each worker, forked or not, before it is ready."""
        time.sleep(turned("slow") or 0)

    @tool
    def nap(self, id: int, seconds: float) -> int:
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
    subprocess.Popen(
        ["sleep", "600"], start_new_session=True
    )  # inherits the ignored signal
    time.sleep(seconds)
    return id


@tool
def crash(id: int, how: str) -> int:
    """End this process in native code."""
    note(id)
    end_in_native_code(how)
    return id


@tool
def again_crash(id: int, how: str) -> int:
    """End every process that runs it, unless the way to do so is none."""
    note(id)
    if how != "none":
        end_in_native_code(how)
    finish(id)
    return id


def end_in_native_code(how: str) -> None:
    """As a library with a fault would."""
    if how == "null_pointer":
        ctypes.string_at(0)
    elif how == "illegal":
        signal.raise_signal(signal.SIGILL)
    else:
        os.abort()


@tool
def eat(id: int, bytes: int) -> int:
    """Take so much memory, a piece at a time, and touch all of it."""
    note(id)
    pieces = [bytearray(b"x" * PIECE) for _ in range(bytes // PIECE)]
    return id if pieces else 0


@tool
def cut(id: int, millis: float) -> int:
    """Shut down the sockets that this worker has accepted, so long after the answer, whatever runs then."""
    note(id)
    threading.Timer(millis / 1000, shut_accepted).start()
    return id


def shut_accepted() -> None:
    """Both ends of every connection see end of file, as if the kernel had taken it away."""
    for name in os.listdir("/proc/self/fd"):
        try:
            file = os.dup(int(name))
        except OSError:
            continue  # the listing's own
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            os.close(file)
            continue
        with socket.socket(fileno=file) as one:
            accepted = (
                one.family == socket.AF_UNIX
                and one.getsockname() not in ("", b"")
                and not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            )
            if accepted:
                one.shutdown(socket.SHUT_RDWR)


@tool
def again_copy(id: int, data: bytes) -> bytes:
    """There and back."""
    note(id)
    return data


@tool
def deadlock_holding_lock(id: int) -> int:
    """Wait in C for a mutex that this thread itself holds, with the interpreter lock: no thread runs any more."""
    note(id)
    mutex = ctypes.create_string_buffer(
        128
    )  # a zeroed pthread_mutex_t is PTHREAD_MUTEX_INITIALIZER on Linux
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
