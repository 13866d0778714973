/** A small application as its events tell it, for what is drawn: two pools, one worker that restarts, and text of all widths. */
import type { Event } from "@snakepit/core"
import { LiveTree, LiveView } from "@snakepit/telemetry"

export const began = Date.UTC(2026, 0, 2, 3, 4, 5)

const make = (
  name: string,
  at: number,
  attributes: Event.Event["attributes"],
  measurements: Event.Event["measurements"] = {}
): Event.Event => ({
  name: `snakepit.${name}`,
  at: began + at,
  attributes,
  measurements
})

interface Planned {
  readonly id: string
  readonly subject: string
  readonly pool?: string
  readonly slot?: number
  readonly maxRestarts?: number
  readonly children: ReadonlyArray<Planned | string>
}

/** What a supervisor tells when it comes up. */
const up = (planned: Planned, above = ""): ReadonlyArray<Event.Event> => {
  const path = above === "" ? planned.id : `${above}/${planned.id}`
  const { maxRestarts, pool, slot, subject } = planned
  const about = { path, pool, slot }
  const limit = { maxRestarts, withinMillis: maxRestarts === undefined ? undefined : 60_000, budgetLeft: maxRestarts }
  return [
    make(`${subject}_supervisor.begin`, 0, { ...about, strategy: "one_for_one" }, limit),
    ...planned.children.flatMap((child) => {
      const id = typeof child === "string" ? child : child.id
      return [
        make(`${subject}_supervisor.stand`, 0, { ...about, child: id, generation: 0, status: "running" }),
        ...(typeof child === "string" ? [] : up(child, path))
      ]
    })
  ]
}

const worker = (pool: string, slot: number): Planned => ({
  id: String(slot),
  subject: "worker",
  pool,
  slot,
  maxRestarts: 3,
  children: ["process", "channel", "heartbeat", "watchdog"]
})

const poolOf = (id: string, slots: number): Planned => ({
  id,
  subject: "pool",
  pool: id,
  maxRestarts: 3,
  children: ["roster", {
    id: "fleet",
    subject: "fleet",
    pool: id,
    maxRestarts: 8,
    children: Array.from({ length: slots }, (_, slot) => worker(id, slot))
  }]
})

const root: Planned = {
  id: "snakepit",
  subject: "root",
  maxRestarts: 3,
  children: [
    { id: "foundation", subject: "foundation", maxRestarts: 3, children: ["config_server", "process_registry"] },
    { id: "pools", subject: "pools", children: [poolOf("default", 2), poolOf("gpu", 1)] }
  ]
}

const workers = [["default", 0], ["default", 1], ["gpu", 0]] as const

const fallen = { path: "snakepit/pools/default/fleet/1", pool: "default", slot: 1, child: "process", generation: 0 }

/** What happened, in order. */
export const events: ReadonlyArray<Event.Event> = [
  ...up(root),
  ...workers.flatMap(([pool, slot]) => [
    make("process.start", 100, { pool, slot, generation: 0, pid: 4711 + slot, start: "fork" }, { tookMillis: 50 }),
    make("worker.attach", 110, { pool, slot, generation: 0 }, { tools: 3 })
  ]),
  ...Array.from({ length: 12 }, (_, n) =>
    make(
      "pool.sample",
      1000 + n * 1000,
      { pool: "default" },
      { size: 2, ready: 1, busy: 1, queued: n % 3, callsPerSecond: n * 12.5, failuresPerSecond: 0, p50Millis: 4.2, p99Millis: 17.25 }
    )),
  make("circuit.open", 12_500, { pool: "gpu", tool: undefined }, { forMillis: 1000, openings: 1 }),
  make("call.fail", 12_600, {
    pool: "gpu",
    tool: "埋め込み",
    reason: "PythonError",
    executed: "failed",
    cause: "ValueError: 不正なトークン 🐍 \u001b[31m"
  }),
  make("process.exit", 13_000, {
    pool: "default",
    slot: 1,
    generation: 0,
    pid: 4712,
    planned: false,
    endedBy: "itself",
    exitClass: "Segfault",
    cause: "a segmentation fault (SIGSEGV)",
    output: ""
  }),
  make("worker.detach", 13_001, { pool: "default", slot: 1, generation: 0, cause: "a segmentation fault (SIGSEGV)" }, { calls: 1 }),
  make("worker_supervisor.stand", 13_002, { ...fallen, status: "waiting", because: "ProcessExited: a segmentation fault (SIGSEGV)" }),
  make(
    "worker_supervisor.restart",
    13_002,
    { ...fallen, reason: "Failed", cause: "ProcessExited: a segmentation fault (SIGSEGV)", incident: "1-0" },
    { delayMillis: 2000, budgetLeft: 2, victims: 3 }
  ),
  make("worker.taint", 13_003, { pool: "default", slot: 1, exitClass: "Segfault", cause: "a crash" }, { forMillis: 5000 })
]

/** What is known after all of them. */
export const shown = (): LiveView.Shown => {
  const shown = { tree: LiveTree.make(), recent: [] }
  for (const event of events) LiveView.take(shown, event)
  return shown
}
