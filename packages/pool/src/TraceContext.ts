/**
 * The trace that a call belongs to, in the binary form of W3C's trace context: 16 bytes of trace id, 8 of span id, 1 of flags.
 */
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"

const bytes = 25 // 16 + 8 + 1
const sampled = 1 // the one flag of version 00 that is set

const isHex = (text: string, digits: number): boolean => text.length === digits && /^[0-9a-f]+$/.test(text)

/** Of the fiber's present span, when that is sampled: an unsampled call carries nothing and costs one look. */
export const ofFiber = ({ cache: { span } }: Fiber.Fiber<unknown, unknown>): Uint8Array | undefined => {
  if (span?.sampled !== true) return undefined
  const { spanId, traceId } = span
  if (!isHex(traceId, 32) || !isHex(spanId, 16)) return undefined // of a tracer that does not speak W3C
  const trace = new Uint8Array(bytes)
  const ids = traceId + spanId
  for (let index = 0; index < bytes - 1; index++) trace[index] = Number.parseInt(ids.slice(2 * index, 2 * index + 2), 16)
  trace[bytes - 1] = sampled
  return trace
}

const hex = (trace: Uint8Array, begin: number, end: number): string =>
  Array.from(trace.subarray(begin, end), (byte) => byte.toString(16).padStart(2, "0")).join("")

/** The span that a call was made in, for spans of what is done on its behalf. */
export const spanOf = (trace: Uint8Array): Tracer.ExternalSpan =>
  Tracer.externalSpan({ traceId: hex(trace, 0, 16), spanId: hex(trace, 16, bytes - 1), sampled: true })
