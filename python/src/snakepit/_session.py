"""What host and worker have in common over one stream after another: where each of them is.

Hello, a new session ──▶ with a stream ◀──────────────── Hello, resume
                              │  cut: calls go on               │
                              └──────────▶ without a stream ────┘
                              │ a batch cannot be        │ 30 s, or another session comes
                              │ taken in whole           ▼
                              └────────────────────▶ abandoned: what waits is dropped, what runs is cancelled
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol

from snakepit._host import Host
from snakepit._outbox import Outbox
from snakepit._outbox import Stream as Sink
from snakepit._segments import Received, Written

HOLD_SECONDS = 30.0  # far longer than a living host takes to dial again, even one that was held up


class Stream(Sink, Protocol):
    """One Connect."""

    def finish(self, because: str) -> None: ...


@dataclass(slots=True, eq=False)
class Session:
    """One session; `lock` is held while a batch of it is taken in, so that two streams of it never mix."""

    id: int
    max_payload: int
    outbox: Outbox = field(default_factory=Outbox)
    received: Received | None = None
    written: Written | None = None
    host: Host | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    batch: int = 0
    stream: Stream | None = None
    expiry: threading.Timer | None = None
