/**
 * The events that follow when a contract's child ends: the decisions that core foretells, and between them what each kind of child tells
 * when it comes up and goes down.
 *
 * A child that is in no table here makes its case fail: nothing says what it tells.
 */
import { type Event, SupervisorEvent } from "@snakepit/core"
import { Order, type Prediction } from "@snakepit/core/testing"

/** What a child tells beside the decisions of its supervisor. */
interface Telling {
  /** As it comes up, in this order. */
  readonly up: ReadonlyArray<string>
  /** As it goes down, in any order: the end of a process is the end of its session, which outlives a channel. */
  readonly down: ReadonlyArray<string>
}

const nothing: Telling = { up: [], down: [] }
const attach = "snakepit.worker.attach"
const detach = "snakepit.worker.detach"

/** By the id of the child. */
const tellings: Readonly<Record<string, Telling>> = {
  config_server: { up: ["snakepit.config.restore"], down: [] },
  process_registry: nothing,
  session_store: nothing,
  event_log: nothing,
  history: nothing,
  event_feed: nothing,
  metrics_endpoint: { up: ["snakepit.metrics_endpoint.start"], down: [] },
  otlp_traces: nothing,
  otlp_logs: nothing,
  otlp_metrics: nothing,
  ingest: nothing,
  gateway: { up: ["snakepit.gateway.start"], down: ["snakepit.gateway.stop"] },
  roster: { up: ["snakepit.pool.open"], down: ["snakepit.pool.close"] },
  reaper: { up: ["snakepit.reaper.start"], down: [] },
  dispatcher: nothing,
  lifecycle: nothing,
  spares: nothing, // the suite's pools keep none
  sampler: nothing, // what it tells each second is no decision
  forkserver: { up: ["snakepit.forkserver.start"], down: ["snakepit.forkserver.exit"] },
  worker_starter: { up: ["snakepit.worker_starter.fill"], down: [] },
  process: { up: ["snakepit.process.start"], down: [detach, "snakepit.process.exit"] },
  channel: { up: [attach], down: [] },
  heartbeat: nothing,
  watchdog: nothing,
  telemetry_tap: nothing,
  yours: nothing // the suite's own perWorker child
}

/** They come at no moment of their own. */
const untimely: ReadonlySet<string> = new Set([
  "snakepit.containment.report",
  "snakepit.history.open",
  "snakepit.lifecycle.fill",
  "snakepit.pool.sample",
  "snakepit.python.memory.sampled",
  "snakepit.python.cpu.sampled",
  "snakepit.python.gc.completed"
])

const idOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** The pool and the slot that a path belongs to. */
export const placeOf = (path: string): { readonly pool: string | undefined; readonly slot: string | undefined } => {
  const [, pool, slot] = /^snakepit\/pools\/([^/]+)(?:\/fleet\/([^/]+))?/.exec(path) ?? []
  return { pool, slot }
}

const labelOf = (name: string, { pool, slot }: ReturnType<typeof placeOf>): string =>
  [name, ...(pool === undefined ? [] : [slot === undefined ? pool : `${pool}/${slot}`])].join(" ")

/**
 * An event as the expectation names it: what it is, and where. Undefined for what the load's calls tell, as their outcomes are judged instead, for
 * what only tells how the tree stands, for the report of containment: it comes with whichever process is first, for the file of the history: it is
 * opened when the child is up, and for the processes that the lifecycle has seen: it tells when it looks.
 */
export const label = ({ attributes, name }: Event.Event): string | undefined => {
  if (name.startsWith("snakepit.call.") || SupervisorEvent.isObservation(name) || untimely.has(name)) return undefined
  const { child, path, pool, slot } = attributes
  if (name.includes("_supervisor.")) return `${name} ${path}${child === undefined ? "" : ` ${child}`}`
  return labelOf(name, { pool: pool === undefined ? undefined : String(pool), slot: slot === undefined ? undefined : String(slot) })
}

/** What of one pool decides who hears that a worker came or went: the Dispatcher tells it, from what waits in the Roster. */
interface Desk {
  readonly waiting: Map<string, Array<string>>
  readonly attached: Set<string>
  roster: boolean
  dispatcher: boolean
}

/** The labels of the events that must come, in their order. All slots have a worker at first. */
export const of = (steps: Order.Order<Prediction.Step>, slots: ReadonlyArray<string>): Order.Order<string> => {
  const desks = new Map<string, Desk>()
  const deskOf = (pool: string): Desk => {
    const desk: Desk = desks.get(pool) ?? { waiting: new Map(), attached: new Set(slots), roster: true, dispatcher: true }
    desks.set(pool, desk)
    return desk
  }
  const worker = (name: string, path: string): Order.Order<string> => {
    const { pool, slot } = placeOf(path)
    const desk = deskOf(pool!)
    const comes = name === attach
    if (!desk.roster || desk.attached.has(slot!) === comes) return []
    if (comes) desk.attached.add(slot!)
    else desk.attached.delete(slot!)
    const told = labelOf(name, { pool, slot })
    if (desk.dispatcher) return [told]
    desk.waiting.set(slot!, [...desk.waiting.get(slot!) ?? [], told])
    return []
  }
  const flush = (desk: Desk): Order.Order<string> => {
    const branches = [...desk.waiting.values()]
    desk.waiting.clear()
    return [Order.atOnce(...branches)]
  }
  const leaf = (step: Extract<Prediction.Step, { readonly _tag: "Up" | "Down" }>): Order.Order<string> => {
    const { _tag, path } = step
    const id = idOf(path)
    const telling = tellings[id]
    if (telling === undefined) {
      throw new RangeError(`nothing says what "${id}" tells when it comes and goes: say it in ${import.meta.filename}`)
    }
    const { pool } = placeOf(path)
    const up = _tag === "Up"
    if (pool !== undefined) {
      const desk = deskOf(pool)
      if (id === "dispatcher") desk.dispatcher = up
      if (id === "roster") {
        desk.roster = up
        desk.waiting.clear()
        desk.attached.clear()
      }
    }
    const tell = (name: string) => name === attach || name === detach ? worker(name, path) : [labelOf(name, placeOf(path))]
    if (!up) return [Order.atOnce(...telling.down.map(tell))]
    return [...telling.up.flatMap(tell), ...(id === "dispatcher" ? flush(deskOf(pool!)) : [])]
  }
  return Order.flatMap(steps, (step): Order.Order<string> => {
    if (step._tag !== "Tell") return leaf(step)
    return [`${step.event} ${step.path}${step.child === undefined ? "" : ` ${idOf(step.child)}`}`]
  })
}
