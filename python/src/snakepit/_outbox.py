"""What the worker has to say in one session, gathered until it is pushed and kept until the host has read it.

    whoever reads ──┐                        push: by whoever is done for now
    tools' threads ─┴──▶ said, without a lock ──▶ frames of one response, numbered ──▶ the stream, if there is one
                                                            └── kept until it was read

Who says something pushes it when nothing else is about to be said: then results leave in the thread that has them,
without waking another. A thread that may be held up first asks for a push `later`. A stream that takes the place of a
broken one is told again what the host has not read.
"""

from __future__ import annotations

import contextlib
import enum
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from snakepit._errors import describe
from snakepit._pieces import SHARED_BYTES, Encoded, whole
from snakepit._segments import Written
from snakepit._wire import ConnectResponse, Done, HostCall, Item, PythonException, Shared, Telemetry, WorkerFrame

if TYPE_CHECKING:
    from snakepit._host import Asked

RESPONSE_BYTES = (
    4 * 1024 * 1024
)  # then the next one begins: the host decodes early, and protobuf's 2 GiB are never near
FRAME_BYTES = 32  # of a frame around its payload, about
UNREAD_BATCHES = 2  # so many a host has on their way: with fewer nobody waits for an acknowledgement
LATER_SECONDS = 0.002  # what is said, or read, waits no longer for more to be said
QUIET = 10  # so many times nothing was to be pushed later: then whoever does it sleeps until it is asked again


class NeverSaid(ValueError):
    """The host says that it has read what was not said, or asks for what it said it has read."""


class Kind(enum.IntEnum):
    """What is said."""

    DONE = 0
    STARTED = 1
    ITEM = 2
    FAILED = 3
    WANT = 4
    PONG = 5
    DRAINED = 6
    FREE = 7
    HOST_CALL = 8
    HOST_CALL_CANCEL = 9
    SESSION_ENDED = 10
    TELEMETRY = 11


DONE, STARTED, ITEM, FAILED, WANT, PONG, DRAINED, FREE, HOST_CALL, HOST_CALL_CANCEL, SESSION_ENDED, TELEMETRY = Kind

Said = tuple[Kind, int, Any, int]


class Stream(Protocol):
    """What takes responses; it may be that they do not arrive."""

    def send(self, response: bytes) -> None: ...
    def wait_until_sent(self, timeout: float) -> None: ...


@dataclass(slots=True, eq=False)
class Writer:
    """How far one stream has come in saying what an outbox holds."""

    stream: Stream
    next: int
    acknowledged: int


class Outbox:
    """Frames for one session; methods may be called from any thread, after the end they do nothing.

    Large payloads go into `written`, where there is such.
    """

    def __init__(self, written: Written | None = None) -> None:
        self._written = written
        self._said: deque[Said] = deque()
        # calls that began and of which nothing else was said yet: told when something is sent, unless their end is
        self._begun: dict[int, None] = {}
        # something was said that no tool's thread is going to push
        self._prompt = False
        # of all below; whoever speaks does without
        self._lock = threading.Lock()
        # invariant: numbered from _first without gaps; without `read`, which is what it is when they are sent
        self._kept: deque[bytes] = deque()
        self._first = 1
        self._read = 0
        self._writer: Writer | None = None
        self._ended = False
        # whoever pushes later
        self._follows = False
        self._asked: queue.SimpleQueue[bool] | None = None

    # -- what a call says ------------------------------------------------------------------------------------------

    def started(self, id: int) -> None:
        self._begun[id] = None

    def item(self, id: int, payload: Encoded) -> None:
        self._tell_begun(id)
        self._say(ITEM, id, payload if len(payload) < SHARED_BYTES else self._placed(payload))

    def want(self, id: int, elements: int) -> None:
        self._tell_begun(id)
        self._say(WANT, id, elements)
        self.push()

    def host_call(self, asked: Asked, payload: Encoded, *, waits: bool) -> None:
        self._tell_begun(asked.job.id)
        carried = payload if len(payload) < SHARED_BYTES else self._placed(payload)
        self._say(HOST_CALL, asked.job.id, (asked, carried, waits))

    def host_call_cancel(self, number: int) -> None:
        self._say(HOST_CALL_CANCEL, number)

    def done(self, id: int, payload: Encoded, micros: int) -> None:
        self._begun.pop(id, None)
        if not self._ended:
            self._said.append((DONE, id, payload if len(payload) < SHARED_BYTES else self._placed(payload), micros))

    def raised(self, id: int, exception: BaseException) -> None:
        described = PythonException()
        describe(exception, described)
        self._fail(id, "exception", described)

    def cancelled(self, id: int, how: str) -> None:
        self._fail(id, "cancelled", how)

    def invalid(self, id: int, issue: str) -> None:
        self._fail(id, "invalid", issue)

    def unknown(self, id: int, issue: str) -> None:
        self._fail(id, "unknown", issue)

    def declined(self, id: int) -> None:
        self._fail(id, "declined", True)

    def too_large(self, id: int, size: int) -> None:
        self._fail(id, "too_large", size)

    # -- what the session says -------------------------------------------------------------------------------------

    def pong(self, id: int) -> None:
        self._say(PONG, id)
        self._prompt = True

    def drained(self) -> None:
        self._say(DRAINED, 0)
        self._prompt = True

    def session_ended(self, number: int, failure: str, overran: bool) -> None:
        self._say(SESSION_ENDED, number, (failure, overran))
        self._prompt = True

    def telemetry(self, telemetry: Telemetry) -> None:
        """Behind what was said before: results do not wait for it."""
        self._say(TELEMETRY, 0, telemetry)
        self.push()

    def free(self, segment: int) -> None:
        """The host may write this segment again: told with whatever is pushed next."""
        self._say(FREE, segment)

    def read(self, batch: int) -> None:
        """Notes the batch; it is acknowledged by whatever is said next, or by a `push`."""
        self._read = batch

    def forget(self, read: int) -> None:
        """The host has read the responses up to this one; raises NeverSaid when that cannot be."""
        with self._lock:
            self._forget(read)

    def end(self) -> None:
        """Says what was said so far, and nothing any more."""
        self.push()
        self._ended = True
        with self._lock:
            if self._asked is not None:
                self._asked.put(False)

    # -- when it leaves --------------------------------------------------------------------------------------------

    def push(self) -> None:
        """Sends all that was said so far, and how far the host was read; never waits."""
        with self._lock:
            self._push()

    def push_prompt(self) -> None:
        """As `push`, if something was said that no tool's thread is going to push."""
        if self._prompt:
            self.push()

    def flush(self, timeout: float) -> None:
        """As `push`; then waits until the kernel has it, at most `timeout` seconds, not without a stream."""
        self.push()
        if (writer := self._writer) is not None:
            writer.stream.wait_until_sent(timeout)

    def later(self) -> None:
        """Has what was said pushed within about 2 ms, whatever becomes of the thread that said it."""
        if not self._follows:
            self._follow()

    def acknowledge_later(self) -> None:
        """As `later`, when the host can say nothing more without it."""
        if (writer := self._writer) is not None and self._read - writer.acknowledged >= UNREAD_BATCHES:
            self.later()

    # -- the streams -----------------------------------------------------------------------------------------------

    def check(self, read: int) -> None:
        """Raises NeverSaid when a stream cannot take over from the response after `read`."""
        with self._lock:
            self._check(read)

    def attach(self, stream: Stream, read: int) -> None:
        """A stream takes over, from the response after `read`; raises NeverSaid when that is not kept."""
        with self._lock:
            self._check(read)
            self._forget(read)
            self._writer = Writer(stream, next=read + 1, acknowledged=self._read)
            self._push()

    def detach(self, stream: Stream) -> None:
        """The stream takes nothing any more."""
        with self._lock:
            if self._writer is not None and self._writer.stream is stream:
                self._writer = None

    # -- under the lock --------------------------------------------------------------------------------------------

    def _check(self, read: int) -> None:
        if read < self._first - 1:
            raise NeverSaid(f"response {read + 1} is asked for; those up to {self._first - 1} were read, it was said")
        self._check_written(read)

    def _check_written(self, read: int) -> None:
        if read > self._last():
            raise NeverSaid(f"response {read} was read, it is said; {self._last()} were written")

    def _forget(self, read: int) -> None:
        self._check_written(read)
        while self._first <= read:
            self._kept.popleft()
            self._first += 1

    def _push(self) -> None:
        writer = self._writer
        if writer is None or self._ended:
            return
        read = self._read  # whoever reads goes on meanwhile
        while self._said or self._begun:
            self._prompt = False
            response = ConnectResponse(batch=self._last() + 1)
            self._write(response.frames.add)
            if response.frames:
                self._kept.append(response.SerializeToString())
        if writer.next > self._last() and read > writer.acknowledged:
            writer.stream.send(_with_read(read, b""))
        while writer.next <= self._last():
            writer.stream.send(_with_read(read, self._kept[writer.next - self._first]))
            writer.next += 1
        writer.acknowledged = read

    def _write(self, add: Callable[[], WorkerFrame]) -> None:
        """Makes frames of what was said. That a call began is left out when its end is said first."""
        with contextlib.suppress(KeyError):  # its end was said meanwhile
            while self._begun:
                id, _ = self._begun.popitem()
                add().started.id = id
        said = self._said
        room = RESPONSE_BYTES
        while said and room > 0:
            kind, id, value, micros = said.popleft()
            room -= FRAME_BYTES
            if kind is DONE:
                done = add().done
                done.id = id
                done.micros = micros
                if value.__class__ is bytes:  # nearly always
                    done.payload = value
                    room -= len(value)
                else:
                    room -= _put(done, value)
            elif kind is FAILED:
                room -= _fail(add(), id, *value)
            else:
                room -= _say_more(add(), kind, id, value)

    def _follow(self) -> None:
        with self._lock:
            if self._follows or self._ended or self._writer is None:
                return
            self._follows = True
            if self._asked is None:
                self._asked = queue.SimpleQueue()
                threading.Thread(target=self._push_later, name="snakepit-later", daemon=True).start()
            self._asked.put(True)

    def _last(self) -> int:
        return self._first + len(self._kept) - 1

    # -- whoever speaks --------------------------------------------------------------------------------------------

    def _placed(self, payload: Encoded) -> bytes | Shared:
        if self._written is not None and not self._ended:
            segment = self._written.write(payload)
            if segment is not None:
                return Shared(segment=segment, length=len(payload))
        return whole(payload)

    def _say(self, kind: Kind, id: int, value: Any = None) -> None:
        if not self._ended:
            self._said.append((kind, id, value, 0))

    def _tell_begun(self, id: int) -> None:
        if self._begun and self._begun.pop(id, id) is None:
            self._say(STARTED, id)

    def _fail(self, id: int, reason: str, value: Any) -> None:
        self._begun.pop(id, None)
        self._say(FAILED, id, (reason, value))
        self._prompt = True

    # -- whoever pushes later --------------------------------------------------------------------------------------

    def _push_later(self) -> None:
        assert self._asked is not None
        while self._asked.get():
            quiet = 0
            while quiet < QUIET and not self._ended:
                time.sleep(LATER_SECONDS)
                if self._is_to_push():
                    self.push()
                    quiet = 0
                else:
                    quiet += 1
            self._follows = False
            if self._is_to_push():  # who said it may have seen that somebody follows
                self.later()

    def _is_to_push(self) -> bool:
        writer = self._writer
        return writer is not None and (
            bool(self._said or self._begun) or self._read - writer.acknowledged >= UNREAD_BATCHES
        )


def _with_read(read: int, response: bytes) -> bytes:
    """A ConnectResponse with its first field set: protobuf's encodings are joined by laying one after the other."""
    return ConnectResponse(read=read).SerializeToString() + response


def _say_more(frame: WorkerFrame, kind: Kind, id: int, value: Any) -> int:
    """Returns the size of its payload."""
    if kind is ITEM:
        frame.item.id = id
        return _put(frame.item, value)
    if kind is STARTED:
        frame.started.id = id
    elif kind is WANT:
        frame.want.id, frame.want.elements = id, value
    elif kind is PONG:
        frame.pong.id = id
    elif kind is SESSION_ENDED:
        ended = frame.session_ended
        ended.number = id
        ended.failure, ended.overran = value
        return len(ended.failure)
    elif kind is TELEMETRY:
        frame.telemetry.CopyFrom(value)
        return frame.ByteSize()
    elif kind is FREE:
        frame.free.segments.append(id)
    elif kind is HOST_CALL:
        asked, payload, waits = value
        call = frame.host_call
        call.call, call.number, call.name, call.waits, call.span_id = id, asked.number, asked.name, waits, asked.span_id
        return _put(call, payload)
    elif kind is HOST_CALL_CANCEL:
        frame.host_call_cancel.number = id
    else:
        frame.drained.SetInParent()
    return 0


def _put(message: Done | Item | HostCall, payload: bytes | Shared) -> int:
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
