"""An adapter whose hook holds up a worker that is being born, until the file $GATE is there."""

import os
import time

from snakepit import tool

forks = 0


def hold_up() -> None:
    global forks
    forks += 1
    # the first fork makes a middle process, the second in it the worker
    while forks == 2 and not os.path.exists(os.environ["GATE"]):
        time.sleep(0.005)


os.register_at_fork(after_in_child=hold_up)


@tool
def add(a: int, b: int = 1) -> int:
    return a + b
