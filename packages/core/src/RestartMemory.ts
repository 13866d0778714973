/**
 * What supervisors remember of restarts from before their tree was started: each begins with a budget from which these are spent already.
 *
 * **When to use**
 *
 * When a program that is started again and again must not begin each time with budgets that are whole: give the tree the restarts that a
 * durable history has of the run before.
 *
 * **Details**
 *
 * Unix milliseconds of restarts, by the path of the supervisor that counted them. They count as if the supervisor had been there all the
 * time, to the millisecond: the tree's own clock starts with the wall clock's time. One that lies in the future, because the clock was set
 * back since, counts as of the tree's start. Only the first generation of a supervisor begins with them: one that is started again within
 * the tree begins with a whole budget, as ever. Delays begin with the first one.
 *
 * **Example** (A pool that has one restart of three left)
 *
 * ```ts
 * import { RestartMemory, Supervisor } from "@snakepit/core"
 * import { Clock, Effect } from "effect"
 *
 * const resumed = <T extends Supervisor.Any>(app: T) =>
 *   Effect.gen(function*() {
 *     const now = yield* Clock.currentTimeMillis
 *     const memory = new Map([["app/pool", [now - 2000, now - 1000]]])
 *     return yield* Effect.provideService(Supervisor.start(app), RestartMemory.RestartMemory, memory)
 *   })
 * ```
 */
import * as Context from "effect/Context"

/** Unix times in milliseconds, by path. */
export type RestartMemory = ReadonlyMap<string, ReadonlyArray<number>>

/** The memory in the context, read where a tree is started; nothing is remembered by default. */
export const RestartMemory: Context.Reference<RestartMemory> = Context.Reference("@snakepit/core/RestartMemory", {
  defaultValue: (): RestartMemory => new Map()
})
