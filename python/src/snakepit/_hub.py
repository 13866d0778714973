"""Where telemetry waits for the host: bounded, and sent by a thread of its own as far as the host has given credit.

    tools, logging, print ──▶ queue, at most 1024 ──▶ batches, at most 64 ──▶ outbox of the session, behind its results
                                 │ full: counted          ▲ credit
                                 ▼                        │
                              dropped ────────────────────┴── told with the next batch

Nothing is kept before a worker opens it, and nothing is sent before a host has said what it wants. The thread is
started by the first control that switches telemetry on. It is not the one that reads: that may be the main thread, in
the path of a call.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from typing import Protocol

from snakepit._record import Record
from snakepit._rules import Rules
from snakepit._wire import Telemetry, TelemetryControl

QUEUE_RECORDS = 1024  # some hundred kilobytes, and a second of a worker that tells a lot
BATCH_RECORDS = 64  # a batch is encoded in less than the time of a short call
BATCH_BYTES = 256 * 1024  # and so is one of large records
GATHER_SECONDS = 0.1  # a record waits no longer for others


class Speaker(Protocol):
    """The outbox of a session."""

    def telemetry(self, telemetry: Telemetry) -> None: ...


class Source(Protocol):
    """What the thread looks after beside the queue: samples, and lines that have no end yet."""

    def configure(self, rules: Rules) -> None: ...
    def due(self) -> float | None:
        """When `run` is to be called, on the clock of `time.monotonic()`; None: not."""

    def run(self, now: float) -> None: ...


class Hub:
    """The telemetry of this process; all methods may be called from any thread."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.is_open = False
        self._rules: Rules | None = None
        self._changed = threading.Condition()
        # under it
        self._queue: deque[Record] = deque()
        self._dropped: Counter[str] = Counter()
        self._speaker: Speaker | None = None
        self._credit = 0
        self._thread: threading.Thread | None = None

    # -- the worker ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """From now on records are kept for a host: the process is a worker."""
        self.is_open = True

    def close(self) -> None:
        """Nothing is kept any more, nor sent, and nobody has said what is wanted."""
        with self._changed:
            self.is_open = False
            self._rules = self._speaker = None
            self._credit = 0
            self._queue.clear()
            self._dropped.clear()

    def control(self, speaker: Speaker, control: TelemetryControl) -> None:
        """What the host of a session says."""
        rules = Rules(control.settings) if control.HasField("settings") else None
        with self._changed:
            self._speaker = speaker
            self._credit = control.credit
            if rules is not None:
                self._keep(rules)
            self._changed.notify()
        if rules is not None:
            for source in self.sources:  # not under the lock: they take others
                source.configure(rules)

    def leave(self, speaker: Speaker) -> None:
        """The session is over: what waits, waits for the next."""
        with self._changed:
            if self._speaker is speaker:
                self._speaker = None
                self._credit = 0

    def flush(self) -> None:
        """Says what waits, as far as there is credit."""
        for source in self.sources:
            if source.due() is not None:
                source.run(float("inf"))
        while self._send():
            pass

    # -- whoever tells ---------------------------------------------------------------------------------------------

    def wants(self, name: str) -> bool:
        """Whether a record of that name is to be made; asked once for each."""
        rules = self._rules
        return self.is_open and (rules is None or rules.tells(name))

    @property
    def is_traced(self) -> bool:
        """Whether spans may be wanted."""
        return self.is_open and (self._rules is None or self._rules.on)

    def tell(self, record: Record) -> None:
        """Keeps a record that is wanted, if there is room."""
        with self._changed:
            waiting = len(self._queue)
            if waiting >= QUEUE_RECORDS:
                self._dropped["queue"] += 1
                return
            self._queue.append(record)
            if waiting in (0, BATCH_RECORDS - 1):
                self._changed.notify()

    def drop(self, reason: str) -> None:
        """Counts a record that cannot be told."""
        with self._changed:
            self._dropped[reason] += 1

    def stir(self) -> None:
        """Something is due earlier than it was."""
        with self._changed:
            self._changed.notify()

    # -- its thread ------------------------------------------------------------------------------------------------

    def _keep(self, rules: Rules) -> None:
        first = self._rules is None
        self._rules = rules
        if not rules.on:
            self._queue.clear()
            self._dropped.clear()
        elif first:  # what was told before anybody had said what is wanted
            self._queue = deque(record for record in self._queue if rules.tells(record.said.pattern_name))
        if rules.on and self._thread is None:
            thread = threading.Thread(target=self._run, name="snakepit-telemetry", daemon=True)
            with contextlib.suppress(RuntimeError):  # there is none to be had: the next control tries again
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._is_to_send():
                    self._changed.wait(self._patience())
                if self._is_to_send() and len(self._queue) < BATCH_RECORDS:
                    self._changed.wait_for(lambda: len(self._queue) >= BATCH_RECORDS, GATHER_SECONDS)
            now = time.monotonic()
            for source in self.sources:
                due = source.due()
                if due is not None and due <= now:
                    source.run(now)
            self._send()

    def _is_to_send(self) -> bool:
        return self._credit > 0 and bool(self._queue or self._dropped)

    def _patience(self) -> float | None:
        due = [due for source in self.sources if (due := source.due()) is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _send(self) -> bool:
        """Whether there was something to send."""
        with self._changed:
            speaker = self._speaker
            if speaker is None or not self._is_to_send():
                return False
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._credit, BATCH_RECORDS))]
            self._credit -= len(batch)
            dropped, self._dropped = self._dropped, Counter()
        telemetry = Telemetry()
        for reason, records in dropped.items():
            telemetry.dropped.add(reason=reason, records=records)
        room = BATCH_BYTES
        for record in batch:
            if room <= 0:
                speaker.telemetry(telemetry)
                telemetry, room = Telemetry(), BATCH_BYTES
            said = telemetry.records.add()
            record.write(said)
            room -= said.ByteSize()
        speaker.telemetry(telemetry)
        return True


hub = Hub()
"""Of this process."""
