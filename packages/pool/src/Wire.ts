/**
 * The port between a pool and whatever carries its calls to a worker. The bridge implements it over gRPC; tests script it.
 */
import type * as Effect from "effect/Effect"
import type { PythonException } from "./CallError.ts"

/** One call as the wire needs it. */
export interface WireCall {
  readonly id: number
  readonly tool: string
  /** MessagePack of a map of keyword arguments. */
  readonly payload: Uint8Array
  /** Milliseconds that are left to run; 0 means no limit. */
  readonly deadlineMillis: number
  /** Elements that may be sent before more credit. */
  readonly credit: number
  /** Elements of an earlier attempt that the caller has already. */
  readonly skip: number
}

/** What the pool can do with an attached worker. All but `probe` are synchronous and never throw; what is said in one tick leaves together. */
export interface Wire {
  /** The worker's process, by the host's number. */
  readonly pid: number
  /** Tools that the worker serves. */
  readonly tools: ReadonlySet<string>
  readonly submit: (call: WireCall) => void
  readonly cancel: (id: number) => void
  readonly credit: (id: number, elements: number) => void
  /** Succeeds when the worker answers. Does not time out by itself. */
  readonly probe: Effect.Effect<void>
}

/** How a worker says that a call failed. */
export type WireFailure =
  | { readonly _tag: "Exception"; readonly exception: PythonException }
  /** It was cancelled, or its deadline passed on the worker's clock. */
  | { readonly _tag: "Cancelled" }
  /** The worker is draining and has not begun it. */
  | { readonly _tag: "Declined" }
  | { readonly _tag: "TooLarge"; readonly bytes: number }

/** What a worker says, for the pool to take in. Synchronous; never throws. */
export interface WireSink {
  readonly attached: (wire: Wire) => void
  readonly started: (id: number) => void
  readonly item: (id: number, payload: Uint8Array) => void
  readonly done: (id: number, payload: Uint8Array) => void
  readonly failed: (id: number, failure: WireFailure) => void
  /** No further call may be sent; what is in flight is not yet given up. */
  readonly broken: () => void
  /** The worker will say nothing any more, because of `reason`. `ended`: its process was seen to end. */
  readonly detached: (reason: string, ended: boolean) => void
}
