/**
 * The ids of the spans that tell an incident, made from what its events say: whoever hears the event of a decision can link to the decision's span, also before
 * that span is over.
 *
 * **Details**
 *
 * An incident is a trace. Its root is the incident itself; each restart and each giving up of it is a span below. A hash, and no secret: 128 and 64
 * bits, as W3C has them.
 *
 * **Example** (The trace of an incident)
 *
 * ```ts
 * import { IncidentSpan } from "@snakepit/core"
 *
 * IncidentSpan.root("mf2k1x0a-3") // => { traceId: "c7d1cd5d8d9c3bd1e7a4cd8cbbf5c8d1", spanId: "0b7c3d4d2a1f6e55" }
 * ```
 */
import type * as Event from "./Event.ts"
import type { SpanId } from "./RemoteSpan.ts"

/** FNV-1a's offset and prime, and the golden ratio of 32 bits, which keeps the words of one hash apart. */
const offset = 0x811c9dc5
const prime = 0x01000193
const apart = 0x9e3779b9

const word = (text: string, nth: number): string => {
  let hash = offset + Math.imul(nth, apart)
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), prime)
  // MurmurHash3's last step: a change of one character changes all digits
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b)
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35)
  return ((hash ^ hash >>> 16) >>> 0).toString(16).padStart(8, "0")
}

const traceIdOf = (incident: string): string => word(incident, 0) + word(incident, 1) + word(incident, 2) + word(incident, 3)

const spanIdOf = (text: string): string => word(text, 4) + word(text, 5)

/** Of the incident itself. */
export const root = (incident: string): SpanId => ({ traceId: traceIdOf(incident), spanId: spanIdOf(incident) })

/** Of the decision that the event tells, when it is to restart a child or to give up over one. */
export const of = ({ attributes, name }: Event.Event): SpanId | undefined => {
  const { child, generation, incident, path } = attributes
  const isDecision = name.endsWith(".restart") || name.endsWith(".give_up")
  if (!isDecision || typeof incident !== "string") return undefined
  const verb = name.slice(name.lastIndexOf(".") + 1)
  return { traceId: traceIdOf(incident), spanId: spanIdOf(`${incident} ${verb} ${path}/${child} ${generation}`) }
}
