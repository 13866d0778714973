import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as DeadlineWheel from "../src/control/DeadlineWheel.ts"
import * as Line from "../src/control/Line.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const id = int(0, 7)

const Step = Schema.Union([
  Schema.TaggedStruct("Set", { id, in: int(-50, 400) }),
  Schema.TaggedStruct("Forever", { id }),
  Schema.TaggedStruct("Clear", { id }),
  Schema.TaggedStruct("Tick", { times: int(1, 12) }),
  /** The host was suspended. */
  Schema.TaggedStruct("Pause", { ms: int(1, 5000) })
])
type Step = typeof Step.Type
const Script = Schema.Array(Step).check(Schema.isMinLength(1), Schema.isMaxLength(40))

/** A map of deadlines, and every one that came out with the time when it did. */
const play = (script: ReadonlyArray<Step>, start: number) => {
  const wheel = DeadlineWheel.make()
  const timers = Array.from({ length: 8 }, (_, id) => DeadlineWheel.timer(id))
  const model = new Map<number, number>()
  let now = start
  const expire = (sinceLast: number) => {
    const out = DeadlineWheel.expired(wheel, now)
    assert.strictEqual(new Set(out).size, out.length, "an id came out twice")
    for (const id of out) {
      const deadline = model.get(id)
      assert.isDefined(deadline, `${id} came out and has no deadline`)
      assert.isAtMost(deadline!, now, `${id} came out early`)
      model.delete(id)
    }
    for (const [id, deadline] of model) {
      assert.isAbove(deadline, now - sinceLast, `${id} is more than one tick late`)
    }
  }
  for (const step of script) {
    switch (step._tag) {
      case "Set":
        DeadlineWheel.set(wheel, timers[step.id]!, now + step.in)
        model.set(step.id, now + step.in)
        break
      case "Forever":
        DeadlineWheel.set(wheel, timers[step.id]!, Number.POSITIVE_INFINITY)
        model.delete(step.id)
        break
      case "Clear":
        DeadlineWheel.clear(wheel, timers[step.id]!)
        model.delete(step.id)
        break
      case "Tick":
        for (let times = 0; times < step.times; times++) {
          now += DeadlineWheel.tickMillis
          expire(DeadlineWheel.tickMillis)
        }
        break
      case "Pause":
        now += step.ms
        expire(DeadlineWheel.tickMillis)
        break
    }
    assert.strictEqual(wheel.size, model.size)
    const kept = [...wheel.buckets.values()].flatMap((line) => [...Line.members(line)].map(({ id }) => id))
    assert.deepStrictEqual(kept.toSorted(), [...model.keys()].toSorted())
    assert.isTrue([...wheel.buckets.values()].every(({ length }) => length > 0), "an empty bucket is kept")
  }
}

describe("DeadlineWheel", () => {
  it.prop(
    "a deadline is met never early and at most one tick late",
    { script: Script, start: Schema.Literals([0, 3, 1_700_000_000_007]) },
    ({ script, start }) => play(script, start),
    { arbitrary: { runs: 500 } }
  )

  it("an id that is set again has the later deadline alone", () => {
    const wheel = DeadlineWheel.make()
    const timer = DeadlineWheel.timer(1)
    DeadlineWheel.set(wheel, timer, 100)
    DeadlineWheel.set(wheel, timer, 500)
    assert.deepStrictEqual(DeadlineWheel.expired(wheel, 300), [])
    assert.deepStrictEqual(DeadlineWheel.expired(wheel, 500), [1])
  })

  it("a deadline set in the past is met at the next tick", () => {
    const wheel = DeadlineWheel.make()
    DeadlineWheel.expired(wheel, 1000)
    DeadlineWheel.set(wheel, DeadlineWheel.timer(1), 400)
    assert.deepStrictEqual(DeadlineWheel.expired(wheel, 1010), [1])
  })

  it("ids come out in the order of their buckets, also after a pause", () => {
    const wheel = DeadlineWheel.make()
    DeadlineWheel.set(wheel, DeadlineWheel.timer(1), 300)
    DeadlineWheel.set(wheel, DeadlineWheel.timer(2), 100)
    DeadlineWheel.set(wheel, DeadlineWheel.timer(3), 200)
    assert.deepStrictEqual(DeadlineWheel.expired(wheel, 1_000_000), [2, 3, 1])
  })
})
