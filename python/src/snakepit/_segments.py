"""Payloads in shared memory: files of one session's folder, which both sides map and use again.

    host                                             worker
     │ writes h1 ── Call 1, shared {h1} ──────────▶  │ maps it, decodes out of it
     │ h1 may be written again ◀────────── Free {h1} │ when nothing looks into it any more
     │ reads w1 ◀────── Done 1, shared {w1} ──────── │ writes w1
     │ ── Free {w1} ──────────────────────────────▶  │ w1 may be written again

The folder belongs to the host, who removes it with the process and, had it died, at its next start. A payload that
finds no room travels in its frame.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from snakepit._pieces import Encoded, Pieces

STEP_BYTES = 64 * 1024  # of capacities: payloads of about the same size share segments
STEPS = 8  # of what a large payload has; at most so much less of its segment is left empty


class BadSegment(ValueError):
    """The host names a segment that is not there, is too short or in use."""


def _references(mappings: dict[int, mmap.mmap], segment: int) -> int:
    return sys.getrefcount(mappings[segment])


UNSEEN = _references({0: mmap.mmap(-1, 1)}, 0)  # of a mapping that nothing looks into: every buffer of it adds one


class Received:
    """The host's segments, mapped to be read. `free` is told of each that nothing looks into any more.

    What a payload was decoded to may look into its segment for as long as it likes, an array for example: the host
    writes there again only after the last of it is gone.
    """

    def __init__(self, folder: str, free: Callable[[int], None]) -> None:
        self._folder = folder
        self._free = free
        self._lock = threading.Lock()
        self._mappings: dict[int, mmap.mmap] = {}
        self._lent: set[int] = set()

    def view(self, segment: int, length: int) -> memoryview:
        """The payload, read-only; raises BadSegment."""
        with self._lock:
            if segment in self._lent:
                raise BadSegment(f"segment h{segment} holds a payload that is still in use")
            mapping = self._mappings.get(segment)
            if mapping is None or len(mapping) < length:
                mapping = self._mappings[segment] = self._map(segment, length)
            self._lent.add(segment)
            return memoryview(mapping)[:length]

    def collect(self) -> None:
        """Tells of those that nothing looks into any more."""
        if not self._lent:
            return
        with self._lock:
            unseen = [segment for segment in self._lent if _references(self._mappings, segment) == UNSEEN]
            self._lent.difference_update(unseen)
        for segment in unseen:
            self._free(segment)

    def _map(self, segment: int, length: int) -> mmap.mmap:
        for known in self._mappings.keys() - self._lent:
            if not os.path.exists(self._path(known)):
                del self._mappings[known]  # the host has made room
        try:
            file = os.open(self._path(segment), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as problem:
            raise BadSegment(f"segment h{segment} cannot be opened: {problem.strerror}") from None
        try:
            size = os.fstat(file).st_size
            if not 0 < length <= size:
                raise BadSegment(f"segment h{segment} has {size} bytes, and a payload in it {length}")
            return mmap.mmap(file, size, prot=mmap.PROT_READ)
        except OSError as problem:
            raise BadSegment(f"segment h{segment} cannot be mapped: {problem.strerror}") from None
        finally:
            os.close(file)

    def _path(self, segment: int) -> str:
        return f"{self._folder}/h{segment}"


@dataclass(slots=True, eq=False)
class _Segment:
    number: int
    capacity: int
    mapping: mmap.mmap
    free: bool = False


class Written:
    """The worker's own segments, at most `limit` bytes together; methods may be called from any thread."""

    def __init__(self, folder: str, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._segments: dict[int, _Segment] = {}
        self._total = 0
        self._number = 0
        self._closed = False

    def write(self, payload: Encoded) -> int | None:
        """Puts a payload into a segment and returns its number, None when there is no room."""
        with self._lock:
            segment = self._claim(len(payload))
        if segment is None:
            return None
        at = 0
        for part in payload.parts if isinstance(payload, Pieces) else (payload,):
            segment.mapping[at : at + len(part)] = part
            at += len(part)
        return segment.number

    def free(self, number: int) -> None:
        """The host has read what is in it; raises BadSegment when there is nothing in it."""
        with self._lock:
            segment = self._segments.get(number)
            if segment is None or segment.free:
                raise BadSegment(f"segment w{number} is free, it is said, and holds no payload")
            segment.free = True

    def close(self) -> None:
        """Nothing is written any more, and nothing of it is left."""
        with self._lock:
            self._closed = True
            for segment in list(self._segments.values()):
                self._drop(segment)

    # -- under the lock --------------------------------------------------------------------------------------------

    def _claim(self, length: int) -> _Segment | None:
        fitting = [segment for segment in self._segments.values() if segment.free and segment.capacity >= length]
        if fitting:
            segment = min(fitting, key=lambda one: one.capacity)
            segment.free = False
            return segment
        capacity = capacity_of(length)
        for segment in [segment for segment in self._segments.values() if segment.free]:
            if self._total + capacity <= self._limit:
                break
            self._drop(segment)
        if self._closed or self._total + capacity > self._limit:
            return None
        try:
            return self._make(capacity)
        except OSError:
            return None  # full, or the folder is gone

    def _make(self, capacity: int) -> _Segment:
        self._number += 1
        path = self._path(self._number)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # all of it now: where memory is short that is an error here, and would be SIGBUS when it is written
            os.posix_fallocate(file, 0, capacity)
            segment = _Segment(self._number, capacity, mmap.mmap(file, capacity))
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(file)
        self._segments[segment.number] = segment
        self._total += capacity
        return segment

    def _drop(self, segment: _Segment) -> None:
        del self._segments[segment.number]
        self._total -= segment.capacity
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(segment.number))

    def _path(self, segment: int) -> str:
        return f"{self._folder}/w{segment}"


def capacity_of(length: int) -> int:
    """What a new segment for a payload of this length holds."""
    step = max(STEP_BYTES, (1 << length.bit_length() - 1) // STEPS)
    return -(-length // step) * step
