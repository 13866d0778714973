/**
 * What belongs to a scripted pool and to none of its workers: its Reaper, its Forkserver, its spares.
 */
import { Child } from "@snakepit/core"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { PoolVersion } from "../PoolVersion.ts"
import * as WorkerError from "../WorkerError.ts"
import * as ScriptedLaunch from "./ScriptedLaunch.ts"
import type { ScriptedProcess } from "./ScriptedProcess.ts"

/** The warm processes of one pool. */
export interface ScriptedSpares {
  /** Those that wait to be taken, the next one first. */
  readonly waiting: () => ReadonlyArray<number>
  /** The one that would be taken next ends. */
  readonly crash: Effect.Effect<void>
  /** Their next boots fail with `BootFailed`. */
  readonly refuseBoots: (times: number, stage?: WorkerError.BootFailed["stage"]) => Effect.Effect<void>
}

interface Waiting {
  readonly version: PoolVersion
  readonly process: ScriptedProcess
  readonly gone: Deferred.Deferred<"taken" | "died">
}

/** What {@link ScriptedPool.launch} takes. */
export type Launch = Pick<ScriptedLaunch.Launch, "worker" | "refusals" | "limit"> & { readonly version: PoolVersion }

export class ScriptedPool {
  readonly launching: ScriptedLaunch.Launching = { now: 0, most: 0 }
  private readonly name: string
  private readonly script: ScriptedLaunch.Script
  /** The processes of its workers. */
  private readonly workers: () => ReadonlyArray<ScriptedProcess>
  private readonly waiting: Array<Waiting> = []
  private readonly spareRefusals = ScriptedLaunch.noRefusals()
  private readonly forkserverRefusals = ScriptedLaunch.noRefusals()
  private reaperEnd: ((detail: string) => void) | undefined
  private forkserverEnd: ((detail: string) => void) | undefined
  /** What the forkserver has imported, and for which version, while it is up. */
  private imported: { readonly version: PoolVersion; readonly code: ScriptedLaunch.Code } | undefined

  constructor(name: string, script: ScriptedLaunch.Script, workers: () => ReadonlyArray<ScriptedProcess>) {
    this.name = name
    this.script = script
    this.workers = workers
  }

  launch(launch: Launch) {
    const { imported, launching, script } = this
    const code = imported?.version.roll === launch.version.roll ? imported.code : script.code
    return ScriptedLaunch.launch({ ...launch, code, script, launching, hasReaper: () => this.reaperEnd !== undefined })
  }

  /** The next spare of the version that lives, for a worker. */
  takeSpare(wanted: PoolVersion): ScriptedProcess | undefined {
    const index = this.waiting.findIndex(({ process, version }) => !process.over && version.roll === wanted.roll) // one that has died may not have left yet
    if (index < 0) return undefined
    const [{ gone, process }] = this.waiting.splice(index, 1) as [Waiting]
    Deferred.doneUnsafe(gone, Effect.succeed("taken"))
    return process
  }

  spare(version: PoolVersion) {
    return Effect.gen({ self: this }, function*() {
      const { name, spareRefusals, waiting } = this
      const process = yield* this.launch({ worker: `${name}/spare`, refusals: spareRefusals, limit: Duration.infinity, version })
      const spare: Waiting = { version, process, gone: yield* Deferred.make<"taken" | "died">() }
      const leave = () => {
        const index = waiting.indexOf(spare)
        if (index >= 0) waiting.splice(index, 1)
        return index >= 0
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => waiting.push(spare)),
        () => Effect.sync(() => leave() && process.end({ code: 0, signal: null }))
      )
      const died = Effect.map(Deferred.await(process.ended), () => {
        leave()
        return "died" as const
      })
      return { pid: process.pid, gone: Effect.raceFirst(Deferred.await(spare.gone), died) }
    })
  }

  reaper() {
    const start = Effect.gen({ self: this }, function*() {
      const ended = yield* Deferred.make<never, WorkerError.ReaperLost>()
      const end = (detail: string) => {
        if (this.reaperEnd === end) this.reaperEnd = undefined
        const spares = this.waiting.map(({ process }) => process)
        for (const process of [...this.workers(), ...spares]) process.end({ code: null, signal: "SIGKILL" }, true)
        Deferred.doneUnsafe(ended, Effect.fail(new WorkerError.ReaperLost({ pool: this.name, detail })))
      }
      this.reaperEnd = end
      yield* Effect.addFinalizer(() => Effect.sync(() => end("its supervisor stopped it")))
      return Deferred.await(ended)
    })
    return Child.make("reaper", { plane: "control", start })
  }

  forkserver(version: () => PoolVersion) {
    const start = Effect.gen({ self: this }, function*() {
      yield* ScriptedLaunch.refused(this.forkserverRefusals, `${this.name}/forkserver`)
      const imported = { version: version(), code: this.script.code }
      const ended = yield* Deferred.make<never, WorkerError.ForkserverLost>()
      const end = (detail: string) =>
        Deferred.doneUnsafe(ended, Effect.fail(new WorkerError.ForkserverLost({ pool: this.name, detail, output: [] })))
      this.forkserverEnd = end
      this.imported = "broken" in imported.code ? undefined : imported // as in the bridge: it is up, and workers import for themselves
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (this.forkserverEnd !== end) return
          this.forkserverEnd = undefined
          this.imported = undefined
        })
      )
      return Deferred.await(ended)
    })
    return Child.make("forkserver", { plane: "control", start })
  }

  endReaper(detail: string): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.reaperEnd === undefined ? none(`Reaper of pool ${this.name}`) : Effect.sync(() => this.reaperEnd?.(detail))
    )
  }

  endForkserver(detail: string): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.forkserverEnd === undefined ? none(`Forkserver of pool ${this.name}`) : Effect.sync(() => void this.forkserverEnd?.(detail))
    )
  }

  get refuseForkserver() {
    return ScriptedLaunch.refuse(this.forkserverRefusals)
  }

  get spares(): ScriptedSpares {
    return {
      waiting: () => this.waiting.flatMap(({ process }) => process.over ? [] : [process.pid]),
      crash: Effect.suspend(() => {
        const next = this.waiting[0]?.process
        return next === undefined ? none(`spare in pool ${this.name}`) : Effect.sync(() => next.end({ code: null, signal: "SIGKILL" }))
      }),
      refuseBoots: ScriptedLaunch.refuse(this.spareRefusals)
    }
  }
}

/** To harm what is not there is a mistake in the test. */
export const none = (what: string): Effect.Effect<never> => Effect.die(new Error(`there is no ${what} now`))
