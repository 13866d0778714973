"""What a caller may rely on: the tools of an adapter with the schemas of what they take and give.

Every part of a tool has a hash: each argument, the result, what its author promises. `snakepit codegen` writes them
down in TypeScript, workers announce them, and the host compares: tool by tool, so that one may change and no caller of
another notices.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from typing import Any

from snakepit._schema import DEFINITIONS, JsonSchema, Schemas
from snakepit._tool import Tool

DIGITS = 12  # 48 bits: of 10^14 changes of a part one is not seen
STREAMS = (Iterator, Iterable, AsyncIterator, AsyncIterable, Generator, AsyncGenerator)
INPUTS = (Iterator, Iterable, AsyncIterator, AsyncIterable)
SWITCHES = ("idempotent", "deterministic", "blocking")
LIMITS = ("timeout_ms", "hard_limit_ms")


class Contract:
    """The contract of `tools`, which are sorted by name.

    `tools` describes each, with the hashes of its parts in `contract`; `definitions` has the types that they refer to.
    `problems` names what has no schema and is therefore anything, one line each.
    """

    def __init__(self, tools: list[Tool[..., Any]], *, descriptions: bool = False) -> None:
        schemas = Schemas(descriptions=descriptions)
        self.tools = [_tool(tool, schemas) for tool in tools]
        if descriptions:
            for described, tool in zip(self.tools, tools, strict=True):
                described["description"] = tool.description
        self.definitions = schemas.definitions()
        self.problems = schemas.problems
        for described in self.tools:
            parts = _parts(described).items()
            described["contract"] = {part: _hash(form, self.definitions) for part, form in parts}

    @property
    def hash(self) -> bytes:
        """SHA-256 of all contracts: it changes when a caller could notice."""
        contracts = [[tool["name"], tool["streams"], tool["contract"]] for tool in self.tools]
        return hashlib.sha256(_canonical(contracts)).digest()


def _parts(tool: dict[str, Any]) -> dict[str, Any]:
    """What may differ between two contracts of one tool, by the names that are told to people."""
    properties, required, rest = (tool["arguments"][key] for key in ("properties", "required", "additionalProperties"))
    parts: dict[str, Any] = {f"argument {name}": [schema, name in required] for name, schema in properties.items()}
    if rest is not False:
        parts["further arguments"] = rest
    parts["result"] = tool["result"]
    if tool["facts"]:
        parts["promises"] = tool["facts"]
    return parts


def _hash(form: Any, definitions: dict[str, JsonSchema]) -> str:
    """Of a part and the types that it refers to, whatever those are called and in whatever order their fields stand."""
    names: list[str] = []

    def written(value: Any) -> Any:
        if isinstance(value, list):
            return [written(element) for element in value]
        if not isinstance(value, dict):
            return value
        return {key: field(key, each) for key, each in sorted(value.items()) if not is_description(key, each)}

    # the keys of `properties` are names of an adapter; what is behind those is a schema and neither text nor a list
    def is_description(key: str, value: Any) -> bool:
        return key == "description" and isinstance(value, str)

    def field(key: str, value: Any) -> Any:
        if key == "required" and isinstance(value, list):
            return sorted(value)
        if key == "$ref" and isinstance(value, str):
            name = value.removeprefix(DEFINITIONS)
            if name not in names:
                names.append(name)
            return names.index(name)
        return written(value)

    forms = [written(form)]
    while len(forms) <= len(names):
        forms.append(written(definitions[names[len(forms) - 1]]))
    return hashlib.sha256(_canonical(forms)).hexdigest()[:DIGITS]


def _canonical(form: Any) -> bytes:
    """The same bytes in every process."""
    return json.dumps(form, sort_keys=True, separators=(",", ":")).encode()


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
