import { assert, describe, it } from "@effect/vitest"
import { CallError, Pool } from "../src/index.ts"

describe("a name that is not there", () => {
  it("is told with those that may have been meant, before all that there are", () => {
    const tool = new CallError.ToolNotFound({ pool: "gpu", tool: "meen", executed: "no", available: ["mean", "primes"] })
    assert.include(tool.message, "has no tool \"meen\". Did you mean \"mean\"? It has mean, primes.")
    const pool = new Pool.PoolNotFound({ pool: "defualt2", available: ["gpu", "default2"] })
    assert.include(pool.message, "there is no pool \"defualt2\". Did you mean \"default2\"? There is gpu, default2.")
    assert.include(new Pool.PoolNotFound({ pool: "gpu", available: [] }).message, "There is none.")
  })
})
