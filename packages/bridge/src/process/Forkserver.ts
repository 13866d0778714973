/**
 * The process that a pool's workers are forked from, as a supervised child of the control plane.
 *
 * **Details**
 *
 * It imports the adapter once; its child is up when that is done. It belongs to the Reaper, as workers do, and workers do not belong to it:
 * when it ends they live on, and new ones are spawned until it is up again. Where workers cannot be forked, or can no longer because the
 * adapter has stopped to import since the pool came up, it is up without a process, and `snakepit.forkserver.start` says why.
 *
 * ```text
 *  python.start is "spawn" ─────────────┐
 *  the Reaper is no subreaper ──────────┤
 *  spawn ─▶ import ─┬─ threads run ─────┼─▶ stopped; no name, nothing to watch
 *                   ├─ fails at a restart ┘
 *                   ├─ fails at first ──▶ BootFailed: so would every worker
 *                   └─ one thread ──────▶ registered; its life ends with ForkserverLost
 * ```
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import { ExitClass, WorkerError } from "@snakepit/pool"
import type { WorkerRuntime } from "@snakepit/pool"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as BridgeEvent from "../BridgeEvent.ts"
import { forkserverSettings } from "../PythonConfig.ts"
import type { Launcher } from "./Launch.ts"
import * as PythonProgram from "./PythonProgram.ts"
import * as ReapedProcess from "./ReapedProcess.ts"
import type { Reaper } from "./Reaper.ts"
import * as WorkingFolder from "./WorkingFolder.ts"

/** A forkserver that is up. */
export interface Forkserver {
  readonly id: string
  /** Another Reaper knows nothing of it. */
  readonly reaper: Reaper
  /** Of the version whose code it has imported. */
  readonly roll: number
}

/** It has no work of its own that could need a grace: it forks in a millisecond, and nothing waits for it. */
const grace = Duration.millis(500)

/** What is known of a pool's forkservers across the starts of their supervisor. */
export interface Recent {
  /** The Reaper under which one was up last. Under the same one there are workers that live, and that a failure here must not keep busy. */
  up: Reaper | undefined
}

/** The forkserver of one pool. */
export const child = (launcher: () => Launcher, recent: Recent): WorkerRuntime.PortChild<
  "forkserver",
  WorkerError.BootFailed,
  WorkerError.ForkserverLost,
  "control"
> =>
  Child.make("forkserver", {
    plane: "control",
    shutdown: Duration.sum(grace, Duration.sum(ReapedProcess.killWait, Duration.seconds(1))),
    start: Effect.gen(function*() {
      const { config, count, forkserver, pool, python, reaper: reaperName, registry: registryName, roll } = launcher()
      const began = yield* Clock.currentTimeMillis
      const worker = `${pool}/forkserver`
      let process: ReapedProcess.ReapedProcess | undefined
      const failed = ReapedProcess.bootFailed(worker, python.adapter, () => process)
      const started = (mode: "fork" | "spawn", why: string, pid: number | undefined) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Event.emit(BridgeEvent.forkserver_start, { tookMillis: now - began }, { pool, mode, why, pid }))
      const spawning = (why: string) =>
        Effect.as(started("spawn", why, undefined), idle)

      if (python.start === "spawn") return yield* spawning("python.start is \"spawn\"")
      yield* WorkingFolder.check(python, failed)
      const reaper = yield* Effect.mapError(RegisteredName.whereis(reaperName), (error) => failed("spawn", error.message))
      const registry = registryName.latest // a registry that is being replaced is no reason not to start
      if (registry === undefined) return yield* failed("spawn", "its application has not started its registry")
      if (!reaper.subreaper) {
        return yield* spawning(
          "this system lets no process adopt what others leave (Linux does): a forked worker would not belong to the Reaper"
        )
      }

      const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const told = ({ pid, ...end }: ReapedProcess.ProcessEnd) =>
        Event.emit(BridgeEvent.forkserver_exit, {}, { pool, pid, ...ReapedProcess.facts(end) })
      const begun = yield* Effect.acquireRelease(
        Effect.sync(() =>
          process = ReapedProcess.begin({
            pool,
            worker,
            reaper,
            registry,
            command: {
              op: "forkserver",
              id: `${worker}#${count(worker)}`,
              ...PythonProgram.make("snakepit.forkserver", python, registry.runId, []),
              settings: forkserverSettings(python)
            }
          })
        ),
        (begun) => ReapedProcess.end(begun, reaperName, grace, { told, verdict: () => undefined })
      ).pipe(Scope.provide(scope))
      const booted = yield* ReapedProcess.ready(begun, python.adapter).pipe(
        Effect.catchTag("SpawnRefused", ({ detail, errno }) => Effect.fail(failed("spawn", detail, { errno }))),
        Effect.timeoutOrElse({
          duration: config.startTimeout,
          orElse: () => Effect.fail(failed("timeout", `nothing was heard of it for ${Duration.format(config.startTimeout)}`))
        }),
        Effect.catchIf((error) => recent.up === reaper && WorkerError.isIncurable(error), ({ detail }) => Effect.succeed(detail))
      )
      if (typeof booted === "string") {
        yield* Scope.close(scope, Exit.void)
        return yield* spawning(
          `importing "${python.adapter}" worked before and fails now: ${booted}. Workers that live go on; each new one imports for itself, ` +
            "and the next start of the pool tries to fork again"
        )
      }
      const { pid, said } = booted
      recent.up = reaper
      const { threads = 1 } = said
      if (threads === null || threads > 1) {
        yield* Scope.close(scope, Exit.void)
        return yield* spawning(
          threads === null
            ? "the threads that run after the import cannot be counted, and a fork copies only the one that calls it"
            : `importing "${python.adapter}" left ${threads - 1} threads running, and a fork copies only the one that calls it: what the ` +
              "others hold would stay locked. Start them at the first call instead"
        )
      }
      yield* RegisteredName.register(forkserver, { id: begun.id, reaper, roll })
      yield* started("fork", `"${python.adapter}" is imported`, pid)

      const life: Effect.Effect<never, WorkerError.ForkserverLost> = Effect.flatMap(Deferred.await(begun.exited), (exit) => {
        const how = exit.signal === null ? `with code ${exit.code}` : `by ${exit.signal}`
        const exitClass = ReapedProcess.classOf(begun, exit)
        const why = exitClass._tag === "KilledByUs"
          ? "it stood still and did not answer an order to fork, so the Reaper ended it"
          : ExitClass.cause(exitClass)
        const detail = `process ${pid} ended ${how}: ${why}`
        return Effect.fail(new WorkerError.ForkserverLost({ pool, detail, output: ReapedProcess.lastLines(begun) }))
      })
      return life
    })
  })

/** Up, with nothing that could end. */
const idle: Effect.Effect<never, WorkerError.ForkserverLost> = Effect.never
