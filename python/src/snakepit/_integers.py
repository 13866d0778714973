"""Whole numbers that the host could not tell from floats.

JavaScript has one kind of number, and what it writes beyond 32 bits arrives as a MessagePack float.
"""

from __future__ import annotations

from typing import Any

WRITTEN = 2**31  # below it JavaScript's codec writes an integer
EXACT = 2**53  # beyond it a JavaScript number is no longer one integer


def with_integers(value: Any) -> Any:
    """The same with integers for floats that may be such.

    >>> with_integers({"seed": 1099511627776.0, "rates": [0.5, 2.0]})
    {'seed': 1099511627776, 'rates': [0.5, 2.0]}
    """
    match value:
        case float() if WRITTEN <= abs(value) <= EXACT and value.is_integer():
            return int(value)
        case list():
            return [with_integers(item) for item in value]
        case dict():
            return {key: with_integers(item) for key, item in value.items()}
        case _:
            return value
