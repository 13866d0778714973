import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { ConfigLayer, ConfigPlan, ConfigShape, PoolVersion } from "../src/index.ts"
import { base, Part, shape, TestConfig } from "./ConfigModel.ts"

const decode = Schema.decodeUnknownSync(TestConfig)
const Parts = Schema.Array(Part).check(Schema.isMaxLength(5))
const layered = (parts: ReadonlyArray<unknown>) => [ConfigLayer.code(base), ...parts.map((part) => ConfigLayer.patch(part))]

describe("layers", () => {
  it.prop("of each key the last that says it holds, and provenance names it", { parts: Parts }, ({ parts }) => {
    const named = parts.map((value, index): ConfigLayer.ConfigLayer => ({
      value,
      sourceOf: () => ({ _tag: "File", file: String(index), line: undefined })
    }))
    const layers = [ConfigLayer.code(base), ...named]
    const config = decode(ConfigLayer.merge(layers))
    const provenance = ConfigLayer.provenance(shape, layers, config)
    for (const [path, , value] of ConfigShape.values(shape, config)) {
      const key = ConfigShape.render(path)
      const source = provenance.get(key)!
      const said = layers.filter((layer) => ConfigLayer.valueAt(layer.value, path) !== undefined)
      if (source._tag === "Default") {
        assert.strictEqual(said.length, 0, key)
        assert.isTrue(ConfigShape.isSame(value, ConfigLayer.valueAt(decode(base), path)), `${key} is not the default`)
        continue
      }
      const last = said.at(-1)!
      assert.deepStrictEqual(last.sourceOf(path), source, key)
      const alone = decode(ConfigLayer.merge([ConfigLayer.code(base), last]))
      assert.isTrue(ConfigShape.isSame(value, ConfigLayer.valueAt(alone, path)), `${key} is not what ${source._tag} says`)
    }
  })

  it.prop("merge alike however they are taken together", { one: Part, two: Part, three: Part }, ({ one, three, two }) => {
    const merge = (...values: ReadonlyArray<unknown>) => ConfigLayer.merge(values.map(ConfigLayer.code))
    assert.deepStrictEqual(merge(merge(one, two), three), merge(one, merge(two, three)))
    assert.deepStrictEqual(merge(one, one), merge(one))
    assert.deepStrictEqual(merge(one, {}), merge(one))
  })

  it("null of a patch takes back what patches have said, of a key and of a section", () => {
    const before = { pools: { a: { size: 3, queue: { capacity: 1, perTenant: 2 } } } }
    assert.deepStrictEqual(ConfigLayer.patched(before, { pools: { a: { size: null } } }), {
      pools: { a: { queue: { capacity: 1, perTenant: 2 } } }
    })
    assert.deepStrictEqual(ConfigLayer.patched(before, { pools: { a: { queue: null } } }), { pools: { a: { size: 3 } } })
    assert.deepStrictEqual(ConfigLayer.patched(before, { pools: null }), {})
  })

  it("a key named __proto__ is a key like any other", () => {
    const merged = ConfigLayer.merge([ConfigLayer.code(base), ConfigLayer.code(JSON.parse(`{ "__proto__": { "size": 1 } }`))])
    assert.include(Object.keys(merged as object), "__proto__")
    assert.isUndefined(Reflect.get({}, "size"))
  })
})

describe("a path in words", () => {
  it.prop("is read as it was written", { path: Schema.Array(Schema.NonEmptyString).check(Schema.isMaxLength(4)) }, ({ path }) => {
    assert.deepStrictEqual(ConfigShape.parse(ConfigShape.render(path)), path)
  })
})

describe("a plan", () => {
  const sideOf = (parts: ReadonlyArray<unknown>) => {
    const layers = layered(parts)
    const config = decode(ConfigLayer.merge(layers))
    return { config, provenance: ConfigLayer.provenance(shape, layers, config) }
  }

  it.prop(
    "is empty for what is the same, and names each key that differs with what it comes to",
    { from: Parts, to: Parts },
    ({ from, to }) => {
      const [one, other] = [sideOf(from), sideOf(to)]
      assert.isTrue(ConfigPlan.isEmpty(ConfigPlan.of(shape, one, one)))
      const plan = ConfigPlan.of(shape, one, other)
      assert.strictEqual(ConfigPlan.isEmpty(plan), ConfigShape.isSame(one.config, other.config))
      for (const { from, key, to } of plan.changes) {
        const values = [one, other].map(({ config }) => ConfigLayer.valueAt(config, ConfigShape.parse(key)))
        assert.isFalse(ConfigShape.isSame(values[0], values[1]), key)
        if (key.includes(".env")) continue
        assert.deepStrictEqual([from, to], values.map((value) => value === undefined ? undefined : ConfigPlan.render(value)))
      }
      assert.notInclude(JSON.stringify(plan) + ConfigPlan.describe(plan), "secret-")
      const rolls = plan.pools.some((change) => change._tag === "Changes" && change.rolls > 0)
      assert.strictEqual(
        rolls,
        !PoolVersion.isLive(one.config.pools["a"]!, other.config.pools["a"]!),
        "it rolls what a worker is not to go on with"
      )
    }
  )

  it("is told in one line", () => {
    const pool = { python: { adapter: "tools" } }
    const from = { pools: { a: { ...pool, size: 4 }, b: pool, d: pool }, address: "here" }
    const to = {
      pools: {
        a: { ...pool, size: 4, callTimeout: "1 second", heartbeat: { maxMissed: 3 }, concurrency: 2 },
        b: { ...pool, size: 6, launch: { spares: 1 } },
        c: pool
      },
      address: "there"
    }
    const side = (input: unknown) => ({ config: decode(input), provenance: new Map() })
    assert.strictEqual(
      ConfigPlan.describe(ConfigPlan.of(shape, side(from), side(to))),
      "3 keys live; pool a rolls 4 workers; pool b grows from 2 to 6 workers; pool d ends; pool c starts with 2 workers; " +
        "1 key waits for the next start of the program: address"
    )
    assert.strictEqual(ConfigPlan.describe(ConfigPlan.of(shape, side(from), side(from))), "nothing changes")
  })
})
