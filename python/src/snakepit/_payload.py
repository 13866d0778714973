"""The edge of a tool: MessagePack in, checked arguments; result out, MessagePack."""

from __future__ import annotations

import inspect
import itertools
import struct
import typing
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Annotated, Any, NotRequired, TypedDict, TypeVar

import msgspec

from snakepit import _ndarray
from snakepit._integers import with_integers
from snakepit._pieces import SHARED_BYTES, Buffer, Encoded, Pieces
from snakepit._qualified import qualified_name

T = TypeVar("T")

FIXMAP = 0x80  # MessagePack's first byte of a map of at most 15 entries, whose number is its low half
MAP32, ARRAY32, BIN32 = 0xDF, 0xDD, 0xC6  # with their lengths in the four bytes that follow
MAP16 = 0xDE  # of one with its number in the two bytes that follow: what JavaScript's codec writes, whatever the number

LOOKED_THROUGH = 16  # members of a result that is a dict, list or tuple: a microsecond; those with arrays are short

# what a payload that is no MessagePack, or none that Python reads, raises
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
CARRIED = (
    "None, bool, int, float, str, bytes, list, tuple, set, dict, datetime, UUID, Decimal, Enum, dataclasses, "
    "msgspec.Struct, numpy scalars and numpy arrays"
)


class InvalidArguments(TypeError):
    """The arguments of a call do not fit the tool: nothing of the tool has run.

    The message names the tool, the parameter and what was expected.
    """


InvalidArguments.__module__ = "snakepit"


class Payload:
    """Decodes the arguments and inputs, and encodes the results, of one tool.

    `parameters` are the names of its arguments, those of `required` have no default; `input` is the parameter that a
    stream of inputs arrives as, None without one. `method`: the first parameter is `self`, which is no argument.

    Raises TypeError when the function cannot be a tool because a parameter is positional-only or because of its
    streams of inputs, and NameError when an annotation names what its module does not define.
    """

    def __init__(self, tool: str, function: Callable[..., object], *, asynchronous: bool, method: bool) -> None:
        self._tool = tool
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._convert_result)
        named = []
        self._open = False
        for parameter in list(inspect.signature(function).parameters.values())[int(method) :]:
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise TypeError(
                    f"tool {tool!r}: parameter {parameter.name!r} is positional-only, but arguments arrive by name; "
                    "remove the `/` from the signature"
                )
            if parameter.kind is parameter.VAR_KEYWORD:
                self._open = True
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                named.append(parameter)
        hints = typing.get_type_hints(function, include_extras=True)
        self.input = self._input([parameter.name for parameter in named], hints, asynchronous=asynchronous)
        self.input_type: Any = Any
        if self.input is not None:
            named = [parameter for parameter in named if parameter.name != self.input]
            self.input_type = next(iter(typing.get_args(_plain(hints[self.input]))), Any)
            self._input_decoder = msgspec.msgpack.Decoder(
                self.input_type, dec_hook=_convert_argument, ext_hook=_ndarray.read
            )
        self.parameters = [parameter.name for parameter in named]
        self._known = frozenset(self.parameters)
        self.required = frozenset(parameter.name for parameter in named if parameter.default is parameter.empty)
        self._types = {
            name: hints[name] for name in self.parameters if name in hints and hints[name] not in (Any, object)
        }
        self._whole = None if self._open else self._decoder_of_all(hints)

    def arguments(self, payload: bytes | memoryview) -> dict[str, Any]:
        """Keyword arguments from a MessagePack map (empty bytes are no arguments); raises InvalidArguments."""
        # all at once when they fit, which leaves out names that are unknown: then they are fewer than the map has
        if self._whole is not None and payload:
            try:
                fitting: dict[str, Any] = self._whole.decode(payload)
                if len(fitting) == _entries(payload):
                    return fitting
            except UNFIT:
                pass  # said below, with the name of the parameter
        values = self._decode(payload) if payload else {}
        self._check_names(values)
        for name, expected in self._types.items():
            if name in values:
                try:
                    values[name] = _convert(values[name], expected)
                except UNFIT as problem:
                    raise InvalidArguments(f"tool {self._tool!r}, parameter {name!r}: {problem}") from None
        return values

    def element(self, payload: bytes | memoryview) -> Any:
        """One element of the stream of inputs; raises InvalidArguments."""
        try:
            return self._input_decoder.decode(payload)
        except msgspec.ValidationError:
            pass  # it may be a whole number that was written as a float
        except UNFIT as problem:
            raise InvalidArguments(reason_of(problem)) from None
        try:
            return _convert(msgspec.msgpack.decode(payload, ext_hook=_ndarray.read), self.input_type)
        except UNFIT as problem:
            raise InvalidArguments(reason_of(problem)) from None

    def encode(self, result: object) -> Encoded:
        """MessagePack of a result or element; raises TypeError for what MessagePack cannot carry.

        What is large and the result itself, or directly in a dict, list or tuple, is not copied.
        """
        try:
            if _is_large(result):
                return Pieces(self._parts(result, 0))
            if type(result) in CONTAINERS and len(result) <= LOOKED_THROUGH:  # type: ignore[arg-type]
                members: Any = result.values() if isinstance(result, dict) else result
                if any(member.__class__ not in SMALL and _is_large(member) for member in members):
                    return Pieces(self._container(result))
            return self._encoder.encode(result)
        except (OverflowError, RecursionError, UnicodeEncodeError, BufferError) as problem:
            raise TypeError(
                f"tool {self._tool!r} returned what MessagePack cannot carry: {reason_of(problem)}; "
                f"convert it to one of: {CARRIED}"
            ) from None

    def _container(self, result: Any) -> list[Buffer]:
        is_map = isinstance(result, dict)
        parts: list[Buffer] = [struct.pack(">BI", MAP32 if is_map else ARRAY32, len(result))]
        at = len(parts[0])
        for value in itertools.chain.from_iterable(result.items()) if is_map else result:
            more = self._parts(value, at)
            parts += more
            at += sum(map(len, more))
        return parts

    def _parts(self, value: Any, at: int) -> list[Buffer]:
        """MessagePack of a value that will be so many bytes into the payload."""
        if not _is_large(value):
            return [self._encoder.encode(value)]
        if _ndarray.is_array(value):
            return [*self._carried(_ndarray.write, value, at)]
        elements = value
        if isinstance(value, memoryview):
            elements = value.cast("B") if value.c_contiguous else value.tobytes()
        return [struct.pack(">BI", BIN32, len(elements)), elements]

    def _input(self, names: list[str], hints: dict[str, Any], *, asynchronous: bool) -> str | None:
        streams = [name for name in names if _origin(hints.get(name)) in (*SYNCHRONOUS, *ASYNCHRONOUS)]
        if not streams:
            return None
        if len(streams) > 1:
            raise TypeError(
                f"tool {self._tool!r}: a call has one stream of inputs, and {' and '.join(streams)} are annotated as "
                "such; take the others as list[...]"
            )
        if _origin(hints[streams[0]]) not in (ASYNCHRONOUS if asynchronous else SYNCHRONOUS):
            kind, fitting = ("an async", "AsyncIterator") if asynchronous else ("a plain", "Iterator")
            raise TypeError(
                f"tool {self._tool!r}: the stream of inputs of {kind} function is annotated {fitting}[...], "
                f"and {streams[0]!r} is not"
            )
        return streams[0]

    def _decoder_of_all(self, hints: dict[str, Any]) -> msgspec.msgpack.Decoder[dict[str, Any]] | None:
        fields = {
            name: hints.get(name, Any) if name in self.required else NotRequired[hints.get(name, Any)]
            for name in self.parameters
        }
        try:
            return msgspec.msgpack.Decoder(
                TypedDict(self._tool, fields),  # type: ignore[operator]
                dec_hook=_convert_argument,
                ext_hook=_ndarray.read,
            )
        except TypeError:
            return None  # a type that msgspec does not know: told when the parameter is given

    def _decode(self, payload: bytes | memoryview) -> dict[str, Any]:
        try:
            values: dict[str, Any] = msgspec.msgpack.decode(payload, type=dict[str, Any], ext_hook=_ndarray.read)
        except (*UNREADABLE, _ndarray.NotCarried) as problem:
            raise InvalidArguments(self._unreadable(payload, problem)) from None
        return values

    def _unreadable(self, payload: bytes | memoryview, problem: Exception) -> str:
        """Why the arguments cannot be read, with the parameter where its name can."""
        try:
            given: dict[str, msgspec.Raw] = msgspec.msgpack.decode(payload, type=dict[str, msgspec.Raw])
        except UNREADABLE:
            given = {}
        for name, value in given.items():
            try:
                msgspec.msgpack.decode(value, ext_hook=_ndarray.read)
            except (*UNREADABLE, _ndarray.NotCarried) as why:
                return f"tool {self._tool!r}, parameter {name!r}: {reason_of(why)}"
        if isinstance(problem, RecursionError):
            return f"tool {self._tool!r}: one of the arguments is nested too deeply, or contains itself"
        return f"tool {self._tool!r}: arguments are no MessagePack map of names to values: {reason_of(problem)}"

    def _check_names(self, values: dict[str, Any]) -> None:
        given = values.keys()
        missing = self.required - given
        unknown = given - self._known
        if missing or (unknown and not self._open):
            problems = [f"missing {', '.join(sorted(missing))}"] if missing else []
            if unknown and not self._open:
                problems.append(f"unknown {', '.join(sorted(unknown))}")
            raise InvalidArguments(
                f"tool {self._tool!r}: {'; '.join(problems)}; it takes ({', '.join(self.parameters)})"
            )

    def _carried(self, write: Callable[..., T], *arguments: Any) -> T:
        try:
            return write(*arguments)
        except _ndarray.NotCarried as problem:
            raise TypeError(f"tool {self._tool!r} returned {problem}") from None

    def _convert_result(self, value: object) -> object:
        numpy = _ndarray.module()
        if numpy is not None:
            if isinstance(value, numpy.ndarray):
                return self._carried(_ndarray.extension, value)
            # the item of a longdouble is a longdouble again
            if isinstance(value, numpy.generic) and not isinstance(item := value.item(), numpy.generic):
                return item
        raise TypeError(
            f"tool {self._tool!r} returned a {qualified_name(type(value))}, which MessagePack cannot carry; "
            f"convert it to one of: {CARRIED}"
        )


def _is_large(value: Any) -> bool:
    if isinstance(value, BYTES):
        return len(value) >= SHARED_BYTES
    return (isinstance(value, memoryview) or _ndarray.is_array(value)) and value.nbytes >= SHARED_BYTES


def reason_of(problem: Exception) -> str:
    """What is wrong with a value that cannot be read or written, for people."""
    match problem:
        case RecursionError():
            return "it is nested too deeply, or contains itself"
        case UnicodeError():
            return f"a text in it is no Unicode, as with half of a surrogate pair ({problem.reason})"  # type: ignore[attr-defined]
        case BufferError():
            return "the elements of a memoryview in it do not lie one after the other; return its `.tobytes()`"
        case OverflowError():
            return "an int in it has more than 64 bits; return that as text, or as float"
        case _:
            return str(problem)


def _entries(payload: bytes | memoryview) -> int | None:
    """How many entries a small map has; None of anything else."""
    first = payload[0]
    if first == MAP16:
        return int.from_bytes(payload[1:3])
    return first & 0x0F if first & 0xF0 == FIXMAP else None


UNFIT = (*UNREADABLE, NotImplementedError, _ndarray.NotCarried)
BYTES = (bytes, bytearray)
CONTAINERS = frozenset((dict, list, tuple))
SMALL = frozenset((int, float, str, bool, type(None), dict, list))  # never large by themselves
SYNCHRONOUS = (Iterator, Iterable)
ASYNCHRONOUS = (AsyncIterator, AsyncIterable)


def _plain(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _origin(annotation: Any) -> Any:
    plain = _plain(annotation)
    return typing.get_origin(plain) or plain


def _convert(value: object, expected: Any) -> object:
    try:
        return msgspec.convert(value, expected, str_keys=True, dec_hook=_convert_argument)
    except msgspec.ValidationError:
        return msgspec.convert(with_integers(value), expected, str_keys=True, dec_hook=_convert_argument)


def _convert_argument(expected: Any, value: object) -> object:
    numpy = _ndarray.module()
    if numpy is not None and (typing.get_origin(expected) or expected) is numpy.ndarray:
        return _ndarray.fit(expected, value)
    raise NotImplementedError(
        f"the annotation {expected!r} names a type that cannot arrive as MessagePack; annotate with one of: {CARRIED}"
    )
