"""What host and worker have in common over one stream after another: where each of them is.

Hello, a new session ──▶ with a stream ◀──────────────── Hello, resume
                              │  cut: calls go on               │
                              └──────────▶ without a stream ────┘
                                                 │ 30 s, or another session comes
                                                 ▼
                                             abandoned: what waits is dropped, what runs is cancelled
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field

from snakepit._outbox import Outbox, Writer
from snakepit._segments import Received, Written
from snakepit._wire import ConnectResponse

HOLD_SECONDS = 30.0  # far longer than a living host takes to dial again, even one that was held up


@dataclass(slots=True, eq=False)
class Stream:
    """One Connect, from its first request on."""

    session: Session | None = None
    writer: Writer | None = None
    # Welcome or Refused; None when the stream ends without either
    opening: queue.SimpleQueue[ConnectResponse | None] = field(default_factory=queue.SimpleQueue)
    ended_because: str = ""


@dataclass(slots=True, eq=False)
class Session:
    """One session; `lock` is held while a batch of it is taken in, so that two streams of it never mix."""

    id: int
    max_payload: int
    outbox: Outbox = field(default_factory=Outbox)
    received: Received | None = None
    written: Written | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    batch: int = 0
    stream: Stream | None = None
    expiry: threading.Timer | None = None
