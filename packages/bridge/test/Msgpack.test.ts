/** What the codec makes of values that MessagePack, or Python, has no form for. */
import { assert, describe, it } from "@effect/vitest"
import { Payload } from "@snakepit/pool"
import { Msgpack } from "../src/codec/Msgpack.ts"

const throughout = (value: unknown) => Msgpack.decode(Payload.whole(Msgpack.encode(value)))

const itself: Record<string, unknown> = {}
itself["again"] = [itself]
let deep: unknown = 1
for (let level = 0; level < 100_000; level++) deep = [deep]

describe("the codec", () => {
  it("leaves out fields that are undefined, and has null for other places that are", () => {
    assert.deepStrictEqual(throughout({ a: undefined, b: [undefined, 1], c: { d: undefined } }), { b: [null, 1], c: {} })
    assert.isNull(throughout(undefined))
  })

  it("carries maps of any size, whole numbers of 64 bits, dates, bytes, sets and what is no number", () => {
    const wide = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`field ${index}`, index]))
    assert.deepStrictEqual(throughout(wide), wide)
    const date = new Date(-1)
    const values = [2n ** 64n - 1n, -(2n ** 63n), Number.NaN, Number.NEGATIVE_INFINITY, date, new Uint8Array([1])]
    assert.deepStrictEqual(throughout(values), values)
    assert.deepStrictEqual(throughout(new Set([1, "a"])), [1, "a"])
  })

  it("refuses the rest in words, and works on", () => {
    const refused: ReadonlyArray<readonly [value: unknown, says: string]> = [
      [() => 1, "a function has no form that Python can read"],
      [{ a: [Math.max] }, "a function has no form that Python can read"],
      [new Date(Number.NaN), "an invalid Date has no form that Python can read"],
      [Symbol("s"), "symbol"],
      [2n ** 64n, "18446744073709551616 has more than 64 bits: send it as text"],
      [[-(2n ** 63n) - 1n], "-9223372036854775809 has more than 64 bits: send it as text"],
      [itself, "it is nested too deeply, or contains itself"],
      [deep, "it is nested too deeply, or contains itself"]
    ]
    for (const [value, says] of refused) {
      assert.throws(() => Msgpack.encode(value), says)
      assert.deepStrictEqual(throughout({ a: [1, "b"] }), { a: [1, "b"] })
    }
  })
})
