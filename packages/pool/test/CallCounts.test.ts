import { assert, describe, it } from "@effect/vitest"
import { CallCounts } from "../src/control/CallCounts.ts"
import { CallError, PoolMetrics } from "../src/index.ts"

const known = new Map(Array.from({ length: 200 }, (_, n) => [`tool${n}`, {}]))

describe("the counts of calls", () => {
  it("has series for a bounded number of tools that workers have announced; what callers write is in none", () => {
    const counts = new CallCounts()
    const told: Array<string> = []
    counts.onTool = (tool) => told.push(tool)
    counts.completed("math:sqrt", known, 1)
    for (const tool of known.keys()) counts.completed(tool, known, 1)
    for (let n = 0; n < 1000; n++) counts.completed(`module:function${n}`, known, 1)
    assert.strictEqual(counts.tools.size, PoolMetrics.mostTools)
    assert.deepStrictEqual(told, [...counts.tools.keys()])
    assert.strictEqual(counts.tools.get("other")!.ended.ok, 1 + 101 + 1000)
    assert.strictEqual([...counts.tools.values()].reduce((sum, { ended }) => sum + ended.ok, 0), 1201)
  })

  it("tells an error by its tag, and as the outcome that it is; only what was accepted has taken its time", () => {
    const counts = new CallCounts()
    const about = { pool: "default", tool: "tool0", executed: "no" } as const
    counts.refused("tool0", known, new CallError.QueueFull({ ...about, capacity: 1 }))
    counts.failed("tool0", known, new CallError.PoolDown({ ...about, because: "the test" }), 2000)
    counts.cancelled("tool0", known)
    const { duration, ended } = counts.tools.get("tool0")!
    assert.deepStrictEqual(ended, { ok: 0, failed: 0, refused: 2, timeout: 0, lost: 0, cancelled: 1 })
    assert.deepInclude(counts.errors, { QueueFull: 1, PoolDown: 1, PythonError: 0 })
    assert.deepInclude(duration.state, { count: 1, sum: 2 })
  })

  it("knows the quantiles of what came since a mark, and of the last 1024 when there were more", () => {
    const counts = new CallCounts()
    for (let millis = 1; millis <= 50; millis++) counts.completed("tool0", known, 9999)
    const { mark } = counts
    assert.deepStrictEqual(counts.quantiles(mark, [0.5]), [undefined])
    for (let millis = 100; millis >= 1; millis--) counts.completed("tool0", known, millis)
    assert.deepStrictEqual(counts.quantiles(mark, [0, 0.5, 0.99, 1]), [1, 50, 99, 100])
    for (let n = 0; n < 5000; n++) counts.completed("tool0", known, 7)
    assert.deepStrictEqual(counts.quantiles(mark, [0, 1]), [7, 7])
  })
})
