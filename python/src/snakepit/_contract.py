"""What a caller may rely on: the tools of an adapter with the schemas of what they take and give.

Host and worker compare its hash, and `snakepit codegen` writes it down in TypeScript.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from typing import Any

from snakepit._schema import JsonSchema, Schemas
from snakepit._tool import Tool

VERSION = 1  # of the canonical form: another one makes every contract differ
STREAMS = (Iterator, Iterable, AsyncIterator, AsyncIterable, Generator, AsyncGenerator)
INPUTS = (Iterator, Iterable, AsyncIterator, AsyncIterable)
SWITCHES = ("idempotent", "deterministic", "blocking", "thread_sensitive")
LIMITS = ("timeout_ms", "hard_limit_ms")


class Contract:
    """The contract of `tools`, which are sorted by name.

    `canonical` has the same bytes in every process: sorted keys, no spaces, no descriptions. `problems` names what has
    no schema and is therefore anything, one line each.
    """

    def __init__(self, tools: list[Tool[..., Any]], *, descriptions: bool = False) -> None:
        schemas = Schemas(descriptions=descriptions)
        self.tools = [_tool(tool, schemas) for tool in tools]
        if descriptions:
            for described, tool in zip(self.tools, tools, strict=True):
                described["description"] = tool.description
        self.definitions = schemas.definitions()
        self.problems = schemas.problems

    @property
    def canonical(self) -> bytes:
        form = {"version": VERSION, "tools": self.tools, "$defs": self.definitions}
        return json.dumps(form, sort_keys=True, separators=(",", ":")).encode()

    @property
    def hash(self) -> bytes:
        """SHA-256 of the canonical form: it changes when a caller could notice."""
        return hashlib.sha256(self.canonical).digest()


def _tool(tool: Tool[..., Any], schemas: Schemas) -> dict[str, Any]:
    called = {*tool.payload.parameters, getattr(tool.payload, "input", None)}  # not `self`, not `*args`
    hints = typing.get_type_hints(tool.function, include_extras=True)
    properties: dict[str, JsonSchema] = {}
    required: list[str] = []
    rest: JsonSchema | bool = False
    for parameter in inspect.signature(tool.function).parameters.values():
        where = f"tool {tool.name!r}, parameter {parameter.name!r}"
        hint = hints.get(parameter.name, Any)
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = schemas.of(hint, where)
        elif parameter.name in called:
            properties[parameter.name] = _argument(hint, where, schemas)
            if parameter.default is parameter.empty:
                required.append(parameter.name)
    returned = hints.get("return", Any)
    result = _element(returned) if tool.streams else returned
    return {
        "name": tool.name,
        "streams": tool.streams,
        "arguments": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": rest,
        },
        "result": schemas.of(result, f"tool {tool.name!r}, what it {'yields' if tool.streams else 'returns'}"),
        "facts": _facts(tool),
    }


def _argument(hint: Any, where: str, schemas: Schemas) -> JsonSchema:
    if typing.get_origin(_bare(hint)) in INPUTS:
        return {"type": "array", "format": "stream", "items": schemas.of(_element(hint), where)}
    return schemas.of(hint, where)


def _bare(hint: Any) -> Any:
    """An annotation without what `Annotated` says of it."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _element(hint: Any) -> Any:
    """What an annotation of a stream says of its elements."""
    stream = _bare(hint)
    return next(iter(typing.get_args(stream)), Any) if typing.get_origin(stream) in STREAMS else Any


def _facts(tool: Tool[..., Any]) -> dict[str, Any]:
    """What its author says of the tool, where he says anything."""
    switches = {name: True for name in SWITCHES if getattr(tool, name, False)}
    limits = {name: millis for name in LIMITS if (millis := getattr(tool, name, 0))}
    return {**switches, **limits}
