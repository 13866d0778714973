"""A worker process: `python -m snakepit.worker --socket PATH --adapter MODULE --name POOL/SLOT --max-payload BYTES
[--concurrency CALLS] [--allow PATTERN …]`.

    guard against a dead parent ─▶ token from stdin ─▶ import the adapter ─▶ collect its tools
      ─▶ start adapter classes ─▶ bind ─▶ ready ─▶ serve ─▶ stop adapter classes

The first line of stdin is the token that a host must show. When the worker serves, or cannot, it writes one JSON line
to the file descriptor SNAKEPIT_STATUS_FD (stdout without one):

    {"status": "ready", "pid": 4711, "tools": ["add", "count"]}
    {"status": "failed", "stage": "import" | "catalogue" | "start" | "bind",
     "exception": {"type", "message", "traceback"}}

SIGTERM drains: the running calls finish, queued ones are declined, and the worker exits 0. Other
exits: 64 wrong arguments, 78 the adapter cannot be imported, 70 anything else before serving.

A worker that `snakepit.forkserver` forked lives the same life, with the import already behind it.
"""

from __future__ import annotations

import argparse
import os

from snakepit._arguments import Arguments
from snakepit._identity import Identity
from snakepit._life import leave, load, prepare, read_token, serve
from snakepit._liveness import die_with
from snakepit._status import Status

MAX_PAYLOAD = 2**32 - 1  # a uint32 in Hello
MOST_CONCURRENCY = 256  # threads in one interpreter; beyond it more workers do more


def main(argv: list[str] | None = None) -> int:
    """Runs a worker until it is drained; returns its exit code."""
    arguments = _arguments(argv)
    parent = os.environ.pop("SNAKEPIT_REAPER_PID", "")
    if parent:
        die_with(int(parent))
    prepare()
    identity = Identity.of_this_process()
    status = Status.inherited()
    token = read_token()
    catalogue = load(arguments.adapter, arguments.path, status)
    return serve(
        catalogue,
        token,
        arguments.socket,
        arguments.max_payload,
        status,
        identity=identity,
        concurrency=arguments.concurrency,
        allow=arguments.allow,
    )


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Arguments("worker", "Serves the tools of one adapter module.")
    parser.add_argument("--socket", required=True, metavar="PATH", help="Unix socket to bind")
    parser.add_argument("--name", required=True, metavar="POOL/SLOT", help="shown in process listings")
    parser.add_argument("--max-payload", required=True, type=_payload_size, metavar="BYTES", help="per frame")
    parser.add_argument("--concurrency", default=1, type=_concurrency, metavar="CALLS", help="that run at once")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="PATTERN", help="of module:function that may be called"
    )
    return parser.parse_args(argv)


def _concurrency(text: str) -> int:
    calls = int(text) if text.isdecimal() else 0
    if not 0 < calls <= MOST_CONCURRENCY:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of calls from 1 to {MOST_CONCURRENCY}")
    return calls


def _payload_size(text: str) -> int:
    size = int(text) if text.isdecimal() else 0
    if not 0 < size <= MAX_PAYLOAD:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes from 1 to {MAX_PAYLOAD}")
    return size


if __name__ == "__main__":
    leave(main())
