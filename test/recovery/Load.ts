/** Light load: on both pools one idempotent call and one that is not, both running when the harm is done; and what may become of them. */
import { Effect, Exit, Fiber } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Application, type PoolName, pools } from "./Application.ts"
import { placeOf } from "./Telling.ts"

/** Seconds that each call runs: longer than the harm takes to be noticed, shorter than a patience. */
const seconds = 0.4

export interface Ended {
  readonly pool: PoolName
  readonly idempotent: boolean
  /** `completed`, or the tag of the typed error. */
  readonly outcome: string
  /** Times that the tool has begun, as its own journal says; of the call that is not idempotent. */
  readonly executed: number
}

const linesOf = (file: string): number => existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0

const outcomeOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): string => {
  if (Exit.isSuccess(exit)) return "completed"
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" ? error.value._tag : "not typed"
}

/** Begins the calls, the `first` one of them on the first slot that is free; returns, once they run, the effect that waits for their ends. */
export const begin = Effect.fnUntraced(function*(app: Application, folder: string, name: string, first: "nap" | "note") {
  const calls = pools.map((pool) => ({ pool, journal: join(folder, `${name}-${pool}`) }))
  const running = yield* Effect.forEach(calls, ({ journal, pool }) =>
    Effect.gen(function*() {
      const tools = app.tools[pool]
      const note = Effect.forkDetach(tools.note({ journal, text: name, seconds }), { startImmediately: true })
      const early = first === "note" ? yield* note : undefined
      const nap = yield* Effect.forkDetach(tools.nap({ seconds }), { startImmediately: true })
      return { pool, journal, nap, note: early ?? (yield* note) }
    }))
  const begun = Effect.sync(() => calls.every(({ journal }) => linesOf(journal) > 0))
  yield* Effect.repeat(begun, { until: (all) => all }).pipe(Effect.timeout("5 seconds"))
  return Effect.forEach(running, ({ journal, nap, note, pool }) =>
    Effect.gen(function*() {
      const idempotent: Ended = { pool, idempotent: true, outcome: outcomeOf(yield* Fiber.await(nap)), executed: 0 }
      const once: Ended = { pool, idempotent: false, outcome: outcomeOf(yield* Fiber.await(note)), executed: linesOf(journal) }
      return [idempotent, once]
    })).pipe(Effect.map((ended) => ended.flat()), Effect.timeout("20 seconds"))
})

/** What a call may come to, by law 3, when these paths go down: nothing but its result unless its pool lost a worker, a wire or the Roster. */
export const allowed = ({ idempotent, pool }: Ended, victims: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lost = victims.filter((path) => placeOf(path).pool === pool).map((path) => path.slice(path.lastIndexOf("/") + 1))
  const unknown = ["completed", "WorkerCrashed", "OutcomeUnknown"]
  if (lost.includes("roster")) return unknown
  return !idempotent && lost.some((id) => id === "process" || id === "channel") ? unknown : ["completed"]
}
