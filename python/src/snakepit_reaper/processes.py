"""Processes as /proc shows them, and how to end exactly one of them."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import NamedTuple

MACHINE_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, the same on every Linux


class Process(NamedTuple):
    """One process as /proc/<pid>/stat shows it; `started` is in clock ticks since boot."""

    pid: int
    parent: int
    group: int
    session: int
    started: int


def process(pid: int) -> Process | None:
    """The process now behind `pid`, zombies included; None when there is none or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    # a zombie stays in: its first thread may be dead while others run
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])) if fields else None


def children(parent: int) -> list[int] | None:
    """The children of a process of one thread, zombies included; None where the kernel does not list them.

    Exact for the caller's own: the list loses only those that the caller reaps, and new ones join at its end.
    """
    try:
        with open(f"/proc/{parent}/task/{parent}/children", "rb") as pids:
            return [int(pid) for pid in pids.read().split()]
    except OSError:
        return None


def descendants(root: int) -> list[Process]:
    """Every process below `root`, parents before children."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    children: dict[int, list[Process]] = {}
    for found in map(process, pids):
        if found is not None:
            children.setdefault(found.parent, []).append(found)
    below = list(children.get(root, ()))
    for parent in below:
        below.extend(children.get(parent.pid, ()))
    return below


def marker(pid: int) -> str | None:
    """The SNAKEPIT_WORKER that the process was started with."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            entries = environ.read().split(b"\0")
    except OSError:
        return None
    key = b"SNAKEPIT_WORKER="
    marked = (entry[len(key) :] for entry in entries if entry.startswith(key))
    # a forkserver's is padded, so that its workers have room for theirs
    return next((os.fsdecode(mark).rstrip(" ") for mark in marked), None)


def leads_namespace() -> bool:
    """Whether this is the first process of a pid namespace other than the machine's: the kernel ends all with it."""
    try:
        return os.getpid() == 1 and os.readlink("/proc/self/ns/pid") != MACHINE_NAMESPACE
    except OSError:
        return False


def can_watch(pid: int) -> bool:
    """Whether a handle of the process can be had, which no other process can come to stand behind."""
    try:
        os.close(os.pidfd_open(pid))
    except (OSError, AttributeError):
        return False
    return True


def kill(target: Process) -> None:
    """SIGKILL to exactly this process: a pid that was reused in the meantime is left alone."""
    with contextlib.suppress(OSError):
        try:
            handle = os.pidfd_open(target.pid)
        except OSError as problem:
            # older kernels say the one, sandboxes the other
            if problem.errno not in (errno.ENOSYS, errno.EPERM):
                raise
            handle = None
        try:
            now = process(target.pid)
            if now is None or now.started != target.started:
                return
            if handle is None:
                os.kill(target.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            if handle is not None:
                os.close(handle)


def signal_name(number: int) -> str:
    """SIGKILL for 9; SIG40 for a real-time signal, which has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
