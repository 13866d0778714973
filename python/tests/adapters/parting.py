"""An adapter with something to do at the end, and state of its own at the start."""

import atexit
import ctypes
import os
import random
import subprocess
import sys
import time

import numpy as np

from snakepit import tool

print("half a line", end="")


@atexit.register
def part() -> None:
    with open(os.environ["PARTING"], "a") as file:
        file.write(f"{os.getpid()}\n")


@tool
def add(a: int, b: int = 1) -> int:
    return a + b


@tool
def draw() -> list[float]:
    return [random.random(), float(np.random.random())]


@tool
def say(text: str) -> None:
    print(text)
    print(text, file=sys.stderr)


@tool
def daemon() -> int:
    """A double fork into a session of its own, without exec; its pid."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if (pid := os.fork()) == 0:
            time.sleep(1000)
        os.write(writing, str(pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(reading, 16))


@tool
def inherited() -> str:
    return subprocess.run(["env"], capture_output=True, text=True, check=True).stdout


@tool
def crash() -> None:
    ctypes.string_at(0)
