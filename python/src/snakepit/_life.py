"""The life of a worker process in two halves, which a spawned worker lives in one process and a forked one in two.

prepare ─▶ load: gRPC, messages, codecs, the adapter, its catalogue ─┬─▶ serve: start, bind, ready, run, drain, stop
                                                                     │
spawned: all of it in one process                            forked: here
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import importlib
import multiprocessing
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from snakepit._arguments import EX_USAGE
from snakepit._status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snakepit._catalogue import Catalogue
    from snakepit._identity import Identity

EX_SOFTWARE, EX_CONFIG = 70, 78
GOODBYE_SECONDS = 1.0  # for the last results to leave; the host's own grace is longer


def prepare() -> None:
    """What holds for the whole process, before the adapter can see it."""
    faulthandler.enable()
    multiprocessing.set_start_method("spawn")
    # a terminal's Ctrl-C is for the host; a handler, unlike SIG_IGN, is not inherited by what a tool starts
    signal.signal(signal.SIGINT, lambda *_: None)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


def read_token() -> str:
    """The only line of stdin, which is empty afterwards; ends the process with 64 when there is none."""
    line = b""
    # not sys.stdin: in a forked worker its buffer is the forkserver's
    while not line.endswith(b"\n") and (part := os.read(0, select.PIPE_BUF)):
        line += part
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    token = line.decode().strip()
    if not token:
        print("snakepit worker: no token on stdin; the host writes it as the first line", file=sys.stderr)
        sys.exit(EX_USAGE)
    return token


def load(adapter: str, path: list[str], status: Status) -> Catalogue:
    """Everything that is the same in every worker of a pool, imported and built."""
    # a requirement of ours that is missing is as final as one of the adapter's
    with status.stage("import", EX_CONFIG):
        importlib.import_module("snakepit._server")  # and all that it imports
        from snakepit._catalogue import Catalogue

        sys.path[:0] = path
        module = importlib.import_module(adapter)
    with status.stage("catalogue", EX_SOFTWARE):
        return Catalogue.of(module)


def serve(
    catalogue: Catalogue,
    token: str,
    socket: str,
    max_payload: int,
    status: Status,
    *,
    identity: Identity,
    concurrency: int,
    allow: Sequence[str],
) -> int:
    """Serves until drained; returns the exit code."""
    from snakepit._adapter import Instances
    from snakepit._captured import Logs, Output
    from snakepit._execution import Executor
    from snakepit._functions import Functions
    from snakepit._hub import hub
    from snakepit._samples import Samples
    from snakepit._server import Server
    from snakepit._visit import Hooks

    hub.sources = [Logs(hub), Output(hub), Samples(hub)]
    hub.open()
    executor = Executor(concurrency, Functions(allow))
    instances = Instances(catalogue.adapters, executor.loop)
    with status.stage("start", EX_SOFTWARE):
        instances.start()
        catalogue.bind(instances)
        executor.hooks = Hooks(catalogue.session_hooks(instances), executor.loop)
    with status.stage("bind", EX_SOFTWARE):
        server = Server(executor, catalogue, token, max_payload, identity.rename)
        server.start(socket)
    signal.signal(signal.SIGTERM, lambda *_: server.drain())
    status.write({"status": "ready", "pid": os.getpid(), "tools": [tool.name for tool in catalogue.tools]})
    executor.run()
    # while the stream is open: the host hears that the worker lives, and has what its last calls said
    executor.end_sessions()
    instances.stop()
    executor.loop.close()
    hub.flush()
    server.stop(GOODBYE_SECONDS)
    return 0


def leave(code: int) -> NoReturn:
    """Ends a worker as the interpreter would, but takes nothing apart.

    To take apart what it shares with other workers would copy all of it first, for 40 ms of processor time: 250 of
    them stop in 1.9 s instead of 6.8.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    flush()
    os._exit(code)


def flush() -> None:
    """Empties the buffers of Python and C: a fork would have two write what they hold, os._exit nobody."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    ctypes.CDLL(None).fflush(None)
