"""Fixtures: every process that a test starts is killed by its id when the test ends."""

from __future__ import annotations

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


@pytest.fixture
def reaper() -> Iterator[ReaperHost]:
    host = ReaperHost()
    try:
        yield host
    finally:
        host.kill()
