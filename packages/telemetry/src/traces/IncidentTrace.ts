/**
 * What supervisors say of an incident, as the spans of one trace: a fold of their events.
 *
 * ```text
 *  incident default/fleet/3/process ─────────────────────────────────────────────▶ until nothing of it is open
 *   ├─ restart process ──✗                                from the exit until it is up again, or its start failed
 *   ├─ restart process ────────✗
 *   └─ give_up 3 ──────────────────────────────────────▶  the budget is spent: until the supervisor above has dealt with it
 *       └─ restart 3 ──────────────────────────────────▶
 * ```
 *
 * **Details**
 *
 * Ids are those of `IncidentSpan`, so that others can link to a span that is not over yet. A span is given out when it is over, its root last. What is
 * stopped as planned meanwhile ends its spans as interrupted.
 *
 * Pure: it makes no spans and asks no clock. It owns its state, and updates it in place.
 */
import { type Event, IncidentSpan, type RemoteSpan } from "@snakepit/core"

/** A span of an incident that is not over. `below`: what the decision was about, a child's path, whose supervisor it may be. */
interface Open {
  readonly id: RemoteSpan.SpanId
  readonly parentSpanId: string
  readonly event: Event.Event
  readonly path: string
  readonly below: string
  readonly verb: Verb
}

type Verb = "restart" | "give_up"

interface Incident {
  readonly name: string
  readonly first: Event.Event
  /** By span id, in the order in which they began. */
  readonly open: Map<string, Open>
  restarts: number
  /** Over what it was given up. */
  gaveUp: string | undefined
}

/** The incidents that are open, and the last that were. */
export interface State {
  readonly incidents: Map<string, Incident>
  readonly over: Set<string>
  /** Paths of supervisors that were stopped, or have given up, and have not come back: they deal with nothing any more. */
  readonly stopped: Set<string>
}

/** Incidents that are open at a time, and as many that were: 1000, far more than there are supervisors that fail at once. Beyond, the oldest ends as it is. */
const most = 1000

export const make = (): State => ({ incidents: new Map(), over: new Set(), stopped: new Set() })

/** Takes one event in, and gives the spans that are over with it. Total: what is no event of a supervisor says nothing. */
export const fold = (state: State, event: Event.Event): ReadonlyArray<RemoteSpan.RemoteSpan> => {
  const { child, path } = event.attributes
  if (typeof path !== "string") return []
  const about = child === undefined ? path : `${path}/${child}`
  const out: Array<RemoteSpan.RemoteSpan> = []
  switch (event.name.slice(event.name.lastIndexOf(".") + 1)) {
    case "start":
      state.stopped.delete(path)
      break
    case "restart":
      begin(state, out, event, "restart", path, about)
      interrupt(state, out, event, (open) => isWithin(open.path, about)) // it has ended, and all below it
      break
    case "give_up":
      begin(state, out, event, "give_up", path, about)
      interrupt(state, out, event, (open) => open.path === path || open.verb === "give_up" && listener(state, open.path) === path)
      state.stopped.add(path)
      break
    case "recover": {
      const incident = state.incidents.get(String(event.attributes["incident"]))
      for (const open of incident?.open.values() ?? []) {
        if (open.path === path || isWithin(open.path, about)) end(out, incident!, open, event.at, ok)
      }
      break
    }
    case "leave": // whatever it gave up over, it is not started again
    case "terminate":
      if (child === undefined) state.stopped.add(path)
      interrupt(
        state,
        out,
        event,
        (open) => isWithin(open.path, about) || child !== undefined && open.verb === "restart" && open.below === about
      )
  }
  settle(state, out, event.at)
  return out
}

const ok: RemoteSpan.Status = { _tag: "Ok" }
const interrupted: RemoteSpan.Status = { _tag: "Interrupted" }

const above = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")))

const isWithin = (path: string, above: string): boolean => path === above || path.startsWith(`${above}/`)

/** The nearest supervisor above that has not given up itself: who has to deal with what one below could not; `""` above the root. */
const listener = (state: State, path: string): string => {
  const next = above(path)
  return state.stopped.has(next) ? listener(state, next) : next
}

/** Ends what a supervisor will not deal with any more, of all incidents but that of the event. */
const interrupt = (
  state: State,
  out: Array<RemoteSpan.RemoteSpan>,
  { at, attributes }: Event.Event,
  isOver: (open: Open) => boolean
): void => {
  for (const [key, incident] of state.incidents) {
    if (key === attributes["incident"]) continue
    for (const open of incident.open.values()) if (isOver(open)) end(out, incident, open, at, interrupted)
  }
}

const begin = (
  state: State,
  out: Array<RemoteSpan.RemoteSpan>,
  event: Event.Event,
  verb: Verb,
  path: string,
  below: string
): void => {
  const { attributes, at } = event
  const id = IncidentSpan.of(event)
  if (id === undefined) return
  const key = String(attributes["incident"])
  const incident: Incident = state.incidents.get(key) ??
    { name: `incident ${below}`, first: event, open: new Map(), restarts: 0, gaveUp: undefined }
  state.incidents.set(key, incident)
  // what the same supervisor was about is over: a start has failed, or another child that goes with it has ended
  for (const open of incident.open.values()) if (open.path === path) end(out, incident, open, at, failed(event))
  const cause = [...incident.open.values()].find((open) => open.path === below) // it gave up, and this is what the one above makes of it
  const parentSpanId = cause?.id.spanId ?? IncidentSpan.root(key).spanId
  incident.open.set(id.spanId, { id, parentSpanId, event, path, below, verb })
  if (verb === "restart") incident.restarts++
  else {
    incident.gaveUp = path
    const isLast = !path.includes("/") || state.stopped.has(above(path)) // nobody is above the root, and nobody above listens any more
    if (isLast) { for (const open of incident.open.values()) end(out, incident, open, at, failed(event)) }
  }
}

const failed = ({ attributes }: Event.Event): RemoteSpan.Status => ({
  _tag: "Error",
  type: String(attributes["reason"]),
  message: String(attributes["cause"])
})

const end = (
  out: Array<RemoteSpan.RemoteSpan>,
  incident: Incident,
  { event, id, parentSpanId, verb }: Open,
  at: number,
  status: RemoteSpan.Status
): void => {
  incident.open.delete(id.spanId)
  out.push(spanOf({ id, name: `${verb} ${event.attributes["child"]}`, parentSpanId, from: event, at, status, more: {} }))
}

/** Ends the incidents of which nothing is open, and those that are too many. */
const settle = (state: State, out: Array<RemoteSpan.RemoteSpan>, at: number): void => {
  for (const [key, incident] of state.incidents) {
    const isCrowded = state.incidents.size > most
    if (incident.open.size > 0 && !isCrowded) continue
    for (const open of incident.open.values()) end(out, incident, open, at, interrupted)
    state.incidents.delete(key)
    if (state.over.has(key)) continue // it was over, with a child that was stopped as planned, and went on with those beside it
    state.over.add(key)
    if (state.over.size > most) state.over.delete(state.over.values().next().value!)
    const { first, gaveUp, name, restarts } = incident
    const id = IncidentSpan.root(key)
    const status: RemoteSpan.Status = gaveUp === undefined ? ok : { _tag: "Error", type: "GaveUp", message: `${gaveUp} gave up` }
    out.push(spanOf({ id, name, parentSpanId: undefined, from: first, at, status, more: { "snakepit.restarts": restarts } }))
  }
}

const spanOf = ({ at, from, id, more, name, parentSpanId, status }: {
  readonly id: RemoteSpan.SpanId
  readonly name: string
  readonly parentSpanId: string | undefined
  readonly from: Event.Event
  readonly at: number
  readonly status: RemoteSpan.Status
  readonly more: Readonly<Record<string, unknown>>
}): RemoteSpan.RemoteSpan => ({
  ...id,
  parentSpanId,
  name,
  kind: "internal",
  startNanos: nanosOf(from.at),
  endNanos: nanosOf(Math.max(at, from.at)),
  attributes: { ...attributesOf(from), ...more, ...status._tag === "Error" && { "error.type": status.type } },
  events: [],
  links: [],
  status
})

const nanosOf = (millis: number): bigint => BigInt(Math.round(millis * 1000)) * 1000n

/** `budgetLeft` is `snakepit.budget_left`. What is not there is left out. */
const attributesOf = ({ attributes, measurements }: Event.Event): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries({ ...attributes, ...measurements }).flatMap(([key, value]) =>
      value === undefined
        ? []
        : [[key.startsWith("snakepit.") ? key : `snakepit.${key.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)}`, value]]
    )
  )
