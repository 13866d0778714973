/** What ends the parts of a worker: the reasons that stand in restarts, escalations and start failures. */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import * as ExitClass from "./ExitClass.ts"

const worker = { /** `default/3`. */ worker: Schema.String }

/** The last lines a process wrote, oldest first. */
const output = Schema.Array(Schema.String)

const tail = (lines: ReadonlyArray<string>): string => lines.length === 0 ? "" : `\n  ${lines.join("\n  ")}`

/** The worker's process did not come up. */
export class BootFailed extends Schema.TaggedError<BootFailed>()("BootFailed", {
  ...worker,
  /** How far it came: the process could not be made, the adapter not imported, … */
  stage: Schema.Literals(["cwd", "spawn", "import", "catalogue", "start", "bind", "handshake", "exit", "timeout"]),
  adapter: Schema.String,
  detail: Schema.String,
  output,
  /** Of the system, when it would not start the process: `ENOENT`, `EMFILE`. */
  errno: Schema.optional(Schema.String),
  /** How the process was to be made. */
  start: Schema.optional(Schema.Literals(["fork", "spawn"]))
}) {
  override get message(): string {
    return `worker ${this.worker} did not come up: ${this.what()}: ${this.detail}${tail(this.output)}\n${this.next()}`
  }
  private what(): string {
    switch (this.stage) {
      case "cwd":
        return "its working folder cannot be used"
      case "spawn":
        return "its process could not be started"
      case "import":
        return `its adapter "${this.adapter}" does not import`
      case "catalogue":
        return `the tools of its adapter "${this.adapter}" cannot be served`
      case "start":
        return `on_start of its adapter "${this.adapter}" raised`
      case "bind":
        return "it could not listen on its socket"
      case "handshake":
        return "it listens and did not shake hands"
      case "exit":
        return "its process ended before it was ready"
      case "timeout":
        return "it was not ready in time"
    }
  }
  private next(): string {
    switch (this.stage) {
      case "cwd":
        return "Make the folder, or correct python.cwd"
      case "spawn":
        return this.nextOfErrno()
      case "import":
      case "catalogue":
        return `Try it: python -c "import ${this.adapter}" with the same environment; python.path lists the folders it is looked for in`
      case "start":
        return "Its traceback above says where. What on_start opens or loads (a device, a connection, a model) was not to be had: see that it is " +
          "there before the pool starts, or let on_start wait for it, within startTimeout"
      case "bind":
        return "Check that the folder of the sockets is on a local file system and writable"
      case "handshake":
        return "Host and Python package of different versions are the likely cause: install matching ones"
      case "exit":
        return "Its output above says why; a missing package and a crash in native code are the usual causes"
      case "timeout":
        return this.start === "fork"
          ? "The adapter is imported already, so a longer startTimeout does not help: a lock or thread of a library that was used at import does " +
            "not stand a fork. Use it at the first call instead, or set python.start to \"spawn\""
          : "Raise startTimeout if the adapter loads something large at import"
    }
  }
  private nextOfErrno(): string {
    switch (this.errno) {
      case "ENOENT":
      case "EACCES":
      case "ENOEXEC":
        return "Check python.executable: it must be a program, Python 3.11 or newer with the snakepit package's requirements"
      case "EAGAIN":
        return "A limit on processes is reached: ulimit -u, pids.max of the cgroup, or the container's. Raise it, or use fewer workers; " +
          "snakepit doctor shows what is needed"
      case "ENOMEM":
        return "There is not enough memory to start a process: use fewer workers, or give the machine or its container more memory"
      case "EMFILE":
      case "ENFILE":
        return "A limit on open files is reached: raise it (ulimit -n), or use fewer workers; snakepit doctor shows what is needed"
      default:
        return "Check python.executable: it must be Python 3.11 or newer with the snakepit package's requirements"
    }
  }
}

/** The worker's process ended by itself, or by somebody else's hand. */
export class ProcessExited extends Schema.TaggedError<ProcessExited>()("ProcessExited", {
  ...worker,
  pid: Schema.Int,
  code: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  exitClass: ExitClass.ExitClass,
  output
}) {
  override get message(): string {
    const how = this.signal === null ? `with code ${this.code}` : `by ${this.signal}`
    return `process ${this.pid} of worker ${this.worker} ended ${how}: ${ExitClass.cause(this.exitClass)}${tail(this.output)}\n` +
      ExitClass.next(this.exitClass)
  }
}

/** The worker's process is still there after SIGKILL and a wait. Its slot is filled anew; the Reaper goes on trying. */
export class ProcessLeaked extends Schema.TaggedError<ProcessLeaked>()("ProcessLeaked", {
  ...worker,
  pid: Schema.Int,
  /** As `/proc/<pid>/status` has it: `D (disk sleep)`; "gone" when only processes that it had started are left; "unknown" without `/proc`. */
  state: Schema.String,
  waitedMillis: Schema.Finite
}) {
  override get message(): string {
    return `process ${this.pid} of worker ${this.worker} is not gone ${this.waitedMillis} ms after SIGKILL; its state is ${this.state}. ` +
      "State D is a system call that cannot be interrupted: a network file system or a device that does not answer is the likely cause. " +
      "It ends when that call returns; the Reaper waits for it"
  }
}

/** What the kernel said of a process, when it was asked. */
const evidence = Schema.UndefinedOr(Schema.Struct({
  pid: Schema.Int,
  state: Schema.String,
  cpuMillis: Schema.Finite,
  majorFaults: Schema.Finite
}))

const silence = {
  ...worker,
  /** Heartbeats in a row. */
  missed: Schema.Int,
  silentMillis: Schema.Finite,
  /** `undefined` where the system does not tell. */
  evidence
}

const unanswered = (missed: number, millis: number): string =>
  `${missed} heartbeat${missed === 1 ? "" : "s"} in a row, ${Math.round(millis)} ms of silence`

const seen = (evidence: { readonly pid: number; readonly state: string; readonly cpuMillis: number } | undefined): string =>
  evidence === undefined
    ? "this system does not tell what its process does"
    : `its process ${evidence.pid} is ${evidence.state} and does not get on (${evidence.cpuMillis} ms of CPU in all)`

/** The worker's process was stopped: by SIGSTOP, or by a terminal. */
export class WorkerStopped extends Schema.TaggedError<WorkerStopped>()("WorkerStopped", silence) {
  override get message(): string {
    return `worker ${this.worker} is stopped (${unanswered(this.missed, this.silentMillis)}): somebody sent SIGSTOP to process ` +
      `${this.evidence?.pid}, so it is replaced. To look into a worker, attach a debugger: a traced one is left alone`
  }
}

/** The worker does not answer and does not work, while it runs a call. */
export class WorkerHung extends Schema.TaggedError<WorkerHung>()("WorkerHung", {
  ...silence,
  tool: Schema.String,
  ranMillis: Schema.Finite
}) {
  override get message(): string {
    return `worker ${this.worker} hangs in "${this.tool}" (${unanswered(this.missed, this.silentMillis)}): ${seen(this.evidence)}. ` +
      "Native code that waits and holds the interpreter lock is the likely cause, a deadlock above all. " +
      "If the tool may wait like that, declare it Tool.Blocking: then its limit alone decides"
  }
}

/** The worker does not answer although it has nothing to do. */
export class WorkerUnreachable extends Schema.TaggedError<WorkerUnreachable>()("WorkerUnreachable", silence) {
  override get message(): string {
    return `worker ${this.worker} does not answer and runs no call (${unanswered(this.missed, this.silentMillis)}): ${
      seen(this.evidence)
    }. ` +
      "A thread that a tool has left behind and that holds the interpreter lock is the likely cause, or a frozen container"
  }
}

/** A call went on beyond its limit: it was cancelled and did not stop within the grace, or its tool's hard limit is over. */
export class CallOverran extends Schema.TaggedError<CallOverran>()("CallOverran", {
  ...worker,
  tool: Schema.String,
  ranMillis: Schema.Finite,
  limitMillis: Schema.Finite,
  /** It had been told to stop. */
  cancelled: Schema.Boolean
}) {
  override get message(): string {
    const why = this.cancelled ? "was cancelled and does not stop" : "has reached its hard limit"
    const next = this.cancelled
      ? "A plain Python function cannot be stopped from outside: make it a generator, or give it a deadline of its own"
      : "If it may take that long, raise its Tool.HardLimit"
    return `"${this.tool}" ${why}: it still runs ${this.ranMillis} ms after it was sent (limit ${this.limitMillis} ms), ` +
      `so worker ${this.worker} is replaced. ${next}`
  }
}

/** How a watchdog ends a worker's process. */
export type Judged = WorkerStopped | WorkerHung | WorkerUnreachable | CallOverran

/** A worker that listens did not shake hands. */
export class HandshakeTimeout extends Schema.TaggedError<HandshakeTimeout>()("HandshakeTimeout", {
  ...worker,
  waitedMillis: Schema.Finite,
  verdict: Schema.String,
  evidence
}) {
  override get message(): string {
    return `worker ${this.worker} did not shake hands within ${this.waitedMillis} ms and is ${this.verdict}: ${seen(this.evidence)}. ` +
      "It was stopped, or it waits in a call whose connection was lost"
  }
}

/** The host and a ready worker did not come to terms. */
export class HandshakeFailed extends Schema.TaggedError<HandshakeFailed>()("HandshakeFailed", {
  ...worker,
  field: Schema.String,
  expected: Schema.String,
  received: Schema.String
}) {
  override get message(): string {
    return `worker ${this.worker} and its host did not come to terms: ${this.field} is ${this.received}, expected ${this.expected}. ${this.next()}`
  }
  private next(): string {
    switch (this.field) {
      case "catalogue":
        return "Its tools are not those of the pool's other workers: the adapter was changed while the pool was up. Reload the pool, or put it back"
      default:
        return "Host and Python package of different versions are the likely cause: install matching ones"
    }
  }
}

/** The stream to a worker broke while its process lives. */
export class ChannelLost extends Schema.TaggedError<ChannelLost>()("ChannelLost", { ...worker, detail: Schema.String }) {
  override get message(): string {
    return `the channel to worker ${this.worker} broke: ${this.detail}`
  }
}

/** The pool asks for a containment that cannot be had here. It is not started with less. */
export class ContainmentUnavailable extends Schema.TaggedError<ContainmentUnavailable>()("ContainmentUnavailable", {
  pool: Schema.String,
  containment: Schema.String,
  detail: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `pool "${this.pool}" asks for containment "${this.containment}", which is not to be had here: ${this.detail}. ` +
      `To enable it, ${this.remedy}. Or ask for less: containment "process"`
  }
}

/** The pool's Reaper did not start or ended; its workers end with it. */
export class ReaperLost extends Schema.TaggedError<ReaperLost>()("ReaperLost", { pool: Schema.String, detail: Schema.String }) {
  override get message(): string {
    return `the Reaper of pool "${this.pool}" is gone: ${this.detail}`
  }
}

/** The pool's Forkserver ended. Its workers live on; new ones start without it until it is up again. */
export class ForkserverLost extends Schema.TaggedError<ForkserverLost>()("ForkserverLost", {
  pool: Schema.String,
  detail: Schema.String,
  output
}) {
  override get message(): string {
    return `the Forkserver of pool "${this.pool}" is gone: ${this.detail}. Its workers go on${tail(this.output)}`
  }
}

/** The pool's fleet ended while workers were given to it: those that had come up kept failing. */
export class FleetLost extends Schema.TaggedError<FleetLost>()("FleetLost", { pool: Schema.String, detail: Schema.String }) {
  override get message(): string {
    return `the fleet of pool "${this.pool}" ended before all its workers were up: ${this.detail}`
  }
}

/** A failure that comes again whenever the same worker is started: of its adapter, or of the version it was installed in. */
export type IncurableFailure = BootFailed & { readonly stage: "import" | "catalogue" } | HandshakeFailed

export const isIncurable = (error: unknown): error is IncurableFailure =>
  error instanceof HandshakeFailed || error instanceof BootFailed && (error.stage === "import" || error.stage === "catalogue")

/** The refusal of a restart that would fail as the start before it did: the adapter does not import, or cannot be served. */
export class DeterministicBootFailure extends Schema.TaggedError<DeterministicBootFailure>()("DeterministicBootFailure", {
  ...worker,
  /** What has failed. */
  stage: Schema.Literals(["import", "catalogue", "handshake"]),
  /** The adapter that does not import or cannot be served; `undefined` when it is not the adapter's fault. */
  adapter: Schema.UndefinedOr(Schema.String)
}) {
  static of(failed: IncurableFailure): DeterministicBootFailure {
    const { worker } = failed
    return failed._tag === "BootFailed"
      ? new DeterministicBootFailure({ worker, stage: failed.stage, adapter: failed.adapter })
      : new DeterministicBootFailure({ worker, stage: "handshake", adapter: undefined })
  }
  override get message(): string {
    const cure = this.adapter === undefined
      ? "that host and Python package do not fit each other. Install matching versions"
      : `what is wrong with its adapter "${this.adapter}". Correct it`
    return `starting worker ${this.worker} again does not cure ${cure}; the pool is tried again by itself`
  }
}

/** A child that the application has placed under the workers did not start. */
export class PerWorkerFailed<out Child extends string = string, out E = unknown> extends Data.TaggedError("PerWorkerFailed")<{
  /** `default/3`. */
  readonly worker: string
  /** Its path below the worker. */
  readonly child: string
  readonly error: unknown
}> {
  declare readonly child: Child
  declare readonly error: E
  override get message(): string {
    return `"${this.child}", a perWorker child of worker ${this.worker}, did not start: ${
      this.error instanceof Error ? this.error.message : String(this.error)
    }`
  }
}
