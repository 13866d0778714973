/**
 * How a call can fail: one closed union. `executed` tells apart what a caller must not confuse.
 *
 * | `executed`  | meaning                                             | errors                                                                     |
 * | ----------- | --------------------------------------------------- | -------------------------------------------------------------------------- |
 * | `"no"`      | the tool's code did not run for this call            | `QueueFull` `QueueTimeout` `PoolDown` `ToolNotFound` `PayloadTooLarge` `InvalidPayload` |
 * | `"failed"`  | it ran and did not come to a usable result           | `PythonError` `ResultTooLarge` `InvalidResult`                             |
 * | `"unknown"` | it may have run, even to its end                     | `OutcomeUnknown` `CallTimeout`                                             |
 */
import * as Schema from "effect/Schema"

const call = { pool: Schema.String, tool: Schema.String }
const no = { executed: Schema.Literal("no") }
const failed = { executed: Schema.Literal("failed") }
const unknown = { executed: Schema.Literal("unknown") }

/** The pool's queue was full when the call arrived. */
export class QueueFull extends Schema.TaggedError<QueueFull>()("QueueFull", { ...call, ...no, capacity: Schema.Int }) {
  override get message(): string {
    return `the queue of pool "${this.pool}" holds ${this.capacity} calls, its capacity, so "${this.tool}" was not accepted. ` +
      "Calls arrive faster than the workers finish them: slow the callers down, add workers, or raise queue.capacity"
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

/** No worker of the pool serves a tool of that name. */
export class ToolNotFound extends Schema.TaggedError<ToolNotFound>()("ToolNotFound", {
  ...call,
  ...no,
  available: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `the adapter of pool "${this.pool}" has no tool "${this.tool}"; it has ${
      this.available.length === 0 ? "none" : this.available.join(", ")
    }. Decorate the function with @tool in the adapter module, or correct the name in the contract`
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

/** The arguments do not fit the contract's payload schema. Nothing was sent. */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>()("InvalidPayload", {
  ...call,
  ...no,
  issue: Schema.String
}) {
  override get message(): string {
    return `the arguments of "${this.tool}" do not fit its contract: ${this.issue}`
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
  readonly cause: PythonException | undefined
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
  cause: Schema.UndefinedOr(Schema.suspend((): Schema.Codec<PythonException> => PythonException)),
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
    return `"${this.tool}" raised ${this.exception.type} on worker ${this.worker}: ${this.exception.message}`
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
  /** Elements of a stream that were delivered before. */
  delivered: Schema.Int,
  attempts: Schema.Int
}) {
  override get message(): string {
    return `worker ${this.worker} ended while it ran "${this.tool}" (attempt ${this.attempts}, ${this.delivered} elements delivered): ` +
      `${this.reason}. What the tool had done by then stands, perhaps all of it. If running it again does no harm, declare it Tool.Idempotent`
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

/** Every way a call can fail. */
export type CallError =
  | QueueFull
  | QueueTimeout
  | PoolDown
  | ToolNotFound
  | PayloadTooLarge
  | InvalidPayload
  | PythonError
  | WorkerCrashed
  | ResultTooLarge
  | InvalidResult
  | OutcomeUnknown
  | CallTimeout
