import { assert, describe, it } from "@effect/vitest"
import { NearNames } from "@snakepit/core"

describe("a name that is not there", () => {
  it("brings up those that may have been meant, the nearest first", () => {
    const names = ["mean", "median", "means", "primes", "Embed", "embed_all"]
    assert.strictEqual(NearNames.hint("maen", names), " Did you mean \"mean\"?")
    assert.strictEqual(NearNames.hint("mea", names), " Did you mean \"mean\"?")
    assert.strictEqual(NearNames.hint("meens", names), " Did you mean \"means\" or \"mean\"?")
    assert.strictEqual(NearNames.hint("medians", names), " Did you mean \"median\" or \"means\"?")
    assert.strictEqual(NearNames.hint("embed", names), " Did you mean \"Embed\"?")
    assert.strictEqual(NearNames.hint("train", names), "")
    assert.strictEqual(NearNames.hint("", names), "")
    assert.strictEqual(NearNames.hint("x".repeat(100_000), ["x".repeat(100_000)]), "", "at no cost")
  })
})
