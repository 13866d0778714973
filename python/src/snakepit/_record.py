"""What a worker tells of itself and its tools, one record each: bounded when it is made, a message when it is sent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakepit._wire import TelemetryError, TelemetryRecord

MOST_ATTRIBUTES = 32  # of one record, and as many measurements: more belongs into a result
KEY_CHARACTERS = 64
NAME_CHARACTERS = 128
TOOL_BYTES = 256  # of the name that was called: `module:function`
VALUE_BYTES = 1024  # of an attribute: a path or a prompt's beginning, not a document
TEXT_BYTES = 4096  # of a line, a message, a traceback: longer is data

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")

Value = str | float | bool
"""An int is a float here: the wire has one kind of number."""


def is_name(name: object, most: int = NAME_CHARACTERS) -> bool:
    """Whether an event, a span or an attribute may be called that."""
    return isinstance(name, str) and len(name) <= most and _KEY.fullmatch(name) is not None


def text(value: str, most: int) -> str:
    """Its beginning, as UTF-8 can carry it: at most so many bytes, which is the unit that the host counts in, too."""
    cut = value[:most]
    return cut if cut.isascii() else cut.encode("utf-8", "backslashreplace")[:most].decode("utf-8", "ignore")


def text_end(value: str, most: int) -> str:
    """The same of its end."""
    cut = value[-most:]
    return cut if cut.isascii() else cut.encode("utf-8", "backslashreplace")[-most:].decode("utf-8", "ignore")


def attributes_of(given: Mapping[str, object]) -> dict[str, Value]:
    """What of it can be carried; a value that is no scalar as its text."""
    kept: dict[str, Value] = {}
    for key, value in given.items():
        if len(kept) == MOST_ATTRIBUTES:
            break
        if is_name(key, KEY_CHARACTERS) and (carried := _value(value)) is not None:
            kept[key] = carried
    return kept


def measurements_of(given: Mapping[str, object]) -> dict[str, float]:
    """What of it is a finite number."""
    kept: dict[str, float] = {}
    for key, value in given.items():
        if len(kept) == MOST_ATTRIBUTES:
            break
        if is_name(key, KEY_CHARACTERS) and (number := _number(value)) is not None:
            kept[key] = number
    return kept


def _value(value: object) -> Value | None:
    if isinstance(value, str):
        return text(value, VALUE_BYTES)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    try:
        return text(str(value), VALUE_BYTES)
    except Exception:  # of its own making: telemetry must not break the tool
        return None


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except Exception:  # likewise
        return None
    return number if math.isfinite(number) else None


@dataclass(slots=True)
class Event:
    """Something happened, or was measured."""

    name: str
    measurements: Mapping[str, float]

    @property
    def pattern_name(self) -> str:
        return self.name

    def write(self, into: TelemetryRecord) -> None:
        into.event.name = self.name
        for key, value in self.measurements.items():
            into.event.measurements.add(key=key, value=value)


@dataclass(slots=True)
class Raised:
    """What a span ended with."""

    type: str
    message: str
    stack: str

    def write(self, into: TelemetryError) -> None:
        into.type, into.message, into.stack = self.type, self.message, self.stack


@dataclass(slots=True)
class Span:
    """Something took time."""

    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    server: bool
    took_micros: int = 0
    error: Raised | None = None

    @property
    def pattern_name(self) -> str:
        return self.name

    def write(self, into: TelemetryRecord) -> None:
        span = into.span
        span.name, span.server, span.took_micros = self.name, self.server, self.took_micros
        span.trace_id, span.span_id, span.parent_id = self.trace_id, self.span_id, self.parent_id
        if self.error is not None:
            span.error.type, span.error.message, span.error.stack = (
                self.error.type,
                self.error.message,
                self.error.stack,
            )


@dataclass(slots=True)
class Log:
    """A line that was logged, or written: then its level is 0, and its logger the stream."""

    logger: str
    level: int
    message: str
    trace_id: bytes = b""
    span_id: bytes = b""

    @property
    def pattern_name(self) -> str:
        return f"python.log.{self.logger}" if self.level else f"python.output.{self.logger}"

    def write(self, into: TelemetryRecord) -> None:
        log = into.log
        log.logger, log.level, log.message = self.logger, self.level, self.message
        log.trace_id, log.span_id = self.trace_id, self.span_id


@dataclass(slots=True)
class Record:
    """One record; `at` in microseconds of the monotonic clock, `call` 0 when it belongs to none."""

    at: int
    said: Event | Span | Log
    call: int = 0
    tool: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)

    def write(self, into: TelemetryRecord) -> None:
        into.at_micros, into.call, into.tool = self.at, self.call, text(self.tool, TOOL_BYTES)
        for key, value in self.attributes.items():
            attribute = into.attributes.add(key=key)
            if isinstance(value, bool):
                attribute.flag = value
            elif isinstance(value, str):
                attribute.text = value
            else:
                attribute.number = value
        self.said.write(into)
