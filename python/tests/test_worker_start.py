from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from snakepit import _wire
from worker_host import PATIENCE, ROOT, Stream, WorkerProcess, opened


def test_a_worker_that_is_given_another_name_is_listed_by_it(worker: WorkerProcess) -> None:
    for stream in opened(worker.socket):
        stream.send(_wire.HostFrame(rename=_wire.Rename(name="default/7")), _wire.HostFrame(ping=_wire.Ping(id=1)))
        stream.await_frame("pong", 1)
        assert Path(f"/proc/{worker.process.pid}/cmdline").read_text().rstrip("\0") == "snakepit.worker default/7"


def test_ready_says_what_is_served_on_a_private_socket(worker: WorkerProcess) -> None:
    assert worker.status["status"] == "ready"
    assert worker.status["pid"] == worker.process.pid
    assert {"add", "count", "bounded.half"} <= set(worker.status["tools"])
    assert stat.S_IMODE(Path(worker.socket).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("adapter", "stage", "code", "type", "message"),
    [
        ("broken", "import", 78, "RuntimeError", "no model file"),
        ("not_there", "import", 78, "ModuleNotFoundError", "not_there"),
        ("bare", "catalogue", 70, "ValueError", "no tools"),
        ("twins", "catalogue", 70, "ValueError", "two tools are named 'first'"),
    ],
)
def test_what_keeps_it_from_serving_is_told(
    folder: Path, adapter: str, stage: str, code: int, type: str, message: str
) -> None:
    worker = WorkerProcess(folder, adapter)
    try:
        assert worker.exit_code() == code
        assert (worker.status["status"], worker.status["stage"]) == ("failed", stage)
        assert worker.status["exception"]["type"] == type
        assert message in worker.status["exception"]["message"]
        assert worker.status["exception"]["traceback"].startswith("Traceback")
    finally:
        worker.kill()


def test_a_socket_that_cannot_be_bound_is_told(folder: Path) -> None:
    worker = WorkerProcess(folder / "missing")
    try:
        assert worker.exit_code() == 70
        assert worker.status["stage"] == "bind"
        assert "does its folder exist" in worker.status["exception"]["message"]
    finally:
        worker.kill()


@pytest.mark.parametrize("argv", [[], ["--socket", "s", "--adapter", "a", "--name", "n", "--max-payload", "none"]])
def test_wrong_arguments_exit_64(argv: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "snakepit.worker", *argv],
        env={"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 64
    assert "snakepit worker: " in ended.stderr


def test_sigterm_lets_the_running_call_finish_and_declines_the_queued(worker: WorkerProcess, folder: Path) -> None:
    fifo = make_fifo(folder)
    stream = Stream(worker.socket)
    try:
        stream.welcome()
        stream.call(1, "wait_for", path=fifo)
        stream.call(2, "add", a=1)
        stream.ping(1)
        stream.await_frame("pong", 1)  # the calls before it were read: what was not is nobody's to decline
        stream.await_frame("started", 1)
        worker.terminate()
        Path(fifo).write_text("done")
        assert stream.result(1) == "done"
        assert stream.await_frame("failed", 2).failed.declined
        assert not stream.of("started", 2)
        assert worker.exit_code() == 0
    finally:
        stream.close()


def test_sigterm_ends_an_idle_worker(worker: WorkerProcess) -> None:
    worker.terminate()
    assert worker.exit_code() == 0


def make_fifo(folder: Path) -> str:
    path = folder / "fifo"
    os.mkfifo(path)
    return str(path)
