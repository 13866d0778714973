"""A worker process: `python -m snakepit.worker --socket PATH --adapter MODULE --name POOL/SLOT --max-payload BYTES`.

    guard against a dead parent ─▶ token from stdin ─▶ import the adapter ─▶ collect its tools ─▶ bind ─▶ ready ─▶ serve

The first line of stdin is the token that a host must show. When the worker serves, or cannot, it writes one JSON line
to the file descriptor SNAKEPIT_STATUS_FD (stdout without one):

    {"status": "ready", "pid": 4711, "tools": ["add", "count"]}
    {"status": "failed", "stage": "import" | "catalogue" | "bind", "exception": {"type", "message", "traceback"}}

SIGTERM drains: the running call finishes, queued ones are declined, and the worker exits 0. Other
exits: 64 wrong arguments, 78 the adapter cannot be imported, 70 anything else before serving.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn

from snakepit._liveness import die_with
from snakepit._qualified import qualified_name

EX_USAGE, EX_SOFTWARE, EX_CONFIG = 64, 70, 78
TRACEBACK_CHARACTERS = 8 * 1024  # the end of it, where the cause is; a status line is at most 64 KiB as JSON
MESSAGE_CHARACTERS = 2 * 1024
GOODBYE_SECONDS = 1.0  # for the last results to leave; the host's own grace is longer
MAX_PAYLOAD = 2**32 - 1  # a uint32 in Hello


class Arguments(argparse.ArgumentParser):
    """Ends with 64, as sysexits has it, instead of argparse's 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"snakepit worker: {message}\n")


def main(argv: list[str] | None = None) -> int:
    """Runs a worker until it is drained; returns its exit code."""
    arguments = _arguments(argv)
    parent = os.environ.pop("SNAKEPIT_REAPER_PID", "")
    if parent:
        die_with(int(parent))
    _prepare_process()
    status = Status.inherited()
    token = _read_token()

    # gRPC reads this when it is imported: a tool that forks must not meet gRPC's handlers
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    from snakepit._catalogue import Catalogue
    from snakepit._execution import Executor
    from snakepit._server import Server

    with status.stage("import", EX_CONFIG):
        sys.path[:0] = arguments.path
        adapter = importlib.import_module(arguments.adapter)
    with status.stage("catalogue", EX_SOFTWARE):
        catalogue = Catalogue.of(adapter)
    with status.stage("bind", EX_SOFTWARE):
        executor = Executor()
        server = Server(executor, catalogue, token, arguments.max_payload)
        server.start(arguments.socket)
    signal.signal(signal.SIGTERM, lambda *_: executor.drain())
    status.write({"status": "ready", "pid": os.getpid(), "tools": [tool.name for tool in catalogue.tools]})
    executor.run()
    server.stop(GOODBYE_SECONDS)
    return 0


class Status:
    """The one line by which a worker says that it serves, or why it cannot."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def inherited(cls) -> Status:
        fd = os.environ.pop("SNAKEPIT_STATUS_FD", "")
        if not fd:
            return cls(sys.stdout.fileno())
        os.set_inheritable(int(fd), False)
        return cls(int(fd))

    def write(self, status: dict[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._fd, json.dumps(status).encode() + b"\n")

    @contextlib.contextmanager
    def stage(self, name: str, code: int) -> Iterator[None]:
        """Whatever is raised inside is reported as a failure of this stage and ends the worker with `code`."""
        try:
            yield
        except BaseException as raised:
            traceback.print_exc()
            self.write({"status": "failed", "stage": name, "exception": _described(raised)})
            # not sys.exit: an adapter that failed half-way may have left threads that never end
            sys.stderr.flush()
            os._exit(code)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Arguments(prog="python -m snakepit.worker", description="Serves the tools of one adapter module.")
    parser.add_argument("--socket", required=True, metavar="PATH", help="Unix socket to bind")
    parser.add_argument("--adapter", required=True, metavar="MODULE", help="module whose tools are served")
    parser.add_argument("--name", required=True, metavar="POOL/SLOT", help="shown in process listings")
    parser.add_argument("--max-payload", required=True, type=_payload_size, metavar="BYTES", help="per frame")
    parser.add_argument("--path", action="append", default=[], metavar="DIR", help="where the adapter may be found")
    return parser.parse_args(argv)


def _payload_size(text: str) -> int:
    size = int(text) if text.isdecimal() else 0
    if not 0 < size <= MAX_PAYLOAD:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes from 1 to {MAX_PAYLOAD}")
    return size


def _prepare_process() -> None:
    faulthandler.enable()
    multiprocessing.set_start_method("spawn")
    # a terminal's Ctrl-C is for the host; a handler, unlike SIG_IGN, is not inherited by what a tool starts
    signal.signal(signal.SIGINT, lambda *_: None)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


def _read_token() -> str:
    token = sys.stdin.readline().strip()
    if not token:
        sys.exit(_complain("no token on stdin; the host writes it as the first line", EX_USAGE))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return token


def _complain(message: str, code: int) -> int:
    print(f"snakepit worker: {message}", file=sys.stderr)
    return code


def _described(raised: BaseException) -> dict[str, str]:
    text = "".join(traceback.format_exception(raised))
    return {
        "type": qualified_name(type(raised)),
        "message": str(raised)[:MESSAGE_CHARACTERS],
        "traceback": text[-TRACEBACK_CHARACTERS:],
    }


if __name__ == "__main__":
    sys.exit(main())
