import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { PoolConfig } from "../src/index.ts"
import { TraceSampler } from "../src/TraceSampler.ts"

const settings = (tracing: NonNullable<PoolConfig.PoolConfigInput["tracing"]>) =>
  Schema.decodeUnknownSync(PoolConfig.PoolConfig)({ tracing }).tracing

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

describe("a sampler of traces", () => {
  it.prop(
    "takes its share of many calls, wherever it begins",
    { seed: between(-0x8000_0000, 0x7fff_ffff), ratio: Schema.Literals([0, 0.001, 0.01, 0.1, 0.5, 0.999, 1]) },
    ({ ratio, seed }) => {
      const calls = 50_000
      const tracing = settings({ ratio })
      const sampler = new TraceSampler(seed)
      let chosen = 0
      for (let call = 0; call < calls; call++) if (sampler.chooses(tracing, "a")) chosen++
      // six standard deviations of as many throws of a coin: of a thousand million seeds one would be beyond
      assert.isAtMost(Math.abs(chosen - ratio * calls), 6 * Math.sqrt(calls * ratio * (1 - ratio)))
    }
  )

  it.prop(
    "has no rhythm: of every so many calls it takes the same share",
    { seed: between(0, 0x7fff_ffff), stride: between(2, 16) },
    ({ seed, stride }) => {
      const tracing = settings({ ratio: 0.1 })
      const sampler = new TraceSampler(seed)
      const chosen = Array.from({ length: stride }, () => 0)
      const each = 5000
      for (let call = 0; call < each * stride; call++) if (sampler.chooses(tracing, "a")) chosen[call % stride]!++
      for (const count of chosen) assert.isAtMost(Math.abs(count - 0.1 * each), 6 * Math.sqrt(each * 0.09))
    }
  )

  it("is the same for the same seed, and another for another", () => {
    const tracing = settings({ ratio: 0.5 })
    const first = (seed: number) => {
      const sampler = new TraceSampler(seed)
      return Array.from({ length: 64 }, () => sampler.chooses(tracing, "a")).join()
    }
    assert.strictEqual(first(7), first(7))
    assert.notStrictEqual(first(7), first(8))
  })

  it("gives a tool the share of the first pattern that fits it, and forgets when settings change", () => {
    const sampler = new TraceSampler(1)
    const tracing = settings({ ratio: 0, tools: { "model.*": 1, "model.big": 0, "*_slow": 1 } })
    const chooses = (tool: string) => sampler.chooses(tracing, tool)
    assert.deepStrictEqual(["model.big", "modelXbig", "very_slow", "other"].map(chooses), [true, false, true, false])
    assert.isFalse(sampler.chooses(settings({ ratio: 1, tools: { "*": 0 } }), "model.big"))
    for (let tool = 0; tool < 2000; tool++) assert.isFalse(chooses(`unknown ${tool}`))
    assert.isTrue(chooses("model.big"))
  })
})
