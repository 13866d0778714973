import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as HeartbeatState from "../src/execution/HeartbeatState.ts"

const play = (events: ReadonlyArray<"beat" | "miss">, maxMissed: number): HeartbeatState.HeartbeatState =>
  events.reduce<HeartbeatState.HeartbeatState>(
    (state, event) => HeartbeatState.transition(state, event, maxMissed),
    HeartbeatState.initial
  )

/** The longest run of misses. */
const longest = (events: ReadonlyArray<"beat" | "miss">): number =>
  Math.max(0, ...events.join(" ").split("beat").map((run) => run.split("miss").length - 1))

describe("HeartbeatState", () => {
  it.prop(
    "a worker is lost exactly when it missed maxMissed beats in a row",
    {
      events: Schema.Array(Schema.Literals(["beat", "miss"])).check(Schema.isMaxLength(30)),
      maxMissed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 }))
    },
    ({ events, maxMissed }) => {
      const state = play(events, maxMissed)
      assert.strictEqual(state._tag === "Lost", longest(events) >= maxMissed)
      if (state._tag === "Missing") {
        assert.isAtLeast(state.missed, 1)
        assert.isBelow(state.missed, maxMissed)
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it("one answer forgives all misses before it", () => {
    assert.deepStrictEqual(play(["miss", "miss", "beat"], 3), { _tag: "Beating" })
    assert.deepStrictEqual(play(["miss", "miss", "beat", "miss", "miss"], 3), { _tag: "Missing", missed: 2 })
  })

  it("a threshold of one makes the first miss the last", () => {
    assert.deepStrictEqual(play(["miss"], 1), { _tag: "Lost", missed: 1 })
  })

  it("a lost worker stays lost", () => {
    assert.deepStrictEqual(play(["miss", "miss", "beat", "beat"], 2), { _tag: "Lost", missed: 2 })
  })
})
