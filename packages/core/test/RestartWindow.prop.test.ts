import { assert, describe, it } from "@effect/vitest"
import { Intensity, Simulation } from "@snakepit/core"
import { TreePlan } from "@snakepit/core/testing"
import { Schema } from "effect"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Crashes with the gaps between them; many gaps are near a whole part of the window, where a bound could be off by one. */
const Train = Schema.Struct({
  maxRestarts: between(0, 5),
  withinMillis: between(1, 60),
  gaps: Schema.Array(Schema.Struct({ near: between(0, 6), off: between(-1, 1), free: between(0, 30) })).check(Schema.isMaxLength(40))
})
type Train = typeof Train.Type

const timesOf = ({ gaps, maxRestarts, withinMillis }: Train): ReadonlyArray<number> => {
  let now = 0
  return gaps.map(({ free, near, off }) =>
    now += near === 0 ? free : Math.max(0, Math.floor((withinMillis * near) / (maxRestarts + 1)) + off)
  )
}

/** The definition, for every interval `[t, t + within)` that begins at a restart. */
const mostWithin = (times: ReadonlyArray<number>, withinMillis: number): number =>
  Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + withinMillis).length))

/** The first crash that cannot be granted, by the definition. */
const lastStraw = (train: Train): number | undefined => {
  const granted: Array<number> = []
  for (const at of timesOf(train)) {
    granted.push(at)
    if (mostWithin(granted, train.withinMillis) > train.maxRestarts) return granted.length - 1
  }
  return undefined
}

const check = { arbitrary: { runs: 400, size: 60 } }

describe("the restart window, under generated crash trains", () => {
  it.prop("decides as the definition does, to the millisecond", { train: Train }, ({ train }) => {
    const window = Intensity.make(train)
    const straw = lastStraw(train)
    for (const [index, at] of timesOf(train).entries()) {
      const verdict = Intensity.decide(window, at)
      assert.strictEqual(verdict.allowed, index !== straw)
      if (index === straw) break
    }
  }, check)

  it.prop("makes a supervisor grant and give up at the very millisecond", { train: Train }, ({ train }) => {
    const times = timesOf(train)
    const straw = lastStraw(train)
    const tree: TreePlan.SupervisorPlan = {
      id: "app",
      strategy: "one_for_one",
      autoShutdown: "never",
      limit: train,
      delay: 0,
      restart: "permanent",
      shutdown: "infinity",
      children: [{ id: "a", restart: "permanent", significant: false, shutdown: 5000, startMillis: 0, stopMillis: 0 }]
    }
    const script = times.flatMap((at, index): ReadonlyArray<TreePlan.Line> => [
      Simulation.Line.Wait({ millis: at - (times[index - 1] ?? 0) }),
      Simulation.Line.Exit({ path: "app/a", how: "failed" })
    ])
    const { entries, outcome } = TreePlan.simulate({ tree, script })
    const told = (verb: string) => entries.flatMap((entry) => entry._tag === "Event" && entry.event.name.endsWith(verb) ? [entry.at] : [])
    assert.isAtMost(mostWithin(told(".restart"), train.withinMillis), train.maxRestarts)
    assert.deepStrictEqual(told(".restart"), times.slice(0, straw))
    assert.deepStrictEqual(told(".give_up"), straw === undefined ? [] : [times[straw]])
    assert.strictEqual(outcome._tag, straw === undefined ? "Running" : "Failed")
  }, check)
})
