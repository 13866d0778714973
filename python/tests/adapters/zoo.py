"""One tool for each kind of annotation: each gives back what it got."""

import datetime
import enum
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from snakepit import tool

T = TypeVar("T")


class Colour(enum.Enum):
    """What it looks like."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Point:
    """Where it is."""

    x: float
    y: float = 0.0
    tags: list[str] = field(default_factory=list)


class Leaf(msgspec.Struct, tag=True):
    value: Annotated[int, Meta(description="What it weighs, in grams.")]


class Branch(msgspec.Struct, tag=True):
    """A tree that has trees."""

    left: "Leaf | Branch"
    right: "Leaf | Branch"


class Row(msgspec.Struct, array_like=True):
    id: int
    name: str = ""


class Box(msgspec.Struct, Generic[T]):
    item: T


class Renamed(msgspec.Struct, rename="camel"):
    some_name: int = 3


class Pair(NamedTuple):
    first: int
    second: str = ""


class Person(TypedDict):
    name: str
    age: NotRequired[int]


class Folder(TypedDict):
    files: list[str]
    folders: dict[str, "Folder"]


class Array(msgspec.Struct):
    """A name that TypeScript has, too."""

    length: int


@tool
def plain(none: None, truth: bool, whole: int, real: float, text: str, anything: Any, unsaid=None):  # type: ignore[no-untyped-def]
    """Every plain kind.

    What has no annotation is anything.
    """
    return [none, truth, whole, real, text, anything, unsaid]


@tool
def data(value: bytes) -> bytes:
    return value


@tool
def times(
    aware: Annotated[datetime.datetime, Meta(tz=True)], naive: Annotated[datetime.datetime, Meta(tz=False)]
) -> tuple[Annotated[datetime.datetime, Meta(tz=True)], Annotated[datetime.datetime, Meta(tz=False)]]:
    return aware, naive


@tool
def moment(value: datetime.datetime) -> datetime.datetime:
    return value


@tool
def texts(
    day: datetime.date, time: datetime.time, length: datetime.timedelta, id: uuid.UUID, price: Decimal
) -> tuple[datetime.date, datetime.time, datetime.timedelta, uuid.UUID, Decimal]:
    return day, time, length, id, price


@tool
def choices(
    colour: Colour, level: Level, word: Literal["a", "b", 1, None]
) -> tuple[Colour, Level, Literal["a", "b", 1, None]]:
    return colour, level, word


@tool
def maybe(value: int | str | None = None) -> int | str | None:
    return value


@tool
def lists(
    all: list[int], fixed: tuple[int, str], many: tuple[float, ...], one_of_each: set[int], bare: list[Any]
) -> tuple[list[int], tuple[int, str], tuple[float, ...], set[int], list[Any]]:
    return all, fixed, many, one_of_each, bare


@tool
def maps(
    by_name: dict[str, list[int]], by_number: dict[int, str], by_level: dict[Level, int]
) -> tuple[dict[str, list[int]], dict[int, str], dict[Level, int]]:
    return by_name, by_number, by_level


@tool
def bounded(
    whole: Annotated[int, Meta(ge=1, lt=10, multiple_of=3)],
    real: Annotated[float, Meta(gt=0, le=1)],
    text: Annotated[str, Meta(min_length=2, max_length=4, pattern="^[a-z/]+$")],
    some: Annotated[list[int], Meta(min_length=1, max_length=3)],
    raw: Annotated[bytes, Meta(min_length=1, max_length=4)],
    large: Annotated[int, Meta(ge=0, le=2**63 - 1)],
) -> tuple[Any, ...]:
    return whole, real, text, some, raw, large


@tool
def point(value: Point) -> Point:
    return value


@tool
def tree(value: Leaf | Branch) -> Leaf | Branch:
    return value


@tool
def row(value: Row) -> Row:
    return value


@tool
def boxes(number: Box[int], words: Box[list[str]]) -> tuple[Box[int], Box[list[str]]]:
    return number, words


@tool
def renamed(value: Renamed) -> Renamed:
    return value


@tool
def pair(value: Pair) -> Pair:
    return value


@tool
def person(value: Person) -> Person:
    return value


@tool
def folder(value: Folder) -> Folder:
    return value


@tool
def array(value: Array) -> Array:
    return value


@tool
def matrix(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return value


@tool
def scalars() -> tuple[np.float32, np.int64, np.bool_]:
    return np.float32(0.5), np.int64(3), np.bool_(True)


@tool(name="any.options")
def options(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **more}


@tool
def nothing() -> None:
    pass


@tool
def stream(values: list[Point]) -> Iterator[Point]:
    yield from values


@tool
def opaque(by: BaseException) -> Iterable[int]:
    """What has no schema."""
    return [1]
