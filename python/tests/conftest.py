"""Fixtures: every process that a test starts is killed by its id when the test ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from reaper_host import ReaperHost
from worker_host import Stream, WorkerProcess, opened

# the machine is shared: an example may take long, and a run may not
settings.register_profile("quick", max_examples=50, deadline=None)
settings.load_profile("quick")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="sp-") as path:
        yield Path(path)


@pytest.fixture
def worker(folder: Path) -> Iterator[WorkerProcess]:
    """A worker of its own, for tests that end it."""
    process = WorkerProcess(folder)
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def shared_worker() -> Iterator[WorkerProcess]:
    """A worker that the tests of a module share, one stream after the other."""
    with tempfile.TemporaryDirectory(prefix="sp-") as path:
        process = WorkerProcess(Path(path))
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def stream(shared_worker: WorkerProcess) -> Iterator[Stream]:
    yield from opened(shared_worker.socket)


def made_cgroup(roots: list[str], needs: str) -> Iterator[Path]:
    """A cgroup below one of the roots that has the file `needs`, removed afterwards."""
    name = f"snakepit-test-{os.getpid()}"
    for root in roots:
        made = Path(root, name)
        try:
            made.mkdir()
        except OSError:
            continue
        try:
            if (made / needs).exists():
                yield made
                return
        finally:
            made.rmdir()
    pytest.skip(f"none of {roots} lets us make a cgroup with {needs}")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of version 2 that is ours to use."""
    yield from made_cgroup(["/sys/fs/cgroup", "/sys/fs/cgroup/unified"], "cgroup.kill")


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A cgroup with at most 64 MiB of memory, and no swap to flee to."""
    for made in made_cgroup(["/sys/fs/cgroup/memory"], "memory.limit_in_bytes"):
        (made / "memory.limit_in_bytes").write_text(str(64 << 20))
        yield made


@pytest.fixture
def reaper() -> Iterator[ReaperHost]:
    host = ReaperHost()
    try:
        yield host
    finally:
        host.kill()
