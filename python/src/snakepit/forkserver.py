"""A forkserver: `python -m snakepit.forkserver --adapter MODULE [--path DIR …]`, started by the Reaper, one per pool.

It imports the adapter and all that a worker needs once, and forks a worker whenever it is asked to; a worker so made
starts in milliseconds and shares the memory of what was imported.

    Reaper ──▶ forkserver ──▶ middle ──▶ worker      forked twice: a middle stands by, takes one order and exits
      │                                     ▲        when it has forked; its child then belongs to the Reaper
      └─────────────────────────────────────┘

It says ready, or why not, on SNAKEPIT_STATUS_FD as a worker does, `threads` being the threads that the import left,
null where there is no /proc to count them, so that nobody knows whether a fork is safe:

    {"status": "ready", "pid": 4711, "tools": ["add"], "threads": 1}

Orders come over the SOCK_SEQPACKET socket SNAKEPIT_FORK_FD, one JSON object and four file descriptors (stdin, stdout,
stderr, status) each; end of file ends the forkserver. Workers that live are not touched by that.

    order   {"id", "socket", "name", "max_payload", "concurrency", "allow"}
    answer  {"id", "pid"}  or  {"id", "error", "errno"}

A worker waits for its token, which the Reaper writes when it knows the pid, so nothing serves that is not accounted
for.

What an adapter should know. Its module is executed once, in the forkserver, and every worker starts from a copy of
what that made: open files and connections are shared, so make those in `on_start` of an adapter class, which runs in
each worker. Python's `random` is seeded anew in
each worker by Python itself, numpy's global generator here; a generator object made at import is the same in every
worker. `os.register_at_fork(after_in_child=…)` is the hook for all else. Signal handlers set at import stay, as in a
spawned worker, except SIGTERM, which drains. Functions given to `atexit` run when a worker ends, in every worker, and
never in the forkserver. A thread does not survive the fork; `threads` greater than 1 means that workers of this
adapter should be spawned. Threads of libraries that stop them for a fork (OpenBLAS) are not counted: a rehearsed fork
shows which ones stay.
"""

from __future__ import annotations

import contextlib
import errno
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
from snakepit._life import flush, leave, load, prepare, read_token, serve
from snakepit._liveness import die_with
from snakepit._status import Status

ORDER_BYTES = 64 * 1024  # an order names a socket and a worker: some hundred bytes
ORDER_FDS = 4
STANDING_BY = 2  # one forks while the next is made; more only helps a host with many idle cores
ADOPTION_LOOK_SECONDS = 0.0001  # the middle exits while the worker is setting itself up: one look as a rule
HUNG_UP = 1  # exit code of a middle process that found no Reaper at the other end
EX_SOFTWARE = 70


class Order(NamedTuple):
    """A worker to be: what it is called and serves, and its standard files and status pipe."""

    id: str
    socket: str
    name: str
    max_payload: int
    concurrency: int
    allow: list[str]
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

    order, middle = _next_worker(orders)
    orders.close()
    os.setsid()
    _await_adoption(middle, reaper)
    status = _settle(order, identity)
    return serve(
        catalogue,
        read_token(),
        order.socket,
        order.max_payload,
        status,
        identity=identity,
        concurrency=order.concurrency,
        allow=order.allow,
    )


def _next_worker(orders: socket.socket) -> tuple[Order, int]:
    """Keeps middle processes standing by; returns in a worker only, with its order and the pid of its middle."""
    forkserver = os.getpid()
    middles: set[int] = set()
    while True:
        while len(middles) < STANDING_BY:
            flush()
            try:
                pid = os.fork()
            except OSError as problem:
                _decline(orders, problem)
                continue
            if pid == 0:
                # what is sent to the forkserver's group is not for a worker that is being born; the session stays: the
                # Reaper knows by it whose they are
                os.setpgid(0, 0)
                die_with(forkserver)
                middle = os.getpid()
                return _stand_by(orders), middle
            middles.add(pid)
        pid, status = os.wait()
        if pid in middles:
            middles.remove(pid)
            if status != 0:
                _leave(status)


def _stand_by(orders: socket.socket) -> Order:
    """What a middle process does: takes one order, forks, answers and exits; returns in the worker."""
    order = _take_order(orders)
    if order is None:
        os._exit(HUNG_UP)
    try:
        if len(order.files) < ORDER_FDS:
            raise OSError(errno.EMFILE, f"{len(order.files)} of {ORDER_FDS} files arrived: too many are open")
        pid = os.fork()
    except OSError as problem:
        _answer(orders, order, error=str(problem), errno=problem.errno)
    else:
        if pid == 0:
            return order
        _answer(orders, order, pid=pid)
    os._exit(0)


def _decline(orders: socket.socket, problem: OSError) -> None:
    order = _take_order(orders)
    if order is None:
        _leave(0)
    for fd in order.files:
        os.close(fd)
    _answer(orders, order, error=str(problem), errno=problem.errno)


def _take_order(orders: socket.socket) -> Order | None:
    message, files, _, _ = socket.recv_fds(orders, ORDER_BYTES, ORDER_FDS, socket.MSG_CMSG_CLOEXEC)
    return Order(**json.loads(message), files=files) if message else None


def _answer(orders: socket.socket, order: Order, **fields: object) -> None:
    # a Reaper that is gone takes everything with it
    with contextlib.suppress(OSError):
        orders.send(json.dumps({"id": order.id, **fields}).encode())


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
    flush()
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _threads() -> int | None:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return None


def _leave(middle: int) -> NoReturn:
    """Ends the forkserver because a middle process ended with this wait status."""
    code = os.waitstatus_to_exitcode(middle)
    if code not in (0, HUNG_UP):
        # an order may have died with it: only our end tells the Reaper which
        print(f"snakepit forkserver: a process that was to fork a worker ended with {code}", file=sys.stderr)
    flush()
    # not sys.exit: what the adapter gave to atexit may remove what living workers use
    os._exit(0 if code in (0, HUNG_UP) else EX_SOFTWARE)


if __name__ == "__main__":
    leave(main())
