"""The unary call of a worker, as a client in any language makes it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from snakepit import _wire
from snakepit._execute import TRAILER_BYTES, fitting
from worker_host import PATIENCE, TOKEN, Stream, WorkerProcess

Execute = Callable[..., Any]


@pytest.fixture
def channel(shared_worker: WorkerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"unix:{shared_worker.socket}") as channel:
        yield channel


def start(channel: grpc.Channel, tool: str, token: str = TOKEN, timeout: float = PATIENCE, **arguments: object) -> Any:
    call = channel.unary_unary(
        "/snakepit.v1.WorkerService/Execute",
        request_serializer=_wire.ExecuteRequest.SerializeToString,
        response_deserializer=_wire.ExecuteResponse.FromString,
    )
    payload = msgspec.msgpack.encode(arguments)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    return call.future(_wire.ExecuteRequest(tool=tool, payload=payload), timeout=timeout, metadata=metadata)


def refused(started: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError):
        started.result()
    return started.code(), started.details()


def test_a_call_returns_its_result(channel: grpc.Channel) -> None:
    assert msgspec.msgpack.decode(start(channel, "add", a=1).result().payload) == 2


@pytest.mark.parametrize("token", ["", "a guess"])
def test_a_wrong_token_is_refused_and_not_repeated(channel: grpc.Channel, token: str) -> None:
    code, details = refused(start(channel, "add", token=token, a=1))
    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert TOKEN not in details


def test_what_is_wrong_with_a_call_is_said_by_its_status(channel: grpc.Channel) -> None:
    cases: list[tuple[str, dict[str, Any], grpc.StatusCode, str]] = [
        ("nope", {}, grpc.StatusCode.NOT_FOUND, "no tool is named 'nope'"),
        ("add", {"a": "1"}, grpc.StatusCode.INVALID_ARGUMENT, "parameter 'a': Expected `int`, got `str`"),
        ("echo", {"value": bytes(2_000_000)}, grpc.StatusCode.INVALID_ARGUMENT, "more than the 1048576 of max_payload"),
        ("count", {"to": 3}, grpc.StatusCode.INVALID_ARGUMENT, "it streams"),
        ("os.path:join", {}, grpc.StatusCode.NOT_FOUND, "os.path:join"),
        ("big", {"size": 2_000_000}, grpc.StatusCode.RESOURCE_EXHAUSTED, "the result has 2000005 bytes"),
    ]
    for tool, arguments, code, says in cases:
        given, details = refused(start(channel, tool, **arguments))
        assert given == code, details
        assert says in details


def test_an_exception_of_the_tool_is_in_the_trailing_metadata(channel: grpc.Channel) -> None:
    started = start(channel, "fail")
    code, details = refused(started)
    assert (code, details) == (grpc.StatusCode.UNKNOWN, "RuntimeError: could not")
    trailing = dict(started.trailing_metadata())
    raised = _wire.PythonException.FromString(trailing["snakepit-exception-bin"])
    assert (raised.type, list(raised.notes), raised.cause.type) == ("RuntimeError", ["try the other door"], "KeyError")


def test_an_exception_that_metadata_cannot_carry_loses_what_says_least() -> None:
    def deep(levels: int) -> _wire.PythonException:
        frames = [_wire.Frame(file="f.py", line=line, function="f", source="x" * 100) for line in range(64)]
        raised = _wire.PythonException(type="ValueError", message="m" * 16_000, frames=frames, notes=["n" * 500] * 16)
        if levels > 0:
            raised.cause.CopyFrom(deep(levels - 1))
        return raised

    carried = fitting(deep(3))
    assert len(carried) <= TRAILER_BYTES
    assert _wire.PythonException.FromString(carried).type == "ValueError"


def test_a_deadline_is_kept_while_the_call_waits_and_while_it_runs(
    channel: grpc.Channel, stream: Stream, folder: Path
) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    stream.call(1, "wait_for", path=str(fifo))
    stream.await_frame("started", 1)
    assert refused(start(channel, "add", timeout=0.05, a=1))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    fifo.write_text("go")
    stream.await_frame("done", 1)
    assert msgspec.msgpack.decode(start(channel, "add", a=1).result().payload) == 2


def test_calls_of_many_clients_and_of_the_session_take_turns(channel: grpc.Channel, stream: Stream) -> None:
    stream.send(*[stream.call_frame(id, "add", a=id) for id in range(10, 20)])
    results: list[int] = []
    lock = threading.Lock()

    def one(a: int) -> None:
        result = msgspec.msgpack.decode(start(channel, "add", a=a).result().payload)
        with lock:
            results.append(result)

    threads = [threading.Thread(target=one, args=(a,)) for a in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(results) == [1, 2, 3, 4, 5, 6]
    assert stream.result(19) == 20


def test_a_draining_worker_is_unavailable(worker: WorkerProcess, folder: Path) -> None:
    with grpc.insecure_channel(f"unix:{worker.socket}") as channel:
        stream = Stream(worker.socket)
        stream.welcome()
        stream.call(1, "wait_until", path=str(folder / "go"))
        stream.await_frame("started", 1)
        waiting = start(channel, "add", a=1)
        worker.terminate()
        code = grpc.StatusCode.DEADLINE_EXCEEDED
        while code == grpc.StatusCode.DEADLINE_EXCEEDED:  # the signal arrives when the kernel sees fit
            code = refused(start(channel, "add", timeout=0.1, a=1))[0]
        assert code == grpc.StatusCode.UNAVAILABLE
        (folder / "go").touch()
        stream.await_frame("done", 1)
        assert refused(waiting)[0] == grpc.StatusCode.UNAVAILABLE
        assert worker.exit_code() == 0
        stream.close()
