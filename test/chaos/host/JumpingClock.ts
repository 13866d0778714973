/** A clock whose wall time is set, as an operator or a time service sets it. Its monotonic time goes on, and so do its timers. */
import type { Clock } from "effect"
import { Effect } from "effect"

const nanos = 1_000_000 // in a millisecond

export class JumpingClock implements Clock.Clock {
  /** Milliseconds by which it has been set ahead. */
  ahead = 0
  private readonly real: Clock.Clock

  constructor(real: Clock.Clock) {
    this.real = real
  }

  currentTimeMillisUnsafe(): number {
    return this.real.currentTimeMillisUnsafe() + this.ahead
  }

  currentTimeNanosUnsafe(): bigint {
    return this.real.currentTimeNanosUnsafe() + BigInt(this.ahead * nanos)
  }

  monotonicTimeNanosUnsafe(): bigint {
    return this.real.monotonicTimeNanosUnsafe()
  }

  readonly currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())

  sleep(...args: Parameters<Clock.Clock["sleep"]>): ReturnType<Clock.Clock["sleep"]> {
    return this.real.sleep(...args)
  }
}
