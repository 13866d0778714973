import { assert, describe, it } from "@effect/vitest"
import { Policy } from "@snakepit/telemetry"

describe("a policy in words", () => {
  it("is read and written", () => {
    const read: { readonly [text: string]: Policy.Policy } = {
      "5 in 10 seconds": { limit: { maxRestarts: 5, withinMillis: 10_000 }, delay: undefined },
      "0 in 1 minute, delay 350 millis": { limit: { maxRestarts: 0, withinMillis: 60_000 }, delay: { firstMillis: 350, capMillis: 350 } },
      "3 in 2 hours, delay 50 millis doubling to 5 seconds": {
        limit: { maxRestarts: 3, withinMillis: 7_200_000 },
        delay: { firstMillis: 50, capMillis: 5000 }
      },
      unlimited: { limit: "unlimited", delay: undefined }
    }
    for (const [text, policy] of Object.entries(read)) {
      assert.deepStrictEqual(Policy.parse(text), policy)
      assert.strictEqual(Policy.describe(Policy.parse(text)), text)
    }
  })

  it("is refused with an example when it is none", () => {
    for (
      const text of [
        "",
        "five in ten",
        "5 in 0 seconds",
        "5 in a while",
        "-1 in 5 seconds",
        "5 in 5 seconds, delay soon",
        "5 in 5 seconds;"
      ]
    ) {
      assert.throws(() => Policy.parse(text), /is no restart policy. Say how often in what time, as "5 in 10 seconds"/)
    }
  })

  it("has delays that double up to their cap", () => {
    const backoff = { lowestMillis: [80], highestMillis: [120], resetAfterMillis: 5000 }
    assert.deepStrictEqual(Policy.delaysOf(Policy.parse("unlimited, delay 50 millis doubling to 300 millis"), backoff), [50, 100, 200, 300])
    assert.deepStrictEqual(Policy.delaysOf(Policy.parse("unlimited"), backoff), [100])
  })
})
