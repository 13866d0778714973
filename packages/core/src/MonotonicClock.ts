/**
 * A time in Unix milliseconds that no setting of the wall clock moves: what the wall clock said when it was made, and monotonic from there.
 *
 * **When to use**
 *
 * For every limit: a deadline, a budget, a delay, the age of something. Supervisors count in it, and so do the pools. What people read,
 * the time of an event for example, is {@link MonotonicClock.wallTime}.
 *
 * **Details**
 *
 * Milliseconds, whole. It stands still while the machine sleeps where the system's monotonic clock does (Linux, macOS).
 *
 * **Gotchas**
 *
 * After the wall clock was set, the two differ for as long as the program runs: never subtract one from the other.
 *
 * **Example** (How long something took)
 *
 * ```ts
 * import { MonotonicClock } from "@snakepit/core"
 * import { Clock, Effect } from "effect"
 *
 * const timed = Effect.gen(function*() {
 *   const clock = new MonotonicClock.MonotonicClock(yield* Clock.Clock)
 *   const began = clock.now()
 *   yield* Effect.sleep("20 millis")
 *   return clock.now() - began
 * })
 * ```
 */
import type * as Clock from "effect/Clock"

export class MonotonicClock {
  private readonly clock: Clock.Clock
  private readonly epoch: number
  private wall: number
  private millis: number

  constructor(clock: Clock.Clock) {
    this.clock = clock
    this.wall = clock.currentTimeMillisUnsafe()
    this.epoch = this.wall - monotonicMillis(clock)
    this.millis = this.wall
  }

  /** Reading the monotonic clock costs several times what the wall clock costs: it is read once for each of that one's milliseconds. */
  now(): number {
    const wall = this.clock.currentTimeMillisUnsafe()
    if (wall !== this.wall) {
      this.wall = wall
      this.millis = this.epoch + monotonicMillis(this.clock)
    }
    return this.millis
  }

  /** Unix time, for people: what it was when {@link now} was read last. */
  get wallTime(): number {
    return this.wall
  }
}

const monotonicMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
