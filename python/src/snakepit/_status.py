"""The status line of a process: how the host learns that it serves, or why it cannot."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator

from snakepit._qualified import qualified_name

TRACEBACK_CHARACTERS = 8 * 1024  # the end of it, where the cause is; a status line is at most 64 KiB as JSON
MESSAGE_CHARACTERS = 2 * 1024


class Status:
    """Where status lines go, one JSON object each."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def inherited(cls) -> Status:
        """The file descriptor that SNAKEPIT_STATUS_FD names, stdout without one."""
        fd = os.environ.pop("SNAKEPIT_STATUS_FD", "")
        if not fd:
            return cls(sys.stdout.fileno())
        os.set_inheritable(int(fd), False)
        return cls(int(fd))

    def write(self, status: dict[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._fd, json.dumps(status).encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)

    @contextlib.contextmanager
    def stage(self, name: str, code: int) -> Iterator[None]:
        """Whatever is raised inside is reported as a failure of this stage and ends the process with `code`."""
        try:
            yield
        except BaseException as raised:
            traceback.print_exc()
            self.write({"status": "failed", "stage": name, "exception": _described(raised)})
            # not sys.exit: an adapter that failed half-way may have left threads that never end
            sys.stderr.flush()
            os._exit(code)


def _described(raised: BaseException) -> dict[str, str]:
    text = "".join(traceback.format_exception(raised))
    return {
        "type": qualified_name(type(raised)),
        "message": str(raised)[:MESSAGE_CHARACTERS],
        "traceback": text[-TRACEBACK_CHARACTERS:],
    }
