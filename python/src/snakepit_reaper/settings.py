"""What the host asks for a worker beyond its command: given to the process from outside, before it gets its secret."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from typing import NamedTuple

OOM_STEP = 500  # the kernel shall prefer a worker to the host, and what offers itself (1000) to a worker
OOM_MOST = 1000  # where the kernel's scale ends; a Kubernetes pod without requests is there already


class Settings(NamedTuple):
    """A nice level, an OOM score, resource limits by name (both soft and hard), and a cgroup folder to make one in."""

    nice: int | None
    oom_score_adj: int | None
    """None: OOM_STEP above the Reaper's own, which is the host's."""
    limits: dict[str, int]
    cgroup: str | None

    @classmethod
    def of(cls, value: object) -> Settings:
        """From the `settings` of a command; raises ValueError for what cannot be meant."""
        if value is None:
            return cls(None, None, {}, None)
        match value:
            case {**fields}:
                limits = fields.pop("rlimits", None) or {}
                cgroup = fields.pop("cgroup", None)
                nice = fields.pop("nice", None)
                score = fields.pop("oom_score_adj", None)
            case _:
                raise ValueError(f"settings is an object, not {value!r}")
        if fields:
            raise ValueError(
                f"settings has no {', '.join(map(str, fields))}; it has nice, oom_score_adj, rlimits and cgroup"
            )
        if not isinstance(limits, dict):
            raise ValueError(f"settings.rlimits is an object of names and numbers, not {limits!r}")
        for name, limit in limits.items():
            if not hasattr(resource, f"RLIMIT_{name}") or not isinstance(limit, int) or limit < 0:
                raise ValueError(f"settings.rlimits.{name}: {limit!r}; RLIMIT_{name} is unknown, or that is no limit")
        if not isinstance(nice, int | None) or not isinstance(score, int | None):
            raise ValueError(f"settings.nice and settings.oom_score_adj are integers, not {nice!r} and {score!r}")
        if not isinstance(cgroup, str | None) or not os.path.isabs(cgroup or "/"):
            raise ValueError(f"settings.cgroup is an absolute folder, not {cgroup!r}")
        return cls(nice, score, limits, cgroup)

    def apply(self, pid: int) -> Iterator[str]:
        """Applies all but the cgroup to a living process; yields, in words, what could not be."""
        wanted = self.oom_score_adj
        try:
            if wanted is None:
                with open("/proc/self/oom_score_adj") as own:
                    wanted = min(int(own.read()) + OOM_STEP, OOM_MOST)
            with open(f"/proc/{pid}/oom_score_adj", "w") as score:
                score.write(str(wanted))
        except (FileNotFoundError, ProcessLookupError):
            pass  # no /proc, or the process has ended already
        except OSError as problem:
            yield f"oom_score_adj {wanted} ({problem.strerror}; below the host's own it needs CAP_SYS_RESOURCE)"
        if self.nice is not None:
            try:
                os.setpriority(os.PRIO_PROCESS, pid, self.nice)
            except ProcessLookupError:
                pass
            except OSError as problem:
                yield f"nice level {self.nice} ({problem.strerror}; below the host's own it needs CAP_SYS_NICE)"
        for name, limit in self.limits.items():
            try:
                resource.prlimit(pid, getattr(resource, f"RLIMIT_{name}"), (limit, limit))
            except ProcessLookupError:
                pass
            except AttributeError:
                yield f"RLIMIT_{name} {limit} (this system has no prlimit)"
            except (OSError, ValueError, OverflowError) as problem:
                yield f"RLIMIT_{name} {limit} ({problem}; above the Reaper's own hard limit it needs CAP_SYS_RESOURCE)"


def raise_file_limit() -> tuple[int, int]:
    """Lets this process open as many files as it may, three for every worker; the limits as they were."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says "unlimited" and refuses it
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


def restore_file_limit(before: tuple[int, int]) -> None:
    """Gives a child the limits as they were: a program that uses select() may not survive high ones."""
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
