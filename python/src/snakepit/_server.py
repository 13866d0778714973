"""The gRPC service of a worker: one session with one stream at a time, on a Unix socket of its own.

    host                                     worker
     │ Hello ──────────────────────────────▶ │ whoever reads: checks, queues, cancels, answers pings
     │ ◀──────────────────────────── Welcome │
     │ batch 1: Call 1, Call 2, Ping ──────▶ │
     │ ◀──── response 1, read 1: Pong, Started 1 │ main thread: runs the tools, and sends what they say
     │ ◀─────────── response 2: Done 1, Done 2 │
     ╳                                       │ the stream is cut: calls go on, what they say is kept
     │ Hello, resume, read 1 ──────────────▶ │
     │ ◀───────────── Welcome, read 1 · response 2 │

Another session takes the place of the one before it.
"""

from __future__ import annotations

import hmac
import os
import socket as sockets
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from selectors import EVENT_READ, DefaultSelector

from google.protobuf.message import DecodeError

from snakepit import _wire
from snakepit._catalogue import Catalogue
from snakepit._execute import Unary
from snakepit._execution import Executor
from snakepit._grpc import Call, Services, Status
from snakepit._health import Health
from snakepit._host import Host
from snakepit._http2 import Connection
from snakepit._hub import hub
from snakepit._job import Job
from snakepit._lookout import Lookout
from snakepit._outbox import NeverSaid, Outbox
from snakepit._segments import BadSegment, Received, Written
from snakepit._session import HOLD_SECONDS, Session

SERVICE = "snakepit.v1.WorkerService"
CONNECTIONS = 32  # each has a thread; a host has one, and others ask for health or a call
BACKLOG = 32  # that wait to be accepted
ACCEPT_AGAIN_SECONDS = 0.05  # a failure that lasts costs no processor
SOCKET_PATH_BYTES = 107  # what sun_path holds on Linux
BESIDE_PAYLOAD = 8 * 1024 * 1024  # a batch is 4 MiB or one larger frame: its payload, and what stands around that
HELLO_BYTES = 64 * 1024  # of what somebody says who has not shown the token


class BrokenRule(Exception):
    """The host broke a rule of the protocol; the stream ends with this message."""


class Server:
    """Serves `catalogue` to whoever knows `token`; payloads are at most `max_payload` bytes.

    `rename` is told what the host calls this worker from now on.
    """

    def __init__(
        self,
        executor: Executor,
        catalogue: Catalogue,
        token: str,
        max_payload: int,
        rename: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._rename = rename
        self._executor = executor
        self._catalogue = catalogue
        self._token = token
        self._max_payload = max_payload
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._health = Health([SERVICE])
        unary = Unary(executor, catalogue, token, max_payload)
        self._services = Services(
            {
                f"/{SERVICE}/Connect": lambda call: Connect(self, call),
                f"/{SERVICE}/Execute": unary.begin,
                **self._health.methods,
            },
            limit=max_payload + BESIDE_PAYLOAD,
        )
        self._connections: set[Connection] = set()
        self._signal, self._signalled = sockets.socketpair()
        self._stopping = False

    def start(self, socket: str) -> None:
        """Binds the socket, readable by this user only, and serves; raises OSError when it cannot."""
        if len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
            raise OSError(f"socket path {socket!r} is longer than {SOCKET_PATH_BYTES} bytes; use a shorter folder")
        listener = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(socket)
        except OSError as problem:
            raise OSError(f"cannot bind {socket!r}: {problem}; does its folder exist, and is it ours?") from None
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
        threading.Thread(target=self._listen, args=(listener,), name="snakepit-listener", daemon=True).start()

    def drain(self) -> None:
        """Lets the running calls finish and takes no other. Safe in a signal handler: takes no lock."""
        self._executor.drain()
        self._signal.send(b"d")

    def stop(self, grace: float) -> None:
        """Lets the stream write what was said, at most `grace` seconds, and ends it."""
        with self._lock:
            session, self._session = self._session, None
            self._stopping = True
        if session is not None:
            self._abandon(session, "the worker has drained")
        self._signal.send(b"s")
        until = time.monotonic() + grace
        for connection in list(self._connections):
            connection.finish(max(0.0, until - time.monotonic()))

    # -- connections -----------------------------------------------------------------------------------------------

    def _listen(self, listener: sockets.socket) -> None:
        with listener, DefaultSelector() as selector:
            selector.register(listener, EVENT_READ)
            selector.register(self._signalled, EVENT_READ)
            while not self._stopping:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        self._accept(listener)
                    elif b"d" in self._signalled.recv(16):
                        self._health.drain()

    def _accept(self, listener: sockets.socket) -> None:
        try:
            peer, _ = listener.accept()
        except OSError:  # it is gone already, or there is no file descriptor left: that it may be asked again at once
            time.sleep(ACCEPT_AGAIN_SECONDS)
            return
        if len(self._connections) >= CONNECTIONS:
            peer.close()
            return
        lookout = Lookout(self._executor)
        connection = Connection(peer, partial(self._services.accept, lookout))
        self._connections.add(connection)
        threading.Thread(
            target=self._watch, args=(lookout, connection, peer), name="snakepit-lookout", daemon=True
        ).start()

    def _watch(self, lookout: Lookout, connection: Connection, peer: sockets.socket) -> None:
        try:
            with peer:
                connection.start()
                lookout.watch(connection)
        finally:
            self._connections.discard(connection)

    # -- one stream ------------------------------------------------------------------------------------------------

    def hear(self, stream: Connect, request: _wire.ConnectRequest) -> None:
        """The next message of a stream; raises BrokenRule or NeverSaid, after which it has to end."""
        if stream.session is not None:
            self._take(stream, stream.session, request)
        elif stream.opened:
            raise BrokenRule("expected nothing more before the Welcome")
        else:
            stream.opened = True
            self._open(stream, request)

    def end(self, stream: Connect, because: str) -> None:
        """The stream is over, cut or by its end; without `because` nobody is to blame."""
        session = stream.session
        if session is not None:
            with session.lock:
                if session.stream is stream:
                    session.stream = None
                    session.expiry = threading.Timer(HOLD_SECONDS, self._expire, [session])
                    session.expiry.daemon = True
                    session.expiry.start()
            session.outbox.detach(stream)
        stream.finish(because)

    # -- its first request -----------------------------------------------------------------------------------------

    def _open(self, stream: Connect, request: _wire.ConnectRequest) -> None:
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
            stream.say(_wire.ConnectResponse(frames=[_wire.WorkerFrame(refused=refused)]))
            raise BrokenRule(f"refused: {refused.field}")

    def _objection(self, hello: _wire.Hello) -> _wire.Refused | None:
        if hello.protocol != _wire.PROTOCOL:
            return _wire.Refused(field="protocol", expected=str(_wire.PROTOCOL), received=str(hello.protocol))
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            received = "another one" if hello.token else "none"
            return _wire.Refused(field="token", expected="the token this worker was started with", received=received)
        if hello.segments and not (os.path.isabs(hello.segments) and hello.segments.isprintable()):
            return _wire.Refused(field="segments", expected="an absolute path", received=repr(hello.segments))
        if hello.session == 0:
            return _wire.Refused(field="session", expected="a random number", received="0")
        return None

    def _begin(self, stream: Connect, hello: _wire.Hello) -> None:
        session = Session(hello.session, min(hello.max_payload or self._max_payload, self._max_payload))
        if hello.segments:
            session.written = Written(hello.segments, hello.segment_bytes)
            session.outbox = Outbox(session.written)
            session.received = Received(hello.segments, session.outbox.free)
        session.host = Host(session.outbox, self._executor)
        with self._lock:
            before, self._session = self._session, session
        if before is not None:
            self._abandon(before, "another session has taken the place of this one")
            _remove(before)
        self._executor.when_free(partial(self._welcome, stream, session, rehearse=hello.rehearse))

    def _welcome(self, stream: Connect, session: Session, *, rehearse: bool) -> None:
        with self._lock:
            replaced = self._session is not session
            if not replaced:
                self._join(stream, session, 0)
        if replaced:
            self.end(stream, "another session has taken the place of this one")
        elif stream.over:  # meanwhile, when nobody could be told
            self.end(stream, "")
        elif rehearse:
            self._executor.rehearse()

    def _resume(self, stream: Connect, hello: _wire.Hello, read: int) -> _wire.Refused | None:
        with self._lock:
            session = self._session
            if session is None or session.id != hello.session:
                expected = "one that this worker has" if session is None else str(session.id)
                return _wire.Refused(field="session", expected=expected, received=str(hello.session))
            before = session.stream
            self._join(stream, session, read)
        if before is not None:
            before.finish("another stream has taken the place of this one")
        return None

    def _join(self, stream: Connect, session: Session, read: int) -> None:
        welcome = _wire.Welcome(
            protocol=_wire.PROTOCOL,
            pid=os.getpid(),
            tools=self._catalogue.messages(),
            catalogue_hash=self._catalogue.hash,
            concurrency=self._executor.concurrency,
        )
        with session.lock:
            session.outbox.check(read)
            stream.session = session
            session.stream = stream
            if session.expiry is not None:
                session.expiry.cancel()
                session.expiry = None
            stream.say(_wire.ConnectResponse(read=session.batch, frames=[_wire.WorkerFrame(welcome=welcome)]))
            session.outbox.attach(stream, read)
        self._executor.lead(stream.lookout)

    def _expire(self, session: Session) -> None:
        with self._lock:
            if self._session is not session or session.expiry is not threading.current_thread():
                return  # a stream was quicker
            self._session = None
        self._abandon(session, "")
        _remove(session)

    def _give_up(self, session: Session, because: str) -> None:
        """It cannot go on. What it has written stays for a host that has not read it yet, who removes the folder."""
        with self._lock:
            if self._session is session:
                self._session = None
        self._abandon(session, because)

    def _abandon(self, session: Session, because: str) -> None:
        with session.lock:
            stream, session.stream = session.stream, None
            if session.expiry is not None:
                session.expiry.cancel()
        hub.leave(session.outbox)
        session.outbox.end()
        if session.host is not None:
            session.host.end(because or "the host has not come back in time")
        if stream is not None:
            stream.finish(because)
        self._executor.abandon(session.outbox)

    # -- its other requests ----------------------------------------------------------------------------------------

    def _take(self, stream: Connect, session: Session, request: _wire.ConnectRequest) -> None:
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
            try:
                self._frames(session, request.frames)
                return
            except Exception as problem:
                failed = problem
        # the batch counts as read, so nobody says the rest of it again: only a new session is told what it has lost
        self._give_up(session, str(failed) or repr(failed))
        raise failed

    def _frames(self, session: Session, frames: Iterable[_wire.HostFrame]) -> None:
        calls: list[Job] = []
        now = time.monotonic()
        for frame in frames:
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
            session.outbox.push_prompt()
            session.outbox.acknowledge_later()
        else:
            session.outbox.push()

    def _frame(self, session: Session, frame: _wire.HostFrame) -> None:
        match frame.WhichOneof("frame"):
            case "credit":
                self._executor.give_credit(frame.credit.id, frame.credit.elements)
            case "input":
                self._executor.give_input(frame.input.id, _payload(session, frame.input))
            case "free":
                _free(session, frame.free)
            case "host_result":
                _answer(session, frame.host_result)
            case "input_end":
                self._executor.end_input(frame.input_end.id, frame.input_end.failure)
            case "cancel":
                self._executor.cancel(frame.cancel.id)
            case "ping":
                session.outbox.pong(frame.ping.id)
            case kind:
                self._of_session(session, kind, frame)

    def _of_session(self, session: Session, kind: str | None, frame: _wire.HostFrame) -> None:
        match kind:  # others are of a newer protocol, which the host may send unasked
            case "session_start":
                self._session_start(session, frame.session_start)
            case "session_end":
                self._session_end(session, frame.session_end)
            case "telemetry_control":
                hub.control(session.outbox, frame.telemetry_control)
            case "rename":
                self._rename(frame.rename.name)
            case "drain":
                self._executor.hold(session.outbox)
            case "hello":
                raise BrokenRule("expected no second Hello")

    def _session_start(self, session: Session, start: _wire.SessionStart) -> None:
        if not start.session or len(start.data) > session.max_payload:
            raise BrokenRule(
                f"expected a session with at most {session.max_payload} bytes of data, received "
                f"{start.session!r} with {len(start.data)}"
            )
        self._executor.announce(session.outbox, start.session, start.data)

    def _session_end(self, session: Session, end: _wire.SessionEnd) -> None:
        told = partial(session.outbox.session_ended, end.number)
        self._executor.end_session(end.session, told, end.limit_ms / 1000)

    def _call(self, session: Session, call: _wire.Call, now: float, calls: list[Job]) -> None:
        tools = self._catalogue.tools
        id, tool, function, deadline_ms = call.id, call.tool, call.function, call.deadline_ms
        if not function and tool >= len(tools):
            session.outbox.unknown(id, f"no tool has id {tool}; Welcome listed {len(tools)} from 0")
            return
        job = Job(
            id,
            None if function else tools[tool],
            call.payload or _payload(session, call),
            session.outbox,
            session.max_payload,
        )
        if deadline_ms:
            job.deadline = now + deadline_ms / 1000
        job.function = function
        job.host = session.host
        job.received = session.received
        if credit := call.credit:
            job.credit = credit
        if skip := call.skip:
            job.skip = skip
        if name := call.session:
            job.session = name
        if trace := call.trace:
            job.trace, job.trace_state = trace, call.trace_state
        calls.append(job)


def _payload(session: Session, message: _wire.Call | _wire.Input | _wire.HostResult) -> bytes | memoryview:
    payload = message.payload
    if payload or not message.HasField("shared"):
        return payload
    if session.received is None:
        raise BrokenRule("a payload is said to be in a segment, and Hello named no folder of segments")
    session.received.collect()
    return session.received.view(message.shared.segment, message.shared.length)


def _answer(session: Session, result: _wire.HostResult) -> None:
    assert session.host is not None
    payload = _payload(session, result)
    failure = None
    if result.HasField("failure"):
        said = result.failure
        failure = (said.reason, said.message, said.tag, said.data)
    try:
        session.host.answer(result.number, payload, failure)
    except KeyError:
        raise BrokenRule(f"host call {result.number} is answered, and none of that number waits for it") from None


def _remove(session: Session) -> None:
    """What a session that is over has written; not at the end of the worker, whose last results are yet to be read."""
    if session.written is not None:
        session.written.close()


def _free(session: Session, free: _wire.Free) -> None:
    for segment in free.segments:
        if session.written is None:
            raise BrokenRule("segments are free, it is said, and Hello named no folder of segments")
        session.written.free(segment)


class Connect:
    """One stream: hears the host, and takes what the outbox of its session sends."""

    def __init__(self, server: Server, call: Call) -> None:
        self.session: Session | None = None
        self.opened = False
        """Its Hello was heard."""
        self.over = False
        self._server = server
        self._call = call
        self.lookout = call.lookout
        self._most = call.limit
        call.limit = HELLO_BYTES

    def message(self, message: bytes) -> None:
        if self.over:
            return
        try:
            self._server.hear(self, _wire.ConnectRequest.FromString(message))
            self._call.limit = self._most
        except DecodeError:
            self.over = True
            self._server.end(self, "")
            self._call.finish(Status.INTERNAL, "expected a ConnectRequest; what came is none")
        except (BrokenRule, NeverSaid, BadSegment) as broken:
            self._server.end(self, str(broken))

    def ended(self) -> None:
        self._server.end(self, "")

    def lost(self) -> None:
        self.over = True
        self._server.end(self, "")

    def say(self, response: _wire.ConnectResponse) -> None:
        self.send(response.SerializeToString())

    def send(self, response: bytes) -> None:
        self._call.send(response)

    def wait_until_sent(self, timeout: float) -> None:
        self._call.wait_until_sent(timeout)

    def finish(self, because: str) -> None:
        """Ends the stream; with a reason, the worker has ended it."""
        if not self.over:
            self.over = True
            self._call.finish(Status.ABORTED if because else Status.OK, because)
