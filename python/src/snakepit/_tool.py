"""The decorator that makes a function a tool."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar, overload

from snakepit._payload import Payload

P = ParamSpec("P")
R = TypeVar("R")


class Tool(Generic[P, R]):
    """A function that a worker serves by name; called from Python it is the function it was.

    `streams` says that it is a generator function: every element it yields is sent as soon as the caller has asked
    for it. `description` is the first paragraph of its docstring.
    """

    def __init__(self, function: Callable[P, R], name: str) -> None:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"tool {name!r} is an async function, which this version does not serve; "
                "make it a plain function, or run it with asyncio.run inside one"
            )
        if not callable(function):
            raise TypeError(f"@tool decorates a function, not {function!r}; for a name write @tool(name=...)")
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.streams = inspect.isgeneratorfunction(function)
        self.description = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name} of {self.__module__}>"

    @functools.cached_property
    def payload(self) -> Payload:
        """Codec of arguments and results; made late, for annotations may name what stands further down the module."""
        return Payload(self.name, self.function)


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(*, name: str | None = None) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None, /, *, name: str | None = None
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Makes a function a tool, under its own name or `name`.

    Raises TypeError for an async function and for anything that is no function.

    >>> @tool(name="math.add")
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> add(1, 2), add.name
    (3, 'math.add')
    """
    if function is not None:
        return Tool(function, getattr(function, "__name__", repr(function)))
    return lambda decorated: Tool(decorated, name or decorated.__name__)
