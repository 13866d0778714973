/** Choices come from the seed alone, and times are told as they were measured. */
import { assert, describe, it } from "@effect/vitest"
import * as Chance from "./Chance.ts"
import * as Spread from "./Spread.ts"

const drawn = (seed: number) => {
  const chance = Chance.make(seed)
  return Array.from({ length: 50 }, () => chance.between(0, 9))
}

describe("a seed", () => {
  it("gives the same choices again, and another seed others", () => {
    assert.deepStrictEqual(drawn(7), drawn(7))
    assert.notDeepEqual(drawn(7), drawn(8))
  })

  it("gives every value between the bounds, and none beyond", () => {
    const all = new Set(Array.from({ length: 20 }, (_, seed) => drawn(seed)).flat())
    assert.deepStrictEqual([...all].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it("shuffles without loss", () => {
    const values = [1, 2, 3, 4, 5, 6, 7, 8]
    const orders = Array.from({ length: 20 }, (_, seed) => Chance.make(seed).shuffled(values))
    for (const order of orders) assert.deepStrictEqual([...order].sort(), values)
    assert.isAbove(new Set(orders.map(String)).size, 15)
  })
})

describe("percentiles", () => {
  it("are times that were measured", () => {
    const millis = Array.from({ length: 100 }, (_, index) => 100 - index)
    assert.deepStrictEqual(Spread.of(millis), { p50: 50, p99: 99, max: 100 })
    assert.deepStrictEqual(Spread.of([3.1234]), { p50: 3.1, p99: 3.1, max: 3.1 })
    assert.isUndefined(Spread.of([]))
  })
})
