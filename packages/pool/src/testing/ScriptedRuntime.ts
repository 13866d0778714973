/**
 * A `WorkerRuntime` without Python: workers in memory, on the clock of the test, that do what a script says.
 *
 * **When to use**
 *
 * To test what an application does with its pools, and the pools themselves: make a worker crash, freeze, lose its channel or refuse to
 * boot at a chosen moment, and read in the journal what ran, where, and how often.
 *
 * **Details**
 *
 * Tools are TypeScript functions and generators over the decoded arguments, with durations on the clock in the context, so `TestClock`
 * rules them. Everything above the port is the real thing: the supervision tree, the dispatch, the clients. A worker is named as in
 * events, `default/0`, and its handle outlives its processes.
 *
 * **Gotchas**
 *
 * A worker runs one tool at a time, as Python does. A cancelled function goes on to its end; a cancelled generator ends at its next
 * element. To harm a worker that has no process is a mistake in the test: it dies with a message that says so.
 *
 * **Example** (A call survives the worker it was given to)
 *
 * ```ts
 * import { RegisteredName, Supervisor } from "@snakepit/core"
 * import { Pool, PoolConfig, PoolDirectory, PoolsSupervisor, Tool } from "@snakepit/pool"
 * import { ScriptedRuntime } from "@snakepit/pool/testing"
 * import { Effect, Fiber, Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 * import { TestClock } from "effect/testing"
 *
 * class Tools extends RpcGroup.make(
 *   Rpc.make("double", { payload: { n: Schema.Int }, success: Schema.Int }).annotate(Tool.Idempotent, true)
 * ) {}
 *
 * const test = Effect.gen(function*() {
 *   const scripted = ScriptedRuntime.make({ tools: { double: { run: ({ n }) => 2 * n, takes: "1 second" } } })
 *   const config = RegisteredName.make<PoolDirectory.PoolSettings>("config")
 *   const defaults = yield* Schema.decodeUnknownEffect(PoolConfig.PoolConfig)({})
 *   yield* RegisteredName.register(config, { pools: { default: defaults } })
 *   const directory = PoolDirectory.make(config)
 *   yield* Supervisor.start(PoolsSupervisor.make(directory, scripted.runtime))
 *
 *   const tools = yield* Effect.provideService(Pool.client(Tools), Pool.Pools, { directory, codec: scripted.runtime.codec })
 *   const call = yield* Effect.forkChild(tools.double({ n: 4 }), { startImmediately: true })
 *   yield* TestClock.adjust("500 millis")
 *   yield* scripted.worker("default/0").crash("SIGSEGV")
 *   yield* TestClock.adjust("1 second")
 *   yield* Fiber.join(call) // => 8
 *   scripted.journal.map(({ outcome, worker }) => [worker, outcome]) // => [["default/0", "lost"], ["default/1", "done"]]
 * })
 * ```
 *
 * @see {@link ../WorkerRuntime.ts} for the port
 */
import { Child, Supervisor } from "@snakepit/core"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ExitClass from "../ExitClass.ts"
import * as WorkerError from "../WorkerError.ts"
import type { Imposed, PayloadCodec, WorkerRuntime, WorkerSeat } from "../WorkerRuntime.ts"
import * as ScriptedCodec from "./ScriptedCodec.ts"
import * as ScriptedProcess from "./ScriptedProcess.ts"
import type { ScriptedTool } from "./ScriptedTool.ts"

export type { Execution } from "./ScriptedProcess.ts"

/** What {@link make} takes. */
export interface Options {
  readonly tools: { readonly [name: string]: ScriptedTool }
  /** `ScriptedCodec.json` by default. */
  readonly codec?: PayloadCodec | undefined
  /** From a process's start to its ready line; no time by default. */
  readonly bootTakes?: Duration.Input | undefined
}

/** One worker, whichever process fills it now. */
export interface ScriptedWorker {
  /** Of the process that fills it; -1 before the first. */
  readonly generation: () => number
  /** The process ends by a signal, SIGKILL by default, in the middle of whatever it does. */
  readonly crash: (signal?: string) => Effect.Effect<void>
  /** The process ends with a code. */
  readonly exit: (code: number) => Effect.Effect<void>
  /** The process answers nothing any more, and ends by SIGKILL alone. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** The channel breaks; the process lives on. */
  readonly loseChannel: (detail?: string) => Effect.Effect<void>
  /** Its next boots fail with `BootFailed`. */
  readonly refuseBoots: (times: number, stage?: WorkerError.BootFailed["stage"]) => Effect.Effect<void>
  /** Its wire throws what it is given at the next `submit`: a mistake in a runtime, for tests of what stands it. */
  readonly throwAtSubmit: (defect: unknown) => Effect.Effect<void>
}

/** A runtime that obeys. */
export interface ScriptedRuntime {
  readonly runtime: WorkerRuntime
  /** Every start of a tool, oldest first. */
  readonly journal: ReadonlyArray<ScriptedProcess.Execution>
  readonly worker: (name: string) => ScriptedWorker
  /** The Reaper of the pool ends, and all its workers with it. */
  readonly endReaper: (pool: string, detail?: string) => Effect.Effect<void>
  /** Processes that live, by worker. */
  readonly alive: () => ReadonlyArray<string>
}

interface Bench {
  process: ScriptedProcess.ScriptedProcess | undefined
  lose: ((detail: string) => void) | undefined
  generation: number
  refusals: number
  stage: WorkerError.BootFailed["stage"]
}

/** A runtime whose workers serve `tools`. */
export const make = ({ bootTakes, codec = ScriptedCodec.json, tools }: Options): ScriptedRuntime => {
  const journal: Array<ScriptedProcess.Execution> = []
  const benches = new Map<string, Bench>()
  const reapers = new Map<string, (detail: string) => void>()
  let pids = 1000 // as if others had been started before

  const bench = (name: string): Bench => {
    const present = benches.get(name)
    if (present !== undefined) return present
    const made: Bench = { process: undefined, lose: undefined, generation: -1, refusals: 0, stage: "import" }
    benches.set(name, made)
    return made
  }
  const living = (name: string): Effect.Effect<ScriptedProcess.ScriptedProcess> =>
    Effect.suspend(() => {
      const { process } = bench(name)
      return process === undefined
        ? Effect.die(new Error(`worker ${name} has no process now: wait until it is up`))
        : Effect.succeed(process)
    })

  const process = (seat: WorkerSeat) =>
    Child.make("process", {
      plane: "execution",
      shutdown: Duration.sum(seat.config.stopGrace, Duration.seconds(6)), // as in the bridge
      start: Effect.gen(function*() {
        const at = bench(seat.name)
        const generation = seat.fill()
        at.generation = generation
        const failed = (stage: WorkerError.BootFailed["stage"], detail: string) =>
          new WorkerError.BootFailed({ worker: seat.name, stage, adapter: "scripted", detail, output: [] })
        if (bootTakes !== undefined) {
          const slept = yield* Effect.timeoutOption(Effect.sleep(bootTakes), seat.config.startTimeout)
          if (Option.isNone(slept)) return yield* failed("timeout", "nothing was heard of it")
        }
        if (at.refusals > 0) {
          at.refusals--
          return yield* failed(at.stage, "the script refuses it")
        }
        if (!reapers.has(seat.pool)) return yield* failed("spawn", "there is no Reaper")
        const started = ScriptedProcess.make({ seat, pid: ++pids, generation, tools, codec, journal })
        at.process = started
        yield* Effect.forkScoped(Effect.raceFirst(started.thread, Deferred.await(started.ended)), { startImmediately: true })
        yield* Effect.addFinalizer(() =>
          Effect.gen(function*() {
            if (!started.over) {
              const drain = Effect.andThen(
                started.thawed.await,
                Effect.suspend(() => {
                  started.drain()
                  return started.idle.await
                })
              )
              const drained = yield* Effect.timeoutOption(drain, seat.config.stopGrace)
              started.end(Option.isSome(drained) ? { code: 0, signal: null } : { code: null, signal: "SIGKILL" })
            }
            if (at.process === started) at.process = undefined
          })
        )
        const life: Effect.Effect<
          never,
          WorkerError.ProcessExited | Imposed
        > = Effect.flatMap(
          Deferred.await(started.ended),
          ({ code, signal }) =>
            new WorkerError.ProcessExited({
              worker: seat.name,
              pid: started.pid,
              code,
              signal,
              exitClass: ExitClass.ofEnd({ code, signal }),
              output: []
            })
        )
        return life
      })
    })

  const channel = (seat: WorkerSeat) =>
    Child.make("channel", {
      plane: "execution",
      start: Effect.gen(function*() {
        const supervisor = yield* Supervisor.CurrentSupervisor
        const at = bench(seat.name)
        const lost = (detail: string) => new WorkerError.ChannelLost({ worker: seat.name, detail })
        const dialled = at.process
        if (dialled === undefined) return yield* lost("there is no process")
        const { interval, maxMissed } = seat.config.heartbeat
        const patience = Duration.max(Duration.times(interval, maxMissed), Duration.seconds(2)) // as in the bridge
        const answered = yield* Effect.timeoutOption(
          Effect.raceFirst(dialled.thawed.await, Deferred.await(dialled.ended)),
          patience
        )
        if (Option.isNone(answered)) {
          const silent = new WorkerError.HandshakeTimeout({ worker: seat.name, waitedMillis: Duration.toMillis(patience) })
          yield* Effect.orDie(supervisor.failChild("process", silent))
          return yield* lost(silent.message)
        }
        if (dialled.over) return yield* lost("it broke before the handshake")
        const connection = dialled.connect()
        const lose = (detail: string) => {
          connection.sink.broken()
          dialled.disconnect(connection, `the channel broke (${detail})`)
        }
        at.lose = lose
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            if (at.lose === lose) at.lose = undefined
            dialled.disconnect(connection, "its supervisor stopped it")
          })
        )
        const life: Effect.Effect<never, WorkerError.HandshakeFailed | WorkerError.ChannelLost> = Effect.flatMap(
          Deferred.await(connection.lost),
          // the process's own exit is what its supervisor decides on
          (detail) => dialled.over ? Effect.never : Effect.fail(lost(detail))
        )
        return life
      })
    })

  const reaper = (pool: string) =>
    Child.make("reaper", {
      plane: "control",
      start: Effect.gen(function*() {
        const ended = yield* Deferred.make<never, WorkerError.ReaperLost>()
        const end = (detail: string) => {
          if (reapers.get(pool) === end) reapers.delete(pool)
          for (const [name, { process }] of benches) {
            if (name.startsWith(`${pool}/`)) process?.end({ code: null, signal: "SIGKILL" })
          }
          Deferred.doneUnsafe(ended, Effect.fail(new WorkerError.ReaperLost({ pool, detail })))
        }
        reapers.set(pool, end)
        yield* Effect.addFinalizer(() => Effect.sync(() => end("its supervisor stopped it")))
        return Deferred.await(ended)
      })
    })

  return {
    runtime: {
      codec,
      reaper,
      forkserver: () => {
        const life: Effect.Effect<never, WorkerError.ForkserverLost> = Effect.never
        const start: Effect.Effect<typeof life, WorkerError.BootFailed> = Effect.succeed(life)
        return Child.make("forkserver", { plane: "control", start })
      },
      spare: (pool) =>
        Effect.fail(new WorkerError.BootFailed({ worker: `${pool}/spare`, stage: "spawn", adapter: "scripted", detail: "", output: [] })),
      evidence: () => undefined,
      process,
      channel
    },
    journal,
    worker: (name) => ({
      generation: () => bench(name).generation,
      crash: (signal = "SIGKILL") => Effect.map(living(name), (process) => process.end({ code: null, signal })),
      exit: (code) => Effect.map(living(name), (process) => process.end({ code, signal: null })),
      freeze: Effect.map(living(name), (process) => void process.thawed.closeUnsafe()),
      thaw: Effect.map(living(name), (process) => void process.thawed.openUnsafe()),
      loseChannel: (detail = "as scripted") =>
        Effect.suspend(() => {
          const { lose } = bench(name)
          return lose === undefined ? Effect.die(new Error(`worker ${name} has no channel now`)) : Effect.sync(() => lose(detail))
        }),
      refuseBoots: (times, stage = "import") =>
        Effect.sync(() => {
          bench(name).refusals = times
          bench(name).stage = stage
        }),
      throwAtSubmit: (defect) => Effect.map(living(name), (process) => void (process.broken = defect))
    }),
    endReaper: (pool, detail = "as scripted") =>
      Effect.suspend(() => {
        const end = reapers.get(pool)
        return end === undefined ? Effect.die(new Error(`pool ${pool} has no Reaper now`)) : Effect.sync(() => end(detail))
      }),
    alive: () =>
      [...benches].flatMap(([name, { process }]) => process === undefined || Deferred.isDoneUnsafe(process.ended) ? [] : [name]).toSorted()
  }
}
