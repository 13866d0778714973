"""What the Reaper holds for a process that it has made for the host."""

from __future__ import annotations

import contextlib
import os
import signal
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
    enclosed: bool | None = None
    """Whether it is in the cgroup that it was to have; None when it was to have none."""
    births: Births | None = None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to its group."""
        # only while the leader is unreaped: until then its number cannot be reused
        if self.exited:
            return
        if number in (signal.SIGTERM, signal.SIGKILL):
            self.sent = number.name.removeprefix("SIG")
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            # forked a moment ago, and no session leader yet
            with contextlib.suppress(OSError):
                os.kill(self.pid, number)
        except OSError:
            pass

    def kill(self) -> None:
        """SIGKILL to its group, and to all that is in its cgroup."""
        self.send(signal.SIGKILL)
        if self.cgroup is not None:
            self.cgroup.kill()
