"""A forkserver: `python -m snakepit.forkserver --adapter MODULE [--path DIR …]`, started by the Reaper, one per pool.

It imports the adapter and all that a worker needs once, and forks a worker whenever it is asked to; a worker so made
starts in milliseconds and shares the memory of what was imported.

    Reaper ──▶ forkserver ──▶ middle ──▶ worker      forked twice: the middle exits at once, and its
      │                                     ▲        child belongs to the Reaper, not to the forkserver
      └─────────────────────────────────────┘

It says ready, or why not, on SNAKEPIT_STATUS_FD as a worker does, `threads` being the threads that the import left:

    {"status": "ready", "pid": 4711, "tools": ["add"], "threads": 1}

Orders come over the SOCK_SEQPACKET socket SNAKEPIT_FORK_FD, one JSON object and four file descriptors (stdin, stdout,
stderr, status) each; end of file ends the forkserver. Workers that live are not touched by that.

    order   {"id", "socket", "name", "max_payload"}
    answer  {"id", "pid"}  or  {"id", "error", "errno"}

A worker waits for its token, which the Reaper writes when it knows the pid, so nothing serves that is not accounted
for.

What an adapter should know. Its module is executed once, in the forkserver, and every worker starts from a copy of
what that made: open files and connections are shared, so make those on first use. Python's `random` is seeded anew in
each worker by Python itself, numpy's global generator here; a generator object made at import is the same in every
worker. `os.register_at_fork(after_in_child=…)` is the hook for all else. Signal handlers set at import stay, as in a
spawned worker, except SIGTERM, which drains. Functions given to `atexit` run when a worker ends, in every worker, and
never in the forkserver. A thread does not survive the fork; `threads` greater than 1 means that workers of this
adapter should be spawned. Threads of libraries that stop them for a fork (OpenBLAS) are not counted: a rehearsed fork
shows which ones stay.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import socket
import sys
import time
from typing import NamedTuple, NoReturn

from snakepit._arguments import Arguments
from snakepit._identity import MARK, Identity
from snakepit._life import load, prepare, read_token, serve
from snakepit._liveness import die_with
from snakepit._status import Status

ORDER_BYTES = 64 * 1024  # an order names a socket and a worker: some hundred bytes
ORDER_FDS = 4
ANSWER_BYTES = 16  # a pid, or a negative errno, in decimal
ADOPTION_LOOK_SECONDS = 0.0001  # the middle exits while the worker is setting itself up: one look as a rule
EX_SOFTWARE = 70


class Order(NamedTuple):
    """A worker to be: what it is called and serves, and its standard files and status pipe."""

    id: str
    socket: str
    name: str
    max_payload: int
    files: list[int]


def main(argv: list[str] | None = None) -> int:
    """Forks workers until the Reaper hangs up; returns in a worker only, with the worker's exit code."""
    arguments = Arguments(
        "forkserver", "Imports one adapter module and forks workers that serve its tools."
    ).parse_args(argv)
    reaper = int(os.environ.pop("SNAKEPIT_REAPER_PID"))
    die_with(reaper)
    prepare()
    status = Status.inherited()
    orders = socket.socket(fileno=int(os.environ.pop("SNAKEPIT_FORK_FD")))
    orders.set_inheritable(False)
    identity = Identity.of_this_process()
    os.environ[MARK] = os.environ[MARK].rstrip(" ")

    catalogue = load(arguments.adapter, arguments.path, status)
    gc.collect()
    # the collector must not write into objects that all workers share
    gc.freeze()
    _rehearse()
    tools = [tool.name for tool in catalogue.tools]
    status.write({"status": "ready", "pid": os.getpid(), "tools": tools, "threads": _threads()})
    status.close()

    order = _next_worker(orders, reaper)
    orders.close()
    status = _settle(order, identity)
    return serve(catalogue, read_token(), order.socket, order.max_payload, status)


def _next_worker(orders: socket.socket, reaper: int) -> Order:
    """Forks for every order; returns in the worker, with the order that made it, and in no other process."""
    while True:
        message, files, _, _ = socket.recv_fds(orders, ORDER_BYTES, ORDER_FDS, socket.MSG_CMSG_CLOEXEC)
        if not message:
            _leave()
        order = Order(**json.loads(message), files=files)
        try:
            if len(files) < ORDER_FDS:
                raise OSError(f"{len(files)} of {ORDER_FDS} file descriptors arrived; too many files are open")
            pid = _fork_twice(reaper)
        except OSError as problem:
            answer = {"id": order.id, "error": str(problem), "errno": problem.errno}
        else:
            if pid == 0:
                return order
            answer = {"id": order.id, "pid": pid}
        for fd in files:
            os.close(fd)
        try:
            orders.send(json.dumps(answer).encode())
        except OSError:
            _leave()


def _fork_twice(reaper: int) -> int:
    """The pid of a worker whose parent is the Reaper, or 0 in that worker; raises OSError when there is no room."""
    _flush()
    report, report_writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        middle = os.getpid()
        _in_the_middle(report_writer)
        os.close(report)
        os.close(report_writer)
        os.setsid()
        _await_adoption(middle, reaper)
        return 0
    os.close(report_writer)
    with open(report, "rb", buffering=0) as reports:
        said = int(reports.read(ANSWER_BYTES) or 0)
    os.waitpid(middle, 0)
    if said <= 0:
        raise OSError(-said, os.strerror(-said) if said else "the process between forkserver and worker was killed")
    return said


def _in_the_middle(report: int) -> None:
    """Forks the worker, reports its pid and exits; returns in the worker only."""
    try:
        pid = os.fork()
    except OSError as problem:
        pid = -(problem.errno or 1)
    if pid != 0:
        os.write(report, str(pid).encode())
        os._exit(0)


def _await_adoption(middle: int, reaper: int) -> None:
    while (parent := os.getppid()) != reaper:
        if parent != middle:
            os._exit(EX_SOFTWARE)  # the Reaper died, and something above it adopted us
        time.sleep(ADOPTION_LOOK_SECONDS)
    # only now: the signal is of the parent at the time of the call
    die_with(reaper)


def _settle(order: Order, identity: Identity) -> Status:
    """Makes the process the one that was ordered; where its status goes."""
    for target, fd in enumerate(order.files[:3]):
        os.dup2(fd, target)
        os.close(fd)
    identity.become(order.id, order.name)
    faulthandler.enable()
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()
    return Status(order.files[3])


def _rehearse() -> None:
    """Forks a process that ends at once, so that libraries which stop their threads for a fork have done so."""
    _flush()
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _flush() -> None:
    # what a buffer holds at a fork is written by both
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)


def _leave() -> NoReturn:
    # not sys.exit: what the adapter gave to atexit may remove what living workers use
    _flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
