/**
 * How a process of a scripted pool starts, and how it does not.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as WorkerError from "../WorkerError.ts"
import type { PayloadCodec } from "../WorkerRuntime.ts"
import * as ScriptedProcess from "./ScriptedProcess.ts"
import type { Hooks, SessionStart } from "./ScriptedSession.ts"
import type { ScriptedTool } from "./ScriptedTool.ts"

/** What a process imports: its tools, or why it does not come up. */
export type Code = { readonly tools: { readonly [name: string]: ScriptedTool } } | { readonly broken: WorkerError.BootFailed["stage"] }

/** What all processes of a runtime have in common. */
export interface Script {
  /** Of the adapter's file. */
  code: Code
  /** Bytes by pid, as a test says. */
  readonly memory: Map<number, number>
  readonly codec: PayloadCodec
  readonly journal: Array<ScriptedProcess.Execution>
  readonly hooks: Hooks
  readonly sessionJournal: Array<SessionStart>
  readonly nextPid: () => number
  readonly bootTakes: Duration.Input | undefined
  readonly redialTakes: Duration.Input
  readonly failedBootTakes: Duration.Input
}

/** Starts that are to fail. */
export interface Refusals {
  left: number
  stage: WorkerError.BootFailed["stage"]
}

export const noRefusals = (): Refusals => ({ left: 0, stage: "import" })

export const refuse = (refusals: Refusals) => (times: number, stage: WorkerError.BootFailed["stage"] = "import") =>
  Effect.sync(() => void Object.assign(refusals, { left: times, stage }))

/** Uses up one refusal, if there is one. */
export const refused = (refusals: Refusals, worker: string): Effect.Effect<void, WorkerError.BootFailed> =>
  Effect.suspend(() => {
    if (refusals.left === 0) return Effect.void
    refusals.left--
    return Effect.fail(bootFailed(worker, refusals.stage, "the script refuses it"))
  })

/** Processes of a pool that are starting, or that did not come up and are ending, and the most that ever were at a time. */
export interface Launching {
  now: number
  most: number
}

/** What {@link launch} takes. */
export interface Launch {
  readonly script: Script
  /** What it imports, or was forked with. */
  readonly code: Code
  readonly worker: string
  readonly refusals: Refusals
  readonly launching: Launching
  readonly hasReaper: () => boolean
  /** How long its ready line is waited for. */
  readonly limit: Duration.Duration
}

export const launch = ({ code, hasReaper, launching, limit, refusals, script, worker }: Launch): Effect.Effect<
  ScriptedProcess.ScriptedProcess,
  WorkerError.BootFailed,
  Scope.Scope
> => {
  const { bootTakes, failedBootTakes, nextPid } = script
  const start = Effect.gen(function*() {
    if (bootTakes !== undefined) {
      const slept = yield* Effect.timeoutOption(Effect.sleep(bootTakes), limit)
      if (Option.isNone(slept)) return yield* bootFailed(worker, "timeout", "nothing was heard of it")
    }
    yield* refused(refusals, worker)
    if (!hasReaper()) return yield* bootFailed(worker, "spawn", "there is no Reaper")
    if ("broken" in code) return yield* bootFailed(worker, code.broken, "the code that was deployed is broken")
    return ScriptedProcess.make({ ...script, ...code, pid: nextPid() })
  })
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
}

const bootFailed = (worker: string, stage: WorkerError.BootFailed["stage"], detail: string) =>
  new WorkerError.BootFailed({ worker, stage, adapter: "scripted", detail, output: [] })
