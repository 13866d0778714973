"""Byte streams, cut into lines."""

from __future__ import annotations

from collections.abc import Iterator


class Lines:
    r"""Splits a byte stream into lines of at most `limit` bytes; a longer one comes in pieces.

    >>> lines = Lines(4)
    >>> list(lines.feed(b"ab\ncdefgh")), list(lines.rest())
    ([b'ab', b'cdef'], [b'gh'])
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        *whole, tail = data.split(b"\n")
        for part in whole:
            self._tail += part
            cut = max(len(self._tail), 1)
            for at in range(0, cut, self._limit):
                yield bytes(self._tail[at : at + self._limit])
            self._tail.clear()
        self._tail += tail
        while len(self._tail) > self._limit:
            yield bytes(self._tail[: self._limit])
            del self._tail[: self._limit]

    def rest(self) -> Iterator[bytes]:
        if self._tail:
            yield bytes(self._tail)
            self._tail.clear()
