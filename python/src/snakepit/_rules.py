"""Which records are told: by patterns of names, and by chance where a share was asked for."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakepit._wire import TelemetrySettings

REMEMBERED_NAMES = 1024  # their share is looked up, not matched again; far more than an adapter has


class Rules:
    """What holds from one control to the next."""

    def __init__(self, settings: TelemetrySettings, chance: Callable[[], float] = random.random) -> None:
        self.on = settings.on
        self.log_level = settings.log_level if settings.on else 0
        self.output = settings.on and settings.output
        self.sample_seconds = settings.sample_ms / 1000 if settings.on else 0.0
        self._allow = _any_of(settings.allow) if settings.allow else None
        self._deny = _any_of(settings.deny)
        self._shares = [(_any_of([sampling.pattern]), sampling.rate) for sampling in settings.sampling]
        self._chance = chance
        self._known: dict[str, float] = {}

    def tells(self, name: str) -> bool:
        """Whether this one is told; asked once for each."""
        if not self.on:
            return False
        share = self._known.get(name)
        if share is None:
            share = self._share(name)
            if len(self._known) < REMEMBERED_NAMES:
                self._known[name] = share
        return share >= 1 or (share > 0 and self._chance() < share)

    def _share(self, name: str) -> float:
        if (self._allow is not None and not self._allow(name)) or self._deny(name):
            return 0
        return next((share for fits, share in self._shares if fits(name)), 1)


def _any_of(patterns: Iterable[str]) -> Callable[[str], bool]:
    compiled = [re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL) for pattern in patterns]
    return lambda name: any(pattern.fullmatch(name) for pattern in compiled)
