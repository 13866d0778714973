"""Callers' sessions on a worker: hooks, state, order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snakepit
from snakepit import Session, _wire, tool
from snakepit._job import Job
from snakepit._visit import Visit
from snakepit.testing import RunningCall, ToolError, Tools, serve
from worker_host import PATIENCE, Stream, WorkerProcess, opened

Log = list[tuple[str, str, int]]


def notebook(log: Log, *, asynchronous: bool = False, start: Callable[[Session], None] = lambda session: None) -> type:
    """An adapter whose visits are numbered, and that notes what comes to each."""
    numbers = itertools.count()

    class Notebook:
        def _start(self, session: Session) -> None:
            start(session)
            session.state["number"] = next(numbers)
            log.append(("start", session.id, session.state["number"]))

        def _end(self, session: Session) -> None:
            log.append(("end", session.id, session.state["number"]))

        if asynchronous:

            async def on_session_start(self, session: Session) -> None:
                await asyncio.sleep(0)
                self._start(session)

            async def on_session_end(self, session: Session) -> None:
                await asyncio.sleep(0)
                self._end(session)

        else:
            on_session_start = _start  # type: ignore[assignment]
            on_session_end = _end  # type: ignore[assignment]

        @tool
        def use(self, seconds: float = 0.0) -> int:
            call = snakepit.current()
            if seconds:
                time.sleep(seconds)
            log.append(("call", call.session or "", call.state["number"]))
            return int(call.state["number"])

        @tool
        async def use_async(self, seconds: float = 0.0) -> int:
            call = snakepit.current()
            await asyncio.sleep(seconds)
            log.append(("call", call.session or "", call.state["number"]))
            return int(call.state["number"])

        @tool
        async def wait(self) -> None:
            await asyncio.sleep(PATIENCE)

    return snakepit.adapter(Notebook)


def waits(tools: Tools) -> threading.Semaphore:
    """Released by each call that begins to wait for its session."""
    released, waiting = threading.Semaphore(0), tools._executor.waiting

    def watched(job: Job, visit: Visit) -> contextlib.AbstractContextManager[None]:
        released.release()
        return waiting(job, visit)

    tools._executor.waiting = watched  # type: ignore[method-assign,assignment]
    return released


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("used", ["use", "use_async"])
def test_a_session_starts_before_its_first_call_and_ends_after_its_last(used: str, asynchronous: bool) -> None:
    log: Log = []
    with serve([notebook(log, asynchronous=asynchronous)]) as tools:
        assert [tools.call(used, session="a") for _ in range(2)] == [0, 0]
        assert tools.call(used, session="b") == 1
        tools.end_session("a")
        assert log[-1] == ("end", "a", 0)
        assert tools.call(used, session="a") == 2
    assert log[-2:] == [("end", "b", 1), ("end", "a", 2)]


def test_data_is_what_the_session_was_opened_with() -> None:
    seen: list[object] = []
    with serve([notebook([], start=lambda session: seen.append(session.data))]) as tools:
        tools.open_session("a", {"user": "ada"})
        tools.call("use", session="a")
        tools.call("use", session="b")
    assert seen == [{"user": "ada"}, None]


def test_functions_of_the_module_are_hooks_and_state_goes_with_the_session() -> None:
    ended: list[tuple[str, Any]] = []

    @snakepit.on_session_start
    def load(session: Session) -> None:
        session.state["count"] = 10

    @snakepit.on_session_end
    async def save(session: Session) -> None:
        ended.append((session.id, session.state["count"]))

    @tool
    def count() -> int:
        state = snakepit.current().state
        state["count"] += 1
        return int(state["count"])

    with serve([count, load, save]) as tools:
        assert [tools.call("count", session="a") for _ in range(2)] == [11, 12]
        tools.end_session("a")
        assert tools.call("count", session="a") == 11
    assert ended == [("a", 12), ("a", 11)]


def test_state_needs_no_hooks_and_a_session() -> None:
    @tool
    def remember(what: str) -> list[str]:
        seen: list[str] = snakepit.current().state.setdefault("seen", [])
        seen.append(what)
        return seen

    with serve([remember]) as tools:
        tools.call("remember", what="x", session="a")
        assert tools.call("remember", what="y", session="a") == ["x", "y"]
        tools.end_session("a")
        assert tools.call("remember", what="z", session="a") == ["z"]
        with pytest.raises(ToolError, match="names no session, so it has no state"):
            tools.call("remember", what="x")


def test_a_start_that_raises_fails_the_calls_that_wait_for_it_and_is_tried_again_by_the_next() -> None:
    begun, go = threading.Event(), threading.Event()
    attempts = itertools.count()
    log: Log = []

    def start(session: Session) -> None:
        if next(attempts) == 0:
            begun.set()
            assert go.wait(PATIENCE)
            raise LookupError("no such model")

    with serve([notebook(log, start=start)], concurrency=4) as tools:
        first = tools.begin("use", session="a")
        assert begun.wait(PATIENCE)
        waiting = waits(tools)
        others = [tools.begin("use_async", session="a"), tools.begin("use", session="a")]
        for _ in others:
            assert waiting.acquire(timeout=PATIENCE)
        go.set()
        for call in [first, *others]:
            with pytest.raises(ToolError, match="LookupError: no such model") as failed:
                call.result()
            assert failed.value.exception is not None
            assert "raised by on_session_start" in failed.value.exception.notes[0]
            assert "of session 'a', which has not begun" in failed.value.exception.notes[0]
        assert tools.call("use", session="a") == 0
    assert [what for what, _, _ in log] == ["start", "call", "end"]


def test_what_started_before_a_start_that_raises_is_ended_again() -> None:
    log: list[str] = []

    @snakepit.adapter
    class First:
        def on_session_start(self, session: Session) -> None:
            log.append("start")

        def on_session_end(self, session: Session) -> None:
            log.append("end")

        @tool
        def nothing(self) -> None: ...

    @snakepit.adapter
    class Second:
        def on_session_start(self, session: Session) -> None:
            raise OSError("no disk")

        def on_session_end(self, session: Session) -> None:
            log.append("must not be")

        @tool
        def more(self) -> None: ...

    with serve([First, Second]) as tools, pytest.raises(ToolError, match="no disk"):
        tools.call("nothing", session="a")
    assert log == ["start", "end"]


def test_an_end_that_raises_is_told_and_the_others_run(capfd: pytest.CaptureFixture[str]) -> None:
    log: Log = []

    @snakepit.on_session_end
    def fails(session: Session) -> None:
        raise ValueError("cannot save")

    with serve([notebook(log), fails]) as tools:
        tools.call("use", session="a")
        with pytest.raises(ToolError, match=r"on_session_end .*fails raised ValueError: cannot save"):
            tools.end_session("a")
        assert log[-1] == ("end", "a", 0)
    assert "of session 'a' raised:" in capfd.readouterr().err


def test_an_end_beyond_its_limit_is_told_at_the_limit() -> None:
    told: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
    go = threading.Event()

    @snakepit.on_session_end
    def slow(session: Session) -> None:
        assert go.wait(PATIENCE)

    with serve([notebook([]), slow]) as tools:
        tools.call("use", session="a")
        tools._executor.end_session("a", lambda *said: told.put(said), 0.01)
        failure, overran = told.get(timeout=PATIENCE)
        assert (failure, overran) == ("on_session_end of session 'a' goes on beyond its limit of 0.01 s", True)
        go.set()
    assert told.empty()


def test_a_call_that_is_cancelled_while_it_waits_for_the_start_stops() -> None:
    begun, go = threading.Event(), threading.Event()

    def start(session: Session) -> None:
        begun.set()
        assert go.wait(PATIENCE)

    with serve([notebook([], start=start)], concurrency=3) as tools:
        first = tools.begin("use", session="a")
        assert begun.wait(PATIENCE)
        waiting = waits(tools)
        for used, how in {"use": "cooperative", "wait": "async"}.items():
            call: RunningCall = tools.begin(used, session="a")
            assert waiting.acquire(timeout=PATIENCE)
            call.cancel()
            with pytest.raises(ToolError) as failed:
                call.result()
            assert failed.value.how == how
        go.set()
        assert first.result() == 0


def test_a_start_may_use_the_threads_of_the_loop_whoever_waits_for_it() -> None:
    calls = 40  # more than the loop's executor has threads on any machine, 32

    class Model:
        async def on_session_start(self, session: Session) -> None:
            async with asyncio.timeout(PATIENCE):
                while len(asyncio.all_tasks()) <= calls:
                    await asyncio.sleep(0)
            session.state["model"] = await asyncio.to_thread(lambda: snakepit.current().id)

        @tool
        async def model(self) -> int:
            return int(snakepit.current().state["model"])

    with serve([snakepit.adapter(Model)], concurrency=calls) as tools:
        running = [tools.begin("model", session="a", timeout=PATIENCE / 2) for _ in range(calls)]
        assert {call.result() for call in running} == {running[0].id}


def test_a_start_for_which_there_is_no_thread_fails_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    log: Log = []
    with serve([notebook(log)], concurrency=2) as tools:
        tools.call("use_async", session="b")  # the loop has its thread
        with monkeypatch.context() as patched:

            def start(thread: threading.Thread) -> None:
                raise RuntimeError("can't start new thread")

            patched.setattr(threading.Thread, "start", start)
            with pytest.raises(ToolError, match="can't start new thread"):
                tools.call("use_async", session="a", timeout=PATIENCE)
        assert tools.call("use_async", session="a", timeout=PATIENCE) == 1


def test_a_session_that_ends_is_waited_for_by_the_next_of_its_id() -> None:
    log: Log = []
    with serve([notebook(log)], concurrency=3) as tools:
        tools.call("use", session="a")
        running = tools.begin("use", session="a", seconds=0.05)
        assert running._events.get(timeout=PATIENCE)[0] == "started"
        tools._executor.end_session("a", lambda *said: None, PATIENCE)
        assert tools.call("use", session="a") == 1
    assert [(what, number) for what, _, number in log] == [
        *(("start", 0), ("call", 0), ("call", 0), ("end", 0)),
        *(("start", 1), ("call", 1), ("end", 1)),
    ]


Step = tuple[str, str, str]
steps = st.lists(
    st.tuples(st.sampled_from(["call", "call", "call", "end"]), st.sampled_from("ab"), st.sampled_from("sap"))
)


@settings(max_examples=150, deadline=None)
@given(concurrency=st.integers(1, 3), asynchronous=st.booleans(), script=steps, fails=st.sets(st.integers(0, 3)))
def test_each_visit_starts_once_before_its_calls_and_ends_once_after_them(
    concurrency: int, asynchronous: bool, script: list[Step], fails: set[int]
) -> None:
    """And two of one session never overlap."""
    log: Log = []
    attempts = itertools.count()

    def start(session: Session) -> None:
        if next(attempts) in fails:
            raise LookupError("as the script says")

    confirmed: list[str] = []

    def note(session: str, failure: str, overran: bool) -> None:
        assert (failure, overran) == ("", False)
        confirmed.append(session)

    with serve([notebook(log, asynchronous=asynchronous, start=start)], concurrency=concurrency) as tools:
        calls: list[RunningCall] = []
        for what, session, how in script:
            if what == "end":
                tools._executor.end_session(session, partial(note, session), PATIENCE)
            else:
                seconds = 0.001 if how == "p" else 0.0
                calls.append(tools.begin("use_async" if how == "a" else "use", session=session, seconds=seconds))
        for call in calls:
            with contextlib.suppress(ToolError):
                call.result()
            assert call._ended is not None
            kind, value = call._ended
            assert kind == "done" or "as the script says" in str(value)
    ends = [id for what, id, _ in script if what == "end"]
    assert sorted(confirmed) == sorted(ends)
    for id in "ab":
        mine = [(what, number) for what, session, number in log if session == id]
        numbers = list(dict.fromkeys(number for _, number in mine))
        assert [number for _, number in mine] == sorted((number for _, number in mine), key=numbers.index)
        for number in numbers:
            whats = [what for what, other in mine if other == number]
            assert whats == ["start", *(["call"] * (len(whats) - 2)), "end"]


SESSIONS = """
import snakepit, os

@snakepit.on_session_start
def start(session):
    session.state["data"] = session.data

@snakepit.on_session_end
def end(session):
    with open(os.environ["LOG"], "a") as log:
        print(session.id, session.state["data"], file=log)

@snakepit.tool
def data() -> object:
    return snakepit.current().state["data"]
"""


def session_call(stream: Stream, id: int, session: str) -> _wire.HostFrame:
    return _wire.HostFrame(call=_wire.Call(id=id, tool=stream.tools["data"], session=session))


def test_over_the_wire(folder: Path) -> None:
    (folder / "sessions_adapter.py").write_text(SESSIONS)
    log = folder / "log"
    worker = WorkerProcess(folder, "sessions_adapter", paths=str(folder), LOG=str(log))
    try:
        for stream in opened(worker.socket):
            start = _wire.HostFrame(session_start=_wire.SessionStart(session="a", data=b"\x07"))
            end = _wire.HostFrame(session_end=_wire.SessionEnd(number=9, session="a", limit_ms=5000))
            stream.send(start, session_call(stream, 1, "a"), end, session_call(stream, 2, "a"))
            assert [stream.result(1), stream.result(2)] == [7, None]
            assert stream.await_frame("session_ended").session_ended == _wire.SessionEnded(number=9)
            stream.send(session_call(stream, 3, "b"))
            assert stream.result(3) is None
            stream.drain()
            stream.await_frame("drained")
            assert log.read_text().splitlines() == ["a 7", "a None", "b None"]
            assert len(stream.of("session_ended")) == 1
        for stream in opened(worker.socket):
            stream.send(session_call(stream, 4, "c"))
            stream.result(4)
            worker.terminate()
            assert worker.exit_code() == 0
        assert log.read_text().splitlines()[3:] == ["c None"]
    finally:
        worker.kill()
