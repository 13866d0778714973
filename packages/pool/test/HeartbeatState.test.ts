import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as HeartbeatState from "../src/execution/HeartbeatState.ts"

const Beat = Schema.Literals(["beat", "miss", "late"])

describe("HeartbeatState", () => {
  it.prop(
    "counts the misses since the last beat, and none of a host that was late",
    { beats: Schema.Array(Beat).check(Schema.isMaxLength(30)) },
    ({ beats }) => {
      const state = beats.reduce(HeartbeatState.transition, HeartbeatState.initial)
      const counted = beats.filter((beat) => beat !== "late")
      const expected = counted.length - (counted.lastIndexOf("beat") + 1)
      assert.strictEqual(HeartbeatState.missed(state), expected)
      assert.strictEqual(state._tag, expected === 0 ? "Beating" : "Missing")
    },
    { arbitrary: { runs: 300 } }
  )
})
