/**
 * Tells once a second how its pool is: workers, queue, calls a second and how long they took. Live views are fed by this and by what changes; metrics
 * are counted elsewhere, and need no sampler.
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PoolEvent from "../PoolEvent.ts"
import * as Census from "./Census.ts"
import type { Ledger } from "./Dispatch.ts"
import type { Roster } from "./Roster.ts"

/** 1 s: an interval of minutes that is made shorter, or one that was off, applies about at once. */
const lookMillis = 1000

/** Calls that are over, and those that their callers were told an error of. */
const ended = ({ cancelled, completed, failed, rejected }: Ledger) => ({
  calls: completed + cancelled + failed + rejected,
  failures: failed + rejected
})

/** The sampler of the pool whose Roster is registered under `name`. */
export const child = (name: RegisteredName.RegisteredName<Roster>) =>
  Child.make("sampler", {
    plane: "control",
    start: Effect.gen(function*() {
      const roster = yield* Effect.orDie(RegisteredName.whereis(name))
      const { clock, pool, state } = roster
      const { counts, ledger } = state
      const look = () => ({ at: clock.now(), mark: counts.mark, ...ended(ledger) })
      let last = look()

      const tell = Effect.suspend(() => {
        const now = look()
        const seconds = (now.at - last.at) / 1000
        const [p50Millis, p99Millis] = counts.quantiles(last.mark, [0.5, 0.99])
        const callsPerSecond = (now.calls - last.calls) / seconds
        const failuresPerSecond = (now.failures - last.failures) / seconds
        const { busy, ready } = Census.of(roster)
        last = now
        return Event.emit(
          PoolEvent.pool_sample,
          { size: roster.lifecycle.size, ready, busy, queued: state.waiting, callsPerSecond, failuresPerSecond, p50Millis, p99Millis },
          { pool }
        )
      })

      return Effect.forever(Effect.suspend(() => {
        const { sampleEvery } = roster.config
        const left = sampleEvery === "off" ? lookMillis : Duration.toMillis(sampleEvery) - (clock.now() - last.at)
        if (left > 0) return Effect.sleep(Math.min(left, lookMillis))
        return tell
      }))
    })
  })
