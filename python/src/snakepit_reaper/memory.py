"""Evidence that the kernel killed for want of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

COUNT = b"oom_kill"


def kills(path: str) -> int | None:
    """The counter `oom_kill` of memory.events, memory.oom_control or /proc/vmstat; None where there is none."""
    try:
        with open(path, "rb") as file:
            for line in file:
                name, _, value = line.partition(b" ")
                if name == COUNT:
                    return int(value)
    except (OSError, ValueError):
        pass
    return None


class OomKills:
    """The most exact counter that covers this process, and so those below it: `evidence` names its source.

    A counter of a cgroup counts the victims in that cgroup, whoever ran out of memory; the Reaper's is shared by all
    its workers, and as a rule by the host. The kernel's counts those of the machine. Another program's victim in
    either may be taken for a worker. `root` is where /proc and /sys are.
    """

    def __init__(self, root: str = "") -> None:
        counters = ((evidence, path) for evidence, path in _counters(root) if kills(path) is not None)
        self.evidence, self._path = next(counters, ("kernel", os.devnull))

    def count(self) -> int:
        return kills(self._path) or 0


def _counters(root: str) -> Iterator[tuple[str, str]]:
    own = _own_cgroups(f"{root}/proc/self/cgroup")
    if "" in own:
        for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            yield "cgroup-shared", f"{root}{mount}{own['']}/memory.events"
    if "memory" in own:
        yield "cgroup-v1", f"{root}/sys/fs/cgroup/memory{own['memory']}/memory.oom_control"
        # in a container the path may be the host's, and what is mounted the container's own
        yield "cgroup-v1", f"{root}/sys/fs/cgroup/memory/memory.oom_control"
    yield "kernel", f"{root}/proc/vmstat"


def _own_cgroups(path: str) -> dict[str, str]:
    """Controller to path, "" for version 2."""
    try:
        with open(path) as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return {}
    return {name: path.rstrip("/") for _, names, path in lines for name in names.split(",")}
