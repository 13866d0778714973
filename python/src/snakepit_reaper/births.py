"""The Reaper's end of a forkserver: orders out, pids back, a bounded number on the way.

command ─▶ waiting ─▶ ordered: its files made, sent ─▶ born: the pid is known
              │                   │
              └───────────────────┴──────────────────▶ lost: the forkserver is gone, is stuck, or could not fork
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

WINDOW = 8  # orders on the way, four files each; the forkserver takes them one by one, so more is not faster
FIELDS = ("id", "socket", "name", "max_payload", "concurrency", "allow")
ORDER_BYTES = 16 * 1024  # a socket path, two names and some patterns; eight such always fit the socket's buffer
ANSWER_BYTES = 4 * 1024
# a fork copies page tables, 10 ms a gigabyte, and runs the adapter's hooks: what takes longer than this is stuck
ANSWER_SECONDS = 2.0


@dataclass(eq=False)
class Birth:
    """A worker that the host asked for and whose pid is not known yet."""

    id: str
    command: dict[str, Any]
    killed: bool = False
    """The host does not want it any more, and has been told that it is not; it may yet come to be."""
    waited: float = 0.0
    """Seconds since it was sent, or since one that was sent before it was answered: those come first."""
    files: list[int] = field(default_factory=list)
    """Our ends of stdin, stdout, stderr and status."""

    def close(self) -> None:
        """Lets go of its files: a worker that waits for its secret reads the end of stdin, and ends."""
        for fd in self.files:
            os.close(fd)
        self.files.clear()


class Births:
    """Workers that one forkserver is to make, in the order in which they were asked for."""

    def __init__(self, socket: socket.socket) -> None:
        socket.setblocking(False)
        self.socket = socket
        self._waiting: deque[Birth] = deque()
        self._ordered: dict[str, Birth] = {}

    @property
    def pending(self) -> bool:
        """Whether a worker may exist that is not known yet."""
        return bool(self._ordered)

    def find(self, id: str) -> Birth | None:
        return self._ordered.get(id) or next((birth for birth in self._waiting if birth.id == id), None)

    def ask(self, birth: Birth) -> None:
        self._waiting.append(birth)

    def withdraw(self, birth: Birth) -> None:
        """Forgets it if it was not ordered yet; if it was, what comes of it is to be killed."""
        birth.killed = True
        if birth in self._waiting:
            self._waiting.remove(birth)

    def order(self) -> Iterator[tuple[Birth, OSError]]:
        """Sends what the window admits; yields those that could not be sent, and why."""
        while self._waiting and len(self._ordered) < WINDOW:
            birth = self._waiting.popleft()
            try:
                self._send(birth)
            except OSError as problem:
                birth.close()
                yield birth, problem
            else:
                self._ordered[birth.id] = birth

    def answers(self) -> Iterator[tuple[Birth, dict[str, Any]] | None]:
        """What the forkserver has answered so far; None, as the last, when it has hung up."""
        while True:
            try:
                data = self.socket.recv(ANSWER_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # it died with orders unread: said once, before what it had answered
            if not data:
                yield None
                return
            answer = json.loads(data)
            sent = list(self._ordered)
            birth = self._ordered.pop(answer["id"], None)
            if birth is not None:
                for id in sent[sent.index(birth.id) + 1 :]:
                    self._ordered[id].waited = 0.0
                yield birth, answer

    def age(self, seconds: float) -> None:
        """Lets time pass for what was sent."""
        for birth in self._ordered.values():
            birth.waited += seconds

    @property
    def overdue(self) -> bool:
        """Whether the forkserver owes an answer for longer than a fork can take."""
        return any(birth.waited > ANSWER_SECONDS for birth in self._ordered.values())

    def lose(self) -> list[Birth]:
        """Closes the socket and lets go of all that are pending."""
        self.socket.close()
        lost = [*self._ordered.values(), *self._waiting]
        for birth in lost:
            birth.close()
        self._ordered.clear()
        self._waiting.clear()
        return lost

    def _send(self, birth: Birth) -> None:
        fields = {name: birth.command[name] for name in FIELDS}
        message = json.dumps(fields).encode()
        if len(message) > ORDER_BYTES:
            raise OSError(f"the order has {len(message)} bytes, more than {ORDER_BYTES}")
        with contextlib.ExitStack() as theirs:
            ends = []
            for reads in (True, False, False, False):
                pipe = os.pipe()
                end, ours = pipe if reads else pipe[::-1]
                theirs.callback(os.close, end)
                ends.append(end)
                birth.files.append(ours)
            socket.send_fds(self.socket, [message], ends)
