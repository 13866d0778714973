"""The gRPC service of a worker: one stream at a time, on a Unix socket of its own.

    host                                     worker
     │ batch 1: Hello ─────────────────────▶ │ reader thread: checks, queues, cancels, answers pings
     │ ◀──────────────────── Welcome, read 1 │ gRPC's thread: writes what the outbox holds
     │ batch 2: Call 1, Call 2, Ping ──────▶ │
     │ ◀──────────── Pong, Started 1, read 2 │ main thread: runs the tools
     │ ◀────────── Done 1, Started 2, Done 2 │

A stream that says a good Hello takes the place of the one before it.
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc

from snakepit import _wire
from snakepit._catalogue import Catalogue
from snakepit._execution import Executor
from snakepit._job import Job
from snakepit._outbox import Outbox

STREAMS = 8  # one serves; the others are old ones going away, or a host that has not said Hello
SOCKET_PATH_BYTES = 107  # what sun_path holds on Linux
OPTIONS = [
    ("grpc.so_reuseport", 0),
    # a batch holds several frames, each within max_payload: the worker checks them one by one
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


class BrokenRule(Exception):
    """The host broke a rule of the protocol; the stream ends with this message."""


@dataclass(slots=True, eq=False)
class Stream:
    """One Connect, from its first batch on."""

    outbox: Outbox
    batch: int = 0
    max_payload: int = 0
    welcomed: bool = False
    ended_because: str = ""


class Server:
    """Serves `catalogue` to whoever knows `token`; payloads are at most `max_payload` bytes."""

    def __init__(self, executor: Executor, catalogue: Catalogue, token: str, max_payload: int) -> None:
        self._executor = executor
        self._catalogue = catalogue
        self._token = token
        self._max_payload = max_payload
        self._lock = threading.Lock()
        self._serving: Stream | None = None
        self._server = grpc.server(ThreadPoolExecutor(STREAMS, "snakepit-stream"), options=OPTIONS)
        connect = grpc.stream_stream_rpc_method_handler(
            self._connect, _wire.ConnectRequest.FromString, _wire.ConnectResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("snakepit.v1.WorkerService", {"Connect": connect})]
        )

    def start(self, socket: str) -> None:
        """Binds the socket, readable by this user only, and serves; raises OSError when it cannot."""
        if len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
            raise OSError(f"socket path {socket!r} is longer than {SOCKET_PATH_BYTES} bytes; use a shorter folder")
        before = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{socket}")
        except RuntimeError as problem:
            raise OSError(f"cannot bind {socket!r}: {problem}; does its folder exist, and is it ours?") from None
        finally:
            os.umask(before)
        self._server.start()

    def stop(self, grace: float) -> None:
        """Lets the streams write what was said, at most `grace` seconds, and ends them."""
        with self._lock:
            serving, self._serving = self._serving, None
        if serving is not None:
            self._end(serving, "the worker has drained")
        self._server.stop(grace).wait()

    def _connect(
        self, requests: Iterator[_wire.ConnectRequest], context: grpc.ServicerContext
    ) -> Iterator[_wire.ConnectResponse]:
        stream = Stream(Outbox())
        context.add_callback(lambda: self._end(stream, ""))
        threading.Thread(target=self._read, args=(requests, stream), name="snakepit-reader", daemon=True).start()
        yield from stream.outbox
        if stream.ended_because:
            context.set_code(grpc.StatusCode.ABORTED)
            context.set_details(stream.ended_because)

    def _read(self, requests: Iterator[_wire.ConnectRequest], stream: Stream) -> None:
        try:
            for request in requests:
                self._batch(stream, request)
        except grpc.RpcError:
            pass  # how gRPC ends the requests of a stream that was cut
        except BrokenRule as broken:
            self._end(stream, str(broken))
        finally:
            self._end(stream, "")

    def _batch(self, stream: Stream, request: _wire.ConnectRequest) -> None:
        stream.batch += 1
        if request.batch != stream.batch:
            raise BrokenRule(f"expected batch {stream.batch}, received {request.batch}; batches count from 1")
        stream.outbox.read(request.batch)
        for frame in request.frames:
            self._frame(stream, frame)
        # an idle main thread got a call just now and acknowledges with its first word on it
        if not self._executor.idle or not any(frame.HasField("call") for frame in request.frames):
            stream.outbox.acknowledge()

    def _frame(self, stream: Stream, frame: _wire.HostFrame) -> None:
        kind = frame.WhichOneof("frame")
        if stream.welcomed == (kind == "hello"):
            raise BrokenRule(f"expected {'no second' if stream.welcomed else 'first a'} Hello, received {kind}")
        match kind:
            case "call":
                self._call(stream, frame.call)
            case "credit":
                self._executor.give_credit(frame.credit.id, frame.credit.elements)
            case "input":
                self._executor.give_input(frame.input.id, frame.input.payload)
            case "input_end":
                self._executor.end_input(frame.input_end.id, frame.input_end.failure)
            case "cancel":
                self._executor.cancel(frame.cancel.id)
            case "ping":
                stream.outbox.pong(frame.ping.id)
            case "drain":
                self._executor.hold(stream.outbox)
            case "hello":
                self._hello(stream, frame.hello)
            case _:
                pass  # a frame of a newer protocol that the host may send unasked

    def _hello(self, stream: Stream, hello: _wire.Hello) -> None:
        refused = self._objection(hello)
        if refused is not None:
            stream.outbox.refused(refused)
            raise BrokenRule(f"refused: {refused.field}")
        stream.welcomed = True
        stream.max_payload = min(hello.max_payload or self._max_payload, self._max_payload)
        with self._lock:
            before, self._serving = self._serving, stream
        if before is not None:
            self._end(before, "another stream has taken the place of this one")
        self._executor.wait_until_free()
        stream.outbox.welcome(
            _wire.Welcome(
                protocol=_wire.PROTOCOL,
                pid=os.getpid(),
                tools=self._catalogue.messages(),
                catalogue_hash=self._catalogue.hash,
                concurrency=self._executor.concurrency,
            )
        )
        if hello.rehearse:
            self._executor.rehearse()

    def _objection(self, hello: _wire.Hello) -> _wire.Refused | None:
        if hello.protocol != _wire.PROTOCOL:
            return _wire.Refused(field="protocol", expected=str(_wire.PROTOCOL), received=str(hello.protocol))
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            received = "another one" if hello.token else "none"
            return _wire.Refused(field="token", expected="the token this worker was started with", received=received)
        return None

    def _call(self, stream: Stream, call: _wire.Call) -> None:
        known = len(self._catalogue.tools)
        if not call.function and call.tool >= known:
            stream.outbox.unknown(
                call.id, f"no tool has id {call.tool}; the Welcome of this stream listed {known} from 0"
            )
            return
        self._executor.submit(
            Job(
                id=call.id,
                tool=None if call.function else self._catalogue.tools[call.tool],
                arguments=call.payload,
                deadline=time.monotonic() + call.deadline_ms / 1000 if call.deadline_ms else None,
                credit=call.credit,
                skip=call.skip,
                max_payload=stream.max_payload,
                outbox=stream.outbox,
                session=call.session,
                trace=call.trace,
                function=call.function,
            )
        )

    def _end(self, stream: Stream, because: str) -> None:
        with self._lock:
            if self._serving is stream:
                self._serving = None
        stream.ended_because = stream.ended_because or because
        stream.outbox.end()
        self._executor.abandon(stream.outbox)
