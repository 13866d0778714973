/**
 * The tree of an application as its events tell it: a pure fold, for whoever has the bus and nothing else.
 *
 * **Details**
 *
 * {@link apply} takes one event and updates the state in place; {@link snapshot} copies it as plain data, from which {@link restore} goes on.
 * Fed from the beginning, it knows of every supervisor and child what `Tree.SupervisorNode` of core says: status, generation, reason,
 * budget. Beside them it keeps each pool's last samples, each worker's marks and the incidents that are open.
 *
 * **Example** (Who is down?)
 *
 * ```ts
 * import type { Event } from "@snakepit/core"
 * import { LiveTree } from "@snakepit/telemetry"
 *
 * declare const events: ReadonlyArray<Event.Event>
 *
 * const tree = LiveTree.make()
 * for (const event of events) LiveTree.apply(tree, event)
 * const down = [...tree.nodes.values()].filter((node) => node.status === "down")
 * ```
 */
import { type Event, Intensity, type SupervisorEvent } from "@snakepit/core"
import * as Schema from "effect/Schema"

/** A restart shows in the header for so long: 5 minutes, what an operator means by "just now". */
export const recentMillis = 300_000

/** Samples kept of each pool, one a second: a minute's sparkline. */
const samplesKept = 60

/** Restarts kept for the header: far more than a supervisor with a limit can have in 5 minutes. */
const restartsKept = 10_000

const Standing = Schema.Literals(["starting", "running", "waiting", "stopping", "down"])

const Supervisor = Schema.Struct({
  strategy: Schema.String,
  limit: Schema.Union([Schema.Literal("unlimited"), Schema.Struct({ maxRestarts: Schema.Int, withinMillis: Schema.Finite })]),
  /** When it spent a restart that may still count. */
  spent: Schema.Array(Schema.Finite),
  /** Why it gave up; another one of the same path may come. */
  gaveUp: Schema.optionalKey(Schema.String)
})

const Node = Schema.Struct({
  path: Schema.String,
  id: Schema.String,
  status: Standing,
  generation: Schema.Int,
  /** Why it is not running. */
  because: Schema.optionalKey(Schema.String),
  /** When it will be started again, Unix time in milliseconds. */
  dueAt: Schema.optionalKey(Schema.Finite),
  /** Why it last ended, and when. */
  lastEnd: Schema.optionalKey(Schema.Struct({ at: Schema.Finite, cause: Schema.String })),
  /** It was left behind: it did not stop in time. */
  abandoned: Schema.optionalKey(Schema.Int),
  pool: Schema.optionalKey(Schema.String),
  slot: Schema.optionalKey(Schema.Int),
  /** Present while it is a supervisor that is up. */
  supervisor: Schema.optionalKey(Supervisor),
  /** In start order. */
  children: Schema.Array(Schema.String)
})

const Worker = Schema.Struct({
  pool: Schema.String,
  slot: Schema.Int,
  generation: Schema.optionalKey(Schema.Int),
  pid: Schema.optionalKey(Schema.Int),
  /** It has shaken hands and takes calls. */
  attached: Schema.Boolean,
  /** Why it gets none or fewer: `draining`, `cordoned`, `tainted`, `ejected`. */
  marks: Schema.Array(Schema.String),
  /** What its watchdog last said, when it is not `alive`. */
  verdict: Schema.optionalKey(Schema.String)
})

const Sample = Schema.Record(Schema.String, Schema.UndefinedOr(Schema.Finite))

const Pool = Schema.Struct({
  pool: Schema.String,
  /** Workers that it is to have. */
  size: Schema.optionalKey(Schema.Int),
  /** `paused`, `draining`, `drained`, `circuit open`. */
  marks: Schema.Array(Schema.String),
  /** The measurements of its last `snakepit.pool.sample`, oldest first. */
  samples: Schema.Array(Sample)
})

const Incident = Schema.Struct({
  incident: Schema.String,
  since: Schema.Finite,
  /** Where it began, and why. */
  path: Schema.String,
  cause: Schema.String,
  restarts: Schema.Int,
  /** The children that are not up again. */
  open: Schema.Array(Schema.String)
})

/** The state as plain data. */
export const Snapshot = Schema.Struct({
  at: Schema.Finite,
  since: Schema.optionalKey(Schema.Finite),
  root: Schema.optionalKey(Schema.String),
  nodes: Schema.Array(Node),
  workers: Schema.Array(Worker),
  pools: Schema.Array(Pool),
  incidents: Schema.Array(Incident),
  restarts: Schema.Array(Schema.Finite)
})
export type Snapshot = typeof Snapshot.Type

type Mutable<A> = { -readonly [K in keyof A]: A[K] extends ReadonlyArray<infer B> ? Array<B> : A[K] }

export type LiveSupervisor = Mutable<typeof Supervisor.Type>
export type LiveNode = Mutable<Omit<typeof Node.Type, "supervisor">> & { supervisor?: LiveSupervisor }
export type LiveWorker = Mutable<typeof Worker.Type>
export type LivePool = Mutable<typeof Pool.Type>
export type LiveIncident = Mutable<typeof Incident.Type>

/** The state. Its owner is whoever made it. */
export interface LiveTree {
  /** When the last event came, and the first, Unix time in milliseconds. */
  at: number
  since: number | undefined
  /** The path of the root. */
  root: string | undefined
  /** By path. */
  readonly nodes: Map<string, LiveNode>
  /** By pool and slot, as `default/3`. */
  readonly workers: Map<string, LiveWorker>
  readonly pools: Map<string, LivePool>
  /** Those that are open, by id. */
  readonly incidents: Map<string, LiveIncident>
  /** When supervisors restarted a child, in the last {@link recentMillis}. */
  restarts: Array<number>
}

/** Nothing is known. */
export const make = (): LiveTree => ({
  at: 0,
  since: undefined,
  root: undefined,
  nodes: new Map(),
  workers: new Map(),
  pools: new Map(),
  incidents: new Map(),
  restarts: []
})

/** A copy as plain data. */
export const snapshot = (tree: LiveTree): Snapshot => ({
  at: tree.at,
  ...(tree.since === undefined ? {} : { since: tree.since }),
  ...(tree.root === undefined ? {} : { root: tree.root }),
  nodes: [...tree.nodes.values()].map((node) => structuredClone(node)),
  workers: [...tree.workers.values()].map((worker) => structuredClone(worker)),
  pools: [...tree.pools.values()].map((pool) => structuredClone(pool)),
  incidents: [...tree.incidents.values()].map((incident) => structuredClone(incident)),
  restarts: [...tree.restarts]
})

/** The state of a snapshot, which stays as it is. */
export const restore = (from: Snapshot): LiveTree => {
  const { at, incidents, nodes, pools, restarts, root, since, workers } = structuredClone(from)
  return {
    at,
    since,
    root,
    nodes: new Map(nodes.map((node) => [node.path, node as LiveNode])),
    workers: new Map(workers.map((worker) => [keyOf(worker.pool, worker.slot), worker as LiveWorker])),
    pools: new Map(pools.map((pool) => [pool.pool, pool as LivePool])),
    incidents: new Map(incidents.map((incident) => [incident.incident, incident as LiveIncident])),
    restarts: restarts as Array<number>
  }
}

/** Restarts that the supervisor at a path may still spend; `undefined` when it is not up, `Infinity` without a limit. */
export const budgetLeft = (tree: LiveTree, path: string, now: number): number | undefined => {
  const supervisor = tree.nodes.get(path)?.supervisor
  if (supervisor === undefined) return undefined
  return Intensity.left({ ...Intensity.make(supervisor.limit), times: supervisor.spent }, now)
}

/** Takes one event in. Events of which it makes nothing only move its time on. */
export const apply = (tree: LiveTree, event: Event.Event): void => {
  tree.at = Math.max(tree.at, event.at)
  tree.since ??= event.at
  const dot = event.name.lastIndexOf(".")
  const subject = event.name.slice("snakepit.".length, dot)
  const verb = event.name.slice(dot + 1)
  if (subject.endsWith("_supervisor")) return supervision(tree, verb, event)
  if (typeof event.attributes["pool"] === "string") ofPool(tree, `${subject}.${verb}`, event.attributes["pool"], event)
}

// ── supervision ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const supervision = (tree: LiveTree, verb: string, event: Event.Event): void => {
  const path = String(event.attributes["path"])
  if (verb === "begin") return begin(tree, path, event)
  const above = tree.nodes.get(path)
  if (above?.supervisor === undefined) return // of a tree that was not heard from its beginning
  const id = event.attributes["child"]
  if (typeof id !== "string") return
  const at = `${path}/${id}`
  const child = tree.nodes.get(at)
  const cause = String(event.attributes["cause"])
  switch (verb) {
    case "stand":
      return stand(tree, above, id, event)
    case "restart": {
      spend(above.supervisor, event.at)
      tree.restarts = [...tree.restarts.filter((time) => time > event.at - recentMillis), event.at].slice(-restartsKept)
      if (child !== undefined) {
        child.lastEnd = { at: event.at, cause }
        child.dueAt = event.at + (event.measurements["delayMillis"] ?? 0)
      }
      return openIncident(tree, at, cause, event)
    }
    case "recover":
      return close(tree, (path, incident) => path === at && incident === event.attributes["incident"])
    case "leave":
      if (child !== undefined) child.lastEnd = { at: event.at, cause }
      return
    case "abandon":
      if (child !== undefined) child.abandoned = (child.abandoned ?? 0) + 1
      return
    case "give_up":
      above.supervisor.gaveUp = cause
      if (child !== undefined) child.lastEnd = { at: event.at, cause }
      if (above.path === tree.root) openIncident(tree, at, cause, event) // nobody is above it: it stays open
  }
}

const begin = (tree: LiveTree, path: string, { at, attributes, measurements }: Event.Event): void => {
  const { maxRestarts, withinMillis } = measurements
  const limit = maxRestarts === undefined || withinMillis === undefined ? "unlimited" as const : { maxRestarts, withinMillis }
  const strategy = String(attributes["strategy"])
  if (!path.includes("/")) {
    if (tree.root !== path || tree.nodes.get(path)?.status !== "running") forget(tree, path)
    tree.root = path
  }
  const node = tree.nodes.get(path) ?? (path === tree.root ? newNode(tree, path, path) : undefined)
  if (node === undefined) return // something that a child runs for itself
  node.supervisor = { strategy, limit, spent: node.supervisor?.spent ?? spentBefore(limit, measurements["budgetLeft"], at) }
  if (typeof attributes["pool"] === "string") node.pool = attributes["pool"]
  if (typeof attributes["slot"] === "number") node.slot = attributes["slot"]
}

/** What it begins with may have been spent before it: when is not told, so it counts for the whole time. */
const spentBefore = (limit: LiveSupervisor["limit"], left: number | undefined, at: number): Array<number> =>
  limit === "unlimited" || left === undefined ? [] : Array.from({ length: limit.maxRestarts - left }, () => at)

const newNode = (tree: LiveTree, path: string, id: string): LiveNode => {
  const node: LiveNode = { path, id, status: "running", generation: 0, children: [] }
  tree.nodes.set(path, node)
  return node
}

const stand = (tree: LiveTree, above: LiveNode, id: string, { attributes }: Event.Event): void => {
  const path = `${above.path}/${id}`
  const status = attributes["status"] as SupervisorEvent.Standing
  if (status === "gone") {
    above.children = above.children.filter((child) => child !== id)
    forget(tree, path)
    return close(tree, (open) => isAtOrBelow(open, path))
  }
  if (!tree.nodes.has(path)) above.children.push(id)
  const node = tree.nodes.get(path) ?? newNode(tree, path, id)
  const generation = Number(attributes["generation"])
  const isAnother = generation !== node.generation
  node.status = status
  node.generation = generation
  if (typeof attributes["because"] === "string") node.because = attributes["because"]
  else delete node.because
  if (status !== "waiting") delete node.dueAt
  if (status === "waiting" || status === "down" || isAnother) {
    for (const child of node.children) forget(tree, `${path}/${child}`)
    node.children = []
    delete node.supervisor
    close(tree, (open) => open.startsWith(`${path}/`) || (status === "down" && open === path))
  }
}

/** The node, and all below it. */
const forget = (tree: LiveTree, path: string): void => {
  const node = tree.nodes.get(path)
  if (node === undefined) return
  for (const child of node.children) forget(tree, `${path}/${child}`)
  tree.nodes.delete(path)
  if (node.pool === undefined) return
  if (node.slot !== undefined) tree.workers.delete(keyOf(node.pool, node.slot))
}

const spend = (supervisor: LiveSupervisor, at: number): void => {
  if (supervisor.limit === "unlimited") return
  const { withinMillis } = supervisor.limit
  supervisor.spent = [...supervisor.spent.filter((time) => time > at - withinMillis), at]
}

const isAtOrBelow = (path: string, above: string): boolean => path === above || path.startsWith(`${above}/`)

// ── incidents ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const openIncident = (tree: LiveTree, path: string, cause: string, { at, attributes }: Event.Event): void => {
  const id = String(attributes["incident"])
  const incident = tree.incidents.get(id) ?? { incident: id, since: at, path, cause, restarts: 0, open: [] }
  tree.incidents.set(id, incident)
  incident.restarts++
  if (!incident.open.includes(path)) incident.open.push(path)
}

const close = (tree: LiveTree, isOver: (path: string, incident: string) => boolean): void => {
  for (const incident of tree.incidents.values()) {
    incident.open = incident.open.filter((path) => !isOver(path, incident.incident))
    if (incident.open.length === 0) tree.incidents.delete(incident.incident)
  }
}

// ── pools and workers ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const keyOf = (pool: string, slot: number): string => `${pool}/${slot}`

const poolOf = (tree: LiveTree, pool: string): LivePool => {
  const known = tree.pools.get(pool) ?? { pool, marks: [], samples: [] }
  tree.pools.set(pool, known)
  return known
}

const workerOf = (tree: LiveTree, pool: string, slot: number): LiveWorker => {
  const key = keyOf(pool, slot)
  const known = tree.workers.get(key) ?? { pool, slot, attached: false, marks: [] }
  tree.workers.set(key, known)
  return known
}

/** The events that set a mark, and those that take it off. */
const workerMarks: { readonly [event: string]: readonly [mark: string, set: boolean] } = {
  "worker.taint": ["tainted", true],
  "worker.untaint": ["tainted", false],
  "worker.eject": ["ejected", true],
  "worker.readmit": ["ejected", false],
  "lifecycle.cordon": ["cordoned", true],
  "lifecycle.uncordon": ["cordoned", false],
  "lifecycle.drain": ["draining", true]
}

const poolMarks: { readonly [event: string]: readonly [mark: string, set: boolean] } = {
  "pool.pause": ["paused", true],
  "pool.resume": ["paused", false],
  "pool.drain": ["draining", true],
  "pool.drained": ["drained", true],
  "circuit.open": ["circuit open", true],
  "circuit.close": ["circuit open", false]
}

const marked = (marks: ReadonlyArray<string>, [mark, set]: readonly [mark: string, set: boolean]): Array<string> => [
  ...marks.filter((other) => other !== mark),
  ...(set ? [mark] : [])
]

const ofPool = (tree: LiveTree, what: string, pool: string, event: Event.Event): void => {
  const { attributes, measurements } = event
  const poolMark = poolMarks[what]
  if (poolMark !== undefined) poolOf(tree, pool).marks = marked(poolOf(tree, pool).marks, poolMark)
  const slot = attributes["slot"]
  const workerMark = workerMarks[what]
  if (workerMark !== undefined && typeof slot === "number") {
    const worker = workerOf(tree, pool, slot)
    worker.marks = marked(worker.marks, workerMark)
  }
  switch (what) {
    case "pool.open": {
      const opened = poolOf(tree, pool)
      opened.marks = []
      if (measurements["size"] !== undefined) opened.size = measurements["size"]
      return
    }
    case "pool.scale":
      if (measurements["size"] !== undefined) poolOf(tree, pool).size = measurements["size"]
      return
    case "pool.undrain":
      poolOf(tree, pool).marks = poolOf(tree, pool).marks.filter((mark) => mark !== "draining" && mark !== "drained")
      return
    case "pool.sample": {
      const sampled = poolOf(tree, pool)
      sampled.samples = [...sampled.samples, measurements].slice(-samplesKept)
      if (measurements["size"] !== undefined) sampled.size = measurements["size"]
      return
    }
    case "lifecycle.stop":
      if (typeof slot === "number") tree.workers.delete(keyOf(pool, slot))
  }
  if (typeof slot !== "number") return
  switch (what) {
    case "process.start": {
      const worker = workerOf(tree, pool, slot)
      worker.pid = Number(attributes["pid"])
      worker.generation = Number(attributes["generation"])
      delete worker.verdict
      return
    }
    case "process.exit": {
      const worker = tree.workers.get(keyOf(pool, slot))
      if (worker === undefined) return
      delete worker.pid
      delete worker.verdict
      return
    }
    case "worker.attach": {
      const worker = workerOf(tree, pool, slot)
      worker.attached = true
      worker.generation = Number(attributes["generation"])
      return
    }
    case "worker.detach": {
      const worker = tree.workers.get(keyOf(pool, slot))
      if (worker !== undefined) worker.attached = false
      return
    }
    case "watchdog.verdict": {
      const worker = workerOf(tree, pool, slot)
      if (attributes["verdict"] === "alive") delete worker.verdict
      else worker.verdict = String(attributes["verdict"])
    }
  }
}
