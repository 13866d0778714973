"""How a type is named to people and on the wire."""

from __future__ import annotations


def qualified_name(named: type) -> str:
    """Module and name, `builtins.` left out.

    >>> qualified_name(ValueError)
    'ValueError'
    """
    module = named.__module__
    return named.__qualname__ if module == "builtins" else f"{module}.{named.__qualname__}"
