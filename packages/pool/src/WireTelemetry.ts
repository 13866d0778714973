/**
 * What a worker tells of itself and its tools, as the wire carries it and as the pool hands it on: events, spans and logs.
 *
 * **Details**
 *
 * Nothing here is believed: names and values are whatever a worker has said, and are checked where they enter the host's telemetry. Values are scalars,
 * so nothing is nested.
 */
import type * as Effect from "effect/Effect"

export type Value = string | number | boolean

/** A thing with names for its parts; a name may come twice. */
export type Pairs<V> = ReadonlyArray<readonly [key: string, value: V]>

/** Something happened, or was measured. */
export interface WireEvent {
  readonly _tag: "Event"
  readonly name: string
  readonly measurements: Pairs<number>
}

/** Something that took time, within a sampled trace. */
export interface WireSpan {
  readonly _tag: "Span"
  readonly name: string
  readonly traceId: Uint8Array
  readonly spanId: Uint8Array
  readonly parentId: Uint8Array
  readonly tookMicros: number
  /** It is the call itself, as the worker ran it. */
  readonly server: boolean
  /** What it ended with. */
  readonly error: { readonly type: string; readonly message: string; readonly stack: string } | undefined
}

/** A line that was logged, or written. */
export interface WireLog {
  readonly _tag: "Log"
  /** Of a line that was written: `stdout` or `stderr`. */
  readonly logger: string
  /** Python's number of the level; 0: the line was written. */
  readonly level: number
  readonly message: string
  /** What was open there, of a sampled call. */
  readonly span: { readonly traceId: Uint8Array; readonly spanId: Uint8Array } | undefined
}

/** One record. */
export interface WireRecord {
  /** For how many milliseconds it had happened, or begun, when it came. */
  readonly ageMillis: number
  /** The attempt that it belongs to, as `WireCall.id`; 0: none. */
  readonly call: number
  /** The name that was called; empty: none. */
  readonly tool: string
  readonly attributes: Pairs<Value>
  readonly said: WireEvent | WireSpan | WireLog
}

/** Records that somebody has left out. */
export interface Dropped {
  /** `queue`, `invalid` by the worker; `credit`, `tap` by the pool; what takes them in has reasons of its own. */
  readonly reason: string
  readonly records: number
}

/** What a worker says at once. */
export interface WireTelemetry {
  readonly records: ReadonlyArray<WireRecord>
  /** Since the last. */
  readonly dropped: ReadonlyArray<Dropped>
}

/** A record with its time: Unix milliseconds of the host's clock, with fractions. */
export interface Told extends Omit<WireRecord, "ageMillis" | "call"> {
  readonly at: number
  /** Of the call that it belongs to, as in events. */
  readonly correlationId: string | undefined
}

/** Which worker has told it. */
export interface Teller {
  readonly pool: string
  readonly slot: number
  readonly generation: number
}

/** Where what workers tell is handed on. */
export interface TelemetryPort {
  /** Synchronous; never throws. What it has no room for is dropped, and counted there. */
  readonly take: (teller: Teller, records: ReadonlyArray<Told>, dropped: ReadonlyArray<Dropped>) => void
  /** Returns when there is room for more: until then no worker gets credit. */
  readonly room: Effect.Effect<void>
}
