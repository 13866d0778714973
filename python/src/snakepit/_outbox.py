"""What the worker has to say on one stream, gathered until the stream can take it.

    reader thread ──┐                                        ┌── `for response in outbox`
    main thread  ───┴──▶ frames of the response being built ─┴──▶ gRPC's thread ──▶ host

Everything said while a response was on its way leaves in the next one. The writer is a thread of its own, so results
leave while the main thread runs the next tool.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from snakepit._errors import describe
from snakepit._wire import ConnectResponse, PythonException, Refused, Welcome, WorkerFrame

RESPONSE_BYTES = 4 * 1024 * 1024  # the host starts decoding early, and protobuf's 2 GiB are never near
FRAME_BYTES = 32  # of a frame around its payload, about


class Outbox:
    """Frames for one stream; methods may be called from any thread, after the end they do nothing."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # invariant: all but the last response are full
        self._responses: deque[ConnectResponse] = deque()
        self._bytes = 0
        self._read = 0
        self._acknowledged = 0
        self._said = 0
        self._written = 0
        self._ended = False

    def started(self, id: int) -> None:
        with self._changed:
            self._frame().started.id = id

    def item(self, id: int, payload: bytes) -> None:
        with self._changed:
            item = self._frame(len(payload)).item
            item.id, item.payload = id, payload

    def done(self, id: int, payload: bytes) -> None:
        with self._changed:
            done = self._frame(len(payload)).done
            done.id, done.payload = id, payload

    def raised(self, id: int, exception: BaseException) -> None:
        described = PythonException()
        describe(exception, described)
        with self._changed:
            failed = self._frame(described.ByteSize()).failed
            failed.id = id
            failed.exception.CopyFrom(described)

    def cancelled(self, id: int, how: str) -> None:
        with self._changed:
            failed = self._frame().failed
            failed.id, failed.cancelled.how = id, how

    def invalid(self, id: int, issue: str) -> None:
        with self._changed:
            failed = self._frame().failed
            failed.id, failed.invalid = id, issue

    def unknown(self, id: int, why: str) -> None:
        with self._changed:
            failed = self._frame().failed
            failed.id, failed.unknown = id, why

    def declined(self, id: int) -> None:
        with self._changed:
            failed = self._frame().failed
            failed.id, failed.declined = id, True

    def too_large(self, id: int, size: int) -> None:
        with self._changed:
            failed = self._frame().failed
            failed.id, failed.too_large = id, size

    def want(self, id: int, elements: int) -> None:
        with self._changed:
            want = self._frame().want
            want.id, want.elements = id, elements

    def pong(self, id: int) -> None:
        with self._changed:
            self._frame().pong.id = id

    def drained(self) -> None:
        with self._changed:
            self._frame().drained.SetInParent()

    def welcome(self, welcome: Welcome) -> None:
        with self._changed:
            self._frame().welcome.CopyFrom(welcome)

    def refused(self, refused: Refused) -> None:
        with self._changed:
            self._frame().refused.CopyFrom(refused)

    def read(self, batch: int) -> None:
        """Notes the batch; it is acknowledged by whatever is said next, or by `acknowledge`."""
        with self._changed:
            self._read = batch

    def acknowledge(self) -> None:
        """Sends the acknowledgement even if nothing else is said."""
        with self._changed:
            self._changed.notify_all()

    def flush(self, timeout: float) -> None:
        """Waits until gRPC has taken all that was said so far, at most `timeout` seconds."""
        with self._changed:
            said = self._said
            self._changed.wait_for(lambda: self._written >= said or self._ended, timeout)

    def end(self) -> None:
        """Lets the writer finish after what was said; says nothing any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[ConnectResponse]:
        while (response := self._take()) is not None:
            yield response
            with self._changed:
                self._written += len(response.frames)
                self._changed.notify_all()

    def _frame(self, size: int = 0) -> WorkerFrame:
        if self._ended:
            return WorkerFrame()
        if not self._responses or (self._bytes and self._bytes + size > RESPONSE_BYTES):
            self._responses.append(ConnectResponse())
            self._bytes = 0
        self._bytes += size + FRAME_BYTES
        self._said += 1
        self._changed.notify_all()
        return self._responses[-1].frames.add()

    def _take(self) -> ConnectResponse | None:
        with self._changed:
            self._changed.wait_for(lambda: self._responses or self._read > self._acknowledged or self._ended)
            if not self._responses and (self._ended or self._read == self._acknowledged):
                return None
            response = self._responses.popleft() if self._responses else ConnectResponse()
            response.read = self._acknowledged = self._read
            return response
