from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from executor_host import PATIENCE, ExecutorHost, Spoken, executing
from snakepit import Cancelled, InputFailed, Tool, current, tool
from snakepit._errors import describe
from snakepit._inputs import WINDOW
from snakepit._perform import SLOW_SECONDS
from snakepit._wire import PythonException


@tool
def add(a: int, b: int = 1) -> int:
    return a + b


@tool
def where() -> str:
    return threading.current_thread().name


@tool(thread_sensitive=True)
def where_sensitive() -> str:
    return threading.current_thread().name


@tool
async def where_async() -> str:
    return threading.current_thread().name


@tool
def count(to: int) -> Iterator[int]:
    yield from range(to)


@tool
async def count_async(to: int) -> AsyncIterator[int]:
    for n in range(to):
        yield n


class Gate:
    """A tool of each kind that waits until it is opened, and says who is inside."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.inside: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

        @tool
        def hold(name: str) -> str:
            self._enter(name)
            assert self.opened.wait(PATIENCE)
            self._leave()
            return name

        @tool(thread_sensitive=True)
        def hold_sensitive(name: str) -> str:
            return hold.function(name)

        @tool
        async def hold_async(name: str) -> str:
            self._enter(name)
            assert await asyncio.to_thread(self.opened.wait, PATIENCE)
            self._leave()
            return name

        self.hold, self.hold_sensitive, self.hold_async = hold, hold_sensitive, hold_async

    def _enter(self, name: str) -> None:
        with self._lock:
            self.inside.append(name)
            self._now += 1
            self.most = max(self.most, self._now)

    def _leave(self) -> None:
        with self._lock:
            self._now -= 1


def wait_for(holds: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.001)


# -- where, and how many at once ---------------------------------------------------------------------------------------


def test_one_at_a_time_runs_in_order_on_the_main_thread() -> None:
    with executing(1) as host:
        ids = [host.submit(where) for _ in range(20)]
        assert {host.said.result(id) for id in ids} == {host.main.name}
        assert host.said.ids("done") == ids
        assert host.said.ids("started") == ids


def test_how_long_the_code_of_a_call_ran_is_told() -> None:
    @tool
    def nap() -> None:
        time.sleep(0.02)

    @tool
    async def doze() -> None:
        await asyncio.sleep(0.02)

    with executing(1) as host:
        slow, quick, dozing = host.submit(nap), host.submit(where), host.submit(doze)
        for id in (slow, quick, dozing):
            host.said.result(id)
        assert min(host.said.micros[slow], host.said.micros[dozing]) >= 20_000
        assert 1 <= host.said.micros[quick] < host.said.micros[slow]


def test_plain_tools_overlap_in_threads_up_to_the_concurrency() -> None:
    gate = Gate()
    with executing(3) as host:
        ids = [host.submit(gate.hold, name=str(n)) for n in range(5)]
        host.said.until(lambda: len(host.said.ids("started")) == 3)
        wait_for(lambda: len(gate.inside) == 3)
        assert sorted(host.said.ids("started")) == ids[:3]
        gate.opened.set()
        assert [host.said.result(id) for id in ids] == ["0", "1", "2", "3", "4"]
        assert gate.most == 3


def test_thread_sensitive_tools_stay_on_the_main_thread_and_wait_without_holding_others_up() -> None:
    gate = Gate()
    with executing(3) as host:
        first = host.submit(gate.hold_sensitive, name="first")
        second = host.submit(gate.hold_sensitive, name="second")
        others = [host.submit(where) for _ in range(4)]
        assert all(host.said.result(id).startswith("snakepit-tool-") for id in others)
        wait_for(lambda: first in host.said.ids("started"))
        assert second not in host.said.ids("started")
        third = host.submit(where_sensitive)
        gate.opened.set()
        assert host.said.result(third) == host.main.name
        assert [id for id in host.said.ids("started") if id not in others] == [first, second, third]


def test_async_tools_interleave_on_one_thread_up_to_the_concurrency() -> None:
    gate = Gate()
    with executing(4) as host:
        assert {host.said.result(host.submit(where_async)) for _ in range(3)} == {"snakepit-loop"}
        ids = [host.submit(gate.hold_async, name=str(n)) for n in range(6)]
        wait_for(lambda: len(gate.inside) == 4)
        gate.opened.set()
        assert [host.said.result(id) for id in ids] == list("012345")
        assert gate.most == 4


def test_the_concurrency_is_that_of_all_kinds_together() -> None:
    gate = Gate()
    with executing(3) as host:
        kinds: list[Tool[..., Any]] = [gate.hold_async, gate.hold, gate.hold_sensitive]
        ids = [host.submit(kinds[n % 3], name=str(n)) for n in range(9)]
        wait_for(lambda: len(gate.inside) == 3)
        gate.opened.set()
        for id in ids:
            host.said.outcome(id)
        assert gate.most == 3


def test_with_a_concurrency_of_one_an_async_tool_and_a_plain_one_take_turns() -> None:
    gate = Gate()
    with executing(1) as host:
        held = host.submit(gate.hold_async, name="async")
        plain = host.submit(where)
        wait_for(lambda: gate.inside)
        assert host.said.ids("started") == [held]
        gate.opened.set()
        assert host.said.result(plain) == host.main.name


def test_a_finished_result_is_said_before_a_long_one_starts() -> None:
    gate = Gate()
    with executing(1) as host:
        short, long = host.submit(add, a=1), host.submit(gate.hold, name="long")
        host.said.until(lambda: long in host.said.ids("started"))
        assert [(kind, id) for kind, id, _ in host.said.all] == [("started", short), ("done", short), ("started", long)]
        gate.opened.set()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_only_a_tool_that_was_quick_starts_before_its_started_has_left(asynchronous: bool) -> None:
    def spin() -> None:
        until = time.monotonic() + 2 * SLOW_SECONDS
        while time.monotonic() < until:
            pass

    async def spin_async() -> None:
        spin()

    quick, slow = (where_async, tool(spin_async)) if asynchronous else (where, tool(spin))
    with executing(1) as host:
        host.said.result(host.submit(quick))
        assert host.said.flushes == 1
        host.said.result(host.submit(quick))
        assert host.said.flushes == 1
        for _ in range(2):
            host.said.result(host.submit(slow))
        assert host.said.flushes == 3


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_id_never_runs_twice(concurrency: int) -> None:
    gate = Gate()
    with executing(concurrency) as host:
        id = host.submit(gate.hold, name="once")
        wait_for(lambda: gate.inside)
        host.submit(gate.hold, id=id, name="twice")
        gate.opened.set()
        wait_for(lambda: len(host.said.of("raised", id)) == 1 and host.said.of("done", id))
        host.submit(gate.hold, id=id, name="thrice", outbox=(other := Spoken()))
        assert type(other.outcome(id)[1]).__name__ == "AlreadyStarted"
        assert gate.inside == ["once"]


@pytest.mark.parametrize("raised", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), Cancelled("mine")])
@pytest.mark.parametrize("kind", ["plain", "async", "generator", "async generator"])
def test_whatever_a_tool_raises_is_an_outcome_and_the_lane_lives_on(raised: BaseException, kind: str) -> None:
    def plain() -> None:
        raise raised

    async def later() -> None:
        raise raised

    def many() -> Iterator[int]:
        yield 1
        raise raised

    async def many_async() -> AsyncIterator[int]:
        yield 1
        raise raised

    functions: dict[str, Callable[[], object]] = {
        "plain": plain,
        "async": later,
        "generator": many,
        "async generator": many_async,
    }
    for concurrency in (1, 2):
        with executing(concurrency) as host:
            made = tool(functions[kind])
            assert host.said.outcome(host.submit(made, credit=5)) == ("raised", raised)
            describe(raised, described := PythonException())
            # the first frame that the caller sees is the tool's
            assert described.frames[0].function == functions[kind].__qualname__
            assert host.said.result(host.submit(where_async)) == "snakepit-loop"
            assert host.said.result(host.submit(add, a=1)) == 2


def test_results_and_elements_that_are_too_large_say_their_size() -> None:
    @tool
    async def big(size: int) -> bytes:
        return bytes(size)

    @tool
    async def bigger() -> AsyncIterator[bytes]:
        yield b""
        yield bytes(200)

    with executing(1) as host:
        assert host.said.outcome(host.submit(big, size=200, max_payload=100)) == ("too_large", 202)
        assert host.said.outcome(id := host.submit(bigger, credit=5, max_payload=100)) == ("too_large", 202)
        assert host.said.items(id) == [b""]
        assert host.said.outcome(host.submit(add, a=1 << 40, max_payload=3))[0] == "invalid"
        assert "started" not in {kind for kind, id, _ in host.said.all if id == 3}


@pytest.mark.parametrize("counting", [count, count_async])
def test_a_stream_waits_for_credit_and_skips_without_it(counting: Tool[..., Any]) -> None:
    with executing(2) as host:
        id = host.submit(counting, to=10, credit=2, skip=3)
        host.said.until(lambda: len(host.said.items(id)) == 2)
        for elements in (1, 1, 10):
            host.executor.give_credit(id, elements)
        assert host.said.outcome(id) == ("done", b"")
        assert host.said.items(id) == list(range(3, 10))


# -- cancellation ------------------------------------------------------------------------------------------------------


def test_a_waiting_call_is_cancelled_at_once_and_never_starts() -> None:
    gate = Gate()
    with executing(2) as host:
        held = [host.submit(gate.hold, name="a"), host.submit(gate.hold_async, name="b")]
        waiting = [host.submit(kind) for kind in (where, where_async, where_sensitive)]
        wait_for(lambda: len(gate.inside) == 2)
        for id in waiting:
            host.executor.cancel(id)
            assert host.said.outcome(id) == ("cancelled", "queued")
        gate.opened.set()
        assert [host.said.result(id) for id in held] == ["a", "b"]
        assert not set(waiting) & set(host.said.ids("started"))


def test_an_async_tool_is_cancelled_where_it_waits() -> None:
    seen = []

    @tool
    async def forever() -> None:
        seen.append(current().cancelled)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append(current().cancelled)

    with executing(1) as host:
        id = host.submit(forever)
        wait_for(lambda: seen)
        host.executor.cancel(id)
        assert host.said.outcome(id) == ("cancelled", "async")
        assert seen == [False, True]


def test_an_async_tool_that_goes_on_all_the_same_has_finished() -> None:
    began = threading.Event()

    @tool
    async def stubborn() -> int:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 1
        return 2

    with executing(1) as host:
        id = host.submit(stubborn)
        assert began.wait(PATIENCE)
        host.executor.cancel(id)
        assert host.said.outcome(id) == ("cancelled", "finished")


def test_an_async_tool_that_raises_a_cancellation_of_its_own_has_raised() -> None:
    @tool
    async def odd() -> None:
        raise asyncio.CancelledError("mine")

    with executing(1) as host:
        kind, raised = host.said.outcome(host.submit(odd))
        assert (kind, str(raised)) == ("raised", "mine")


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_generator_is_closed_while_it_waits_for_credit(kind: str) -> None:
    closed = threading.Event()

    @tool
    def plain() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    @tool
    async def later() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with executing(1) as host:
        id = host.submit(plain if kind == "plain" else later, credit=2)
        host.said.until(lambda: len(host.said.items(id)) == 2)
        host.executor.cancel(id)
        assert host.said.outcome(id) == ("cancelled", "generator")
        assert closed.is_set()


def test_an_async_generator_that_waits_for_something_else_is_cancelled_there() -> None:
    @tool
    async def stuck() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    with executing(1) as host:
        id = host.submit(stuck, credit=5)
        host.said.until(lambda: host.said.items(id))
        host.executor.cancel(id)
        assert host.said.outcome(id) == ("cancelled", "async")


def test_a_generator_is_closed_at_its_next_element() -> None:
    with executing(1) as host:
        id = host.submit(count, to=1 << 60, skip=1 << 60)
        host.said.until(lambda: host.said.ids("started"))
        host.executor.cancel(id)
        assert host.said.outcome(id) == ("cancelled", "generator")


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_plain_tool_can_look_whether_it_is_wanted(concurrency: int) -> None:
    @tool
    def raises() -> None:
        while True:
            current().raise_if_cancelled()

    @tool
    def looks() -> int:
        while not current().cancelled:
            pass
        return 1

    with executing(concurrency) as host:
        for polite in (raises, looks):
            id = host.submit(polite)
            wait_for(partial(host.said.of, "started", id))
            host.executor.cancel(id)
            assert host.said.outcome(id) == ("cancelled", "cooperative")


def test_a_plain_tool_that_never_looks_finishes_and_its_result_is_dropped() -> None:
    gate = Gate()
    with executing(2) as host:
        id = host.submit(gate.hold, name="deaf")
        wait_for(lambda: gate.inside)
        host.executor.cancel(id)
        assert not host.said.of("cancelled")
        gate.opened.set()
        assert host.said.outcome(id) == ("cancelled", "finished")


def test_what_is_raised_after_a_cancel_is_printed_where_nobody_else_hears_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate = Gate()

    @tool
    def fails() -> None:
        gate.hold.function("x")
        raise LookupError("too late to tell")

    with executing(1) as host:
        id = host.submit(fails)
        wait_for(lambda: gate.inside)
        host.executor.cancel(id)
        gate.opened.set()
        assert host.said.outcome(id) == ("cancelled", "finished")
    assert "too late to tell" in capsys.readouterr().err


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_a_deadline_that_passes_is_like_a_cancel() -> None:
    @tool
    def looks() -> None:
        while True:
            current().raise_if_cancelled()

    @tool
    async def forever() -> None:
        await asyncio.Event().wait()

    @tool
    def waits(numbers: Iterator[int]) -> int:
        return sum(numbers)

    with executing(2) as host:
        assert host.said.outcome(host.submit(looks, seconds=0.2)) == ("cancelled", "cooperative")
        assert host.said.outcome(host.submit(forever, seconds=0.2)) == ("cancelled", "async")
        assert host.said.outcome(host.submit(count, seconds=0.2, to=5)) == ("cancelled", "generator")
        assert host.said.outcome(host.submit(waits, seconds=0.2)) == ("cancelled", "cooperative")


def test_a_call_that_is_due_when_its_turn_comes_is_not_run() -> None:
    with executing(1, started=False) as host:
        ids = [host.submit(kind, seconds=-1.0) for kind in (where, where_async)]
        host.start()
        assert [host.said.outcome(id) for id in ids] == [("cancelled", "queued")] * 2
        assert not host.said.ids("started")


# -- the running call --------------------------------------------------------------------------------------------------


def facts() -> list[object]:
    call = current()
    assert call.remaining is not None
    assert 0 < call.remaining <= 60
    assert call.deadline is not None
    return [call.id, call.tool, call.session, call.trace, call.cancelled]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_every_kind_of_tool_knows_its_call(concurrency: int) -> None:
    @tool(name="plain")
    def plain() -> list[object]:
        return facts()

    @tool(name="later")
    async def later() -> list[object]:
        async def inner() -> list[object]:
            await asyncio.sleep(0)
            return await asyncio.to_thread(facts)

        return await asyncio.create_task(inner())

    @tool(name="many")
    def many() -> Iterator[list[object]]:
        yield facts()
        yield facts()

    @tool(name="many_later")
    async def many_later() -> AsyncIterator[list[object]]:
        yield facts()
        await asyncio.sleep(0)
        yield facts()

    with executing(concurrency) as host:
        answering: list[Tool[..., Any]] = [plain, later]
        for kind in answering:
            id = host.submit(kind, seconds=60, session="s", trace=b"t")
            assert host.said.result(id) == [id, kind.name, "s", b"t", False]
        streaming: list[Tool[..., Any]] = [many, many_later]
        for kind in streaming:
            id = host.submit(kind, seconds=60, credit=9)
            assert host.said.outcome(id)[0] == "done"
            assert host.said.items(id) == [[id, kind.name, None, b"", False]] * 2


def test_a_call_knows_its_trace_as_text() -> None:
    @tool
    def trace() -> list[str | None]:
        return [current().traceparent, current().tracestate]

    with executing(1) as host:
        sampled = bytes.fromhex("0af7651916cd43dd8448eb211c80319cb7ad6b716920333101")
        text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        assert host.said.result(host.submit(trace, trace=sampled)) == [text, None]
        assert host.said.result(host.submit(trace, trace=sampled, trace_state="a=1,b=2")) == [text, "a=1,b=2"]
        assert host.said.result(host.submit(trace)) == [None, None]


def test_without_a_call_there_is_no_current_one() -> None:
    with pytest.raises(LookupError, match="no call runs here"):
        current()


def test_a_call_without_a_deadline_has_all_the_time() -> None:
    @tool
    def times() -> list[float | None]:
        return [current().deadline, current().remaining]

    with executing(1) as host:
        assert host.said.result(host.submit(times)) == [None, None]


# -- streams of inputs -------------------------------------------------------------------------------------------------


@tool
def total(numbers: Iterator[int], start: int = 0) -> int:
    return sum(numbers, start)


@tool
async def total_async(numbers: AsyncIterator[int], start: int = 0) -> int:
    async for number in numbers:
        start += number
    return start


@tool
def doubled(numbers: Iterator[int]) -> Iterator[int]:
    for number in numbers:
        yield 2 * number


@tool
async def doubled_async(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async for number in numbers:
        yield 2 * number


class Feeder:
    """A host that sends no more than is wanted."""

    def __init__(self, host: ExecutorHost, id: int) -> None:
        self.host, self.id, self.sent = host, id, 0

    def wanted(self) -> bool:
        return bool(sum(self.host.said.of("want", self.id)) > self.sent)

    def send(self, *elements: object) -> None:
        for element in elements:
            self.host.said.until(self.wanted)
            self.sent += 1
            self.host.give(self.id, element)

    def end(self, failure: str = "") -> None:
        self.host.executor.end_input(self.id, failure)


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("adding", [total, total_async])
def test_a_tool_takes_a_stream_of_inputs_with_demand(adding: Tool[..., Any], concurrency: int) -> None:
    with executing(concurrency) as host:
        feeder = Feeder(host, host.submit(adding, start=1))
        host.said.until(feeder.wanted)
        assert host.said.of("want") == [WINDOW]
        feeder.send(*range(1000))
        feeder.end()
        assert host.said.result(feeder.id) == 1 + sum(range(1000))
        assert max(host.said.of("want")) <= WINDOW


@pytest.mark.parametrize("doubling", [doubled, doubled_async])
def test_a_stream_in_becomes_a_stream_out(doubling: Tool[..., Any]) -> None:
    with executing(1) as host:
        feeder = Feeder(host, host.submit(doubling, credit=1000))
        feeder.send(1, 2)
        host.said.until(lambda: host.said.items(feeder.id) == [2, 4])
        feeder.send(3)
        feeder.end()
        assert host.said.outcome(feeder.id)[0] == "done"
        assert host.said.items(feeder.id) == [2, 4, 6]


@pytest.mark.parametrize("adding", [total, total_async])
def test_a_stream_that_ended_before_its_call_began_is_empty(adding: Tool[..., Any]) -> None:
    gate = Gate()
    with executing(1) as host:
        host.submit(gate.hold, name="before")
        wait_for(lambda: gate.inside)
        id = host.submit(adding)
        host.executor.end_input(id, "")
        gate.opened.set()
        assert host.said.result(id) == 0
        assert not host.said.of("want")


@pytest.mark.parametrize("adding", [total, total_async])
@pytest.mark.parametrize(
    ("fail", "says"),
    [
        (lambda feeder: feeder.end("the socket broke"), "total.*'numbers': the socket broke"),
        (lambda feeder: feeder.send("three"), "element 2: Expected `int`, got `str`"),
        (lambda feeder: feeder.host.give(feeder.id, *[1] * 200), r"element \d+ came, and \d+ were wanted"),
        (lambda feeder: feeder.send(10**12), "element 2 has 9 bytes, more than the 6 of max_payload"),
    ],
)
def test_a_stream_that_breaks_raises_in_the_tool(
    adding: Tool[..., Any], fail: Callable[[Feeder], None], says: str
) -> None:
    with executing(1) as host:
        feeder = Feeder(host, host.submit(adding, max_payload=6))
        feeder.send(1)
        fail(feeder)
        kind, raised = host.said.outcome(feeder.id)
        assert kind == "raised"
        assert isinstance(raised, InputFailed)
        with pytest.raises(InputFailed, match=says):
            raise raised


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_tool_may_leave_its_stream_early_and_the_rest_is_forgotten(kind: str) -> None:
    kept: list[Any] = []

    @tool
    def first(numbers: Iterator[int]) -> int:
        kept.append(numbers)
        return next(numbers)

    @tool
    async def first_async(numbers: AsyncIterator[int]) -> int:
        return await anext(numbers)

    with executing(1) as host:
        feeder = Feeder(host, host.submit(first if kind == "plain" else first_async))
        feeder.send(7, 8, 9)
        assert host.said.result(feeder.id) == 7
        host.give(feeder.id, 10)
        feeder.end()
        assert host.said.result(host.submit(add, a=1)) == 2
    if kept:
        with pytest.raises(InputFailed, match="the call is over"):
            list(kept[0])


@pytest.mark.parametrize(("adding", "how"), [(total, "cooperative"), (total_async, "async")])
def test_a_tool_that_waits_for_inputs_is_cancelled_there(adding: Tool[..., Any], how: str) -> None:
    with executing(1) as host:
        feeder = Feeder(host, host.submit(adding))
        feeder.send(1)
        host.executor.cancel(feeder.id)
        assert host.said.outcome(feeder.id) == ("cancelled", how)


def test_the_first_window_is_bounded_by_what_elements_may_weigh_and_the_next_by_what_they_do() -> None:
    with executing(1) as host:
        feeder = Feeder(host, host.submit(total, max_payload=32 << 20))
        host.said.until(feeder.wanted)
        assert host.said.of("want") == [2]
        feeder.send(1)
        host.said.until(lambda: len(host.said.of("want")) == 2)
        assert sum(host.said.of("want")) == 1 + WINDOW
        feeder.end()
        host.said.outcome(feeder.id)


# -- functions that are no tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_function_that_is_allowed_is_called(concurrency: int) -> None:
    with executing(concurrency, ["math:*", "functions:*"]) as host:
        for _ in range(2):
            assert host.said.result(host.submit(function="math:sqrt", x=9)) == 3.0
            assert host.said.result(host.submit(function="functions:greet", name="you")) == "hello you"
            assert host.said.result(host.submit(function="functions:greet_later", name="you")) == "hello you"
            id = host.submit(function="functions:letters", word="ab", credit=5)
            assert host.said.outcome(id)[0] == "done"
            assert host.said.items(id) == ["a", "b"]
            feeder = Feeder(host, host.submit(function="functions:joined"))
            feeder.send("a", "b")
            feeder.end()
            assert host.said.result(feeder.id) == "ab"
        assert host.said.result(host.submit(function="functions:imports")) == 1
        assert host.said.result(host.submit(function="functions:where")) == (
            host.main.name if concurrency == 1 else "snakepit-tool-1"
        )


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("os:system", r"'os:system' is not allowed: it matches none of \['functions:\*', 'not_there:\*'\]"),
        ("functions:missing", "module 'functions' has no 'missing'"),
        ("functions:NUMBER", "it is no function but 3"),
        ("not_there:at_all", "does not import: ModuleNotFoundError"),
        ("functions", "write module:function"),
        ("functions:os.system", "write module:function"),
        (":x", "write module:function"),
    ],
)
def test_a_function_that_is_refused_or_missing_is_unknown_and_says_why(function: str, says: str) -> None:
    with executing(1, ["functions:*", "not_there:*"]) as host:
        kind, why = host.said.outcome(id := host.submit(function=function))
        assert (kind, id in host.said.ids("started")) == ("unknown", False)
        with pytest.raises(LookupError, match=says):
            raise LookupError(why)


def test_what_a_function_takes_by_position_only_is_given_by_name() -> None:
    with executing(1, ["functions:*"]) as host:
        assert host.said.result(host.submit(function="functions:by_position", a=1)) == 3
        kind, issue = host.said.outcome(host.submit(function="functions:by_position", b=1))
        assert kind == "invalid"
        assert "missing a; it takes (a, b)" in issue


def test_no_function_is_allowed_by_default() -> None:
    with executing(1) as host:
        kind, why = host.said.outcome(host.submit(function="math:sqrt", x=9))
        assert kind == "unknown"
        assert "python.allow is empty" in why


# -- draining, holding, abandoning -------------------------------------------------------------------------------------


def test_a_drain_lets_all_running_calls_finish_and_declines_the_others() -> None:
    gate = Gate()
    with executing(3) as host:
        running = [host.submit(kind, name="r") for kind in (gate.hold, gate.hold_async, gate.hold_sensitive)]
        waiting = [host.submit(kind) for kind in (where, where_async, where_sensitive)]
        wait_for(lambda: len(gate.inside) == 3)
        host.executor.drain()
        gate.opened.set()
        assert [host.said.result(id) for id in running] == ["r"] * 3
        assert [host.said.outcome(id)[0] for id in waiting] == ["declined"] * 3
        host.main.join(PATIENCE)
        assert not host.main.is_alive()
        assert host.said.outcome(host.submit(where))[0] == "declined"


def test_a_session_that_is_held_has_drained_when_its_last_running_call_is_over() -> None:
    first, second = Gate(), Gate()
    with executing(3) as host:
        running = [host.submit(first.hold, name="a"), host.submit(second.hold_async, name="b")]
        other = host.submit(second.hold, name="other", outbox=(elsewhere := Spoken()))
        waiting = host.submit(where)
        wait_for(lambda: len(first.inside + second.inside) == 3)
        host.executor.hold(host.said)
        assert host.said.outcome(waiting)[0] == "declined"
        assert host.said.outcome(host.submit(where))[0] == "declined"
        first.opened.set()
        host.said.outcome(running[0])
        assert not host.said.of("drained")
        second.opened.set()
        host.said.until(lambda: host.said.of("drained"))
        assert host.said.all[-1][0] == "drained"
        assert host.said.of("done", running[1])
        assert elsewhere.outcome(other)[0] == "done"


def test_an_abandoned_session_leaves_nothing_waiting_and_cancels_what_runs() -> None:
    gate = Gate()

    @tool
    async def forever() -> None:
        await asyncio.Event().wait()

    with executing(3) as host:
        host.submit(forever)
        host.submit(count, to=9, credit=1)
        host.submit(gate.hold, name="plain")
        waiting = host.submit(where)
        wait_for(lambda: gate.inside and host.said.ids("item"))
        freed = threading.Event()
        host.executor.when_free(freed.set)
        host.executor.abandon(host.said)
        assert host.said.outcome(waiting) == ("cancelled", "queued")
        assert not freed.is_set(), "free although a plain tool runs"
        gate.opened.set()
        assert freed.wait(PATIENCE)
        assert sorted(host.said.of("cancelled")) == ["async", "finished", "generator", "queued"]


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_rehearsal_can_be_repeated_and_says_nothing(concurrency: int) -> None:
    with executing(concurrency) as host:
        threads = threading.active_count()
        for _ in range(3):
            host.executor.rehearse()
            freed = threading.Event()
            host.executor.when_free(freed.set)
            assert freed.wait(PATIENCE)
        assert threading.active_count() <= threads + concurrency - 1, "more than those that run tools"
        assert host.said.result(host.submit(add, a=1)) == 2
        assert [kind for kind, *_ in host.said.all] == ["started", "done"]
