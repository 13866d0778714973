"""What the Reaper holds for a process that it has made for the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from snakepit_reaper.births import Births
from snakepit_reaper.cgroup import Cgroup
from snakepit_reaper.lines import Lines


@dataclass(eq=False)
class Pipe:
    """The reading end of what a worker writes; `accept` gets its lines."""

    file: IO[bytes]
    lines: Lines
    accept: Callable[[bytes], None]


@dataclass(eq=False)
class Worker:
    """A worker, or a forkserver, and what the Reaper holds for it, from `spawned` to `gone`."""

    id: str
    pid: int
    oom_kills: int
    """How many there were when it started; those that were told of another worker are added."""
    pipes: list[Pipe] = field(default_factory=list)
    status_lines: int = 0
    exited: bool = False
    empty_looks: int = 0
    sent: str | None = None
    disowned: bool = False
    """The host has been told that it does not exist, and hears no more of it."""
    cgroup: Cgroup | None = None
    births: Births | None = None
