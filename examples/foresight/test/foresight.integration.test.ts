/** The example as its reader runs it, and what it shows. */
import { assert, describe, it } from "@effect/vitest"
import { Lint, Simulation } from "@snakepit/core"
import { Invariants } from "@snakepit/core/testing"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Shop from "../src/Shop.ts"
import * as Storm from "../src/Storm.ts"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

describe("the shop", () => {
  it("is printed with its preview, its findings and its storm, and does as foretold", () => {
    const { status, stderr, stdout } = spawnSync(process.execPath, ["--conditions=source", main], { encoding: "utf8", timeout: 30_000 })
    assert.strictEqual(status, 0, `${stdout}${stderr}`)
    assert.match(stdout, /primary {2}permanent · 24 starts, then shop gives up after 6550 ms/)
    assert.lengthOf(stdout.match(/\(as foretold\)/g) ?? [], 2)
  })

  it("has findings as it was first written, and none when it is mended", () => {
    const rules = (limits: Shop.Limits) => Lint.of(Shop.make(limits), { stopWithin: "30 seconds" }).map(({ rule }) => rule)
    assert.deepStrictEqual(rules(Shop.first), ["budget_never_spent", "slow_stop_drains_window", "stop_takes_too_long"])
    assert.deepStrictEqual(rules(Shop.mended), [])
  })

  it("survives the storm by every law, with its last restart", () => {
    const shop = Shop.make(Shop.mended)
    const timeline = Simulation.simulate(shop, Storm.storm)
    assert.deepStrictEqual(Invariants.check(shop, timeline), [])
    assert.strictEqual(timeline.tree?.budgetLeft, 0)
  })
})
