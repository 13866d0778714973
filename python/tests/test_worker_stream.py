from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import numpy as np
import pytest

from executor_host import executing
from snakepit import _wire, tool
from snakepit._catalogue import Catalogue
from snakepit._ndarray import EXTENSION
from snakepit._server import Server
from worker_host import TOKEN, Stream, WorkerProcess, opened


@pytest.fixture
def fifo(folder: Path) -> str:
    """A path on which `wait_for` waits."""
    path = folder / "fifo"
    os.mkfifo(path)
    return str(path)


# -- the handshake -----------------------------------------------------------------------------------------------------


def test_welcome_lists_the_tools(stream: Stream, shared_worker: WorkerProcess) -> None:
    welcome = stream.of("welcome")[0].welcome
    assert (welcome.protocol, welcome.pid, len(welcome.catalogue_hash)) == (1, shared_worker.process.pid, 32)
    assert [tool.name for tool in welcome.tools] == shared_worker.status["tools"]
    assert [tool.id for tool in welcome.tools] == list(range(len(welcome.tools)))
    by_name = {tool.name: tool for tool in welcome.tools}
    assert by_name["add"].description == "Adds."
    assert (by_name["add"].streams, by_name["count"].streams) == (False, True)
    assert set(by_name["add"].contract) == {"argument a", "argument b", "result"}


@pytest.mark.parametrize(("token", "received"), [("a guess", "another one"), ("", "none")])
def test_a_wrong_token_is_refused_and_not_repeated(shared_worker: WorkerProcess, token: str, received: str) -> None:
    stream = Stream(shared_worker.socket)
    try:
        stream.hello(token=token)
        refused = stream.await_frame("refused").refused
        assert (refused.field, refused.received) == ("token", received)
        assert TOKEN not in str(refused)
        assert stream.await_end() == grpc.StatusCode.ABORTED
    finally:
        stream.close()


def test_another_protocol_is_refused(shared_worker: WorkerProcess) -> None:
    stream = Stream(shared_worker.socket)
    try:
        stream.hello(protocol=7)
        refused = stream.await_frame("refused").refused
        assert (refused.field, refused.expected, refused.received) == ("protocol", "1", "7")
    finally:
        stream.close()


def test_a_refused_stream_does_not_disturb_the_one_that_serves(stream: Stream, shared_worker: WorkerProcess) -> None:
    intruder = Stream(shared_worker.socket)
    try:
        intruder.hello(token="a guess")
        intruder.await_end()
        stream.call(10, "add", a=1)
        assert stream.result(10) == 2
    finally:
        intruder.close()


def test_a_stream_that_breaks_a_rule_is_ended_with_the_reason(shared_worker: WorkerProcess) -> None:
    for break_rule, reason in [
        (lambda stream: stream.ping(1), "expected first a Hello"),
        (
            lambda stream: stream.send(_wire.HostFrame(hello=_wire.Hello())),
            "expected first a Hello, alone and in batch 0",
        ),
        (lambda stream: (stream.welcome(), stream.hello()), "expected batch 1, received 0"),
        (
            lambda stream: (stream.welcome(), stream.send(_wire.HostFrame(hello=_wire.Hello()))),
            "expected no second Hello",
        ),
        (lambda stream: (stream.welcome(), stream.send(batch=5)), "expected batch 1, received 5"),
        (
            lambda stream: (stream.welcome(), stream.request(_wire.ConnectRequest(read=9))),
            "response 9 was read, it is said",
        ),
    ]:
        stream = Stream(shared_worker.socket)
        try:
            break_rule(stream)  # type: ignore[no-untyped-call]
            assert stream.await_end() == grpc.StatusCode.ABORTED
            assert reason in stream.responses.details()
        finally:
            stream.close()


# -- calls -------------------------------------------------------------------------------------------------------------


def test_a_call_is_started_and_done_in_the_main_thread(stream: Stream, shared_worker: WorkerProcess) -> None:
    stream.call(20, "whoami")
    assert stream.result(20) == {"pid": shared_worker.process.pid, "main": True}
    kinds = [frame.WhichOneof("frame") for frame in stream.seen]
    assert kinds == ["welcome", "started", "done"]


def test_calls_of_a_batch_run_in_order(stream: Stream) -> None:
    stream.send(*[stream.call_frame(id, "add", a=id) for id in range(30, 40)])
    stream.await_frame("done", 39)
    assert [frame.done.id for frame in stream.of("done")] == list(range(30, 40))


def test_every_batch_is_acknowledged_even_while_a_tool_runs(stream: Stream, fifo: str) -> None:
    stream.call(40, "wait_for", path=fifo)
    stream.await_frame("started", 40)
    stream.call(41, "add", a=1)
    stream.call(42, "add", a=2)
    stream.until(lambda: stream.read == 3)
    assert not stream.of("started", 41)
    Path(fifo).write_text("go")
    assert stream.result(42) == 3


def test_a_ping_is_answered_while_a_tool_runs(stream: Stream, fifo: str) -> None:
    stream.call(43, "wait_for", path=fifo)
    stream.await_frame("started", 43)
    stream.ping(9)
    stream.await_frame("pong", 9)
    assert not stream.of("done")
    Path(fifo).write_text("go")
    stream.await_frame("done", 43)


def test_results_leave_before_a_tool_that_holds_the_gil(stream: Stream) -> None:
    stream.send(stream.call_frame(44, "add", a=1), stream.call_frame(45, "hold_gil", seconds=1))
    stream.await_frame("started", 45)
    assert stream.of("done", 44)
    assert not stream.of("done", 45)


def test_an_id_never_runs_twice(stream: Stream, shared_worker: WorkerProcess) -> None:
    stream.call(50, "add", a=1)
    stream.result(50)
    stream.call(50, "add", a=1)
    assert stream.exception(50).type == "snakepit.AlreadyStarted"
    for other in opened(shared_worker.socket):
        other.call(50, "add", a=1)
        assert other.exception(50).type == "snakepit.AlreadyStarted"
        assert not other.of("started")


def test_a_ping_is_answered_among_hundreds_of_short_calls(stream: Stream) -> None:
    stream.call(600, "add", a=1)
    stream.result(600)
    stream.send(*[stream.call_frame(601 + n, "pause", seconds=0.0012) for n in range(400)])
    stream.ping(9)
    stream.await_frame("pong", 9)
    assert len(stream.of("done")) < 200  # it did not wait for its turn behind them
    stream.await_frame("done", 1000)


def test_a_second_hello_on_the_connection_of_a_session_that_works_is_welcomed_when_it_is_free(
    shared_worker: WorkerProcess, folder: Path
) -> None:
    first = Stream(shared_worker.socket)
    first.welcome()
    first.call(1700, "wait_until", path=str(folder / "go"))
    first.await_frame("started", 1700)
    second = Stream(first)
    second.hello()
    assert first.await_end() == grpc.StatusCode.ABORTED
    assert not second.of("welcome")
    (folder / "go").touch()
    second.await_frame("welcome")
    second.close()
    first.close()


def test_a_deadline_that_passed_in_the_queue_cancels(stream: Stream, fifo: str) -> None:
    stream.call(51, "wait_for", path=fifo)
    stream.call(52, "add", a=1, deadline_ms=1)
    stream.call(53, "add", a=1)
    stream.await_frame("started", 51)
    stream.ping(1)
    stream.await_frame("pong", 1)  # so all three were taken in
    time.sleep(0.002)  # a deadline is a moment on the clock: the one thing a test has to let pass
    Path(fifo).write_text("go")
    assert stream.await_frame("failed", 52).failed.cancelled
    assert stream.result(53) == 2
    assert not stream.of("started", 52)


def test_numpy_scalars_arrive_as_plain_values_and_arrays_as_their_bytes(stream: Stream) -> None:
    stream.call(54, "arrays")
    result = stream.result(54)
    rows = result.pop("rows")
    assert result == {"scalar": 0.5, "count": 3, "flag": True}
    assert rows.code == EXTENSION
    assert rows.data.endswith(np.eye(2).tobytes())


def test_a_result_that_is_too_large_says_its_size(stream: Stream) -> None:
    stream.call(55, "big", size=2_000_000)
    assert stream.await_frame("failed", 55).failed.too_large == 2_000_005
    stream.call(56, "echo", value=bytes(2_000_000))
    assert "more than the 1048576 of max_payload" in stream.await_frame("failed", 56).failed.invalid


def test_stdin_of_tools_is_empty(stream: Stream) -> None:
    stream.call(57, "ask")
    assert stream.exception(57).type == "EOFError"


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_an_exception_arrives_with_frames_cause_and_notes(stream: Stream) -> None:
    stream.call(60, "fail")
    raised = stream.exception(60)
    assert (raised.type, raised.message, list(raised.notes)) == ("RuntimeError", "could not", ["try the other door"])
    assert list(raised.bases) == ["Exception", "BaseException"]
    frame = raised.frames[0]
    assert (Path(frame.file).name, frame.function, frame.source) == ("shelf.py", "fail", "raise problem from cause")
    assert (raised.cause.type, raised.implicit) == ("KeyError", False)


def test_the_members_of_an_exception_group_arrive(stream: Stream) -> None:
    stream.call(61, "fail_together")
    raised = stream.exception(61)
    assert raised.type == "ExceptionGroup"
    assert [(member.type, member.message) for member in raised.members] == [("ValueError", "one"), ("OSError", "two")]


def test_a_tool_that_exits_is_an_exception_and_the_worker_lives(stream: Stream) -> None:
    stream.call(62, "leave")
    assert stream.exception(62).type == "SystemExit"
    stream.call(63, "add", a=1)
    assert stream.result(63) == 2


@pytest.mark.parametrize(
    ("id", "tool", "arguments", "says"),
    [
        (70, "add", {}, "missing a"),
        (71, "add", {"a": 1, "c": 2}, "unknown c"),
        (72, "add", {"a": "1"}, "parameter 'a': Expected `int`, got `str`"),
        (73, "bounded.half", {"of": -1}, "parameter 'of': Expected `int` >= 0"),
    ],
)
def test_arguments_that_do_not_fit_never_start(
    stream: Stream, id: int, tool: str, arguments: dict[str, Any], says: str
) -> None:
    stream.call(id, tool, **arguments)
    issue = stream.await_frame("failed", id).failed.invalid
    assert says in issue
    assert repr(tool) in issue
    assert not stream.of("started")


def test_a_result_that_cannot_be_carried_says_what_can(stream: Stream) -> None:
    stream.call(74, "opaque")
    raised = stream.exception(74)
    assert raised.type == "TypeError"
    assert "'opaque' returned a _thread.lock" in raised.message


def test_a_tool_id_that_was_not_listed_is_told(stream: Stream) -> None:
    stream.send(_wire.HostFrame(call=_wire.Call(id=75, tool=99)))
    assert "no tool has id 99" in stream.await_frame("failed", 75).failed.unknown


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_stream_sends_its_elements_and_ends(stream: Stream) -> None:
    stream.call(80, "count", to=3, credit=3)
    stream.await_frame("done", 80)
    assert stream.items(80) == [0, 1, 2]


def test_a_slow_consumer_stops_the_generator(stream: Stream, folder: Path) -> None:
    trace = folder / "trace"
    stream.call(81, "count", to=100, trace=str(trace), credit=2)
    stream.until(lambda: len(stream.items(81)) == 2)
    stream.credit(81, 3)
    stream.until(lambda: len(stream.items(81)) == 5)
    stream.ping(1)
    stream.await_frame("pong", 1)
    assert stream.items(81) == [0, 1, 2, 3, 4]
    # one element may be made ahead of demand, none further
    assert trace.read_text() in {"", "4", "5"}
    stream.cancel(81)
    assert stream.await_frame("failed", 81).failed.cancelled


def test_skipped_elements_are_made_but_not_sent_and_cost_no_credit(stream: Stream) -> None:
    stream.call(82, "count", to=10, credit=3, skip=7)
    stream.await_frame("done", 82)
    assert stream.items(82) == [7, 8, 9]


def test_what_an_attempt_before_has_sent_is_skipped_also_when_no_more_is_wanted_yet(stream: Stream) -> None:
    stream.call(84, "count", to=10, credit=0, skip=7)
    stream.await_frame("started", 84)
    stream.credit(84, 3)
    stream.await_frame("done", 84)
    assert stream.items(84) == [7, 8, 9]


def test_a_stream_that_fails_keeps_what_it_sent(stream: Stream) -> None:
    stream.call(83, "fail_after", elements=2, credit=10)
    assert stream.exception(83).type == "LookupError"
    assert stream.items(83) == [0, 1]


# -- cancellation ------------------------------------------------------------------------------------------------------


def test_cancel_closes_a_generator_that_waits_for_credit(stream: Stream, folder: Path) -> None:
    trace = folder / "trace"
    stream.call(90, "count", to=10, trace=str(trace), credit=1)
    stream.until(lambda: stream.items(90) == [0])
    stream.cancel(90)
    assert stream.await_frame("failed", 90).failed.cancelled
    assert trace.read_text() == "closed"


def test_cancel_closes_a_generator_at_its_next_element(stream: Stream) -> None:
    stream.call(91, "count", to=1 << 60, credit=0, skip=1 << 60)
    stream.await_frame("started", 91)
    stream.cancel(91)
    assert stream.await_frame("failed", 91).failed.cancelled


def test_cancel_answers_a_queued_call_at_once_and_it_never_starts(stream: Stream, fifo: str) -> None:
    stream.call(92, "wait_for", path=fifo)
    stream.call(93, "add", a=1)
    stream.await_frame("started", 92)
    stream.cancel(93)
    assert stream.await_frame("failed", 93).failed.cancelled
    Path(fifo).write_text("go")
    stream.call(94, "add", a=1)
    stream.await_frame("done", 94)
    assert not stream.of("started", 93)


def test_cancel_drops_the_result_of_a_plain_tool(stream: Stream, fifo: str) -> None:
    stream.call(95, "wait_for", path=fifo)
    stream.await_frame("started", 95)
    stream.cancel(95)
    stream.until(lambda: stream.read == 2)
    assert not stream.of("failed", 95)
    Path(fifo).write_text("go")
    assert stream.await_frame("failed", 95).failed.cancelled
    assert not stream.of("done", 95)


# -- one stream after another ------------------------------------------------------------------------------------------


def test_a_new_session_takes_the_place_of_the_old_one(stream: Stream, shared_worker: WorkerProcess, fifo: str) -> None:
    stream.call(100, "wait_for", path=fifo)
    stream.call(101, "add", a=1)
    stream.await_frame("started", 100)
    newer = Stream(shared_worker.socket)
    newer.hello()
    assert stream.await_end() == grpc.StatusCode.ABORTED
    assert "taken the place" in stream.responses.details()
    assert not newer.seen, "welcomed although a call of the old session is running"
    Path(fifo).write_text("go")
    newer.tools = {tool.name: tool.id for tool in newer.await_frame("welcome").welcome.tools}
    newer.call(101, "add", a=2)
    assert newer.result(101) == 3
    assert not stream.of("done")
    newer.close()


def test_a_session_that_is_abandoned_closes_its_generator(shared_worker: WorkerProcess, folder: Path) -> None:
    trace = folder / "trace"
    cut = Stream(shared_worker.socket)
    cut.welcome()
    cut.call(110, "count", to=100, trace=str(trace), credit=1)
    cut.until(lambda: cut.items(110) == [0])
    cut.close()
    for stream in opened(shared_worker.socket):
        stream.call(111, "add", a=1)
        assert stream.result(111) == 2
        assert trace.read_text() == "closed"


@pytest.fixture
def cut(shared_worker: WorkerProcess) -> Iterator[Stream]:
    """A welcomed stream that the test closes."""
    stream = Stream(shared_worker.socket)
    stream.welcome()
    yield stream
    stream.close()


def test_a_call_outlives_its_stream_and_its_result_is_said_on_the_next(
    cut: Stream, shared_worker: WorkerProcess, fifo: str
) -> None:
    cut.call(160, "wait_for", path=fifo)
    cut.await_frame("started", 160)
    cut.close()
    cut.await_end()
    Path(fifo).write_text("go")
    stream = Stream(shared_worker.socket)
    stream.resume(cut)
    stream.await_frame("done", 160)
    assert [frame.WhichOneof("frame") for frame in stream.seen] == ["welcome", "done"]
    stream.call(161, "add", a=1)
    assert stream.result(161) == 2
    assert stream.batches == list(range(cut.heard + 1, stream.heard + 1))
    stream.close()


def test_what_was_not_read_is_said_again_and_nothing_else(cut: Stream, shared_worker: WorkerProcess) -> None:
    for id in range(170, 173):
        cut.call(id, "add", a=id)
        cut.result(id)
    said = list(cut.batches)
    cut.heard = said[0]
    cut.close()
    stream = Stream(shared_worker.socket)
    stream.resume(cut)
    stream.until(lambda: len(stream.batches) == len(said) - 1)
    assert stream.batches == said[1:]
    stream.acknowledge()
    stream.ping(1)
    stream.await_frame("pong", 1)
    stream.close()
    third = Stream(shared_worker.socket)
    third.resume(stream)
    third.ping(2)
    third.await_frame("pong", 2)
    assert [frame.WhichOneof("frame") for frame in third.seen] == ["welcome", "pong"]
    third.close()


def test_a_batch_that_was_lost_with_its_stream_is_asked_for(cut: Stream, shared_worker: WorkerProcess) -> None:
    cut.call(180, "add", a=1)
    cut.result(180)
    cut.close()
    stream = Stream(shared_worker.socket)
    cut._batch += 1  # it was written, and never arrived
    stream.resume(cut)
    stream.await_frame("welcome")
    assert stream.read == cut._batch - 1
    stream.send(stream.call_frame(181, "add", a=1), batch=cut._batch)
    assert stream.result(181) == 2
    stream.close()


def test_a_stream_that_resumes_takes_the_place_of_one_that_hangs(stream: Stream, shared_worker: WorkerProcess) -> None:
    newer = Stream(shared_worker.socket)
    newer.resume(stream)
    newer.await_frame("welcome")
    assert stream.await_end() == grpc.StatusCode.ABORTED
    newer.call(190, "add", a=1)
    assert newer.result(190) == 2
    newer.close()


def test_a_session_that_the_worker_does_not_have_is_refused(stream: Stream, shared_worker: WorkerProcess) -> None:
    other = Stream(shared_worker.socket)
    other.hello(session=7, resume=True)
    refused = other.await_frame("refused").refused
    assert (refused.field, refused.expected, refused.received) == ("session", str(stream.session), "7")
    other.close()
    stream.call(195, "add", a=1)
    assert stream.result(195) == 2


def is_over(session: Stream, socket: str) -> bool:
    """Whether the worker refuses to go on with it."""
    stream = Stream(socket)
    try:
        stream.resume(session)
        stream.until(lambda: bool(stream.seen))
        return stream.seen[0].refused.field == "session"
    finally:
        stream.close()


def test_a_batch_that_breaks_a_rule_ends_its_session_for_the_rest_of_it_is_lost(
    cut: Stream, shared_worker: WorkerProcess, fifo: str
) -> None:
    cut.call(200, "wait_for", path=fifo)
    cut.await_frame("started", 200)
    cut.send(_wire.HostFrame(hello=_wire.Hello()), cut.call_frame(201, "add", a=1))
    assert cut.await_end() == grpc.StatusCode.ABORTED
    assert "expected no second Hello" in cut.responses.details()
    assert is_over(cut, shared_worker.socket)
    Path(fifo).write_text("go")
    for stream in opened(shared_worker.socket):
        stream.call(202, "add", a=1)
        assert stream.result(202) == 2


def test_a_number_that_is_not_the_next_loses_nothing_and_the_session_goes_on(
    cut: Stream, shared_worker: WorkerProcess
) -> None:
    cut.send(cut.call_frame(205, "add", a=1), batch=5)
    assert cut.await_end() == grpc.StatusCode.ABORTED
    cut._batch = 0
    stream = Stream(shared_worker.socket)
    stream.resume(cut)
    stream.await_frame("welcome")
    stream.call(205, "add", a=1)
    assert stream.result(205) == 2
    stream.close()


def test_a_fault_of_the_worker_in_a_batch_ends_its_session(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def rename(name: str) -> None:
        raise ZeroDivisionError("as the test says")

    @tool
    def plain() -> str:
        return "plain"

    adapter = ModuleType("adapter")
    vars(adapter).update(plain=plain)
    socket = str(folder / "worker.sock")
    with executing() as host:
        server = Server(host.executor, Catalogue.of(adapter), TOKEN, 1 << 20, rename)
        server.start(socket)
        try:
            faulty = Stream(socket)
            faulty.welcome()
            faulty.send(_wire.HostFrame(rename=_wire.Rename(name="x")), faulty.call_frame(1, "plain"))
            faulty.await_end()
            assert is_over(faulty, socket)
            for stream in opened(socket):
                stream.call(2, "plain")
                assert stream.result(2) == "plain"
            faulty.close()
        finally:
            server.stop(0)
    assert "ZeroDivisionError: as the test says" in capfd.readouterr().err


def test_a_session_whose_responses_were_read_further_than_it_says_cannot_be_resumed(
    stream: Stream, shared_worker: WorkerProcess
) -> None:
    stream.ping(1)
    stream.await_frame("pong", 1)
    stream.acknowledge()
    stream.ping(2)
    stream.await_frame("pong", 2)
    forgetful = Stream(shared_worker.socket)
    stream.heard = 0
    forgetful.resume(stream)
    assert forgetful.await_end() == grpc.StatusCode.ABORTED
    assert "response 1 is asked for" in forgetful.responses.details()
    forgetful.close()


# -- draining ----------------------------------------------------------------------------------------------------------


def test_a_drain_lets_the_running_call_finish_and_gives_back_the_others(stream: Stream, fifo: str) -> None:
    stream.call(120, "wait_for", path=fifo)
    stream.call(121, "add", a=1)
    stream.await_frame("started", 120)
    stream.drain()
    assert stream.await_frame("failed", 121).failed.declined
    stream.call(122, "add", a=1)
    assert stream.await_frame("failed", 122).failed.declined
    stream.ping(5)
    stream.await_frame("pong", 5)
    assert not stream.of("drained"), "said while a call is running"
    Path(fifo).write_text("go")
    stream.await_frame("drained")
    kinds = [frame.WhichOneof("frame") for frame in stream.seen]
    assert kinds[-2:] == ["done", "drained"]
    assert [frame.started.id for frame in stream.of("started")] == [120]


def test_an_idle_worker_has_drained_at_once_and_serves_the_next_stream(
    stream: Stream, shared_worker: WorkerProcess
) -> None:
    stream.drain()
    stream.await_frame("drained")
    stream.call(130, "add", a=1)
    assert stream.await_frame("failed", 130).failed.declined
    for newer in opened(shared_worker.socket):
        newer.call(130, "add", a=1)
        assert newer.result(130) == 2


def test_arguments_that_do_not_fit_are_told_before_drained(stream: Stream) -> None:
    stream.send(stream.call_frame(140, "add"), _wire.HostFrame(drain=_wire.Drain()))
    stream.await_frame("drained")
    failed = stream.of("failed", 140)
    assert len(failed) == 1
    assert failed[0].failed.WhichOneof("reason") in {"invalid", "declined"}
    assert stream.seen[-1].HasField("drained")


def test_a_rehearsal_says_nothing_and_takes_no_id_from_the_host(shared_worker: WorkerProcess) -> None:
    stream = Stream(shared_worker.socket)
    try:
        stream.hello(rehearse=True)
        stream.tools = {tool.name: tool.id for tool in stream.await_frame("welcome").welcome.tools}
        stream.call(150, "add", a=1)
        assert stream.result(150) == 2
        kinds = [frame.WhichOneof("frame") for frame in stream.seen]
        assert [kind for kind in kinds if kind != "started"] == ["welcome", "done"]
    finally:
        stream.close()
