"""The server's end of an HTTP/2 connection (RFC 9113), as much of it as gRPC needs: frames, flow control, streams.

    whoever reads                                        whoever has something to say
     │ recv ─▶ frames ─▶ headers, data, end ─▶ Receiver    │ Stream.headers, .data, .reset
     │           └─▶ settings, ping, window ──┐            │
     ▼                                        ▼            ▼
    ends with the connection               under the lock: the windows ─▶ send, which never blocks
                                                             │ shut: waits for      │ the socket is full:
                                                             ▼ WINDOW_UPDATE        ▼ a thread sends the rest

What is said leaves in the thread that says it, so a reply costs no wake-up of another. HPACK is a library's.
Pushes are not made; priorities are ignored, as RFC 9113 has it.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 2**31 - 1  # the largest there is: what is not wanted yet stays in the socket, not in a window
WINDOW_AT_FIRST = 65_535  # RFC 9113, 6.9.2
HALF_WINDOW = 2**30  # so much was taken before the window is opened again: rarely, and never too late
FRAME_BYTES = 16_384  # RFC 9113, 4.2: what every peer takes, and all that we take
BUFFER_BYTES = 16 * FRAME_BYTES  # what one system call may bring
HEADER_BYTES = 64 * 1024  # of one request, compressed and not; gRPC itself takes 8 to 16 KiB
STREAMS = 32  # at once: one session, old ones going away, and calls of other clients
UNREAD_ANSWERS = 1000  # to pings and settings, behind a full socket: then a peer only wants our memory
PARTS = 512  # buffers in one system call; Linux takes 1024

HEAD_BYTES = 9  # of a frame
unpack_head = struct.Struct("!IBI").unpack_from

Headers = list[tuple[bytes, bytes]]


class Type(enum.IntEnum):
    """RFC 9113, 6."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = map(int, Type)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 5, 6
SIZES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}  # of frames that have one size only


class Code(enum.IntEnum):
    """RFC 9113, 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFailed(Exception):
    """The peer broke a rule of HTTP/2; the connection ends with this code and message."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class Receiver(Protocol):
    """Who hears what the client says on one stream, on the reader's thread."""

    def data(self, data: memoryview) -> None:
        """A part; it is gone when this returns."""

    def ended(self) -> None:
        """The client says no more."""

    def lost(self) -> None:
        """The client has let go of the stream, or the connection is gone. Nothing is heard after it."""


class Stream:
    """One exchange of headers and data; methods may be called from any thread, after its end they do nothing."""

    __slots__ = (
        "_connection",
        "_heard_all",
        "_pending",
        "_said_all",
        "_taken",
        "_trailers",
        "_window",
        "id",
        "receiver",
    )

    def __init__(self, connection: Connection, id: int, window: int) -> None:
        self.id = id
        self.receiver: Receiver | None = None
        self._connection = connection
        self._window = window
        self._taken = 0
        self._pending: deque[memoryview] = deque()
        self._trailers: bytes | None = None
        self._heard_all = self._said_all = False

    def headers(self, headers: Iterable[tuple[bytes, bytes]], *, end: bool = False) -> None:
        """Response headers, or trailers, which `end` the stream."""
        self._connection.say_headers(self, _literally(headers), end=end)

    def data(self, data: bytes) -> None:
        """Leaves at once as far as the windows and the socket allow, the rest when they do."""
        self._connection.say_data(self, data)

    def wait_until_sent(self, timeout: float) -> None:
        """Returns when the kernel has all that its connection said, or that has become impossible, or too late."""
        self._connection.wait_until_sent(timeout)

    def reset(self, code: Code) -> None:
        """Ends the stream at once."""
        self._connection.say_reset(self, code)


class Connection:
    """Serves the streams that a client opens over `socket`; `accept` says who hears each of them."""

    def __init__(self, socket: socket.socket, accept: Callable[[Stream, Headers], Receiver | None]) -> None:
        self._socket = socket
        self._accept = accept
        self._decoder = hpack.Decoder(max_header_list_size=HEADER_BYTES)
        # of all below; held for no longer than a system call that does not block
        self._lock = threading.Lock()
        self._all_sent = threading.Condition(self._lock)
        self._window = self._initial_window = WINDOW_AT_FIRST
        self._frame_bytes = FRAME_BYTES
        self._streams: dict[int, Stream] = {}
        self._unsent: deque[bytes | memoryview] = deque()
        self._sends_rest = False
        self._unread_answers = 0
        self._over = False
        # of whoever reads
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._begun = self._filled = 0
        self._prefaced = False
        self._last = 0
        self._block: tuple[int, int, bytearray] | None = None
        self._taken = 0
        self._hear: dict[int, Callable[[int, int, memoryview], None]] = {
            DATA: self._data,
            HEADERS: self._headers,
            CONTINUATION: self._continuation,
            WINDOW_UPDATE: self._window_update,
            SETTINGS: self._settings,
            PING: self._ping,
            RST_STREAM: self._rst_stream,
            PUSH_PROMISE: self._push_promise,
        }

    # -- whoever reads ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Says what the server's settings are."""
        settings = struct.pack(
            "!HIHIHI",
            *(MAX_CONCURRENT_STREAMS, STREAMS, INITIAL_WINDOW_SIZE, WINDOW, MAX_HEADER_LIST_SIZE, HEADER_BYTES),
        )
        with self._lock:
            self._send(_head(len(settings), SETTINGS, 0, 0) + settings)
            self._send(_window_update(0, WINDOW - WINDOW_AT_FIRST))

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self) -> bool:
        """Takes in what comes next, by one thread at a time; False: it is over, and so is every stream."""
        try:
            if self._read():
                return True
        except ConnectionFailed as failed:
            self._go_away(failed.code, str(failed))
        except OSError:
            pass
        except Exception:  # a fault of ours: it ends this connection, and no thread that reads
            traceback.print_exc()
        self.close()
        for stream in list(self._streams.values()):
            self._lose(stream)
        return False

    def close(self) -> None:
        """Ends the connection at once."""
        with self._lock:
            self._over = True
            self._unsent.clear()
            self._all_sent.notify_all()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def finish(self, timeout: float) -> None:
        """Ends the connection when all that was said has left, at most `timeout` seconds later."""
        self._go_away(Code.NO_ERROR, "")
        self.wait_until_sent(timeout)
        self.close()

    def wait_until_sent(self, timeout: float) -> None:
        """Returns when the kernel has all that was said, or that has become impossible, or too late."""
        with self._lock:
            if not self._is_all_sent():
                self._all_sent.wait_for(self._is_all_sent, timeout)

    def _read(self) -> bool:
        taken = self._socket.recv_into(self._view[self._filled :])
        if not taken:
            return False
        view, begin, end = self._view, self._begun, self._filled + taken
        if not self._prefaced:
            if end < len(PREFACE) and PREFACE.startswith(self._buffer[:end]):
                self._filled = end
                return True
            if not self._buffer.startswith(PREFACE):
                raise ConnectionFailed(Code.PROTOCOL_ERROR, "expected the connection preface of HTTP/2")
            self._prefaced, begin = True, len(PREFACE)
        while end - begin >= HEAD_BYTES:
            size_and_type, flags, id = unpack_head(view, begin)
            size = size_and_type >> 8
            if size > FRAME_BYTES:
                raise ConnectionFailed(Code.FRAME_SIZE_ERROR, f"a frame of {size} bytes, at most {FRAME_BYTES} fit")
            after = begin + HEAD_BYTES + size
            if after > end:
                break
            self._frame(size_and_type & 0xFF, flags, id & 0x7FFF_FFFF, view[begin + HEAD_BYTES : after])
            begin = after
        if begin == end:
            begin = end = 0
        elif BUFFER_BYTES - end < FRAME_BYTES + HEAD_BYTES:
            rest = bytes(view[begin:end])
            begin, end = 0, len(rest)
            view[:end] = rest
        self._begun, self._filled = begin, end
        return True

    def _frame(self, type: int, flags: int, id: int, payload: memoryview) -> None:
        if self._block is not None and (type != CONTINUATION or id != self._block[0]):
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "expected the rest of a header block")
        if len(payload) != SIZES.get(type, len(payload)):
            raise ConnectionFailed(Code.FRAME_SIZE_ERROR, f"a frame of type {type} with {len(payload)} bytes")
        if (hear := self._hear.get(type)) is not None:  # a frame of another type is to be ignored
            hear(flags, id, payload)

    def _was_opened(self, id: int) -> None:
        if id == 0 or id > self._last:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, f"stream {id} was never opened")

    def _data(self, flags: int, id: int, payload: memoryview) -> None:
        self._was_opened(id)
        self._taken += len(payload)
        if self._taken >= HALF_WINDOW:
            with self._lock:
                self._send(_window_update(0, self._taken))
            self._taken = 0
        stream = self._streams.get(id)
        if stream is None:
            return  # what was on its way when we ended it
        stream._taken += len(payload)
        if stream._taken >= HALF_WINDOW:
            with self._lock:
                self._send(_window_update(id, stream._taken))
            stream._taken = 0
        if stream._heard_all:
            self._break(stream, Code.STREAM_CLOSED)
            return
        if stream.receiver is not None:
            stream.receiver.data(_unpadded(flags, payload) if flags & PADDED else payload)
        if flags & END_STREAM:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        stream._heard_all = True
        if stream.receiver is not None:
            stream.receiver.ended()
        with self._lock:
            self._forget_if_over(stream)

    def _break(self, stream: Stream, code: Code) -> None:
        with self._lock:
            self._send(_reset(stream.id, code))
        self._lose(stream)

    def _lose(self, stream: Stream) -> None:
        with self._lock:
            known = self._streams.pop(stream.id, None)
            stream._said_all = True
            stream._pending.clear()
        if known is not None and stream.receiver is not None:
            stream.receiver.lost()

    def _headers(self, flags: int, id: int, payload: memoryview) -> None:
        if id % 2 == 0:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, f"a client does not open stream {id}")
        payload = _unpadded(flags, payload)
        self._header_block(id, flags, payload[5:] if flags & WITH_PRIORITY else payload)

    def _continuation(self, flags: int, id: int, payload: memoryview) -> None:
        if self._block is None:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "a continuation of no header block")
        self._header_block(id, flags, payload)

    def _push_promise(self, flags: int, id: int, payload: memoryview) -> None:
        raise ConnectionFailed(Code.PROTOCOL_ERROR, "a client does not push")

    def _ping(self, flags: int, id: int, payload: memoryview) -> None:
        if id:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "a ping on a stream")
        if not flags & ACK:
            self._answer(_head(len(payload), PING, ACK, 0) + payload)

    def _rst_stream(self, flags: int, id: int, payload: memoryview) -> None:
        self._was_opened(id)
        if (stream := self._streams.get(id)) is not None:
            self._lose(stream)

    def _header_block(self, id: int, flags: int, part: memoryview) -> None:
        if self._block is None:
            self._block = (id, flags & END_STREAM, bytearray())
        _, end_stream, block = self._block
        block += part
        if len(block) > HEADER_BYTES:
            raise ConnectionFailed(Code.ENHANCE_YOUR_CALM, f"headers of more than {HEADER_BYTES} bytes")
        if not flags & END_HEADERS:
            return
        self._block = None
        try:
            headers = self._decoder.decode(bytes(block), raw=True)
        except hpack.HPACKError as problem:
            raise ConnectionFailed(Code.COMPRESSION_ERROR, str(problem)) from None
        if id > self._last:
            self._last = id
            self._open(id, [(bytes(name), bytes(value)) for name, value in headers])
        # else trailers of the client, of which gRPC has none
        if end_stream and (stream := self._streams.get(id)) is not None:
            self._end(stream)

    def _open(self, id: int, headers: Headers) -> None:
        with self._lock:
            if len(self._streams) >= STREAMS:
                self._send(_reset(id, Code.REFUSED_STREAM))
                return
            stream = self._streams[id] = Stream(self, id, self._initial_window)
        stream.receiver = self._accept(stream, headers)

    def _settings(self, flags: int, id: int, payload: memoryview) -> None:
        if id or (flags & ACK and payload) or len(payload) % 6:
            raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "settings that are none")
        if flags & ACK:
            return
        with self._lock:
            for setting, value in struct.iter_unpack("!HI", payload):
                if setting == INITIAL_WINDOW_SIZE:
                    self._resize_windows(value)
                elif setting == MAX_FRAME_SIZE:
                    if not FRAME_BYTES <= value < 2**24:
                        raise ConnectionFailed(Code.PROTOCOL_ERROR, f"frames of {value} bytes")
                    self._frame_bytes = value
            self._pump_all()
        self._answer(_head(0, SETTINGS, ACK, 0))

    def _resize_windows(self, size: int) -> None:
        if size > WINDOW:
            raise ConnectionFailed(Code.FLOW_CONTROL_ERROR, f"a window of {size} bytes")
        for stream in self._streams.values():
            stream._window += size - self._initial_window
        self._initial_window = size

    def _window_update(self, flags: int, id: int, payload: memoryview) -> None:
        more = int.from_bytes(payload) & 0x7FFF_FFFF
        if more == 0:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "a window that is widened by nothing")
        if id == 0:
            with self._lock:
                self._window += more
                if self._window > WINDOW:
                    raise ConnectionFailed(Code.FLOW_CONTROL_ERROR, "a window that is widened beyond its limit")
                self._pump_all()
            return
        self._was_opened(id)
        if (stream := self._streams.get(id)) is None:
            return
        with self._lock:
            stream._window += more
            self._pump(stream)
        if stream._window > WINDOW:
            self._break(stream, Code.FLOW_CONTROL_ERROR)

    def _answer(self, frame: bytes) -> None:
        with self._lock:
            self._send(frame)
            self._unread_answers += self._sends_rest
            if self._unread_answers > UNREAD_ANSWERS:
                raise ConnectionFailed(Code.ENHANCE_YOUR_CALM, "a peer that asks and does not read the answers")

    def _go_away(self, code: Code, message: str) -> None:
        debug = message.encode()[:256]
        with self._lock:
            self._send(_head(8 + len(debug), GOAWAY, 0, 0) + struct.pack("!II", self._last, code) + debug)

    # -- whoever speaks --------------------------------------------------------------------------------------------

    def say_headers(self, stream: Stream, block: bytes, *, end: bool) -> None:
        with self._lock:
            if stream._said_all:
                return
            frame = _head(len(block), HEADERS, END_HEADERS | (END_STREAM if end else 0), stream.id) + block
            if not end:
                self._send(frame)
                return
            stream._said_all = True
            stream._trailers = frame
            self._pump(stream)

    def say_data(self, stream: Stream, data: bytes) -> None:
        size = len(data)
        with self._lock:
            if stream._said_all:
                return
            if not stream._pending and size <= self._frame_bytes and size <= self._window and size <= stream._window:
                self._window -= size
                stream._window -= size
                self._send(_head(size, DATA, 0, stream.id) + data)
            else:
                stream._pending.append(memoryview(data))
                self._pump(stream)

    def say_reset(self, stream: Stream, code: Code) -> None:
        with self._lock:
            if self._streams.pop(stream.id, None) is not None:
                stream._said_all = True
                stream._pending.clear()
                self._send(_reset(stream.id, code))

    # -- under the lock --------------------------------------------------------------------------------------------

    def _is_all_sent(self) -> bool:
        return self._over or not (self._sends_rest or any(stream._pending for stream in self._streams.values()))

    def _pump_all(self) -> None:
        for stream in list(self._streams.values()):
            if stream._pending or stream._trailers is not None:
                self._pump(stream)

    def _pump(self, stream: Stream) -> None:
        parts: list[bytes | memoryview] = []
        while stream._pending and (room := min(self._window, stream._window, self._frame_bytes)) > 0:
            data = stream._pending.popleft()
            if len(data) > room:
                stream._pending.appendleft(data[room:])
                data = data[:room]
            self._window -= len(data)
            stream._window -= len(data)
            parts += (_head(len(data), DATA, 0, stream.id), data)
        if not stream._pending and stream._trailers is not None:
            parts.append(stream._trailers)
            stream._trailers = None
            self._forget_if_over(stream)
            if not stream._heard_all and self._streams.pop(stream.id, None) is not None:
                parts.append(_reset(stream.id, Code.NO_ERROR))  # RFC 9113, 8.1: the client need not say the rest
        if parts:
            self._send(*parts)
            self._all_sent.notify_all()

    def _forget_if_over(self, stream: Stream) -> None:
        if stream._heard_all and stream._said_all and not stream._pending and stream._trailers is None:
            self._streams.pop(stream.id, None)

    def _send(self, *parts: bytes | memoryview) -> None:
        if self._over:
            return
        if self._sends_rest:
            self._unsent.extend(parts)
            return
        sent = 0
        try:
            if len(parts) == 1:
                sent = self._socket.send(parts[0], socket.MSG_DONTWAIT)
                if sent == len(parts[0]):
                    return
            else:
                sent = self._socket.sendmsg(parts[:PARTS], (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        except OSError:
            self._over = True  # the reader hears it as well
            self._all_sent.notify_all()
            return
        rest = deque(parts)
        while rest and sent >= len(rest[0]):
            sent -= len(rest.popleft())
        if not rest:
            return
        rest[0] = memoryview(rest[0])[sent:]
        self._unsent = rest
        self._sends_rest = True
        threading.Thread(target=self._send_rest, name="snakepit-writer", daemon=True).start()

    def _send_rest(self) -> None:
        while True:
            with self._lock:
                if self._over or not self._unsent:
                    self._sends_rest = False
                    self._unread_answers = 0
                    self._all_sent.notify_all()
                    return
                part = self._unsent.popleft()
            try:
                self._socket.sendall(part)
            except OSError:
                self._over = True


def _head(size: int, type: int, flags: int, id: int) -> bytes:
    return struct.pack("!IBI", size << 8 | type, flags, id)


def _window_update(id: int, more: int) -> bytes:
    return _head(4, WINDOW_UPDATE, 0, id) + struct.pack("!I", more)


def _reset(id: int, code: Code) -> bytes:
    return _head(4, RST_STREAM, 0, id) + struct.pack("!I", code)


def _unpadded(flags: int, payload: memoryview) -> memoryview:
    if not flags & PADDED:
        return payload
    if len(payload) == 0 or payload[0] >= len(payload):
        raise ConnectionFailed(Code.PROTOCOL_ERROR, "more padding than the frame has")
    return payload[1 : len(payload) - payload[0]]


def _literally(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Literal fields without indexing (RFC 7541, 6.2.2): no state, so any thread may encode them."""
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name, value):
            block += _length(len(text)) + text
    return bytes(block)


def _length(size: int) -> bytes:
    """An integer with a prefix of seven bits (RFC 7541, 5.1)."""
    if size < 0x7F:
        return bytes((size,))
    size -= 0x7F
    encoded = bytearray((0x7F,))
    while size >= 0x80:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)
