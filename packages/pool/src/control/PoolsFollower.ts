/**
 * Starts the pools that the configuration has come to name, and ends those that it names no more.
 *
 * ```text
 *  named, and not there ─▶ start it ─┬─ up
 *                                    └─ does not come up: down, with the reason; again with backoff, as long as it is named
 *  there, and not named ─▶ wait for its calls, as long as its limits let them take ─▶ stop it
 * ```
 */
import type { Supervisor, SupervisorHandle } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type { PoolDirectory, PoolEntry } from "../PoolDirectory.ts"

/** The pools that run. */
type Running = Pick<Supervisor.Running<never>, "tree" | "terminateChild"> & SupervisorHandle.AddsChildren<never>

/** 50 ms doubling to 5 s: as of a pool that gave up. */
const backoff = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("5 seconds")])

/** How often it is looked whether the calls of a pool that ends are over. 100 ms: it is only so much later gone. */
const look = "100 millis"

export const follow = (directory: PoolDirectory, running: Running): Effect.Effect<never> =>
  Effect.gen(function*() {
    const begun = new Map<string, { readonly named: boolean; readonly fiber: Fiber.Fiber<void> }>()
    const adjust = Effect.gen(function*() {
      const named = new Set(directory.names())
      const there = new Set((yield* running.tree).children.map(({ id }) => id))
      for (const pool of new Set([...named, ...there, ...begun.keys()])) {
        const last = begun.get(pool)
        if (last?.named === named.has(pool)) continue
        if (last === undefined && there.has(pool) === named.has(pool)) continue
        if (last !== undefined) yield* Fiber.interrupt(last.fiber)
        const entry = directory.entry(pool)
        const work = named.has(pool) ? start(running, entry) : end(running, entry)
        begun.set(pool, { named: named.has(pool), fiber: yield* Effect.forkScoped(work) })
      }
    })
    return yield* directory.follow(adjust)
  }).pipe(Effect.scoped)

const start = (running: Running, entry: PoolEntry): Effect.Effect<void> =>
  running.startChild(entry.pool).pipe(
    Effect.catchTag("ChildPresent", () => Effect.void),
    Effect.catchTag("SupervisorStopping", () => Effect.never),
    Effect.tapError(({ message }) => Effect.sync(() => entry.isDown(message))),
    Effect.retry(backoff),
    Effect.ignore
  )

const end = (running: Running, entry: PoolEntry): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { callTimeout, queue } = entry.config()
    const over = Effect.repeat(Effect.sync(() => entry.roster.current?.tickets.size ?? 0), {
      until: (open) => open === 0,
      schedule: Schedule.spaced(look)
    })
    yield* Effect.timeoutOption(over, Duration.sum(queue.timeout, callTimeout))
    entry.isRemoved()
    yield* Effect.ignore(running.terminateChild(entry.pool)) // it is gone already
  })
