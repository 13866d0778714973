"""Parent-death guard: a worker must not outlive the Reaper that started it.

    Linux          PR_SET_PDEATHSIG; says nothing of a parent that died before the call, hence the check after it
    elsewhere      a thread that looks at getppid() every second; also in a sandbox that does not keep the signal

The Reaper sets the same signal before exec; setting it again here covers a worker that was started otherwise.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2
LOOK_SECONDS = 1.0  # how long a worker may outlive its parent where the kernel does not help


def die_with(parent: int) -> None:
    """Ties this process to its parent, whose pid is `parent`; exits 70 at once if that is not our parent any more."""
    if not _tied():
        threading.Thread(target=_watch, args=(parent,), name="snakepit-parent", daemon=True).start()
    if os.getppid() != parent:
        # not sys.exit: in a forked process that would run what the adapter gave to atexit
        os._exit(70)


def _tied() -> bool:
    if sys.platform != "linux":
        return False
    kept = ctypes.c_int()
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prctl(PR_GET_PDEATHSIG, ctypes.byref(kept), 0, 0, 0)
    return kept.value == signal.SIGKILL


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(70)
