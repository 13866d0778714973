from __future__ import annotations

import enum
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, assert_type

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakepit import InvalidArguments, Tool, tool
from snakepit._catalogue import Catalogue
from snakepit._pieces import whole

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


def test_async_functions_and_generators_are_tools() -> None:
    async def later() -> None: ...

    async def many() -> AsyncIterator[int]:
        yield 1

    kinds = [(made.asynchronous, made.streams) for made in (tool(later), tool(many), add, count)]
    assert kinds == [(True, False), (True, True), (False, False), (False, True)]


def test_what_its_author_says_of_a_tool_is_kept_in_milliseconds() -> None:
    made = tool(timeout=0.25, hard_limit=timedelta(minutes=1), idempotent=True, blocking=True)(lambda: None)
    assert (made.timeout_ms, made.hard_limit_ms) == (250, 60_000)
    assert (made.idempotent, made.deterministic, made.blocking, made.thread_sensitive) == (True, False, True, False)
    assert (add.timeout_ms, add.hard_limit_ms, add.idempotent) == (0, 0, False)


@pytest.mark.parametrize(
    ("facts", "error", "says"),
    [
        ({"timeout": "2"}, TypeError, "timeout is a number of seconds or a timedelta, not '2'"),
        ({"timeout": True}, TypeError, "timeout is a number"),
        ({"timeout": 0}, ValueError, "timeout is more than 0"),
        ({"hard_limit": float("nan")}, ValueError, "hard_limit is more than 0"),
        ({"hard_limit": timedelta(days=60)}, ValueError, "at most 4294967 seconds"),
        ({"timeout": 2, "hard_limit": 1}, ValueError, "not before timeout"),
        ({"idempotent": 1}, TypeError, "idempotent is True or False, not 1"),
        ({"name": ""}, TypeError, "name of a tool"),
        ({"patience": 1}, TypeError, "@tool has no patience; it has name, blocking"),
    ],
)
def test_what_cannot_be_meant_is_told_at_import(facts: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        tool(**facts)(lambda: None)


def test_an_async_tool_is_never_thread_sensitive() -> None:
    async def later() -> None: ...

    with pytest.raises(ValueError, match="event loop"):
        tool(thread_sensitive=True)(later)


# -- streams of inputs -------------------------------------------------------------------------------------------------


def test_a_parameter_that_is_a_stream_of_inputs_is_found_and_is_no_argument() -> None:
    @tool
    def total(numbers: Iterator[int], scale: int = 1) -> int:
        return sum(numbers) * scale

    @tool
    async def later(words: Annotated[AsyncIterable[str], "a note"]) -> None: ...

    @tool
    def anything(things: Iterable) -> None:  # type: ignore[type-arg]
        ...

    assert (total.payload.input, total.payload.parameters, total.payload.input_type) == ("numbers", ["scale"], int)
    assert (later.payload.input, later.payload.input_type) == ("words", str)
    assert (anything.payload.input, anything.payload.input_type) == ("things", Any)
    assert add.payload.input is None
    assert total.payload.arguments(encode({})) == {}
    assert total.payload.element(encode(3)) == 3
    with pytest.raises(InvalidArguments, match="unknown numbers"):
        total.payload.arguments(encode({"numbers": [1]}))
    with pytest.raises(InvalidArguments, match="Expected `int`, got `str`"):
        total.payload.element(encode("3"))


def test_streams_of_inputs_that_cannot_be_are_told() -> None:
    def two(a: Iterator[int], b: Iterable[int]) -> None: ...

    def waits(a: AsyncIterator[int]) -> None: ...

    async def blocks(a: Iterator[int]) -> None: ...

    for function, says in [
        (two, "a and b"),
        (waits, r"annotated Iterator\[...\]"),
        (blocks, "annotated AsyncIterator"),
    ]:
        with pytest.raises(TypeError, match=says):
            tool(function).payload  # type: ignore[call-overload]  # noqa: B018


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


def test_integers_may_arrive_as_what_javascript_writes() -> None:
    @tool
    def place(at: dict[int, list[int]], scale: float) -> None: ...

    large = float(2**40)
    assert place.payload.arguments(encode({"at": {"7": [large]}, "scale": large})) == {
        "at": {7: [2**40]},
        "scale": 2.0**40,
    }
    with pytest.raises(InvalidArguments, match=r"got `float` - at `\$\[\.\.\.\]\[0\]`"):
        place.payload.arguments(encode({"at": {"7": [2.0]}, "scale": 1}))


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
        (b"\x81\xa1a\xa3\xed\xa0\x80", "parameter 'a': a text in it is no Unicode, as with half of a surrogate pair"),
        (b"\x81\xa3\xed\xa0\x80\x01", "no MessagePack map.*surrogate pair"),
        (b"\x82\xa1b\x01\xa1a\xc1", "no MessagePack map.*invalid opcode"),
        (b"\x81\xa1a" + b"\x91" * 100_000 + b"\x01", "one of the arguments is nested too deeply"),
        (encode({"a": 1})[:-1], "no MessagePack map.*truncated"),
        (encode({1: 1}), "no MessagePack map"),
        (encode({"b": 1}), r"missing a; it takes \(a, b\)"),
        (encode({"a": 1, "z": 1}), "unknown z"),
        (encode({"a": 1.5}), "parameter 'a': Expected `int`, got `float`"),
    ],
)
def test_arguments_that_do_not_fit_are_named(payload: bytes, says: str) -> None:
    with pytest.raises(InvalidArguments, match=says):
        add.payload.arguments(payload)


def test_a_text_that_is_none_does_not_fit() -> None:
    @tool
    def say(text: str) -> None: ...

    with pytest.raises(InvalidArguments, match=r"parameter 'text': a text in it is no Unicode"):
        say.payload.arguments(b"\x81\xa4text\xa3\xed\xa0\x80")


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
    assert msgspec.msgpack.decode(whole(echo.payload.encode(arguments["value"]))) == value


@pytest.mark.parametrize("value", [object(), iter(()), np.longdouble(1), {"deep": [len]}])
def test_what_cannot_be_carried_names_the_tool_and_the_type(value: object) -> None:
    with pytest.raises(TypeError, match=r"tool 'add' returned a .* cannot carry"):
        add.payload.encode(value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (2**64, "an int in it has more than 64 bits; return that as text"),
        ({"a": [-(2**63) - 1]}, "an int in it has more than 64 bits"),
        ("\ud800", "a text in it is no Unicode, as with half of a surrogate pair"),
    ],
)
def test_what_has_a_type_that_is_carried_and_cannot_be_says_why(value: object, says: str) -> None:
    with pytest.raises(
        TypeError, match=rf"tool 'add' returned what MessagePack cannot carry: {says}.*one of: None, bool"
    ):
        add.payload.encode(value)


def test_what_contains_itself_or_is_nested_too_deeply_is_not_carried() -> None:
    itself: list[object] = []
    itself.append({"again": itself})
    with pytest.raises(TypeError, match="nested too deeply, or contains itself"):
        add.payload.encode(itself)


def read(of: Tool[..., Any], payload: bytes) -> tuple[dict[str, Any], str]:
    """The arguments, or why there are none."""
    try:
        return of.payload.arguments(payload), ""
    except InvalidArguments as misfit:
        return {}, str(misfit)


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda rest: b"\x82\xa1a\x01\xa1b" + rest))
def test_whatever_arrives_is_arguments_or_is_said_not_to_be(payload: bytes) -> None:
    @tool
    def take(a: int, b: object, c: list[int] | None = None) -> None: ...

    arguments, issue = read(take, payload)
    assert issue.startswith("tool 'take'") if issue else {"a", "b"} <= arguments.keys()


@pytest.mark.parametrize("levels", range(100, 2000, 50))
def test_however_deep_arguments_are_they_arrive_or_are_said_not_to(levels: int) -> None:
    @tool
    def take(value: object) -> None: ...

    payload = b"\x81\xa5value" + b"\x91" * levels + b"\x01"
    arguments, issue = read(take, payload)
    assert "nested too deeply" in issue if issue else list(arguments) == ["value"]


# -- the catalogue -----------------------------------------------------------------------------------------------------


@given(st.randoms())
def test_the_catalogue_does_not_depend_on_the_order_of_definition(random: Any) -> None:
    tools: list[Tool[..., Any]] = [add, count, paint]
    shuffled = random.sample(tools, len(tools))
    catalogue = Catalogue(shuffled)
    assert [tool.name for tool in catalogue.tools] == ["add", "counting.count", "paint"]
    assert catalogue.hash == Catalogue(tools).hash


def test_the_hash_changes_with_what_a_caller_could_notice() -> None:
    def plain(a: int) -> int:
        return a

    def renamed(b: int) -> int:
        return b

    def stream(a: int) -> Iterator[int]:
        yield a

    def optional(a: int = 1) -> int:
        return a

    def fed(a: Iterator[int]) -> None: ...

    catalogues: list[list[Tool[..., Any]]] = [
        [tool(name="x")(plain)],
        [tool(name="x")(optional)],
        [tool(name="x")(fed)],
        [tool(name="x", timeout=1)(plain)],
        [tool(name="x", idempotent=True)(plain)],
        [tool(name="y")(plain)],
        [tool(name="x")(renamed)],
        [tool(name="x")(stream)],
    ]
    assert len({Catalogue(tools).hash for tools in catalogues}) == len(catalogues)


def test_the_hashes_are_the_same_in_every_version() -> None:
    [announced] = Catalogue([add]).messages()
    assert announced.contract == {"argument a": "be456ac440ca", "argument b": "9aeceb24bc37", "result": "033bd508ab12"}


def test_one_tool_under_two_names_of_a_module_is_one_tool() -> None:
    assert len(Catalogue([add, add]).tools) == 1
