"""gRPC over HTTP/2 as a server: which method is called, its messages, and the status that ends it.

    HEADERS  :path, grpc-timeout, metadata ──▶ Services: the method's handler, or UNIMPLEMENTED
    DATA     five bytes and a message      ──▶ Handler.message
    end                                    ──▶ Handler.ended
    ◀── headers, DATA                          Call.send
    ◀── trailers: grpc-status, grpc-message    Call.finish

Source: "gRPC over HTTP2" (doc/PROTOCOL-HTTP2.md of gRPC). Messages are not compressed. Why this is not the library of
gRPC: ADR 12.
"""

from __future__ import annotations

import base64
import enum
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol
from urllib.parse import quote

from snakepit._http2 import Code, Headers, Receiver, Stream

PREFIX_BYTES = 5  # of a message: compressed or not, and its length
UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}  # of grpc-timeout
TIMEOUT_DIGITS = 8  # as gRPC has it
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")  # what grpc-message carries as it is

RESPONSE = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-accept-encoding", b"identity")]


class Status(enum.IntEnum):
    """gRPC's status codes, those that a worker says."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Handler(Protocol):
    """Hears one call, on the thread that reads its connection."""

    def message(self, message: bytes) -> None:
        """The next message of the client."""

    def ended(self) -> None:
        """The client has said all its messages."""

    def lost(self) -> None:
        """The client does not wait for an answer any more; said once at most, and nothing after it."""


class Call:
    """One call of a client; what it says may be said from any thread, after its end it does nothing.

    `deadline` is on the monotonic clock; `limit` bounds the messages of the client, in bytes.
    """

    def __init__(self, stream: Stream, headers: Headers, limit: int) -> None:
        self._stream = stream
        self._metadata = headers
        self._headers_said = False
        self.limit = limit
        self.deadline = _deadline(headers)

    def metadata(self, name: bytes) -> bytes:
        """The first value that the client gave this name, empty without one."""
        return _first(self._metadata, name)

    def send(self, message: bytes) -> None:
        """One message of the response."""
        if not self._headers_said:
            self.begin()
        self._stream.data(b"\0" + len(message).to_bytes(4) + message)

    def begin(self) -> None:
        """Says the headers of the response, so that the client knows that it was heard."""
        self._headers_said = True
        self._stream.headers(RESPONSE)

    def wait_until_sent(self, timeout: float) -> None:
        """Returns when the kernel has all that was said, or that has become impossible, or too late."""
        self._stream.wait_until_sent(timeout)

    def finish(self, status: Status, details: str = "", trailers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Ends the call; names of `trailers` that end in -bin have any bytes as values."""
        said = [] if self._headers_said else list(RESPONSE)
        said.append((b"grpc-status", str(int(status)).encode()))
        if details:
            said.append((b"grpc-message", quote(details, safe=PRINTABLE).encode()))
        said += [
            (name, base64.b64encode(value).rstrip(b"=") if name.endswith(b"-bin") else value)
            for name, value in trailers
        ]
        self._headers_said = True
        self._stream.headers(said, end=True)


class OneRequest:
    """The handler of a call that has one request: `answer` takes it, `gone` is told when nobody waits any more."""

    def __init__(
        self, answer: Callable[[Call, bytes], None], call: Call, gone: Callable[[Call], None] | None = None
    ) -> None:
        self._answer = answer
        self._call = call
        self._gone = gone
        self._request: bytes | None = None

    def message(self, message: bytes) -> None:
        if self._request is None:
            self._request = message
        else:
            self._call.finish(Status.INVALID_ARGUMENT, "expected one request, more came")

    def ended(self) -> None:
        if self._request is None:
            self._call.finish(Status.INVALID_ARGUMENT, "expected one request, none came")
        else:
            self._answer(self._call, self._request)

    def lost(self) -> None:
        if self._gone is not None:
            self._gone(self._call)


class Services:
    """The methods of a server by their paths ("/package.Service/Method"), and who serves each call of them.

    A method returns the handler of a call, or None when it has finished it already.
    """

    def __init__(self, methods: Mapping[str, Callable[[Call], Handler | None]], limit: int) -> None:
        self._methods = {path.encode(): method for path, method in methods.items()}
        self._limit = limit

    def accept(self, stream: Stream, headers: Headers) -> Receiver | None:
        """What a connection asks for each stream."""
        call = Call(stream, headers, self._limit)
        if _first(headers, b":method") != b"POST" or not _first(headers, b"content-type").startswith(
            b"application/grpc"
        ):
            stream.headers([(b":status", b"415")], end=True)
            return None
        path = _first(headers, b":path")
        method = self._methods.get(path)
        if method is None:
            call.finish(Status.UNIMPLEMENTED, f"there is no method {path.decode(errors='replace')!r} on this worker")
            return None
        handler = method(call)
        return None if handler is None else _Messages(call, stream, handler)


class _Messages:
    """Puts the messages of one client together."""

    def __init__(self, call: Call, stream: Stream, handler: Handler) -> None:
        self._call = call
        self._stream = stream
        self._handler = handler
        self._rest = bytearray()
        self._closed = False

    def data(self, data: memoryview) -> None:
        if self._closed:
            return
        rest = self._rest
        if not rest and len(data) >= PREFIX_BYTES:
            size = self._size(data)
            if size == len(data) - PREFIX_BYTES:  # nearly always: one message in one frame
                self._handler.message(bytes(data[PREFIX_BYTES:]))
                return
        rest += data
        begin = 0
        while not self._closed and len(rest) - begin >= PREFIX_BYTES:
            after = begin + PREFIX_BYTES + self._size(memoryview(rest)[begin : begin + PREFIX_BYTES])
            if after > len(rest):
                break
            message = bytes(memoryview(rest)[begin + PREFIX_BYTES : after])
            begin = after
            self._handler.message(message)
        del rest[:begin]

    def ended(self) -> None:
        if self._closed:
            return
        if self._rest:
            self._refuse(Status.INTERNAL, "the last message of the client is not whole")
        else:
            self._handler.ended()

    def lost(self) -> None:
        self._handler.lost()

    def _size(self, prefix: memoryview) -> int:
        if prefix[0]:
            self._refuse(Status.UNIMPLEMENTED, "a compressed message; this server takes identity only")
            return -1
        size = int.from_bytes(prefix[1:PREFIX_BYTES])
        if size > self._call.limit:
            self._refuse(
                Status.RESOURCE_EXHAUSTED, f"a message of {size} bytes, more than the {self._call.limit} taken here"
            )
            return -1
        return size

    def _refuse(self, status: Status, details: str) -> None:
        self._closed = True
        self._rest.clear()
        self._call.finish(status, details)
        self._stream.reset(Code.NO_ERROR)
        self._handler.lost()


def _first(headers: Headers, name: bytes) -> bytes:
    return next((value for key, value in headers if key == name), b"")


def _deadline(headers: Headers) -> float | None:
    timeout = _first(headers, b"grpc-timeout")
    digits, unit = timeout[:-1], UNITS.get(timeout[-1:])
    if unit is None or not digits.isdigit() or len(digits) > TIMEOUT_DIGITS:
        return None
    return time.monotonic() + int(digits) * unit
