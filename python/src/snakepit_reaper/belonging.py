"""Whose a process is: which of those below the Reaper come from which worker."""

from __future__ import annotations

from collections.abc import Mapping

from snakepit_reaper.processes import Process, children, descendants, marker
from snakepit_reaper.worker import Worker


def belonging(root: int, workers: Mapping[str, Worker]) -> dict[str, list[Process]]:
    """What is below the Reaper `root`, by the id of the worker that it comes from."""
    leaders = {worker.pid: worker.id for worker in workers.values()}
    owners: dict[int, str] = {}
    found_of: dict[str, list[Process]] = {}
    for found in descendants(root):
        # by pid first: a worker forked a moment ago is still in the forkserver's session
        owner = leaders.get(found.pid) or leaders.get(found.session) or leaders.get(found.group)
        if owner is None and (marked := marker(found.pid)) in workers:
            owner = marked
        owner = owner or owners.get(found.parent)
        if owner is not None:
            owners[found.pid] = owner
            found_of.setdefault(owner, []).append(found)
    return found_of


def strangers(root: int, workers: Mapping[str, Worker]) -> bool:
    """Whether a child of `root` is no living leader: what a dead worker leaves behind is, or is below such a one."""
    leaders = {worker.pid for worker in workers.values() if not worker.exited}
    ours = children(root)
    return ours is None or not leaders.issuperset(ours)
