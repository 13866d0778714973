/**
 * One failure across layers: what ended first and why, what each supervisor decided, which calls it touched and how each of them ended. Pure.
 *
 * **Details**
 *
 * Events that carry the id of the incident belong to it. So do, by place and time, those that come without one: a worker's missed heartbeats and
 * verdicts before its end, what it left behind, and its taint. Of a call that was touched, what became of it later belongs to it too.
 *
 * Of calls that succeed only those are told that had lost a worker before: one that went to another worker, and of which no end is told, goes on.
 */
import type { Event } from "@snakepit/core"
import * as EventText from "./EventText.ts"

/** Who tells: the worker itself, its calls, its supervisor, the pool's supervisors, the root's. */
export const lanes = ["worker", "calls", "worker supervisor", "pool", "root"] as const
export type Lane = typeof lanes[number]

/** One moment. */
export interface Step {
  readonly at: number
  readonly lane: Lane
  readonly event: Event.Event
}

/** How a call that was touched ended. `executed`: whether Python had begun it, as far as that can be known. */
export interface TouchedCall {
  readonly tool: string
  /** Ties its events together; `undefined` in records without. */
  readonly correlationId: string | undefined
  readonly end: "completed" | "goes on" | "failed" | "cancelled"
  /** How often it was sent. */
  readonly attempts: number
  /** The tag of its error. */
  readonly reason: string | undefined
  readonly executed: string | undefined
  readonly detail: string
}

/** What the kernel and the process itself said of its end. */
export interface Evidence {
  readonly pid: number | undefined
  readonly exitClass: string
  readonly endedBy: string
  readonly code: number | undefined
  readonly signal: string | undefined
  readonly cause: string
  /** The last lines that it wrote. */
  readonly output: string
}

/** What one supervisor decided. */
export interface Decision {
  readonly at: number
  readonly by: string
  readonly verb: "restart" | "give_up" | "recover" | "leave" | "abandon" | "terminate"
  readonly child: string
  readonly budgetLeft: number | undefined
  readonly delayMillis: number | undefined
}

export interface Incident {
  readonly incident: string
  /** Of its first event. */
  readonly at: number
  /** Of the child that ended first. */
  readonly path: string
  readonly pool: string | undefined
  readonly slot: number | undefined
  readonly generation: number | undefined
  readonly cause: string
  readonly evidence: Evidence | undefined
  readonly decisions: ReadonlyArray<Decision>
  readonly calls: ReadonlyArray<TouchedCall>
  /** From the first end until everything that it took along was up again. */
  readonly recoveredAfterMillis: number | undefined
  /** `open`: not yet over when the record ends. */
  readonly outcome: "recovered" | "gave up" | "open"
  readonly steps: ReadonlyArray<Step>
}

/** How long before the first decision the evidence of a hang may lie: 1 minute, several heartbeats of any sensible interval. */
export const beforeMillis = 60_000

/** How far from the decision the end of a process may be told: it is reaped, classified and told within moments. */
const aroundMillis = 5000

const verbOf = (event: Event.Event): string => event.name.slice(event.name.lastIndexOf(".") + 1)
const isDecision = ({ name }: Event.Event): boolean => name.includes("_supervisor.")
const text = (event: Event.Event, attribute: string): string | undefined => {
  const value = event.attributes[attribute]
  return value === undefined ? undefined : String(value)
}
const number = (event: Event.Event, attribute: string): number | undefined => {
  const value = event.attributes[attribute]
  return typeof value === "number" ? value : undefined
}

/** The ids of the incidents that are told, the first one first. */
export const ids = (events: Iterable<Event.Event>): ReadonlyArray<string> => {
  const found = new Set<string>()
  for (const event of events) {
    if (isDecision(event) && (verbOf(event) === "restart" || verbOf(event) === "give_up")) found.add(String(event.attributes["incident"]))
  }
  return [...found]
}

/** Gathers one incident from events in their order; `undefined` when none of them belongs to it. */
export const gather = (events: ReadonlyArray<Event.Event>, incident: string): Incident | undefined => {
  const marked = events.filter((event) => event.attributes["incident"] === incident)
  const first = marked.find((event) => isDecision(event) && event.attributes["child"] !== undefined)
  if (first === undefined) return undefined
  const pool = text(first, "pool")
  const slot = number(first, "slot")
  const last = marked.at(-1)!.at
  const isOfWorker = (event: Event.Event): boolean =>
    slot !== undefined && event.attributes["pool"] === pool && event.attributes["slot"] === slot
  const touched = new Set(marked.flatMap((event) => text(event, "correlationId") ?? []))
  const steps = events.filter((event) => {
    const of = event.attributes["incident"]
    if (of !== undefined) return of === incident
    if (touched.has(String(event.attributes["correlationId"]))) return true
    if (!isOfWorker(event) || isDecision(event)) return false
    return isPrelude(event)
      ? event.at >= first.at - beforeMillis && event.at <= last
      : isAftermath(event) && isNear(event.at, first.at, last)
  }).map((event): Step => ({ at: event.at, lane: laneOf(event), event }))
  const since = Math.min(...steps.filter(({ event }) => !isPrelude(event)).map(({ at }) => at))
  const prelude = preludeOf(steps, since)
  const shown = steps.filter(({ at, event }) => !isPrelude(event) || at >= prelude)
  const exit = shown.find(({ event }) => event.name === "snakepit.process.exit")?.event
  const decisions = shown.flatMap(({ event }) => isDecision(event) ? decisionOf(event) : [])
  return {
    incident,
    at: since,
    path: `${text(first, "path")}/${text(first, "child")}`,
    pool,
    slot,
    generation: (exit && number(exit, "generation")) ?? number(first, "generation"),
    cause: (exit && text(exit, "cause")) ?? text(first, "cause") ?? "",
    evidence: exit && evidenceOf(exit),
    decisions,
    calls: callsOf(shown.map(({ event }) => event)),
    ...endOf(decisions, since),
    steps: shown
  }
}

/** What a worker shows before its end. */
const isPrelude = ({ name }: Event.Event): boolean => name.startsWith("snakepit.heartbeat.") || name === "snakepit.watchdog.verdict"

/** What comes of a worker's end, where it does not carry the incident. */
const isAftermath = ({ attributes, name }: Event.Event): boolean =>
  name === "snakepit.worker.taint" || name === "snakepit.worker.detach" || name === "snakepit.worker.attach" ||
  name === "snakepit.watchdog.bite" ||
  name === "snakepit.process.start" || name === "snakepit.process.leak" || name === "snakepit.session.lose" ||
  name === "snakepit.call.retry" ||
  (name === "snakepit.process.exit" && attributes["planned"] !== true)

const isNear = (at: number, first: number, last: number): boolean => at >= first - aroundMillis && at <= last

/** The verdicts and misses since the worker was last well. */
const preludeOf = (steps: ReadonlyArray<Step>, since: number): number => {
  const well = steps.findLast(({ at, event }) =>
    at <= since &&
    (event.name === "snakepit.heartbeat.recover" || (event.name === "snakepit.watchdog.verdict" && event.attributes["verdict"] === "alive"))
  )
  return well === undefined ? 0 : well.at + 1
}

const laneOf = (event: Event.Event): Lane => {
  const { name } = event
  if (!isDecision(event)) {
    return /^snakepit\.(call|host_call|session|circuit)\./.test(name)
      ? "calls"
      : event.attributes["slot"] === undefined
      ? "pool"
      : "worker"
  }
  const path = String(event.attributes["path"])
  return /^[^/]+\/pools\/[^/]+\/fleet\/./.test(path) ? "worker supervisor" : /^[^/]+\/pools\/./.test(path) ? "pool" : "root"
}

const evidenceOf = (exit: Event.Event): Evidence => ({
  pid: number(exit, "pid"),
  exitClass: text(exit, "exitClass") ?? "",
  endedBy: text(exit, "endedBy") ?? "",
  code: number(exit, "code"),
  signal: text(exit, "signal"),
  cause: text(exit, "cause") ?? "",
  output: text(exit, "output") ?? ""
})

const decisionOf = (event: Event.Event): ReadonlyArray<Decision> => {
  const verb = verbOf(event)
  if (verb !== "restart" && verb !== "give_up" && verb !== "recover" && verb !== "leave" && verb !== "abandon" && verb !== "terminate") {
    return []
  }
  const { budgetLeft, delayMillis } = event.measurements
  return [{ at: event.at, by: text(event, "path") ?? "", verb, child: text(event, "child") ?? "", budgetLeft, delayMillis }]
}

/** How a call stands after an event of it. */
const ends: { readonly [verb: string]: { readonly end: TouchedCall["end"]; readonly detail: (event: Event.Event) => string } } = {
  retry: { end: "goes on", detail: ({ measurements }) => `after ${measurements["delayMillis"]} ms` },
  recover: { end: "completed", detail: ({ measurements }) => `after ${measurements["durationMillis"]} ms in all` },
  fail: { end: "failed", detail: (event) => text(event, "cause") ?? "" },
  cancel: { end: "cancelled", detail: (event) => text(event, "how") ?? "" }
}

const callsOf = (events: ReadonlyArray<Event.Event>): ReadonlyArray<TouchedCall> => {
  const calls = new Map<string, TouchedCall>()
  for (const [index, event] of events.entries()) {
    if (!event.name.startsWith("snakepit.call.") || event.attributes["tool"] === undefined) continue
    const verb = verbOf(event)
    const ended = ends[verb]
    if (ended === undefined) continue
    const correlationId = text(event, "correlationId")
    const key = correlationId ?? `#${index}`
    const { attempt, attempts = attempt ?? calls.get(key)?.attempts ?? 1 } = event.measurements
    calls.set(key, {
      tool: text(event, "tool")!,
      correlationId,
      end: ended.end,
      attempts,
      reason: text(event, "reason"),
      executed: text(event, "executed"),
      detail: ended.detail(event)
    })
  }
  return [...calls.values()]
}

/** Each restart is answered by the recovery of the same child, or by the decision above its supervisor when that gave up. */
const endOf = (decisions: ReadonlyArray<Decision>, since: number): Pick<Incident, "outcome" | "recoveredAfterMillis"> => {
  const open = new Set<string>()
  let over: number | undefined
  let gaveUp = false
  for (const { at, by, child, verb } of decisions) {
    const path = `${by}/${child}`
    if (verb === "give_up") {
      for (const other of open) if (other.startsWith(`${by}/`)) open.delete(other)
      gaveUp = true
    } else if (verb === "restart") {
      for (const other of open) if (other.startsWith(`${path}/`)) open.delete(other)
      open.add(path)
      gaveUp = false
    } else if (verb === "recover") {
      open.delete(path)
      over = at
    }
  }
  if (gaveUp) return { outcome: "gave up", recoveredAfterMillis: undefined }
  return open.size === 0 && over !== undefined
    ? { outcome: "recovered", recoveredAfterMillis: over - since }
    : { outcome: "open", recoveredAfterMillis: undefined }
}

/** Where it happened, for people: `default/3 gen 2`, or the path. */
export const placeOf = ({ generation, path, pool, slot }: Incident): string =>
  pool === undefined || slot === undefined ? path : `${pool}/${slot}${generation === undefined ? "" : ` generation ${generation}`}`

/** One line about one moment, without its time; the cause of the incident, which stands above, is not said again. */
export const describe = ({ cause }: Incident, { event }: Step): string => {
  const what = event.name.replace(/^snakepit\./, "").replace("_supervisor.", " supervisor: ")
  const known = cause.split("\n", 1)[0]!
  const bare = known.replace(/^[A-Z][A-Za-z]+: /, "") // without the tag of its error
  const detail = [known, bare].reduce((text, known) => known === "" ? text : text.replace(known, "the cause"), EventText.detailOf(event))
  return `${what}  ${[EventText.placeOf(event), detail].filter((part) => part !== "").join("  ")}`
}
