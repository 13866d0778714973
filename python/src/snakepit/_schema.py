"""Annotations as JSON Schema of what crosses the wire.

msgspec's own JSON Schema tells what its JSON looks like. The wire is MessagePack, and some things look different there:

    bytes                        {"type": "string", "format": "bytes"}, its lengths in bytes
    datetime with a time zone    {"type": "string", "format": "date-time"}: a MessagePack timestamp
    datetime without one         {"type": "string", "format": "local-date-time"}: text
    numpy array                  {"type": "array", "format": "ndarray"}
    stream of inputs             {"type": "array", "format": "stream", "items": …}: its elements come one by one
"""

from __future__ import annotations

import inspect as python_inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import inspect

from snakepit._qualified import qualified_name

JsonSchema = dict[str, Any]
DEFINITIONS = "#/$defs/"  # what a reference to a named type begins with

BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
LENGTHS = {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}
ITEMS = {"min_length": "minItems", "max_length": "maxItems"}
PROPERTIES = {"min_length": "minProperties", "max_length": "maxProperties"}

ANYTHING: JsonSchema = {}
AWARE: JsonSchema = {"type": "string", "format": "date-time"}
NAIVE: JsonSchema = {"type": "string", "format": "local-date-time"}

# what does not refer to another type: its schema, and the constraints that it may have
SIMPLE: Mapping[type[inspect.Type], tuple[JsonSchema, Mapping[str, str]]] = {
    inspect.AnyType: (ANYTHING, {}),
    inspect.RawType: (ANYTHING, {}),
    inspect.NoneType: ({"type": "null"}, {}),
    inspect.BoolType: ({"type": "boolean"}, {}),
    inspect.IntType: ({"type": "integer"}, BOUNDS),
    inspect.FloatType: ({"type": "number"}, BOUNDS),
    inspect.StrType: ({"type": "string"}, LENGTHS),
    inspect.BytesType: ({"type": "string", "format": "bytes"}, LENGTHS),
    inspect.ByteArrayType: ({"type": "string", "format": "bytes"}, LENGTHS),
    inspect.MemoryViewType: ({"type": "string", "format": "bytes"}, LENGTHS),
    inspect.DateType: ({"type": "string", "format": "date"}, {}),
    inspect.TimeType: ({"type": "string", "format": "time"}, {}),
    inspect.TimeDeltaType: ({"type": "string", "format": "duration"}, {}),
    inspect.UUIDType: ({"type": "string", "format": "uuid"}, {}),
    inspect.DecimalType: ({"type": "string", "format": "decimal"}, {}),
}


class Schemas:
    """Makes schemas; the named types that they refer to collect in `definitions`.

    An annotation that has none becomes `{}`, which is anything, and a line in `problems`. `descriptions` puts in what
    docstrings and `msgspec.Meta` say of types and fields.
    """

    def __init__(self, *, descriptions: bool) -> None:
        self._descriptions = descriptions
        self._named: dict[Any, JsonSchema] = {}
        self._references: dict[Any, list[JsonSchema]] = {}
        self._where = ""
        self._makers: dict[type[inspect.Type], Callable[[Any], JsonSchema]] = {
            inspect.DateTimeType: lambda found: _datetime(found.tz),
            inspect.LiteralType: lambda found: {"enum": list(found.values)},
            inspect.UnionType: lambda found: {"anyOf": [self._of(member) for member in found.types]},
            inspect.Metadata: self._metadata,
            inspect.DictType: self._map,
            inspect.TupleType: self._tuple,
            inspect.VarTupleType: self._list,
            inspect.ListType: self._list,
            inspect.SetType: self._list,
            inspect.FrozenSetType: self._list,
            inspect.CustomType: lambda found: self._custom(found.cls),
            inspect.EnumType: lambda found: self._name(found, _values),
            inspect.StructType: lambda found: self._name(found, self._row if found.array_like else self._record),
            inspect.NamedTupleType: lambda found: self._name(found, self._row),
            inspect.DataclassType: lambda found: self._name(found, self._record),
            inspect.TypedDictType: lambda found: self._name(found, self._record),
        }
        self.problems: list[str] = []

    def of(self, annotation: Any, where: str) -> JsonSchema:
        """The schema of one annotation; `where` names it in problems."""
        self._where = where
        try:
            return self._of(inspect.type_info(annotation))
        except Exception as problem:  # whatever the classes of an adapter raise when they are looked at
            return self._unknown(str(problem))

    def definitions(self) -> dict[str, JsonSchema]:
        """The named types, by names that tell them apart. Completes the schemas made so far."""
        names = _names(self._named)
        for named, references in self._references.items():
            for reference in references:
                reference["$ref"] = DEFINITIONS + names[named]
        return {names[named]: schema for named, schema in sorted(self._named.items(), key=lambda item: names[item[0]])}

    def _unknown(self, reason: str) -> JsonSchema:
        self.problems.append(f"{self._where}: {reason}")
        return {}

    def _of(self, found: inspect.Type) -> JsonSchema:
        if type(found) in SIMPLE:
            schema, constraints = SIMPLE[type(found)]
            return {**schema, **_constraints(found, constraints)}
        maker = self._makers.get(type(found))
        return self._unknown(f"{type(found).__name__} cannot arrive as MessagePack") if maker is None else maker(found)

    def _list(self, found: Any) -> JsonSchema:
        return {"type": "array", "items": self._of(found.item_type), **_constraints(found, ITEMS)}

    def _tuple(self, found: inspect.TupleType) -> JsonSchema:
        items = [self._of(item) for item in found.item_types]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}

    def _map(self, found: inspect.DictType) -> JsonSchema:
        values = self._of(found.value_type)
        return {"type": "object", "additionalProperties": values, **_constraints(found, PROPERTIES)}

    def _metadata(self, found: inspect.Metadata) -> JsonSchema:
        extra = found.extra_json_schema or {}
        custom = isinstance(found.type, inspect.CustomType) and "type" in extra
        schema = {**extra} if custom else self._of(found.type)
        schema.pop("description", None)
        if self._descriptions and "description" in extra:
            schema["description"] = extra["description"]
        return schema

    def _custom(self, cls: type) -> JsonSchema:
        if cls is object:
            return {}
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if issubclass(cls, numpy.ndarray):
                return {"type": "array", "format": "ndarray"}
            for scalar, name in ((numpy.bool_, "boolean"), (numpy.integer, "integer"), (numpy.floating, "number")):
                if issubclass(cls, scalar):
                    return {"type": name}
        return self._unknown(f"{cls!r} cannot arrive as MessagePack")

    def _name(self, found: Any, schema: Callable[[Any], JsonSchema]) -> JsonSchema:
        cls = found.cls
        if cls not in self._named:
            self._named[cls] = {}  # a type may contain itself
            self._named[cls] = {**schema(found), **self._documented(cls)}
        reference: JsonSchema = {}
        self._references.setdefault(cls, []).append(reference)
        return reference

    def _documented(self, cls: Any) -> JsonSchema:
        own = typing.get_origin(cls) or cls
        text = vars(own).get("__doc__") or "" if self._descriptions else ""
        # what a dataclass or a NamedTuple is given that has none
        if not text or text.startswith(f"{own.__name__}("):
            return {}
        return {"description": " ".join(python_inspect.cleandoc(text).split("\n\n")[0].split())}

    def _record(self, found: Any) -> JsonSchema:
        tag = {found.tag_field: {"enum": [found.tag]}} if getattr(found, "tag", None) is not None else {}
        return {
            "type": "object",
            "properties": {**tag, **{field.encode_name: self._of(field.type) for field in found.fields}},
            "required": [*tag, *(field.encode_name for field in found.fields if field.required)],
        }

    def _row(self, found: Any) -> JsonSchema:
        tag = [{"enum": [found.tag]}] if getattr(found, "tag", None) is not None else []
        return {
            "type": "array",
            "prefixItems": [*tag, *(self._of(field.type) for field in found.fields)],
            "minItems": len(tag) + sum(field.required for field in found.fields),
            "items": False,
        }


def _values(found: inspect.EnumType) -> JsonSchema:
    return {"enum": [member.value for member in found.cls]}


def _constraints(found: inspect.Type, words: Mapping[str, str]) -> JsonSchema:
    values = ((word, getattr(found, name, None)) for name, word in words.items())
    return {word: value for word, value in values if value is not None}


def _datetime(tz: bool | None) -> JsonSchema:
    return {"anyOf": [AWARE, NAIVE]} if tz is None else {**(AWARE if tz else NAIVE)}


def _names(named: Mapping[Any, object]) -> dict[Any, str]:
    """The short name where it is the only one, else that with the module."""
    short = {cls: _short(cls) for cls in named}
    taken = list(short.values())
    return {
        cls: name if taken.count(name) == 1 else qualified_name(typing.get_origin(cls) or cls) + _arguments(name)
        for cls, name in short.items()
    }


def _arguments(name: str) -> str:
    """`[int]` of `Box[int]`."""
    return "".join(name.partition("[")[1:])


def _short(cls: Any) -> str:
    if isinstance(cls, type) and not typing.get_args(cls):
        return cls.__qualname__.rpartition("<locals>.")[2]
    arguments = ", ".join(_short(argument) for argument in typing.get_args(cls))
    origin = typing.get_origin(cls)
    return str(cls) if origin is None else f"{_short(origin)}[{arguments}]"
