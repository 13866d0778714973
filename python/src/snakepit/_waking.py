"""Waking a task from another thread."""

from __future__ import annotations

import asyncio
import contextlib


def wake(woken: asyncio.Future[None]) -> None:
    """Resolves what a task awaits, unless it waits no more; from any thread, and never raises."""
    with contextlib.suppress(Exception):  # the loop may be a tool's own, and closed by now: nobody waits there
        woken.get_loop().call_soon_threadsafe(_resolve, woken)


def _resolve(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
