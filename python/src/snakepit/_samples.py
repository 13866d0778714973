"""Samples of this process: memory, CPU, garbage collection, and GPUs where NVIDIA's management library is.

Taken at an interval, by the thread that sends telemetry. Garbage collection is what has been since the last sample: a
callback at each would run in the tools.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from snakepit._hub import Hub
from snakepit._record import Event, Record, Value
from snakepit._rules import Rules

Sample = tuple[str, dict[str, float], dict[str, Value]]


class Samples:
    """A source of the hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._seconds = 0.0
        self._due: float | None = None
        self._cpu = (0.0, 0.0)
        self._collections: Sequence[Mapping[str, int]] = ()

    def configure(self, rules: Rules) -> None:
        if rules.sample_seconds != self._seconds:
            self._seconds = rules.sample_seconds
            self._due = time.monotonic() + self._seconds if self._seconds else None
            self._cpu = (time.monotonic(), time.process_time())
            self._collections = gc.get_stats()

    def due(self) -> float | None:
        return self._due

    def run(self, now: float) -> None:
        if now == float("inf"):  # the worker stops
            return
        if self._due is not None:
            self._due = now + self._seconds
        at = time.monotonic_ns() // 1000
        for name, measurements, attributes in self._take(now):
            if self._hub.wants(name):
                self._hub.tell(Record(at, Event(name, measurements), attributes=attributes))

    def _take(self, now: float) -> Iterator[Sample]:
        yield "python.memory.sampled", memory(), {}
        (before, spent), self._cpu = self._cpu, (now, time.process_time())
        if now > before:
            yield "python.cpu.sampled", {"cpu_percent": 100 * (self._cpu[1] - spent) / (now - before)}, {}
        stats, self._collections = self._collections, gc.get_stats()
        for generation, (old, new) in enumerate(zip(stats, self._collections, strict=True)):
            if new["collections"] > old["collections"]:
                counted: dict[str, float] = {
                    "count": new["collections"] - old["collections"],
                    "collected": new["collected"] - old["collected"],
                    "uncollectable": new["uncollectable"] - old["uncollectable"],
                }
                yield "python.gc.completed", counted, {"gc_generation": generation}
        yield from gpus()


def memory() -> dict[str, float]:
    """What the process holds, in bytes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            size, resident, *_ = statm.read().split()
    except OSError:  # no Linux: the most that it ever held, in KiB, on macOS in bytes
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"rss_bytes": most if sys.platform == "darwin" else most * 1024}
    page = os.sysconf("SC_PAGE_SIZE")
    return {"rss_bytes": int(resident) * page, "vms_bytes": int(size) * page}


@cache
def _nvml() -> Any:
    """NVIDIA's library, when it is there and finds a driver."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # each version of it raises others
        return None
    return nvml


def gpus() -> Iterator[Sample]:
    """Each GPU of the machine, with what it says of itself; none where they cannot be asked."""
    nvml = _nvml()
    if nvml is None:
        return
    # which values a device has depends on its kind: one that it does not say costs no other
    for device in range(_asked(nvml.nvmlDeviceGetCount) or 0):
        handle = _asked(nvml.nvmlDeviceGetHandleByIndex, device)
        if handle is None:  # of a driver that went away: the next sample asks again
            continue
        held = _asked(nvml.nvmlDeviceGetMemoryInfo, handle)
        busy = _asked(nvml.nvmlDeviceGetUtilizationRates, handle)
        milliwatts = _asked(nvml.nvmlDeviceGetPowerUsage, handle)
        measured = {
            "used_bytes": held and held.used,
            "total_bytes": held and held.total,
            "gpu_percent": busy and busy.gpu,
            "celsius": _asked(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            "watts": None if milliwatts is None else milliwatts / 1000,
        }
        said = {name: float(value) for name, value in measured.items() if value is not None}
        if said:
            yield "python.gpu.sampled", said, {"device": device}


def _asked(question: Callable[..., Any], *about: Any) -> Any:
    """The answer; None where it is not supported."""
    try:
        return question(*about)
    except Exception:  # each version of the library raises others
        return None
