import { assert, describe, it } from "@effect/vitest"
import { Intensity } from "@snakepit/core"
import { Schema } from "effect"

const Train = Schema.Struct({
  maxRestarts: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 })),
  withinMillis: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 })),
  gaps: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 }))).check(Schema.isMaxLength(200))
})

describe("the restart intensity", () => {
  it.prop("refuses exactly the restart that makes an interval hold more than the limit", { train: Train }, ({ train }) => {
    const window = Intensity.make(train)
    const times: Array<number> = []
    let now = 0
    for (const gap of train.gaps) {
      now += gap
      times.push(now)
      const within = times.filter((time) => now - time < train.withinMillis).length
      const verdict = Intensity.decide(window, now)
      assert.strictEqual(verdict.allowed, within <= train.maxRestarts)
      assert.strictEqual(verdict.left, Math.max(0, train.maxRestarts - within))
    }
  }, { arbitrary: { runs: 500 } })

  it("refuses the first restart when none is allowed", () => {
    assert.isFalse(Intensity.decide(Intensity.make({ maxRestarts: 0, withinMillis: 1 }), 0).allowed)
  })

  it("never refuses without a limit", () => {
    const window = Intensity.make("unlimited")
    for (let restart = 0; restart < 1000; restart++) assert.isTrue(Intensity.decide(window, 0).allowed)
    assert.strictEqual(Intensity.left(window, 0), Number.POSITIVE_INFINITY)
    assert.lengthOf(window.times, 0)
  })

  it("keeps no more than the restarts inside the window", () => {
    const window = Intensity.make({ maxRestarts: 3, withinMillis: 10 })
    for (let now = 0; now < 100_000; now += 5) Intensity.decide(window, now)
    assert.isAtMost(window.times.length, 70)
  })

  it("counts the same however many have come and gone", () => {
    const window = Intensity.make({ maxRestarts: 10, withinMillis: 1000 })
    for (let restart = 0; restart < 500; restart++) {
      assert.deepStrictEqual(Intensity.decide(window, restart * 100), { allowed: true, left: Math.max(0, 9 - restart) })
    }
  })

  it("gives the budget back when the window has passed", () => {
    const window = Intensity.make({ maxRestarts: 2, withinMillis: 10 })
    Intensity.decide(window, 0)
    assert.strictEqual(Intensity.left(window, 9), 1)
    assert.strictEqual(Intensity.left(window, 10), 2)
  })

  it("foretells when so much of the budget is free again", () => {
    const window = Intensity.make({ maxRestarts: 3, withinMillis: 10 })
    for (const now of [0, 4, 6]) Intensity.decide(window, now)
    assert.deepStrictEqual([0, 1, 2, 3, 4].map((left) => Intensity.freeAt(window, left, 6)), [6, 10, 14, 16, undefined])
    for (const [left, at] of [[1, 10], [2, 14], [3, 16]] as const) {
      assert.deepStrictEqual([Intensity.left(window, at - 1), Intensity.left(window, at)], [left - 1, left])
    }
    assert.strictEqual(Intensity.freeAt(window, 1, 12), 12)
    assert.strictEqual(Intensity.freeAt(Intensity.make("unlimited"), 1000, 6), 6)
  })

  it("copies its state in a snapshot", () => {
    const window = Intensity.make({ maxRestarts: 2, withinMillis: 10 })
    Intensity.decide(window, 0)
    const copy = Intensity.snapshot(window)
    Intensity.decide(window, 1)
    assert.strictEqual(Intensity.left(copy, 1), 1)
    assert.strictEqual(Intensity.left(window, 1), 0)
  })
})
