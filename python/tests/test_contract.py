from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from adapters import zoo
from snakepit import Tool, tool
from snakepit._catalogue import Catalogue
from snakepit._contract import Contract

HERE = Path(__file__).parent


def contract_of(*tools: Tool[..., Any], descriptions: bool = False) -> Contract:
    return Contract(list(tools), descriptions=descriptions)


def argument(of: Tool[..., Any], name: str = "value") -> dict[str, Any]:
    schema: dict[str, Any] = contract_of(of).tools[0]["arguments"]["properties"][name]
    return schema


AWARE, NAIVE = {"type": "string", "format": "date-time"}, {"type": "string", "format": "local-date-time"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (argument(zoo.data), {"type": "string", "format": "bytes"}),
        (argument(zoo.bounded, "raw"), {"type": "string", "format": "bytes", "minLength": 1, "maxLength": 4}),
        (argument(zoo.bounded, "whole"), {"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 3}),
        (argument(zoo.times, "aware"), AWARE),
        (argument(zoo.times, "naive"), NAIVE),
        (argument(zoo.moment), {"anyOf": [AWARE, NAIVE]}),
        (argument(zoo.maybe), {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
        (argument(zoo.matrix), {"type": "array", "format": "ndarray"}),
        (argument(zoo.maps, "by_number"), {"type": "object", "additionalProperties": {"type": "string"}}),
        (argument(zoo.plain, "unsaid"), {}),
        (argument(zoo.point), {"$ref": "#/$defs/Point"}),
        (argument(zoo.boxes, "words"), {"$ref": "#/$defs/Box[list[str]]"}),
    ],
)
def test_an_annotation_becomes_the_schema_of_what_crosses_the_wire(schema: object, expected: object) -> None:
    assert schema == expected


def test_named_types_stand_beside_the_tools_and_may_contain_themselves() -> None:
    definitions = contract_of(zoo.tree, zoo.row, zoo.pair, zoo.person).definitions
    either = {"anyOf": [{"$ref": "#/$defs/Leaf"}, {"$ref": "#/$defs/Branch"}]}
    assert definitions["Branch"] == {
        "type": "object",
        "properties": {"type": {"enum": ["Branch"]}, "left": either, "right": either},
        "required": ["type", "left", "right"],
    }
    assert definitions["Pair"] == {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "minItems": 1,
        "items": False,
    }
    assert definitions["Row"]["prefixItems"] == definitions["Pair"]["prefixItems"]
    assert definitions["Person"]["required"] == ["name"]


def test_a_stream_tells_its_elements_and_keywords_what_they_may_be() -> None:
    stream, options = contract_of(zoo.stream, zoo.options).tools
    assert (stream["streams"], stream["result"]) == (True, {"$ref": "#/$defs/Point"})
    assert options["arguments"] == {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": {},
    }


def test_a_stream_of_inputs_tells_its_elements() -> None:
    @tool
    def total(start: int, values: Iterator[float]) -> float:
        return sum(values, start)

    [described] = contract_of(total).tools
    assert described["arguments"]["properties"]["values"] == {
        "type": "array",
        "format": "stream",
        "items": {"type": "number"},
    }
    assert described["arguments"]["required"] == ["start", "values"]


def test_what_has_no_schema_is_anything_and_a_problem_that_names_tool_and_parameter() -> None:
    @dataclass
    class Model:
        fitted: type[int]

    @tool
    def use(model: Model | dict[str, int], other: Model) -> None: ...

    use.function.__annotations__.update(model=Model | dict[str, int], other=Model)
    contract = contract_of(use)
    assert contract.tools[0]["arguments"]["properties"]["model"] == {}
    assert contract.definitions["Model"]["properties"] == {"fitted": {}}
    assert len(contract.problems) == 2
    assert (
        "tool 'use', parameter 'model': Type unions may not contain more than one dict-like type"
        in contract.problems[0]
    )
    assert contract.problems[1] == "tool 'use', parameter 'other': <class 'type'> cannot arrive as MessagePack"


def test_types_of_one_name_are_told_apart_by_their_modules() -> None:
    @dataclass
    class Point:
        z: int

    @tool
    def both(here: object, there: object) -> None: ...

    both.function.__annotations__.update(here=Point, there=zoo.Point)
    here = f"{__name__}.{Point.__qualname__}"
    assert list(contract_of(both).definitions) == ["adapters.zoo.Point", here]


def test_descriptions_come_from_docstrings_and_meta_and_change_no_hash() -> None:
    plain = contract_of(zoo.tree, zoo.point)
    described = contract_of(zoo.tree, zoo.point, descriptions=True)
    assert described.definitions["Branch"]["description"] == "A tree that has trees."
    assert described.definitions["Leaf"]["properties"]["value"]["description"] == "What it weighs, in grams."
    assert "description" not in contract_of(zoo.renamed, descriptions=True).definitions["Renamed"]
    assert b"description" not in plain.canonical
    assert Catalogue([zoo.tree, zoo.point]).hash == contract_of(zoo.point, zoo.tree).hash


def test_what_meta_says_of_a_named_type_stands_beside_its_reference() -> None:
    @tool
    def use(value: object) -> None: ...

    use.function.__annotations__["value"] = Annotated[zoo.Point, msgspec.Meta(description="Where to go.")]
    [described] = contract_of(use, descriptions=True).tools
    assert described["arguments"]["properties"]["value"] == {"$ref": "#/$defs/Point", "description": "Where to go."}


def test_meta_gives_a_schema_to_a_type_that_has_none() -> None:
    @tool
    def use(value: object) -> None: ...

    use.function.__annotations__["value"] = Annotated[complex, msgspec.Meta(extra_json_schema={"type": "string"})]
    contract = contract_of(use)
    assert (contract.tools[0]["arguments"]["properties"]["value"], contract.problems) == ({"type": "string"}, [])


def test_the_hash_changes_with_every_type_that_a_caller_sees() -> None:
    def variant(annotation: object, returned: object = None) -> bytes:
        @tool
        def use(value: object) -> object: ...

        use.function.__annotations__.update({"value": annotation, "return": returned})
        return contract_of(use).hash

    bounded = Annotated[int, msgspec.Meta(ge=1)]
    hashes = [variant(int), variant(str), variant(int | None), variant(bounded), variant(int, int), variant(zoo.Point)]
    assert len(set(hashes)) == len(hashes)


def describe(*arguments: str) -> tuple[int, Any, str]:
    command = [sys.executable, "-m", "snakepit.describe", *arguments]
    done = subprocess.run(command, cwd=HERE.parent / "src", capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def test_the_program_prints_the_contract_that_workers_announce(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("from snakepit import tool\nprint('hello')\n@tool\ndef a() -> int: return 1\n")
    code, document, said = describe("--adapter", "loud", "--path", str(tmp_path))
    assert (code, said) == (0, "hello\n")
    assert list(document) == ["adapter", "contract", "tools", "$defs", "problems"]

    @tool
    def a() -> int: ...  # type: ignore[empty-body]

    assert document["contract"] == Catalogue([a]).hash.hex()


def test_two_processes_print_the_same() -> None:
    where = ("--adapter", "zoo", "--path", str(HERE / "adapters"))
    first, second = describe(*where), describe(*where)
    assert first == second
    assert first[1]["problems"] == [
        "tool 'opaque', parameter 'by': <class 'BaseException'> cannot arrive as MessagePack",
        "tool 'opaque', what it returns: <class 'collections.abc.Iterable'> cannot arrive as MessagePack",
    ]


@pytest.mark.parametrize(
    ("adapter", "code", "stage", "type"),
    [("broken", 78, "import", "RuntimeError"), ("bare", 70, "catalogue", "ValueError")],
)
def test_the_program_says_why_an_adapter_cannot_be_described(adapter: str, code: int, stage: str, type: str) -> None:
    ended, document, _ = describe("--adapter", adapter, "--path", str(HERE / "adapters"))
    assert (ended, document["stage"], document["exception"]["type"]) == (code, stage, type)
