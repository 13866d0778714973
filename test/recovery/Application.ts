/**
 * An application with a gateway and two pools of real Python workers, of which only one has a child of the user's own under each, everything it tells, and
 * the processes that stand for its children.
 */
import { type Event, Tree } from "@snakepit/core"
import { Context, Effect, Exit, Layer, Schedule, Scope } from "effect"
import type { RpcGroup } from "effect/rpc"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Child, EventBus, EventLog, Pool, Snakepit, Survivors } from "snakepit"
import { pythonFolder } from "../e2e/fixtures/Program.ts"
import { Tools } from "../e2e/fixtures/Tools.ts"
import { placeOf } from "./Telling.ts"

export const pools = ["default", "other"] as const
export type PoolName = typeof pools[number]

/** A child of the user's own under each worker, as the pages call it. */
const yours = () => [Child.make("yours", { plane: "execution", start: Effect.succeed(Effect.never) })]

export const options = { perWorker: { default: yours } }

export const slots = ["0", "1"]

const many = { maxRestarts: 100, within: "1 second" } // no case may spend what the next one needs
const pool = {
  size: slots.length,
  stopGrace: "300 millis",
  heartbeat: { interval: "1 second", timeout: "5 seconds" }, // a loaded machine must not look like a lost worker
  restart: { worker: many, fleet: many, pool: many },
  python: { adapter: "tools", path: [pythonFolder] }
}

/** Port 0: a gateway that comes back may have another one, so that no other program's port is in its way. */
const gateway = { listen: "127.0.0.1:0", token: "the recovery suite talks to nobody" }

/** What {@link start} adds is where its collector is. */
export const telemetry = { prometheus: { listen: "127.0.0.1:0" }, otlp: {} }

export const config = { gateway, telemetry, pools: { default: pool, other: pool } }

/** An OS process: no other has both numbers. */
export interface Identity {
  readonly pid: number
  readonly startTicks: number
}

export interface Application {
  readonly snakepit: Snakepit.Snakepit["Service"]
  readonly log: EventLog.EventLog["Service"]
  /** The processes of which the run's journal says that they have started. */
  readonly journal: () => ReadonlyArray<Identity>
  readonly tools: Readonly<Record<PoolName, Pool.Client<RpcGroup.Rpcs<typeof Tools>>>>
  /** Everything that was told, in order. */
  readonly events: Array<Event.Event>
  /** Called at each event. */
  readonly listeners: Set<() => void>
  readonly stop: Effect.Effect<void>
}

/** What /proc says of a living process; field 22 of its stat is its start, counted behind the command's last bracket. */
const look = (pid: number): { readonly parent: number; readonly startTicks: number } | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" ? undefined : { parent: Number(fields[1]), startTicks: Number(fields[19]) }
  } catch {
    return undefined
  }
}

/** A collector that takes everything: one that did not would have its children fail by themselves. */
const collector = Effect.map(
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer((request, response) => request.resume().on("end", () => response.end()))
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close().closeAllConnections())
  ),
  (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
)

/** Starts it; the first start of all fails the suite. */
export const start: Effect.Effect<Application, unknown> = Effect.gen(function*() {
  const folder = mkdtempSync(join(tmpdir(), "snakepit-recovery-"))
  const scope = yield* Scope.make()
  const url = yield* Scope.provide(collector, scope)
  const layer = Snakepit.layer({ dataFolder: folder, ...config, telemetry: { ...telemetry, otlp: { url } } }, options)
  const services = yield* Layer.buildWithScope(layer, scope)
  const log = Context.get(services, EventLog.EventLog)
  const events = [
    ...(yield* log.recent("snakepit.*.start").pipe( // the processes of the first start
      Effect.repeat({ until: (told) => told.some(({ name }) => name === "snakepit.root_supervisor.start"), schedule: Schedule.spaced(5) }),
      Effect.timeout("10 seconds")
    ))
  ]
  const listeners = new Set<() => void>()
  yield* Context.get(services, EventBus.EventBus).tap("*", (event) => {
    events.push(event)
    for (const listener of [...listeners]) listener()
  }).pipe(Scope.provide(scope))
  const client = (pool: PoolName) => Effect.provide(Pool.client(Tools, { pool }), services)
  const snakepit = Context.get(services, Snakepit.Snakepit)
  const journal = readdirSync(folder, { recursive: true, encoding: "utf8" }).find((file) => file.endsWith(`${snakepit.runId}.jsonl`))!
  return {
    snakepit,
    log,
    journal: () =>
      readFileSync(join(folder, journal), "utf8").split("\n").filter((line) => line.includes("\"started\"")).map((line) =>
        JSON.parse(line)
      ),
    tools: { default: yield* client("default"), other: yield* client("other") },
    events,
    listeners,
    stop: Effect.andThen(Scope.close(scope, Exit.void), Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
  }
})

/** The living processes that stand for children, by the child's path: whoever tells its start with a pid. */
export const processes = (app: Application, tree: Tree.SupervisorNode, pids: Map<string, number>): ReadonlyMap<string, Identity> => {
  for (const { attributes, name } of app.events) {
    const [, id] = /^snakepit\.([a-z_]+)\.start$/.exec(name) ?? []
    const { pid, pool, slot } = attributes
    if (id === undefined || typeof pid !== "number") continue
    const child = Tree.flatten(tree).find(({ path }) => {
      const place = placeOf(path)
      return path.endsWith(`/${id}`) && place.pool === pool && place.slot === (slot === undefined ? undefined : String(slot))
    })
    if (child !== undefined) pids.set(child.path, pid)
  }
  const living = new Map<string, Identity>()
  for (const [path, pid] of pids) {
    const seen = look(pid)
    if (seen !== undefined) living.set(path, { pid, startTicks: seen.startTicks })
  }
  return living
}

/**
 * The living processes of the run that stand for no child: neither one of `living`, nor below one, as what a forkserver keeps ready. What
 * only a Reaper has adopted has outlived its own.
 */
export const strays = (app: Application, living: ReadonlyMap<string, Identity>): Effect.Effect<ReadonlyArray<number>> => {
  const paths = new Map([...living].map(([path, { pid }]) => [pid, path]))
  const isStray = (pid: number): boolean => {
    if (paths.has(pid)) return false
    for (let seen = look(pid); seen !== undefined; seen = look(seen.parent)) {
      const path = paths.get(seen.parent)
      if (path !== undefined) return path.endsWith("/reaper")
    }
    return look(pid) !== undefined
  }
  return Effect.map(Survivors.of(app.snakepit.runId), (all) => all.map(({ pid }) => pid).filter(isStray))
}
