"""The Reaper: one small process per pool that owns every worker of it.

Run as a program: `python -I -m snakepit_reaper` where it is installed, `python -I -S …/snakepit_reaper/__main__.py`
in a checkout. Standard library only, one thread, and nothing of the package `snakepit`, which imports more. It is
isolated (-I): neither PYTHONPATH nor the folder it is started in can put another module in the place of one of its
own. As process 1 of a pid namespace it is its init.

    host ── commands, one JSON object a line ──▶ stdin   ┌────────┐  spawns, signals, reaps
    host ◀── events, one JSON object a line ─── stdout   │ Reaper │──┬── worker ── whatever it started
                                                         └────────┘  └── worker ── …

    command                                        event
    {"op":"spawn","id","argv","env","cwd",         {"event":"ready","pid","subreaper",
     "secret","settings"?}                          "containment":{"subreaper","pdeathsig","pidfd","namespace"}}
    {"op":"forkserver","id","argv","env","cwd",    {"event":"spawned","id","pid","started","cgroup"?}
     "settings"?}                                  {"event":"spawn_failed","id","errno","message","forkserver_gone"}
    {"op":"fork","id","via","socket","name",       {"event":"status","id","status":{…}}
     "max_payload","concurrency","allow",          {"event":"output","id","stream","text"}
     "secret","settings"?}                         {"event":"dropped","lines"}
    {"op":"signal","id","signal":"TERM"}           {"event":"pong"}
    {"op":"ping"}                                  {"event":"exited","id","pid","code","signal",
    end of file: sweep                              "sent":"TERM"|"KILL"|null,"oom":{"evidence","kills"}|null}
                                                   {"event":"gone","id"}
                                                   {"event":"error","message","id"?}

    settings  {"nice":10, "oom_score_adj":700, "rlimits":{"AS":bytes,"CPU":seconds,"NOFILE":n,"CORE":bytes},
               "cgroup":"/absolute/folder/of/a/delegated/parent"}, each of them optional; rlimits are soft and hard

*Spawn* starts `argv` in a session of its own, tied to the Reaper by PR_SET_PDEATHSIG, with `secret` as the only line
of its stdin and a pipe for status lines whose number is in SNAKEPIT_STATUS_FD. *Forkserver* starts `argv` likewise,
with nothing on its stdin and a socket for orders in SNAKEPIT_FORK_FD (`snakepit.forkserver`); *fork* has it make a
worker, which then is like a spawned one in everything. The Reaper makes the pipes of that worker, and writes the secret
when it knows its pid: what a forkserver that died half-way has left reads end of file instead, and ends.

A forkserver that owes an answer for two seconds is stuck: what was asked of it fails with `forkserver_gone`, and it is
killed. Time in which the Reaper itself did not run does not count. A *signal* to a worker that is not born yet is
answered with `spawn_failed` at once; should it still come to be, the Reaper kills it and says nothing of it.

A worker has its settings before its secret; a forked one starts with its forkserver's. A setting that cannot be had is
told as *error*, once for all workers that ask for it, and they run without it. Without an `oom_score_adj` a process
gets the Reaper's own, which is the host's, and 500, at most 1000.

`containment` is what was tried out at the start. Whether there can be cgroups shows when a worker is to have one:
*spawned* says whether it is in it, and an *error* why one is not.

*Exited* means that the first process of a worker was reaped: `sent` is the last signal that it had from the Reaper,
`oom` what says that the kernel killed it for memory, by the counter of its own cgroup ("cgroup"), else of the one that
it shares with the Reaper ("cgroup-shared", "cgroup-v1"), else of the machine ("kernel"). What it left behind is then
killed, and *gone* means that the kernel shows nothing of it any more. *Sweep* (end of file on stdin, a broken stdout,
SIGTERM, SIGINT, SIGHUP) kills everything below the Reaper until nothing is left, and exits 0.

A process belongs to a worker when it is in the worker's session or group, carries SNAKEPIT_WORKER=<id> in the
environment it was started with, or descends from one that does. The Reaper is a subreaper, so a process that outlives
its parent becomes a child of the Reaper and cannot leave. One that clears its environment, starts a session and then
outlives its worker is nobody's: it lives until the sweep, unless the worker has a cgroup.

Where there is no /proc (macOS), a worker is its process group and `ready` says `"subreaper": false`.
"""

from __future__ import annotations

import os
import sys
import traceback

if not __package__:
    # run as a file, isolated: the folder of this package is not looked in by itself
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main() -> int:
    """Serves stdin and stdout; exits 0 after a sweep, 70 after one that a defect brought on, 78 under an old Python."""
    if sys.version_info < (3, 11):  # noqa: UP036 - what the package's metadata demands, nothing enforces here
        found = ".".join(map(str, sys.version_info[:3]))
        print(f"Python 3.11 or newer is needed, and {sys.executable} is {found}", file=sys.stderr)
        return 78
    from snakepit_reaper.launch import wake_with_the_host
    from snakepit_reaper.loop import Reaper

    wake_with_the_host()
    reaper = Reaper(0, 1)
    try:
        reaper.serve()
    except BaseException:
        traceback.print_exc()
        reaper.sweep()
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
