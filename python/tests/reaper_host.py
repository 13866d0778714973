"""The host's side of a Reaper, and what an outside observer sees in /proc."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from worker_host import TOKEN

SOURCES = Path(__file__).resolve().parents[1] / "src"
REAPER = SOURCES / "snakepit_reaper" / "__main__.py"
IN_CHECKOUT = (sys.executable, "-I", "-S", str(REAPER))  # as PythonPackage.ts has it
ADAPTERS = Path(__file__).resolve().parent / "adapters"
PATIENCE = 10.0  # seconds for an event that comes in milliseconds; only a failing test waits so long

Event = dict[str, Any]


class ReaperHost:
    """A Reaper and the pids that were seen below it."""

    def __init__(self, *prefix: str, reaper: tuple[str, ...] = IN_CHECKOUT, cwd: Path | None = None) -> None:
        """`prefix` is a command that runs the Reaper's."""
        self.process = subprocess.Popen(
            [*prefix, *reaper],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.events: list[Event] = []
        self.pids: list[int] = []
        self._pending = b""
        self.ready = self.event("ready")

    def write(self, line: bytes) -> None:
        self.stdin.write(line + b"\n")

    def command(self, op: str, id: str, **fields: object) -> None:
        self.write(json.dumps({"op": op, "id": id, **fields}).encode())

    def spawn(self, id: str, *argv: str, settings: object = None, **env: str) -> None:
        environment = {"PATH": os.environ["PATH"], **env}
        self.command("spawn", id, argv=argv, env=environment, cwd="/", secret=TOKEN, settings=settings)

    def python(self, id: str, code: str, settings: object = None) -> int:
        """Spawns a worker that runs `code`, and waits for its pid."""
        self.spawn(id, sys.executable, "-I", "-S", "-c", code, settings=settings)
        return self.pid(id)

    def forkserver(self, id: str = "fork", adapter: str = "shelf", **env: str) -> Event:
        """Starts a forkserver, and waits for its status."""
        self.command(
            "forkserver",
            id,
            argv=[sys.executable, "-m", "snakepit.forkserver", "--adapter", adapter, "--path", str(ADAPTERS)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), **env},
            cwd="/",
        )
        self.pid(id)
        status: Event = self.event("status", id)["status"]
        return status

    def fork(self, id: str, socket: object, via: str = "fork", settings: object = None, **more: object) -> None:
        name = id.partition("#")[0]
        serving = {"max_payload": 1 << 20, "concurrency": 1, "allow": [], **more}
        self.command("fork", id, via=via, socket=str(socket), name=name, secret=TOKEN, settings=settings, **serving)

    def forked(self, id: str, socket: object, via: str = "fork", settings: object = None) -> int:
        """Forks a worker, and waits until it serves."""
        self.fork(id, socket, via, settings)
        pid = self.pid(id)
        assert self.event("status", id)["status"]["status"] == "ready"
        return pid

    def pid(self, id: str) -> int:
        pid: int = self.event("spawned", id)["pid"]
        self.pids.append(pid)
        return pid

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def signal(self, id: str, name: str) -> None:
        self.command("signal", id, signal=name)

    def event(self, kind: str, id: str | None = None) -> Event:
        """The first event of this kind (and id), waited for."""
        until = time.monotonic() + PATIENCE
        while True:
            for event in self.events:
                if event["event"] == kind and id in (None, event.get("id")):
                    return event
            assert self._read(until), f"no {kind} of {id} came; seen: {self.events[-20:]}"

    def output(self, id: str) -> str:
        """The first line that a worker wrote."""
        text: str = self.event("output", id)["text"]
        return text

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["event"] == kind]

    def read_to_end(self) -> None:
        while self._read(time.monotonic() + PATIENCE):
            pass

    def close(self) -> int:
        """Closes the Reaper's stdin, as the death of the host does."""
        self.stdin.close()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        for pipe in (self.stdin, self.stdout):
            pipe.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in self.pids:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)

    def _read(self, until: float) -> bool:
        if not select.select([self.stdout], [], [], max(until - time.monotonic(), 0))[0]:
            return False
        data = os.read(self.stdout.fileno(), 1 << 16)
        *lines, self._pending = (self._pending + data).split(b"\n")
        self.events.extend(json.loads(line) for line in lines)
        return bool(data)


def alive(pid: int) -> bool:
    """Whether /proc shows the process, zombies left out."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def limit(pid: int, name: str) -> list[str]:
    """Soft and hard limit, by their name in /proc."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.removeprefix(name).split()[:2] for line in lines if line.startswith(name))


def await_dead(pids: list[int]) -> None:
    """Waits until none of them is alive; where a pid can be watched, by its handle."""
    until = time.monotonic() + PATIENCE
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([handle], [], [], max(until - time.monotonic(), 0))[0], f"process {pid} lives on"
        finally:
            os.close(handle)
