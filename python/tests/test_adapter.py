from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import snakepit
from snakepit import tool
from snakepit._catalogue import Catalogue
from snakepit.testing import ToolError, serve


def module(**names: object) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(names)
    return made


@snakepit.adapter
class Shop:
    def __init__(self) -> None:
        self.sold: list[str] = []

    @tool
    def sell(self, what: str) -> int:
        """Sells."""
        self.sold.append(what)
        return len(self.sold)

    @tool(name="shop.list")
    def listed(self) -> Iterator[str]:
        yield from self.sold


def test_methods_are_tools_of_one_instance_and_still_methods() -> None:
    with serve([Shop]) as tools:
        assert tools.names == ["sell", "shop.list"]
        assert [tools.call("sell", what="tea"), tools.call("sell", what="rice")] == [1, 2]
        assert list(tools.stream("shop.list")) == ["tea", "rice"]
    with serve([Shop]) as tools:
        assert tools.call("sell", what="tea") == 1
    shop = Shop()
    assert shop.sell("tea") == 1
    assert list(shop.listed()) == ["tea"]


def test_self_is_no_argument() -> None:
    (sell,) = [made for made in Catalogue.of(module(Shop=Shop)).tools if made.name == "sell"]
    assert (sell.payload.parameters, sell.description, sell.adapter) == (["what"], "Sells.", Shop)


def test_hooks_run_once_each_in_order_and_the_last_started_stops_first() -> None:
    told: list[str] = []

    @snakepit.adapter
    class First:
        def on_start(self) -> None:
            told.append("first starts")

        def on_stop(self) -> None:
            told.append("first stops")

        @tool
        def one(self) -> None: ...

    @snakepit.adapter
    class Second:
        async def on_start(self) -> None:
            await asyncio.sleep(0)
            told.append(f"second starts on {threading.current_thread().name}")

        async def on_stop(self) -> None:
            told.append("second stops")
            raise ValueError("in vain")

        @tool
        async def two(self) -> str:
            return threading.current_thread().name

    with serve([First, Second]) as tools:
        assert told == ["first starts", "second starts on snakepit-loop"]
        assert tools.call("two") == "snakepit-loop"
    assert told[2:] == ["second stops", "first stops"]


def test_when_one_does_not_start_those_before_it_are_stopped() -> None:
    told: list[str] = []

    @snakepit.adapter
    class Good:
        def on_stop(self) -> None:
            told.append("good stops")

        @tool
        def one(self) -> None: ...

    @snakepit.adapter
    class Bad:
        def on_start(self) -> None:
            raise OSError("no device")

        def on_stop(self) -> None:
            told.append("bad stops")

        @tool
        def two(self) -> None: ...

    with pytest.raises(OSError, match="no device"), serve([Good, Bad]):
        pass
    assert told == ["good stops"]


def test_on_stop_waits_for_the_last_call() -> None:
    told: list[str] = []
    began, go = threading.Event(), threading.Event()

    @snakepit.adapter
    class Slow:
        def on_stop(self) -> None:
            told.append("stops")

        @tool
        def work(self) -> None:
            began.set()
            go.wait(10)
            told.append("worked")

    with serve([Slow], concurrency=2) as tools:
        tools.begin("work")
        assert began.wait(10)
        threading.Timer(0.02, go.set).start()
    assert told == ["worked", "stops"]


def test_an_adapter_that_extends_another_takes_its_place() -> None:
    @snakepit.adapter
    class Discount(Shop):
        @tool
        def sell(self, what: str) -> int:
            return -super().sell(what)

    assert Catalogue.of(module(Shop=Shop, Discount=Discount)).adapters == [Discount]
    with serve(module(Shop=Shop, Discount=Discount)) as tools:
        assert tools.names == ["sell", "shop.list"]
        assert tools.call("sell", what="tea") == -1
        assert list(tools.stream("shop.list")) == ["tea"]


def test_two_adapters_with_one_name_are_told() -> None:
    @snakepit.adapter
    class Other:
        @tool
        def sell(self) -> None: ...

    with pytest.raises(ValueError, match="two tools are named 'sell'"):
        Catalogue.of(module(Shop=Shop, Other=Other))


def needs_arguments() -> type:
    class Needs:
        def __init__(self, port: int) -> None: ...

        @tool
        def one(self) -> None: ...

    return Needs


def hook_with_arguments() -> type:
    class Hook:
        def on_start(self, config: object) -> None: ...

        @tool
        def one(self) -> None: ...

    return Hook


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: 3, "decorates a class, not 3"),
        (lambda: type("Empty", (), {}), "Empty has no tools"),
        (needs_arguments, "Needs is called without arguments: missing a required argument: 'port'"),
        (hook_with_arguments, "on_start is called without arguments: missing a required argument: 'config'"),
    ],
)
def test_a_class_that_cannot_be_an_adapter_is_told_at_import(made: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        snakepit.adapter(made())


def test_a_class_that_is_not_decorated_is_not_served() -> None:
    class Plain:
        @tool
        def one(self) -> None: ...

    with pytest.raises(ValueError, match=r"with @snakepit\.adapter"):
        Catalogue.of(module(Plain=Plain))


# -- the harness -------------------------------------------------------------------------------------------------------


@tool
def total(numbers: Iterator[int]) -> int:
    return sum(numbers)


@tool
def add(a: int, b: int = 1) -> int:
    return a + b


@tool
async def forever() -> None:
    await asyncio.Event().wait()


@tool
def broken() -> object:
    raise KeyError("lost")


def reason(call: Any) -> tuple[str, str]:
    with pytest.raises(ToolError) as caught:
        call()
    return caught.value.reason, str(caught.value)


def test_the_harness_tells_how_a_call_ended() -> None:
    with serve([add, total, forever, broken], max_payload=100) as tools:
        assert reason(lambda: tools.call("add", a="1"))[0] == "invalid"
        assert reason(lambda: tools.call("nothing")) == (
            "unknown",
            "there is no tool 'nothing'; there are: add, broken, forever, total",
        )
        assert reason(lambda: tools.call("math:sqrt", x=1))[0] == "unknown"
        assert reason(lambda: tools.call("broken")) == ("exception", "KeyError: 'lost'")
        assert reason(lambda: tools.call("forever", timeout=0.02))[0] == "cancelled"
        assert reason(lambda: tools.call("total", inputs=[1, bytes(101)]))[0] == "exception"
        with pytest.raises(TypeError, match="takes no stream of inputs"):
            tools.call("add", a=1, inputs=[])


def test_the_harness_gives_inputs_as_they_are_wanted_and_says_when_they_fail() -> None:
    given = []

    def numbers() -> Iterator[int]:
        for n in range(1000):
            given.append(n)
            yield n
        raise OSError("the file ends here")

    @tool
    def first(numbers: Iterator[int]) -> int:
        return next(numbers)

    with serve([total, first]) as tools:
        assert tools.call("total", inputs=range(1000)) == sum(range(1000))
        assert tools.call("total") == 0
        assert tools.call("first", inputs=numbers()) == 0
        assert len(given) < 1000
        assert reason(lambda: tools.call("total", inputs=numbers())) == (
            "exception",
            "snakepit.InputFailed: tool 'total', stream of inputs 'numbers': OSError: the file ends here",
        )


def test_what_still_runs_when_serving_ends_is_cancelled() -> None:
    with serve([forever]) as tools:
        running, waiting = tools.begin("forever"), tools.begin("forever")
    assert reason(running.result)[0] == "cancelled"
    assert reason(waiting.result)[0] == "cancelled"
