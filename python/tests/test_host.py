"""Host tools as a tool sees them, in the process of the test."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest

import snakepit
from adapters import hosted
from snakepit import current, tool
from snakepit.testing import ToolError, serve

KINDS = ["ask", "ask_async"]


@pytest.mark.parametrize("ask", KINDS)
@pytest.mark.parametrize(
    "value", ["a text", "", {"a": {"deep": [1, None]}}, {}, b"\x00\xff", [1.5, True], None, 2**60, "schön ✓"]
)
def test_arguments_of_every_kind_arrive_as_what_they_are(ask: str, value: object) -> None:
    # strings and dicts packed by Python were not what the host of the original unpacked (6b-11)
    with serve(hosted, host_tools={"echo": lambda value: value}) as tools:
        assert tools.call(ask, name="echo", arguments={"value": value}) == value


def test_a_name_with_its_call_bound_is_a_function() -> None:
    # the original's `tools["name"]` was a description that could not be called (6b-11)
    @tool
    def total(values: list[int]) -> int:
        add = partial(current().call, "add")
        result = 0
        for value in values:
            result = add(a=result, b=value)
        return result

    with serve([total], host_tools={"add": lambda a, b: a + b}) as tools:
        assert tools.call("total", values=[1, 2, 3]) == 6


def test_arguments_may_have_any_name() -> None:
    @tool
    def both() -> Any:
        return current().call("echo", {"name": 1, "self": 2}, arguments=3)

    with serve([both], host_tools={"echo": lambda **all: all}) as tools:
        assert tools.call("both") == {"name": 1, "self": 2, "arguments": 3}


def test_arrays_travel_both_ways() -> None:
    @tool
    def doubled() -> float:
        return float(current().call("double", rows=np.arange(3.0)).sum())

    with serve([doubled], host_tools={"double": lambda rows: 2 * rows}) as tools:
        assert tools.call("doubled") == 6.0


def test_an_async_function_serves_and_async_calls_overlap() -> None:
    both = threading.Barrier(2, timeout=10)

    async def meet() -> str:
        await asyncio.to_thread(both.wait)
        return "met"

    with serve(hosted, host_tools={"meet": meet}) as tools:
        assert tools.call("ask_many", names=["meet", "meet"]) == ["met", "met"]


def test_a_declared_error_has_tag_data_and_message() -> None:
    def find(key: str) -> None:
        raise snakepit.HostToolError(f"no row {key}", tag="NotFound", data={"key": key})

    with serve(hosted, host_tools={"find": find}) as tools:
        told = tools.call("ask_and_tell", name="find", arguments={"key": "k"})
        assert told == ["HostToolError", "NotFound", {"key": "k"}, "no row k"]
        with pytest.raises(ToolError) as failed:
            tools.call("ask", name="find", arguments={"key": "k"})
        assert failed.value.exception is not None
        assert failed.value.exception.type == "snakepit.HostToolError"
        assert "snakepit.HostCallError" in failed.value.exception.bases


def test_every_other_failure_is_a_class_of_its_own() -> None:
    def breaks() -> None:
        raise KeyError("oops")

    with serve(hosted, host_tools={"breaks": breaks}, max_payload=1000) as tools:
        for name, kind, says in [
            ("braeks", "UnknownHostTool", "there are: breaks"),
            ("n" * 65, "UnknownHostTool", "more than 64 bytes"),
            ("breaks", "HostToolFailed", "broke down: KeyError: 'oops'"),
        ]:
            told = tools.call("ask_and_tell", name=name, arguments={})
            assert told[:2] == [kind, name]
            assert says in told[2]


def test_arguments_that_cannot_be_carried_are_named() -> None:
    @tool
    def send() -> str:
        try:
            current().call("echo", good=1, bad=object())
        except snakepit.InvalidHostArguments as error:
            return error.message
        return ""

    @tool
    def send_much() -> str:
        with pytest.raises(snakepit.HostPayloadTooLarge, match="more than the 1000 of max_payload"):
            current().call("echo", text="x" * 2000)
        return "refused"

    with serve([send, send_much], host_tools={"echo": lambda **all: all}, max_payload=1000) as tools:
        assert "argument 'bad': it is a object" in tools.call("send")
        assert tools.call("send_much") == "refused"


def test_on_an_event_loop_call_says_what_to_write() -> None:
    with serve(hosted, host_tools={"echo": lambda: 1}) as tools:
        with pytest.raises(ToolError, match=r"await snakepit\.current\(\)\.acall\('echo', \.\.\.\)"):
            tools.call("ask_in_a_loop", name="echo")
        assert tools.call("ask_in_a_thread", name="echo") == 1


def test_a_thread_of_the_tool_may_call() -> None:
    with serve(hosted, host_tools={"echo": lambda: 1}) as tools:
        assert tools.call("ask_from_thread", name="echo") == 1


@pytest.mark.parametrize(("ask", "how"), [("ask", "cooperative"), ("ask_async", "async")])
def test_a_call_that_is_cancelled_waits_no_longer(ask: str, how: str) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow() -> None:
        asked.set()
        answer.wait(10)

    with serve(hosted, host_tools={"slow": slow}) as tools:
        call = tools.begin(ask, name="slow", arguments={})
        assert asked.wait(10)
        call.cancel()
        with pytest.raises(ToolError) as failed:
            call.result()
        assert (failed.value.reason, failed.value.how) == ("cancelled", how)
        assert tools.call("plain") == "plain"
        answer.set()


@pytest.mark.parametrize("ask", KINDS)
def test_the_deadline_of_the_call_ends_the_wait(ask: str) -> None:
    answer = threading.Event()
    with serve(hosted, host_tools={"slow": lambda: answer.wait(10)}) as tools:
        with pytest.raises(ToolError) as failed:
            tools.call(ask, name="slow", arguments={}, timeout=0.05)
        assert failed.value.reason == "cancelled"
        answer.set()


def test_a_task_that_is_cancelled_gives_its_host_call_up() -> None:
    answer = threading.Event()
    with serve(hosted, host_tools={"slow": lambda: answer.wait(10)}) as tools:
        assert tools.call("ask_for_a_moment", name="slow", seconds=0.02) == "too slow"
        answer.set()


def test_without_host_tools_nobody_is_there() -> None:
    with serve(hosted) as tools:
        told = tools.call("ask_and_tell", name="echo", arguments={})
        assert told[0] == "HostGone"
        assert "from a test that gives `serve` no `host_tools`" in told[2]
