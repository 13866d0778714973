/**
 * What of the records that workers tell is let in: pure decisions, from what was let in before.
 *
 * ```text
 *  record ─▶ shape: names, lengths, numbers ─▶ declared: its schema
 *              │ does not fit: dropped          └ else generic: names, keys and texts of one pool are bounded
 *              ▼                                      │ a name too many: dropped · a key or a text too many: left out
 *            counted ◀────────────────────────────────┘
 * ```
 */
import type { Event } from "@snakepit/core"
import type { WireTelemetry } from "@snakepit/pool"
import * as BridgeEvent from "../BridgeEvent.ts"

/** What one pool may have told of, each for the life of the ingest. Series, indices and caches of whoever listens grow with them. */
export const most = {
  /** Of events of its own: more are numbers or ids in a name. */
  names: 256,
  /** Of spans of its own. */
  spans: 256,
  /** Of attributes of such events. */
  keys: 256,
  /** Texts that those attributes had: more are ids, which belong into spans and logs. */
  values: 1024
} as const

/** As in Python, which bounds what it tells: beyond it the worker is not what it should be. Of texts in bytes of UTF-8. */
const limits = { pairs: 32, key: 64, name: 128, value: 1024, text: 4096, tool: 256 } as const

const word = /^[A-Za-z][A-Za-z0-9_.-]*$/
const isName = (name: string, longest: number): boolean => name.length <= longest && word.test(name)

export type What = keyof typeof most

export type Verdict =
  /** An event whose meaning is declared. */
  | {
    readonly _tag: "Known"
    readonly known: BridgeEvent.Sample
    readonly measurements: Readonly<Record<string, number>>
    readonly attributes: Readonly<Record<string, Event.Value>>
  }
  /** An event, a span or a line of a tool's own. `without`: of what parts were left out. */
  | {
    readonly _tag: "Own"
    readonly attributes: Readonly<Record<string, WireTelemetry.Value>>
    readonly without: ReadonlyArray<What>
  }
  | { readonly _tag: "Dropped"; readonly reason: "shape" | "names" | "spans" }

const dropped = (reason: "shape" | "names" | "spans"): Verdict => ({ _tag: "Dropped", reason })

/** The span of a call itself: however many others its tools name, it is let in. */
const ofCall = "python.call"

/** Of one pool. */
export class Edge {
  private readonly seen: Readonly<Record<What, Set<string>>> = {
    names: new Set(),
    spans: new Set([ofCall]),
    keys: new Set(),
    values: new Set()
  }

  judge({ attributes, said, tool, at }: WireTelemetry.Told): Verdict {
    if (!Number.isFinite(at) || !isText(tool, limits.tool)) return dropped("shape")
    if (!isShapely(said) || !arePairs(attributes, isValue)) return dropped("shape")
    const known = said._tag === "Event" ? BridgeEvent.samples.get(said.name) : undefined
    if (said._tag === "Event" && known !== undefined) return asDeclared(known, said.measurements, attributes)
    if (said._tag === "Event" && !this.admit("names", said.name)) return dropped("names")
    if (said._tag === "Span" && !this.admit("spans", said.name)) return dropped("spans")
    if (said._tag !== "Event") return { _tag: "Own", attributes: Object.fromEntries(attributes), without: [] }
    const without = new Set<What>()
    const kept = attributes.filter(([key, value]) => {
      const what = !this.admit("keys", key)
        ? "keys"
        : typeof value === "string" && !this.admit("values", `${key}=${value}`)
        ? "values"
        : undefined
      if (what !== undefined) without.add(what)
      return what === undefined
    })
    return { _tag: "Own", attributes: Object.fromEntries(kept), without: [...without] }
  }

  private admit(what: What, name: string): boolean {
    const seen = this.seen[what]
    if (seen.has(name)) return true
    if (seen.size >= most[what]) return false
    seen.add(name)
    return true
  }
}

const isText = (text: string, longest: number): boolean => Buffer.byteLength(text) <= longest

const isValue = (value: WireTelemetry.Value): boolean =>
  typeof value === "string" ? isText(value, limits.value) : typeof value === "boolean" || Number.isFinite(value)

const arePairs = <V>(pairs: WireTelemetry.Pairs<V>, isFit: (value: V) => boolean): boolean =>
  pairs.length <= limits.pairs && pairs.every(([key, value]) => isName(key, limits.key) && isFit(value))

const isShapely = (said: WireTelemetry.Told["said"]): boolean => {
  switch (said._tag) {
    case "Event":
      return isName(said.name, limits.name) && arePairs(said.measurements, Number.isFinite)
    case "Span": {
      const { error, name, parentId, spanId, tookMicros, traceId } = said
      return isName(name, limits.name) && isId(traceId, 16) && isId(spanId, 8) && isId(parentId, 8) && Number.isSafeInteger(tookMicros) &&
        (error === undefined || [error.type, error.message, error.stack].every((text) => isText(text, limits.text)))
    }
    case "Log":
      return (said.span === undefined || isId(said.span.traceId, 16) && isId(said.span.spanId, 8)) && isText(said.logger, limits.text) &&
        isText(said.message, limits.text) && Number.isInteger(said.level)
  }
}

/** W3C: an id of nothing but zeros is none. */
const isId = (id: Uint8Array, bytes: number): boolean => id.length === bytes && id.some((byte) => byte !== 0)

/** `rss_bytes` in Python is `rssBytes` here. */
const camel = (key: string): string => key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

const camels = <V>(pairs: WireTelemetry.Pairs<V>): Record<string, V> => Object.fromEntries(pairs.map(([key, value]) => [camel(key), value]))

const asDeclared = (
  known: BridgeEvent.Sample,
  said: WireTelemetry.Pairs<number>,
  given: WireTelemetry.Pairs<WireTelemetry.Value>
): Verdict => {
  const measurements = known.measured(camels(said))
  const attributes = known.described(camels(given))
  if (measurements === undefined || attributes === undefined) return dropped("shape")
  return { _tag: "Known", known, measurements, attributes }
}
