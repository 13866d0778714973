from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from reaper_host import PATIENCE, SOURCES, ReaperHost, alive, await_dead, limit
from snakepit import _wire
from snakepit import forkserver as program
from snakepit_reaper.births import ANSWER_SECONDS
from worker_host import Stream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a forked worker belongs to a subreaper: Linux only")

ID = "default-pool-of-thirty-two-letters/249#1000000"


@contextmanager
def serving(socket: Path) -> Iterator[Stream]:
    with closing(Stream(str(socket))) as stream:
        stream.welcome()
        yield stream


def environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def stat(pid: int) -> list[str]:
    """Fields of proc_pid_stat(5) from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def standing_by(forkserver: int) -> int:
    """A process that waits for an order, waited for: not the one that took the last order and is not reaped yet."""
    until = time.monotonic() + PATIENCE
    while not (living := [pid for pid in children(forkserver) if state(pid) not in "ZX"]):
        assert time.monotonic() < until
        time.sleep(0.001)
    return living[0]


def state(pid: int) -> str:
    """The letter of proc_pid_stat(5); X, dead, when nothing of it is left."""
    try:
        return stat(pid)[0]
    except FileNotFoundError:
        return "X"


def await_that(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.001)


def freeze(forkserver: int) -> list[int]:
    """Stops it and what stands by, so that it takes no order; the processes that are to be continued."""
    await_that(lambda: len(children(forkserver)) == program.STANDING_BY)
    frozen = [forkserver, *children(forkserver)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    await_that(lambda: all(stat(pid)[0] == "T" for pid in frozen))
    return frozen


def thaw(frozen: list[int]) -> None:
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)


def await_children(reaper: ReaperHost, expected: set[int]) -> None:
    await_that(lambda: set(reaper.children()) == expected)


def fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def marked(prefix: str) -> list[int]:
    """Processes of a worker whose id starts so."""
    here = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and any(
                entry.startswith(f"SNAKEPIT_WORKER={prefix}") for entry in environment(int(name))
            ):
                here.append(int(name))
        except OSError:
            continue
    return here


def test_says_what_it_has_loaded_and_that_it_may_fork(reaper: ReaperHost) -> None:
    status = reaper.forkserver()
    assert (status["status"], status["pid"], status["threads"]) == ("ready", reaper.pids[0], 1)
    assert {"add", "count", "bounded.half"} <= set(status["tools"])


def test_threads_that_a_library_stops_for_a_fork_are_not_counted(reaper: ReaperHost, folder: Path) -> None:
    # numpy's OpenBLAS starts threads when it is imported, and ends them before a fork
    environment = {"OPENBLAS_NUM_THREADS": "4", "PARTING": str(folder / "parting")}
    assert reaper.forkserver(adapter="parting", **environment)["threads"] == 1


def test_an_import_that_leaves_a_thread_says_so(reaper: ReaperHost) -> None:
    assert reaper.forkserver(adapter="threaded")["threads"] == 2


@pytest.mark.parametrize(
    ("adapter", "stage", "code", "message"),
    [("broken", "import", 78, "no model file"), ("bare", "catalogue", 70, "no tools")],
)
def test_what_keeps_it_from_forking_is_told(
    reaper: ReaperHost, folder: Path, adapter: str, stage: str, code: int, message: str
) -> None:
    reaper.fork("early", "s", via="none")
    assert reaper.event("spawn_failed", "early")["forkserver_gone"]
    status = reaper.forkserver(adapter=adapter)
    assert (status["status"], status["stage"]) == ("failed", stage)
    assert message in status["exception"]["message"]
    reaper.fork("late", folder / "late")
    assert reaper.event("spawn_failed", "late")["forkserver_gone"]
    assert reaper.event("exited", "fork")["code"] == code
    reaper.event("gone", "fork")


def test_a_requirement_that_cannot_be_imported_is_told_as_one_of_the_adapter(reaper: ReaperHost, folder: Path) -> None:
    (folder / "hpack.py").write_text("raise ImportError('libstdc++.so.6 is not there')")
    status = reaper.forkserver(PYTHONPATH=f"{folder}:{SOURCES}")
    assert (status["status"], status["stage"]) == ("failed", "import")
    assert status["exception"]["message"] == "libstdc++.so.6 is not there"
    assert reaper.event("exited", "fork")["code"] == 78


def test_without_proc_nobody_knows_how_many_threads_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert program._threads() is not None
    monkeypatch.setattr(os, "listdir", Mock(side_effect=FileNotFoundError))
    assert program._threads() is None


def test_a_forked_worker_serves_and_drains(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    pid = reaper.forked(ID, folder / "s")
    with serving(folder / "s") as stream:
        stream.call(1, "whoami")
        assert stream.result(1) == {"pid": pid, "main": True}
        stream.call(2, "ask")
        assert stream.exception(2).type == "EOFError"
    reaper.signal(ID, "TERM")
    exited = reaper.event("exited", ID)
    assert (exited["code"], exited["sent"], exited["oom"]) == (0, "TERM", None)
    reaper.event("gone", ID)
    assert not reaper.of("error")


def test_it_is_known_by_its_marks(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver(parent := "fork", adapter="parting", PARTING=str(folder / "parting"))
    pid = reaper.forked(ID, folder / "s")
    assert f"SNAKEPIT_WORKER={ID}" in environment(pid)
    assert Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0") == f"snakepit.worker {ID.partition('#')[0]}"
    _, ppid, group, session, *_ = stat(pid)
    assert (int(ppid), int(group), int(session)) == (reaper.process.pid, pid, pid)
    assert reaper.event("spawned", ID)["started"] == int(stat(pid)[19])
    with serving(folder / "s") as stream:
        stream.send(_wire.HostFrame(rename=_wire.Rename(name="default/7")), _wire.HostFrame(ping=_wire.Ping(id=1)))
        stream.await_frame("pong", 1)
        assert Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0") == "snakepit.worker default/7"
        assert f"SNAKEPIT_WORKER={ID}" in environment(pid)
        stream.call(1, "inherited")
        assert f"SNAKEPIT_WORKER={ID}" in stream.result(1).split("\n")
    assert any(entry.rstrip(" ") == f"SNAKEPIT_WORKER={parent}" for entry in environment(reaper.pids[0]))


def test_it_has_no_file_that_is_another_ones(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    first = reaper.forked("a/0", folder / "0")
    second = reaper.forked("a/1", folder / "1")

    def shared(pid: int) -> set[str]:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        return {link for link in links if link.startswith(("pipe:", "socket:"))}

    assert not shared(first) & shared(second)
    assert not shared(first) & shared(reaper.pids[0])


def test_it_writes_its_own_output_and_none_of_the_forkservers(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver(adapter="parting", PARTING=str(folder / "parting"))
    reaper.forked("a", folder / "s")
    with serving(folder / "s") as stream:
        stream.call(1, "say", text="hello")
        stream.result(1)
        stream.call(2, "crash")
        reaper.event("gone", "a")
    lines = [(event["stream"], event["text"]) for event in reaper.of("output") if event["id"] == "a"]
    assert [text for stream_, text in lines if stream_ == "stdout"] == ["hello"]
    assert lines.count(("stderr", "hello")) == 1
    assert ("stderr", "Fatal Python error: Segmentation fault") in lines
    exited = reaper.event("exited", "a")
    assert (exited["signal"], exited["sent"], exited["oom"]) == ("SIGSEGV", None, None)


def test_random_generators_differ_between_workers(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver(adapter="parting", PARTING=str(folder / "parting"))
    drawn = []
    for n in range(3):
        reaper.forked(f"a/{n}", folder / str(n))
        with serving(folder / str(n)) as stream:
            stream.call(1, "draw")
            drawn.extend(stream.result(1))
    assert len(set(drawn)) == len(drawn)


def test_what_an_adapter_does_at_exit_is_done_by_workers_and_not_by_the_forkserver(
    reaper: ReaperHost, folder: Path
) -> None:
    parting = folder / "parting"
    reaper.forkserver(adapter="parting", PARTING=str(parting))
    pids = [reaper.forked(f"a/{n}", folder / str(n)) for n in range(2)]
    reaper.signal("a/0", "TERM")
    reaper.event("gone", "a/0")
    assert parting.read_text() == f"{pids[0]}\n"
    reaper.signal("fork", "TERM")
    reaper.event("gone", "fork")
    assert parting.read_text() == f"{pids[0]}\n"


def test_a_daemon_of_it_that_never_executed_anything_goes_with_it_alone(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver(adapter="parting", PARTING=str(folder / "parting"))
    daemons = []
    for n in range(2):
        reaper.forked(f"a/{n}", folder / str(n))
        with serving(folder / str(n)) as stream:
            stream.call(1, "daemon")
            daemons.append(stream.result(1))
    reaper.pids.extend(daemons)
    reaper.signal("fork", "KILL")
    reaper.event("gone", "fork")
    assert all(map(alive, daemons))
    reaper.signal("a/0", "TERM")
    reaper.event("gone", "a/0")
    assert [alive(pid) for pid in daemons] == [False, True]


def test_living_workers_serve_on_when_the_forkserver_dies(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    pid = reaper.forked("a/0", folder / "s")
    os.kill(reaper.pids[0], signal.SIGKILL)
    assert reaper.event("exited", "fork")["signal"] == "SIGKILL"
    reaper.event("gone", "fork")
    with serving(folder / "s") as stream:
        stream.call(1, "add", a=1)
        assert stream.result(1) == 2
    reaper.events.clear()
    reaper.fork("a/1", folder / "1")
    failed = reaper.event("spawn_failed", "a/1")
    assert failed["forkserver_gone"]
    assert "no forkserver 'fork'" in failed["message"]
    reaper.forkserver()
    assert alive(pid)
    reaper.forked("a/1", folder / "1")


def test_forks_that_a_dying_forkserver_owes_are_answered_and_leave_nothing(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    freeze(reaper.pids[0])
    ids = [f"a/{n}" for n in range(20)]
    for n, id in enumerate(ids):
        reaper.fork(id, folder / str(n))
    reaper.spawn("b", "true")
    reaper.event("gone", "b")  # the Reaper does not wait for a forkserver that stands still
    assert not reaper.of("spawn_failed")
    os.kill(reaper.pids[0], signal.SIGKILL)
    for id in ids:
        failed = reaper.event("spawn_failed", id)
        assert failed["forkserver_gone"]
        assert "ended before it answered" in failed["message"]
    reaper.event("gone", "fork")
    assert not reaper.children()


def test_a_forkserver_whose_middle_was_killed_ends_for_an_order_may_be_lost(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    forkserver = reaper.pids[0]
    reaper.forked("a/0", folder / "0")
    os.kill(standing_by(forkserver), signal.SIGKILL)
    assert reaper.event("exited", "fork")["code"] == 70
    reaper.event("gone", "fork")
    assert "ended with -9" in reaper.output("fork")
    with serving(folder / "0") as stream:
        stream.call(1, "add", a=1)
        assert stream.result(1) == 2


def test_a_fork_can_be_withdrawn_before_and_after_it_was_ordered(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    forkserver = reaper.pids[0]
    frozen = freeze(forkserver)
    ids = [f"a/{n}" for n in range(10)]
    for n, id in enumerate(ids):
        reaper.fork(id, folder / str(n))
    for id in ids:
        reaper.signal(id, "TERM")
        reaper.signal(id, "KILL")
    for id in ids:
        failed = reaper.event("spawn_failed", id)
        assert (failed["errno"], failed["forkserver_gone"]) == (errno.ECANCELED, False)
        assert "withdrawn" in failed["message"]
    thaw(frozen)
    after = reaper.forked("a/after", folder / "after")
    await_children(reaper, {forkserver, after})
    # nothing more is said of those that were born all the same
    assert len(reaper.of("spawn_failed")) == len(ids)
    assert not [event for event in reaper.events if event.get("id") in ids and event["event"] != "spawn_failed"]
    reaper.events.clear()
    reaper.forked(ids[0], folder / "again")


def test_a_forkserver_that_was_stopped_is_replaced_and_takes_no_worker_along(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    os.kill(reaper.pids[0], signal.SIGSTOP)
    ids = [f"a/{n}" for n in range(20)]
    for n, id in enumerate(ids):
        reaper.fork(id, folder / str(n))
    exited = reaper.event("exited", "fork")
    assert (exited["signal"], exited["sent"]) == ("SIGKILL", "KILL")
    reaper.event("gone", "fork")
    failed = {event["id"]: event for event in reaper.of("spawn_failed")}
    # those that stood by have forked
    born = [id for id in ids if id not in failed]
    assert len(born) <= program.STANDING_BY
    assert all(event["forkserver_gone"] and "has not answered" in event["message"] for event in failed.values())
    assert "it is killed" in reaper.event("error", "fork")["message"]
    pids = [reaper.pid(id) for id in born]
    assert [reaper.event("status", id)["status"]["status"] for id in born] == ["ready"] * len(born)
    await_children(reaper, set(pids))
    assert not [event for event in reaper.of("exited") if event["id"] != "fork"]
    reaper.events.clear()
    reaper.forkserver()
    reaper.forked("a/20", folder / "20")


def test_time_in_which_the_reaper_did_not_run_is_no_fault_of_the_forkserver(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    frozen = freeze(reaper.pids[0])
    reaper.fork("a", folder / "s")
    reaper.spawn("before", "true")
    reaper.event("gone", "before")
    reaper.process.send_signal(signal.SIGSTOP)
    time.sleep(ANSWER_SECONDS + 0.2)
    reaper.process.send_signal(signal.SIGCONT)
    reaper.spawn("after", "true")
    reaper.event("gone", "after")
    thaw(frozen)
    reaper.pid("a")
    assert reaper.event("status", "a")["status"]["status"] == "ready"
    assert not reaper.of("error")


def test_a_worker_that_is_being_born_lives_on_when_the_forkserver_is_stopped(reaper: ReaperHost, folder: Path) -> None:
    gate = folder / "gate"
    reaper.forkserver(adapter="gated", GATE=str(gate))
    reaper.fork("a", folder / "s")
    pid = reaper.pid("a")
    reaper.signal("fork", "TERM")
    reaper.event("gone", "fork")
    gate.touch()
    assert reaper.event("status", "a")["status"]["pid"] == pid
    assert not [event for event in reaper.of("exited") if event["id"] != "fork"]


def test_a_stop_of_the_forkserver_amid_fifty_forks_harms_none_that_was_answered(
    reaper: ReaperHost, folder: Path
) -> None:
    reaper.forkserver()
    ids = [f"a/{n}" for n in range(50)]
    for n, id in enumerate(ids):
        reaper.fork(id, folder / str(n))
    reaper.event("spawned", ids[9])
    reaper.signal("fork", "TERM")
    reaper.event("gone", "fork")
    born = [event["id"] for event in reaper.of("spawned") if event["id"] != "fork"]
    assert {*born, *(event["id"] for event in reaper.of("spawn_failed"))} == set(ids)
    assert [reaper.event("status", id)["status"]["status"] for id in born] == ["ready"] * len(born)
    await_children(reaper, {reaper.pid(id) for id in born})
    assert not [event for event in reaper.of("exited") if event["id"] != "fork"]


def test_a_worker_that_dies_as_soon_as_it_is_born_is_told_as_any_other(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    # nobody can bind there: each is born, fails and exits within milliseconds
    for n in range(20):
        reaper.fork(f"a/{n}", folder / "missing" / "s")
    for n in range(20):
        assert reaper.event("exited", f"a/{n}")["code"] == 70
        assert reaper.event("status", f"a/{n}")["status"]["stage"] == "bind"
        reaper.event("gone", f"a/{n}")


def test_fifty_at_once(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    ids = [f"a/{n}" for n in range(50)]
    for n, id in enumerate(ids):
        reaper.fork(id, folder / str(n))
    pids = {reaper.pid(id) for id in ids}
    assert {reaper.event("status", id)["status"]["pid"] for id in ids} == pids
    assert len(pids) == 50


def test_a_hundred_forks_leave_no_file_open(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()

    def bear(n: int) -> None:
        # ends by itself: the folder of its socket is missing
        reaper.fork(f"a/{n}", folder / "missing" / "s")
        reaper.event("gone", f"a/{n}")

    bear(0)
    before = fds(reaper.process.pid), fds(reaper.pids[0])
    for n in range(1, 101):
        bear(n)
    assert (fds(reaper.process.pid), fds(reaper.pids[0])) == before
    assert reaper.children() == [reaper.pids[0]]


def test_when_the_reaper_is_killed_its_workers_and_the_forkserver_die(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    idle, holding, stopped = (reaper.forked(f"a/{n}", folder / str(n)) for n in range(3))
    with serving(folder / "1") as stream:
        stream.call(1, "hold_gil", seconds=1000)
        stream.await_frame("started", 1)
        os.kill(stopped, signal.SIGSTOP)
        reaper.process.kill()
        await_dead([reaper.pids[0], idle, holding, stopped])


def test_a_worker_that_is_born_while_the_reaper_dies_does_not_stay(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    pool = folder.name  # no other test's
    for n in range(30):
        reaper.fork(f"{pool}/{n}", folder / str(n))
    reaper.event("spawned", f"{pool}/3")
    reaper.process.kill()
    await_dead([reaper.process.pid, *reaper.pids])
    until = time.monotonic() + PATIENCE
    while left := marked(pool):
        assert time.monotonic() < until, f"{left} live on"
        time.sleep(0.005)


def test_when_the_host_hangs_up_nothing_is_left(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver(adapter="parting", PARTING=str(folder / "parting"))
    pids = [reaper.forked(f"a/{n}", folder / str(n)) for n in range(4)]
    with serving(folder / "0") as stream:
        stream.call(1, "daemon")
        daemon = stream.result(1)
    os.kill(pids[1], signal.SIGSTOP)
    assert reaper.close() == 0
    assert not [pid for pid in [daemon, *reaper.pids] if alive(pid)]


def test_kill_reaches_a_stopped_worker_and_its_daemon(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver(adapter="parting", PARTING=str(folder / "parting"))
    pid = reaper.forked("a", folder / "s")
    with serving(folder / "s") as stream:
        stream.call(1, "daemon")
        daemon = stream.result(1)
    os.kill(pid, signal.SIGSTOP)
    reaper.signal("a", "KILL")
    exited = reaper.event("exited", "a")
    assert (exited["signal"], exited["sent"], exited["oom"]) == ("SIGKILL", "KILL", None)
    reaper.event("gone", "a")
    assert not alive(daemon)


def test_settings_hold_in_a_forked_worker(reaper: ReaperHost, folder: Path) -> None:
    reaper.forkserver()
    settings = {"nice": 7, "oom_score_adj": 600, "rlimits": {"NOFILE": 123, "CORE": 0}}
    pid = reaper.forked("a", folder / "s", settings=settings)
    assert limit(pid, "Max open files") == ["123", "123"]
    assert limit(pid, "Max core file size") == ["0", "0"]
    assert stat(pid)[16] == "7"
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "600\n"
    assert not reaper.of("error")
