"""Telemetry of tools: what is told, where it waits, and what is left out."""

from __future__ import annotations

import asyncio
import io
import logging
import math
import re
import sys
import threading
import types
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from importlib.machinery import ModuleSpec
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakepit import Session, _record, _samples, _spans, on_session_end, on_session_start, telemetry, tool
from snakepit._captured import Logs, Output, Teed
from snakepit._current import running
from snakepit._hub import BATCH_RECORDS, QUEUE_RECORDS, Hub, hub
from snakepit._record import Event, Record
from snakepit._rules import Rules
from snakepit._wire import Telemetry, TelemetryControl, TelemetryRecord, TelemetrySampling, TelemetrySettings
from snakepit.testing import Told, serve
from snakepit.testing import telemetry as recorded

# -- rules -------------------------------------------------------------------------------------------------------------

names = st.text("ab.*", min_size=1, max_size=5).map(lambda name: name.replace("*", "c"))
patterns = st.text("abc.*", min_size=1, max_size=5)


def fits(pattern: str, name: str) -> bool:
    """The same, by hand: `*` takes the fewest characters that let the rest fit."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(fits(pattern[1:], name[skip:]) for skip in range(len(name) + 1))
    return bool(name) and name[0] == pattern[0] and fits(pattern[1:], name[1:])


@given(
    on=st.booleans(),
    allow=st.lists(patterns, max_size=2),
    deny=st.lists(patterns, max_size=2),
    sampling=st.lists(st.tuples(patterns, st.floats(0, 1)), max_size=3),
    asked=st.lists(st.tuples(names, st.floats(0, 1, exclude_max=True)), max_size=8),
)
def test_rules_are_those_that_the_patterns_say(
    on: bool, allow: list[str], deny: list[str], sampling: list[tuple[str, float]], asked: list[tuple[str, float]]
) -> None:
    chance = 0.0
    settings = TelemetrySettings(
        on=on, allow=allow, deny=deny, sampling=[TelemetrySampling(pattern=one, rate=rate) for one, rate in sampling]
    )
    rules = Rules(settings, lambda: chance)
    for name, drawn in asked:
        chance = drawn
        share = next((rate for pattern, rate in sampling if fits(pattern, name)), 1.0)
        allowed = (
            on and (not allow or any(fits(one, name) for one in allow)) and not any(fits(one, name) for one in deny)
        )
        assert rules.tells(name) is (allowed and drawn < share)


# -- queue and credit --------------------------------------------------------------------------------------------------


class Host:
    """Takes what a hub says."""

    def __init__(self) -> None:
        self.records: list[TelemetryRecord] = []
        self.dropped: dict[str, int] = {}
        self.batches: list[int] = []

    def telemetry(self, telemetry: Telemetry) -> None:
        self.batches.append(len(telemetry.records))
        self.records.extend(telemetry.records)
        for dropped in telemetry.dropped:
            self.dropped[dropped.reason] = self.dropped.get(dropped.reason, 0) + dropped.records


def on(**settings: Any) -> TelemetrySettings:
    return TelemetrySettings(on=True, **settings)


def quiet_hub() -> Hub:
    """A hub whose thread does nothing, so that a test says when it sends."""
    hub = Hub()
    hub._run = lambda: None  # type: ignore[method-assign]
    hub.open()
    return hub


def tell(hub: Hub, number: int) -> None:
    if hub.wants("n"):
        hub.tell(Record(0, Event("n", {"number": float(number)})))


@given(st.lists(st.one_of(st.integers(0, 700), st.tuples(st.integers(0, 300)), st.none()), max_size=12))
def test_a_hub_loses_nothing_that_it_does_not_count_and_never_exceeds_its_credit(
    steps: list[int | tuple[int] | None],
) -> None:
    """An int tells so many records, a tuple gives so much credit, None is a session that ends."""
    hub, host = quiet_hub(), Host()
    hub.control(host, TelemetryControl(settings=on(), credit=0))
    told = waiting = credit = lost = 0
    for step in steps:
        if step is None:
            hub.leave(host)
            credit = 0
        elif isinstance(step, tuple):
            credit = step[0]
            hub.control(host, TelemetryControl(credit=credit))
        else:
            for number in range(told, told + step):
                tell(hub, number)
            lost += max(0, waiting + step - QUEUE_RECORDS)
            waiting = min(QUEUE_RECORDS, waiting + step)
            told += step
        before = len(host.records)
        hub.flush()
        sent = len(host.records) - before
        assert sent == min(waiting, credit)
        waiting -= sent
        credit -= sent
    numbers = [record.event.measurements[0].value for record in host.records]
    assert numbers == sorted(set(numbers))
    assert max(host.batches, default=0) <= BATCH_RECORDS
    assert host.dropped.get("queue", 0) <= lost
    hub.control(host, TelemetryControl(credit=QUEUE_RECORDS + 1))
    hub.flush()
    assert len(host.records) + host.dropped.get("queue", 0) == told


def test_what_is_told_before_a_host_says_what_it_wants_waits_and_is_judged_then() -> None:
    hub, host = quiet_hub(), Host()
    for name in ("a", "b"):
        assert hub.wants(name)
        hub.tell(Record(0, Event(name, {})))
    hub.control(host, TelemetryControl(settings=on(deny=["a"]), credit=9))
    hub.flush()
    assert [record.event.name for record in host.records] == ["b"]
    hub.control(host, TelemetryControl(settings=TelemetrySettings(), credit=9))
    assert not hub.wants("b")


def test_the_thread_of_a_hub_sends_by_itself() -> None:
    hub, sent = Hub(), threading.Event()

    class Once(Host):
        def telemetry(self, telemetry: Telemetry) -> None:
            super().telemetry(telemetry)
            sent.set()

    host = Once()
    hub.open()
    hub.control(host, TelemetryControl(settings=on(), credit=1))
    tell(hub, 1)
    assert sent.wait(10)
    sent.clear()
    tell(hub, 2)  # there is no credit
    hub.control(host, TelemetryControl(credit=1))
    assert sent.wait(10)
    assert [record.event.measurements[0].value for record in host.records] == [1, 2]


def test_a_batch_of_large_records_is_sent_in_parts() -> None:
    hub, host = quiet_hub(), Host()
    hub.control(host, TelemetryControl(settings=on(), credit=1000))
    large = _record.attributes_of({f"key{number}": "x" * 5000 for number in range(40)})
    for _ in range(20):
        hub.tell(Record(0, Event("large", {}), attributes=large))
    hub.flush()
    assert len(host.records) == 20
    assert len(host.batches) > 1
    assert host.records[0].ByteSize() < 40_000


# -- what can be told --------------------------------------------------------------------------------------------------


class Unprintable:
    def __str__(self) -> str:
        raise ValueError


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.just(Unprintable()),
    st.lists(st.text()),
)


@given(
    name=st.one_of(st.text(), st.just("a.b")),
    measurements=st.dictionaries(st.text(), anything, max_size=40),
    attributes=st.dictionaries(st.one_of(st.text(), st.sampled_from("abc")), anything, max_size=40),
)
def test_whatever_is_emitted_is_told_within_bounds_or_counted(
    name: str, measurements: dict[str, Any], attributes: dict[str, Any]
) -> None:
    with recorded() as kept:
        telemetry.emit(name, measurements, attributes)
        told = kept.told
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,127}", name):
        assert told == []
        return
    assert all(math.isfinite(value) for value in told[0].measurements.values())
    assert len(told[0].attributes) <= 32
    assert all(not isinstance(value, str) or len(value.encode()) <= 1024 for value in told[0].attributes.values())


def test_emit_outside_a_worker_only_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "snakepit.telemetry"):
        telemetry.emit("model.loaded", {"took_ms": 3})
    assert "model.loaded" in caplog.text
    with telemetry.span("load") as span:
        assert not span.is_recording
        span.set(size=3)


# -- calls and spans ---------------------------------------------------------------------------------------------------


@tool
def plain(text: str) -> int:
    with telemetry.span("outer", kind="test") as outer:
        with telemetry.span("inner"):
            telemetry.emit("inside", {"length": len(text)}, {"text": text})
        outer.set(length=len(text))
    return len(text)


@tool
async def later(text: str) -> int:
    @telemetry.span("awaited")
    async def wait() -> None:
        await asyncio.sleep(0)

    await wait()
    await asyncio.gather(*(wait() for _ in range(2)))
    telemetry.emit("inside", {}, {"text": text})
    return len(text)


@tool
def steps(to: int) -> Iterator[int]:
    for number in range(to):
        with telemetry.span("step", number=number):
            yield number


@tool
async def later_steps(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@tool
def fails(why: str) -> None:
    with telemetry.span("doomed"):
        raise ValueError(why)


def spans(told: list[Told]) -> dict[str, Told]:
    return {one.name: one for one in told if one.kind == "span"}


def test_an_event_belongs_to_the_call_that_told_it_and_spans_lie_within_its_own() -> None:
    with recorded() as kept, serve([plain]) as tools:
        tools.call("plain", text="abc")
        told = kept.told
    event = next(one for one in told if one.kind == "event")
    assert (event.name, event.call, event.tool) == ("inside", 1, "plain")
    assert (event.measurements, event.attributes) == ({"length": 3}, {"text": "abc"})
    by_name = spans(told)
    assert by_name["inner"].parent_id == by_name["outer"].span_id
    assert by_name["outer"].parent_id == by_name["python.call"].span_id
    assert by_name["outer"].attributes == {"kind": "test", "length": 3}
    assert by_name["python.call"].attributes == {"code.function.name": f"{__name__}.plain"}
    assert by_name["python.call"].parent_id == bytes(range(17, 25))


def test_async_tools_and_their_tasks_have_spans_as_well() -> None:
    with recorded() as kept, serve([later], concurrency=8) as tools:
        calls = [tools.begin("later", text=str(number)) for number in range(8)]
        for call in calls:
            call.result()
        told = kept.told
    assert {one.attributes["text"]: one.call for one in told if one.kind == "event"} == {
        str(number): number + 1 for number in range(8)
    }
    serving = {one.call: one.span_id for one in told if one.name == "python.call"}
    awaited = [one for one in told if one.name == "awaited"]
    assert len(awaited) == 24
    assert all(one.parent_id == serving[one.call] for one in awaited)


def test_streams_have_a_span_each_and_one_that_is_left_early_has_not_failed() -> None:
    with recorded() as kept, serve([steps, later_steps]) as tools:
        assert list(tools.stream("steps", to=3)) == [0, 1, 2]
        assert list(tools.stream("later_steps", to=3)) == [0, 1, 2]
        with closing(tools.begin("steps", to=1_000_000)) as left:
            next(iter(left))
        told = kept.told
    serving = [one for one in told if one.name == "python.call"]
    assert [one.tool for one in serving] == ["steps", "later_steps", "steps"]
    assert [one.error for one in serving] == ["", "", ""]
    assert [one.attributes["number"] for one in told if one.name == "step" and one.call == 1] == [0, 1, 2]


def test_what_is_raised_is_noted_and_goes_on() -> None:
    with recorded() as kept, serve([fails]) as tools:
        call = tools.begin("fails", why="no reason")
        with pytest.raises(Exception, match="no reason"):
            call.result()
        by_name = spans(kept.told)
    assert by_name["doomed"].error == by_name["python.call"].error == "ValueError"


def test_a_span_that_is_left_out_is_passed_over() -> None:
    with recorded() as kept, serve([plain]) as tools:
        hub.control(kept, TelemetryControl(settings=on(deny=["outer", "inside"]), credit=100))
        tools.call("plain", text="abc")
        told = kept.told
    assert sorted(one.name for one in told) == ["inner", "python.call"]
    assert spans(told)["inner"].parent_id == spans(told)["python.call"].span_id


def test_a_generator_cannot_be_decorated() -> None:
    with pytest.raises(TypeError, match="write `with telemetry"):

        @telemetry.span("never")
        def numbers() -> Iterator[int]:
            yield 1


class Within(NamedTuple):
    """What OpenTelemetry's SpanContext holds."""

    trace_id: int
    span_id: int
    is_remote: bool
    trace_flags: int
    trace_state: str | None


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Within]]:
    """OpenTelemetry's API, as far as it is used, imported by somebody; and what it has as current, innermost last."""
    attached: list[Within] = []
    trace = types.ModuleType("opentelemetry.trace")
    context = types.ModuleType("opentelemetry.context")
    vars(trace).update(
        NonRecordingSpan=lambda context: context,
        SpanContext=Within,
        TraceFlags=int,
        TraceState=types.SimpleNamespace(from_header=",".join),
        set_span_in_context=lambda span: span,
    )
    vars(context).update(attach=lambda span: attached.append(span), detach=lambda token: attached.pop())
    for module in (types.ModuleType("opentelemetry"), trace, context):
        module.__spec__ = ModuleSpec(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    found = (_spans._opentelemetry, _spans._is_installed)
    for one in found:
        one.cache_clear()
    yield attached
    for one in found:
        one.cache_clear()
    assert attached == []


def test_opentelemetry_has_the_span_as_its_current_one(current: list[Within]) -> None:
    seen: list[Within] = []

    @tool
    def instrumented() -> None:
        job = running.get()
        assert job is not None
        job.trace_state = "vendor=1"  # as the host says it
        with telemetry.span("mine"):
            seen.extend(current)

    with recorded() as kept, serve([instrumented]) as tools:
        tools.call("instrumented")
        by_name = spans(kept.told)
    assert seen[0].span_id.to_bytes(8) == by_name["python.call"].span_id
    assert seen[-1].span_id.to_bytes(8) == by_name["mine"].span_id
    assert {(one.trace_id.to_bytes(16), one.trace_flags) for one in seen} == {(bytes(range(1, 17)), 1)}
    assert (seen[0].trace_state, seen[-1].trace_state) == (None, "vendor=1")


def test_a_call_that_is_not_sampled_is_not_for_opentelemetry_either(current: list[Within]) -> None:
    seen: list[Within] = []

    def look() -> None:
        seen.append(current[-1])

    @tool
    def one() -> None:
        look()

    @tool
    async def two() -> None:
        look()

    @tool
    def three() -> Iterator[int]:
        look()
        yield 3

    @tool
    async def four() -> AsyncIterator[int]:
        look()
        yield 4

    with serve([one, two, three, four]) as tools:
        tools.call("one")
        tools.call("two")
        assert [*tools.stream("three"), *tools.stream("four")] == [3, 4]
    assert [one.trace_flags for one in seen] == [0] * 4
    assert len({one.trace_id for one in seen}) == 4


def test_a_sampled_call_is_so_for_opentelemetry_also_when_its_own_span_is_left_out(current: list[Within]) -> None:
    seen: list[Within] = []

    @tool
    def instrumented() -> None:
        seen.extend(current)

    with recorded() as kept, serve([instrumented]) as tools:
        hub.control(kept, TelemetryControl(settings=on(deny=["python.*"]), credit=100))
        tools.call("instrumented")
    assert [(one.span_id.to_bytes(8), one.trace_flags) for one in seen] == [(bytes(range(17, 25)), 1)]


def test_without_opentelemetry_a_tool_is_run_as_it_is(current: list[Within], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _spans.instrumented(plain).function is not plain.function
    assert _spans.instrumented(plain).payload is plain.payload
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    _spans._is_installed.cache_clear()
    monkeypatch.setattr(sys, "meta_path", [])  # nothing that is not imported yet can be found
    assert _spans.instrumented(plain) is plain


def test_what_runs_at_the_beginning_of_a_session_has_a_span_in_the_call_that_begins_it() -> None:
    @on_session_start
    def load(session: Session) -> None:
        with telemetry.span("load"):
            telemetry.emit("loading")

    @on_session_end
    def unload(session: Session) -> None:
        with telemetry.span("unload"):
            telemetry.emit("unloading")

    with recorded() as kept, serve([plain, load, unload]) as tools:
        for _ in range(2):
            tools.call("plain", text="abc", session="one")
        tools.end_session("one")
        told = kept.told
    begun = [one for one in told if one.name == "python.session_start"]
    assert [(one.call, one.parent_id) for one in begun] == [(1, bytes(range(17, 25)))]
    assert [one.parent_id for one in told if one.name == "load"] == [begun[0].span_id]
    assert "unload" not in {one.name for one in told}
    assert [(one.name, one.call) for one in told if one.name.endswith("loading")] == [("loading", 1), ("unloading", 0)]


# -- logs and output ---------------------------------------------------------------------------------------------------


@contextmanager
def untouched_root() -> Iterator[logging.Logger]:
    """In a test, where pytest has handlers of its own there."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def logs_of(host: Host) -> list[tuple[str, int, str]]:
    return [(record.log.logger, record.log.level, record.log.message) for record in host.records]


def test_what_is_logged_is_told_from_the_level_on_that_is_asked_for() -> None:
    with untouched_root() as root:
        hub, host = quiet_hub(), Host()
        hub.sources = [Logs(hub)]
        logger = logging.getLogger("app.db")
        hub.control(host, TelemetryControl(settings=on(log_level=20, deny=["python.log.noisy*"]), credit=100))
        logger.debug("no")
        logger.info("opened %s", "it")
        logging.getLogger("noisy.lib").error("no")
        try:
            raise KeyError("gone")
        except KeyError:
            logger.exception("lost \udc80")
        hub.flush()
        told = logs_of(host)
        assert told[0] == ("app.db", 20, "opened it")
        assert told[1][2].startswith("lost \\udc80\nTraceback")
        assert len(told) == 2
        hub.control(host, TelemetryControl(settings=TelemetrySettings(), credit=100))
        assert (root.handlers, root.level) == ([], logging.WARNING)


def test_an_adapter_that_has_set_its_logging_up_keeps_it() -> None:
    with untouched_root() as root:
        hub, host, written = quiet_hub(), Host(), io.StringIO()
        hub.sources = [Logs(hub)]
        root.addHandler(logging.StreamHandler(written))
        hub.control(host, TelemetryControl(settings=on(log_level=10), credit=100))
        logging.getLogger("app").info("below its own level")
        logging.getLogger("app").warning("above")
        hub.flush()
        assert root.level == logging.WARNING
        assert logs_of(host) == [("app", 30, "above")]
        assert written.getvalue() == "above\n"


def test_lines_are_told_whole_and_still_written(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, host, written = quiet_hub(), Host(), io.StringIO()
    output = Output(hub)
    hub.sources = [output]
    monkeypatch.setattr(sys, "stdout", written)
    monkeypatch.setattr(sys, "stderr", None)
    hub.control(host, TelemetryControl(settings=on(output=True), credit=100))
    stdout = sys.stdout
    assert isinstance(stdout, Teed)
    print("one", 1)
    print("a\nb\n\nc", end="")
    print("d" * 10_000)
    print("half", end="")
    hub._send()
    assert [message for _, _, message in logs_of(host)] == ["one 1", "a", "b", ("c" + "d" * 10_000)[:4096]]
    assert output.due() is not None
    hub.flush()
    assert logs_of(host)[-1] == ("stdout", 0, "half")
    assert output.due() is None
    hub.control(host, TelemetryControl(settings=on(), credit=100))
    print("not told")
    hub.flush()
    assert logs_of(host)[-1] == ("stdout", 0, "half")
    assert written.getvalue() == "one 1\na\nb\n\ncd" + "d" * 9_999 + "\nhalfnot told\n"


@given(st.lists(st.tuples(st.integers(0, 2), st.text("ab\n", max_size=6)), max_size=20))
def test_lines_of_threads_do_not_mix(writes: list[tuple[int, str]]) -> None:
    hub, host = quiet_hub(), Host()
    output = Output(hub)
    hub.sources = [output]
    output._on = True
    hub.control(host, TelemetryControl(settings=TelemetrySettings(on=True), credit=10_000))
    output._on = True
    written = ["", "", ""]
    threads = [Writer(output) for _ in written]
    for at, text in writes:
        threads[at].write(text)
        written[at] += text
    for thread in threads:
        thread.end()
    hub.flush()
    expected = sorted(line for text in written for line in text.split("\n") if line)
    assert sorted(record.log.message for record in host.records) == expected


class Writer:
    """A thread that writes when it is told to."""

    def __init__(self, output: Output) -> None:
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._text: str | None = None
        self._output = output
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            if self._text is None:
                return
            self._output.take("stdout", self._text)
            self._done.release()

    def write(self, text: str) -> None:
        self._text = text
        self._go.release()
        self._done.acquire()

    def end(self) -> None:
        self._text = None
        self._go.release()
        self._thread.join()


# -- samples -----------------------------------------------------------------------------------------------------------


class NotSupported(Exception):
    """As NVML's of that name: the device does not have the value."""


def refuses(*about: object) -> Any:
    raise NotSupported


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    """NVIDIA's library with two GPUs."""
    library = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda device: device,
        nvmlDeviceGetMemoryInfo=lambda device: types.SimpleNamespace(used=10 + device, total=100),
        nvmlDeviceGetUtilizationRates=lambda device: types.SimpleNamespace(gpu=50),
        nvmlDeviceGetTemperature=lambda device, sensor: 60,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetPowerUsage=lambda device: 70_000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    _samples._nvml.cache_clear()
    yield library
    _samples._nvml.cache_clear()


@pytest.mark.usefixtures("nvml")
def test_a_process_is_sampled_at_its_interval() -> None:
    hub, host = quiet_hub(), Host()
    samples = _samples.Samples(hub)
    hub.sources = [samples]
    assert samples.due() is None
    hub.control(host, TelemetryControl(settings=on(sample_ms=2000, deny=["python.gc.*"]), credit=100))
    due = samples.due()
    assert due is not None
    samples.run(due)
    assert samples.due() == due + 2
    hub.flush()
    told = {record.event.name: {one.key: one.value for one in record.event.measurements} for record in host.records}
    assert sorted(told) == ["python.cpu.sampled", "python.gpu.sampled", "python.memory.sampled"]
    assert told["python.memory.sampled"]["rss_bytes"] > 1e6
    assert told["python.gpu.sampled"] == {
        "used_bytes": 11,
        "total_bytes": 100,
        "gpu_percent": 50,
        "celsius": 60,
        "watts": 70,
    }
    hub.control(host, TelemetryControl(settings=on(), credit=100))
    assert samples.due() is None


@pytest.mark.parametrize(
    ("question", "without"),
    [
        ("nvmlDeviceGetMemoryInfo", {"used_bytes", "total_bytes"}),
        ("nvmlDeviceGetUtilizationRates", {"gpu_percent"}),
        ("nvmlDeviceGetTemperature", {"celsius"}),
        ("nvmlDeviceGetPowerUsage", {"watts"}),
    ],
)
def test_what_a_gpu_does_not_support_costs_no_other_value(
    nvml: types.SimpleNamespace, question: str, without: set[str]
) -> None:
    all_of_it = {"used_bytes", "total_bytes", "gpu_percent", "celsius", "watts"}
    setattr(nvml, question, refuses)
    assert [(set(said), about) for _, said, about in _samples.gpus()] == [
        (all_of_it - without, {"device": device}) for device in (0, 1)
    ]


@pytest.mark.parametrize("question", ["nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"])
def test_a_driver_that_went_away_gives_no_sample(nvml: types.SimpleNamespace, question: str) -> None:
    setattr(nvml, question, refuses)
    assert list(_samples.gpus()) == []


def test_garbage_collection_is_counted_between_samples() -> None:
    import gc

    hub, host = quiet_hub(), Host()
    samples = _samples.Samples(hub)
    hub.sources = [samples]
    hub.control(host, TelemetryControl(settings=on(sample_ms=2000, allow=["python.gc.completed"]), credit=100))
    gc.collect()
    samples.run(samples.due() or 0)
    hub.flush()
    by_generation = {record.attributes[0].number: record.event.measurements[0].value for record in host.records}
    assert by_generation[2] >= 1
