"""What the worker has to say in one session, gathered until a stream can take it and kept until the host has read it.

    reader thread ──┐                                     ┌── taken: a number is on it ──▶ gRPC's thread ──▶ host
    main thread  ───┴──▶ frames of the last response ─────┤                                                  │
                                                          └── kept ◀──────────── forgotten when it was read ─┘

Everything said while a response was on its way leaves in the next one. The writer is a thread of its own, so results
leave while the main thread runs the next tool. A stream that takes the place of a broken one says again what the host
has not read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from snakepit._errors import describe
from snakepit._wire import ConnectResponse, PythonException, WorkerFrame

RESPONSE_BYTES = 4 * 1024 * 1024  # the host starts decoding early, and protobuf's 2 GiB are never near
FRAME_BYTES = 32  # of a frame around its payload, about


class NeverSaid(ValueError):
    """The host says that it has read what was not said, or asks for what it said it has read."""


@dataclass(slots=True, eq=False)
class Writer:
    """How far one stream has come in saying what an outbox holds."""

    next: int
    acknowledged: int


class Outbox:
    """Frames for one session; methods may be called from any thread, after the end they do nothing."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # invariant: numbered from _first without gaps; all but the last are full or were taken
        self._kept: deque[ConnectResponse] = deque()
        self._first = 1
        self._taken = 0
        self._written = 0
        self._bytes = 0
        # calls that began, which no response tells yet; never told when their end is said before
        self._begun: dict[int, None] = {}
        self._read = 0
        self._writer: Writer | None = None
        self._ended = False

    # -- what a call says ------------------------------------------------------------------------------------------

    def started(self, id: int) -> None:
        with self._changed:
            self._begun[id] = None
            self._changed.notify_all()

    def item(self, id: int, payload: bytes) -> None:
        with self._changed:
            self._tell_begun()
            item = self._frame(len(payload)).item
            item.id, item.payload = id, payload

    def want(self, id: int, elements: int) -> None:
        with self._changed:
            self._tell_begun()
            want = self._frame().want
            want.id, want.elements = id, elements

    def done(self, id: int, payload: bytes, micros: int) -> None:
        with self._changed:
            self._begun.pop(id, None)
            done = self._frame(len(payload)).done
            done.id, done.payload, done.micros = id, payload, micros

    def raised(self, id: int, exception: BaseException) -> None:
        described = PythonException()
        describe(exception, described)
        with self._changed:
            failed = self._failed(id, described.ByteSize()).failed
            failed.exception.CopyFrom(described)

    def cancelled(self, id: int, how: str) -> None:
        with self._changed:
            self._failed(id).failed.cancelled.how = how

    def invalid(self, id: int, issue: str) -> None:
        with self._changed:
            self._failed(id, len(issue)).failed.invalid = issue

    def unknown(self, id: int, issue: str) -> None:
        with self._changed:
            self._failed(id, len(issue)).failed.unknown = issue

    def declined(self, id: int) -> None:
        with self._changed:
            self._failed(id).failed.declined = True

    def too_large(self, id: int, size: int) -> None:
        with self._changed:
            self._failed(id).failed.too_large = size

    # -- what the session says -------------------------------------------------------------------------------------

    def pong(self, id: int) -> None:
        with self._changed:
            self._frame().pong.id = id

    def drained(self) -> None:
        with self._changed:
            self._tell_begun()
            self._frame().drained.SetInParent()

    def read(self, batch: int) -> None:
        """Notes the batch; it is acknowledged by whatever is said next, or by `acknowledge`."""
        with self._changed:
            self._read = batch

    def acknowledge(self) -> None:
        """Sends the acknowledgement even if nothing else is said."""
        with self._changed:
            self._changed.notify_all()

    def forget(self, read: int) -> None:
        """The host has read the responses up to this one; raises NeverSaid when that cannot be."""
        with self._changed:
            if read > self._taken:
                raise NeverSaid(f"response {read} was read, it is said; {self._taken} were written")
            while self._first <= read:
                self._kept.popleft()
                self._first += 1

    def flush(self, timeout: float) -> None:
        """Waits until gRPC has taken all that was said so far, at most `timeout` seconds, not without a stream."""
        with self._changed:
            self._tell_begun()
            last = self._last()
            self._changed.wait_for(lambda: self._written >= last or self._writer is None or self._ended, timeout)

    def end(self) -> None:
        """Lets the writer finish after what was said; says nothing any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # -- the streams -----------------------------------------------------------------------------------------------

    def attach(self, read: int) -> Writer:
        """A stream takes over, from the response after `read`; raises NeverSaid when that is not kept."""
        with self._changed:
            if read < self._first - 1:
                raise NeverSaid(
                    f"response {read + 1} is asked for; those up to {self._first - 1} were read, it was said"
                )
            self.forget(read)
            self._writer = Writer(next=read + 1, acknowledged=self._read)
            self._changed.notify_all()
            return self._writer

    def detach(self, writer: Writer) -> None:
        """The stream of this writer takes nothing any more."""
        with self._changed:
            if self._writer is writer:
                self._writer = None
                self._changed.notify_all()

    def responses(self, writer: Writer) -> Iterator[ConnectResponse]:
        """What this writer's stream has to say, until it is detached or the outbox has ended."""
        while (response := self._take(writer)) is not None:
            yield response
            with self._changed:
                self._written = max(self._written, response.batch)
                self._changed.notify_all()

    def has_more(self, writer: Writer) -> bool:
        """Whether this writer's stream has something to say, or has to end."""
        return (
            self._writer is not writer
            or bool(self._begun)
            or self._last() >= writer.next
            or self._read > writer.acknowledged
            or self._ended
        )

    def _take(self, writer: Writer) -> ConnectResponse | None:
        with self._changed:
            self._changed.wait_for(lambda: self.has_more(writer))
            if self._writer is not writer:
                return None
            self._tell_begun()
            if self._last() >= writer.next:
                response = self._kept[writer.next - self._first]
                self._taken = max(self._taken, writer.next)
                writer.next += 1
            elif self._read > writer.acknowledged and not self._ended:
                response = ConnectResponse()
            else:
                return None
            response.read = writer.acknowledged = self._read
            return response

    # -- frames ----------------------------------------------------------------------------------------------------

    def _last(self) -> int:
        return self._first + len(self._kept) - 1

    def _tell_begun(self) -> None:
        if self._begun:
            begun, self._begun = self._begun, {}
            for id in begun:
                self._frame().started.id = id

    def _failed(self, id: int, size: int = 0) -> WorkerFrame:
        self._begun.pop(id, None)
        frame = self._frame(size)
        frame.failed.id = id
        return frame

    def _frame(self, size: int = 0) -> WorkerFrame:
        if self._ended:
            return WorkerFrame()
        if self._taken == self._last() or (self._bytes and self._bytes + size > RESPONSE_BYTES):
            self._kept.append(ConnectResponse(batch=self._last() + 1))
            self._bytes = 0
        self._bytes += size + FRAME_BYTES
        self._changed.notify_all()
        return self._kept[-1].frames.add()
