import { assert, describe, it } from "@effect/vitest"
import { CallError, Pool } from "../src/index.ts"
import * as NearNames from "../src/NearNames.ts"

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

  it("is told with them, before all that there are", () => {
    const tool = new CallError.ToolNotFound({ pool: "gpu", tool: "meen", executed: "no", available: ["mean", "primes"] })
    assert.include(tool.message, "has no tool \"meen\". Did you mean \"mean\"? It has mean, primes.")
    const pool = new Pool.PoolNotFound({ pool: "defualt2", available: ["gpu", "default2"] })
    assert.include(pool.message, "there is no pool \"defualt2\". Did you mean \"default2\"? There is gpu, default2.")
    assert.include(new Pool.PoolNotFound({ pool: "gpu", available: [] }).message, "There is none.")
  })
})
