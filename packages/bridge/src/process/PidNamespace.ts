/**
 * A Reaper as the first process of a pid namespace: when it ends, whatever ends it, the kernel kills everything in the namespace, and nothing
 * can leave. Made by `unshare` of util-linux, without privileges where user namespaces are allowed.
 *
 * ```text
 *  host ─ unshare (--kill-child: its end is the Reaper's) ─ Reaper = pid 1 in there ─ workers = pid 2, 3, … in there
 * ```
 *
 * The namespace has a `/proc` of its own and shares every other file, so sockets and adapters are where they were. What the Reaper says of pids
 * is meant in there; {@link translator} turns it into the host's.
 */
import { WorkerError } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import * as ProcessTable from "./ProcessTable.ts"
import type * as Protocol from "./ReaperProtocol.ts"

/** `unshare` around a command, its first word last. */
export const flags: ReadonlyArray<string> = [
  "--user",
  "--map-current-user", // the same user inside: files and sockets keep their owner
  "--pid",
  "--fork",
  "--kill-child",
  "--mount-proc",
  "--"
]

/** What the system says about namespaces; `undefined` where it has no such setting. */
export interface Facts {
  readonly platform: string
  /** What `unshare` said when it failed; `undefined` when there is no such program. */
  readonly said: string | undefined
  readonly unprivilegedUserns: string | undefined
  readonly apparmorRestricts: string | undefined
  readonly maxUserNamespaces: string | undefined
}

/** What to do about a namespace that could not be made. */
export const remedy = ({ apparmorRestricts, maxUserNamespaces, platform, said, unprivilegedUserns }: Facts): string => {
  if (platform !== "linux") return "pid namespaces are of Linux: use containment \"process\" here"
  if (said === undefined) return "install util-linux 2.34 or newer, which has the program unshare"
  if (/unrecognized option|invalid option/.test(said)) return "install util-linux 2.34 or newer: this unshare lacks an option"
  if (unprivilegedUserns === "0") return "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1"
  if (maxUserNamespaces === "0") return "allow user namespaces: sysctl user.max_user_namespaces=15000"
  if (apparmorRestricts === "1") {
    return "allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with userns for unshare"
  }
  if (/mount \/proc|mount .*proc/.test(said)) {
    return "in a container, run it with an unmasked /proc: docker run --security-opt systempaths=unconfined, procMount: Unmasked in Kubernetes"
  }
  return "in a container, allow unshare(2): docker run --security-opt seccomp=unconfined, or a seccomp profile with unshare and mount"
}

const setting = (path: string): string | undefined => {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim()
  } catch {
    return undefined
  }
}

/** What is needed, and lacking. */
export interface Lacking {
  readonly detail: string
  readonly remedy: string
}

/** Makes a namespace and leaves it. `undefined` when that went well. */
export const probe: Effect.Effect<Lacking | undefined> = Effect.callback((resume) => {
  // 10 s: a machine that swaps; else it is over in milliseconds
  execFile("unshare", [...flags, "true"], { timeout: 10_000, killSignal: "SIGKILL", encoding: "utf8" }, (error, _stdout, stderr) => {
    if (error === null) return resume(Effect.succeed(undefined))
    const said = error.code === "ENOENT" ? undefined : stderr.trim() || error.message
    const facts: Facts = {
      platform: process.platform,
      said,
      unprivilegedUserns: setting("kernel/unprivileged_userns_clone"),
      apparmorRestricts: setting("kernel/apparmor_restrict_unprivileged_userns"),
      maxUserNamespaces: setting("user/max_user_namespaces")
    }
    resume(Effect.succeed({ detail: said ?? "there is no program unshare", remedy: remedy(facts) }))
  })
})

/** Fails when a namespace that a pool asks for cannot be made. */
export const demand = (pool: string): Effect.Effect<void, WorkerError.ContainmentUnavailable> =>
  Effect.flatMap(probe, (lacking) =>
    lacking === undefined
      ? Effect.void
      : Effect.fail(new WorkerError.ContainmentUnavailable({ pool, containment: "namespace", ...lacking })))

/** The pid of a process in the namespace one below the reader's, from `/proc/<pid>/status`. It may have made others below that. */
export const pidBelow = (status: string): number | undefined => {
  const pid = /^NSpid:\s*\d+\s+(\d+)/m.exec(status)?.[1]
  return pid === undefined ? undefined : Number(pid)
}

/** The children of a process. Every thread has its own; empty where the kernel does not list them. */
const children = (pid: number): ReadonlyArray<number> =>
  ProcessTable.threads(pid)
    .flatMap((thread) => ProcessTable.read(pid, `task/${thread}/children`).split(" "))
    .filter((text) => /^\d+$/.test(text))
    .map(Number)

/** The Reaper that runs as the only child of `unshare`. */
export const reaperOf = (unshare: number): number | undefined => children(unshare)[0]

/** The process below the Reaper that has this pid in its namespace. */
export const findBelow = (reaper: number, pid: number): number | undefined => {
  const queue = [...children(reaper)]
  for (const at of queue) {
    if (pidBelow(ProcessTable.read(at, "status")) === pid) return at
    queue.push(...children(at))
  }
  return undefined
}

/**
 * Turns what a Reaper in a namespace says into pids of the host. `find` is asked once for a process, when it has been spawned; 0 stands for one
 * that had ended before it could be seen.
 */
export const translator = (find: (pid: number) => number | undefined) => {
  const known = new Map<number, number>()
  const onHost = (pid: number): number => known.get(pid) ?? 0
  return (event: Protocol.Event): Protocol.Event => {
    switch (event.event) {
      case "spawned":
        known.set(event.pid, find(event.pid) ?? 0)
        return { ...event, pid: onHost(event.pid) }
      case "status":
        return event.status.status === "ready" ? { ...event, status: { ...event.status, pid: onHost(event.status.pid) } } : event
      case "exited": {
        const pid = onHost(event.pid)
        known.delete(event.pid)
        return { ...event, pid }
      }
      default:
        return event
    }
  }
}
