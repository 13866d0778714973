/**
 * Starts the pools that the configuration has come to name, and ends those that it names no more.
 *
 * ```text
 *  named, and not there ─▶ start it ─┬─ up
 *                                    └─ does not come up: down, with the reason; again with backoff, as long as it is named
 *  there, and not named ─▶ refuse new calls ─▶ wait for those it has, as long as its limits let them take ─▶ stop it
 *                                └─ named again ─▶ take calls again         └─ named again ─▶ wait until it is gone, start it
 * ```
 */
import type { Supervisor, SupervisorHandle, Tree } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { PoolDirectory, PoolEntry } from "../PoolDirectory.ts"
import * as Roster from "./Roster.ts"

/** The pools that run. */
type Running = Pick<Supervisor.Running<never>, "tree" | "changes" | "terminateChild"> & SupervisorHandle.AddsChildren<never>

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
    Effect.catchTag("ChildPresent", ({ status }) =>
      status === "Starting" || status === "Stopping"
        ? Effect.andThen(settled(running, entry), start(running, entry)) // somebody else's start, or its end: it may be gone after that
        : Effect.sync(() => order(entry, "Undrain"))),
    Effect.catchTag("SupervisorStopping", () => Effect.never),
    Effect.tapError(({ message }) => Effect.sync(() => entry.isDown(message))),
    Effect.retry(backoff),
    Effect.ignore
  )

/** Waits until the pool neither starts nor stops. */
const settled = ({ changes }: Running, { pool }: PoolEntry): Effect.Effect<unknown> =>
  Stream.runHead(Stream.filter(changes, ({ children }) => !children.some(({ id, status }) => id === pool && moving.has(status))))

const moving: ReadonlySet<Tree.NodeStatus> = new Set(["starting", "stopping"])

const order = ({ roster }: PoolEntry, _tag: "Drain" | "Undrain"): void => {
  if (roster.current !== undefined) Roster.order(roster.current, { _tag })
}

/** What of it is asked for goes on when it is interrupted: who starts the pool again waits for that. */
const end = (running: Running, entry: PoolEntry): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { callTimeout, queue } = entry.config()
    const refuse = Effect.sync(() => order(entry, "Drain")) // each time: a Roster that was made anew has to be told again
    const open = Effect.sync(() => entry.roster.current?.tickets.size ?? 0)
    const over = Effect.repeat(Effect.andThen(refuse, Effect.delay(open, look)), { until: (open) => open === 0 })
    yield* Effect.timeoutOption(over, Duration.sum(queue.timeout, callTimeout))
    entry.isRemoved()
    yield* Effect.ignore(running.terminateChild(entry.pool)) // it is gone already
  })
