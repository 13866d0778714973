"""Segments of shared memory: their leases, their bound, and a worker that is told of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakepit import _wire, tool
from snakepit._inputs import Feed
from snakepit._job import Job
from snakepit._outbox import Outbox
from snakepit._pieces import Pieces, whole
from snakepit._segments import BadSegment, Received, Written, capacity_of
from worker_host import Stream, WorkerProcess

MIB = 1 << 20
ROWS = np.arange(100_000.0)


@tool
def nothing() -> None: ...


@given(st.integers(1, 1 << 34))
def test_little_of_a_segment_is_left_empty(length: int) -> None:
    assert length <= capacity_of(length) <= max(length * 9 / 8, length + 64 * 1024)


# -- those of the host -------------------------------------------------------------------------------------------------


class Leases:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.free: list[int] = []
        self.received = Received(str(folder), self.free.append)

    def write(self, segment: int, payload: bytes) -> None:
        (self.folder / f"h{segment}").write_bytes(payload)


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path)


def test_a_segment_is_free_when_nothing_looks_into_it_any_more(leases: Leases) -> None:
    @tool
    def keep(rows: np.ndarray, text: bytes, view: memoryview) -> None: ...

    payload = msgspec.msgpack.encode({"rows": [1], "text": b"text", "view": b"view"})
    leases.write(1, payload)
    arguments = keep.payload.arguments(leases.received.view(1, len(payload)))
    leases.received.collect()
    assert not leases.free
    view = arguments.pop("view")[1:]
    leases.received.collect()
    assert not leases.free
    with pytest.raises(BadSegment, match="h1 holds a payload that is still in use"):
        leases.received.view(1, len(payload))
    assert bytes(view) == b"iew"
    del view
    leases.received.collect()
    assert leases.free == [1]
    assert arguments["text"] == b"text"


def test_an_array_that_a_tool_keeps_keeps_its_segment(leases: Leases) -> None:
    @tool
    def keep(rows: np.ndarray) -> None: ...

    encoded = keep.payload.encode({"rows": np.arange(100_000.0)})
    assert isinstance(encoded, Pieces)
    leases.write(1, b"".join(encoded.parts))
    rows = keep.payload.arguments(leases.received.view(1, len(encoded)))["rows"]
    part = rows[10:20].reshape(2, 5)
    del rows
    leases.received.collect()
    assert not leases.free
    assert part.sum() == sum(range(10, 20))
    del part
    leases.received.collect()
    assert leases.free == [1]


def test_inputs_that_nobody_took_are_given_back_when_the_call_is_over(leases: Leases) -> None:
    leases.write(1, b"one")
    job = Job(1, nothing, b"", Outbox(), MIB)
    job.received = leases.received
    job.feed = Feed()
    assert job.feed.room(MIB) > 0
    job.feed.give(leases.received.view(1, 3), MIB)
    leases.received.collect()
    assert not leases.free
    job.release()
    assert leases.free == [1]


def test_a_segment_is_written_again_longer_and_shorter(leases: Leases) -> None:
    for payload in (b"a" * 10, b"b" * 70_000, b"c" * 5):
        leases.write(1, payload)
        assert bytes(leases.received.view(1, len(payload))) == payload
        leases.received.collect()
    assert leases.free == [1, 1, 1]


def test_memory_of_a_segment_that_the_host_removed_is_let_go(leases: Leases) -> None:
    leases.write(1, b"one")
    assert bytes(leases.received.view(1, 3)) == b"one"
    leases.received.collect()
    (leases.folder / "h1").unlink()
    leases.write(2, b"two")
    assert bytes(leases.received.view(2, 3)) == b"two"
    assert "/h1" not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    ("segment", "length", "says"),
    [
        (7, 1, "h7 cannot be opened"),
        (1, 4, "h1 has 3 bytes, and a payload in it 4"),
        (1, 0, "h1 has 3 bytes, and a payload in it 0"),
        (1, 2**63, "h1 has 3 bytes"),
        (2, 1, "h2 cannot be opened"),
        (3, 1, "h3 (cannot be opened|has 0 bytes)"),
        (4, 1, "h4"),
    ],
)
def test_a_segment_that_is_none_is_refused(leases: Leases, segment: int, length: int, says: str) -> None:
    leases.write(1, b"one")
    (leases.folder / "h2").symlink_to("/etc/hostname")
    os.mkfifo(leases.folder / "h3")
    (leases.folder / "h4").mkdir()
    with pytest.raises(BadSegment, match=says):
        leases.received.view(segment, length)


# -- its own -----------------------------------------------------------------------------------------------------------


def test_segments_are_written_again_and_bounded(tmp_path: Path) -> None:
    written = Written(str(tmp_path), 3 * MIB)
    assert [written.write(bytes(MIB)) for _ in range(4)] == [1, 2, 3, None]
    written.free(2)
    assert written.write(Pieces([b"x" * 10, memoryview(bytes(70_000))])) == 2
    assert (tmp_path / "w2").read_bytes().startswith(b"x" * 10 + b"\0")
    written.free(1)
    written.free(3)
    assert written.write(bytes(MIB + MIB // 2)) == 4  # two small ones make room
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w2", "w4"]
    with pytest.raises(BadSegment, match="w3 is free"):
        written.free(3)
    written.close()
    assert list(tmp_path.iterdir()) == []
    assert written.write(bytes(10)) is None


def test_without_a_folder_or_memory_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Written(str(tmp_path / "gone"), MIB).write(b"x") is None

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert Written(str(tmp_path), MIB).write(b"x") is None
    assert list(tmp_path.iterdir()) == []


# -- a worker ----------------------------------------------------------------------------------------------------------


class Host:
    """A stream whose session has a folder of segments."""

    def __init__(self, worker: WorkerProcess, folder: Path, limit: int = 4 * MIB) -> None:
        self.folder = folder
        self.stream = Stream(worker.socket)
        self.stream.hello(segments=str(folder), segment_bytes=limit)
        self.stream.tools = {tool.name: tool.id for tool in self.stream.await_frame("welcome").welcome.tools}

    def call(self, id: int, tool: str, segment: int, length: int | None = None, **arguments: object) -> None:
        payload = msgspec.msgpack.encode(arguments)
        (self.folder / f"h{segment}").write_bytes(payload)
        self.send_shared(id, tool, segment, len(payload) if length is None else length)

    def call_with(self, id: int, tool: str, segment: int, **arguments: object) -> None:
        """As `call`, with arrays that look into the segment."""
        encoded = whole(nothing.payload.encode(arguments))
        (self.folder / f"h{segment}").write_bytes(encoded)
        self.send_shared(id, tool, segment, len(encoded))

    def await_freed(self, *segments: int) -> None:
        self.stream.until(lambda: self.freed() == [*segments])

    def send_shared(self, id: int, tool: str, segment: int, length: int) -> None:
        place = _wire.Shared(segment=segment, length=length)
        self.stream.send(_wire.HostFrame(call=_wire.Call(id=id, tool=self.stream.tools[tool], shared=place)))

    def free(self, *segments: int) -> None:
        self.stream.send(_wire.HostFrame(free=_wire.Free(segments=segments)))

    def result(self, id: int) -> Any:
        place = self.stream.await_frame("done", id).done.shared
        return msgspec.msgpack.decode((self.folder / f"w{place.segment}").read_bytes()[: place.length])

    def freed(self) -> list[int]:
        return [segment for frame in self.stream.seen for segment in frame.free.segments]


@pytest.fixture
def host(worker: WorkerProcess, tmp_path: Path) -> Iterator[Host]:
    host = Host(worker, tmp_path)
    yield host
    host.stream.close()


def test_a_call_and_its_result_travel_in_segments_that_are_used_again(host: Host) -> None:
    for id, segment in enumerate((1, 1, 2), 1):
        data = bytes([id]) * 100_000
        host.call(id, "echo", segment, value=data)
        assert host.result(id) == data
        host.stream.until(lambda: len(host.freed()) == id)  # noqa: B023
        host.free(host.stream.await_frame("done", id).done.shared.segment)
    assert host.freed() == [1, 1, 2]
    assert sorted(path.name for path in host.folder.iterdir()) == ["h1", "h2", "w1"]


def test_what_finds_no_room_travels_in_its_frame(host: Host) -> None:
    for id in range(1, 9):
        host.stream.call(id, "big", size=900_000)
        done = host.stream.await_frame("done", id).done
        assert done.HasField("shared") == (not done.payload) == (id <= 4)
    host.free(2)
    host.stream.call(9, "big", size=900_000)
    assert host.stream.await_frame("done", 9).done.shared.segment == 2


def test_an_idle_worker_keeps_no_segment_of_a_call_that_is_over(host: Host) -> None:
    host.stream.call(1, "arrays")  # imports numpy
    host.stream.await_frame("done", 1)
    host.call_with(2, "echo", 1, value=ROWS)
    host.await_freed(1)
    assert host.stream.await_frame("done", 2).done.shared.length > ROWS.nbytes
    host.call_with(3, "add", 2, a=ROWS)
    host.await_freed(1, 2)
    assert host.stream.await_frame("failed", 3).failed.WhichOneof("reason") == "invalid"
    host.call_with(2, "echo", 1, value=ROWS)  # that has run
    host.await_freed(1, 2, 1)
    assert "AlreadyStarted" in host.stream.await_frame("failed", 2).failed.exception.type


def test_a_call_that_never_runs_gives_its_segment_back(host: Host) -> None:
    gate = host.folder / "go"
    host.stream.call(1, "wait_until", path=str(gate))
    host.stream.await_frame("started", 1)
    host.call_with(2, "echo", 1, value=ROWS)
    host.stream.cancel(2)
    host.await_freed(1)
    host.call_with(3, "echo", 1, value=ROWS)
    host.stream.drain()
    host.await_freed(1, 1)
    host.call_with(4, "echo", 1, value=ROWS)
    host.await_freed(1, 1, 1)
    assert [frame.failed.id for frame in host.stream.of("failed")] == [2, 3, 4]
    gate.touch()


def test_small_results_travel_in_their_frames(host: Host) -> None:
    host.call(1, "echo", 1, value=b"small")
    assert host.stream.result(1) == b"small"


def test_a_cut_stream_loses_no_segment(host: Host, worker: WorkerProcess) -> None:
    host.call(1, "echo", 1, value=b"x" * 100_000)
    place = host.stream.await_frame("done", 1).done.shared
    host.stream.close()
    again = Stream(worker.socket)
    again.heard = host.stream.heard
    again.resume(host.stream)
    host.stream.heard = again.heard = 0
    again.await_frame("welcome")
    host.stream = again
    assert (host.folder / f"w{place.segment}").stat().st_size >= place.length
    host.free(place.segment)
    host.call(2, "echo", 1, value=b"y" * 100_000)
    assert host.result(2) == b"y" * 100_000
    assert again.await_frame("done", 2).done.shared.segment == place.segment
    again.close()


def test_another_session_removes_the_segments_of_the_one_before(
    host: Host, worker: WorkerProcess, tmp_path: Path
) -> None:
    host.call(1, "echo", 1, value=b"x" * 100_000)
    host.stream.await_frame("done", 1)
    other = tmp_path / "other"
    other.mkdir()
    second = Host(worker, other)
    assert [path.name for path in tmp_path.glob("w*")] == []
    second.call(2, "echo", 1, value=b"x" * 100_000)
    assert second.result(2) == b"x" * 100_000
    second.stream.close()


def test_the_last_results_of_a_worker_are_there_when_it_is_gone(host: Host, worker: WorkerProcess) -> None:
    host.call(1, "echo", 1, value=b"x" * 100_000)
    host.stream.await_frame("done", 1)
    worker.terminate()
    assert worker.exit_code() == 0
    assert host.result(1) == b"x" * 100_000


@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        (lambda host: host.send_shared(1, "echo", 9, 1), "h9 cannot be opened"),
        (
            lambda host: host.call(1, "echo", 1, length=2**40, value=1),
            "h1 has 8 bytes, and a payload in it 1099511627776",
        ),
        (lambda host: host.free(1), "w1 is free, it is said, and holds no payload"),
        (lambda host: host.free(2**64 - 1), "is free, it is said, and holds no payload"),
    ],
)
def test_a_handle_that_leads_nowhere_ends_the_stream(host: Host, hostile: Callable[[Host], None], says: str) -> None:
    hostile(host)
    assert host.stream.await_end() is grpc.StatusCode.ABORTED
    assert says in host.stream.responses.details()


def test_without_a_folder_there_are_no_segments(worker: WorkerProcess) -> None:
    stream = Stream(worker.socket)
    stream.welcome()
    stream.call(1, "big", size=900_000)
    assert stream.result(1) == bytes(900_000)
    stream.send(_wire.HostFrame(call=_wire.Call(id=2, tool=0, shared=_wire.Shared(segment=1, length=1))))
    assert stream.await_end() is grpc.StatusCode.ABORTED
    assert "Hello named no folder of segments" in stream.responses.details()


@given(st.binary(max_size=20), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_any_handle_is_read_or_refused(content: bytes, segment: int, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        leases = Leases(Path(folder))
        leases.write(segment, content)
        try:
            assert bytes(leases.received.view(segment, length)) == content[:length]
        except BadSegment:
            assert not 0 < length <= len(content)
