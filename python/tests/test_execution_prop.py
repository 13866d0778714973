"""Generated interleavings of all that a host may say, against tools of every kind, in every lane."""

from __future__ import annotations

import asyncio
import collections
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from executor_host import OUTCOMES, PATIENCE, ExecutorHost, Spoken, executing
from snakepit import Tool, current, tool

RUNS = 250  # some two seconds
STEPS = 60


class Counted:
    """Tools of every kind that count how often a call has run, and leave soon."""

    def __init__(self) -> None:
        self.ran: collections.Counter[int] = collections.Counter()
        self.main: set[str] = set()

        def note() -> None:
            self.ran[current().id] += 1

        @tool
        def quick() -> None:
            note()

        @tool
        def polite() -> None:
            note()
            for _ in range(20):
                current().raise_if_cancelled()
                time.sleep(0)

        @tool(thread_sensitive=True)
        def sensitive() -> None:
            note()
            self.main.add(threading.current_thread().name)

        @tool
        async def naps(times: int = 3) -> None:
            note()
            for _ in range(times):
                await asyncio.sleep(0)

        @tool
        def many(to: int = 5) -> Iterator[int]:
            note()
            yield from range(to)

        @tool
        async def many_later(to: int = 5) -> AsyncIterator[int]:
            note()
            for n in range(to):
                await asyncio.sleep(0)
                yield n

        @tool
        def fed(numbers: Iterator[int]) -> int:
            note()
            return sum(numbers)

        @tool
        async def fed_later(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
            note()
            async for number in numbers:
                yield number

        @tool
        def fails() -> None:
            note()
            raise LookupError

        self.tools: list[Tool[..., Any] | None] = [
            *(quick, polite, sensitive, naps, many, many_later, fed, fed_later, fails),
            None,
        ]


class Interleaving:
    """One seed's worth of a host's life: what it says is drawn, what comes of it is held to the laws."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.counted = Counted()
        self.concurrency = self.draw.choice([1, 1, 2, 4])
        self.sessions = [Spoken(), Spoken()]
        self.submitted: dict[int, tuple[Spoken, Tool[..., Any] | None]] = {}
        self.holds = 0
        self.repeated: collections.Counter[int] = collections.Counter()

    def run(self) -> None:
        with executing(self.concurrency, ["math:*"], started=self.draw.random() < 0.7) as host:
            for _ in range(STEPS):
                self._say(host)
            if not host.main.ident:
                host.start()
            if self.draw.random() < 0.3:
                host.executor.drain()
            self._let_end(host)
        self._hold_to_the_laws(host)

    def _say(self, host: ExecutorHost) -> None:
        known = list(self.submitted)
        id = self.draw.choice(known) if known else 0
        match self.draw.choices(
            ["submit", "repeat", "cancel", "credit", "input", "end", "abandon", "hold", "rehearse", "yield"],
            [10, 1, 3, 5, 5, 3, 0.2, 0.2, 0.3, 2],
        )[0]:
            case "submit":
                self._submit(host, len(self.submitted) + 1)
            case "repeat" if id:
                self.repeated[id] += 1
                self._submit(host, id)
            case "cancel":
                host.executor.cancel(id)
            case "credit":
                host.executor.give_credit(id, self.draw.randint(1, 3))
            case "input":
                host.executor.give_input(id, msgspec.msgpack.encode(self.draw.choice([1, 2, "misfit"])))
            case "end":
                host.executor.end_input(id, self.draw.choice(["", "", "broke"]))
            case "abandon":
                host.executor.abandon(self.draw.choice(self.sessions))
            case "hold":
                self.holds += 1
                host.executor.hold(self.draw.choice(self.sessions))
            case "rehearse":
                host.executor.rehearse()
            case "yield":
                time.sleep(0)

    def _submit(self, host: ExecutorHost, id: int) -> None:
        drawn = self.draw.choice(self.counted.tools)
        said, chosen = self.submitted.setdefault(id, (self.draw.choice(self.sessions), drawn))
        host.submit(
            chosen,
            id=id,
            outbox=said,
            function="" if chosen else self.draw.choice(["math:pi", "os:getpid", "math:sqrt"]),
            credit=self.draw.choice([0, 1, 100]),
            skip=self.draw.choice([0, 0, 2]),
            seconds=self.draw.choice([None, None, 30, 0.001, -1]),
        )

    def _let_end(self, host: ExecutorHost) -> None:
        """What a host does in the end for all that goes on: it cancels, or gives credit and ends the inputs."""
        for id in self.submitted:
            if self.draw.random() < 0.3:
                host.executor.cancel(id)
                continue
            host.executor.give_credit(id, 1000)
            host.executor.end_input(id, "")
        until = time.monotonic() + PATIENCE
        while not all(self._outcomes(id) for id in self.submitted):
            assert time.monotonic() < until, [id for id in self.submitted if not self._outcomes(id)]
            time.sleep(0.0005)

    def _outcomes(self, id: int) -> list[str]:
        said, _ = self.submitted[id]
        return [kind for kind, of, _ in list(said.all) if of == id and kind in OUTCOMES]

    def _hold_to_the_laws(self, host: ExecutorHost) -> None:
        for id, (said, chosen) in self.submitted.items():
            kinds = [kind for kind, of, _ in said.all if of == id]
            outcomes = self._outcomes(id)
            # one for each time it was given; at most one of them of a run
            assert len(outcomes) == 1 + self.repeated[id], (id, kinds)
            assert kinds.count("started") <= 1
            assert self.counted.ran[id] <= 1
            assert self.counted.ran[id] <= kinds.count("started"), "it ran, and that it started was not said"
            if chosen is not None and "started" in kinds:
                assert self.counted.ran[id] == 1 or kinds[-1] == "cancelled"
            if "item" in kinds or "want" in kinds:
                assert kinds.index("started") < min(kinds.index(kind) for kind in {"item", "want"} & set(kinds))
            if not self.repeated[id]:
                assert kinds[-1] == outcomes[0], "something was said of it after its outcome"
        assert self.counted.main <= {host.main.name}
        if self.holds == 1:
            for said in self.sessions:
                kinds = [kind for kind, *_ in said.all]
                assert "drained" not in kinds or set(kinds[kinds.index("drained") :]) <= {"drained", "declined"}


@pytest.mark.parametrize("part", range(5))
def test_every_call_has_one_outcome_and_nothing_runs_twice(part: int) -> None:
    for seed in range(part * RUNS // 5, (part + 1) * RUNS // 5):
        try:
            Interleaving(seed).run()
        except AssertionError as problem:
            problem.add_note(f"Interleaving({seed}).run() shows it again, as far as threads repeat themselves")
            raise
