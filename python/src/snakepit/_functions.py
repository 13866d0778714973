"""Functions that may be called without being tools: `module:function`, when a pattern of the pool's `allow` permits."""

from __future__ import annotations

import fnmatch
import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from snakepit._spans import instrumented
from snakepit._tool import Tool


class UnknownFunction(LookupError):
    """There is no such function, or it is not allowed; the message says which, and why."""


class Functions:
    """Finds functions by name; each is imported once. `allow`: patterns as `fnmatch` has them, none by default."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._allow = list(allow)
        self._found: dict[str, Tool[..., Any]] = {}

    def known(self, name: str) -> Tool[..., Any] | None:
        """One that was found before."""
        return self._found.get(name)

    def find(self, name: str) -> Tool[..., Any]:
        """Imports what `name` names; raises UnknownFunction."""
        module_name, _, function_name = name.partition(":")
        if not all(part.isidentifier() for part in [*module_name.split("."), function_name]):
            raise UnknownFunction(f"{name!r} names no function: write module:function, as in 'math:sqrt'")
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in self._allow):
            raise UnknownFunction(
                f"{name!r} is not allowed: "
                + (f"it matches none of {self._allow}" if self._allow else "no function is; python.allow is empty")
                + "; add a pattern to python.allow, or make it a tool"
            )
        try:
            found = getattr(importlib.import_module(module_name), function_name)
        except AttributeError:
            raise UnknownFunction(f"{name!r}: module {module_name!r} has no {function_name!r}") from None
        except BaseException as problem:
            raise UnknownFunction(
                f"{name!r}: module {module_name!r} does not import: {type(problem).__name__}: {problem}"
            ) from problem
        try:
            tool = found if isinstance(found, Tool) else Tool(by_name(found), name)
            assert tool.payload is not None  # whether it can be called by name is known now
        except (TypeError, ValueError, NameError) as problem:
            raise UnknownFunction(f"{name!r} cannot be called by the names of its parameters: {problem}") from problem
        return self._found.setdefault(name, instrumented(tool))


def by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, or one that takes by name what it takes by position only, as much of C does."""
    if not callable(function):
        raise TypeError(f"it is no function but {function!r}")
    parameters = inspect.signature(function).parameters.values()
    positional = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY]
    if inspect.isfunction(function) and not positional:
        return function

    @functools.wraps(function)
    def call(**arguments: Any) -> Any:
        return function(*[arguments.pop(name) for name in positional if name in arguments], **arguments)

    # wraps has copied what get_type_hints would follow to what it cannot read
    vars(call).pop("__wrapped__", None)
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in parameters if _is_named(parameter)]
    )
    return call


def _is_named(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
