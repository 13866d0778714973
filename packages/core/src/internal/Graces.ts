/** The graces of a supervisor's children: those that end at the same moment share one timer, as OTP has for a dynamic supervisor. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

interface Grace {
  readonly timer: Fiber.Fiber<void>
  readonly expire: Set<() => void>
}

export class Graces {
  private readonly byEnd = new Map<number, Grace>()
  private readonly fork: (timer: Effect.Effect<void>) => Fiber.Fiber<void>
  private readonly now: () => number

  constructor(fork: (timer: Effect.Effect<void>) => Fiber.Fiber<void>, now: () => number) {
    this.fork = fork
    this.now = now
  }

  /** Calls `expire` after a grace, unless cancelled by what it returns. */
  after(millis: number, expire: () => void): () => void {
    const { expire: waiting, timer } = this.graceOf(millis)
    waiting.add(expire)
    return () => {
      waiting.delete(expire)
      if (waiting.size === 0) timer.interruptUnsafe()
    }
  }

  /** No grace expires any more. */
  interrupt(): void {
    for (const { timer } of this.byEnd.values()) timer.interruptUnsafe()
  }

  private graceOf(millis: number): Grace {
    const end = this.now() + millis
    const known = this.byEnd.get(end)
    if (known !== undefined) return known
    const grace: Grace = { timer: this.fork(millis === 0 ? Effect.yieldNow : Effect.sleep(millis)), expire: new Set() }
    this.byEnd.set(end, grace)
    grace.timer.addObserver((slept) => {
      this.byEnd.delete(end)
      if (Exit.isSuccess(slept)) { for (const expired of grace.expire) expired() }
    })
    return grace
  }
}
