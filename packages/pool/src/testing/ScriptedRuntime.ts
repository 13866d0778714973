/**
 * A `WorkerRuntime` without Python: workers in memory, on the clock of the test, that do what a script says.
 *
 * **When to use**
 *
 * To test what an application does with its pools, and the pools themselves: make a worker crash, freeze, lose its channel, forget its host or
 * refuse to boot at a chosen moment, and read in the journal what ran, where, and how often. {@link layer} puts it where an application has
 * its pools.
 *
 * **Details**
 *
 * Tools are TypeScript functions, generators, Effects and Streams over the decoded arguments, with durations on the clock in the context, so
 * `TestClock` rules them: see `ScriptedTool`. Everything above the port is the real thing: the supervision tree, the dispatch, the clients. A worker is
 * named as in events, `default/0`, and its handle outlives its processes.
 *
 * **Gotchas**
 *
 * To harm a worker that has no process is a mistake in the test: it dies with a message that says so. A pool that stops waits for what its workers run,
 * up to `stopGrace` of virtual time: let calls end before the test does.
 *
 * **Example** (A call survives the worker it was given to)
 *
 * ```ts
 * import { Pool, Tool } from "@snakepit/pool"
 * import { ScriptedRuntime } from "@snakepit/pool/testing"
 * import { Effect, Fiber, Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 * import { TestClock } from "effect/testing"
 *
 * class Tools extends RpcGroup.make(
 *   Rpc.make("double", { payload: { n: Schema.Int }, success: Schema.Int }).annotate(Tool.Idempotent, true)
 * ) {}
 *
 * const scripted = ScriptedRuntime.make({
 *   tools: { double: { run: ({ n }) => 2 * n, takes: "1 second" } }
 * })
 *
 * const test = Effect.gen(function*() {
 *   const tools = yield* Pool.client(Tools)
 *   const call = yield* Effect.forkChild(tools.double({ n: 4 }), { startImmediately: true })
 *   yield* TestClock.adjust("500 millis")
 *   yield* scripted.worker("default/0").crash("SIGSEGV")
 *   yield* TestClock.adjust("1 second")
 *   yield* Fiber.join(call) // => 8
 *   scripted.journal.map(({ outcome, worker }) => [worker, outcome]) // => [["default/0", "lost"], ["default/1", "done"]]
 * }).pipe(Effect.provide([ScriptedRuntime.layer(scripted), TestClock.layer()]))
 * ```
 *
 * @see {@link ../WorkerRuntime.ts} for the port
 */
import { DynamicSupervisor, RegisteredName } from "@snakepit/core"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as PoolsSupervisor from "../control/PoolsSupervisor.ts"
import * as Pool from "../Pool.ts"
import * as PoolConfig from "../PoolConfig.ts"
import * as PoolDirectory from "../PoolDirectory.ts"
import type { Dropped, Teller, Told } from "../WireTelemetry.ts"
import type * as WorkerError from "../WorkerError.ts"
import type { PayloadCodec, WorkerRuntime } from "../WorkerRuntime.ts"
import * as ScriptedCodec from "./ScriptedCodec.ts"
import * as ScriptedFoundation from "./ScriptedFoundation.ts"
import type * as ScriptedLaunch from "./ScriptedLaunch.ts"
import { ScriptedPool, type ScriptedSpares } from "./ScriptedPool.ts"
import type * as ScriptedProcess from "./ScriptedProcess.ts"
import type { Hooks, SessionStart } from "./ScriptedSession.ts"
import type { ScriptedTool } from "./ScriptedTool.ts"
import { Bench, type ScriptedWorker } from "./ScriptedWorker.ts"

export type { ScriptedSpares } from "./ScriptedPool.ts"
export type { Execution } from "./ScriptedProcess.ts"
export type { Hooks, HookSession, SessionStart } from "./ScriptedSession.ts"
export type { Said, TelemetryState } from "./ScriptedTelemetry.ts"
export type { ScriptedWorker } from "./ScriptedWorker.ts"

/** What {@link make} takes. */
export interface Options {
  readonly tools: { readonly [name: string]: ScriptedTool }
  /** What the adapter does when a session begins and ends on a worker. */
  readonly sessions?: Hooks | undefined
  /** `ScriptedCodec.json` by default. */
  readonly codec?: PayloadCodec | undefined
  /** From a process's start to its ready line, of workers and spares alike; no time by default. */
  readonly bootTakes?: Duration.Input | undefined
  /** How long a broken channel stays broken; no time by default. */
  readonly redialTakes?: Duration.Input | undefined
  /** How long a process that does not come up takes to end; no time by default. */
  readonly failedBootTakes?: Duration.Input | undefined
}

/** A runtime that obeys. */
export interface ScriptedRuntime {
  readonly runtime: WorkerRuntime
  /**
   * What is in the adapter's file from now on: processes that import for themselves get it, those that are forked what their forkserver has
   * imported.
   */
  readonly deploy: (code: ScriptedLaunch.Code) => Effect.Effect<void>
  /** Every start of a tool, oldest first. */
  readonly journal: ReadonlyArray<ScriptedProcess.Execution>
  /** Every start of a session on a worker, oldest first. */
  readonly sessions: ReadonlyArray<SessionStart>
  /** What the workers have told of themselves and their tools, as the pool has handed it on, oldest first. */
  readonly told: ReadonlyArray<Teller & Told>
  /** What was left out of it, in order. */
  readonly dropped: ReadonlyArray<Teller & Dropped>
  /** Whether there is room for more of it; yes, at first. Where there is none, no worker gets credit. */
  readonly room: (room: boolean) => Effect.Effect<void>
  readonly worker: (name: string) => ScriptedWorker
  readonly spares: (pool: string) => ScriptedSpares
  /** The Reaper of the pool ends, and all its workers with it. */
  readonly endReaper: (pool: string, detail?: string) => Effect.Effect<void>
  /** The Forkserver of the pool ends, and nothing with it. */
  readonly endForkserver: (pool: string, detail?: string) => Effect.Effect<void>
  /** The Forkserver's next starts fail with `BootFailed`. */
  readonly refuseForkserver: (pool: string, times: number, stage?: WorkerError.BootFailed["stage"]) => Effect.Effect<void>
  /** Processes of the pool that are starting, or that did not come up and are ending, and the most that ever were at a time. */
  readonly launching: (pool: string) => { readonly now: number; readonly most: number }
  /** Processes that live, by worker. */
  readonly alive: () => ReadonlyArray<string>
}

/** A runtime whose workers serve `tools`. */
export const make = (
  { bootTakes, codec = ScriptedCodec.json, failedBootTakes = 0, redialTakes = 0, sessions: hooks = {}, tools }: Options
): ScriptedRuntime => {
  let pids = 1000 // as if others had been started before
  const script: ScriptedLaunch.Script = {
    code: { tools },
    memory: new Map(),
    codec,
    journal: [],
    hooks,
    sessionJournal: [],
    nextPid: () => ++pids,
    bootTakes,
    failedBootTakes,
    redialTakes
  }
  const benches = new Map<string, Bench>()
  const pools = new Map<string, ScriptedPool>()

  const told: Array<Teller & Told> = []
  const dropped: Array<Teller & Dropped> = []
  const room = Latch.makeUnsafe(true)

  const pool = (name: string): ScriptedPool =>
    getOrMake(pools, name, () => {
      const workers = () => [...benches.values()].flatMap((bench) => bench.name.startsWith(`${name}/`) ? bench.process ?? [] : [])
      return new ScriptedPool(name, script, workers)
    })
  const bench = (worker: string): Bench =>
    getOrMake(benches, worker, () => new Bench(worker, pool(worker.slice(0, worker.lastIndexOf("/"))), script))

  return {
    runtime: {
      codec,
      digest: ScriptedCodec.digest,
      reaper: (name) => pool(name).reaper(),
      forkserver: (name, version) => pool(name).forkserver(version),
      spare: (name, version) => pool(name).spare(version),
      process: (seat) => bench(seat.name).processChild(seat),
      channel: (seat) => bench(seat.name).channelChild(seat),
      evidence: (seat) => bench(seat.name).evidence(),
      usage: (pid) => ({ memoryBytes: script.memory.get(pid) ?? 0, cpuSeconds: 0, fileDescriptors: 0, threads: 1 }),
      memory: (pid) => Effect.sync(() => script.memory.get(pid)),
      telemetry: {
        take: (teller, records, lost) => {
          told.push(...records.map((record) => ({ ...teller, ...record })))
          dropped.push(...lost.map((count) => ({ ...teller, ...count })))
        },
        room: room.await
      }
    },
    deploy: (code) =>
      Effect.sync(() => {
        script.code = code
      }),
    journal: script.journal,
    sessions: script.sessionJournal,
    told,
    dropped,
    room: (isThere) => Effect.sync(() => void (isThere ? room.openUnsafe() : room.closeUnsafe())),
    worker: (name) => bench(name).worker,
    spares: (name) => pool(name).spares,
    endReaper: (name, detail = "as scripted") => pool(name).endReaper(detail),
    endForkserver: (name, detail = "as scripted") => pool(name).endForkserver(detail),
    refuseForkserver: (name, times, stage) => pool(name).refuseForkserver(times, stage),
    launching: (name) => ({ ...pool(name).launching }),
    alive: () =>
      [...benches.values()].flatMap(({ name, process }) => process === undefined || Deferred.isDoneUnsafe(process.ended) ? [] : [name])
        .toSorted()
  }
}

const Pools = Schema.Record(Schema.String, PoolConfig.PoolConfig)

/**
 * The pools of an application on scripted workers: for tests, in the place of the application's own. One pool `default` with the default settings,
 * unless `pools` names others. Starts them when it is built and stops them with its scope.
 */
export const layer = (
  { runtime }: ScriptedRuntime,
  pools: { readonly [pool: string]: PoolConfig.PoolConfigInput } = { default: {} }
): Layer.Layer<Pool.Pools> =>
  Layer.effect(
    Pool.Pools,
    Effect.gen(function*() {
      const config = RegisteredName.make<PoolDirectory.PoolSettings>("config")
      yield* RegisteredName.register(config, { pools: yield* Schema.decodeUnknownEffect(Pools)(pools) })
      const directory = PoolDirectory.make(config)
      yield* ScriptedFoundation.start(directory)
      yield* DynamicSupervisor.start(PoolsSupervisor.make(directory, runtime))
      return { directory, codec: runtime.codec }
    }).pipe(Effect.orDie)
  )

const getOrMake = <A>(map: Map<string, A>, key: string, make: () => A): A => {
  const present = map.get(key)
  if (present !== undefined) return present
  const made = make()
  map.set(key, made)
  return made
}
