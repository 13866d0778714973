/**
 * A tool of a scripted worker: a TypeScript function over the decoded arguments, and how long it takes.
 */
import type * as Duration from "effect/Duration"
import type { PythonException } from "../CallError.ts"
import type { WireTool } from "../Wire.ts"

/** A function returns the result, a generator yields the elements of a stream; both may throw {@link Raised}. */
export type Run = (args: any) => unknown

/** A tool with a duration, on the clock of the test. A plain function is one that takes no time. */
export interface Timed {
  readonly run: Run
  /** Before the result, or before the first element. */
  readonly takes?: Duration.Input | undefined
  /** Before each further element. */
  readonly every?: Duration.Input | undefined
}

export type ScriptedTool = Run | Timed

/** What its worker says of a tool. */
export const announced = (name: string, tool: ScriptedTool = () => null): WireTool => ({
  name,
  streams: isGenerator(typeof tool === "function" ? tool : tool.run),
  description: "",
  timeoutMillis: undefined,
  hardLimitMillis: undefined,
  idempotent: false,
  deterministic: false,
  blocking: false,
  threadSensitive: false,
  input: undefined,
  contract: undefined
})

const isGenerator = ({ constructor }: Run): boolean => constructor.name === "GeneratorFunction"

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

/** Whatever a tool has thrown, as Python would have raised it. */
export const raisedBy = (thrown: unknown): PythonException =>
  thrown instanceof Raised ? thrown.exception : exception("RuntimeError", String(thrown))
