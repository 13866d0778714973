/**
 * How the event loop of the host did within the last minute: the same for whoever asks, however often and how many do.
 *
 * ```text
 *  └── 10 s ──┴── 10 s ──┴── 10 s ──┴── 10 s ──┴── 10 s ──┴─ until now ─┘
 *     closed, as they were                                    open
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { monitorEventLoopDelay, performance } from "node:perf_hooks"

/** What was seen of it in one stretch of time; delays in seconds. */
export interface Stretch {
  /** Timers that were looked at. */
  readonly count: number
  readonly mean: number
  readonly p99: number
  readonly max: number
  /** Milliseconds in which it had something to do, and nothing. */
  readonly active: number
  readonly idle: number
}

/** What is told of the last minute. `p99` is that of its worst stretch. */
export interface Figures extends Pick<Stretch, "mean" | "p99" | "max"> {
  readonly utilization: number
}

const stretchMillis = 10_000
/** With the open one it is a minute: whoever collects as often as that misses nothing. */
const closedKept = 5

/** 20 ms: what a timer is late by is felt from there on, and fifty wake-ups a second cost nothing to speak of. */
const resolution = 20

/** The last stretches, of which the oldest goes for each new one. */
export class LastMinute {
  private readonly closed: Array<Stretch> = []

  close(stretch: Stretch): void {
    this.closed.push(stretch)
    if (this.closed.length > closedKept) this.closed.shift()
  }

  figures(open: Stretch): Figures {
    const all = [...this.closed, open]
    const sum = (of: (stretch: Stretch) => number) => all.reduce((sum, stretch) => sum + of(stretch), 0)
    const active = sum(({ active }) => active)
    return {
      mean: sum(({ count, mean }) => count * mean) / Math.max(1, sum(({ count }) => count)),
      p99: Math.max(...all.map(({ p99 }) => p99)),
      max: Math.max(...all.map(({ max }) => max)),
      utilization: active / Math.max(Number.MIN_VALUE, active + sum(({ idle }) => idle))
    }
  }
}

/** Looks at it from now on, until the scope closes. */
export const watch: Effect.Effect<() => Figures, never, Scope.Scope> = Effect.gen(function*() {
  const delay = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const delay = monitorEventLoopDelay({ resolution })
      delay.enable()
      return delay
    }),
    (delay) => Effect.sync(() => delay.disable())
  )
  const minute = new LastMinute()
  let began = performance.eventLoopUtilization()
  const open = (): Stretch => {
    const { active, idle } = performance.eventLoopUtilization(began)
    const { count } = delay
    const seconds = (nanos: number) => count === 0 ? 0 : Math.max(0, nanos / 1e9 - resolution / 1000) // it measures between timers
    return { count, mean: seconds(delay.mean), p99: seconds(delay.percentile(99)), max: seconds(delay.max), active, idle }
  }
  const close = Effect.sync(() => {
    minute.close(open())
    delay.reset()
    began = performance.eventLoopUtilization()
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(stretchMillis), close)))
  return () => minute.figures(open())
})
