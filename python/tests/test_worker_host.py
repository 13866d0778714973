"""Host tools of a real worker, frame by frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from snakepit import _wire
from worker_host import Stream, WorkerProcess, opened

IDS = itertools.count(1)  # of calls: a worker runs none twice


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(tmp_path_factory.mktemp("hosted"), adapter="hosted", more=("--concurrency", "1"))
    yield worker
    worker.kill()


@pytest.fixture
def stream(worker: WorkerProcess) -> Iterator[Stream]:
    yield from opened(worker.socket)


def asked(stream: Stream, count: int = 1) -> _wire.HostCall:
    stream.until(lambda: len(stream.of("host_call")) >= count)
    return stream.of("host_call")[count - 1].host_call


def answer(number: int, value: object = None, **failure: Any) -> _wire.HostFrame:
    if failure:
        return _wire.HostFrame(host_result=_wire.HostResult(number=number, failure=_wire.HostFailure(**failure)))
    return _wire.HostFrame(host_result=_wire.HostResult(number=number, payload=msgspec.msgpack.encode(value)))


def test_a_host_call_names_its_call_and_waits_without_stopping_the_worker(stream: Stream) -> None:
    id = next(IDS)
    stream.call(id, "ask", name="find", arguments={"key": "k"})
    call = asked(stream)
    assert (call.call, call.number, call.name, call.waits) == (id, 1, "find", True)
    assert msgspec.msgpack.decode(call.payload) == {"key": "k"}
    assert [frame.WhichOneof("frame") for frame in stream.seen] == ["welcome", "started", "host_call"]
    stream.ping(7)
    stream.await_frame("pong", 7)
    stream.send(answer(1, {"row": 1}))
    assert stream.result(id) == {"row": 1}


@pytest.mark.parametrize(
    ("tool", "waits"), [("ask", True), ("ask_async", True), ("ask_from_thread", False), ("ask_in_a_thread", False)]
)
def test_it_says_whether_the_tool_itself_waits(stream: Stream, tool: str, waits: bool) -> None:
    id = next(IDS)
    arguments: dict[str, Any] = {"arguments": {}} if tool in ("ask", "ask_async") else {}
    stream.call(id, tool, name="find", **arguments)
    assert asked(stream).waits is waits
    stream.send(answer(1))
    assert stream.result(id) is None


def test_numbers_count_over_calls_and_streams_and_a_cut_loses_no_answer(worker: WorkerProcess) -> None:
    id, next_id = next(IDS), next(IDS)
    cut = Stream(worker.socket)
    cut.welcome()
    cut.call(id, "ask", name="first", arguments={})
    assert asked(cut).number == 1
    cut.close()
    for stream in [Stream(worker.socket)]:
        stream.resume(cut)
        stream.await_frame("welcome")
        stream.send(answer(1, "late"))
        assert stream.result(id) == "late"
        stream.call(next_id, "ask", name="second", arguments={})
        assert asked(stream).number == 2
        stream.send(answer(2, "again"))
        assert stream.result(next_id) == "again"
        stream.close()


def test_a_cancelled_call_gives_its_host_call_up_and_takes_its_answer_quietly(stream: Stream) -> None:
    id, next_id = next(IDS), next(IDS)
    stream.call(id, "ask", name="slow", arguments={})
    asked(stream)
    stream.cancel(id)
    assert stream.await_frame("failed", id).failed.cancelled.how == "cooperative"
    assert [frame.host_call_cancel.number for frame in stream.of("host_call_cancel")] == [1]
    stream.send(answer(1, reason="cancelled", message="nobody waits for it"))
    stream.call(next_id, "plain")
    assert stream.result(next_id) == "plain"


def test_an_answer_to_a_loop_that_is_closed_is_taken_quietly(stream: Stream) -> None:
    id, next_id = next(IDS), next(IDS)
    stream.call(id, "ask_in_a_loop_of_its_own", names=["slow", "fails"])
    asked(stream, 2)
    stream.send(answer(2, reason="failed", message="it broke down"))
    assert stream.result(id) == "it broke down"
    stream.send(answer(1, reason="cancelled", message="late"), stream.call_frame(next_id, "plain"))
    assert stream.result(next_id) == "plain"


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            {"reason": "raised", "message": "m", "tag": "NotFound", "data": msgspec.msgpack.encode({"k": 1})},
            ["HostToolError", "NotFound", {"k": 1}, "m"],
        ),
        ({"reason": "unknown", "message": "m"}, ["UnknownHostTool", "find", "m"]),
        ({"reason": "invalid", "message": "m"}, ["InvalidHostArguments", "find", "m"]),
        ({"reason": "too_large", "message": "m"}, ["HostPayloadTooLarge", "find", "m"]),
        ({"reason": "timeout", "message": "m"}, ["HostCallTimeout", "find", "m"]),
        ({"reason": "busy", "message": "m"}, ["HostBusy", "find", "m"]),
        ({"reason": "cancelled", "message": "m"}, ["HostCallCancelled", "find", "m"]),
        ({"reason": "failed", "message": "m"}, ["HostToolFailed", "find", "m"]),
        ({"reason": "of a newer host", "message": "m"}, ["HostCallError", "find", "m"]),
    ],
)
def test_every_reason_of_a_failure_is_a_class(stream: Stream, failure: dict[str, Any], told: list[Any]) -> None:
    id = next(IDS)
    stream.call(id, "ask_and_tell", name="find", arguments={})
    asked(stream)
    stream.send(answer(1, **failure))
    assert stream.result(id) == told


def test_a_session_that_another_takes_the_place_of_answers_nothing(worker: WorkerProcess) -> None:
    id, next_id = next(IDS), next(IDS)
    first = Stream(worker.socket)
    first.welcome()
    first.call(id, "ask_and_tell", name="find", arguments={})
    asked(first)
    second = Stream(first)
    second.welcome()  # when no call of the first one runs any more
    second.call(next_id, "plain")
    assert second.result(next_id) == "plain"
    second.close()


def test_the_end_of_a_session_wakes_all_who_wait_also_beside_a_loop_that_is_closed(worker: WorkerProcess) -> None:
    id, waiting, next_id = next(IDS), next(IDS), next(IDS)
    first = Stream(worker.socket)
    first.welcome()
    first.call(id, "ask_in_a_loop_of_its_own", names=["slow", "fails"])
    asked(first, 2)
    first.send(answer(2, reason="failed", message="it broke down"))
    first.result(id)
    first.call(waiting, "ask_and_tell", name="find", arguments={})
    asked(first, 3)
    second = Stream(first)
    second.welcome()
    second.call(next_id, "plain")
    assert second.result(next_id) == "plain"
    second.close()


@pytest.mark.parametrize("numbers", [[1], [2], [0], [1, 1]])
def test_an_answer_that_nobody_waits_for_ends_the_stream(worker: WorkerProcess, numbers: list[int]) -> None:
    id = next(IDS)
    stream = Stream(worker.socket)
    try:
        stream.welcome()
        if len(numbers) == 2:
            stream.call(id, "ask", name="find", arguments={})
            asked(stream)
        stream.send(*[answer(number) for number in numbers])
        assert stream.await_end() == grpc.StatusCode.ABORTED
        assert (
            f"host call {numbers[-1]} is answered, and none of that number waits for it" in stream.responses.details()
        )
    finally:
        stream.close()


def test_large_arguments_and_results_travel_in_segments(worker: WorkerProcess, tmp_path: Path) -> None:
    id = next(IDS)
    stream = Stream(worker.socket)
    try:
        stream.hello(segments=str(tmp_path), segment_bytes=1 << 20)
        stream.tools = {tool.name: tool.id for tool in stream.await_frame("welcome").welcome.tools}
        large = b"x" * 100_000
        payload = msgspec.msgpack.encode(large)
        (tmp_path / "h1").write_bytes(payload)
        shared = _wire.Shared(segment=1, length=len(payload))
        stream.call(id, "ask", name="echo", arguments={"value": large})
        call = asked(stream)
        assert not call.payload
        written = (tmp_path / f"w{call.shared.segment}").read_bytes()[: call.shared.length]
        assert msgspec.msgpack.decode(written) == {"value": large}
        stream.send(_wire.HostFrame(host_result=_wire.HostResult(number=1, shared=shared)))
        stream.until(lambda: any(1 in frame.free.segments for frame in stream.of("free")))
    finally:
        stream.close()
