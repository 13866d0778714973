"""Telemetry of a whole worker process, as its host hears it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from snakepit import _wire
from worker_host import Stream, WorkerProcess, opened


@pytest.fixture
def worker(folder: Path) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(folder, "telling")
    yield worker
    worker.kill()


@pytest.fixture
def stream(worker: WorkerProcess) -> Iterator[Stream]:
    yield from opened(worker.socket)


def control(credit: int, **settings: Any) -> _wire.HostFrame:
    said = _wire.TelemetryControl(credit=credit)
    if settings:
        said.settings.CopyFrom(_wire.TelemetrySettings(**settings))
    return _wire.HostFrame(telemetry_control=said)


def records(stream: Stream) -> list[_wire.TelemetryRecord]:
    return [record for frame in stream.of("telemetry") for record in frame.telemetry.records]


def dropped(stream: Stream) -> dict[str, int]:
    counted: dict[str, int] = {}
    for frame in stream.of("telemetry"):
        for one in frame.telemetry.dropped:
            counted[one.reason] = counted.get(one.reason, 0) + one.records
    return counted


def test_without_credit_it_keeps_what_it_has_room_for_and_counts_the_rest(stream: Stream) -> None:
    stream.call(1, "emit", name="early", times=2)  # before anything was said
    stream.await_frame("done", 1)
    stream.send(control(0, on=True))
    stream.call(2, "emit", name="many", times=2000)
    stream.await_frame("done", 2)
    stream.ping(1)
    stream.await_frame("pong", 1)
    assert records(stream) == []
    stream.send(control(1))
    stream.until(lambda: len(records(stream)) == 1)
    assert dropped(stream) == {"queue": 978}
    stream.send(control(5000))
    stream.until(lambda: len(records(stream)) == 1024)
    told = records(stream)
    assert [(record.call, record.tool, record.event.name) for record in told[:3]] == [
        (1, "emit", "early"),
        (1, "emit", "early"),
        (2, "emit", "many"),
    ]
    assert [record.event.measurements[0].value for record in told[2:]] == list(range(1022))


def test_it_is_switched_off_and_on_in_the_order_of_calls(stream: Stream) -> None:
    stream.send(control(100, on=True))
    steps: list[dict[str, Any]] = [{}, {"on": False}, {"on": True, "deny": ["b*"]}, {"on": True}]
    for id, settings in enumerate(steps, start=1):
        frames = [control(100, **settings)] if settings else []
        stream.send(
            *frames, stream.call_frame(id, "emit", name=f"b{id}"), stream.call_frame(id + 10, "emit", name=f"c{id}")
        )
        stream.await_frame("done", id + 10)
        if id == 1:
            stream.until(lambda: len(records(stream)) == 2)  # what waits when it is switched off is not told
    stream.until(lambda: len(records(stream)) == 5)
    assert [record.event.name for record in records(stream)] == ["b1", "c1", "c3", "b4", "c4"]


def test_a_session_that_goes_on_says_what_was_told_meanwhile_once(worker: WorkerProcess, stream: Stream) -> None:
    stream.send(control(100, on=True))
    stream.call(1, "emit", name="before")
    stream.until(lambda: len(records(stream)) == 1)
    stream.close()
    resumed = Stream(worker.socket)
    try:
        resumed.resume(stream)
        resumed.await_frame("welcome")
        resumed.call(2, "emit", name="after")
        resumed.until(lambda: len(records(resumed)) == 1)
        assert [record.event.name for record in records(resumed)] == ["after"]
    finally:
        resumed.close()


def test_another_session_gets_nothing_before_it_gives_credit(worker: WorkerProcess, stream: Stream) -> None:
    stream.send(control(100, on=True))
    stream.call(1, "emit", name="first")
    stream.until(lambda: len(records(stream)) == 1)
    with contextmanager(opened)(worker.socket) as other:
        other.call(2, "emit", name="second")
        other.await_frame("done", 2)
        assert records(other) == []
        other.send(control(1))
        other.until(lambda: len(records(other)) == 1)
        assert records(other)[0].event.name == "second"


def test_lines_are_told_with_their_call_and_still_reach_the_tail(worker: WorkerProcess, stream: Stream) -> None:
    stream.send(control(100, on=True, log_level=20, output=True))
    stream.call(7, "say", text="hello")
    stream.await_frame("done", 7)
    worker.terminate()  # what waits is said before it goes
    stream.until(lambda: len(records(stream)) >= 6)
    told = {(one.log.logger, one.log.level, one.log.message.partition("\n")[0]): one.call for one in records(stream)}
    assert told.pop(("stdout", 0, "hello")) == 7
    assert told.pop(("stderr", 0, "HELLO")) == 7
    assert told.pop(("telling", 30, "about hello")) == 7
    assert told.pop(("telling", 20, "more about hello")) == 7
    assert all((logger == "stderr" and "hello" in line) or "warnings.warn" in line for logger, _, line in told)
    assert worker.exit_code() == 0
    assert worker.process.stdout is not None
    assert worker.process.stderr is not None
    assert worker.process.stdout.read() == b"hello\n"
    written = worker.process.stderr.read().decode()
    assert written.startswith("HELLO\nabout hello\n")
    assert "more about hello" not in written
