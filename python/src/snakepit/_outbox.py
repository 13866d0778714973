"""What the worker has to say in one session, gathered until a stream can take it and kept until the host has read it.

    reader thread ──┐                          the stream's thread                       gRPC ──▶ host
    main thread  ───┴──▶ said, without a lock ──▶ frames of one response, numbered ──────┤
                                                                                         └── kept until it was read

Everything said while a response was on its way leaves in the next one. Who says something takes no lock and wakes the
stream's thread only when that sleeps: it then comes to its turn when the speaker waits for something, or after
Python's switch interval. So results leave while the main thread runs the next tool, and those of many short calls
leave together. A stream that takes the place of a broken one says again what the host has not read.
"""

from __future__ import annotations

import contextlib
import enum
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from snakepit._errors import describe
from snakepit._pieces import SHARED_BYTES, Encoded, whole
from snakepit._segments import Written
from snakepit._wire import ConnectResponse, Done, Item, PythonException, Shared, WorkerFrame

RESPONSE_BYTES = (
    4 * 1024 * 1024
)  # then the next one begins: the host decodes early, and protobuf's 2 GiB are never near
FRAME_BYTES = 32  # of a frame around its payload, about
UNREAD_BATCHES = 2  # so many a host has on their way: with fewer nobody waits for an acknowledgement
ACKNOWLEDGE_SECONDS = 0.002  # what is said meanwhile takes it along; a host that has more to say waits no longer


class NeverSaid(ValueError):
    """The host says that it has read what was not said, or asks for what it said it has read."""


class Kind(enum.IntEnum):
    """What is said; the last one is no frame."""

    DONE = 0
    STARTED = 1
    ITEM = 2
    FAILED = 3
    WANT = 4
    PONG = 5
    DRAINED = 6
    FREE = 7
    FLUSH = 8


DONE, STARTED, ITEM, FAILED, WANT, PONG, DRAINED, FREE, FLUSH = Kind

Said = tuple[Kind, int, Any]


@dataclass(slots=True, eq=False)
class Writer:
    """How far one stream has come in saying what an outbox holds."""

    next: int
    acknowledged: int
    sleeps: bool = False
    news: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)

    def wake(self) -> None:
        """Once too often does no harm: it looks, and sleeps again."""
        self.sleeps = False
        self.news.put(None)


class Outbox:
    """Frames for one session; methods may be called from any thread, after the end they do nothing.

    Large payloads go into `written`, where there is such.
    """

    def __init__(self, written: Written | None = None) -> None:
        self._written = written
        self._said: deque[Said] = deque()
        # of all below; whoever speaks does without
        self._lock = threading.Lock()
        # invariant: numbered from _first without gaps
        self._kept: deque[ConnectResponse] = deque()
        self._first = 1
        self._read = 0
        self._writer: Writer | None = None
        self._ended = False

    # -- what a call says ------------------------------------------------------------------------------------------

    def started(self, id: int) -> None:
        self._say((STARTED, id, None))

    def item(self, id: int, payload: Encoded) -> None:
        self._say((ITEM, id, self._placed(payload)))

    def want(self, id: int, elements: int) -> None:
        self._say((WANT, id, elements))

    def done(self, id: int, payload: Encoded, micros: int) -> None:
        self._say((DONE, id, (self._placed(payload), micros)))

    def raised(self, id: int, exception: BaseException) -> None:
        described = PythonException()
        describe(exception, described)
        self._say((FAILED, id, ("exception", described)))

    def cancelled(self, id: int, how: str) -> None:
        self._say((FAILED, id, ("cancelled", how)))

    def invalid(self, id: int, issue: str) -> None:
        self._say((FAILED, id, ("invalid", issue)))

    def unknown(self, id: int, issue: str) -> None:
        self._say((FAILED, id, ("unknown", issue)))

    def declined(self, id: int) -> None:
        self._say((FAILED, id, ("declined", True)))

    def too_large(self, id: int, size: int) -> None:
        self._say((FAILED, id, ("too_large", size)))

    # -- what the session says -------------------------------------------------------------------------------------

    def pong(self, id: int) -> None:
        self._say((PONG, id, None))

    def drained(self) -> None:
        self._say((DRAINED, 0, None))

    def free(self, segment: int) -> None:
        """The host may write this segment again."""
        self._say((FREE, segment, None))

    def read(self, batch: int) -> None:
        """Notes the batch; it is acknowledged by whatever is said next, or by `acknowledge`."""
        self._read = batch

    def acknowledge(self) -> None:
        """Sends the acknowledgement even if nothing else is said."""
        if (writer := self._writer) is not None and writer.sleeps:
            writer.wake()

    def acknowledge_in_time(self) -> None:
        """As `acknowledge`, when the host can say nothing more without it."""
        if (
            (writer := self._writer) is not None
            and self._read - writer.acknowledged >= UNREAD_BATCHES
            and writer.sleeps
        ):
            writer.wake()

    def forget(self, read: int) -> None:
        """The host has read the responses up to this one; raises NeverSaid when that cannot be."""
        with self._lock:
            self._forget(read)

    def flush(self, timeout: float) -> None:
        """Waits until gRPC has taken all that was said so far, at most `timeout` seconds, not without a stream."""
        if self._writer is not None:
            taken = threading.Event()
            self._say((FLUSH, 0, taken))
            taken.wait(timeout)

    def end(self) -> None:
        """Lets the writer finish after what was said; says nothing any more."""
        self._ended = True
        self.acknowledge()

    # -- the streams -----------------------------------------------------------------------------------------------

    def attach(self, read: int) -> Writer:
        """A stream takes over, from the response after `read`; raises NeverSaid when that is not kept."""
        with self._lock:
            if read < self._first - 1:
                raise NeverSaid(
                    f"response {read + 1} is asked for; those up to {self._first - 1} were read, it was said"
                )
            self._forget(read)
            before, self._writer = self._writer, Writer(next=read + 1, acknowledged=self._read)
            if before is not None:
                before.wake()
            return self._writer

    def detach(self, writer: Writer) -> None:
        """The stream of this writer takes nothing any more."""
        with self._lock:
            if self._writer is writer:
                self._writer = None
            writer.wake()

    def responses(self, writer: Writer) -> Iterator[ConnectResponse]:
        """What this writer's stream has to say, until it is detached or the outbox has ended."""
        flushes: list[threading.Event] = []
        while True:
            while not self.has_more(writer):
                writer.sleeps = True
                # what was said before it slept did not wake it
                if not self.has_more(writer):
                    writer.news.get()
                writer.sleeps = False
            if not self._has_words(writer):
                writer.sleeps = True
                if not self._has_words(writer):
                    with contextlib.suppress(queue.Empty):
                        writer.news.get(timeout=ACKNOWLEDGE_SECONDS)
                writer.sleeps = False
            with self._lock:
                response = self._next(writer, flushes)
            if response is not None:
                yield response
            for taken in flushes:
                taken.set()
            flushes.clear()
            if response is None and (self._writer is not writer or self._ended):
                return

    def has_more(self, writer: Writer) -> bool:
        """Whether this writer's stream has something to say, or has to end."""
        return self._read > writer.acknowledged or self._has_words(writer)

    def _has_words(self, writer: Writer) -> bool:
        return bool(self._said) or self._last() >= writer.next or self._writer is not writer or self._ended

    # -- under the lock --------------------------------------------------------------------------------------------

    def _forget(self, read: int) -> None:
        if read > self._last():
            raise NeverSaid(f"response {read} was read, it is said; {self._last()} were written")
        while self._first <= read:
            self._kept.popleft()
            self._first += 1

    def _next(self, writer: Writer, flushes: list[threading.Event]) -> ConnectResponse | None:
        if self._writer is not writer:
            return None
        if self._last() < writer.next and self._said:
            response = ConnectResponse(batch=self._last() + 1)
            self._write(response.frames.add, flushes)
            if response.frames:
                self._kept.append(response)
        if self._last() >= writer.next:
            response = self._kept[writer.next - self._first]
            writer.next += 1
        elif self._read > writer.acknowledged and not self._ended:
            response = ConnectResponse()
        else:
            return None
        response.read = writer.acknowledged = self._read
        return response

    def _write(self, add: Callable[[], WorkerFrame], flushes: list[threading.Event]) -> None:
        """Makes frames of what was said. That a call began is left out when its end follows, with nothing between."""
        said = self._said
        begun: dict[int, None] = {}
        room = RESPONSE_BYTES
        while said and room > 0:
            kind, id, value = said.popleft()
            room -= FRAME_BYTES
            if kind is STARTED:
                begun[id] = None
            elif kind is FLUSH:
                flushes.append(value)
            elif kind is DONE:
                begun.pop(id, None)
                done = add().done
                done.id = id
                payload, done.micros = value
                room -= _put(done, payload)
            elif kind is FAILED:
                begun.pop(id, None)
                room -= _fail(add(), id, *value)
            else:
                _tell(begun, add)
                room -= _say_more(add(), kind, id, value)
        _tell(begun, add)

    def _last(self) -> int:
        return self._first + len(self._kept) - 1

    # -- whoever speaks --------------------------------------------------------------------------------------------

    def _placed(self, payload: Encoded) -> bytes | Shared:
        if len(payload) >= SHARED_BYTES and self._written is not None:
            segment = self._written.write(payload)
            if segment is not None:
                return Shared(segment=segment, length=len(payload))
        return whole(payload)

    def _say(self, said: Said) -> None:
        if self._ended:
            return
        self._said.append(said)
        writer = self._writer
        if writer is not None and writer.sleeps:
            writer.wake()


def _tell(begun: dict[int, None], add: Callable[[], WorkerFrame]) -> None:
    for id in begun:
        add().started.id = id
    begun.clear()


def _say_more(frame: WorkerFrame, kind: Kind, id: int, value: Any) -> int:
    """Returns the size of its payload."""
    if kind is ITEM:
        frame.item.id = id
        return _put(frame.item, value)
    if kind is WANT:
        frame.want.id, frame.want.elements = id, value
    elif kind is PONG:
        frame.pong.id = id
    elif kind is FREE:
        frame.free.segments.append(id)
    else:
        frame.drained.SetInParent()
    return 0


def _put(message: Done | Item, payload: bytes | Shared) -> int:
    """Returns how much of the frame it takes."""
    if isinstance(payload, Shared):
        message.shared.CopyFrom(payload)
        return 0
    message.payload = payload
    return len(payload)


def _fail(frame: WorkerFrame, id: int, reason: str, value: Any) -> int:
    """Returns how large it is, when that is more than nothing."""
    failed = frame.failed
    failed.id = id
    if reason == "exception":
        failed.exception.CopyFrom(value)
        return frame.ByteSize()
    if reason == "cancelled":
        failed.cancelled.how = value
    else:
        setattr(failed, reason, value)
    return 0
