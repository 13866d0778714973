/**
 * The port between a pool and whatever carries its calls to a worker. The bridge implements it over gRPC; tests script it.
 */
import type * as Effect from "effect/Effect"
import type { PythonException } from "./CallError.ts"
import type { ExitClass } from "./ExitClass.ts"
import type { Payload } from "./Payload.ts"
import type { PoolConfig } from "./PoolConfig.ts"
import type { WireTelemetry } from "./WireTelemetry.ts"

/** One call as the wire needs it. */
export interface WireCall {
  readonly id: number
  readonly tool: string
  /** MessagePack of a map of keyword arguments. */
  readonly payload: Payload
  /** Milliseconds that are left to run; 0 means no limit. */
  readonly deadlineMillis: number
  /** Elements that may be sent before more credit. */
  readonly credit: number
  /** Elements of an earlier attempt that the caller has already. */
  readonly skip: number
  /** The caller's session, which Python can ask for. */
  readonly session: string | undefined
  /** W3C trace context of this attempt in binary, when the call is sampled. */
  readonly trace: Uint8Array | undefined
  /** `tracestate` beside it, as it came. */
  readonly traceState: string | undefined
}

/** A running tool calls a function of the host. */
export interface WireHostCall {
  /** The call whose tool it is, as {@link WireCall.id}. */
  readonly id: number
  /** Of the host call, unique while the worker is attached. */
  readonly number: number
  readonly name: string
  /** MessagePack of a map of keyword arguments. */
  readonly payload: Uint8Array
  /** The tool itself waits for it, and does nothing else. */
  readonly waits: boolean
  /** What is open in Python there, of a sampled call, in hex. */
  readonly spanId: string | undefined
}

/** Why a host call gave no result, as Python tells the reasons apart. */
export type HostReason = "raised" | "unknown" | "invalid" | "too_large" | "timeout" | "busy" | "cancelled" | "failed"

/** What became of a host call: its result, or why there is none. */
export type HostOutcome =
  | { readonly _tag: "Done"; readonly payload: Payload }
  | {
    readonly _tag: "Failed"
    readonly reason: HostReason
    readonly message: string
    /** Of an error that its contract declares: its `_tag`. */
    readonly tag?: string | undefined
    /** Of an error that its contract declares: MessagePack of it, encoded. */
    readonly data?: Uint8Array | undefined
  }

/** A tool as its worker announces it: what its author says of it in Python. A contract's own annotations go before. */
export interface WireTool {
  readonly name: string
  readonly streams: boolean
  readonly description: string
  readonly timeoutMillis: number | undefined
  readonly hardLimitMillis: number | undefined
  readonly idempotent: boolean
  readonly deterministic: boolean
  readonly blocking: boolean
  readonly threadSensitive: boolean
  /** The parameter that a stream of inputs arrives as. */
  readonly input: string | undefined
  /** The parts of its contract, each with its hash, as `Tool.Contract` has them; empty: not known. */
  readonly contract: Readonly<Record<string, string>>
}

/** What the pool can do with an attached worker. All but `probe` are synchronous and never throw; what is said in one tick leaves together. */
export interface Wire {
  /** The worker's process, by the host's number. */
  readonly pid: number
  /** Tools that the worker serves, by name. */
  readonly tools: ReadonlyMap<string, WireTool>
  /** Calls that it runs at once. */
  readonly concurrency: number
  /** The way to it, for the span of an attempt: names and values of OpenTelemetry. */
  readonly about?: Readonly<Record<string, string>>
  readonly submit: (call: WireCall) => void
  readonly cancel: (id: number) => void
  readonly credit: (id: number, elements: number) => void
  /** One element of the call's stream of inputs: as many as the worker wants, see {@link WireSink.want}. */
  readonly input: (id: number, payload: Payload) => void
  /** No further input comes; `failure` says why, when the caller's stream failed. */
  readonly inputEnd: (id: number, failure?: string) => void
  /** Answers a host call, once. */
  readonly hostResult: (number: number, outcome: HostOutcome) => void
  /** What a session begins with, before its first call. */
  readonly sessionStart: (session: string, data: Uint8Array) => void
  /**
   * The session is over once its calls that were submitted before are: see {@link WireSink.sessionEnded}. `number` is the host's own, `limitMillis` how
   * long its hooks may take.
   */
  readonly sessionEnd: (number: number, session: string, limitMillis: number) => void
  /** What it is to tell from now on, `undefined`: as before; and how many records it may say, in the place of what was left of them. */
  readonly telemetry: (settings: PoolConfig["telemetry"] | undefined, credit: number) => void
  /** Succeeds when the worker answers. Does not time out by itself. */
  readonly probe: Effect.Effect<void>
}

/** How a worker says that a call failed. */
export type WireFailure =
  | { readonly _tag: "Exception"; readonly exception: PythonException }
  /** It was cancelled, or its deadline passed on the worker's clock. */
  | { readonly _tag: "Cancelled"; readonly how: string }
  /** The arguments do not fit the tool, which did not run. */
  | { readonly _tag: "Invalid"; readonly issue: string }
  /** The worker has no such tool, or may not call that function; it did not run. */
  | { readonly _tag: "Unknown"; readonly issue: string }
  /** The worker is draining and has not begun it. */
  | { readonly _tag: "Declined" }
  | { readonly _tag: "TooLarge"; readonly bytes: number }

/** What a worker says, for the pool to take in. Synchronous; never throws. */
export interface WireSink {
  readonly attached: (wire: Wire) => void
  readonly started: (id: number) => void
  readonly item: (id: number, payload: Uint8Array) => void
  /** The worker has room for so many more inputs of the call. */
  readonly want: (id: number, elements: number) => void
  /** `micros`: how long the tool's code ran; 0: not told. */
  readonly done: (id: number, payload: Uint8Array, micros: number) => void
  readonly failed: (id: number, failure: WireFailure) => void
  /** Answered by {@link Wire.hostResult} of the wire that was attached last: once, whatever becomes of it. */
  readonly hostCall: (call: WireHostCall) => void
  /** Nobody in Python waits for it any more. */
  readonly hostCancel: (number: number) => void
  /** Nothing is left of a session that was ended; `failure`: what a hook raised, or empty; `overran`: one goes on beyond its limit. */
  readonly sessionEnded: (number: number, failure: string, overran: boolean) => void
  /** What it tells of itself and its tools, within its credit. */
  readonly telemetry: (telemetry: WireTelemetry) => void
  /** No further call may be sent; what is in flight is not yet given up. */
  readonly broken: () => void
  /** The stream is whole again, and nothing that was said before is lost: calls may be sent, those in flight go on. */
  readonly resumed: () => void
  /** The worker will say nothing any more, because of `reason`. `ended`: its process was seen to end; `exit`: why it did, where that is known. */
  readonly detached: (reason: string, ended: boolean, exit?: ExitClass) => void
}
