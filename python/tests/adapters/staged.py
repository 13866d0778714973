"""An adapter class that says in $STAGED what its hooks do, and tools of every kind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import snakepit

LOADED_IN = os.getpid()


def say(what: str) -> None:
    with open(os.environ["STAGED"], "a") as file:
        file.write(f"{what}\n")


@snakepit.adapter
class Staged:
    async def on_start(self) -> None:
        if os.environ.get("REFUSE"):
            raise OSError("the device is not there")
        self.started_in = os.getpid()
        say("start")

    def on_stop(self) -> None:
        say("stop")

    @snakepit.tool(timeout=1.5, hard_limit=2, idempotent=True, deterministic=True, blocking=True)
    def pids(self) -> list[int]:
        return [LOADED_IN, self.started_in, os.getpid()]

    @snakepit.tool
    async def meet(self, names: AsyncIterator[str]) -> list[str]:
        return [name async for name in names]

    @snakepit.tool(thread_sensitive=True)
    def total(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    @snakepit.tool
    def hold(self, path: str) -> str:
        with open(path) as fifo:
            text = fifo.read()
        say("held")
        return text

    @snakepit.tool
    async def forever(self) -> None:
        await asyncio.Event().wait()

    @snakepit.tool
    async def vanish(self, awaits: bool) -> None:
        if awaits:
            await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGKILL)
