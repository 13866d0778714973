"""An executor without gRPC: what it says of calls is kept, and its main lane is a thread of the test."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from snakepit import Tool
from snakepit._execution import Executor
from snakepit._functions import Functions
from snakepit._job import Job
from snakepit._pieces import Encoded

PATIENCE = 10.0  # seconds for what comes in milliseconds; only a failing test waits so long
OUTCOMES = frozenset({"done", "raised", "cancelled", "invalid", "unknown", "declined", "too_large"})

Said = tuple[str, int, Any]


class Spoken:
    """What was said, in order: what it is, of which call, and with what."""

    def __init__(self) -> None:
        self.all: list[Said] = []
        self.flushes = 0
        self.micros: dict[int, int] = {}
        self._changed = threading.Condition()

    def __getattr__(self, kind: str) -> Callable[..., None]:
        if kind not in OUTCOMES | {"started", "item", "want", "drained"}:
            raise AttributeError(kind)
        return functools.partial(self._say, kind)

    def flush(self, timeout: float) -> None:
        self.flushes += 1

    def push(self) -> None: ...

    def later(self) -> None: ...

    def done(self, id: int, payload: Encoded, micros: int) -> None:
        self.micros[id] = micros
        self._say("done", id, payload)

    def _say(self, kind: str, id: int = 0, value: Any = None) -> None:
        with self._changed:
            self.all.append((kind, id, value))
            self._changed.notify_all()

    def of(self, kind: str, id: int | None = None) -> list[Any]:
        return [value for said, of, value in list(self.all) if said == kind and id in (None, of)]

    def ids(self, kind: str) -> list[int]:
        return [of for said, of, _ in list(self.all) if said == kind]

    def until(self, holds: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE), f"waited {PATIENCE} s in vain; said: {self.all}"

    def outcome(self, id: int) -> tuple[str, Any]:
        """Waits for the outcome of a call."""
        self.until(lambda: any(of == id and said in OUTCOMES for said, of, _ in self.all))
        return next((said, value) for said, of, value in self.all if of == id and said in OUTCOMES)

    def result(self, id: int) -> Any:
        kind, value = self.outcome(id)
        assert kind == "done", (kind, value)
        return msgspec.msgpack.decode(value)

    def items(self, id: int) -> list[Any]:
        return [msgspec.msgpack.decode(payload) for payload in self.of("item", id)]


class ExecutorHost:
    def __init__(self, concurrency: int, allow: list[str]) -> None:
        self.executor = Executor(concurrency, Functions(allow))
        self.said = Spoken()
        self._id = 0
        self.main = threading.Thread(target=self.executor.run, daemon=True)

    def submit(
        self,
        tool: Tool[..., Any] | None = None,
        /,
        *,
        id: int | None = None,
        credit: int = 0,
        skip: int = 0,
        seconds: float | None = None,
        max_payload: int = 1 << 20,
        outbox: Spoken | None = None,
        session: str = "",
        trace: bytes = b"",
        trace_state: str = "",
        function: str = "",
        **arguments: object,
    ) -> int:
        self._id = self._id + 1 if id is None else id
        job = Job(self._id, tool, msgspec.msgpack.encode(arguments), outbox or self.said, max_payload)
        job.deadline = None if seconds is None else time.monotonic() + seconds
        job.credit, job.skip, job.session = credit, skip, session
        job.trace, job.trace_state, job.function = trace, trace_state, function
        self.executor.submit(job)
        return self._id

    def give(self, id: int, *elements: object) -> None:
        for element in elements:
            self.executor.give_input(id, msgspec.msgpack.encode(element))

    def start(self) -> None:
        self.main.start()

    def stop(self) -> None:
        self.executor.drain()
        self.main.join(PATIENCE)
        assert not self.main.is_alive(), "a call goes on"
        self.executor.loop.close()


@contextmanager
def executing(concurrency: int = 1, allow: list[str] | None = None, *, started: bool = True) -> Iterator[ExecutorHost]:
    """An executor that runs, and is drained afterwards: a test leaves no call going on."""
    host = ExecutorHost(concurrency, allow or [])
    if started:
        host.start()
    try:
        yield host
    finally:
        if not host.main.ident:
            host.start()
        host.stop()
