"""What /proc tells others of this process: the mark in its environment and its command line, rewritten in place.

The kernel shows the bytes that exec laid on the stack, whatever the process has done since. A forked worker finds the
forkserver's there, and writes its own over them:

    arg_start ▼                          ▼ arg_end    env_start ▼                                          ▼ env_end
    python -m snakepit.forkserver --adapter…          PATH=… SNAKEPIT_WORKER=default#fork␠␠␠␠␠␠␠␠␠ SNAKEPIT_RUN=…
    snakepit.worker default/3                         PATH=… SNAKEPIT_WORKER=default/3#0           SNAKEPIT_RUN=…

The mark is how the Reaper knows whose a process is that left the worker's session without exec. The Reaper gives the
forkserver a mark padded with spaces, so that there is room.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import NamedTuple

MARK = "SNAKEPIT_WORKER"
_ARG_START = 48 - 3  # fields 48 to 51 of proc_pid_stat(5), which start to count with 3 behind the name


class Block(NamedTuple):
    """Bytes of this process, at `address`."""

    address: int
    size: int

    def write(self, text: str) -> None:
        """Fills the block with `text`, cut to leave a last NUL, and NULs."""
        data = os.fsencode(text)[: max(self.size - 1, 0)]
        ctypes.memmove(self.address, data.ljust(self.size, b"\0"), self.size)


class Identity(NamedTuple):
    """Where this process shows who it is; a field is None where that cannot be found."""

    title: Block | None
    mark: Block | None

    @classmethod
    def of_this_process(cls) -> Identity:
        """Must be called before anything else can have moved the blocks: setproctitle, for one, does."""
        with contextlib.suppress(OSError):
            with open("/proc/self/stat", "rb") as stat:
                fields = stat.read().rpartition(b") ")[2].split()
            arg_start, arg_end, env_start, env_end = map(int, fields[_ARG_START : _ARG_START + 4])
            if arg_start and env_start:
                mark = _find_mark(env_start, ctypes.string_at(env_start, env_end - env_start))
                return cls(Block(arg_start, arg_end - arg_start), mark)
        return cls(None, None)

    def become(self, id: str, name: str) -> None:
        """Shows a worker: `name` in listings, `id` in the mark, which programs that it starts inherit."""
        self.rename(name)
        if self.mark is not None:
            self.mark.write(id)
        os.environ[MARK] = id

    def rename(self, name: str) -> None:
        """Shows another name in listings; the mark stays, for the Reaper knows the process by it."""
        if self.title is not None:
            self.title.write(f"snakepit.worker {name}")


def _find_mark(start: int, environment: bytes) -> Block | None:
    key = os.fsencode(f"{MARK}=")
    at = 0
    for entry in environment.split(b"\0"):
        if entry.startswith(key):
            return Block(start + at + len(key), len(entry) + 1 - len(key))
        at += len(entry) + 1
    return None
