"""Starting a program that lives no longer than the Reaper."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import IO, Any

from snakepit_reaper.settings import restore_file_limit

LINUX = sys.platform == "linux"

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2

libc = ctypes.CDLL(None, use_errno=True)


def can_tie() -> bool:
    """Whether the kernel keeps a parent-death signal; not every sandbox that says Linux does."""
    before, now = ctypes.c_int(), ctypes.c_int()
    if not LINUX or libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(before), 0, 0, 0):
        return False
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(now), 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, before.value, 0, 0, 0)
    return now.value == signal.SIGKILL


def wake_with_the_host() -> None:
    """Has the kernel send SIGCONT when the host dies: a stopped Reaper goes on, finds its pipe closed, and sweeps."""
    if LINUX:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


def readable(fd: int) -> IO[bytes]:
    """A file that reads what there is, and owns `fd`."""
    return os.fdopen(fd, "rb", buffering=0)


def launch(
    command: dict[str, Any], env: dict[str, str], stdin: int, keep: tuple[int, ...], file_limit: tuple[int, int]
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Starts what a command says, with `env` added and the files `keep` open; the process and its status pipe."""
    status, status_writer = os.pipe()
    reaper = os.getpid()

    def tie_to_reaper() -> None:
        if LINUX:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # the Reaper may have died before the call above
        if os.getppid() != reaper:
            os._exit(70)
        restore_file_limit(file_limit)

    try:
        popen = subprocess.Popen(
            command["argv"],
            env={
                "SNAKEPIT_REAPER_PID": str(reaper),
                **command["env"],
                "SNAKEPIT_STATUS_FD": str(status_writer),
                **env,
            },
            cwd=command["cwd"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=(status_writer, *keep),
            preexec_fn=tie_to_reaper,  # noqa: PLW1509  there is one thread
        )
    except BaseException:
        os.close(status)
        raise
    finally:
        os.close(status_writer)
    return popen, readable(status)
