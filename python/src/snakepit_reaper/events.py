"""What the Reaper tells the host."""

from __future__ import annotations

import json
import os

BACKLOG_BYTES = 1024 * 1024  # beyond this, output lines of workers are dropped and counted
WRITE_BYTES = 64 * 1024  # the capacity of a pipe


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
                written = os.write(self.fd, self._backlog[:WRITE_BYTES])
            except BlockingIOError:
                return
            except OSError:
                self.broken = True
                return
            del self._backlog[:written]
            if self._dropped and len(self._backlog) < BACKLOG_BYTES // 2:
                dropped, self._dropped = self._dropped, 0
                self.emit("dropped", lines=dropped)
