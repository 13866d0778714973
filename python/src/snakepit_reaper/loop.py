"""The loop of the Reaper: commands in, events out, and nothing below that outlives it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import IO, Any

from snakepit_reaper.births import ANSWER_SECONDS, Birth, Births
from snakepit_reaper.cgroup import Cgroup, remove_parents
from snakepit_reaper.events import Events
from snakepit_reaper.launch import LINUX, can_tie, launch, libc, readable
from snakepit_reaper.lines import Lines
from snakepit_reaper.memory import OomKills
from snakepit_reaper.processes import (
    Process,
    can_watch,
    children,
    descendants,
    kill,
    leads_namespace,
    marker,
    process,
    signal_name,
)
from snakepit_reaper.settings import Settings, raise_file_limit
from snakepit_reaper.turns import TURN_SECONDS, Turns
from snakepit_reaper.worker import Pipe, Worker

LINE_BYTES = 8 * 1024  # a longer output line arrives in pieces of this size
STATUS_BYTES = 64 * 1024  # a status line holds at most one cut traceback
STATUS_LINES = 64  # status is never dropped, so a worker may only write so much of it
COMMAND_BYTES = 8 * 1024 * 1024  # an environment can reach 2 MiB on Linux; JSON may escape it
READ_BYTES = 64 * 1024  # the capacity of a pipe
MARK_BYTES = 128  # for <pool>/<slot>#<generation>, a pool's name having at most 32 characters, and ample
PARTING_SECONDS = 1.0  # for a host that still reads the last events
PATIENCE = (0.001, 0.1)  # seconds between looks at /proc while something dies, doubling from first to last

PR_SET_CHILD_SUBREAPER = 36


START_PROBLEMS = (OSError, ValueError, TypeError, subprocess.SubprocessError)


def write_secret(fd: int, secret: bytes) -> None:
    """The one line of a worker's stdin; a worker that has ended already does not need it."""
    with contextlib.suppress(OSError):
        os.write(fd, secret)


def no_json(constant: str) -> None:
    """Python's json reads NaN and Infinity; the host's does not."""
    raise ValueError(f"{constant} is no JSON")


class Reaper:
    """The loop: commands in, events out, and nothing below that outlives it."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = Events(events)
        self._lines = Lines(COMMAND_BYTES)
        self._pid = os.getpid()
        self._host = os.getppid()
        self._cgroups: set[str] = set()
        self._workers: dict[str, Worker] = {}
        self._selector = selectors.PollSelector()
        self._patience = PATIENCE[0]
        self._sweep_asked = False
        self._subreaper = LINUX and libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        self._file_limit = raise_file_limit()
        self._oom_kills = OomKills()
        self._hunted: set[str] = set()
        self._missed: set[str] = set()
        self._turns = Turns()
        # exit statuses of strangers, while one of them may turn out to be a worker that a forkserver has made
        self._unclaimed: dict[int, int] = {}

    def serve(self) -> None:
        """Serves the host until there is a reason to sweep, then sweeps."""
        self._watch_signals()
        os.set_blocking(self._commands, False)
        self._selector.register(self._commands, selectors.EVENT_READ, self._read_commands)
        self._events.emit("ready", pid=self._pid, subreaper=self._subreaper, containment=self._containment())
        while not (self._sweep_asked or self._events.broken):
            self._events.flush()
            self._await()
            self._replace_stuck()
            self._reap()
            # a host that replaces a worker does not wait for what looking at all of /proc takes
            self._events.flush()
            self._chase()
        self.sweep()

    def sweep(self) -> None:
        """Kills everything below until two looks in a row at /proc find nothing."""
        empty_looks = 0
        self._patience = PATIENCE[0]
        while empty_looks < 2:
            for worker in self._workers.values():
                self._kill(worker)
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
        if os.getppid() != self._host:
            # it was killed, and cannot put its folders away
            for folder in self._cgroups:
                remove_parents(folder)
        self._part()

    def _containment(self) -> dict[str, bool]:
        return {
            "subreaper": self._subreaper,
            "pdeathsig": can_tie(),
            "pidfd": can_watch(self._pid),
            "namespace": leads_namespace(),
        }

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
        owed = any(births.pending for births in self._forkservers())
        ready = self._selector.select(self._next_patience() if dying else TURN_SECONDS if owed else None)
        took = self._turns.turn()
        for server in self._workers.values():
            # while it imports it takes no orders
            if server.births is not None and server.status_lines > 0:
                server.births.age(took)
        for key, _ in ready:
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
                case {"op": "forkserver", "id": str(id), "argv": [str(), *_], "env": dict(), "cwd": str()}:
                    self._forkserver(id, command)
                case {
                    "op": "fork",
                    "id": str(id),
                    "via": str(via),
                    "socket": str(),
                    "name": str(),
                    "max_payload": int(),
                    "secret": str(),
                }:
                    self._fork(id, via, command)
                case {"op": "signal", "id": str(id), "signal": str(name)}:
                    self._signal(id, getattr(signal.Signals, f"SIG{name}"))
                case {"op": "ping"}:
                    self._events.emit("pong")
                case {"op": op}:
                    known = "spawn, forkserver, fork, signal, ping"
                    raise ValueError(f"op {op!r} is unknown or lacks a field; known: {known}")
                case _:
                    raise ValueError("a command is a JSON object with a field op")
        except (ValueError, AttributeError, RecursionError) as problem:
            self._events.emit("error", message=f"command of {len(line)} bytes not understood: {problem}")

    def _spawn(self, id: str, command: dict[str, Any]) -> None:
        try:
            settings = Settings.of(command.get("settings"))
            secret = self._check(id, command)
            popen, status = launch(command, {"SNAKEPIT_WORKER": id}, subprocess.PIPE, (), self._file_limit)
        except START_PROBLEMS as problem:
            self._not_started(id, f"{command['argv'][0]}: {problem}", getattr(problem, "errno", None))
            return
        assert popen.stdin is not None
        worker = self._started(id, popen, status, settings)
        write_secret(popen.stdin.fileno(), secret)
        popen.stdin.close()
        self._tell_started(worker)

    def _check(self, id: str, command: dict[str, Any]) -> bytes:
        secret: bytes = command["secret"].encode() + b"\n"
        self._check_id(id)
        if len(secret) > select.PIPE_BUF:
            raise OSError(errno.E2BIG, f"the secret has {len(secret)} bytes, a pipe takes {select.PIPE_BUF}")
        return secret

    def _check_id(self, id: str) -> None:
        if id in self._workers or any(births.find(id) for births in self._forkservers()):
            raise OSError(errno.EEXIST, f"worker {id!r} is not gone yet")
        if len(os.fsencode(id)) >= MARK_BYTES:
            raise OSError(errno.ENAMETOOLONG, f"the id has more than {MARK_BYTES - 1} bytes")

    def _not_started(self, id: str, message: str, number: int | None, *, forkserver_gone: bool = False) -> None:
        number = number or errno.EINVAL
        self._events.emit("spawn_failed", id=id, errno=number, message=message, forkserver_gone=forkserver_gone)

    def _started(self, id: str, popen: subprocess.Popen[bytes], status: IO[bytes], settings: Settings) -> Worker:
        popen.returncode = 0  # from here on waitpid is ours: keeps Popen from reaping behind our back
        assert popen.stdout is not None
        assert popen.stderr is not None
        return self._take(id, popen.pid, (popen.stdout, popen.stderr, status), settings)

    def _take(
        self, id: str, pid: int, files: tuple[IO[bytes], IO[bytes], IO[bytes]], settings: Settings | None
    ) -> Worker:
        worker = self._workers[id] = Worker(id, pid, self._oom_kills.count())
        stdout, stderr, status = files
        self._relay(worker, stdout, LINE_BYTES, self._output(worker, "stdout"))
        self._relay(worker, stderr, LINE_BYTES, self._output(worker, "stderr"))
        self._relay(worker, status, STATUS_BYTES, lambda line: self._status(worker, line))
        for missing in settings.apply(pid) if settings else ():
            # it holds for the next worker with such settings too
            if missing not in self._missed:
                self._missed.add(missing)
                self._events.emit(
                    "error", id=id, message=f"worker {id!r}, and any other that asks for it, runs without {missing}"
                )
        if settings and settings.cgroup is not None:
            self._enclose(worker, settings.cgroup)
        return worker

    def _tell_started(self, worker: Worker) -> None:
        found = process(worker.pid)
        self._events.emit("spawned", id=worker.id, pid=worker.pid, started=found.started if found else 0)

    def _enclose(self, worker: Worker, parent: str) -> None:
        self._cgroups.add(parent)
        found = process(worker.pid)
        try:
            # the start time keeps apart what other Reapers, or this one's forebears, make in the same folder
            name = f"{worker.id}.{worker.pid}.{found.started if found else 0}"
            worker.cgroup = Cgroup(parent, name, worker.pid)
        except ProcessLookupError:
            pass  # it has ended already
        except OSError as problem:
            message = f"worker {worker.id!r} runs without a cgroup of its own: {problem}; is {parent} delegated to us?"
            self._events.emit("error", id=worker.id, message=message)

    # -- forks -----------------------------------------------------------------------------------------------------

    def _forkservers(self) -> list[Births]:
        return [worker.births for worker in self._workers.values() if worker.births is not None]

    def _forkserver(self, id: str, command: dict[str, Any]) -> None:
        with contextlib.ExitStack() as ours:
            try:
                settings = Settings.of(command.get("settings"))
                self._check_id(id)
                if not self._subreaper:
                    raise OSError(errno.ENOSYS, "a forked worker needs a subreaper to belong to, which is Linux only")
                here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                ours.callback(here.close)
                with there:
                    env = {"SNAKEPIT_FORK_FD": str(there.fileno()), "SNAKEPIT_WORKER": id.ljust(MARK_BYTES)}
                    keep = (there.fileno(),)
                    popen, status = launch(command, env, subprocess.DEVNULL, keep, self._file_limit)
            except START_PROBLEMS as problem:
                self._not_started(id, f"{command['argv'][0]}: {problem}", getattr(problem, "errno", None))
                return
            ours.pop_all()
        worker = self._started(id, popen, status, settings)
        worker.births = Births(here)
        self._selector.register(here, selectors.EVENT_READ, lambda: self._hear_births(worker))
        self._tell_started(worker)

    def _fork(self, id: str, via: str, command: dict[str, Any]) -> None:
        try:
            Settings.of(command.get("settings"))
            self._check(id, command)
        except START_PROBLEMS as problem:
            self._not_started(id, f"fork of {command['name']}: {problem}", getattr(problem, "errno", None))
            return
        server = self._workers.get(via)
        if server is None or server.births is None:
            message = f"fork of {command['name']}: there is no forkserver {via!r} any more"
            self._not_started(id, message, errno.ESRCH, forkserver_gone=True)
            return
        server.births.ask(Birth(id, command))
        self._order_births(server)

    def _order_births(self, server: Worker) -> None:
        assert server.births is not None
        for birth, problem in server.births.order():
            gone = isinstance(problem, BrokenPipeError | ConnectionResetError)
            message = f"fork of {birth.command['name']} by {server.id!r}: {problem}"
            self._not_started(birth.id, message, problem.errno, forkserver_gone=gone)

    def _hear_births(self, server: Worker) -> None:
        if server.births is None:
            return
        for answered in server.births.answers():
            if answered is None:
                self._lose_births(server)
                return
            birth, answer = answered
            if "pid" in answer:
                self._born(birth, answer["pid"])
                continue
            birth.close()
            if not birth.killed:
                message = f"fork of {birth.command['name']} by {server.id!r}: {answer['error']}"
                self._not_started(birth.id, message, answer["errno"])
        self._order_births(server)

    def _born(self, birth: Birth, pid: int) -> None:
        if birth.killed:
            birth.close()
            worker = self._workers[birth.id] = Worker(birth.id, pid, self._oom_kills.count(), disowned=True)
            if pid in self._unclaimed:
                self._exited(worker, os.waitstatus_to_exitcode(self._unclaimed.pop(pid)))
            else:
                self._kill(worker)
            return
        secret_writer, stdout, stderr, status = birth.files
        files = (readable(stdout), readable(stderr), readable(status))
        # a number that was reaped already is nobody's, or another's
        settings = None if pid in self._unclaimed else Settings.of(birth.command.get("settings"))
        worker = self._take(birth.id, pid, files, settings)
        self._tell_started(worker)
        write_secret(secret_writer, birth.command["secret"].encode() + b"\n")
        os.close(secret_writer)
        if pid in self._unclaimed:
            self._exited(worker, os.waitstatus_to_exitcode(self._unclaimed.pop(pid)))

    def _replace_stuck(self) -> None:
        """Ends forkservers that owe an answer for too long: the host spawns instead, and starts another."""
        for server in list(self._workers.values()):
            if server.births is None or not server.births.overdue:
                continue
            why = f"has not answered for {ANSWER_SECONDS:g} s: it is stopped, or a fork hangs in a hook of the adapter"
            self._events.emit("error", id=server.id, message=f"forkserver {server.id!r} {why}; it is killed")
            self._lose_births(server, why)
            self._kill(server)
            self._hunted.add(server.id)

    def _lose_births(self, server: Worker, why: str = "ended before it answered") -> None:
        births, server.births = server.births, None
        if births is None:
            return
        self._selector.unregister(births.socket)
        for birth in births.lose():
            if not birth.killed:
                message = f"fork of {birth.command['name']}: forkserver {server.id!r} {why}"
                self._not_started(birth.id, message, errno.EPIPE, forkserver_gone=True)

    # -- signals ---------------------------------------------------------------------------------------------------

    def _signal(self, id: str, number: signal.Signals) -> None:
        worker = self._workers.get(id)
        if worker is None:
            self._signal_unborn(id)
            return
        if number != signal.SIGKILL:
            self._signal_group(worker, number)
            return
        self._kill(worker)
        self._hunted.add(id)

    def _signal_unborn(self, id: str) -> None:
        for births in self._forkservers():
            birth = births.find(id)
            if birth is None:
                continue
            # any signal: it has not begun to serve, so there is nothing to drain
            if not birth.killed:
                births.withdraw(birth)
                self._not_started(id, f"fork of {birth.command['name']}: withdrawn by the host", errno.ECANCELED)
        # otherwise the host has not read its `gone` yet

    def _kill(self, worker: Worker) -> None:
        self._signal_group(worker, signal.SIGKILL)
        if worker.cgroup is not None:
            worker.cgroup.kill()

    def _signal_group(self, worker: Worker, number: signal.Signals) -> None:
        # only while the leader is unreaped: until then its number cannot be reused
        if worker.exited:
            return
        if number in (signal.SIGTERM, signal.SIGKILL):
            worker.sent = number.name.removeprefix("SIG")
        try:
            os.killpg(worker.pid, number)
        except ProcessLookupError:
            # forked a moment ago, and no session leader yet
            with contextlib.suppress(OSError):
                os.kill(worker.pid, number)
        except OSError:
            pass

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
        pending = any(births.pending for births in self._forkservers())
        if not pending:
            self._unclaimed.clear()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            # looked up anew each time: a forkserver's last words may name workers
            leader = next(
                (worker for worker in self._workers.values() if worker.pid == pid and not worker.exited), None
            )
            if leader is not None:
                self._exited(leader, os.waitstatus_to_exitcode(status))
            elif pending:
                self._unclaimed[pid] = status

    def _exited(self, worker: Worker, result: int) -> None:
        worker.exited = True
        self._patience = PATIENCE[0]
        if not self._subreaper:
            with contextlib.suppress(OSError):
                os.killpg(worker.pid, signal.SIGKILL)
        self._hear_births(worker)
        self._lose_births(worker)
        if worker.disowned:
            return
        self._read_last(worker)
        code, name = (result, None) if result >= 0 else (None, signal_name(-result))
        oom = self._out_of_memory(worker, result)
        self._events.emit("exited", id=worker.id, pid=worker.pid, code=code, signal=name, sent=worker.sent, oom=oom)

    def _out_of_memory(self, worker: Worker, result: int) -> dict[str, object] | None:
        if worker.cgroup is not None and (kills := worker.cgroup.oom_kills()) is not None:
            return {"evidence": "cgroup", "kills": kills} if kills else None
        if result != -signal.SIGKILL or worker.sent == "KILL":
            return None
        kills = self._oom_kills.count() - worker.oom_kills
        if kills <= 0:
            return None
        # one victim of the kernel explains one exit
        for other in self._workers.values():
            other.oom_kills += 1
        return {"evidence": self._oom_kills.evidence, "kills": kills}

    def _read_last(self, worker: Worker) -> None:
        for pipe in list(worker.pipes):
            # once is what a pipe holds; more could be an heir of the worker that never stops writing
            self._read(worker, pipe)

    def _belonging(self) -> dict[str, list[Process]]:
        leaders = {worker.pid: worker.id for worker in self._workers.values()}
        owners: dict[int, str] = {}
        belonging: dict[str, list[Process]] = {}
        for found in descendants(self._pid):
            # by pid first: a worker forked a moment ago is still in the forkserver's session
            owner = leaders.get(found.pid) or leaders.get(found.session) or leaders.get(found.group)
            if owner is None and (marked := marker(found.pid)) in self._workers:
                owner = marked
            owner = owner or owners.get(found.parent)
            if owner is not None:
                owners[found.pid] = owner
                belonging.setdefault(owner, []).append(found)
        return belonging

    def _strangers(self) -> bool:
        """Whether a child of ours is no living leader: what a dead worker leaves behind is, or is below such a one."""
        leaders = {worker.pid for worker in self._workers.values() if not worker.exited}
        ours = children(self._pid)
        return ours is None or not leaders.issuperset(ours)

    def _chase(self) -> None:
        if self._hunted:
            # one look for all that are to be killed; the group of each has had its signal
            belonging = self._belonging()
            for id in self._hunted:
                for found in belonging.get(id, ()):
                    kill(found)
            self._hunted.clear()
        dying = [worker for worker in self._workers.values() if worker.exited]
        while dying:
            belonging = self._belonging() if self._strangers() else {}
            for worker in dying:
                left = bool(belonging.get(worker.id))
                for found in belonging.get(worker.id, ()):
                    kill(found)
                if worker.cgroup is not None and worker.cgroup.populated:
                    worker.cgroup.kill()
                    left = True
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
        if worker.cgroup is not None:
            try:
                worker.cgroup.remove()
            except OSError as problem:
                message = f"the cgroup of worker {worker.id!r} stays behind: {problem}"
                self._events.emit("error", id=worker.id, message=message)
        if not worker.disowned:
            self._events.emit("gone", id=worker.id)
