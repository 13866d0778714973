"""What workers write: lines of output and of status, on their way to the host."""

from __future__ import annotations

import json
import os
import selectors
from collections.abc import Callable
from typing import IO

from snakepit_reaper.events import Events
from snakepit_reaper.lines import Lines
from snakepit_reaper.worker import Pipe, Worker

LINE_BYTES = 8 * 1024  # a longer output line arrives in pieces of this size
STATUS_BYTES = 64 * 1024  # a status line holds at most one cut traceback
STATUS_LINES = 64  # status is never dropped, so a worker may only write so much of it
READ_BYTES = 64 * 1024  # the capacity of a pipe


def no_json(constant: str) -> None:
    """Python's json reads NaN and Infinity; the host's does not."""
    raise ValueError(f"{constant} is no JSON")


class Relay:
    """Reads the pipes of workers as they fill, and tells the host."""

    def __init__(self, selector: selectors.BaseSelector, events: Events) -> None:
        self._selector = selector
        self._events = events

    def attach(self, worker: Worker, stdout: IO[bytes], stderr: IO[bytes], status: IO[bytes]) -> None:
        self._open(worker, stdout, LINE_BYTES, self._output(worker, "stdout"))
        self._open(worker, stderr, LINE_BYTES, self._output(worker, "stderr"))
        self._open(worker, status, STATUS_BYTES, lambda line: self._status(worker, line))

    def read_last(self, worker: Worker) -> None:
        """Takes what its pipes hold now."""
        for pipe in list(worker.pipes):
            # once is what a pipe holds; more could be an heir of the worker that never stops writing
            self._read(worker, pipe)

    def close(self, worker: Worker) -> None:
        """Lets go of its pipes, with what they hold."""
        self.read_last(worker)
        for pipe in list(worker.pipes):
            self._close(worker, pipe)

    def _open(self, worker: Worker, file: IO[bytes], limit: int, accept: Callable[[bytes], None]) -> None:
        pipe = Pipe(file, Lines(limit), accept)
        os.set_blocking(file.fileno(), False)
        worker.pipes.append(pipe)
        self._selector.register(file, selectors.EVENT_READ, lambda: self._read(worker, pipe))

    def _read(self, worker: Worker, pipe: Pipe) -> None:
        try:
            data = os.read(pipe.file.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        for line in pipe.lines.feed(data):
            pipe.accept(line)
        if not data:
            self._close(worker, pipe)

    def _close(self, worker: Worker, pipe: Pipe) -> None:
        for line in pipe.lines.rest():
            pipe.accept(line)
        self._selector.unregister(pipe.file)
        pipe.file.close()
        worker.pipes.remove(pipe)

    def _output(self, worker: Worker, stream: str) -> Callable[[bytes], None]:
        return lambda line: self._events.emit(
            "output", id=worker.id, stream=stream, text=line.decode("utf-8", "replace").rstrip("\r")
        )

    def _status(self, worker: Worker, line: bytes) -> None:
        worker.status_lines += 1
        if worker.status_lines > STATUS_LINES:
            return
        try:
            self._events.emit("status", id=worker.id, status=json.loads(line, parse_constant=no_json))
        except (ValueError, RecursionError) as problem:
            self._events.emit("error", message=f"worker {worker.id!r} wrote a status that is no JSON line: {problem}")
