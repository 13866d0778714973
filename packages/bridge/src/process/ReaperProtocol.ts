/** What host and Reaper say to each other, one JSON object a line: the drawing is in `python/src/snakepit/reaper.py`. */

export type Command =
  | {
    readonly op: "spawn"
    readonly id: string
    readonly argv: ReadonlyArray<string>
    readonly env: Record<string, string>
    readonly cwd: string
    /** Written to the worker's standard input as its only line. */
    readonly secret: string
    readonly settings?: Settings
  }
  | { readonly op: "signal"; readonly id: string; readonly signal: "TERM" | "KILL" }

/** What the Reaper does to a process it starts. */
export interface Settings {
  /** A delegated folder of cgroup v2, in which the Reaper makes one for the process. */
  readonly cgroup?: string
}

/** What holds processes together where the Reaper runs. */
export interface Containment {
  readonly subreaper: boolean
  readonly pdeathsig: boolean
  readonly pidfd: boolean
  readonly namespace: boolean
}

export type Event =
  | { readonly event: "ready"; readonly pid: number; readonly subreaper: boolean; readonly containment?: Containment }
  | { readonly event: "spawned"; readonly id: string; readonly pid: number; readonly started: number }
  | { readonly event: "spawn_failed"; readonly id: string; readonly errno: number; readonly message: string }
  | { readonly event: "status"; readonly id: string; readonly status: Status }
  | { readonly event: "output"; readonly id: string; readonly stream: "stdout" | "stderr"; readonly text: string }
  | { readonly event: "dropped"; readonly lines: number }
  | {
    readonly event: "exited"
    readonly id: string
    readonly pid: number
    readonly code: number | null
    readonly signal: string | null
  }
  | { readonly event: "gone"; readonly id: string }
  | { readonly event: "error"; readonly message: string }

/** What a worker says of its own start. */
export type Status =
  | { readonly status: "ready"; readonly pid: number; readonly tools: ReadonlyArray<string> }
  | {
    readonly status: "failed"
    readonly stage: "import" | "catalogue" | "bind"
    readonly exception: { readonly type: string; readonly message: string; readonly traceback: string }
  }

export const encode = (command: Command): Uint8Array => Buffer.from(`${JSON.stringify(command)}\n`)

/** `undefined` for a line that is not an event: nothing of ours, so nothing to act on. */
export const decode = (line: string): Event | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === "object" && value !== null && "event" in value ? value as Event : undefined
  } catch {
    return undefined
  }
}
