"""How workers come to be: spawned by the Reaper itself, or forked by a forkserver that is its child."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import selectors
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import IO, Any

from snakepit_reaper.births import ANSWER_SECONDS, Birth, Births
from snakepit_reaper.cgroup import Cgroup
from snakepit_reaper.events import Events
from snakepit_reaper.launch import launch, readable
from snakepit_reaper.memory import OomKills
from snakepit_reaper.processes import process
from snakepit_reaper.relay import Relay
from snakepit_reaper.settings import Settings, raise_file_limit
from snakepit_reaper.worker import Worker

MARK_BYTES = 128  # for <pool>/<slot>#<generation>, a pool's name having at most 32 characters, and ample

START_PROBLEMS = (OSError, ValueError, TypeError, subprocess.SubprocessError)


def write_secret(fd: int, secret: bytes) -> None:
    """The one line of a worker's stdin; a worker that has ended already does not need it."""
    with contextlib.suppress(OSError):
        os.write(fd, secret)


class Maker:
    """Makes workers and forkservers as the host orders, and puts them among `workers`."""

    def __init__(
        self,
        workers: dict[str, Worker],
        selector: selectors.BaseSelector,
        events: Events,
        relay: Relay,
        oom_kills: OomKills,
        *,
        exited: Callable[[Worker, int], None],
        subreaper: bool,
    ) -> None:
        self._workers = workers
        self._selector = selector
        self._events = events
        self._relay = relay
        self._oom_kills = oom_kills
        self._exited = exited
        self._subreaper = subreaper
        self._file_limit = raise_file_limit()
        self._missed: set[str] = set()
        self.cgroups: set[str] = set()
        """The folders that workers were given cgroups in."""
        self.unclaimed: dict[int, int] = {}
        """Exit statuses of strangers, while one of them may turn out to be a worker that a forkserver has made."""

    @property
    def pending(self) -> bool:
        """Whether a worker may exist that is not known yet."""
        return any(births.pending for births in self._forkservers())

    def spawn(self, id: str, command: dict[str, Any]) -> None:
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

    def forkserver(self, id: str, command: dict[str, Any]) -> None:
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
        self._selector.register(here, selectors.EVENT_READ, lambda: self.hear(worker))
        self._tell_started(worker)

    def fork(self, id: str, via: str, command: dict[str, Any]) -> None:
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

    def withdraw(self, id: str) -> None:
        """Gives up one that is to be forked; nothing when it is none of those."""
        for births in self._forkservers():
            birth = births.find(id)
            if birth is None:
                continue
            # any signal: it has not begun to serve, so there is nothing to drain
            if not birth.killed:
                births.withdraw(birth)
                self._not_started(id, f"fork of {birth.command['name']}: withdrawn by the host", errno.ECANCELED)
        # otherwise the host has not read its `gone` yet

    def hear(self, server: Worker) -> None:
        """Takes what a forkserver has answered."""
        if server.births is None:
            return
        for answered in server.births.answers():
            if answered is None:
                self.lose(server)
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

    def age(self, seconds: float) -> None:
        """Lets time pass for what forkservers owe."""
        for server in self._workers.values():
            # while it imports it takes no orders
            if server.births is not None and server.status_lines > 0:
                server.births.age(seconds)

    def lose_stuck(self) -> Iterator[Worker]:
        """Answers for forkservers that owe an answer for too long; yields each, which is to be killed."""
        for server in list(self._workers.values()):
            if server.births is None or not server.births.overdue:
                continue
            why = f"has not answered for {ANSWER_SECONDS:g} s: it is stopped, or a fork hangs in a hook of the adapter"
            self._events.emit("error", id=server.id, message=f"forkserver {server.id!r} {why}; it is killed")
            self.lose(server, why)
            yield server

    def lose(self, server: Worker, why: str = "ended before it answered") -> None:
        """Answers for a forkserver that is gone, or stuck: what it still owes does not start."""
        births, server.births = server.births, None
        if births is None:
            return
        self._selector.unregister(births.socket)
        for birth in births.lose():
            if not birth.killed:
                message = f"fork of {birth.command['name']}: forkserver {server.id!r} {why}"
                self._not_started(birth.id, message, errno.EPIPE, forkserver_gone=True)

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
        worker = self._take(id, popen.pid, (popen.stdout, popen.stderr, status), settings)
        self._enclose(worker, settings)
        return worker

    def _take(
        self, id: str, pid: int, files: tuple[IO[bytes], IO[bytes], IO[bytes]], settings: Settings | None
    ) -> Worker:
        worker = self._workers[id] = Worker(id, pid, self._oom_kills.count())
        self._relay.attach(worker, *files)
        for missing in settings.apply(pid) if settings else ():
            # it holds for the next worker with such settings too
            if missing not in self._missed:
                self._missed.add(missing)
                self._events.emit(
                    "error", id=id, message=f"worker {id!r}, and any other that asks for it, runs without {missing}"
                )
        return worker

    def _tell_started(self, worker: Worker) -> None:
        found = process(worker.pid)
        told = {} if worker.enclosed is None else {"cgroup": worker.enclosed}
        self._events.emit("spawned", id=worker.id, pid=worker.pid, started=found.started if found else 0, **told)

    def _enclose(self, worker: Worker, settings: Settings | None) -> None:
        if settings is None or settings.cgroup is None:
            return
        parent = settings.cgroup
        self.cgroups.add(parent)
        found = process(worker.pid)
        try:
            # the start time keeps apart what other Reapers, or this one's forebears, make in the same folder
            name = f"{worker.id}.{worker.pid}.{found.started if found else 0}"
            worker.cgroup = Cgroup(parent, name, worker.pid)
            worker.enclosed = True
        except ProcessLookupError:
            pass  # it has ended already
        except OSError as problem:
            worker.enclosed = False
            message = f"worker {worker.id!r} runs without a cgroup of its own: {problem}; is {parent} delegated to us?"
            self._events.emit("error", id=worker.id, message=message)

    def _forkservers(self) -> list[Births]:
        return [worker.births for worker in self._workers.values() if worker.births is not None]

    def _order_births(self, server: Worker) -> None:
        assert server.births is not None
        for birth, problem in server.births.order():
            gone = isinstance(problem, BrokenPipeError | ConnectionResetError)
            message = f"fork of {birth.command['name']} by {server.id!r}: {problem}"
            self._not_started(birth.id, message, problem.errno, forkserver_gone=gone)

    def _born(self, birth: Birth, pid: int) -> None:
        if birth.killed:
            birth.close()
            worker = self._workers[birth.id] = Worker(birth.id, pid, self._oom_kills.count(), disowned=True)
            if pid in self.unclaimed:
                self._exited(worker, os.waitstatus_to_exitcode(self.unclaimed.pop(pid)))
            else:
                worker.kill()
            return
        secret_writer, stdout, stderr, status = birth.files
        files = (readable(stdout), readable(stderr), readable(status))
        # a number that was reaped already is nobody's, or another's
        settings = None if pid in self.unclaimed else Settings.of(birth.command.get("settings"))
        worker = self._take(birth.id, pid, files, settings)
        write_secret(secret_writer, birth.command["secret"].encode() + b"\n")
        os.close(secret_writer)
        # the kernel may take 15 ms for it, in which the worker starts up; its word that it is ready comes by here
        self._enclose(worker, settings)
        self._tell_started(worker)
        if pid in self.unclaimed:
            self._exited(worker, os.waitstatus_to_exitcode(self.unclaimed.pop(pid)))
