"""The loop of the Reaper: commands in, events out, and nothing below that outlives it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import shutil
import signal
import time

from snakepit_reaper.belonging import belonging, strangers
from snakepit_reaper.cgroup import remove_parents
from snakepit_reaper.events import Events
from snakepit_reaper.launch import LINUX, can_tie, libc
from snakepit_reaper.lines import Lines
from snakepit_reaper.maker import Maker
from snakepit_reaper.memory import OomKills
from snakepit_reaper.processes import can_watch, descendants, kill, leads_namespace, signal_name
from snakepit_reaper.relay import READ_BYTES, Relay
from snakepit_reaper.turns import TURN_SECONDS, Turns
from snakepit_reaper.worker import Worker

COMMAND_BYTES = 8 * 1024 * 1024  # an environment can reach 2 MiB on Linux; JSON may escape it
RUN_MARK = "SNAKEPIT_RUN"  # in the environment of every process of a run
SHARED = "/dev/shm"  # noqa: S108 - where a host has the payloads that are on their way, in a folder of its run
PARTING_SECONDS = 1.0  # for a host that still reads the last events
PATIENCE = (0.001, 0.1)  # seconds between looks at /proc while something dies, doubling from first to last

PR_SET_CHILD_SUBREAPER = 36


class Reaper:
    """The loop: commands in, events out, and nothing below that outlives it."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = Events(events)
        self._lines = Lines(COMMAND_BYTES)
        self._pid = os.getpid()
        self._host = os.getppid()
        self._workers: dict[str, Worker] = {}
        self._selector = selectors.PollSelector()
        self._patience = PATIENCE[0]
        self._sweep_asked = False
        self._subreaper = LINUX and libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        self._oom_kills = OomKills()
        self._hunted: set[str] = set()
        self._turns = Turns()
        self._relay = Relay(self._selector, self._events)
        self._maker = Maker(
            self._workers,
            self._selector,
            self._events,
            self._relay,
            self._oom_kills,
            exited=self._exited,
            subreaper=self._subreaper,
        )

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
                worker.kill()
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
            for folder in self._maker.cgroups:
                remove_parents(folder)
            if run := os.environ.get(RUN_MARK):
                shutil.rmtree(f"{SHARED}/snakepit-{run}", ignore_errors=True)
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
        ready = self._selector.select(self._next_patience() if dying else TURN_SECONDS if self._maker.pending else None)
        self._maker.age(self._turns.turn())
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
                    self._maker.spawn(id, command)
                case {"op": "forkserver", "id": str(id), "argv": [str(), *_], "env": dict(), "cwd": str()}:
                    self._maker.forkserver(id, command)
                case {
                    "op": "fork",
                    "id": str(id),
                    "via": str(via),
                    "socket": str(),
                    "name": str(),
                    "max_payload": int(),
                    "concurrency": int(),
                    "allow": list(),
                    "secret": str(),
                }:
                    self._maker.fork(id, via, command)
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

    # -- signals ---------------------------------------------------------------------------------------------------

    def _signal(self, id: str, number: signal.Signals) -> None:
        worker = self._workers.get(id)
        if worker is None:
            self._maker.withdraw(id)
            return
        if number != signal.SIGKILL:
            worker.send(number)
            return
        worker.kill()
        self._hunted.add(id)

    def _replace_stuck(self) -> None:
        """Ends forkservers that owe an answer for too long: the host spawns instead, and starts another."""
        for server in self._maker.lose_stuck():
            server.kill()
            self._hunted.add(server.id)

    # -- what dies -------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        pending = self._maker.pending
        if not pending:
            self._maker.unclaimed.clear()
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
                self._maker.unclaimed[pid] = status

    def _exited(self, worker: Worker, result: int) -> None:
        worker.exited = True
        self._patience = PATIENCE[0]
        if not self._subreaper:
            with contextlib.suppress(OSError):
                os.killpg(worker.pid, signal.SIGKILL)
        self._maker.hear(worker)
        self._maker.lose(worker)
        if worker.disowned:
            return
        self._relay.read_last(worker)
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

    def _chase(self) -> None:
        if self._hunted:
            # one look for all that are to be killed; the group of each has had its signal
            found_of = belonging(self._pid, self._workers)
            for id in self._hunted:
                for found in found_of.get(id, ()):
                    kill(found)
            self._hunted.clear()
        dying = [worker for worker in self._workers.values() if worker.exited]
        while dying:
            found_of = belonging(self._pid, self._workers) if strangers(self._pid, self._workers) else {}
            for worker in dying:
                left = bool(found_of.get(worker.id))
                for found in found_of.get(worker.id, ()):
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
        self._relay.close(worker)
        del self._workers[worker.id]
        if worker.cgroup is not None:
            try:
                worker.cgroup.remove()
            except OSError as problem:
                message = f"the cgroup of worker {worker.id!r} stays behind: {problem}"
                self._events.emit("error", id=worker.id, message=message)
        if not worker.disowned:
            self._events.emit("gone", id=worker.id)
