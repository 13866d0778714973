"""A session over streams that are cut at any message, and against a host that says anything at all."""

from __future__ import annotations

import random
from collections import deque
from typing import cast

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snakepit import _wire
from snakepit._catalogue import Catalogue
from snakepit._execution import Executor
from snakepit._grpc import Call, Status
from snakepit._lookout import Lookout
from snakepit._server import BrokenRule, Connect, Server
from snakepit._tool import tool
from worker_host import PATIENCE, TOKEN, WorkerProcess, opened
from worker_host import Stream as HostStream


@tool
def add(a: int, b: int = 1) -> int:
    return a + b


class Heard(Executor):
    """Keeps what the host said, and runs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled: list[int] = []

    def cancel(self, id: int) -> None:
        self.cancelled.append(id)


def hello(session: int, resume: bool = False) -> _wire.HostFrame:
    return _wire.HostFrame(hello=_wire.Hello(protocol=1, token=TOKEN, session=session, resume=resume))


class Said:
    """A call of gRPC's of which what the worker says is kept."""

    def __init__(self) -> None:
        self.limit = 1 << 20
        self.lookout = Lookout(Executor())
        self.messages: deque[bytes] = deque()
        self.ended_with: tuple[Status, str] | None = None

    def send(self, message: bytes) -> None:
        assert self.ended_with is None
        self.messages.append(message)

    def finish(self, status: Status, details: str = "") -> None:
        assert self.ended_with is None
        self.ended_with = (status, details)

    def next(self) -> _wire.ConnectResponse:
        return _wire.ConnectResponse.FromString(self.messages.popleft())


def connect(server: Server) -> tuple[Connect, Said]:
    said = Said()
    return Connect(server, cast("Call", said)), said


class Host:
    """The host's end in memory, as `proto/README.md` has it, over streams that can be cut at any message."""

    def __init__(self, server: Server, session: int) -> None:
        self._server = server
        self._session = session
        self._kept: deque[_wire.ConnectRequest] = deque()
        self._written = 0
        self._batches = 0
        self.heard: list[int] = []
        self._read = 0
        self._resumes = False
        self._open()

    def _open(self) -> None:
        self._stream, self._said = connect(self._server)
        self._to_worker = deque([_wire.ConnectRequest(read=self._read, frames=[hello(self._session, self._resumes)])])
        self._welcomed = False
        self._is_cut = False

    def says(self, id: int) -> None:
        self._batches += 1
        cancel = _wire.HostFrame(cancel=_wire.Cancel(id=id))
        self._kept.append(_wire.ConnectRequest(batch=self._batches, frames=[cancel]))
        self._write()

    def _write(self) -> None:
        if self._welcomed and not self._is_cut:
            for request in self._kept:
                if request.batch > self._written:
                    request.read = self._read
                    self._to_worker.append(request)
                    self._written = request.batch

    def to_worker(self) -> None:
        if self._is_cut or not self._to_worker:
            return
        request = self._to_worker.popleft()
        self._server.hear(self._stream, request)
        if self._stream.session is not None:
            self._stream.session.outbox.push()

    def to_host(self) -> None:
        if self._is_cut or not self._said.messages:
            return
        response = self._said.next()
        if not self._welcomed:
            assert response.frames[0].HasField("welcome")
            self._welcomed = self._resumes = True
            self._forget(response.read)
            self._written = response.read
            self._write()
        else:
            self._forget(response.read)
            if response.batch:
                assert response.batch == self._read + 1
                self._read = response.batch
                self.heard += [frame.done.id for frame in response.frames]

    def _forget(self, read: int) -> None:
        while self._kept and self._kept[0].batch <= read:
            self._kept.popleft()

    def cut(self) -> None:
        if not self._is_cut:
            self._is_cut = True
            self._stream.lost()

    def dial(self) -> None:
        if self._is_cut:
            self._open()

    def settle(self) -> None:
        self.cut()
        self.dial()
        for _ in range(200):
            self.to_worker()
            self.to_host()


@pytest.fixture(scope="module")
def server() -> Server:
    """One for all: making one costs more than a schedule."""
    return Server(Executor(), Catalogue([add]), TOKEN, 1 << 20)


sessions = iter(range(1, 1 << 30))
steps = st.sampled_from(
    ["host says", "worker says", "to worker", "to host", "to worker", "to host", "cut", "dial", "worker says later"]
)


@settings(max_examples=2000)
@given(schedule=st.lists(steps, min_size=5, max_size=50))
def test_every_frame_arrives_once_and_in_order_whenever_streams_are_cut(server: Server, schedule: list[str]) -> None:
    server._executor = executor = Heard()
    host = Host(server, next(sessions))
    host.to_worker()
    host.to_host()
    session = server._session
    assert session is not None
    host_said = worker_said = 0
    for step in schedule:
        match step:
            case "host says":
                host_said += 1
                host.says(host_said)
            case "worker says" | "worker says later":
                worker_said += 1
                session.outbox.started(worker_said)
                session.outbox.done(worker_said, b"x", 1)
                if step == "worker says":
                    session.outbox.push()
            case "to worker":
                host.to_worker()
            case "to host":
                host.to_host()
            case "cut":
                host.cut()
            case "dial":
                host.dial()
    host.settle()
    assert executor.cancelled == list(range(1, host_said + 1))
    assert host.heard == list(range(1, worker_said + 1))
    host.cut()
    assert session.expiry is not None
    session.expiry.cancel()


def requests() -> list[_wire.ConnectRequest]:
    frame = _wire.HostFrame
    said = [
        frame(call=_wire.Call(id=300, tool=0, payload=b"\x81\xa1a\x01", deadline_ms=1000, credit=3, session="s")),
        frame(call=_wire.Call(id=301, tool=7)),
        frame(call=_wire.Call(id=302, function="os:abort")),
        frame(cancel=_wire.Cancel(id=300)),
        frame(credit=_wire.Credit(id=300, elements=1 << 31)),
        frame(input=_wire.Input(id=300, payload=b"\xc0")),
        frame(input_end=_wire.InputEnd(id=300, failure="it failed")),
        frame(session_start=_wire.SessionStart(session="s", data=b"\xc0")),
        frame(session_end=_wire.SessionEnd(number=1 << 40, session="s", limit_ms=1)),
        frame(session_end=_wire.SessionEnd()),
        frame(ping=_wire.Ping(id=1)),
        frame(drain=_wire.Drain()),
    ]
    failure = _wire.HostFailure(reason="raised", message="m", tag="t", data=b"\xc1")
    answers = [
        frame(host_result=_wire.HostResult(number=1, payload=b"\xc0")),
        frame(host_result=_wire.HostResult(number=2, failure=failure)),
    ]
    return [
        _wire.ConnectRequest(batch=1, frames=said),
        _wire.ConnectRequest(batch=1, frames=said[:1] + answers),
        _wire.ConnectRequest(batch=1, read=1, frames=said[:3]),
        _wire.ConnectRequest(frames=[hello(1)]),
        _wire.ConnectRequest(frames=[hello(1, resume=True)]),
        _wire.ConnectRequest(read=1),
    ]


def damaged(message: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(40))
    data = bytearray(message)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(5):
            case 0 if data:
                data[at] = chance.randrange(256)
            case 1 if data:
                del data[at]
            case 2:
                data.insert(at, chance.randrange(256))
            case 3:
                del data[at:]
            case _:
                data[at:at] = bytes(0x80 | chance.randrange(128) for _ in range(chance.randint(1, 10)))
    return bytes(data)


def test_what_is_no_message_or_breaks_a_rule_ends_the_stream_and_nothing_else(server: Server) -> None:
    chance = random.Random(5)
    server._executor = Executor()
    ended = 0
    for number in range(10_000):
        raw = damaged(chance.choice(requests()).SerializeToString(), chance)
        stream, said = connect(server)
        if number % 2:
            stream.message(_wire.ConnectRequest(frames=[hello(number + 2)]).SerializeToString())
            assert said.next().frames[0].HasField("welcome")
        stream.message(raw)
        if said.ended_with is not None:
            ended += 1
            assert said.ended_with[0] in (Status.ABORTED, Status.INTERNAL)
            assert said.ended_with[1]
        stream.lost()
    assert ended > 5000
    last, said = connect(server)
    last.message(_wire.ConnectRequest(frames=[hello(1)]).SerializeToString())
    last.message(_wire.ConnectRequest(batch=1, frames=[_wire.HostFrame(ping=_wire.Ping(id=7))]).SerializeToString())
    assert said.next().frames[0].HasField("welcome")
    assert said.next().frames[0].pong.id == 7
    last.lost()
    assert last.session is not None
    assert last.session.expiry is not None
    last.session.expiry.cancel()


def test_a_session_that_stays_without_a_stream_is_abandoned(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snakepit._server.HOLD_SECONDS", 0)
    id, (stream, _) = next(sessions), connect(server)
    server.hear(stream, _wire.ConnectRequest(frames=[hello(id)]))
    session = stream.session
    assert session is not None
    stream.lost()
    assert session.expiry is not None
    session.expiry.join(PATIENCE)
    with pytest.raises(BrokenRule, match="refused: session"):
        server.hear(connect(server)[0], _wire.ConnectRequest(frames=[hello(id, resume=True)]))


def threads(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))


def ending(channel: grpc.Channel, said: list[bytes]) -> grpc.StatusCode:
    """How a stream ends on which these messages are said, and no more."""
    connect = channel.stream_stream("/snakepit.v1.WorkerService/Connect")
    responses = connect(iter(said), timeout=PATIENCE)
    try:
        for _ in responses:
            pass
    except grpc.RpcError:
        pass
    return responses.code()


def test_a_real_worker_outlives_a_host_that_says_anything(shared_worker: WorkerProcess) -> None:
    chance = random.Random(7)
    pid = shared_worker.process.pid
    before = 0
    with grpc.insecure_channel(f"unix:{shared_worker.socket}") as channel:
        for number in range(200):
            first = _wire.ConnectRequest(frames=[hello(number + 1)]).SerializeToString()
            said = [first] * (number % 2) + [damaged(chance.choice(requests()).SerializeToString(), chance)]
            how = ending(channel, said)
            assert how in (grpc.StatusCode.OK, grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL)
            before = before or threads(pid) * (number > 50)
    for stream in opened(shared_worker.socket):
        stream.call(1 << 40, "add", a=1)
        assert stream.result(1 << 40) == 2
        assert threads(pid) <= before + 4


def test_a_stream_that_is_cut_among_thousands_of_results_loses_none(shared_worker: WorkerProcess) -> None:
    base = 1 << 41
    cut, newer = HostStream(shared_worker.socket), HostStream(shared_worker.socket)
    cut.welcome()
    cut.send(*[cut.call_frame(base + number, "add", a=number) for number in range(2000)])
    cut.until(lambda: len(cut.of("done")) > 10)
    cut.close()
    cut.await_end()
    newer.resume(cut)
    newer.until(lambda: len(cut.of("done")) + len(newer.of("done")) == 2000)
    assert [frame.done.id - base for frame in cut.of("done") + newer.of("done")] == list(range(2000))
    newer.close()
