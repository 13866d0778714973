import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { MonotonicClock } from "../src/index.ts"

const hour = 3_600_000

describe("a monotonic clock", () => {
  const made = Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const wall = { skew: 0 }
    const skewed = Object.create(clock, {
      currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + wall.skew }
    }) as Clock.Clock
    return { wall, time: new MonotonicClock.MonotonicClock(skewed) }
  })

  it.effect("begins at Unix time", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_800_000_000_000)
      const { time } = yield* made
      assert.strictEqual(time.now(), 1_800_000_000_000)
    }))

  for (const skew of [hour, -hour]) {
    it.effect(`goes on when the wall clock is set ${skew > 0 ? "forth" : "back"}, and still tells people the time`, () =>
      Effect.gen(function*() {
        const { time, wall } = yield* made
        const began = time.now()
        wall.skew = skew
        assert.strictEqual(time.now(), began)
        yield* TestClock.adjust("1500 millis")
        assert.strictEqual(time.now(), began + 1500)
        assert.strictEqual(time.wallTime, began + 1500 + skew)
      }))
  }
})
