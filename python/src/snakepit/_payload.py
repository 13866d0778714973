"""The edge of a tool: MessagePack in, checked arguments; result out, MessagePack."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from snakepit._integers import with_integers
from snakepit._qualified import qualified_name

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
    """Decodes the arguments and encodes the results of one tool.

    Raises TypeError when the function cannot be a tool because a parameter is positional-only, and NameError when an
    annotation names what its module does not define.
    """

    def __init__(self, tool: str, function: Callable[..., object]) -> None:
        self._tool = tool
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._convert_result)
        named = []
        self._open = False
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise TypeError(
                    f"tool {tool!r}: parameter {parameter.name!r} is positional-only, but arguments arrive by name; "
                    "remove the `/` from the signature"
                )
            if parameter.kind is parameter.VAR_KEYWORD:
                self._open = True
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                named.append(parameter)
        self.parameters = [parameter.name for parameter in named]
        self._known = frozenset(self.parameters)
        self._required = frozenset(parameter.name for parameter in named if parameter.default is parameter.empty)
        hints = typing.get_type_hints(function, include_extras=True)
        self._types = {
            name: hints[name] for name in self.parameters if name in hints and hints[name] not in (Any, object)
        }

    def arguments(self, payload: bytes) -> dict[str, Any]:
        """Keyword arguments from a MessagePack map (empty bytes are no arguments); raises InvalidArguments."""
        values = self._decode(payload) if payload else {}
        self._check_names(values)
        for name, expected in self._types.items():
            if name in values:
                try:
                    values[name] = _convert(values[name], expected)
                except (msgspec.ValidationError, NotImplementedError) as problem:
                    raise InvalidArguments(f"tool {self._tool!r}, parameter {name!r}: {problem}") from None
        return values

    def encode(self, result: object) -> bytes:
        """MessagePack of a result or element; raises TypeError for what MessagePack cannot carry."""
        return self._encoder.encode(result)

    def _decode(self, payload: bytes) -> dict[str, Any]:
        try:
            values: dict[str, Any] = msgspec.msgpack.decode(payload, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
            raise InvalidArguments(
                f"tool {self._tool!r}: arguments are no MessagePack map of names to values: {problem}"
            ) from None
        return values

    def _check_names(self, values: dict[str, Any]) -> None:
        given = values.keys()
        missing = self._required - given
        unknown = given - self._known
        if missing or (unknown and not self._open):
            problems = [f"missing {', '.join(sorted(missing))}"] if missing else []
            if unknown and not self._open:
                problems.append(f"unknown {', '.join(sorted(unknown))}")
            raise InvalidArguments(
                f"tool {self._tool!r}: {'; '.join(problems)}; it takes ({', '.join(self.parameters)})"
            )

    def _convert_result(self, value: object) -> object:
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if isinstance(value, numpy.ndarray):
                return value.tolist()
            # the item of a longdouble is a longdouble again
            if isinstance(value, numpy.generic) and not isinstance(item := value.item(), numpy.generic):
                return item
        raise TypeError(
            f"tool {self._tool!r} returned a {qualified_name(type(value))}, which MessagePack cannot carry; "
            f"convert it to one of: {CARRIED}"
        )


def _convert(value: object, expected: Any) -> object:
    try:
        return msgspec.convert(value, expected, str_keys=True, dec_hook=_convert_argument)
    except msgspec.ValidationError:
        return msgspec.convert(with_integers(value), expected, str_keys=True, dec_hook=_convert_argument)


def _convert_argument(expected: Any, value: object) -> object:
    numpy = sys.modules.get("numpy")
    if numpy is not None and (typing.get_origin(expected) or expected) is numpy.ndarray:
        return numpy.asarray(value)
    raise NotImplementedError(
        f"the annotation {expected!r} names a type that cannot arrive as MessagePack; annotate with one of: {CARRIED}"
    )
