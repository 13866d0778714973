from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

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


def test_what_its_author_says_of_a_tool_is_part_of_the_contract() -> None:
    promised, counted = contract_of(zoo.promised, zoo.counted).tools
    assert promised["facts"] == {"idempotent": True, "deterministic": True, "timeout_ms": 2500, "hard_limit_ms": 60_000}
    assert (counted["facts"], counted["streams"], counted["result"]) == ({"blocking": True}, True, {"type": "integer"})


def test_self_is_no_argument_of_a_method() -> None:
    [put] = Contract(Catalogue([], [zoo.Shelf]).tools).tools
    assert put["arguments"]["properties"] == {"book": {"type": "string"}}


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
    assert [tool["contract"] for tool in plain.tools] == [tool["contract"] for tool in described.tools]
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


def parts_of(of: Tool[..., Any], **annotations: object) -> dict[str, str]:
    of.function.__annotations__.update(annotations)
    parts: dict[str, str] = contract_of(of).tools[0]["contract"]
    return parts


def test_the_hash_of_a_part_changes_with_every_type_that_a_caller_sees_and_those_of_the_others_do_not() -> None:
    def variant(**annotations: object) -> dict[str, str]:
        @tool
        def use(value: int, other: str = "") -> None: ...

        return parts_of(use, **annotations)

    bounded = Annotated[int, msgspec.Meta(ge=1)]
    types: list[object] = [str, int | None, bounded, zoo.Point, list[zoo.Point], zoo.Branch, zoo.Leaf]
    usual = variant()
    variants = [usual, *(variant(value=type) for type in types)]
    assert len({parts["argument value"] for parts in variants}) == len(variants)
    assert len({(parts["argument other"], parts["result"]) for parts in variants}) == 1
    returned = variant(**{"return": int})
    assert [part for part in usual if usual[part] != returned[part]] == ["result"]


def test_the_parts_of_a_contract_are_its_arguments_its_result_and_what_its_author_promises() -> None:
    contract = contract_of(zoo.promised, zoo.options)
    assert {tool["name"]: list(tool["contract"]) for tool in contract.tools} == {
        "promised": ["argument value", "result", "promises"],
        "any.options": ["argument name", "further arguments", "result"],
    }


def test_an_argument_that_may_be_left_out_is_another_one() -> None:
    @tool(name="use")
    def needed(value: int) -> None: ...

    @tool(name="use")
    def optional(value: int = 0) -> None: ...

    assert parts_of(needed)["argument value"] != parts_of(optional)["argument value"]


def test_what_no_caller_sees_changes_no_contract() -> None:
    """Neither another tool with a type of the same name, nor the order and the names of types and their fields."""

    @dataclass
    class Point:
        tags: list[str]
        y: float
        x: float

    @dataclass(kw_only=True)
    class Other:
        tags: list[str] = field(default_factory=list)
        y: float = 1.0
        x: float

    @tool
    def use(value: object) -> None: ...

    @tool
    def unrelated(value: object) -> None: ...

    alone = parts_of(use, value=zoo.Point)
    unrelated.function.__annotations__["value"] = Point
    assert contract_of(unrelated, use).tools[1]["contract"] == alone
    assert parts_of(use, value=Other) == alone
    assert parts_of(use, value=Point) != alone


def test_an_argument_may_have_a_name_that_means_something_in_a_schema() -> None:
    Odd = TypedDict("Odd", {"$ref": str, "required": list[int], "description": int})
    Even = TypedDict("Even", {"$ref": str, "required": list[str], "description": str})

    @tool
    def use(value: object) -> None: ...

    assert parts_of(use, value=Odd) != parts_of(use, value=Even)


def describe(*arguments: str) -> tuple[int, Any, str]:
    command = [sys.executable, "-m", "snakepit.describe", *arguments]
    done = subprocess.run(command, cwd=HERE.parent / "src", capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def test_the_program_prints_the_contract_that_workers_announce(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("from snakepit import tool\nprint('hello')\n@tool\ndef a() -> int: return 1\n")
    code, document, said = describe("--adapter", "loud", "--path", str(tmp_path))
    assert (code, said) == (0, "hello\n")
    assert list(document) == ["adapter", "tools", "$defs", "problems"]

    @tool
    def a() -> int: ...  # type: ignore[empty-body]

    [announced] = Catalogue([a]).messages()
    assert document["tools"][0]["contract"] == announced.contract


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
