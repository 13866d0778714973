/**
 * One worker of a scripted pool: its process and its channel as supervised children, and what a test can do to them.
 */
import { Child, MonotonicClock, Supervisor } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as HandshakePatience from "../execution/HandshakePatience.ts"
import * as ExitClass from "../ExitClass.ts"
import * as WorkerError from "../WorkerError.ts"
import type { Evidence, Imposed, WorkerSeat } from "../WorkerRuntime.ts"
import * as ScriptedLaunch from "./ScriptedLaunch.ts"
import { none, type ScriptedPool } from "./ScriptedPool.ts"
import type { ScriptedProcess } from "./ScriptedProcess.ts"
import type { TelemetryState } from "./ScriptedTelemetry.ts"

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
  /** Its present process uses so many bytes of memory. */
  readonly uses: (bytes: number) => Effect.Effect<void>
  /** The channel breaks; the process lives on, with its calls, and says what is left to say on the next one. */
  readonly loseChannel: (detail?: string) => Effect.Effect<void>
  /** The process forgets its host: its channel breaks, its calls are cancelled, and nobody is told how they ended. */
  readonly loseSession: Effect.Effect<void>
  /** Its next boots fail with `BootFailed`. */
  readonly refuseBoots: (times: number, stage?: WorkerError.BootFailed["stage"]) => Effect.Effect<void>
  /** Of its telemetry. */
  readonly telemetry: Effect.Effect<TelemetryState>
  /** Its wire throws what it is given at the next `submit`: a mistake in a runtime, for tests of what stands it. */
  readonly throwAtSubmit: (defect: unknown) => Effect.Effect<void>
}

/** The same as its runtime has it. */
export class Bench {
  readonly name: string
  process: ScriptedProcess | undefined
  private readonly pool: ScriptedPool
  private readonly script: ScriptedLaunch.Script
  private readonly refusals = ScriptedLaunch.noRefusals()
  private generation = -1
  private clock: Clock.Clock | undefined
  private lose: ((detail: string) => void) | undefined
  /** What the kernel says of its process, when a test says so. */
  private appearance: ((now: number) => Evidence | undefined) | undefined

  constructor(name: string, pool: ScriptedPool, script: ScriptedLaunch.Script) {
    this.name = name
    this.pool = pool
    this.script = script
  }

  processChild(seat: WorkerSeat) {
    return Child.make("process", {
      plane: "execution",
      shutdown: Duration.sum(seat.config.stopGrace, Duration.seconds(6)), // as in the bridge
      start: Effect.gen({ self: this }, function*() {
        const { pool, refusals } = this
        this.clock = yield* Clock.Clock
        const generation = seat.fill(yield* Child.CurrentChild)
        this.generation = generation
        const version = seat.version()
        const launch = Effect.suspend(() => pool.launch({ worker: seat.name, refusals, limit: seat.config.startTimeout, version }))
        const started = pool.takeSpare(version) ?? (yield* seat.governed(launch))
        started.fill(seat, generation)
        this.process = started
        yield* Effect.forkScoped(Effect.raceFirst(started.threads, Deferred.await(started.ended)), { startImmediately: true })
        yield* Effect.addFinalizer(() =>
          Effect.gen({ self: this }, function*() {
            if (!started.over) {
              const { stopGrace } = seat.config
              const drained = seat.verdict() === undefined
                ? yield* Effect.timeoutOption(started.drain(), Duration.subtract(stopGrace, started.drainTook))
                : Option.none()
              started.end(Option.isSome(drained) ? { code: 0, signal: null } : { code: null, signal: "SIGKILL" }, true)
            }
            if (this.process === started) {
              this.process = undefined
              this.appearance = undefined
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
  }

  channelChild(seat: WorkerSeat) {
    return Child.make("channel", {
      plane: "execution",
      shutdown: Duration.sum(seat.config.stopGrace, Duration.seconds(1)), // as in the bridge
      start: Effect.gen({ self: this }, function*() {
        const supervisor = yield* Supervisor.CurrentSupervisor
        const lost = (detail: string) => new WorkerError.ChannelLost({ worker: seat.name, detail })
        const dialled = this.process
        if (dialled === undefined) return yield* lost("there is no process")
        const monotonic = new MonotonicClock.MonotonicClock(yield* Clock.Clock)
        const silent = yield* Effect.raceFirst(
          Effect.asVoid(Effect.raceFirst(dialled.thawed.await, Deferred.await(dialled.ended))),
          HandshakePatience.outlast({ worker: seat.name, config: seat.config, clock: monotonic, evidence: () => this.evidence() })
        )
        if (silent !== undefined) {
          seat.condemn(silent)
          yield* Effect.orDie(supervisor.failChild("process", silent))
          return yield* lost(silent.message)
        }
        if (dialled.hasSession()) yield* Effect.raceFirst(Effect.sleep(this.script.redialTakes), Deferred.await(dialled.ended))
        if (dialled.over) return yield* lost("it broke before the handshake")
        const connection = dialled.connect(monotonic.now())
        const lose = (detail: string) => dialled.disconnect(connection, `the channel broke (${detail})`, monotonic.now())
        this.lose = lose
        yield* Effect.addFinalizer(() =>
          Effect.gen({ self: this }, function*() {
            if (this.lose === lose) this.lose = undefined
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
  }

  evidence(): Evidence | undefined {
    const { appearance, clock, process } = this
    if (process === undefined || clock === undefined) return undefined
    const now = clock.currentTimeMillisUnsafe()
    if (appearance !== undefined) return appearance(now)
    const cpuMillis = process.cpuMillis(now)
    return {
      pid: process.pid,
      state: !process.thawed.isOpen() ? "stopped" : process.idle.isOpen() ? "sleeping" : "running",
      cpuMillis,
      threads: new Map([[process.pid, cpuMillis]]),
      majorFaults: 0
    }
  }

  get worker(): ScriptedWorker {
    const { living } = this
    return {
      generation: () => this.generation,
      pid: () => this.process?.pid,
      crash: (signal = "SIGKILL") => Effect.map(living, (process) => process.end({ code: null, signal })),
      exit: (code) => Effect.map(living, (process) => process.end({ code, signal: null })),
      freeze: Effect.map(living, (process) => void process.thawed.closeUnsafe()),
      thaw: Effect.map(living, (process) => void process.thawed.openUnsafe()),
      appears: (state, share = 0) =>
        Effect.gen({ self: this }, function*() {
          const { pid } = yield* living
          const since = yield* Clock.currentTimeMillis
          this.appearance = (now) => {
            if (state === undefined) return undefined
            const cpuMillis = share * (now - since)
            return { pid, state, cpuMillis, threads: new Map([[pid, cpuMillis]]), majorFaults: 0 }
          }
        }),
      uses: (bytes) => Effect.map(living, ({ pid }) => void this.script.memory.set(pid, bytes)),
      loseChannel: (detail = "as scripted") => this.loseChannel(detail),
      loseSession: Effect.andThen(
        Effect.map(living, (process) => process.leave("the worker does not know the session any more")),
        this.loseChannel("the worker forgot its host")
      ),
      refuseBoots: ScriptedLaunch.refuse(this.refusals),
      telemetry: Effect.map(living, ({ telemetry: { credit, settings, waiting } }) => ({ credit, settings, waiting })),
      throwAtSubmit: (defect) => Effect.map(living, (process) => void (process.broken = defect))
    }
  }

  private readonly living: Effect.Effect<ScriptedProcess> = Effect.suspend(() =>
    this.process === undefined
      ? Effect.die(new Error(`worker ${this.name} has no process now: wait until it is up`))
      : Effect.succeed(this.process)
  )

  private loseChannel(detail: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { lose } = this
      return lose === undefined ? none(`channel of worker ${this.name}`) : Effect.sync(() => lose(detail))
    })
  }
}
