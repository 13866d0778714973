"""Payloads in pieces: what is large in a result is written from where it lies, not copied together first."""

from __future__ import annotations

from collections.abc import Sequence

SHARED_BYTES = 64 * 1024  # from here on a segment of shared memory is faster than a frame (measured: 2 times at 64 KiB)

Buffer = bytes | bytearray | memoryview


class Pieces:
    """The bytes of a payload, one piece after the other. A memoryview among them counts bytes."""

    __slots__ = ("_length", "parts")

    def __init__(self, parts: Sequence[Buffer]) -> None:
        self.parts = parts
        self._length = sum(map(len, parts))

    def __len__(self) -> int:
        return self._length


Encoded = bytes | Pieces


def whole(payload: Encoded) -> bytes:
    """The payload in one piece."""
    return payload if isinstance(payload, bytes) else b"".join(payload.parts)
