from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, assert_type

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakepit import InvalidArguments, Tool, tool
from snakepit._catalogue import Catalogue

encode = msgspec.msgpack.encode


@tool
def add(a: int, b: int = 1) -> int:
    """Adds two
    numbers.

    The second is one.
    """
    return a + b


@tool(name="counting.count")
def count(to: int) -> Iterator[int]:
    yield from range(to)


def test_a_tool_is_still_the_function_it_was() -> None:
    assert_type(add(1, b=2), int)
    assert_type(list(count(2)), list[int])
    assert add(1, 2) == 3
    assert list(count(2)) == [0, 1]
    assert add.__doc__ == add.function.__doc__


def test_a_tool_knows_its_name_kind_and_description() -> None:
    assert (add.name, add.streams, add.description) == ("add", False, "Adds two numbers.")
    assert (count.name, count.streams, count.description) == ("counting.count", True, "")


def test_async_functions_are_turned_down_with_a_way_out() -> None:
    async def later() -> None: ...

    async def many() -> AsyncIterator[int]:
        yield 1

    for function in (later, many):
        with pytest.raises(TypeError, match="async function"):
            tool(function)


def test_a_tool_name_must_be_passed_by_keyword() -> None:
    with pytest.raises(TypeError, match="@tool\\(name="):
        tool("add")  # type: ignore[call-overload]


# -- arguments and results ---------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: float
    y: float = 0.0


@tool
def paint(at: Point, colour: Colour = Colour.RED, **options: object) -> object:
    return at, colour, options


def test_arguments_become_what_the_annotations_say() -> None:
    got = paint.payload.arguments(encode({"at": {"x": 1.5}, "colour": "red", "thick": 2}))
    assert got == {"at": Point(1.5), "colour": Colour.RED, "thick": 2}


def test_no_payload_is_no_arguments() -> None:
    assert tool(lambda: None).payload.arguments(b"") == {}


def test_arrays_arrive_where_an_array_is_asked_for() -> None:
    @tool
    def total(rows: np.ndarray, weights: npt.NDArray[np.float64]) -> float:
        return float((rows * weights).sum())

    got = total.payload.arguments(encode({"rows": [[1, 2], [3, 4]], "weights": [0.5, 1]}))
    assert total(**got) == 8.0


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"\xc1", "no MessagePack map"),
        (encode([1]), "no MessagePack map"),
        (encode({1: 1}), "no MessagePack map"),
        (encode({"b": 1}), r"missing a; it takes \(a, b\)"),
        (encode({"a": 1, "z": 1}), "unknown z"),
        (encode({"a": 1.5}), "parameter 'a': Expected `int`, got `float`"),
    ],
)
def test_arguments_that_do_not_fit_are_named(payload: bytes, says: str) -> None:
    with pytest.raises(InvalidArguments, match=says):
        add.payload.arguments(payload)


def test_an_annotation_that_cannot_arrive_is_named() -> None:
    @tool
    def walk(by: BaseException) -> None: ...

    with pytest.raises(InvalidArguments, match="cannot arrive as MessagePack"):
        walk.payload.arguments(encode({"by": 1}))


def test_a_positional_only_parameter_is_turned_down() -> None:
    def old(a: int, /) -> int:
        return a

    with pytest.raises(TypeError, match="positional-only"):
        tool(old).payload  # noqa: B018


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(plain)
def test_plain_values_survive_the_way_there_and_back(value: Any) -> None:
    @tool
    def echo(value: object) -> object:
        return value

    arguments = echo.payload.arguments(encode({"value": value}))
    assert msgspec.msgpack.decode(echo.payload.encode(arguments["value"])) == value


@pytest.mark.parametrize("value", [object(), iter(()), np.longdouble(1), np.array([1j]), {"deep": [len]}])
def test_what_cannot_be_carried_names_the_tool_and_the_type(value: object) -> None:
    with pytest.raises(TypeError, match=r"tool 'add' returned a .* cannot carry"):
        add.payload.encode(value)


# -- the catalogue -----------------------------------------------------------------------------------------------------


@given(st.randoms())
def test_the_catalogue_does_not_depend_on_the_order_of_definition(random: Any) -> None:
    tools: list[Tool[..., Any]] = [add, count, paint]
    shuffled = random.sample(tools, len(tools))
    catalogue = Catalogue(shuffled)
    assert [tool.name for tool in catalogue.tools] == ["add", "counting.count", "paint"]
    assert catalogue.hash == Catalogue(tools).hash


def test_the_hash_changes_with_name_kind_and_parameters() -> None:
    def plain(a: int) -> int:
        return a

    def renamed(b: int) -> int:
        return b

    def stream(a: int) -> Iterator[int]:
        yield a

    catalogues: list[list[Tool[..., Any]]] = [
        [tool(name="x")(plain)],
        [tool(name="y")(plain)],
        [tool(name="x")(renamed)],
        [tool(name="x")(stream)],
    ]
    assert len({Catalogue(tools).hash for tools in catalogues}) == len(catalogues)


def test_the_hash_is_the_same_in_every_version() -> None:
    assert Catalogue([add]).hash.hex() == "409cb90a8be582464bfe9e61ab3cf10b8793778adf39ddc0e1da504e8b3fc1e8"


def test_one_tool_under_two_names_of_a_module_is_one_tool() -> None:
    assert len(Catalogue([add, add]).tools) == 1
