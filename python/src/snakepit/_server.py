"""The gRPC service of a worker: one session with one stream at a time, on a Unix socket of its own.

    host                                     worker
     │ Hello ──────────────────────────────▶ │ reader thread: checks, queues, cancels, answers pings
     │ ◀──────────────────────────── Welcome │ gRPC's thread: writes what the outbox holds
     │ batch 1: Call 1, Call 2, Ping ──────▶ │
     │ ◀──── response 1, read 1: Pong, Started 1 │ main thread: runs the tools
     │ ◀─────────── response 2: Done 1, Done 2 │
     ╳                                       │ the stream is cut: calls go on, what they say is kept
     │ Hello, resume, read 1 ──────────────▶ │
     │ ◀───────────── Welcome, read 1 · response 2 │

Another session takes the place of the one before it.
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from snakepit import _wire
from snakepit._catalogue import Catalogue
from snakepit._execute import AT_ONCE, Unary
from snakepit._execution import Executor
from snakepit._health import Health
from snakepit._job import Job
from snakepit._outbox import NeverSaid, Outbox
from snakepit._segments import BadSegment, Received, Written
from snakepit._session import HOLD_SECONDS, Session, Stream

SERVICE = "snakepit.v1.WorkerService"
STREAMS = 8  # one serves; the others are old ones going away, or a host that has not said Hello
SOCKET_PATH_BYTES = 107  # what sun_path holds on Linux
BESIDE_PAYLOAD = 8 * 1024 * 1024  # a batch is 4 MiB or one larger frame: its payload, and what stands around that


def options(max_payload: int) -> list[tuple[str, int]]:
    """Of gRPC's server. What is too large for one frame but not for a message is answered, not cut off."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_payload + BESIDE_PAYLOAD),
        ("grpc.max_send_message_length", -1),
    ]


class BrokenRule(Exception):
    """The host broke a rule of the protocol; the stream ends with this message."""


class Server:
    """Serves `catalogue` to whoever knows `token`; payloads are at most `max_payload` bytes."""

    def __init__(self, executor: Executor, catalogue: Catalogue, token: str, max_payload: int) -> None:
        self._executor = executor
        self._catalogue = catalogue
        self._token = token
        self._max_payload = max_payload
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._health = Health([SERVICE])
        self._server = grpc.server(
            ThreadPoolExecutor(STREAMS + AT_ONCE, "snakepit-stream"), options=options(max_payload)
        )
        unary = Unary(executor, catalogue, token, max_payload)
        execute = grpc.unary_unary_rpc_method_handler(
            unary.execute, _wire.ExecuteRequest.FromString, _wire.ExecuteResponse.SerializeToString
        )
        connect = grpc.stream_stream_rpc_method_handler(
            self._connect, _wire.ConnectRequest.FromString, _wire.ConnectResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(SERVICE, {"Connect": connect, "Execute": execute}),
                self._health,
            ]
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

    def drain(self) -> None:
        """Lets the running calls finish and takes no other. Safe in a signal handler."""
        self._executor.drain()
        self._health.drain()

    def stop(self, grace: float) -> None:
        """Lets the stream write what was said, at most `grace` seconds, and ends it."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            self._abandon(session, "the worker has drained")
        self._server.stop(grace).wait()

    # -- one stream ------------------------------------------------------------------------------------------------

    def _connect(
        self, requests: Iterator[_wire.ConnectRequest], context: grpc.ServicerContext
    ) -> Iterator[_wire.ConnectResponse]:
        stream = Stream()
        context.add_callback(lambda: self._end(stream, ""))
        threading.Thread(target=self._read, args=(requests, stream), name="snakepit-reader", daemon=True).start()
        if (opening := stream.opening.get()) is not None:
            yield opening
            if stream.session is not None and stream.writer is not None:
                yield from stream.session.outbox.responses(stream.writer)
        if stream.ended_because:
            context.set_code(grpc.StatusCode.ABORTED)
            context.set_details(stream.ended_because)

    def _read(self, requests: Iterator[_wire.ConnectRequest], stream: Stream) -> None:
        try:
            for request in requests:
                if stream.session is None:
                    self._open(stream, request)
                else:
                    self._take(stream, stream.session, request)
        except grpc.RpcError:
            pass  # how gRPC ends the requests of a stream that was cut
        except (BrokenRule, NeverSaid, BadSegment) as broken:
            self._end(stream, str(broken))
        finally:
            self._end(stream, "")

    def _end(self, stream: Stream, because: str) -> None:
        stream.ended_because = stream.ended_because or because
        session = stream.session
        if session is not None and stream.writer is not None:
            with session.lock:
                if session.stream is stream:
                    session.stream = None
                    session.expiry = threading.Timer(HOLD_SECONDS, self._expire, [session])
                    session.expiry.daemon = True
                    session.expiry.start()
            session.outbox.detach(stream.writer)
        stream.opening.put(None)

    # -- its first request -----------------------------------------------------------------------------------------

    def _open(self, stream: Stream, request: _wire.ConnectRequest) -> None:
        kinds = [frame.WhichOneof("frame") for frame in request.frames]
        if kinds != ["hello"] or request.batch != 0:
            raise BrokenRule(
                f"expected first a Hello, alone and in batch 0, received {', '.join(map(str, kinds)) or 'nothing'} "
                f"in batch {request.batch}"
            )
        hello = request.frames[0].hello
        refused = self._objection(hello)
        if refused is None and hello.resume:
            refused = self._resume(stream, hello, request.read)
        elif refused is None:
            self._begin(stream, hello)
        if refused is not None:
            stream.opening.put(_wire.ConnectResponse(frames=[_wire.WorkerFrame(refused=refused)]))
            raise BrokenRule(f"refused: {refused.field}")

    def _objection(self, hello: _wire.Hello) -> _wire.Refused | None:
        if hello.protocol != _wire.PROTOCOL:
            return _wire.Refused(field="protocol", expected=str(_wire.PROTOCOL), received=str(hello.protocol))
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            received = "another one" if hello.token else "none"
            return _wire.Refused(field="token", expected="the token this worker was started with", received=received)
        if hello.contract_hash not in (b"", self._catalogue.hash):
            ours, theirs = self._catalogue.hash.hex(), hello.contract_hash.hex()
            return _wire.Refused(field="contract_hash", expected=ours, received=theirs)
        if hello.session == 0:
            return _wire.Refused(field="session", expected="a random number", received="0")
        return None

    def _begin(self, stream: Stream, hello: _wire.Hello) -> None:
        session = Session(hello.session, min(hello.max_payload or self._max_payload, self._max_payload))
        if hello.segments:
            session.written = Written(hello.segments, hello.segment_bytes)
            session.outbox = Outbox(session.written)
            session.received = Received(hello.segments, session.outbox.free)
        with self._lock:
            before, self._session = self._session, session
        if before is not None:
            self._abandon(before, "another session has taken the place of this one")
        self._executor.wait_until_free()
        with self._lock:
            if self._session is not session:
                raise BrokenRule("another session has taken the place of this one")
            self._join(stream, session, 0)
        if hello.rehearse:
            self._executor.rehearse()

    def _resume(self, stream: Stream, hello: _wire.Hello, read: int) -> _wire.Refused | None:
        with self._lock:
            session = self._session
            if session is None or session.id != hello.session:
                expected = "one that this worker has" if session is None else str(session.id)
                return _wire.Refused(field="session", expected=expected, received=str(hello.session))
            before = session.stream
            self._join(stream, session, read)
        if before is not None:
            self._end(before, "another stream has taken the place of this one")
        return None

    def _join(self, stream: Stream, session: Session, read: int) -> None:
        with session.lock:
            stream.writer = session.outbox.attach(read)
            stream.session = session
            session.stream = stream
            if session.expiry is not None:
                session.expiry.cancel()
                session.expiry = None
            welcome = _wire.Welcome(
                protocol=_wire.PROTOCOL,
                pid=os.getpid(),
                tools=self._catalogue.messages(),
                catalogue_hash=self._catalogue.hash,
                concurrency=self._executor.concurrency,
            )
            frames = [_wire.WorkerFrame(welcome=welcome)]
            stream.opening.put(_wire.ConnectResponse(read=session.batch, frames=frames))

    def _expire(self, session: Session) -> None:
        with self._lock:
            if self._session is not session or session.expiry is not threading.current_thread():
                return  # a stream was quicker
            self._session = None
        self._abandon(session, "")

    def _abandon(self, session: Session, because: str) -> None:
        with session.lock:
            stream, session.stream = session.stream, None
            if session.expiry is not None:
                session.expiry.cancel()
        if stream is not None:
            stream.ended_because = stream.ended_because or because
        session.outbox.end()
        self._executor.abandon(session.outbox)
        if session.written is not None:
            session.written.close()

    # -- its other requests ----------------------------------------------------------------------------------------

    def _take(self, stream: Stream, session: Session, request: _wire.ConnectRequest) -> None:
        with session.lock:
            if session.stream is not stream:
                return  # it is ending; a stream that takes its place is told again
            session.outbox.forget(request.read)
            if request.batch == 0 and not request.frames:
                return
            if request.batch != session.batch + 1:
                raise BrokenRule(
                    f"expected batch {session.batch + 1}, received {request.batch}; "
                    "batches of a session count from 1, over all its streams"
                )
            session.batch = request.batch
            session.outbox.read(request.batch)
            calls: list[Job] = []
            now = time.monotonic()
            for frame in request.frames:
                if frame.HasField("call"):
                    self._call(session, frame.call, now, calls)
                    continue
                # it may speak of a call that came before it
                self._executor.submit(*calls)
                calls.clear()
                self._frame(session, frame)
            self._executor.submit(*calls)
            # what is said of its calls acknowledges a batch as well
            if calls:
                session.outbox.acknowledge_in_time()
            else:
                session.outbox.acknowledge()

    def _frame(self, session: Session, frame: _wire.HostFrame) -> None:
        match frame.WhichOneof("frame"):
            case "credit":
                self._executor.give_credit(frame.credit.id, frame.credit.elements)
            case "input":
                self._executor.give_input(frame.input.id, _payload(session, frame.input))
            case "free":
                _free(session, frame.free)
            case "input_end":
                self._executor.end_input(frame.input_end.id, frame.input_end.failure)
            case "cancel":
                self._executor.cancel(frame.cancel.id)
            case "ping":
                session.outbox.pong(frame.ping.id)
            case "drain":
                self._executor.hold(session.outbox)
            case "hello":
                raise BrokenRule("expected no second Hello")
            case _:
                pass  # a frame of a newer protocol that the host may send unasked

    def _call(self, session: Session, call: _wire.Call, now: float, calls: list[Job]) -> None:
        tools = self._catalogue.tools
        function, tool, deadline_ms = call.function, call.tool, call.deadline_ms
        if not function and tool >= len(tools):
            session.outbox.unknown(call.id, f"no tool has id {tool}; Welcome listed {len(tools)} from 0")
            return
        calls.append(
            Job(
                id=call.id,
                tool=None if function else tools[tool],
                arguments=_payload(session, call),
                deadline=now + deadline_ms / 1000 if deadline_ms else None,
                credit=call.credit,
                skip=call.skip,
                max_payload=session.max_payload,
                outbox=session.outbox,
                session=call.session,
                trace=call.trace,
                function=function,
                received=session.received,
            )
        )


def _payload(session: Session, message: _wire.Call | _wire.Input) -> bytes | memoryview:
    payload = message.payload
    if payload or not message.HasField("shared"):
        return payload
    if session.received is None:
        raise BrokenRule("a payload is said to be in a segment, and Hello named no folder of segments")
    session.received.collect()
    return session.received.view(message.shared.segment, message.shared.length)


def _free(session: Session, free: _wire.Free) -> None:
    for segment in free.segments:
        if session.written is None:
            raise BrokenRule("segments are free, it is said, and Hello named no folder of segments")
        session.written.free(segment)
