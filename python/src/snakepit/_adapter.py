"""Adapter classes: tools that share what one worker holds, with a beginning and an end."""

from __future__ import annotations

import inspect
import sys
import traceback
import weakref
from collections.abc import Iterable
from typing import Any, TypeVar

from snakepit._loop import Loop
from snakepit._tool import Tool
from snakepit._visit import END, START, Unit

C = TypeVar("C", bound=type)

# how each is called beyond its instance
HOOKS = {"on_start": (), "on_stop": (), START: (None,), END: (None,)}

_adapters: weakref.WeakSet[type] = weakref.WeakSet()


def adapter(cls: C) -> C:
    """Makes a class an adapter: its `@tool` methods are tools, of one instance that each worker makes for itself.

    `on_start(self)` is called before the worker is ready, in the worker itself and not where it was forked from: open
    devices, connections and models there. When it raises, the worker does not come up. `on_stop(self)` is called once,
    when the worker drains and its last call is over; the process has the rest of the pool's `stopGrace` for it, and a
    worker that crashes or is killed never calls it. `on_session_start(self, session)` is called before the first call
    of a session on the worker, `on_session_end(self, session)` after its last: see the decorators of these names. All
    may be async functions, and all may be left out.

    Raises TypeError for what is no class, cannot be made without arguments, has no tools, or has hooks that take any.

    >>> from snakepit import tool
    >>> @adapter
    ... class Counter:
    ...     def on_start(self) -> None:
    ...         self.count = 0
    ...
    ...     @tool
    ...     def next(self, step: int = 1) -> int:
    ...         self.count += step
    ...         return self.count
    """
    if not isinstance(cls, type):
        raise TypeError(f"@adapter decorates a class, not {cls!r}")
    if not _tools(cls):
        raise TypeError(f"adapter {cls.__qualname__} has no tools; decorate a method in it with @snakepit.tool")
    hooks = ((getattr(cls, hook), (None, *more)) for hook, more in HOOKS.items() if hasattr(cls, hook))
    for what, arguments in ((cls, ()), *hooks):
        try:
            inspect.signature(what).bind(*arguments)
        except TypeError as problem:
            raise TypeError(
                f"adapter {cls.__qualname__}: {what.__name__} is called {_with(arguments)}: {problem}"
            ) from None
    _adapters.add(cls)
    return cls


def _with(arguments: tuple[None, ...]) -> str:
    return "with the session alone" if len(arguments) > 1 else "without arguments"


def adapters_in(values: Iterable[object]) -> list[type]:
    """The adapter classes among these, each once; not those that another one of them extends."""
    found = list(dict.fromkeys(value for value in values if isinstance(value, type) and value in _adapters))
    return [cls for cls in found if not any(other is not cls and issubclass(other, cls) for other in found)]


def tools_of(cls: type) -> list[Tool[..., Any]]:
    """The tools of an adapter class, inherited ones included; they have no instance yet."""
    return [tool.of(cls) for tool in _tools(cls)]


def _tools(cls: type) -> list[Tool[..., Any]]:
    return [member for _, member in inspect.getmembers_static(cls) if isinstance(member, Tool)]


class Instances:
    """The instances of a worker's adapter classes, in the order in which they stand in the module."""

    def __init__(self, classes: list[type], loop: Loop) -> None:
        self._classes = classes
        self._loop = loop
        self._started: dict[type, object] = {}

    def start(self) -> None:
        """Makes and starts them; raises what one of them raises, when those before it are stopped again."""
        for cls in self._classes:
            try:
                instance = cls()
                self._call(instance, "on_start")
            except BaseException:
                self.stop()
                raise
            self._started[cls] = instance

    def bind(self, tool: Tool[..., Any]) -> Tool[..., Any]:
        """The tool with its instance, if it is a method of one."""
        return tool if tool.adapter is None else tool.bound(self._started[tool.adapter])

    def session_hooks(self) -> list[Unit]:
        """What they do when a session begins and ends, in their order."""
        return [(getattr(instance, START, None), getattr(instance, END, None)) for instance in self._started.values()]

    def stop(self) -> None:
        """Stops them, the last first, and each once; what one raises is printed."""
        while self._started:
            _, instance = self._started.popitem()
            try:
                self._call(instance, "on_stop")
            except BaseException as raised:
                print(f"snakepit: on_stop of {type(instance).__qualname__} raised:", file=sys.stderr)
                traceback.print_exception(raised)

    def _call(self, instance: object, name: str) -> None:
        hook = getattr(instance, name, None)
        if hook is not None:
            result = hook()
            if inspect.iscoroutine(result):
                self._loop.complete(result)
