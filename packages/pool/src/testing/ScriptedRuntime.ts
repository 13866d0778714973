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
import { Child, DynamicSupervisor, MonotonicClock, RegisteredName, Supervisor } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as PoolsSupervisor from "../control/PoolsSupervisor.ts"
import * as HandshakePatience from "../execution/HandshakePatience.ts"
import * as ExitClass from "../ExitClass.ts"
import * as Pool from "../Pool.ts"
import * as PoolConfig from "../PoolConfig.ts"
import * as PoolDirectory from "../PoolDirectory.ts"
import * as WorkerError from "../WorkerError.ts"
import type { Evidence, Imposed, PayloadCodec, WorkerRuntime, WorkerSeat } from "../WorkerRuntime.ts"
import * as ScriptedCodec from "./ScriptedCodec.ts"
import * as ScriptedProcess from "./ScriptedProcess.ts"
import type { ScriptedTool } from "./ScriptedTool.ts"

export type { Execution } from "./ScriptedProcess.ts"

/** What {@link make} takes. */
export interface Options {
  readonly tools: { readonly [name: string]: ScriptedTool }
  /** `ScriptedCodec.json` by default. */
  readonly codec?: PayloadCodec | undefined
  /** From a process's start to its ready line, of workers and spares alike; no time by default. */
  readonly bootTakes?: Duration.Input | undefined
  /** How long a broken channel stays broken; no time by default. */
  readonly redialTakes?: Duration.Input | undefined
  /** How long a process that does not come up takes to end; no time by default. */
  readonly failedBootTakes?: Duration.Input | undefined
}

/** One worker, whichever process fills it now. */
export interface ScriptedWorker {
  /** Of the process that fills it; -1 before the first. */
  readonly generation: () => number
  /** Of the process that fills it; `undefined` when none does. */
  readonly pid: () => number | undefined
  /** The process ends by a signal, SIGKILL by default, in the middle of whatever it does. */
  readonly crash: (signal?: string) => Effect.Effect<void>
  /** The process ends with a code. */
  readonly exit: (code: number) => Effect.Effect<void>
  /** The process answers nothing any more, and ends by SIGKILL alone. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /**
   * What the kernel says of its present process from now on, `share` being the CPUs that it uses; `undefined` for nothing, as on a system
   * without `/proc`. By default what is: stopped while it is frozen.
   */
  readonly appears: (state: Evidence["state"] | undefined, share?: number) => Effect.Effect<void>
  /** The channel breaks; the process lives on, with its calls, and says what is left to say on the next one. */
  readonly loseChannel: (detail?: string) => Effect.Effect<void>
  /** The process forgets its host: its channel breaks, its calls are cancelled, and nobody is told how they ended. */
  readonly loseSession: Effect.Effect<void>
  /** Its next boots fail with `BootFailed`. */
  readonly refuseBoots: (times: number, stage?: WorkerError.BootFailed["stage"]) => Effect.Effect<void>
  /** Its wire throws what it is given at the next `submit`: a mistake in a runtime, for tests of what stands it. */
  readonly throwAtSubmit: (defect: unknown) => Effect.Effect<void>
}

/** The warm processes of one pool. */
export interface ScriptedSpares {
  /** Those that wait to be taken, the next one first. */
  readonly waiting: () => ReadonlyArray<number>
  /** The one that would be taken next ends. */
  readonly crash: Effect.Effect<void>
  /** Their next boots fail with `BootFailed`. */
  readonly refuseBoots: (times: number, stage?: WorkerError.BootFailed["stage"]) => Effect.Effect<void>
}

/** A runtime that obeys. */
export interface ScriptedRuntime {
  readonly runtime: WorkerRuntime
  /** Every start of a tool, oldest first. */
  readonly journal: ReadonlyArray<ScriptedProcess.Execution>
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

interface Refusals {
  left: number
  stage: WorkerError.BootFailed["stage"]
}

interface Bench {
  process: ScriptedProcess.ScriptedProcess | undefined
  lose: ((detail: string) => void) | undefined
  generation: number
  evidence: ((now: number) => Evidence | undefined) | undefined
  readonly refusals: Refusals
}

interface Waiting {
  readonly process: ScriptedProcess.ScriptedProcess
  readonly gone: Deferred.Deferred<"taken" | "died">
}

/** What belongs to a pool and to none of its workers. */
interface Hall {
  endReaper: ((detail: string) => void) | undefined
  endForkserver: ((detail: string) => void) | undefined
  readonly forkserverRefusals: Refusals
  readonly spareRefusals: Refusals
  readonly spares: Array<Waiting>
  readonly launching: { now: number; most: number }
}

/** A runtime whose workers serve `tools`. */
export const make = (
  { bootTakes, codec = ScriptedCodec.json, failedBootTakes = 0, redialTakes = 0, tools }: Options
): ScriptedRuntime => {
  const journal: Array<ScriptedProcess.Execution> = []
  const benches = new Map<string, Bench>()
  const halls = new Map<string, Hall>()
  let clock: Clock.Clock | undefined
  let pids = 1000 // as if others had been started before

  const bench = (name: string): Bench =>
    getOrMake(
      benches,
      name,
      () => ({ process: undefined, lose: undefined, generation: -1, evidence: undefined, refusals: { left: 0, stage: "import" } })
    )
  const hall = (pool: string): Hall =>
    getOrMake(halls, pool, () => ({
      endReaper: undefined,
      endForkserver: undefined,
      forkserverRefusals: { left: 0, stage: "import" },
      spareRefusals: { left: 0, stage: "import" },
      spares: [],
      launching: { now: 0, most: 0 }
    }))
  const living = (name: string): Effect.Effect<ScriptedProcess.ScriptedProcess> =>
    Effect.suspend(() => {
      const { process } = bench(name)
      return process === undefined
        ? Effect.die(new Error(`worker ${name} has no process now: wait until it is up`))
        : Effect.succeed(process)
    })
  const refuse = (refusals: Refusals) => (times: number, stage: WorkerError.BootFailed["stage"] = "import") =>
    Effect.sync(() => void Object.assign(refusals, { left: times, stage }))
  const orNone = (end: (() => void) | undefined, what: string): Effect.Effect<void> =>
    end === undefined ? Effect.die(new Error(`there is no ${what} now`)) : Effect.sync(end)
  const loseChannel = (name: string, detail: string) =>
    Effect.suspend(() => {
      const { lose } = bench(name)
      return orNone(lose && (() => lose(detail)), `channel of worker ${name}`)
    })
  const bootFailed = (worker: string, stage: WorkerError.BootFailed["stage"], detail: string) =>
    new WorkerError.BootFailed({ worker, stage, adapter: "scripted", detail, output: [] })

  /** Uses up one refusal, if there is one. */
  const refused = (refusals: Refusals, worker: string): Effect.Effect<void, WorkerError.BootFailed> =>
    Effect.suspend(() => {
      if (refusals.left === 0) return Effect.void
      refusals.left--
      return Effect.fail(bootFailed(worker, refusals.stage, "the script refuses it"))
    })

  const launch = (pool: string, worker: string, refusals: Refusals, limit: Duration.Duration) =>
    Effect.gen(function*() {
      if (bootTakes !== undefined) {
        const slept = yield* Effect.timeoutOption(Effect.sleep(bootTakes), limit)
        if (Option.isNone(slept)) return yield* bootFailed(worker, "timeout", "nothing was heard of it")
      }
      yield* refused(refusals, worker)
      if (hall(pool).endReaper === undefined) return yield* bootFailed(worker, "spawn", "there is no Reaper")
      return ScriptedProcess.make({ pid: ++pids, tools, codec, journal })
    }).pipe((start) => {
      const { launching } = hall(pool)
      let up = false
      const begin = Effect.sync(() => {
        launching.most = Math.max(launching.most, ++launching.now)
      })
      const ended = Effect.suspend(() =>
        up ? Effect.void : Effect.andThen(Effect.sleep(failedBootTakes), Effect.sync(() => void launching.now--))
      )
      const isUp = Effect.sync(() => {
        up = true
        launching.now--
      })
      return Effect.acquireRelease(begin, () => ended).pipe(Effect.andThen(start), Effect.tap(() => isUp))
    })

  const takeSpare = (pool: string): ScriptedProcess.ScriptedProcess | undefined => {
    const { spares } = hall(pool)
    const index = spares.findIndex(({ process }) => !process.over) // one that has died may not have left yet
    if (index < 0) return undefined
    const [{ gone, process }] = spares.splice(index, 1) as [Waiting]
    Deferred.doneUnsafe(gone, Effect.succeed("taken"))
    return process
  }

  const process = (seat: WorkerSeat) =>
    Child.make("process", {
      plane: "execution",
      shutdown: Duration.sum(seat.config.stopGrace, Duration.seconds(6)), // as in the bridge
      start: Effect.gen(function*() {
        clock = yield* Clock.Clock
        const at = bench(seat.name)
        const generation = seat.fill()
        at.generation = generation
        const started = takeSpare(seat.pool) ?? (yield* seat.governed(launch(seat.pool, seat.name, at.refusals, seat.config.startTimeout)))
        started.fill(seat, generation)
        at.process = started
        yield* Effect.forkScoped(Effect.raceFirst(started.threads, Deferred.await(started.ended)), { startImmediately: true })
        yield* Effect.addFinalizer(() =>
          Effect.gen(function*() {
            if (!started.over) {
              const { stopGrace } = seat.config
              const drained = seat.verdict() === undefined
                ? yield* Effect.timeoutOption(started.drain(), Duration.subtract(stopGrace, started.drainTook))
                : Option.none()
              started.end(Option.isSome(drained) ? { code: 0, signal: null } : { code: null, signal: "SIGKILL" })
            }
            if (at.process === started) {
              at.process = undefined
              at.evidence = undefined
            }
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

  const spare = (pool: string) =>
    Effect.gen(function*() {
      const { spareRefusals, spares } = hall(pool)
      const warm = yield* launch(pool, `${pool}/spare`, spareRefusals, Duration.infinity)
      const waiting: Waiting = { process: warm, gone: yield* Deferred.make<"taken" | "died">() }
      const leave = () => {
        const index = spares.indexOf(waiting)
        if (index >= 0) spares.splice(index, 1)
        return index >= 0
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => spares.push(waiting)),
        () => Effect.sync(() => leave() && warm.end({ code: 0, signal: null }))
      )
      const died = Effect.map(Deferred.await(warm.ended), () => {
        leave()
        return "died" as const
      })
      return { pid: warm.pid, gone: Effect.raceFirst(Deferred.await(waiting.gone), died) }
    })

  const evidence = (seat: WorkerSeat): Evidence | undefined => {
    const { evidence, process } = bench(seat.name)
    if (process === undefined || clock === undefined) return undefined
    if (evidence !== undefined) return evidence(clock.currentTimeMillisUnsafe())
    const frozen = !process.thawed.isOpen()
    const cpuMillis = process.cpuMillis(clock.currentTimeMillisUnsafe())
    return {
      pid: process.pid,
      state: frozen ? "stopped" : process.idle.isOpen() ? "sleeping" : "running",
      cpuMillis,
      threads: new Map([[process.pid, cpuMillis]]),
      majorFaults: 0
    }
  }

  const channel = (seat: WorkerSeat) =>
    Child.make("channel", {
      plane: "execution",
      shutdown: Duration.sum(seat.config.stopGrace, Duration.seconds(1)), // as in the bridge
      start: Effect.gen(function*() {
        const supervisor = yield* Supervisor.CurrentSupervisor
        const at = bench(seat.name)
        const lost = (detail: string) => new WorkerError.ChannelLost({ worker: seat.name, detail })
        const dialled = at.process
        if (dialled === undefined) return yield* lost("there is no process")
        const monotonic = new MonotonicClock.MonotonicClock(yield* Clock.Clock)
        const silent = yield* Effect.raceFirst(
          Effect.asVoid(Effect.raceFirst(dialled.thawed.await, Deferred.await(dialled.ended))),
          HandshakePatience.outlast({ worker: seat.name, config: seat.config, clock: monotonic, evidence: () => evidence(seat) })
        )
        if (silent !== undefined) {
          seat.condemn(silent)
          yield* Effect.orDie(supervisor.failChild("process", silent))
          return yield* lost(silent.message)
        }
        if (dialled.hasSession()) yield* Effect.raceFirst(Effect.sleep(redialTakes), Deferred.await(dialled.ended))
        if (dialled.over) return yield* lost("it broke before the handshake")
        const connection = dialled.connect(monotonic.now())
        const lose = (detail: string) => dialled.disconnect(connection, `the channel broke (${detail})`, monotonic.now())
        at.lose = lose
        yield* Effect.addFinalizer(() =>
          Effect.gen(function*() {
            if (at.lose === lose) at.lose = undefined
            if (!connection.open) return // it was cut: the session waits for the next one
            if (seat.verdict() === undefined) {
              connection.sink.broken()
              const drained = Effect.raceFirst(dialled.drain(connection), Deferred.await(connection.lost))
              const [took] = yield* Effect.timed(Effect.timeoutOption(drained, seat.config.stopGrace))
              dialled.drainTook = took
            }
            const verdict = seat.verdict()
            dialled.leave(verdict === undefined ? "its supervisor stopped it" : `it was replaced: ${verdict._tag}`)
            dialled.disconnect(connection, "its supervisor stopped it", monotonic.now())
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
        const at = hall(pool)
        const ended = yield* Deferred.make<never, WorkerError.ReaperLost>()
        const end = (detail: string) => {
          if (at.endReaper === end) at.endReaper = undefined
          const workers = [...benches].flatMap(([name, { process }]) => name.startsWith(`${pool}/`) ? process ?? [] : [])
          for (const process of [...workers, ...at.spares.map(({ process }) => process)]) process.end({ code: null, signal: "SIGKILL" })
          Deferred.doneUnsafe(ended, Effect.fail(new WorkerError.ReaperLost({ pool, detail })))
        }
        at.endReaper = end
        yield* Effect.addFinalizer(() => Effect.sync(() => end("its supervisor stopped it")))
        return Deferred.await(ended)
      })
    })

  const forkserver = (pool: string) =>
    Child.make("forkserver", {
      plane: "control",
      start: Effect.gen(function*() {
        const at = hall(pool)
        yield* refused(at.forkserverRefusals, `${pool}/forkserver`)
        const ended = yield* Deferred.make<never, WorkerError.ForkserverLost>()
        const end = (detail: string) =>
          Deferred.doneUnsafe(ended, Effect.fail(new WorkerError.ForkserverLost({ pool, detail, output: [] })))
        at.endForkserver = end
        yield* Effect.addFinalizer(() => Effect.sync(() => at.endForkserver === end && (at.endForkserver = undefined)))
        return Deferred.await(ended)
      })
    })

  return {
    runtime: { codec, reaper, forkserver, spare, process, channel, evidence },
    journal,
    worker: (name) => ({
      generation: () => bench(name).generation,
      pid: () => bench(name).process?.pid,
      crash: (signal = "SIGKILL") => Effect.map(living(name), (process) => process.end({ code: null, signal })),
      exit: (code) => Effect.map(living(name), (process) => process.end({ code, signal: null })),
      freeze: Effect.map(living(name), (process) => void process.thawed.closeUnsafe()),
      thaw: Effect.map(living(name), (process) => void process.thawed.openUnsafe()),
      appears: (state, share = 0) =>
        Effect.gen(function*() {
          const { pid } = yield* living(name)
          const since = yield* Clock.currentTimeMillis
          bench(name).evidence = (now) => {
            if (state === undefined) return undefined
            const cpuMillis = share * (now - since)
            return { pid, state, cpuMillis, threads: new Map([[pid, cpuMillis]]), majorFaults: 0 }
          }
        }),
      loseChannel: (detail = "as scripted") => loseChannel(name, detail),
      loseSession: Effect.andThen(
        Effect.map(living(name), (process) => process.leave("the worker does not know the session any more")),
        loseChannel(name, "the worker forgot its host")
      ),
      refuseBoots: refuse(bench(name).refusals),
      throwAtSubmit: (defect) => Effect.map(living(name), (process) => void (process.broken = defect))
    }),
    spares: (pool) => ({
      waiting: () => hall(pool).spares.flatMap(({ process }) => process.over ? [] : [process.pid]),
      crash: Effect.suspend(() => {
        const next = hall(pool).spares[0]?.process
        return orNone(next && (() => next.end({ code: null, signal: "SIGKILL" })), `spare in pool ${pool}`)
      }),
      refuseBoots: refuse(hall(pool).spareRefusals)
    }),
    endReaper: (pool, detail = "as scripted") =>
      Effect.suspend(() => {
        const { endReaper } = hall(pool)
        return orNone(endReaper && (() => endReaper(detail)), `Reaper of pool ${pool}`)
      }),
    endForkserver: (pool, detail = "as scripted") =>
      Effect.suspend(() => {
        const { endForkserver } = hall(pool)
        return orNone(endForkserver && (() => endForkserver(detail)), `Forkserver of pool ${pool}`)
      }),
    refuseForkserver: (pool, times, stage) => refuse(hall(pool).forkserverRefusals)(times, stage),
    launching: (pool) => ({ ...hall(pool).launching }),
    alive: () =>
      [...benches].flatMap(([name, { process }]) => process === undefined || Deferred.isDoneUnsafe(process.ended) ? [] : [name]).toSorted()
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
