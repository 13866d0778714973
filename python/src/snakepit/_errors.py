"""A Python exception as a message: what a person needs of it, and never more than fits."""

from __future__ import annotations

import itertools
import linecache
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from snakepit._qualified import qualified_name
from snakepit._wire import Frame, PythonException

MESSAGE_BYTES = 16 * 1024  # a message someone reads; data belongs in a result
SOURCE_BYTES = 512  # one line of code, not a minified file
FRAMES = 64  # of a deep recursion the first and the last half tell the story
DEPTH = 8  # of causes and of nested groups
MEMBERS = 16  # of one exception group
NOTES = 16
EXCEPTIONS = 64  # in one message, however groups and causes branch

OWN_FILES = frozenset(
    str(Path(__file__).with_name(name))
    for name in ("_perform.py", "_loop.py", "_functions.py", "_payload.py", "_tool.py")
)


def describe(raised: BaseException, into: PythonException) -> None:
    """Writes `raised` with its frames, notes, causes and members into `into`, cut to the limits of this file.

    Never fails because of the exception: one whose `str` or notes cannot be had says so in its message.
    """
    _describe(raised, into, DEPTH, itertools.count(1))


def _describe(raised: BaseException, into: PythonException, depth: int, counter: Iterator[int]) -> None:
    kind = type(raised)
    into.type = _cut(qualified_name(kind), SOURCE_BYTES)
    into.bases.extend(_cut(qualified_name(base), SOURCE_BYTES) for base in kind.__mro__[1:-1][:DEPTH])
    into.message = _message(raised)
    into.notes.extend(_notes(raised))
    into.frames.extend(_frames(raised))
    if depth == 1:
        return
    cause, implicit = _cause(raised)
    if cause is not None and next(counter) < EXCEPTIONS:
        into.implicit = implicit
        _describe(cause, into.cause, depth - 1, counter)
    if isinstance(raised, BaseExceptionGroup):
        for member in raised.exceptions[:MEMBERS]:
            if next(counter) < EXCEPTIONS:
                _describe(member, into.members.add(), depth - 1, counter)


def _cause(raised: BaseException) -> tuple[BaseException | None, bool]:
    if raised.__cause__ is not None:
        return raised.__cause__, False
    return (None, False) if raised.__suppress_context__ else (raised.__context__, True)


def _message(raised: BaseException) -> str:
    try:
        return _cut(str(raised), MESSAGE_BYTES)
    except BaseException as problem:
        return f"(no message: str() of the exception raised {qualified_name(type(problem))})"


def _notes(raised: BaseException) -> list[str]:
    notes = getattr(raised, "__notes__", None)
    if not isinstance(notes, list):
        return []
    return [_cut(note, MESSAGE_BYTES) for note in notes[:NOTES] if isinstance(note, str)]


def _frames(raised: BaseException) -> list[Frame]:
    walked = list(
        itertools.dropwhile(
            lambda entry: entry[0].f_code.co_filename in OWN_FILES, traceback.walk_tb(raised.__traceback__)
        )
    )
    if len(walked) > FRAMES:
        walked = walked[: FRAMES // 2] + walked[-FRAMES // 2 :]
    return [_frame(frame, line) for frame, line in walked]


def _frame(frame: FrameType, line: int) -> Frame:
    code = frame.f_code
    return Frame(
        file=_cut(code.co_filename, SOURCE_BYTES),
        line=max(line or 0, 0),
        function=_cut(code.co_qualname, SOURCE_BYTES),
        source=_cut(linecache.getline(code.co_filename, line or 0, frame.f_globals).strip(), SOURCE_BYTES),
    )


def _cut(text: str, limit: int) -> str:
    # a str may hold lone surrogates, a protobuf string may not
    encoded = text[: limit + 1].encode("utf-8", "backslashreplace")
    if len(encoded) <= limit:
        return encoded.decode()
    mark = "… (cut)"
    return encoded[: limit - len(mark.encode())].decode("utf-8", "ignore") + mark
