/**
 * The trace that a call belongs to, as W3C has it: in binary on the wire (16 bytes of trace id, 8 of span id, 1 of flags), in text in the metadata of
 * clients; and `tracestate`, which is carried as it came.
 */
import * as Context from "effect/Context"
import * as Tracer from "effect/Tracer"

const bytes = 25 // 16 + 8 + 1
const sampled = 1 // the one flag of version 00 that is set

const isHex = (text: string, digits: number): boolean => text.length === digits && /^[0-9a-f]+$/.test(text)

/** `tracestate`: an annotation of the span that came with it. Spans below need not have it, see {@link stateOf}. */
export const State: Context.Reference<string> = Context.Reference<string>("@snakepit/pool/TraceContext/State", { defaultValue: () => "" })

/** The span in binary; `undefined` of a tracer that does not speak W3C. */
export const toBinary = ({ spanId, traceId }: Tracer.AnySpan): Uint8Array | undefined => {
  if (!isHex(traceId, 32) || !isHex(spanId, 16)) return undefined
  const trace = new Uint8Array(bytes)
  const ids = traceId + spanId
  for (let index = 0; index < bytes - 1; index++) trace[index] = Number.parseInt(ids.slice(2 * index, 2 * index + 2), 16)
  trace[bytes - 1] = sampled
  return trace
}

/** The `tracestate` of the span or of the nearest one above it; empty: none. */
export const stateOf = (span: Tracer.AnySpan): string => {
  for (let at: Tracer.AnySpan | undefined = span; at !== undefined; at = above(at)) {
    const state = Context.get(at.annotations, State)
    if (state !== "") return state
  }
  return ""
}

const above = (span: Tracer.AnySpan): Tracer.AnySpan | undefined =>
  span._tag === "Span" && span.parent._tag === "Some" ? span.parent.value : undefined

/** A span of another program, as it said so in text: `00-<trace id>-<span id>-<flags>`; `undefined` when that is not what it says. */
export const ofText = (traceparent: string, tracestate = ""): Tracer.ExternalSpan | undefined => {
  const [, version, traceId, spanId, flags, more] = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(traceparent) ??
    []
  // a later version may say more, and begins as this one; ff is none
  if (version === undefined || version === "ff" || version === "00" && more !== undefined) return undefined
  return external(traceId!, spanId!, Number.parseInt(flags!, 16), tracestate)
}

/** The same from gRPC's binary form: a version, then fields of a number and a value: 0 the trace id, 1 the span id, 2 the flags. */
export const ofBinary = (context: Uint8Array, tracestate = ""): Tracer.ExternalSpan | undefined => {
  if (context.length !== 29 || context[0] !== 0 || context[1] !== 0 || context[18] !== 1 || context[27] !== 2) return undefined
  return external(hex(context, 2, 18), hex(context, 19, 27), context[28]!, tracestate)
}

const hex = (data: Uint8Array, begin: number, end: number): string =>
  Array.from(data.subarray(begin, end), (byte) => byte.toString(16).padStart(2, "0")).join("")

const external = (traceId: string, spanId: string, flags: number, tracestate: string): Tracer.ExternalSpan | undefined =>
  /^0+$/.test(traceId) || /^0+$/.test(spanId) // W3C: no ids
    ? undefined
    : Tracer.externalSpan({
      traceId,
      spanId,
      sampled: (flags & sampled) === sampled,
      annotations: tracestate === "" ? Context.empty() : Context.make(State, tracestate)
    })
