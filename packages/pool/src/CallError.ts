/**
 * How a call can fail: one closed union. `executed` tells apart what a caller must not confuse.
 *
 * | `executed`  | meaning                                             | errors                                                                     |
 * | ----------- | --------------------------------------------------- | -------------------------------------------------------------------------- |
 * | `"no"`      | the tool's code did not run for this call            | `QueueFull` `QueueTimeout` `PoolDown` `PoolDraining` `SessionLost` `SessionBusy` `SessionEnded` `SessionsFull` `ToolNotFound` `ContractMismatch` `PayloadTooLarge` `InvalidPayload` `CallCycle` `CircuitOpen` `RateLimited` |
 * | `"failed"`  | it ran and did not come to a usable result           | `PythonError` `ResultTooLarge` `InvalidResult`                             |
 * | `"unknown"` | it may have run, even to its end                     | `OutcomeUnknown` `WorkerCrashed` `CallTimeout` `InvalidInput`              |
 *
 * Three know which by when they come: `DeadlineExceeded`, `Cancelled` and `CallPoisoned` are `"no"` for a call that had not reached a worker, or
 * that its worker gave back unbegun, and `"unknown"` for one that had. A contract's own errors (`Tool.Raises`) mean `"failed"`: Python raised them.
 *
 * **Example** (Try again only what did not run)
 *
 * ```ts
 * import { CallError } from "snakepit"
 * import { Effect, Schedule } from "effect"
 *
 * const untilRun = <A, E extends CallError.CallError, R>(call: Effect.Effect<A, E, R>) =>
 *   Effect.retry(call, {
 *     while: (error) => error.executed === "no",
 *     schedule: Schedule.exponential("100 millis").pipe(Schedule.upTo({ times: 5 }))
 *   })
 * ```
 */
import { NearNames } from "@snakepit/core"
import * as Schema from "effect/Schema"
import * as ExitClass from "./ExitClass.ts"

const call = { pool: Schema.String, tool: Schema.String }
const no = { executed: Schema.Literal("no") }
const failed = { executed: Schema.Literal("failed") }
const unknown = { executed: Schema.Literal("unknown") }
const noOrUnknown = { executed: Schema.Literals(["no", "unknown"]) }

/** The pool's queue, or its tenant's share of it, was full when the call arrived. */
export class QueueFull extends Schema.TaggedError<QueueFull>()("QueueFull", {
  ...call,
  ...no,
  capacity: Schema.Int,
  /** Whose share was full (`queue.perTenant`); without it the whole queue was. */
  tenant: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const [whose, setting] = this.tenant === undefined ? ["", "capacity"] : [` for tenant "${this.tenant}"`, "perTenant"]
    return `the queue of pool "${this.pool}" holds ${this.capacity} calls${whose}, its capacity, so "${this.tool}" was not accepted. ` +
      `Calls arrive faster than the workers finish them: slow the callers down, add workers, or raise queue.${setting}`
  }
}

/** The call waited longer than `queue.timeout` for a worker. */
export class QueueTimeout extends Schema.TaggedError<QueueTimeout>()("QueueTimeout", {
  ...call,
  ...no,
  waitedMillis: Schema.Finite
}) {
  override get message(): string {
    return `"${this.tool}" waited ${this.waitedMillis} ms for a worker of pool "${this.pool}" and was not sent. ` +
      "The workers are busy or being restarted: look at the tree, add workers, or raise queue.timeout"
  }
}

/** The pool is down: it has given up, or its application is stopping. */
export class PoolDown extends Schema.TaggedError<PoolDown>()("PoolDown", { ...call, ...no, because: Schema.String }) {
  override get message(): string {
    return `pool "${this.pool}" is down, so "${this.tool}" was not run: ${this.because}`
  }
}

/** The pool is being drained by an operator: what it had accepted goes on, and it accepts nothing. */
export class PoolDraining extends Schema.TaggedError<PoolDraining>()("PoolDraining", { ...call, ...no }) {
  override get message(): string {
    return `pool "${this.pool}" is being drained, so "${this.tool}" was not run: an operator has asked for it (PoolControl.drain). ` +
      "Call another pool, or again when it takes calls (PoolControl.undrain)"
  }
}

/** The session has no worker any more, or another one than before, and `affinity: "strict_queue"` keeps its calls from going to others. */
export class SessionLost extends Schema.TaggedError<SessionLost>()("SessionLost", {
  ...call,
  ...no,
  session: Schema.String,
  /** The worker that served it. */
  worker: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `session "${this.session}" lost its worker ${this.worker} before "${this.tool}" was sent: ${this.reason}. ` +
      "What the worker held for the session is gone: begin the session anew, with what it needs"
  }
}

/** The session's worker was busy, and `affinity: "strict_fail_fast"` neither waits for it nor takes another. */
export class SessionBusy extends Schema.TaggedError<SessionBusy>()("SessionBusy", {
  ...call,
  ...no,
  session: Schema.String,
  worker: Schema.String
}) {
  override get message(): string {
    return `worker ${this.worker} of session "${this.session}" is busy, so "${this.tool}" was not sent. ` +
      "Call again when the session's other calls are over, or let calls wait with affinity \"strict_queue\""
  }
}

/** The session was ended while the call waited for a worker. */
export class SessionEnded extends Schema.TaggedError<SessionEnded>()("SessionEnded", { ...call, ...no, session: Schema.String }) {
  override get message(): string {
    return `session "${this.session}" was ended before "${this.tool}" was sent to a worker of pool "${this.pool}". ` +
      "End a session after its last call; a further call of that id begins a new one"
  }
}

/** The pool has as many sessions as it may, and the call would have begun one more. */
export class SessionsFull extends Schema.TaggedError<SessionsFull>()("SessionsFull", {
  ...call,
  ...no,
  session: Schema.String,
  limit: Schema.Int
}) {
  override get message(): string {
    return `pool "${this.pool}" has ${this.limit} sessions, as many as it may, so "${this.tool}" could not begin session "${this.session}". ` +
      "End sessions when they are over, shorten sessions.ttl, or raise sessions.maxSessions"
  }
}

/** No worker of the pool serves a tool of that name. */
export class ToolNotFound extends Schema.TaggedError<ToolNotFound>()("ToolNotFound", {
  ...call,
  ...no,
  available: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { available, pool, tool } = this
    return `the adapter of pool "${pool}" has no tool "${tool}".${NearNames.hint(tool, available)} It has ${
      available.join(", ") || "none"
    }. Decorate the function with @tool in the adapter module, or correct the name in the contract`
  }
}

/** What the contract says of a tool is not what workers announce of it. Nothing was sent. */
export class ContractMismatch extends Schema.TaggedError<ContractMismatch>()("ContractMismatch", {
  ...call,
  ...no,
  /** What differs: `stream`, `input`; of a generated contract also `argument <name>`, `further arguments`, `result`, `promises`. */
  field: Schema.String,
  /** By the contract; a hash or `none` of a part that is generated. */
  expected: Schema.String,
  /** By the worker. */
  received: Schema.String
}) {
  override get message(): string {
    return `the contract of "${this.tool}" does not fit the adapter of pool "${this.pool}". They differ in ${this.field}: ${this.expected} in the ` +
      `contract, ${this.received} in Python. Likely the adapter was changed after its contract was made: make it anew (snakepit codegen), ` +
      "or deploy the adapter that belongs to it"
  }
}

/** The arguments are larger than the pool allows. Nothing was sent. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()("PayloadTooLarge", {
  ...call,
  ...no,
  bytes: Schema.Int,
  limit: Schema.Int
}) {
  override get message(): string {
    return `the arguments of "${this.tool}" take ${this.bytes} bytes, and pool "${this.pool}" allows ${this.limit}. ` +
      "Send less at once, or raise maxPayload"
  }
}

/** The arguments do not fit: the contract's schema, what can be sent, or Python's annotations. The tool's code did not run. */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>()("InvalidPayload", {
  ...call,
  ...no,
  issue: Schema.String
}) {
  override get message(): string {
    return `the arguments of "${this.tool}" do not fit: ${this.issue}. The tool did not run: correct the call, or the contract`
  }
}

/** One entry of a Python traceback. */
export const PythonFrame = Schema.Struct({
  file: Schema.String,
  line: Schema.Int,
  function: Schema.String,
  source: Schema.String
})

/** A Python exception with everything that came with it. `frames` are outermost first. */
export interface PythonException {
  readonly type: string
  readonly bases: ReadonlyArray<string>
  readonly message: string
  readonly frames: ReadonlyArray<typeof PythonFrame.Type>
  readonly notes: ReadonlyArray<string>
  /** What it was raised from, or during whose handling (`implicit`). */
  readonly cause?: PythonException | undefined
  readonly implicit: boolean
  /** The members of an exception group. */
  readonly members: ReadonlyArray<PythonException>
}

export const PythonException: Schema.Codec<PythonException> = Schema.Struct({
  type: Schema.String,
  bases: Schema.Array(Schema.String),
  message: Schema.String,
  frames: Schema.Array(PythonFrame),
  notes: Schema.Array(Schema.String),
  cause: Schema.optional(Schema.suspend((): Schema.Codec<PythonException> => PythonException)),
  implicit: Schema.Boolean,
  members: Schema.Array(Schema.suspend((): Schema.Codec<PythonException> => PythonException))
})

const traceback = (exception: PythonException): string => {
  const before = exception.cause === undefined
    ? ""
    : `${traceback(exception.cause)}\n${exception.implicit ? "and while that was handled" : "which was the cause of"}\n`
  const frames = exception.frames.map((frame) => `  ${frame.file}:${frame.line}  ${frame.function}  ${frame.source}`)
  const members = exception.members.map((member) => `  | ${traceback(member).replaceAll("\n", "\n  | ")}`)
  return before + [`${exception.type}: ${exception.message}`, ...exception.notes, ...frames, ...members].join("\n")
}

/** The tool raised an exception. */
export class PythonError extends Schema.TaggedError<PythonError>()("PythonError", {
  ...call,
  ...failed,
  worker: Schema.String,
  exception: PythonException
}) {
  override get message(): string {
    const { frames, message, type } = this.exception
    const at = frames.at(-1)
    const where = at === undefined ? "" : ` (${at.file}:${at.line}, in ${at.function})`
    return `"${this.tool}" raised ${type} on worker ${this.worker}: ${message}${where}. Its traceback is in \`traceback\`; ` +
      "an error that callers should handle can be named in the contract with Tool.Raises"
  }
  /** The exception as Python would print it, its causes first. */
  get traceback(): string {
    return traceback(this.exception)
  }
}

/** The worker that had begun the call died before it said that it was over. */
export class WorkerCrashed extends Schema.TaggedError<WorkerCrashed>()("WorkerCrashed", {
  ...call,
  ...unknown,
  worker: Schema.String,
  reason: Schema.String,
  /** Why its process ended, with the signal or the code. */
  exit: Schema.optionalKey(ExitClass.ExitClass),
  /** Elements of a stream that were delivered before. */
  delivered: Schema.Int,
  attempts: Schema.Int
}) {
  override get message(): string {
    const why = this.exit === undefined ? "" : `; ${ExitClass.cause(this.exit)}. ${ExitClass.next(this.exit)}`
    return `worker ${this.worker} ended while it ran "${this.tool}" (attempt ${this.attempts}, ${this.delivered} elements delivered): ` +
      `${this.reason}${why}. What the tool had done by then stands, perhaps all of it. If running it again does no harm, declare it Tool.Idempotent`
  }
}

/** Calls of the tool with the same arguments have crashed so many workers that they are in quarantine. */
export class CallPoisoned extends Schema.TaggedError<CallPoisoned>()("CallPoisoned", {
  ...call,
  /** `unknown` for the call that crashed the last of them, `no` for those after it. */
  ...noOrUnknown,
  /** Of the arguments: the first 16 bytes of their SHA-256, in hex. */
  digest: Schema.String,
  /** Within `barrier.poisonWindow`. */
  crashes: Schema.Int,
  /** Where, each once. */
  workers: Schema.Array(Schema.String),
  /** The classes of their exits, each once: see `ExitClass`. */
  exits: Schema.Array(Schema.String),
  /** When the quarantine ends, in Unix milliseconds. */
  until: Schema.Finite
}) {
  override get message(): string {
    const { crashes, digest, exits, pool, tool, until, workers } = this
    const what = this.executed === "no" ? "was not run" : "is not tried again"
    return `"${tool}" ${what}: calls with these arguments (digest ${digest}) have crashed ${crashes} workers of pool "${pool}" ` +
      `(${workers.join(", ")}: ${exits.join(", ")}), and are refused until ${new Date(until).toISOString()}. ` +
      "The output of these workers says where they crashed: run the tool with these arguments alone, correct it, and release them (Pool.release)"
  }
}

/** The circuit breaker of the pool or of the tool is open: the calls before it failed. */
export class CircuitOpen extends Schema.TaggedError<CircuitOpen>()("CircuitOpen", {
  ...call,
  ...no,
  /** Whose breaker it is. */
  of: Schema.Literals(["pool", "tool"]),
  /** Until it lets a call through that finds out; 0 while that call is under way. */
  retryAfterMillis: Schema.Finite
}) {
  override get message(): string {
    const { of, pool, retryAfterMillis, tool } = this
    const whose = of === "pool" ? `pool "${pool}"` : `"${tool}" in pool "${pool}"`
    const when = retryAfterMillis > 0 ? `in ${retryAfterMillis} ms` : "when the call that finds out is over"
    return `the circuit of ${whose} is open, so "${tool}" was not run: too many calls before it failed in a row. ` +
      `Look at why they failed, and call again ${when}`
  }
}

/** More calls than the rate limit of the pool or of the tool allows. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  ...call,
  ...no,
  /** Whose limit it is. */
  of: Schema.Literals(["pool", "tool"]),
  /** So many within the following. */
  limit: Schema.Int,
  perMillis: Schema.Finite,
  /** When there would be room for one, if no other came first. */
  retryAfterMillis: Schema.Finite
}) {
  override get message(): string {
    const { limit, of, perMillis, pool, retryAfterMillis, tool } = this
    const whose = of === "pool" ? `pool "${pool}"` : `"${tool}" in pool "${pool}"`
    return `${whose} takes ${limit} calls in ${perMillis} ms, so "${tool}" was not run. ` +
      `Call again after ${retryAfterMillis} ms, slow the callers down, or raise its rateLimit`
  }
}

/** The result, or one element of a stream, is larger than the pool allows. */
export class ResultTooLarge extends Schema.TaggedError<ResultTooLarge>()("ResultTooLarge", {
  ...call,
  ...failed,
  bytes: Schema.Int,
  limit: Schema.Int
}) {
  override get message(): string {
    return `a result of "${this.tool}" takes ${this.bytes} bytes, and pool "${this.pool}" allows ${this.limit}. ` +
      "Return less at once, as a stream for example, or raise maxPayload"
  }
}

/** What the tool returned does not fit the contract's schema. */
export class InvalidResult extends Schema.TaggedError<InvalidResult>()("InvalidResult", {
  ...call,
  ...failed,
  issue: Schema.String
}) {
  override get message(): string {
    return `what "${this.tool}" returned does not fit its contract: ${this.issue}. Correct the contract or the tool`
  }
}

/** The worker was lost, or stopped, after the call was sent and before it said that it was over. */
export class OutcomeUnknown extends Schema.TaggedError<OutcomeUnknown>()("OutcomeUnknown", {
  ...call,
  ...unknown,
  worker: Schema.String,
  /** The worker had said that it began; `false` when it had said nothing. */
  began: Schema.Boolean,
  /** Its process was seen to end, so nothing of the call runs any more. */
  ended: Schema.Boolean,
  reason: Schema.String
}) {
  override get message(): string {
    return `worker ${this.worker} was lost with "${this.tool}" on the way: ${this.reason}. It may have run. ` +
      "Look at what it changes before calling it again, or declare it Tool.Idempotent"
  }
}

/** The call was not over within `callTimeout`, or the tool's hard limit, of being sent. Its worker was told to cancel it, or is replaced. */
export class CallTimeout extends Schema.TaggedError<CallTimeout>()("CallTimeout", {
  ...call,
  ...unknown,
  worker: Schema.String,
  timeoutMillis: Schema.Finite,
  began: Schema.Boolean,
  /** That was its hard limit: its worker is replaced, which ends it. `false`: it may go on until its worker's next word. */
  replaced: Schema.Boolean
}) {
  override get message(): string {
    const then = this.replaced ? "is replaced, because that is its hard limit" : "was told to cancel it"
    return `"${this.tool}" was not over within ${this.timeoutMillis} ms on worker ${this.worker}, which ${then}. ` +
      "Raise its limit (callTimeout, Tool.CallTimeout, Tool.HardLimit) if it may take that long"
  }
}

/** The caller's deadline passed. A call on its way was told to stop. */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()("DeadlineExceeded", {
  ...call,
  ...noOrUnknown,
  /** What the caller gave it, from when it was made. */
  deadlineMillis: Schema.Finite,
  /** What had it; without it the call was still waiting in the queue. */
  worker: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const where = this.worker === undefined ? "while it waited for a worker" : `on worker ${this.worker}, which was told to cancel it`
    return `the deadline of "${this.tool}", ${this.deadlineMillis} ms after it was called, passed ${where}. ` +
      "Give it more time, or make the queue of the pool shorter"
  }
}

/** It was cancelled, and not by its caller: by its worker, or by code in Python. */
export class Cancelled extends Schema.TaggedError<Cancelled>()("Cancelled", {
  ...call,
  ...noOrUnknown,
  worker: Schema.String,
  /**
   * How it came to its end: `queued` (it had not begun), `async` (its task was cancelled), `generator` (it was closed), `cooperative` (it saw that it
   * was to stop), `finished` (it ran to its end and its result was dropped).
   */
  how: Schema.String
}) {
  override get message(): string {
    return `"${this.tool}" was cancelled on worker ${this.worker} (${this.how}), which its caller did not ask for. ` +
      "Code in the adapter cancelled its task, or its worker is being stopped"
  }
}

/** An element of the call's stream of inputs cannot be sent. The tool had begun, and was told that its inputs failed. */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  ...call,
  ...unknown,
  /** Of the element in the stream, from 0. */
  position: Schema.Int,
  issue: Schema.String
}) {
  override get message(): string {
    return `element ${this.position} of the inputs of "${this.tool}" cannot be sent: ${this.issue}. The elements before it were. ` +
      "Check the stream against the contract"
  }
}

/** One of the calls that wait for each other: in a host tool, or without one for a place in its pool. */
export const CycleStep = Schema.Struct({ pool: Schema.String, tool: Schema.String, hostTool: Schema.optionalKey(Schema.String) })
export type CycleStep = typeof CycleStep.Type

/** Who waits for whom, as a sentence that ends before whom the last waits for. */
const waits = (cycle: ReadonlyArray<CycleStep>): string =>
  cycle.map(({ hostTool, pool, tool }, at) => {
    const name = `"${tool}" of pool "${pool}"`
    const subject = at === 0 ? name : cycle[at - 1]!.hostTool === undefined ? `that ${name} holds, which` : `${name}, which`
    return `${subject} waits ${hostTool === undefined ? "for a place" : `in host tool "${hostTool}" for`}`
  }).join(" ")

/** It would have waited for ever: every place in its pool is held by a call that waits, through its host tools, for this one. */
export class CallCycle extends Schema.TaggedError<CallCycle>()("CallCycle", {
  ...call,
  ...no,
  /** Each waits for the next, and the last for the first, which is this call. */
  cycle: Schema.Array(CycleStep)
}) {
  override get message(): string {
    return `"${this.tool}" was given up before it ran, because it would wait for ever: ${
      waits(this.cycle)
    } "${this.tool}". Call it in a pool of its ` +
      `own, or give pool "${this.pool}" more places than there are such calls at once: a larger size, or async tools and a higher concurrency`
  }
}

/** Every way a call can fail, as a Schema: a failure survives a journey to another process. */
export const CallError = Schema.Union([
  QueueFull,
  QueueTimeout,
  PoolDown,
  PoolDraining,
  SessionLost,
  SessionBusy,
  SessionEnded,
  SessionsFull,
  ToolNotFound,
  ContractMismatch,
  PayloadTooLarge,
  InvalidPayload,
  PythonError,
  WorkerCrashed,
  CallPoisoned,
  CircuitOpen,
  RateLimited,
  ResultTooLarge,
  InvalidResult,
  OutcomeUnknown,
  CallTimeout,
  DeadlineExceeded,
  Cancelled,
  InvalidInput,
  CallCycle
])

/** Every way a call can fail. */
export type CallError = typeof CallError.Type
