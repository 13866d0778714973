import { assert, describe, it } from "@effect/vitest"
import { Duration, Schema } from "effect"
import { ConfigShape, PoolConfig, PoolVersion } from "../src/index.ts"

const config = (input: PoolConfig.PoolConfigInput) => Schema.decodeUnknownSync(PoolConfig.PoolConfig)(input)
const start = () => PoolVersion.versions({ snapshot: 1, roll: 0, config: config({}) })

describe("a key of a pool", () => {
  it.each(ConfigShape.keys(ConfigShape.of(PoolConfig.PoolConfig)).map(([path, key]) => ({ path: ConfigShape.render(path), key })))(
    "$path says when a change of it takes effect",
    ({ key }) => assert.isDefined(key.reload.class)
  )
})

describe("the versions of a pool", () => {
  it("a worker keeps what it was started with, and follows what applies live", () => {
    const versions = start()
    const combined = PoolVersion.combiner()
    const first = versions.proven
    PoolVersion.configure(versions, 2, config({ concurrency: 4, heartbeat: { interval: "3 seconds" }, launch: { spares: 2 } }))
    const seen = combined(first, versions.current)
    assert.strictEqual(seen.concurrency, 1)
    assert.strictEqual(Duration.toMillis(seen.heartbeat.interval), 3000)
    assert.strictEqual(seen.launch.spares, 2)
    assert.strictEqual(combined(first, versions.current), seen, "it is made once for each pair of versions")
  })

  it("keys that the pool does not know are of the version that a worker was started with", () => {
    const pinned = { ...config({}), python: { adapter: "one" } }
    const current = { ...config({ callTimeout: "1 second" }), python: { adapter: "two" } }
    const seen = PoolVersion.combine(pinned, current)
    assert.deepStrictEqual(seen.python, { adapter: "one" })
    assert.strictEqual(Duration.toMillis(seen.callTimeout), 1000)
    assert.isFalse(PoolVersion.isLive(pinned, current))
  })

  it("what applies live needs no proof; what rolls waits for it, and is given up by going back", () => {
    const versions = start()
    PoolVersion.configure(versions, 2, config({ callTimeout: "1 second" }))
    assert.deepStrictEqual([versions.proven.snapshot, versions.proven.roll], [2, 0])
    PoolVersion.configure(versions, 3, config({ callTimeout: "1 second", concurrency: 2 }))
    assert.deepStrictEqual([versions.proven.snapshot, versions.current.roll], [2, 1])
    PoolVersion.configure(versions, 4, config({ callTimeout: "2 seconds", concurrency: 2 }))
    assert.deepStrictEqual([versions.proven.snapshot, versions.current.roll], [2, 1], "still the same roll")
    PoolVersion.configure(versions, 5, config({ callTimeout: "2 seconds" }))
    assert.strictEqual(versions.proven, versions.current)
    assert.deepStrictEqual([versions.current.snapshot, versions.current.roll], [5, 0])
  })

  it("a reload of the code is another roll of the same settings", () => {
    const versions = start()
    PoolVersion.reload(versions)
    assert.deepStrictEqual([versions.proven.roll, versions.current.roll], [0, 1])
    PoolVersion.configure(versions, 2, config({ size: 3 }))
    assert.strictEqual(versions.current.roll, 1, "a change that applies live does not call the reload off")
  })
})
