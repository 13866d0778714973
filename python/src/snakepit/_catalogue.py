"""What a worker serves: the tools of its adapter, in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from snakepit import _wire
from snakepit._adapter import Instances, adapters_in, tools_of
from snakepit._contract import Contract
from snakepit._spans import instrumented
from snakepit._tool import Tool
from snakepit._visit import START, SessionHook, Unit


class Catalogue:
    """Tools sorted by name; the position is the id on the wire. `adapters` are the classes that some are methods of.

    `hash` is that of their contracts, so it is the same in every process and changes when a caller could notice. Raises
    ValueError when two tools have one name, TypeError when the signature of one cannot be called by name.
    """

    def __init__(
        self, tools: Iterable[Tool[..., Any]], adapters: Iterable[type] = (), hooks: Iterable[SessionHook] = ()
    ) -> None:
        self.adapters = list(adapters)
        self._hooks = list(hooks)
        by_name: dict[str, Tool[..., Any]] = {}
        for tool in [*tools, *(tool for adapter in self.adapters for tool in tools_of(adapter))]:
            other = by_name.setdefault(tool.name, tool)
            if other is not tool:
                raise ValueError(
                    f"two tools are named {tool.name!r}: {_place(other)} and {_place(tool)}; "
                    "rename one with @tool(name=...)"
                )
        self.tools = [by_name[name] for name in sorted(by_name)]
        contract = Contract(self.tools)
        self.hash = contract.hash
        self._contracts = {tool["name"]: tool["contract"] for tool in contract.tools}

    @classmethod
    def of(cls, module: ModuleType) -> Catalogue:
        """The tools and adapters in a module's namespace, imported ones included; ValueError when there is none."""
        values = list(vars(module).values())
        tools, adapters = [value for value in values if isinstance(value, Tool)], adapters_in(values)
        if not tools and not adapters:
            raise ValueError(
                f"adapter {module.__name__!r} has no tools; decorate a function in it with @snakepit.tool, "
                "or a class that has tools with @snakepit.adapter"
            )
        return cls(tools, adapters, dict.fromkeys(value for value in values if isinstance(value, SessionHook)))

    def bind(self, instances: Instances) -> None:
        """Makes the tools ready to run: those that are methods with the instances that they belong to."""
        self.tools = [instrumented(instances.bind(tool)) for tool in self.tools]

    def session_hooks(self, instances: Instances) -> list[Unit]:
        """What is called when a session begins and ends: functions of the module, then its adapter classes."""
        functions: list[Unit] = [
            (hook.function, None) if hook.when == START else (None, hook.function) for hook in self._hooks
        ]
        return functions + instances.session_hooks()

    def messages(self) -> list[_wire.Tool]:
        """The tools as a Welcome lists them."""
        return [
            _wire.Tool(
                id=id,
                name=tool.name,
                streams=tool.streams,
                description=tool.description,
                timeout_ms=tool.timeout_ms,
                hard_limit_ms=tool.hard_limit_ms,
                idempotent=tool.idempotent,
                deterministic=tool.deterministic,
                blocking=tool.blocking,
                thread_sensitive=tool.thread_sensitive,
                input=tool.payload.input or "",
                contract=self._contracts[tool.name],
            )
            for id, tool in enumerate(self.tools)
        ]


def _place(tool: Tool[..., Any]) -> str:
    code = getattr(tool.function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(tool.function)
