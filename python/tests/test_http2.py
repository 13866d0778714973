"""HTTP/2 and gRPC as a worker speaks them, frame by frame: against peers that know the rules and others."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from functools import partial

import hpack
import pytest

from snakepit._execution import Executor
from snakepit._grpc import Call, OneRequest, Services, Status
from snakepit._http2 import PREFACE, STREAMS, WINDOW_AT_FIRST, Code, Connection, Type
from snakepit._lookout import Lookout

PATIENCE = 10.0  # seconds for what comes in milliseconds; only a failing test waits so long
REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/t/echo"), ("content-type", "application/grpc")]


def frame(type: Type, flags: int, id: int, payload: bytes = b"") -> bytes:
    return struct.pack("!IBI", len(payload) << 8 | type, flags, id) + payload


def message(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(4) + data


class Peer:
    """A client that says what it is told to, and takes what comes apart."""

    def __init__(self, preface: bytes = PREFACE + frame(Type.SETTINGS, 0, 0), limit: int = 1 << 20) -> None:
        self.socket, served = socket.socketpair()
        self.socket.settimeout(PATIENCE)
        self.gone: list[Call] = []
        methods = {"/t/echo": echo, "/t/many": many, "/t/silent": self._silent}
        accept = partial(Services(methods, limit).accept, Lookout(Executor()))
        self.connection = Connection(served, accept)
        self.thread = threading.Thread(target=self._run, args=(served,), daemon=True)
        self.thread.start()
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._buffer = b""
        self.say(preface)

    def _run(self, served: socket.socket) -> None:
        with served:
            self.connection.start()
            while self.connection.take():
                pass

    def _silent(self, call: Call) -> OneRequest:
        return OneRequest(lambda *_: None, call, self.gone.append)

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def open(self, id: int, path: str = "/t/echo", end: bool = False, **more: str) -> None:
        fields = [*REQUEST[:2], (":path", path), REQUEST[3], *more.items()]
        self.say(frame(Type.HEADERS, 4 | end, id, self._encoder.encode(fields)))

    def hear(self) -> tuple[Type, int, int, bytes]:
        while len(self._buffer) < 9 or len(self._buffer) < 9 + int.from_bytes(self._buffer[:3]):
            part = self.socket.recv(65536)
            if not part:
                raise EOFError
            self._buffer += part
        size = int.from_bytes(self._buffer[:3])
        type, flags, id = struct.unpack("!BBI", self._buffer[3:9])
        payload, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
        return Type(type), flags, id, payload

    def until(self, wanted: Type, id: int | None = None) -> tuple[int, bytes]:
        while True:
            type, flags, of, payload = self.hear()
            if type is wanted and id in (None, of) and not (type is Type.SETTINGS and flags == 0):
                return flags, payload

    def headers(self, id: int) -> dict[str, str]:
        _, block = self.until(Type.HEADERS, id)
        return {str(name): str(value) for name, value in self._decoder.decode(block)}

    def goodbye(self) -> Code:
        """Why the worker ends the connection; everything of it is gone then."""
        _, payload = self.until(Type.GOAWAY)
        with pytest.raises(EOFError):
            self.until(Type.PRIORITY)  # which it never says
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        return Code(int.from_bytes(payload[4:8]))

    def close(self) -> None:
        self.socket.close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def echo(call: Call) -> OneRequest:
    def answer(call: Call, request: bytes) -> None:
        call.send(request)
        call.finish(Status.OK)

    return OneRequest(answer, call)


def many(call: Call) -> OneRequest:
    def answer(call: Call, request: bytes) -> None:
        for _ in range(100):
            call.send(request)
        call.finish(Status.OK)

    return OneRequest(answer, call)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


# -- by the rules ------------------------------------------------------------------------------------------------------


def test_a_request_is_answered_and_the_stream_ends_with_its_status(peer: Peer) -> None:
    peer.open(1)
    peer.say(frame(Type.DATA, 1, 1, message(b"hello")))
    assert peer.headers(1) == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity",
    }
    assert peer.until(Type.DATA, 1) == (0, message(b"hello"))
    assert peer.headers(1) == {"grpc-status": "0"}


def test_settings_and_pings_are_acknowledged(peer: Peer) -> None:
    assert peer.until(Type.SETTINGS) == (1, b"")
    peer.say(frame(Type.PING, 0, 0, b"12345678"))
    assert peer.until(Type.PING) == (1, b"12345678")


@pytest.mark.parametrize("cut", [1, 3, 7, 20, 4096])
def test_a_message_may_come_in_any_parts(peer: Peer, cut: int) -> None:
    body = message(random.Random(1).randbytes(50_000))
    peer.open(1)
    for at in range(0, len(body), 16_000):
        part = body[at : at + 16_000]
        whole = frame(Type.DATA, 8 | (at + 16_000 >= len(body)), 1, b"\x03" + part + bytes(3))  # padded
        for byte in range(0, min(len(whole), 40 * cut), cut):
            peer.say(whole[byte : byte + cut])
        peer.say(whole[min(len(whole), 40 * cut) :])
    said = b""
    while len(said) < len(body):
        said += peer.until(Type.DATA, 1)[1]
    assert said == body


def test_headers_may_come_in_parts_and_with_a_priority(peer: Peer) -> None:
    block = hpack.Encoder().encode(REQUEST)
    peer.say(frame(Type.HEADERS, 0x20 | 1, 1, bytes(5) + block[:4]))
    peer.say(frame(Type.CONTINUATION, 0, 1, block[4:9]) + frame(Type.CONTINUATION, 4, 1, block[9:]))
    assert peer.headers(1)["grpc-status"] == str(int(Status.INVALID_ARGUMENT))


def test_nothing_leaves_beyond_the_windows_and_all_of_it_when_they_open() -> None:
    peer = Peer(PREFACE + frame(Type.SETTINGS, 0, 0, struct.pack("!HI", 4, 1000)))
    peer.open(1, "/t/many")
    peer.say(frame(Type.DATA, 1, 1, message(bytes(995))))  # a hundred answers of 1,000 bytes
    assert peer.headers(1)[":status"] == "200"
    assert len(peer.until(Type.DATA, 1)[1]) == 1000
    peer.say(frame(Type.PING, 0, 0, bytes(8)))
    assert peer.until(Type.PING)[0] == 1  # and no data before it
    peer.say(frame(Type.WINDOW_UPDATE, 0, 1, (2).to_bytes(4)))
    assert len(peer.until(Type.DATA, 1)[1]) == 2
    peer.say(frame(Type.SETTINGS, 0, 0, struct.pack("!HI", 4, 10_000)))  # widens those that are open
    peer.say(frame(Type.WINDOW_UPDATE, 0, 1, (1_000_000).to_bytes(4)))
    heard = 1002
    while heard < WINDOW_AT_FIRST:
        heard += len(peer.until(Type.DATA, 1)[1])
    assert heard == WINDOW_AT_FIRST  # of the connection
    peer.say(frame(Type.WINDOW_UPDATE, 0, 0, (1_000_000).to_bytes(4)))
    while heard < 100_000:
        heard += len(peer.until(Type.DATA, 1)[1])
    assert peer.headers(1) == {"grpc-status": "0"}
    peer.close()


def test_what_a_full_socket_does_not_take_leaves_when_it_is_read() -> None:
    window = frame(Type.SETTINGS, 0, 0, struct.pack("!HI", 4, 2**31 - 1))
    peer = Peer(PREFACE + window + frame(Type.WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4)), limit=1 << 24)
    body = message(random.Random(2).randbytes(1 << 20))
    peer.open(1, "/t/many")
    for at in range(0, len(body), 16_384):
        peer.say(frame(Type.DATA, at + 16_384 >= len(body), 1, body[at : at + 16_384]))
    deadline = time.monotonic() + PATIENCE
    while not peer.connection._sends_rest:  # 100 MiB do not fit into a socket
        assert time.monotonic() < deadline
    said = bytearray()
    while len(said) < 100 * len(body):
        said += peer.until(Type.DATA, 1)[1]
    assert said == body * 100
    assert peer.headers(1) == {"grpc-status": "0"}
    peer.close()


def test_a_peer_that_reads_nothing_cannot_keep_what_it_asked_for_from_ending() -> None:
    peer = Peer(PREFACE + frame(Type.SETTINGS, 0, 0, struct.pack("!HI", 4, 2**31 - 1)), limit=1 << 24)
    peer.say(frame(Type.WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4)))
    peer.open(1, "/t/many")
    body = message(bytes(1 << 20))
    for at in range(0, len(body), 16_384):
        peer.say(frame(Type.DATA, at + 16_384 >= len(body), 1, body[at : at + 16_384]))
    pings = frame(Type.PING, 0, 0, bytes(8)) * 2_000_000  # more than the sockets hold, were they not read
    with pytest.raises(OSError, match=r"Broken pipe|reset|timed out"):
        peer.say(pings)
    peer.close()


def test_a_stream_that_the_client_lets_go_is_lost_and_the_others_go_on(peer: Peer) -> None:
    peer.open(1)
    peer.open(3)
    peer.say(frame(Type.RST_STREAM, 0, 1, bytes(4)) + frame(Type.DATA, 1, 1, message(b"late")))
    peer.say(frame(Type.DATA, 1, 3, message(b"other")))
    assert peer.until(Type.DATA, 3)[1] == message(b"other")


def test_a_stream_whose_window_is_widened_beyond_its_limit_is_lost_for_who_serves_it() -> None:
    peer = Peer()
    peer.open(1, "/t/silent")
    peer.say(frame(Type.WINDOW_UPDATE, 0, 1, (2**31 - 1).to_bytes(4)))
    assert peer.until(Type.RST_STREAM, 1)[1] == Code.FLOW_CONTROL_ERROR.to_bytes(4)
    peer.say(frame(Type.PING, 0, 0, bytes(8)))
    assert peer.until(Type.PING)[0] == 1
    assert len(peer.gone) == 1
    peer.close()
    assert len(peer.gone) == 1


def test_more_streams_than_are_served_are_refused_and_may_be_tried_again(peer: Peer) -> None:
    for n in range(STREAMS + 1):
        peer.open(2 * n + 1, "/t/silent")
    assert peer.until(Type.RST_STREAM, 2 * STREAMS + 1)[1] == Code.REFUSED_STREAM.to_bytes(4)
    peer.say(frame(Type.RST_STREAM, 0, 1, bytes(4)))
    peer.open(2 * STREAMS + 3)
    peer.say(frame(Type.DATA, 1, 2 * STREAMS + 3, message(b"again")))
    assert peer.until(Type.DATA)[1] == message(b"again")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (frame(Type.DATA, 1, 1, b"\x01\0\0\0\x01x"), Status.UNIMPLEMENTED),
        (frame(Type.DATA, 0, 1, b"\0\xff\xff\xff\xff"), Status.RESOURCE_EXHAUSTED),
        (frame(Type.DATA, 1, 1, b"\0\0\0\0\x05xx"), Status.INTERNAL),
        (frame(Type.DATA, 1, 1), Status.INVALID_ARGUMENT),
        (frame(Type.DATA, 1, 1, message(b"a") + message(b"b")), Status.INVALID_ARGUMENT),
    ],
)
def test_what_is_no_request_ends_the_call_with_the_reason(peer: Peer, said: bytes, status: Status) -> None:
    peer.open(1)
    peer.say(said)
    trailers = peer.headers(1)
    assert trailers["grpc-status"] == str(int(status))
    assert trailers["grpc-message"]
    peer.open(3)
    peer.say(frame(Type.DATA, 1, 3, message(b"on")))
    assert peer.until(Type.DATA, 3)[1] == message(b"on")


def test_what_is_no_call_of_grpc_is_refused(peer: Peer) -> None:
    peer.open(1, "/t/nothing", end=True)
    assert peer.headers(1)["grpc-status"] == str(int(Status.UNIMPLEMENTED))
    fields = [(":method", "GET"), (":path", "/"), (":scheme", "http")]
    peer.say(frame(Type.HEADERS, 5, 3, hpack.Encoder().encode(fields)))
    assert peer.headers(3) == {":status": "415"}


# -- against the rules -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (frame(Type.DATA, 0, 1, b"x"), Code.PROTOCOL_ERROR),
        (frame(Type.DATA, 0, 0, b"x"), Code.PROTOCOL_ERROR),
        (frame(Type.HEADERS, 4, 2, b"\x83"), Code.PROTOCOL_ERROR),
        (frame(Type.HEADERS, 4, 1, b"\xff" * 40), Code.COMPRESSION_ERROR),
        (frame(Type.HEADERS, 0, 1, b"\x83") + frame(Type.PING, 0, 0, bytes(8)), Code.PROTOCOL_ERROR),
        (frame(Type.HEADERS, 4 | 8, 1, b"\x09\x83"), Code.PROTOCOL_ERROR),
        (frame(Type.CONTINUATION, 4, 1, b"\x83"), Code.PROTOCOL_ERROR),
        (frame(Type.PUSH_PROMISE, 4, 1, bytes(5)), Code.PROTOCOL_ERROR),
        (frame(Type.PING, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (frame(Type.PING, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
        (frame(Type.SETTINGS, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR),
        (frame(Type.SETTINGS, 0, 0, struct.pack("!HI", 4, 2**31)), Code.FLOW_CONTROL_ERROR),
        (frame(Type.SETTINGS, 0, 0, struct.pack("!HI", 5, 1)), Code.PROTOCOL_ERROR),
        (frame(Type.WINDOW_UPDATE, 0, 0, bytes(4)), Code.PROTOCOL_ERROR),
        (frame(Type.WINDOW_UPDATE, 0, 0, (2**31 - 1).to_bytes(4)), Code.FLOW_CONTROL_ERROR),
        (frame(Type.WINDOW_UPDATE, 0, 5, (1).to_bytes(4)), Code.PROTOCOL_ERROR),
        (frame(Type.RST_STREAM, 0, 5, bytes(4)), Code.PROTOCOL_ERROR),
        (b"\xff\xff\xff" + bytes(6), Code.FRAME_SIZE_ERROR),
        (b"".join(frame(Type.HEADERS if n == 0 else Type.CONTINUATION, 0, 1, bytes(16_000)) for n in range(6)),
         Code.ENHANCE_YOUR_CALM),
    ],
)  # fmt: skip
def test_a_broken_rule_ends_the_connection_with_its_code(said: bytes, code: Code) -> None:
    peer = Peer()
    peer.say(said)
    assert peer.goodbye() is code
    peer.close()


def test_what_is_not_http2_is_no_connection() -> None:
    peer = Peer(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert peer.goodbye() is Code.PROTOCOL_ERROR
    peer.close()


def test_nothing_that_a_peer_says_hangs_or_outlives_its_connection() -> None:
    chance = random.Random(11)
    block = hpack.Encoder().encode(REQUEST)
    usual = [
        frame(Type.HEADERS, 4, 1, block),
        frame(Type.HEADERS, 5, 3, block),
        frame(Type.DATA, 0, 1, message(b"x" * 50)),
        frame(Type.DATA, 1, 1, message(b"y")),
        frame(Type.SETTINGS, 0, 0, struct.pack("!HIHI", 4, 100, 5, 20_000)),
        frame(Type.WINDOW_UPDATE, 0, 1, (9).to_bytes(4)),
        frame(Type.RST_STREAM, 0, 1, bytes(4)),
        frame(Type.PING, 0, 0, bytes(8)),
        frame(Type.GOAWAY, 0, 0, bytes(8)),
        frame(Type.PRIORITY, 0, 1, bytes(5)),
    ]
    before = threading.active_count()
    for _ in range(2_000):
        said = bytearray(b"".join(chance.choices(usual, k=5)))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(said))
            match chance.randrange(3):
                case 0:
                    said[at] = chance.randrange(256)
                case 1:
                    del said[at : at + chance.randrange(12)]
                case _:
                    said[at:at] = chance.randbytes(chance.randrange(12))
        peer = Peer()
        try:
            peer.say(bytes(said))
            peer.socket.shutdown(socket.SHUT_WR)
            while peer.socket.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended the connection already
        peer.close()
    assert threading.active_count() == before
