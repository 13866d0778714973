"""Tools that a Snakepit worker serves.

An adapter is a module with tools in it. The worker imports it and serves every tool that it finds by name:

    from collections.abc import Iterator

    from snakepit import tool


    @tool
    def add(a: int, b: int) -> int:
        return a + b


    @tool
    def count(to: int) -> Iterator[int]:
        yield from range(to)

A plain function answers once, a generator function streams. Arguments arrive by name and are checked against the
annotations; results leave as MessagePack. Whatever a tool raises reaches the caller as a typed error, and the worker
lives on.
"""

from snakepit._payload import InvalidArguments
from snakepit._tool import Tool, tool

__all__ = ["InvalidArguments", "Tool", "tool"]
