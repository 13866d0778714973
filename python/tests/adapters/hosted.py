"""Tools that call the host."""

import asyncio
import contextvars
import threading
from typing import Any

import snakepit
from snakepit import current, tool


@tool
def ask(name: str, arguments: dict[str, Any]) -> Any:
    return current().call(name, arguments)


@tool
async def ask_async(name: str, arguments: dict[str, Any]) -> Any:
    return await current().acall(name, arguments)


@tool
async def ask_many(names: list[str]) -> list[Any]:
    return list(await asyncio.gather(*(current().acall(name) for name in names)))


@tool
def ask_from_thread(name: str) -> Any:
    answers: list[Any] = []
    here = contextvars.copy_context()
    thread = threading.Thread(target=here.run, args=(lambda: answers.append(current().call(name)),))
    thread.start()
    thread.join()
    return answers[0]


@tool
async def ask_in_a_loop(name: str) -> Any:
    return current().call(name)


@tool
async def ask_in_a_thread(name: str) -> Any:
    return await asyncio.to_thread(current().call, name)


@tool
def ask_in_a_loop_of_its_own(names: list[str]) -> str:
    """The first that fails; the others are cancelled, and the loop is closed."""

    async def ask_all() -> None:
        await asyncio.gather(*(current().acall(name) for name in names))

    try:
        asyncio.run(ask_all())
    except snakepit.HostCallError as error:
        return error.message
    return "none"


@tool
def ask_and_tell(name: str, arguments: dict[str, Any]) -> list[Any]:
    """What became of it, for people who expect that it fails."""
    try:
        return ["done", current().call(name, arguments)]
    except snakepit.HostToolError as error:
        return [type(error).__name__, error.tag, error.data, error.message]
    except snakepit.HostCallError as error:
        return [type(error).__name__, error.tool, error.message]


@tool
async def ask_for_a_moment(name: str, seconds: float) -> str:
    try:
        await asyncio.wait_for(current().acall(name), seconds)
    except TimeoutError:
        return "too slow"
    return "in time"


@tool
def plain() -> str:
    return "plain"
