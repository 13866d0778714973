"""The decorator that makes a function a tool."""

from __future__ import annotations

import copy
import functools
import inspect
import math
from collections.abc import Callable
from datetime import timedelta
from types import MethodType
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from snakepit._payload import Payload

P = ParamSpec("P")
R = TypeVar("R")

MOST_MILLISECONDS = 2**32 - 1  # a uint32 on the wire: 49 days


class Tool(Generic[P, R]):
    """A function that a worker serves by name; called from Python it is the function it was.

    `streams`: a generator function, every element it yields is sent as soon as the caller has asked for it.
    `asynchronous`: an async one, which runs on the worker's event loop. `description` is the first paragraph of its
    docstring. The other fields are what its author says of it, see `tool`; limits are in milliseconds, 0 for none.
    """

    def __init__(
        self,
        function: Callable[P, R],
        name: str,
        *,
        timeout: float | timedelta | None = None,
        hard_limit: float | timedelta | None = None,
        idempotent: bool = False,
        deterministic: bool = False,
        blocking: bool = False,
        thread_sensitive: bool = False,
    ) -> None:
        if not callable(function):
            raise TypeError(f"@tool decorates a function, not {function!r}; for a name write @tool(name=...)")
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        if not isinstance(name, str) or not name:
            raise TypeError(f"the name of a tool is a text that is not empty, not {name!r}")
        many = inspect.isasyncgenfunction(function)
        self.streams = many or inspect.isgeneratorfunction(function)
        self.asynchronous = many or inspect.iscoroutinefunction(function)
        self.description = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        self.timeout_ms = _milliseconds(name, "timeout", timeout)
        self.hard_limit_ms = _milliseconds(name, "hard_limit", hard_limit)
        if 0 < self.hard_limit_ms < self.timeout_ms:
            raise ValueError(
                f"tool {name!r}: hard_limit ({self.hard_limit_ms} ms) ends the worker, so it is not before timeout "
                f"({self.timeout_ms} ms), which only cancels the call"
            )
        self.idempotent = _flag(name, "idempotent", idempotent)
        self.deterministic = _flag(name, "deterministic", deterministic)
        self.blocking = _flag(name, "blocking", blocking)
        self.thread_sensitive = _flag(name, "thread_sensitive", thread_sensitive)
        if thread_sensitive and self.asynchronous:
            raise ValueError(
                f"tool {name!r} is async, so it runs on the event loop, never on the main thread: "
                "make it a plain function, or leave thread_sensitive out"
            )
        self.adapter: type | None = None
        """The class whose instance it is a method of."""
        self._method = False

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name} of {self.__module__}>"

    def __set_name__(self, owner: type, name: str) -> None:
        self._method = True

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., R]: ...

    def __get__(self, instance: object, owner: type | None = None) -> Self | Callable[..., R]:
        return self if instance is None else MethodType(self, instance)

    @functools.cached_property
    def payload(self) -> Payload:
        """Codec of arguments and results; made late, for annotations may name what stands further down the module."""
        return Payload(self.name, self.function, asynchronous=self.asynchronous, method=self._method)

    def of(self, adapter: type) -> Tool[..., Any]:
        """The same tool as a method of the instances of `adapter`, which it may have inherited."""
        tool = copy.copy(self)
        tool.adapter = adapter
        return tool

    def bound(self, instance: object) -> Tool[..., Any]:
        """The same tool with `instance` as its `self`."""
        assert self.payload is not None  # made once, and shared
        tool = copy.copy(self)
        tool.function = MethodType(self.function, instance)
        return tool


def _milliseconds(tool: str, parameter: str, value: float | timedelta | None) -> int:
    if value is None:
        return 0
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"tool {tool!r}: {parameter} is a number of seconds or a timedelta, not {value!r}")
    if not 0 < seconds <= MOST_MILLISECONDS / 1000:
        raise ValueError(
            f"tool {tool!r}: {parameter} is more than 0 and at most {MOST_MILLISECONDS // 1000} seconds, not {value!r}"
        )
    return math.ceil(seconds * 1000)


def _flag(tool: str, parameter: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"tool {tool!r}: {parameter} is True or False, not {value!r}")
    return value


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    timeout: float | timedelta | None = None,
    hard_limit: float | timedelta | None = None,
    idempotent: bool = False,
    deterministic: bool = False,
    blocking: bool = False,
    thread_sensitive: bool = False,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None, /, *, name: str | None = None, **facts: Any
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Makes a function a tool, under its own name or `name`.

    What its author knows of it, and the host acts on (an annotation of the host's own contract goes before):

    - `timeout`: seconds, or a timedelta, that a call may run before it is cancelled.
    - `hard_limit`: seconds after which a call that still runs costs its worker; not before `timeout`.
    - `idempotent`: running it twice does what running it once does, so it may be tried again after a crash.
    - `deterministic`: the same arguments give the same result.
    - `blocking`: it may wait in native code that holds the interpreter lock; silence alone is then no hang.
    - `thread_sensitive`: it runs on the main thread only, whatever the worker's concurrency.

    Raises TypeError for what is no function and for values of a wrong type, ValueError for limits that cannot be meant.

    >>> @tool(name="math.add", timeout=2.5, idempotent=True)
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> add(1, 2), add.name, add.timeout_ms
    (3, 'math.add', 2500)
    """
    if function is not None:
        return Tool(function, getattr(function, "__name__", repr(function)))
    if unknown := facts.keys() - _FACTS:
        raise TypeError(f"@tool has no {', '.join(sorted(unknown))}; it has name, {', '.join(sorted(_FACTS))}")
    return lambda decorated: Tool(decorated, decorated.__name__ if name is None else name, **facts)


_FACTS = frozenset(inspect.signature(Tool.__init__).parameters) - {"self", "function", "name"}
