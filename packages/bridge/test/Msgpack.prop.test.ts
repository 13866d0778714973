/** Values as MessagePack: what is read is what was written, whatever lies where. */
import { assert, describe, it } from "@effect/vitest"
import { NdArray, Payload } from "@snakepit/pool"
import { Schema } from "effect"
import { largeBytes, Msgpack } from "../src/codec/Msgpack.ts"

const there = (value: unknown): unknown => Msgpack.decode(Buffer.from(Payload.whole(Msgpack.encode(value))))

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const seed = int(0, 0xffff_ffff)

/** The same bytes for the same seed. */
const bytes = (length: number, seed: number): Uint8Array => Uint8Array.from({ length }, (_, index) => seed >>> index % 24 ^ index)

const dtypes = [
  ...["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"],
  ...["float16", "float32", "float64", "complex64", "complex128", "datetime64[ns]", "datetime64", "timedelta64[25s]"]
]
const Array_ = Schema.Struct({ dtype: Schema.Literals(dtypes), shape: Schema.Array(int(0, 4)).check(Schema.isMaxLength(4)), seed })

const arrayOf = ({ dtype, seed, shape }: typeof Array_.Type): NdArray.NdArray =>
  NdArray.fromBytes(dtype, shape, bytes(NdArray.sizeOf(dtype, shape)!, seed))

/** NaN has many forms: arrays are compared by their bytes. */
const plain = (value: unknown): unknown => {
  if (value instanceof NdArray.NdArray) {
    return { ...value, data: [value.data.constructor.name, Buffer.from(NdArray.bytesOf(value)).toString("hex")] }
  }
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex")
  if (Array.isArray(value)) return value.map(plain)
  return typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
    : value
}

describe("MessagePack", () => {
  it.prop("brings plain values back", { value: Schema.Json }, ({ value }) => {
    // half a character, which a contract refuses, and a name that msgpackr keeps from becoming a prototype
    if (/\\ud[89a-f]|__proto__/.test(JSON.stringify(value))) return
    const back = there({ value, bytes: Uint8Array.of(1) })
    assert.deepStrictEqual(JSON.stringify(back), JSON.stringify({ value, bytes: Buffer.of(1) }))
  }, { arbitrary: { runs: 500 } })

  it.prop("brings arrays back, wherever they lie", { array: Array_, before: int(0, 20) }, ({ array, before }) => {
    const value = [{ deep: arrayOf(array) }, "x".repeat(before), arrayOf(array)]
    assert.deepStrictEqual(plain(there(value)), plain(value))
    assert.deepStrictEqual(plain(there(arrayOf(array))), plain(arrayOf(array)))
  }, { arbitrary: { runs: 500 } })

  it.prop(
    "does not copy what is large, and puts its elements at a multiple of 64 bytes",
    { dtype: Schema.Literals(dtypes), before: int(0, 100), extra: int(0, 8), seed },
    ({ before, dtype, extra, seed }) => {
      const size = NdArray.sizeOf(dtype, [1])!
      const array = NdArray.fromBytes(dtype, [largeBytes / size + extra], bytes(largeBytes + extra * size, seed))
      const data = bytes(largeBytes + extra, seed)
      const value = { small: "x".repeat(before), array, data, more: [seed] }
      const payload = Msgpack.encode(value)
      assert.instanceOf(payload, Payload.Pieces)
      const { parts } = payload as Payload.Pieces
      const at = (buffer: ArrayBufferLike) => parts.findIndex((part) => part.buffer === buffer)
      assert.isAbove(at(data.buffer), 0)
      const before64 = parts.slice(0, at(array.data.buffer)).reduce((sum, part) => sum + part.byteLength, 0)
      assert.strictEqual(before64 % 64, 0)
      assert.strictEqual(parts.reduce((sum, part) => sum + part.byteLength, 0), payload.byteLength)
      assert.deepStrictEqual(plain(there(value)), plain(value))
      assert.deepStrictEqual(plain(there(array)), plain(array))
      assert.deepStrictEqual(plain(there(data)), plain(data))
    },
    { arbitrary: { runs: 100 } }
  )

  it("keeps an object of more than 65,535 keys with something large in it", () => {
    const value = { ...Object.fromEntries(Array.from({ length: 70_000 }, (_, key) => [`k${key}`, key])), data: bytes(largeBytes, 1) }
    assert.deepStrictEqual(plain(there(value)), plain(value))
  })

  it.prop(
    "refuses a damaged array, or reads it within its bytes",
    { array: Array_, seed, where: Schema.Finite },
    ({ array, seed, where }) => {
      const whole = Buffer.from(Payload.whole(Msgpack.encode([arrayOf(array)])))
      const at = Math.abs(Math.trunc(where)) % whole.length
      const damaged = Buffer.from(whole)
      damaged[at] = seed & 0xff
      for (const message of [damaged, whole.subarray(0, at)]) {
        try {
          const back = Msgpack.decode(message)
          const found = Array.isArray(back) ? back[0] : undefined
          if (found instanceof NdArray.NdArray) assert.isAtMost(found.data.byteLength, whole.length)
        } catch (error) {
          assert.instanceOf(error, Error)
        }
      }
    },
    { arbitrary: { runs: 2000 } }
  )
})

describe("an array", () => {
  it("says what does not fit", () => {
    const says = (make: () => unknown, expected: string) => assert.throws(make, expected)
    says(
      () => NdArray.make("float64", [2, 2], Float64Array.of(1, 2, 3)),
      "an array of float64 with shape [2, 2] has 4 numbers, and its data 3"
    )
    says(() => NdArray.make("float64", [-1, -1], Float64Array.of(1)), "shape [-1, -1]")
    says(() => NdArray.make("int64", [1], Float64Array.of(1) as never), "the data of an array of int64 is a BigInt64Array")
    says(() => NdArray.make("object" as never, [], Float64Array.of(1) as never), "no array of dtype object can be sent")
    says(() => NdArray.make("toString" as never, [], Float64Array.of(1) as never), "no array of dtype toString can be sent")
  })

  it("is checked by the schema of its type", () => {
    const is = Schema.is(NdArray.schemaOf("bool"))
    assert.isTrue(is(NdArray.make("bool", [], Uint8Array.of(1))))
    assert.isFalse(is(NdArray.make("uint8", [], Uint8Array.of(1))))
    assert.isFalse(is([true]))
    assert.isTrue(Schema.is(NdArray.schema)(NdArray.make("uint8", [], Uint8Array.of(1))))
  })

  it("as lists is as deep as it has dimensions", () => {
    assert.deepStrictEqual(NdArray.toLists(NdArray.make("bool", [2, 1], Uint8Array.of(1, 0))), [[true], [false]])
    assert.deepStrictEqual(NdArray.toLists(NdArray.make("int64", [], BigInt64Array.of(-3n))), -3n)
    assert.deepStrictEqual(NdArray.toLists(NdArray.make("complex64", [1], Float32Array.of(1, 2))), [[1, 2]])
    assert.deepStrictEqual(NdArray.toLists(NdArray.make("float64", [2, 0], new Float64Array())), [[], []])
  })
})
