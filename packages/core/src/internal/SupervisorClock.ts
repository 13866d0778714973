/**
 * The time that supervision counts in: Unix milliseconds when the tree was booted, and monotonic from there. A wall clock that is set back or
 * forth must not spend a budget, freeze it, or hold up a delay.
 */
import type * as Clock from "effect/Clock"

export class SupervisorClock {
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
