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
from collections.abc import Iterator, Mapping, Sequence
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
    """Each GPU of the machine; none where they cannot be asked."""
    nvml = _nvml()
    try:
        devices = nvml.nvmlDeviceGetCount() if nvml is not None else 0
        for device in range(devices):
            handle = nvml.nvmlDeviceGetHandleByIndex(device)
            held = nvml.nvmlDeviceGetMemoryInfo(handle)
            measured = {
                "used_bytes": float(held.used),
                "total_bytes": float(held.total),
                "gpu_percent": float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
                "celsius": float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
                "watts": nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            }
            yield "python.gpu.sampled", measured, {"device": device}
    except Exception:  # a driver that went away: the next sample asks again
        return
