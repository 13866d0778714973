"""The Reaper's end of a forkserver: orders out, pids back, a bounded number on the way.

command ─▶ waiting ─▶ ordered: its files made, sent ─▶ born: the pid is known
              │                   │
              └───────────────────┴──────────────────▶ lost: the forkserver is gone, or could not fork
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
ORDER_BYTES = 16 * 1024  # a socket path and two names; eight such always fit the socket's buffer
ANSWER_BYTES = 4 * 1024


@dataclass(eq=False)
class Birth:
    """A worker that the host asked for and whose pid is not known yet."""

    id: str
    command: dict[str, Any]
    killed: bool = False
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

    def withdraw(self, birth: Birth) -> bool:
        """Forgets one that was not ordered yet; False when it is too late for that."""
        if birth not in self._waiting:
            return False
        self._waiting.remove(birth)
        return True

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
            birth = self._ordered.pop(answer["id"], None)
            if birth is not None:
                yield birth, answer

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
        fields = {name: birth.command[name] for name in ("id", "socket", "name", "max_payload")}
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
