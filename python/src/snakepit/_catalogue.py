"""What a worker serves: the tools of its adapter, in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from snakepit._contract import Contract
from snakepit._tool import Tool


class Catalogue:
    """Tools sorted by name; the position is the id on the wire.

    `hash` is that of their contract (names, schemas, facts), so it is the same in every process and changes when a
    caller could notice. Raises ValueError when two tools have one name, TypeError when the
    signature of one cannot be called by name.
    """

    def __init__(self, tools: Iterable[Tool[..., Any]]) -> None:
        by_name: dict[str, Tool[..., Any]] = {}
        for tool in tools:
            other = by_name.setdefault(tool.name, tool)
            if other is not tool:
                raise ValueError(
                    f"two tools are named {tool.name!r}: {_place(other)} and {_place(tool)}; "
                    "rename one with @tool(name=...)"
                )
        self.tools = [by_name[name] for name in sorted(by_name)]
        for tool in self.tools:
            _ = tool.payload  # made now: what cannot be called is found before the worker serves
        self.hash = Contract(self.tools).hash

    @classmethod
    def of(cls, module: ModuleType) -> Catalogue:
        """The tools in a module's namespace, imported ones included; raises ValueError when there is none."""
        tools = [value for value in vars(module).values() if isinstance(value, Tool)]
        if not tools:
            raise ValueError(f"adapter {module.__name__!r} has no tools; decorate a function in it with @snakepit.tool")
        return cls(tools)


def _place(tool: Tool[..., Any]) -> str:
    code = getattr(tool.function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(tool.function)
