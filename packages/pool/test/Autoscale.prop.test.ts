import { assert, describe, it } from "@effect/vitest"
import { Duration, Schema } from "effect"
import * as Autoscale from "../src/control/Autoscale.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Settings = Schema.Struct({
  min: int(1, 4),
  more: int(0, 8),
  targetMillis: int(1, 500),
  cooldownMillis: int(1, 10_000)
})
const Looks = Schema.Array(Schema.Struct({ after: int(1, 2000), delayMillis: int(0, 1000), busyShare: int(0, 100) }))
const Size = int(1, 16)

const settingsOf = ({ cooldownMillis, min, more, targetMillis }: typeof Settings.Type) => ({
  min,
  max: min + more,
  targetDelay: Duration.millis(targetMillis),
  cooldown: Duration.millis(cooldownMillis)
})

/** The sizes that follow from looks, each with its time. */
const sizesOf = (
  start: number,
  settings: ReturnType<typeof settingsOf>,
  looks: Iterable<{ readonly after: number; readonly delayMillis: number; readonly busyShare: number }>
) => {
  let state = Autoscale.initial
  let size = start
  let now = 0
  const sizes: Array<{ readonly at: number; readonly size: number; readonly was: number }> = []
  for (const { after, busyShare, delayMillis } of looks) {
    now += after
    const was = size
    const decided = Autoscale.decide(state, { size, delayMillis, busy: (busyShare * size) / 100 }, settings, now)
    state = decided.state
    size = decided.size
    sizes.push({ at: now, size, was })
  }
  return sizes
}

describe("autoscale", () => {
  it.prop(
    "stays within its bounds, and changes one by one, never twice within its cool-down",
    [Settings, Size, Looks],
    ([given, start, looks]) => {
      const settings = settingsOf(given)
      const sizes = sizesOf(start, settings, looks)
      let last: number | undefined
      for (const [index, { at, size, was }] of sizes.entries()) {
        assert.isAtLeast(size, settings.min)
        assert.isAtMost(size, settings.max)
        if (size === was) continue
        if (index > 0) assert.strictEqual(Math.abs(size - was), 1) // the first may bring a size into the bounds
        if (last !== undefined) assert.isAtLeast(at - last, given.cooldownMillis)
        last = at
      }
    }
  )

  it.prop("has all it may under a delay that stays, and the least it may when nothing runs", [Settings, Size], ([given, start]) => {
    const settings = settingsOf(given)
    const looks = (delayMillis: number) =>
      Array.from({ length: 20 }, () => ({ after: given.cooldownMillis, delayMillis, busyShare: delayMillis > 0 ? 100 : 0 }))
    assert.strictEqual(sizesOf(start, settings, looks(given.targetMillis + 1)).at(-1)?.size, settings.max)
    assert.strictEqual(sizesOf(start, settings, looks(0)).at(-1)?.size, settings.min)
  })

  it.prop("comes to rest under a load that stays the same, whatever it is", [Settings, Size, int(0, 200)], ([given, start, load]) => {
    const settings = settingsOf(given)
    let state = Autoscale.initial
    let size = start
    let changes = 0
    for (let look = 1; look <= 200; look++) {
      const work = load / 20 // workers' worth
      const delayMillis = work > size ? given.targetMillis * 2 : 0
      const decided = Autoscale.decide(state, { size, delayMillis, busy: Math.min(work, size) }, settings, look * given.cooldownMillis)
      if (look > 50 && decided.size !== size) changes++
      state = decided.state
      size = decided.size
    }
    assert.strictEqual(changes, 0)
  })
})
