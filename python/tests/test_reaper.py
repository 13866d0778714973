from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import venv
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reaper_host import PATIENCE, SOURCES, ReaperHost, alive, await_dead, limit
from snakepit import _liveness
from snakepit_reaper.births import ANSWER_SECONDS, FIELDS, Birth, Births
from snakepit_reaper.cgroup import remove_parents
from snakepit_reaper.launch import can_tie
from snakepit_reaper.lines import Lines
from snakepit_reaper.memory import OomKills
from snakepit_reaper.turns import TURN_SECONDS, Turns
from worker_host import TOKEN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is proved here needs /proc and a subreaper")

SLEEP = "import time; print('up', flush=True); time.sleep(1000)"
HOLD_GIL = "import ctypes; print('up', flush=True); ctypes.PyDLL(None).sleep(1000)"
# a daemon: double fork, a session of its own; prints its pid
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(1000)
    os._exit(0)
os.wait()
"""
WAIT_FOR_DAEMON = DAEMON + "time.sleep(1000)\n"


def test_says_that_it_is_ready_and_a_subreaper(reaper: ReaperHost) -> None:
    assert reaper.ready == {
        "event": "ready",
        "pid": reaper.process.pid,
        "subreaper": True,
        "containment": {"subreaper": True, "pdeathsig": True, "pidfd": True, "namespace": False},
    }


def test_runs_where_it_is_installed_and_whatever_lies_about(folder: Path) -> None:
    home = folder / "venv"
    venv.create(home, symlinks=True)
    (packages,) = home.glob("lib/*/site-packages")
    # not the worker's package: it must not need it
    (packages / "snakepit_reaper").symlink_to(SOURCES / "snakepit_reaper")
    for decoy in ("snakepit_reaper", "snakepit", "selectors"):
        (folder / f"{decoy}.py").write_text("raise SystemExit(3)")
    command = (str(home / "bin" / "python"), "-I", "-m", "snakepit_reaper")
    reaper = ReaperHost("env", f"PYTHONPATH={folder}", reaper=command, cwd=folder)
    try:
        reaper.spawn("a", "true")
        assert reaper.event("exited", "a")["code"] == 0
        assert reaper.close() == 0
    finally:
        reaper.kill()


@pytest.mark.parametrize("result", [-1, 0], ids=["refused", "not kept"])
def test_a_parent_death_signal_that_the_kernel_does_not_keep_is_not_claimed(
    monkeypatch: pytest.MonkeyPatch, result: int
) -> None:
    assert can_tie()
    refusing = Mock()
    refusing.prctl.return_value = result
    monkeypatch.setattr("snakepit_reaper.launch.libc", refusing)
    assert not can_tie()
    monkeypatch.setattr("ctypes.CDLL", lambda _: refusing)
    assert not _liveness._tied()


def test_gives_a_worker_its_secret_its_status_pipe_and_nothing_else(reaper: ReaperHost) -> None:
    reaper.python(
        "default/0",
        """
import json, os, sys
secret = sys.stdin.read()
fd = int(os.environ["SNAKEPIT_STATUS_FD"])
fds = sorted(int(n) for n in os.listdir("/proc/self/fd"))
facts = dict(secret=secret, fds=[n for n in fds if n > 2 and os.path.exists(f"/proc/self/fd/{n}")], fd=fd,
    leader=os.getsid(0) == os.getpgid(0) == os.getpid(), marker=os.environ["SNAKEPIT_WORKER"],
    oom=open("/proc/self/oom_score_adj").read().strip())
os.write(fd, json.dumps(facts).encode() + b"\\n")
""",
    )
    status = reaper.event("status", "default/0")["status"]
    assert status.pop("fds") == [status.pop("fd")]
    oom = str(min(int(Path("/proc/self/oom_score_adj").read_text()) + 500, 1000))
    assert status == {"secret": f"{TOKEN}\n", "leader": True, "marker": "default/0", "oom": oom}


def test_tells_output_exit_code_and_gone_in_this_order(reaper: ReaperHost) -> None:
    pid = reaper.python("a", "import sys; print('one\\ntwo'); print('three', file=sys.stderr, end=''); sys.exit(7)")
    reaper.event("gone", "a")
    expected = {"event": "exited", "id": "a", "pid": pid, "code": 7, "signal": None, "sent": None, "oom": None}
    assert reaper.event("exited", "a") == expected
    outputs = {(event["stream"], event["text"]) for event in reaper.of("output")}
    assert outputs == {("stdout", "one"), ("stdout", "two"), ("stderr", "three")}
    assert [event["event"] for event in reaper.events][-2:] == ["exited", "gone"]


def test_started_is_the_start_time_in_proc(reaper: ReaperHost) -> None:
    pid = reaper.python("a", SLEEP)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    assert reaper.event("spawned", "a")["started"] == int(fields[19])


def test_signals_the_group_of_a_worker(reaper: ReaperHost) -> None:
    reaper.python("a", SLEEP)
    reaper.output("a")
    reaper.signal("a", "TERM")
    assert (exited := reaper.event("exited", "a"))["signal"] == "SIGTERM"
    assert (exited["sent"], exited["oom"]) == ("TERM", None)
    reaper.event("gone", "a")


def test_a_real_time_signal_without_a_name_is_told_by_number(reaper: ReaperHost) -> None:
    reaper.python("a", "import os; os.kill(os.getpid(), 40)")
    assert reaper.event("exited", "a")["signal"] == "SIG40"


def test_a_status_that_the_host_could_not_parse_is_an_error(reaper: ReaperHost) -> None:
    reaper.python("a", "import os; os.write(int(os.environ['SNAKEPIT_STATUS_FD']), b'{\"load\": NaN}\\nnonsense\\n')")
    reaper.event("gone", "a")
    assert ["no JSON line" in event["message"] for event in reaper.of("error")] == [True, True]
    assert not reaper.of("status")


def test_kill_reaches_a_stopped_worker_and_its_daemon(reaper: ReaperHost) -> None:
    reaper.python("a", WAIT_FOR_DAEMON)
    daemon = int(reaper.output("a"))
    reaper.signal("a", "STOP")
    reaper.signal("a", "KILL")
    assert reaper.event("exited", "a")["signal"] == "SIGKILL"
    reaper.event("gone", "a")
    assert not alive(daemon)


def test_gone_waits_for_a_daemon_that_the_worker_left_behind(reaper: ReaperHost) -> None:
    reaper.python("a", DAEMON)
    other = reaper.python("b", SLEEP)
    daemon = int(reaper.output("a"))
    reaper.event("gone", "a")
    assert reaper.event("exited", "a")["code"] == 0
    assert not alive(daemon)
    assert alive(other)


def test_an_id_can_be_used_again_when_it_is_gone_and_not_before(reaper: ReaperHost) -> None:
    reaper.python("a", SLEEP)
    reaper.spawn("a", "true")
    assert "not gone yet" in reaper.event("spawn_failed", "a")["message"]
    reaper.signal("a", "KILL")
    reaper.event("gone", "a")
    reaper.events.clear()
    reaper.spawn("a", "true")
    assert reaper.event("exited", "a")["code"] == 0


def test_a_program_that_is_not_there_is_a_failed_spawn(reaper: ReaperHost) -> None:
    reaper.spawn("a", "/no/such/program")
    failed = reaper.event("spawn_failed", "a")
    assert (failed["errno"], failed["forkserver_gone"]) == (2, False)
    assert "/no/such/program" in failed["message"]
    reaper.spawn("a", "nul\0byte")
    reaper.spawn("b", "true")
    assert reaper.event("exited", "b")["code"] == 0


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no json",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"op":"fly"}',
        b'{"op":"spawn","id":"a"}',
        b'{"op":"signal","id":"a","signal":"NAP"}',
        b'{"op":"fork","id":"a","via":"b"}',
        b'{"op":"forkserver","id":"a"}',
        b'{"op":"spawn","id":1,"argv":[],"env":{},"cwd":"","secret":""}',
    ],
    ids=lambda line: line[:24].decode(errors="replace"),
)
def test_survives_a_command_that_it_cannot_understand(reaper: ReaperHost, line: bytes) -> None:
    reaper.write(line)
    assert "not understood" in reaper.event("error")["message"]
    reaper.spawn("a", "true")
    assert reaper.event("exited", "a")["code"] == 0


def test_answers_a_ping(reaper: ReaperHost) -> None:
    reaper.write(b'{"op":"ping"}')
    assert reaper.event("pong") == {"event": "pong"}


def test_a_worker_that_the_host_does_not_listen_to_is_never_blocked(reaper: ReaperHost) -> None:
    reaper.python("a", "import sys\nfor _ in range(3000): print('x' * 1000)\n")
    # reads nothing until the worker, which wrote three times what is kept, has ended
    await_dead(reaper.pids)
    reaper.event("gone", "a")
    kept = len(reaper.of("output"))
    assert reaper.event("dropped")["lines"] == 3000 - kept
    assert reaper.event("exited", "a")["code"] == 0


def test_a_line_without_end_comes_in_pieces(reaper: ReaperHost) -> None:
    reaper.python("a", "print('x' * 20000, end='')")
    reaper.event("gone", "a")
    assert [len(event["text"]) for event in reaper.of("output")] == [8192, 8192, 20000 - 2 * 8192]


def test_when_the_host_closes_its_pipe_nothing_is_left(reaper: ReaperHost) -> None:
    reaper.python("daemon", WAIT_FOR_DAEMON)
    reaper.python("gil", HOLD_GIL)
    stopped = reaper.python("stopped", SLEEP)
    daemon = int(reaper.output("daemon"))
    reaper.output("gil")
    reaper.output("stopped")
    os.kill(stopped, signal.SIGSTOP)
    assert reaper.close() == 0
    assert not [pid for pid in [daemon, *reaper.pids] if alive(pid)]
    reaper.read_to_end()
    assert {event["id"] for event in reaper.of("gone")} == {"daemon", "gil", "stopped"}


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_reaper_sweeps(reaper: ReaperHost, name: signal.Signals) -> None:
    pid = reaper.python("a", SLEEP)
    reaper.process.send_signal(name)
    assert reaper.process.wait(PATIENCE) == 0
    assert not alive(pid)


def test_workers_die_with_a_reaper_that_is_killed(reaper: ReaperHost) -> None:
    reaper.python("a", SLEEP)
    reaper.python("gil", HOLD_GIL)
    reaper.output("gil")
    reaper.process.kill()
    await_dead(reaper.pids)


def test_a_kill_by_someone_else_is_not_ours(reaper: ReaperHost) -> None:
    pid = reaper.python("a", SLEEP)
    os.kill(pid, signal.SIGKILL)
    exited = reaper.event("exited", "a")
    assert (exited["signal"], exited["sent"], exited["oom"]) == ("SIGKILL", None, None)


def test_settings_hold_before_the_worker_has_its_secret(reaper: ReaperHost) -> None:
    settings = {"nice": 3, "oom_score_adj": 700, "rlimits": {"NOFILE": 99, "AS": 1 << 30}}
    reaper.python(
        "a",
        """
import json, os, resource, sys
sys.stdin.read()
facts = [os.getpriority(os.PRIO_PROCESS, 0), open("/proc/self/oom_score_adj").read().strip(),
    resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_AS)]
os.write(int(os.environ["SNAKEPIT_STATUS_FD"]), json.dumps(facts).encode() + b"\\n")
""",
        settings,
    )
    assert reaper.event("status", "a")["status"] == [3, "700", [99, 99], [1 << 30, 1 << 30]]


@pytest.mark.parametrize(("own", "expected"), [(100, "600\n"), (800, "1000\n"), (1000, "1000\n")])
def test_by_default_the_kernel_prefers_a_worker_to_the_host_whatever_that_has(own: int, expected: str) -> None:
    if own < int(Path("/proc/self/oom_score_adj").read_text()):
        pytest.skip("these tests already run with more")
    reaper = ReaperHost("sh", "-c", f'echo {own} > /proc/self/oom_score_adj; exec "$@"', "sh")
    try:
        pid = reaper.python("a", SLEEP)
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == expected
        pid = reaper.python("b", SLEEP, {"oom_score_adj": None})
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == expected
        pid = reaper.python("explicit", SLEEP, {"oom_score_adj": 1000})
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
        assert not reaper.of("error")
    finally:
        reaper.kill()


def test_a_worker_has_the_file_limit_of_the_host_though_the_reaper_has_raised_its_own() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowered = min(soft, 1000)
    reaper = ReaperHost("sh", "-c", f'ulimit -S -n {lowered}; exec "$@"', "sh")
    try:
        pid = reaper.python("a", SLEEP)
        assert limit(pid, "Max open files") == [str(lowered), str(hard)]
        assert limit(reaper.process.pid, "Max open files") == [str(hard), str(hard)]
    finally:
        reaper.kill()


def test_a_setting_that_cannot_be_had_is_told_and_the_worker_runs(reaper: ReaperHost, folder: Path) -> None:
    # a plain folder is no cgroup
    pid = reaper.python("a/1", SLEEP, {"cgroup": str(folder), "oom_score_adj": 5000})
    told = [event["message"] for event in reaper.of("error") if event["id"] == "a/1"]
    assert ["oom_score_adj 5000" in told[0], "without a cgroup of its own" in told[1]] == [True, True]
    assert alive(pid)
    assert reaper.event("spawned", "a/1")["cgroup"] is False
    assert not list(folder.iterdir())
    # once for all that ask for the same
    reaper.python("a/2", SLEEP, {"oom_score_adj": 5000})
    assert not [event for event in reaper.of("error") if event["id"] == "a/2"]
    assert "cgroup" not in reaper.event("spawned", "a/2")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "settings is an object"),
        ({"color": 1}, "settings has no color"),
        ({"nice": "low"}, "settings.nice"),
        ({"rlimits": {"SPEED": 1}}, "RLIMIT_SPEED is unknown"),
        ({"rlimits": {"AS": -5}}, "RLIMIT_AS"),
        ({"rlimits": 5}, "settings.rlimits is an object"),
        ({"cgroup": "here"}, "settings.cgroup is an absolute folder"),
    ],
)
def test_settings_that_mean_nothing_are_a_failed_spawn(reaper: ReaperHost, settings: object, said: str) -> None:
    reaper.spawn("a", "true", settings=settings)
    assert said in reaper.event("spawn_failed", "a")["message"]


def test_a_cgroup_of_its_own_holds_even_what_hides(cgroup: Path, reaper: ReaperHost) -> None:
    code = """
import os, sys, time
sys.stdin.read()  # a worker has its settings when it has its secret
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    os._exit(0)
os.wait()
time.sleep(1000)
"""
    reaper.python("pool/1#0", code, {"cgroup": str(cgroup)})
    assert reaper.event("spawned", "pool/1#0")["cgroup"] is True
    hidden = int(reaper.output("pool/1#0"))
    reaper.pids.append(hidden)
    (own,) = [folder for folder in cgroup.iterdir() if folder.is_dir()]
    assert own.name.startswith("pool.1#0.")
    assert len((own / "cgroup.procs").read_text().split()) == 2
    reaper.signal("pool/1#0", "TERM")
    reaper.event("gone", "pool/1#0")
    await_dead([hidden])  # it has left its cgroup already, and is on the last steps of its end
    assert not own.exists()
    assert not reaper.of("error")


def test_the_folders_of_a_killed_host_are_removed_but_for_those_of_another_pool(cgroup: Path) -> None:
    run = cgroup / "snakepit-run"
    pools = [run / "one", run / "other"]
    # the host is a shell that starts the Reaper; what it reads from is ours, and closed when the host is dead
    hosts = [ReaperHost("sh", "-c", '"$@"; :', "sh") for _ in pools]
    try:
        run.mkdir()
        for host, pool in zip(hosts, pools, strict=True):
            pool.mkdir()
            host.python("a", SLEEP, {"cgroup": str(pool)})
        for host, left in zip(hosts, [[run, pools[1]], []], strict=True):
            host.process.kill()
            host.close()
            await_dead([host.ready["pid"], *host.pids])
            assert [folder for folder in (run, *pools) if folder.exists()] == left
            assert not host.of("error")
    finally:
        for host in hosts:
            host.kill()
            await_dead(host.pids)
        for pool in pools:
            remove_parents(str(pool))


def test_a_reaper_that_a_living_host_replaces_leaves_the_folder_of_its_pool(cgroup: Path) -> None:
    pool = cgroup / "run" / "pool"
    try:
        pool.mkdir(parents=True)
        for _ in range(2):
            reaper = ReaperHost()
            try:
                reaper.python("a", SLEEP, {"cgroup": str(pool)})
                assert [folder.name.startswith("a.") for folder in pool.iterdir() if folder.is_dir()] == [True]
                assert reaper.close() == 0
                reaper.read_to_end()
                assert not reaper.of("error")
            finally:
                reaper.kill()
            assert [folder for folder in pool.iterdir() if folder.is_dir()] == []
    finally:
        remove_parents(str(pool))


def test_a_worker_that_the_kernel_killed_for_memory_is_told_from_one_that_someone_killed(memory_cgroup: Path) -> None:
    reaper = ReaperHost("sh", "-c", f'echo $$ > {memory_cgroup}/cgroup.procs; exec "$@"', "sh")
    try:
        bystander = reaper.python("bystander", SLEEP)
        reaper.output("bystander")
        reaper.python("greedy", "held = bytearray(1 << 30)")
        exited = reaper.event("exited", "greedy")
        assert (exited["signal"], exited["sent"]) == ("SIGKILL", None)
        assert exited["oom"]["kills"] == 1
        assert exited["oom"]["evidence"].startswith("cgroup")
        os.kill(bystander, signal.SIGKILL)
        assert reaper.event("exited", "bystander")["oom"] is None
    finally:
        reaper.kill()


def test_as_the_first_process_of_a_namespace_it_reaps_sweeps_and_heeds_signals() -> None:
    unshare = ("unshare", "--map-current-user", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets us make no pid namespace")
    reaper = ReaperHost(*unshare)
    try:
        assert (reaper.ready["pid"], reaper.ready["containment"]["namespace"]) == (1, True)
        reaper.forkserver()
        reaper.pids.clear()  # they are the namespace's
        with tempfile.TemporaryDirectory(prefix="sp-") as folder:
            reaper.forked("forked", f"{folder}/s")
            reaper.python("daemon", DAEMON)
            reaper.event("gone", "daemon")
            reaper.spawn("orphans", "sh", "-c", "for n in 1 2 3; do (sleep 0.01 &) done")
            reaper.event("gone", "orphans")
            reaper.signal("forked", "TERM")
            assert reaper.event("exited", "forked")["code"] == 0
        reaper.pids.clear()
        reaper.spawn("b", "sleep", "1000")
        reaper.event("spawned", "b")
        host_pid = reaper.children()[0]
        os.kill(host_pid, signal.SIGTERM)
        assert reaper.process.wait(PATIENCE) == 0
        reaper.read_to_end()
        assert reaper.event("gone", "b")
    finally:
        reaper.pids.clear()
        reaper.kill()


CGROUP_FILES = {
    "version 2": (
        "0::/kubepods/pod7\n",
        "sys/fs/cgroup/kubepods/pod7/memory.events",
        "low 0\nhigh 12\nmax 40\noom 3\noom_kill {}\noom_group_kill 9\n",
        "cgroup-shared",
    ),
    "version 2, beside version 1": (
        "4:memory:/\n0::/\n",
        "sys/fs/cgroup/unified/memory.events",
        "oom 3\noom_kill {}\n",
        "cgroup-shared",
    ),
    "version 1": (
        "4:cpu,memory:/docker/8\n",
        "sys/fs/cgroup/memory/docker/8/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n",
        "cgroup-v1",
    ),
    "version 1 in a container": (
        "4:memory:/docker/8\n",
        "sys/fs/cgroup/memory/memory.oom_control",
        "oom_kill_disable 0\noom_kill {}\n",
        "cgroup-v1",
    ),
    "version 2 without memory": ("0::/\n", "proc/vmstat", "oom_killer 5\noom_kill {}\n", "kernel"),
}


@pytest.mark.parametrize(("own", "counter", "text", "evidence"), CGROUP_FILES.values(), ids=CGROUP_FILES)
def test_kills_for_memory_are_counted_where_the_kernel_says_them(
    tmp_path: Path, own: str, counter: str, text: str, evidence: str
) -> None:
    file = tmp_path / counter
    for needed in (file, tmp_path / "proc" / "self" / "cgroup"):
        needed.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(own)
    file.write_text(text.format(7))
    kills = OomKills(str(tmp_path))
    assert (kills.evidence, kills.count()) == (evidence, 7)
    file.write_text(text.format(9))
    assert kills.count() == 9
    file.unlink()
    assert kills.count() == 0


def test_the_time_of_a_turn_is_what_the_reaper_ran() -> None:
    now = iter([100.0, 100.1, 100.1, 3700.0, 3700.2])
    turns = Turns(lambda: next(now))
    assert [turns.turn() for _ in range(4)] == pytest.approx([0.1, 0.0, TURN_SECONDS, 0.2])


def test_an_order_is_not_overdue_for_what_was_sent_before_it() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        births = Births(here)
        for id in "abc":
            births.ask(Birth(id, dict.fromkeys(FIELDS, "s") | {"id": id}))
        assert not list(births.order())
        births.age(ANSWER_SECONDS * 0.75)
        there.send(b'{"id":"a","pid":1}')
        assert [answered[0].id for answered in births.answers() if answered] == ["a"]
        births.age(ANSWER_SECONDS * 0.75)
        # neither b nor c waited longer since its turn came
        assert not births.overdue
        there.send(b'{"id":"c","pid":2}')
        assert [answered[0].id for answered in births.answers() if answered] == ["c"]
        # others that go on do not excuse the one that hangs
        births.age(ANSWER_SECONDS * 0.5)
        assert births.overdue
        assert [birth.id for birth in births.lose()] == ["b"]
        assert not births.overdue


@given(chunks=st.lists(st.text("ab\n", max_size=12).map(str.encode)), limit=st.integers(1, 6))
def test_lines_are_whole_however_the_bytes_arrive(chunks: list[bytes], limit: int) -> None:
    lines = Lines(limit)
    got = [line for chunk in chunks for line in lines.feed(chunk)] + list(lines.rest())
    expected = Lines(limit)
    data = b"".join(chunks)
    assert got == list(expected.feed(data)) + list(expected.rest())
    assert all(len(line) <= limit for line in got)
    assert b"".join(got) == data.replace(b"\n", b"")
    assert all(len(line) == limit or b"\n" in data for line, _ in pairwise(got))
