/**
 * Light load: on both pools one idempotent call and one that is not, both running when the harm is done, and one of each that wait behind
 * them; and what may become of them.
 */
import { type Cause, Effect, Exit, Fiber } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Application, type PoolName, pools } from "./Application.ts"
import { placeOf } from "./Telling.ts"

/** Seconds that each running call runs: longer than the harm takes to be noticed, shorter than a patience. */
const seconds = 0.5

/** Seconds of those that wait: nobody waits for them. */
const afterwards = 0.01

export interface Ended {
  readonly pool: PoolName
  readonly idempotent: boolean
  /** No worker was free for it when the harm was done. */
  readonly waiting: boolean
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

/** Two calls that are begun at once, the `first` one of them on the first slot that is free. */
const pair = Effect.fnUntraced(function*(
  app: Application,
  { first, journal, pool, seconds, waiting }: {
    readonly pool: PoolName
    readonly journal: string
    readonly seconds: number
    readonly waiting: boolean
    readonly first: "nap" | "note"
  }
) {
  const note = Effect.forkDetach(app.tools[pool].note({ journal, text: pool, seconds }), { startImmediately: true })
  const early = first === "note" ? yield* note : undefined
  const nap = yield* Effect.forkDetach(app.tools[pool].nap({ seconds }), { startImmediately: true })
  const once = early ?? (yield* note)
  return Effect.gen(function*() {
    const about = { pool, waiting }
    const naps: Ended = { ...about, idempotent: true, outcome: outcomeOf(yield* Fiber.await(nap)), executed: 0 }
    const notes: Ended = { ...about, idempotent: false, outcome: outcomeOf(yield* Fiber.await(once)), executed: linesOf(journal) }
    return [naps, notes]
  })
})

/** How often the load is begun at most: again, with calls that run twice as long, when on a busy machine it was over too early. */
const attempts = 4

/** Begins the calls; returns, once half of them run and the others wait, the effect that waits for their ends. */
export const begin = (
  app: Application,
  folder: string,
  name: string,
  first: "nap" | "note",
  attempt = 0
): Effect.Effect<Effect.Effect<ReadonlyArray<Ended>, Cause.TimeoutError>, Cause.TimeoutError> =>
  Effect.gen(function*() {
    const calls = [false, true].flatMap((waiting) =>
      pools.map((pool) => ({
        pool,
        waiting,
        first,
        journal: join(folder, `${name}-${attempt}-${pool}-${waiting ? "waiting" : "running"}`),
        seconds: waiting ? afterwards : seconds * 2 ** attempt
      }))
    )
    const begun = yield* Effect.forEach(calls, (call) => pair(app, call))
    const all = (waiting: boolean, fits: (lines: number) => boolean) =>
      calls.every((call) => call.waiting !== waiting || fits(linesOf(call.journal)))
    yield* Effect.repeat(Effect.sync(() => all(false, (lines) => lines > 0)), { until: (running) => running }).pipe(
      Effect.timeout("5 seconds")
    )
    const end = Effect.all(begun).pipe(Effect.map((ended) => ended.flat()), Effect.timeout("20 seconds"))
    if (all(true, (lines) => lines === 0)) return end
    if (attempt + 1 === attempts) return yield* Effect.die(new Error("the machine is so busy that no call waited when the harm came"))
    yield* end
    return yield* begin(app, folder, name, first, attempt + 1)
  })

/**
 * What a call may come to, by law 3, when these paths go down: nothing but its result unless its pool lost the Roster, or while it ran its
 * worker. A channel alone takes no call along. What only waited never ran, and its caller is told so.
 */
export const allowed = ({ idempotent, pool, waiting }: Ended, victims: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lost = victims.filter((path) => placeOf(path).pool === pool).map((path) => path.slice(path.lastIndexOf("/") + 1))
  const unknown = ["completed", "WorkerCrashed", "OutcomeUnknown"]
  if (lost.includes("roster")) return waiting ? ["PoolDown"] : unknown
  return !waiting && !idempotent && lost.includes("process") ? unknown : ["completed"]
}

/** How often a call that is not idempotent has run: once, or never when it was refused while it waited. */
export const executions = ({ outcome, waiting }: Ended): number => waiting && outcome !== "completed" ? 0 : 1
