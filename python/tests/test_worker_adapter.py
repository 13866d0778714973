"""Adapter classes, concurrency and allowed functions in real workers, spawned and forked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from reaper_host import ReaperHost
from snakepit import _wire
from worker_host import Stream, WorkerProcess, opened

MORE = ("--concurrency", "3", "--allow", "math:*", "--allow", "os.path:join")


@pytest.fixture
def staged(folder: Path) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(folder, "staged", more=MORE, STAGED=str(folder / "staged"))
    try:
        yield worker
    finally:
        worker.kill()


def function(stream: Stream, id: int, name: str, **arguments: object) -> None:
    payload = msgspec.msgpack.encode(arguments)
    stream.send(_wire.HostFrame(call=_wire.Call(id=id, function=name, payload=payload)))


def feed(stream: Stream, id: int, *elements: object) -> None:
    frames = [_wire.HostFrame(input=_wire.Input(id=id, payload=msgspec.msgpack.encode(each))) for each in elements]
    stream.send(*frames, _wire.HostFrame(input_end=_wire.InputEnd(id=id)))


def test_welcome_says_what_authors_say_and_how_many_calls_run_at_once(staged: WorkerProcess) -> None:
    for stream in opened(staged.socket):
        welcome = stream.of("welcome")[0].welcome
        assert welcome.concurrency == 3
        tools = {made.name: made for made in welcome.tools}
        pids = tools["pids"]
        assert (pids.timeout_ms, pids.hard_limit_ms) == (1500, 2000)
        assert (pids.idempotent, pids.deterministic, pids.blocking, pids.thread_sensitive) == (True, True, True, False)
        assert (tools["total"].thread_sensitive, tools["total"].input, tools["meet"].input) == (
            True,
            "numbers",
            "names",
        )


def test_calls_overlap_take_inputs_and_are_cancelled(staged: WorkerProcess) -> None:
    for stream in opened(staged.socket):
        stream.call(1, "meet")
        stream.call(2, "total")
        stream.call(3, "forever")
        for id in (1, 2):
            assert stream.await_frame("want", id).want.elements == 64
        stream.await_frame("started", 3)
        feed(stream, 2, 1, 2, 3)
        assert stream.result(2) == 6
        feed(stream, 1, "Ada", "Grace")
        assert stream.result(1) == ["Ada", "Grace"]
        stream.cancel(3)
        assert stream.await_frame("failed", 3).failed.cancelled.how == "async"


@pytest.mark.parametrize("awaits", [False, True])
def test_of_an_async_tool_that_ends_its_process_it_was_said_that_it_began(staged: WorkerProcess, awaits: bool) -> None:
    for stream in opened(staged.socket):
        stream.call(1, "vanish", awaits=awaits)
        stream.await_end()
        assert [frame.started.id for frame in stream.of("started")] == [1]
        assert staged.exit_code() == -signal.SIGKILL


def test_functions_are_called_as_far_as_they_are_allowed(staged: WorkerProcess) -> None:
    for stream in opened(staged.socket):
        function(stream, 1, "math:sqrt", x=4)
        assert stream.result(1) == 2.0
        function(stream, 2, "os:getpid")
        assert "['math:*', 'os.path:join']" in stream.await_frame("failed", 2).failed.unknown


def test_hooks_run_before_ready_and_after_the_last_call(staged: WorkerProcess, folder: Path) -> None:
    told, fifo = folder / "staged", folder / "fifo"
    assert told.read_text() == "start\n"
    os.mkfifo(fifo)
    stream = Stream(staged.socket)
    try:
        stream.welcome()
        stream.call(1, "hold", path=str(fifo))
        stream.await_frame("started", 1)
        staged.terminate()
        fifo.write_text("go")
        assert stream.result(1) == "go"
        assert staged.exit_code() == 0
    finally:
        stream.close()
    assert told.read_text() == "start\nheld\nstop\n"


def test_an_on_start_that_raises_keeps_the_worker_from_coming_up(folder: Path) -> None:
    worker = WorkerProcess(folder, "staged", STAGED=str(folder / "staged"), REFUSE="1")
    try:
        assert worker.exit_code() == 70
        assert (worker.status["status"], worker.status["stage"]) == ("failed", "start")
        assert worker.status["exception"]["message"] == "the device is not there"
        assert "in on_start" in worker.status["exception"]["traceback"]
        assert not (folder / "staged").exists()
    finally:
        worker.kill()


@pytest.mark.parametrize("concurrency", ["0", "257", "two"])
def test_a_concurrency_that_cannot_be_is_a_wrong_argument(folder: Path, concurrency: str) -> None:
    worker = WorkerProcess(folder, more=("--concurrency", concurrency))
    try:
        assert worker.exit_code() == 64
    finally:
        worker.kill()


def test_a_forked_worker_has_an_instance_of_its_own_and_its_pools_settings(reaper: ReaperHost, folder: Path) -> None:
    assert reaper.forkserver(adapter="staged", STAGED=str(folder / "staged"))["threads"] == 1
    assert not (folder / "staged").exists()
    reaper.fork("w#0", folder / "w", concurrency=2, allow=["math:*"])
    pid = reaper.pid("w#0")
    assert reaper.event("status", "w#0")["status"]["status"] == "ready"
    assert (folder / "staged").read_text() == "start\n"
    for stream in opened(str(folder / "w")):
        assert stream.of("welcome")[0].welcome.concurrency == 2
        stream.call(1, "pids")
        loaded, *own = stream.result(1)
        assert own == [pid, pid]
        assert loaded != pid
        function(stream, 2, "math:sqrt", x=4)
        assert stream.result(2) == 2.0
