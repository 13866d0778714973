"""The Reaper: one small process per pool that owns every worker of it.

Run as a program (`python -I -S reaper.py`), never imported by the worker; standard library only, one thread.

    host ── commands, one JSON object a line ──▶ stdin   ┌────────┐  spawns, signals, reaps
    host ◀── events, one JSON object a line ─── stdout   │ Reaper │──┬── worker ── whatever it started
                                                         └────────┘  └── worker ── …

    command                                        event
    {"op":"spawn","id","argv","env","cwd",         {"event":"ready","pid","subreaper"}
     "secret"}                                     {"event":"spawned","id","pid","started"}
    {"op":"signal","id","signal":"TERM"}           {"event":"spawn_failed","id","errno","message"}
    end of file: sweep                             {"event":"status","id","status":{…}}
                                                   {"event":"output","id","stream","text"}
                                                   {"event":"dropped","lines"}
                                                   {"event":"exited","id","pid","code","signal"}
                                                   {"event":"gone","id"}
                                                   {"event":"error","message"}

*Spawn* starts `argv` in a session of its own, tied to the Reaper by PR_SET_PDEATHSIG, with `secret` as the only line
of its stdin and a pipe for status lines whose number is in SNAKEPIT_STATUS_FD. *Exited* means that the worker's first
process was reaped; what it left behind is then killed, and *gone* means that /proc shows nothing of it any more.
*Sweep* (end of file on stdin, a broken stdout, SIGTERM, SIGINT, SIGHUP) kills everything below the Reaper until
nothing is left, and exits 0.

A process belongs to a worker when it is in the worker's session or group, carries SNAKEPIT_WORKER=<id> in the
environment it was started with, or descends from one that does. The Reaper is a subreaper, so a process that outlives
its parent becomes a child of the Reaper and cannot leave. One that clears its environment, starts a session and then
outlives its worker is nobody's: it lives until the sweep.

Where there is no /proc (macOS), a worker is its process group and `ready` says `"subreaper": false`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

LINE_BYTES = 8 * 1024  # a longer output line arrives in pieces of this size
STATUS_BYTES = 64 * 1024  # a status line holds at most one cut traceback
STATUS_LINES = 64  # status is never dropped, so a worker may only write so much of it
COMMAND_BYTES = 8 * 1024 * 1024  # an environment can reach 2 MiB on Linux; JSON may escape it
BACKLOG_BYTES = 1024 * 1024  # beyond this, output lines of workers are dropped and counted
READ_BYTES = 64 * 1024  # the capacity of a pipe
OOM_SCORE = 500  # the kernel shall prefer a worker to the host
PARTING_SECONDS = 1.0  # for a host that still reads the last events
PATIENCE = (0.001, 0.1)  # seconds between looks at /proc while something dies, doubling from first to last

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


class Lines:
    r"""Splits a byte stream into lines of at most `limit` bytes; a longer one comes in pieces.

    >>> lines = Lines(4)
    >>> list(lines.feed(b"ab\ncdefgh")), list(lines.rest())
    ([b'ab', b'cdef'], [b'gh'])
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        *whole, tail = data.split(b"\n")
        for part in whole:
            self._tail += part
            cut = max(len(self._tail), 1)
            for at in range(0, cut, self._limit):
                yield bytes(self._tail[at : at + self._limit])
            self._tail.clear()
        self._tail += tail
        while len(self._tail) > self._limit:
            yield bytes(self._tail[: self._limit])
            del self._tail[: self._limit]

    def rest(self) -> Iterator[bytes]:
        if self._tail:
            yield bytes(self._tail)
            self._tail.clear()


class Events:
    """Events on their way to the host: never blocks, drops nothing but output lines."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.broken = False
        self._backlog = bytearray()
        self._dropped = 0
        os.set_blocking(fd, False)

    @property
    def waiting(self) -> bool:
        return bool(self._backlog) and not self.broken

    def emit(self, event: str, **fields: object) -> None:
        if event == "output" and len(self._backlog) > BACKLOG_BYTES:
            self._dropped += 1
            return
        self._backlog += json.dumps({"event": event, **fields}).encode() + b"\n"

    def flush(self) -> None:
        while self.waiting:
            try:
                written = os.write(self.fd, self._backlog[:READ_BYTES])
            except BlockingIOError:
                return
            except OSError:
                self.broken = True
                return
            del self._backlog[:written]
            if self._dropped and len(self._backlog) < BACKLOG_BYTES // 2:
                dropped, self._dropped = self._dropped, 0
                self.emit("dropped", lines=dropped)


class Process(NamedTuple):
    """One process as /proc/<pid>/stat shows it; `started` is in clock ticks since boot."""

    pid: int
    parent: int
    group: int
    session: int
    started: int


def process(pid: int) -> Process | None:
    """The process now behind `pid`, zombies included; None when there is none or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    # a zombie stays in: its first thread may be dead while others run
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])) if fields else None


def descendants(root: int) -> list[Process]:
    """Every process below `root`, parents before children."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    children: dict[int, list[Process]] = {}
    for found in map(process, pids):
        if found is not None:
            children.setdefault(found.parent, []).append(found)
    below = list(children.get(root, ()))
    for parent in below:
        below.extend(children.get(parent.pid, ()))
    return below


def marker(pid: int) -> str | None:
    """The SNAKEPIT_WORKER that the process was started with."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            entries = environ.read().split(b"\0")
    except OSError:
        return None
    key = b"SNAKEPIT_WORKER="
    return next((os.fsdecode(entry[len(key) :]) for entry in entries if entry.startswith(key)), None)


def kill(target: Process) -> None:
    """SIGKILL to exactly this process: a pid that was reused in the meantime is left alone."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(target.pid)
        try:
            now = process(target.pid)
            if now is not None and now.started == target.started:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def signal_name(number: int) -> str:
    """SIGKILL for 9; SIG40 for a real-time signal, which has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def no_json(constant: str) -> None:
    """Python's json reads NaN and Infinity; the host's does not."""
    raise ValueError(f"{constant} is no JSON")


@dataclass(eq=False)
class Pipe:
    """The reading end of what a worker writes; `accept` gets its lines."""

    file: IO[bytes]
    lines: Lines
    accept: Callable[[bytes], None]


@dataclass(eq=False)
class Worker:
    """A worker and what the Reaper holds for it, from `spawned` to `gone`."""

    id: str
    pid: int
    pipes: list[Pipe] = field(default_factory=list)
    status_lines: int = 0
    exited: bool = False
    empty_looks: int = 0


class Reaper:
    """The loop: commands in, events out, and nothing below that outlives it."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = Events(events)
        self._lines = Lines(COMMAND_BYTES)
        self._pid = os.getpid()
        self._workers: dict[str, Worker] = {}
        self._selector = selectors.PollSelector()
        self._patience = PATIENCE[0]
        self._sweep_asked = False
        self._subreaper = sys.platform == "linux" and libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

    def serve(self) -> None:
        """Serves the host until there is a reason to sweep, then sweeps."""
        self._watch_signals()
        os.set_blocking(self._commands, False)
        self._selector.register(self._commands, selectors.EVENT_READ, self._read_commands)
        self._events.emit("ready", pid=self._pid, subreaper=self._subreaper)
        while not (self._sweep_asked or self._events.broken):
            self._events.flush()
            self._await()
            self._reap()
            self._chase()
        self.sweep()

    def sweep(self) -> None:
        """Kills everything below until two looks in a row at /proc find nothing."""
        empty_looks = 0
        self._patience = PATIENCE[0]
        while empty_looks < 2:
            for worker in self._workers.values():
                if not worker.exited:
                    self._signal_group(worker, signal.SIGKILL)
            left = descendants(self._pid)
            for found in left:
                kill(found)
            self._reap()
            waiting = left or any(not worker.exited for worker in self._workers.values())
            empty_looks = 0 if waiting else empty_looks + 1
            if waiting:
                self._pause()
        for worker in list(self._workers.values()):
            self._gone(worker)
        self._part()

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _watch_signals(self) -> None:
        def ask_sweep(*_: object) -> None:
            self._sweep_asked = True

        self._wake, wake_writer = os.pipe()
        for fd in (self._wake, wake_writer):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(asked, ask_sweep)
        self._selector.register(self._wake, selectors.EVENT_READ, self._drain_wake)

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, READ_BYTES)

    def _await(self) -> None:
        dying = any(worker.exited for worker in self._workers.values())
        registered = self._events.fd in self._selector.get_map()
        if self._events.waiting and not registered:
            self._selector.register(self._events.fd, selectors.EVENT_WRITE, self._events.flush)
        elif registered and not self._events.waiting:
            self._selector.unregister(self._events.fd)
        for key, _ in self._selector.select(self._next_patience() if dying else None):
            key.data()

    def _next_patience(self) -> float:
        now, self._patience = self._patience, min(self._patience * 2, PATIENCE[1])
        return now

    def _pause(self) -> None:
        self._events.flush()
        select.select([self._wake], [], [], self._next_patience())
        self._drain_wake()

    def _part(self) -> None:
        until = time.monotonic() + PARTING_SECONDS
        self._events.flush()
        while self._events.waiting and time.monotonic() < until:
            select.select([], [self._events.fd], [], until - time.monotonic())
            self._events.flush()

    # -- commands --------------------------------------------------------------------------------------------------

    def _read_commands(self) -> None:
        try:
            data = os.read(self._commands, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            # Node's pipes are sockets: one that closes with events unread resets instead of ending
            data = b""
        if not data:
            self._sweep_asked = True
            return
        for line in self._lines.feed(data):
            self._command(line)

    def _command(self, line: bytes) -> None:
        try:
            command = json.loads(line)
            match command:
                case {"op": "spawn", "id": str(id), "argv": [str(), *_], "env": dict(), "cwd": str(), "secret": str()}:
                    self._spawn(id, command)
                case {"op": "signal", "id": str(id), "signal": str(name)}:
                    self._signal(id, getattr(signal.Signals, f"SIG{name}"))
                case {"op": op}:
                    raise ValueError(f"op {op!r} is unknown or lacks a field; known: spawn, signal")
                case _:
                    raise ValueError("a command is a JSON object with a field op")
        except (ValueError, AttributeError, RecursionError) as problem:
            self._events.emit("error", message=f"command of {len(line)} bytes not understood: {problem}")

    def _spawn(self, id: str, command: dict[str, Any]) -> None:
        try:
            secret = command["secret"].encode() + b"\n"
            if id in self._workers:
                raise OSError(errno.EEXIST, f"worker {id!r} is not gone yet")
            if len(secret) > select.PIPE_BUF:
                raise OSError(errno.E2BIG, f"the secret has {len(secret)} bytes, a pipe takes {select.PIPE_BUF}")
            popen, status = self._start(id, command)
        except (OSError, ValueError, TypeError, subprocess.SubprocessError) as problem:
            number = getattr(problem, "errno", None) or errno.EINVAL
            self._events.emit("spawn_failed", id=id, errno=number, message=f"{command['argv'][0]}: {problem}")
            return
        worker = Worker(id, popen.pid)
        self._workers[id] = worker
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        with contextlib.suppress(OSError):
            os.write(popen.stdin.fileno(), secret)
        popen.stdin.close()
        self._relay(worker, popen.stdout, LINE_BYTES, self._output(worker, "stdout"))
        self._relay(worker, popen.stderr, LINE_BYTES, self._output(worker, "stderr"))
        self._relay(worker, status, STATUS_BYTES, lambda line: self._status(worker, line))
        popen.returncode = 0  # from here on waitpid is ours: keeps Popen from reaping behind our back
        started = process(worker.pid)
        self._events.emit("spawned", id=id, pid=worker.pid, started=started.started if started else 0)

    def _start(self, id: str, command: dict[str, Any]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        status, status_writer = os.pipe()
        reaper = self._pid

        def tie_to_reaper() -> None:
            if sys.platform == "linux":
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            # the Reaper may have died before the call above
            if os.getppid() != reaper:
                os._exit(70)
            with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
                score.write(str(OOM_SCORE))

        try:
            popen = subprocess.Popen(
                command["argv"],
                env={
                    "SNAKEPIT_REAPER_PID": str(reaper),
                    **command["env"],
                    "SNAKEPIT_WORKER": id,
                    "SNAKEPIT_STATUS_FD": str(status_writer),
                },
                cwd=command["cwd"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=(status_writer,),
                preexec_fn=tie_to_reaper,  # noqa: PLW1509  there is one thread
            )
        except BaseException:
            os.close(status)
            raise
        finally:
            os.close(status_writer)
        return popen, os.fdopen(status, "rb", buffering=0)

    def _signal(self, id: str, number: signal.Signals) -> None:
        worker = self._workers.get(id)
        if worker is None:
            return  # the host has not read its `gone` yet
        if not worker.exited:
            self._signal_group(worker, number)
        if number == signal.SIGKILL:
            for found in self._belonging().get(id, ()):
                kill(found)

    def _signal_group(self, worker: Worker, number: signal.Signals) -> None:
        # only while the leader is unreaped: until then its number cannot be reused
        with contextlib.suppress(OSError):
            os.killpg(worker.pid, number)

    # -- what workers write ----------------------------------------------------------------------------------------

    def _relay(self, worker: Worker, file: IO[bytes], limit: int, accept: Callable[[bytes], None]) -> None:
        pipe = Pipe(file, Lines(limit), accept)
        os.set_blocking(file.fileno(), False)
        worker.pipes.append(pipe)
        self._selector.register(file, selectors.EVENT_READ, lambda: self._read(worker, pipe))

    def _read(self, worker: Worker, pipe: Pipe) -> None:
        try:
            data = os.read(pipe.file.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        for line in pipe.lines.feed(data):
            pipe.accept(line)
        if not data:
            self._close(worker, pipe)

    def _close(self, worker: Worker, pipe: Pipe) -> None:
        for line in pipe.lines.rest():
            pipe.accept(line)
        self._selector.unregister(pipe.file)
        pipe.file.close()
        worker.pipes.remove(pipe)

    def _output(self, worker: Worker, stream: str) -> Callable[[bytes], None]:
        return lambda line: self._events.emit(
            "output", id=worker.id, stream=stream, text=line.decode("utf-8", "replace").rstrip("\r")
        )

    def _status(self, worker: Worker, line: bytes) -> None:
        worker.status_lines += 1
        if worker.status_lines > STATUS_LINES:
            return
        try:
            self._events.emit("status", id=worker.id, status=json.loads(line, parse_constant=no_json))
        except (ValueError, RecursionError) as problem:
            self._events.emit("error", message=f"worker {worker.id!r} wrote a status that is no JSON line: {problem}")

    # -- what dies -------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        leaders = {worker.pid: worker for worker in self._workers.values() if not worker.exited}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in leaders:
                self._exited(leaders[pid], os.waitstatus_to_exitcode(status))

    def _exited(self, worker: Worker, result: int) -> None:
        worker.exited = True
        self._patience = PATIENCE[0]
        if not self._subreaper:
            with contextlib.suppress(OSError):
                os.killpg(worker.pid, signal.SIGKILL)
        self._read_last(worker)
        code, name = (result, None) if result >= 0 else (None, signal_name(-result))
        self._events.emit("exited", id=worker.id, pid=worker.pid, code=code, signal=name)

    def _read_last(self, worker: Worker) -> None:
        for pipe in list(worker.pipes):
            # once is what a pipe holds; more could be an heir of the worker that never stops writing
            self._read(worker, pipe)

    def _belonging(self) -> dict[str, list[Process]]:
        leaders = {worker.pid: worker.id for worker in self._workers.values()}
        owners: dict[int, str] = {}
        belonging: dict[str, list[Process]] = {}
        for found in descendants(self._pid):
            owner = leaders.get(found.session) or leaders.get(found.group)
            if owner is None and (marked := marker(found.pid)) in self._workers:
                owner = marked
            owner = owner or owners.get(found.parent)
            if owner is not None:
                owners[found.pid] = owner
                belonging.setdefault(owner, []).append(found)
        return belonging

    def _chase(self) -> None:
        dying = [worker for worker in self._workers.values() if worker.exited]
        while dying:
            belonging = self._belonging()
            for worker in dying:
                left = belonging.get(worker.id, [])
                for found in left:
                    kill(found)
                # one look is not enough: a process that forks and dies while we read can hide its child from it
                worker.empty_looks = 0 if left else worker.empty_looks + 1
                if worker.empty_looks == 2:
                    self._gone(worker)
            dying = [worker for worker in dying if worker.empty_looks == 1]

    def _gone(self, worker: Worker) -> None:
        self._read_last(worker)
        for pipe in list(worker.pipes):
            self._close(worker, pipe)
        del self._workers[worker.id]
        self._events.emit("gone", id=worker.id)


def main() -> int:
    """Serves stdin and stdout; exits 0 after a sweep, 70 after one that a defect brought on, 78 under an old Python."""
    if sys.version_info < (3, 11):  # noqa: UP036 - what the package's metadata demands, nothing enforces here
        found = ".".join(map(str, sys.version_info[:3]))
        print(f"Python 3.11 or newer is needed, and {sys.executable} is {found}", file=sys.stderr)
        return 78
    reaper = Reaper(0, 1)
    try:
        reaper.serve()
    except BaseException:
        traceback.print_exc()
        reaper.sweep()
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
