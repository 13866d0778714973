/** What host and Reaper say to each other, one JSON object a line: the drawing is in `python/src/snakepit_reaper/__main__.py`. */

/** What the Reaper, or a forked worker itself, applies to a process before its code runs. */
export interface Settings {
  /** -20 to 19; absolute, whatever the host's own. */
  readonly nice?: number
  /** Absolute; the Reaper's own and 500, at most 1000, when left out. */
  readonly oom_score_adj?: number
  /** Soft and hard limit at once: bytes, seconds, files. */
  readonly rlimits?: { readonly AS?: number; readonly CPU?: number; readonly NOFILE?: number; readonly CORE?: number }
  /** The absolute path of a delegated cgroup: the Reaper makes a folder of its own for the process there. */
  readonly cgroup?: string
}

interface Program {
  readonly id: string
  readonly argv: ReadonlyArray<string>
  readonly env: Record<string, string>
  readonly cwd: string
  readonly settings: Settings
}

export type Command =
  /** `secret` is written to the worker's standard input as its only line. */
  | Program & { readonly op: "spawn"; readonly secret: string }
  | Program & { readonly op: "forkserver" }
  | {
    readonly op: "fork"
    readonly id: string
    /** The id of the forkserver. */
    readonly via: string
    readonly socket: string
    readonly name: string
    readonly max_payload: number
    readonly concurrency: number
    readonly allow: ReadonlyArray<string>
    readonly secret: string
    readonly settings: Settings
  }
  | { readonly op: "signal"; readonly id: string; readonly signal: "TERM" | "KILL" }

/** Answered with `pong`. */
export interface Ping {
  readonly op: "ping"
}

/** Why the kernel is thought to have ended a process for want of memory, and how often it did so while the process lived. */
export interface OutOfMemory {
  readonly evidence: "cgroup" | "cgroup-shared" | "cgroup-v1" | "kernel"
  readonly kills: number
}

/** What holds processes together where the Reaper runs. */
export interface Containment {
  readonly subreaper: boolean
  readonly pdeathsig: boolean
  readonly pidfd: boolean
  readonly namespace: boolean
}

export type Event =
  | { readonly event: "ready"; readonly pid: number; readonly subreaper: boolean; readonly containment: Containment }
  | {
    readonly event: "spawned"
    readonly id: string
    readonly pid: number
    readonly started: number
    /** Whether it is in the cgroup that it was to have; left out when it was to have none, or had ended. */
    readonly cgroup?: boolean
  }
  | {
    readonly event: "spawn_failed"
    readonly id: string
    readonly errno: number
    readonly message: string
    /** The forkserver that was asked is no more. */
    readonly forkserver_gone?: boolean
  }
  | { readonly event: "status"; readonly id: string; readonly status: Status }
  | { readonly event: "output"; readonly id: string; readonly stream: "stdout" | "stderr"; readonly text: string }
  /** Lines of output that the host did not take in time. */
  | { readonly event: "dropped"; readonly lines: number }
  | { readonly event: "pong" }
  | {
    readonly event: "exited"
    readonly id: string
    readonly pid: number
    readonly code: number | null
    readonly signal: string | null
    /** The last signal that the Reaper itself sent to it. */
    readonly sent: "TERM" | "KILL" | null
    readonly oom: OutOfMemory | null
  }
  | { readonly event: "gone"; readonly id: string }
  /** `id`: of the process that goes on without something. */
  | { readonly event: "error"; readonly id?: string; readonly message: string }

/** What a worker, or a forkserver, says of its own start. */
export type Status =
  | {
    readonly status: "ready"
    readonly pid: number
    readonly tools: ReadonlyArray<string>
    /** Of a forkserver: the threads that run after the import, its first included; null where there is no /proc to count them. */
    readonly threads?: number | null
  }
  | {
    readonly status: "failed"
    readonly stage: "import" | "catalogue" | "start" | "bind"
    readonly exception: { readonly type: string; readonly message: string; readonly traceback: string }
  }

export const encode = (command: Command | Ping): Uint8Array => Buffer.from(`${JSON.stringify(command)}\n`)

/** `undefined` for a line that is not an event: nothing of ours, so nothing to act on. */
export const decode = (line: string): Event | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === "object" && value !== null && "event" in value ? value as Event : undefined
  } catch {
    return undefined
  }
}
