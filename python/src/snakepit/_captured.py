"""Lines that tools log and write, each for the call that it came from.

Logging goes through a handler on the root logger. What is written to sys.stdout and sys.stderr still goes where it went
before, to the tail that the host shows when a process ends, and is told beside it.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TextIO

from snakepit._current import running
from snakepit._hub import Hub
from snakepit._record import TEXT_BYTES, Log, Record, text, text_end
from snakepit._rules import Rules
from snakepit._spans import here

BROKEN_SECONDS = 0.5  # a line that has no end by then is told as far as it has come
HIGHEST_LEVEL = 2**32 - 1  # uint32; Python's own end at 50
UNENDED_LINES = 256  # as many calls as a worker runs at once


def _now() -> int:
    return time.monotonic_ns() // 1000


def _told(hub: Hub, said: Log) -> None:
    job = running.get()
    tool = job.tool.name if job is not None and job.tool is not None else ""
    hub.tell(Record(_now(), said, job.id if job is not None else 0, tool))


class Logs(logging.Handler):
    """Tells what is logged; a source of the hub, which sets its level."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        # past what is told of sys.stderr: it is told as what it is
        self._last = logging.StreamHandler(sys.__stderr__)
        self._was = logging.NOTSET
        self._lowered = False

    def configure(self, rules: Rules) -> None:
        root = logging.getLogger()
        if self._lowered:
            root.setLevel(self._was)
            self._lowered = False
        if not rules.log_level:
            root.removeHandler(self)
            return
        self.setLevel(rules.log_level)
        # what the adapter has set up for itself stays; Python's own default would hide what is asked for
        if not [handler for handler in root.handlers if handler is not self] and root.level > rules.log_level:
            self._was, self._lowered = root.level, True
            root.setLevel(rules.log_level)
        root.addHandler(self)

    def due(self) -> float | None:
        return None

    def run(self, now: float) -> None:
        pass

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING and self._is_alone(record):
            self._last.handle(record)  # as Python does where there is no handler
        if not self._hub.wants(f"python.log.{record.name}"):
            return
        try:
            message = text(record.getMessage(), TEXT_BYTES)
            if record.exc_info:
                stack = logging.Formatter().formatException(record.exc_info)
                half = TEXT_BYTES // 2  # the line break is the stack's
                message = f"{text(message, half)}\n{text_end(stack, half - 1)}"
        except Exception:  # of arguments that do not fit the message
            self.handleError(record)
            return
        level = min(max(1, record.levelno), HIGHEST_LEVEL)
        _told(self._hub, Log(text(record.name, TEXT_BYTES), level, message, *here()))

    def _is_alone(self, record: logging.LogRecord) -> bool:
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True


class Output:
    """Tells what is written to sys.stdout and sys.stderr, line by line; a source of the hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._on = False
        self._lock = threading.Lock()
        # what has come of lines without an end, by stream and by call or thread; and where it belongs
        self._unended: dict[tuple[str, int, int], tuple[str, Record]] = {}
        self._due: float | None = None

    def configure(self, rules: Rules) -> None:
        self._on = rules.output
        if self._on:
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, Teed):
                    setattr(sys, name, Teed(stream, name, self))

    def due(self) -> float | None:
        return self._due

    def run(self, now: float) -> None:
        with self._lock:
            unended, self._unended, self._due = self._unended, {}, None
        for rest, record in unended.values():
            self._tell(record, rest)

    def take(self, name: str, written: str) -> None:
        """Some text was written."""
        if not self._on or not written:
            return
        job = running.get()
        call = job.id if job is not None else 0
        tool = job.tool.name if job is not None and job.tool is not None else ""
        key = (name, call, 0 if job is not None else threading.get_ident())
        begun = Record(_now(), Log(name, 0, "", *here()), call, tool)
        head, end, tail = written.partition("\n")
        with self._lock:
            before, record = self._unended.pop(key, ("", begun))
            head = (before + head)[:TEXT_BYTES]
            rest = tail.rpartition("\n")[2] if end else head
            is_new = bool(rest) and self._due is None
            if rest and len(self._unended) < UNENDED_LINES:
                self._unended[key] = rest[:TEXT_BYTES], begun if end else record
                if is_new:
                    self._due = time.monotonic() + BROKEN_SECONDS
        if end:
            self._tell(record, head)
            for line in tail.split("\n")[:-1]:
                self._tell(begun, line)
        if is_new:
            self._hub.stir()

    def _tell(self, record: Record, line: str) -> None:
        said = record.said
        if line and isinstance(said, Log) and self._hub.wants(said.pattern_name):
            self._hub.tell(replace(record, said=replace(said, message=text(line, TEXT_BYTES))))


class Teed:
    """A text stream that tells what is written to it; otherwise it is the stream that it stands for."""

    def __init__(self, stream: TextIO, name: str, output: Output) -> None:
        self._stream = stream
        self._name = name
        self._output = output

    def write(self, written: str) -> int:
        count = self._stream.write(written)
        self._output.take(self._name, written)
        return count

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
