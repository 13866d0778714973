"""A cgroup (version 2) for one worker: nothing in it can leave by itself, and it can be killed as a whole."""

from __future__ import annotations

import contextlib
import os

from snakepit_reaper.memory import kills


class Cgroup:
    """A folder made for one process and all that it starts; raises OSError where that may not be made."""

    def __init__(self, parent: str, name: str, pid: int) -> None:
        self.path = os.path.join(parent, name.replace("/", "."))
        os.mkdir(self.path)
        try:
            self._write("cgroup.procs", str(pid))
        except OSError:
            self.remove()
            raise

    @property
    def populated(self) -> bool:
        """Whether a process that is no zombie is in it, or in a cgroup that one of them made in it."""
        try:
            with open(os.path.join(self.path, "cgroup.events")) as events:
                return "populated 1" in events.read()
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL to everything in it at once, forks in progress included; one by one before Linux 5.14."""
        try:
            self._write("cgroup.kill", "1")
        except OSError:
            for pid in self._pids():
                with contextlib.suppress(OSError):
                    os.kill(pid, 9)

    def oom_kills(self) -> int | None:
        """How many of its processes the kernel killed for memory; None when its parent delegates no memory."""
        return kills(os.path.join(self.path, "memory.events"))

    def remove(self) -> None:
        """Removes the folder, and those that its processes made; raises OSError while anything is in one."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            os.rmdir(folder)

    def _pids(self) -> list[int]:
        try:
            with open(os.path.join(self.path, "cgroup.procs")) as procs:
                return [int(line) for line in procs]
        except OSError:
            return []

    def _write(self, file: str, text: str) -> None:
        # O_WRONLY alone: what is not there must not be made, if this is no cgroup
        fd = os.open(os.path.join(self.path, file), os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
