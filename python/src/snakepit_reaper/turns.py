"""Time as the Reaper has lived it."""

from __future__ import annotations

import time
from collections.abc import Callable

TURN_SECONDS = 0.25  # a turn of the loop with an order on the way; a deadline of seconds needs no finer look


class Turns:
    """How long the turns of the loop take, none of them counted as more than TURN_SECONDS.

    A Reaper that was stopped, or that the machine did not let run, has seen nobody be late.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def turn(self) -> float:
        """Seconds since the last call that count."""
        now = self._clock()
        took, self._last = now - self._last, now
        return min(took, TURN_SECONDS)
