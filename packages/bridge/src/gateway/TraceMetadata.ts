/** The trace that a client's call belongs to, as its metadata says: W3C's `traceparent` and `tracestate`, or gRPC's own `grpc-trace-bin`. */
import type * as grpc from "@grpc/grpc-js"
import { TraceContext } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"

const text = (metadata: grpc.Metadata, key: string): string => metadata.get(key).join(",") // as HTTP joins what comes in several headers

/** `undefined`: it says nothing, or nothing that can be read, which is no reason to refuse the call. */
export const spanOf = (metadata: grpc.Metadata): Tracer.ExternalSpan | undefined => {
  const state = text(metadata, "tracestate")
  const span = TraceContext.ofText(text(metadata, "traceparent"), state)
  if (span !== undefined) return span
  const [binary] = metadata.get("grpc-trace-bin")
  return binary instanceof Uint8Array ? TraceContext.ofBinary(binary, state) : undefined
}

/** What is done for the call is in its trace; the client's decision whether it is sampled holds. */
export const within = (metadata: grpc.Metadata) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const span = spanOf(metadata)
  return span === undefined ? self : Effect.withParentSpan(self, span) as Effect.Effect<A, E, R>
}
