/**
 * A tool of a scripted worker: a TypeScript function over the decoded arguments, how long it takes, and what its worker announces of it.
 *
 * | what it gives        | stands for                  | when it is cancelled, `how` is                                     |
 * | -------------------- | --------------------------- | ------------------------------------------------------------------ |
 * | a value              | a function                  | `finished`: it goes on to its end. `cooperative` if it is declared so |
 * | an iterator          | a generator                 | `generator`: it is closed at its next element                      |
 * | an `Effect`          | an async function           | `async`: it is interrupted                                         |
 * | a `Stream`           | an async generator          | `generator`: it is interrupted                                     |
 *
 * Whatever has not begun is dropped: `queued`.
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { PythonException } from "../CallError.ts"
import type { HostReason, WireTool } from "../Wire.ts"
import type { Value } from "../WireTelemetry.ts"
import type { Said } from "./ScriptedTelemetry.ts"

/** What there is to say of a call of a host tool. */
export interface HostCallOptions {
  /** The tool waits for it and does nothing else, which is so unless it says otherwise. */
  readonly waits?: boolean | undefined
  /** Of the span that is open there, in hex. */
  readonly spanId?: string | undefined
}

/** What a tool can ask of its call, as `snakepit.current()` in Python. */
export interface Current {
  /** The worker's name: `default/0`. */
  readonly worker: string
  readonly session: string | undefined
  /** The session's state on this worker; `undefined` when the call names none. */
  readonly state: Record<string, unknown> | undefined
  /** W3C trace context in binary, of a sampled call. */
  readonly trace: Uint8Array | undefined
  /** What was left when it was sent. */
  readonly deadlineMillis: number
  /**
   * Calls a host tool, as `await current().acall(name, …)` does; interrupting it gives the host tool up.
   */
  readonly call: (name: string, args?: unknown, options?: HostCallOptions) => Effect.Effect<unknown, HostCallFailed>
  /** Tells an event, a span or a line, as a record of the call. */
  readonly tell: (said: Said, attributes?: Readonly<Record<string, Value>>) => void
}

/** What a host tool fails with: unhandled, it is the exception of Python that `reason` stands for. */
export class HostCallFailed extends Data.TaggedError("HostCallFailed")<{
  readonly reason: HostReason
  /** Of an error that the contract declares: its `_tag`, and what it encodes to. */
  readonly tag: string | undefined
  readonly data: unknown
  readonly message: string
}> {}

/**
 * Gives the result, an iterator or a `Stream` of elements, or an `Effect` of the result; it may throw or fail with {@link Raised}. The argument that
 * is a stream of inputs is a `Stream` that fails with {@link InputFailed}.
 */
export type Run = (args: any, current: Current) => unknown

/** A tool with a duration, on the clock of the test. A plain function is one that takes no time. */
export interface Timed extends Partial<Omit<WireTool, "name">> {
  readonly run: Run
  /** Before the result, or before the first element. */
  readonly takes?: Duration.Input | undefined
  /** Before each further element. */
  readonly every?: Duration.Input | undefined
  /** Told to stop while it takes its time, it does so at once. */
  readonly cooperative?: boolean | undefined
}

export type ScriptedTool = Run | Timed

/** What the inputs of a tool fail with when the caller's stream has failed. */
export class InputFailed extends Data.TaggedError("InputFailed")<{ readonly failure: string }> {
  override get message(): string {
    return this.failure
  }
}

/** A tool's stream of inputs, as its arguments have it. */
export type Inputs<A> = Stream.Stream<A, InputFailed>

export const timed = (tool: ScriptedTool): Timed => typeof tool === "function" ? { run: tool } : tool

/** What its worker says of a tool; `streams` must be said of one that gives a `Stream`. */
export const announced = (name: string, tool: ScriptedTool = () => null): WireTool => {
  const { cooperative: _cooperative, every: _every, run, takes: _takes, ...said } = timed(tool)
  return {
    name,
    streams: run.constructor.name === "GeneratorFunction",
    description: "",
    timeoutMillis: undefined,
    hardLimitMillis: undefined,
    idempotent: false,
    deterministic: false,
    blocking: false,
    threadSensitive: false,
    input: undefined,
    contract: {},
    ...said
  }
}

/** A Python exception, as a tool raises it. */
export class Raised extends Error {
  readonly exception: PythonException
  constructor(exception: PythonException) {
    super(`${exception.type}: ${exception.message}`)
    this.exception = exception
  }
}

/** The exception of a name and a message; `more` adds frames, notes, a cause. */
export const exception = (type: string, message: string, more: Partial<PythonException> = {}): PythonException => ({
  type,
  message,
  bases: ["Exception"],
  frames: [],
  notes: [],
  cause: undefined,
  implicit: false,
  members: [],
  ...more
})

/** Throws a Python exception. */
export const raise = (type: string, message: string, more: Partial<PythonException> = {}): never => {
  throw new Raised(exception(type, message, more))
}

/** A payload as it goes on the wire, past the codec. */
export class Raw {
  readonly payload: Uint8Array
  constructor(payload: Uint8Array) {
    this.payload = payload
  }
}

/** Returned or yielded by a tool: bytes that the codec did not write. */
export const raw = (payload: Uint8Array): Raw => new Raw(payload)

/** Python's class for each reason. */
const hostErrors = {
  raised: "HostToolError",
  unknown: "UnknownHostTool",
  invalid: "InvalidHostArguments",
  too_large: "HostPayloadTooLarge",
  timeout: "HostCallTimeout",
  busy: "HostBusy",
  cancelled: "HostCallCancelled",
  failed: "HostToolFailed"
} as const satisfies Record<HostReason, string>

/** Whatever a tool has thrown, as Python would have raised it. */
export const raisedBy = (thrown: unknown): PythonException =>
  thrown instanceof Raised
    ? thrown.exception
    : thrown instanceof InputFailed
    ? exception("snakepit.InputFailed", thrown.failure)
    : thrown instanceof HostCallFailed
    ? exception(`snakepit.${hostErrors[thrown.reason]}`, thrown.message, { bases: ["snakepit.HostCallError", "Exception"] })
    : exception("RuntimeError", String(thrown))
