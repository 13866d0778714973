/** Arguments and results that cannot be carried, or are not what was expected: each is a typed error that says what, where and what to do. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { type CallError, Pool, Snakepit, Tool } from "snakepit"
import { config } from "./fixtures/Program.ts"

interface Tree {
  readonly leaves?: ReadonlyArray<Tree>
}
const Tree: Schema.Codec<Tree> = Schema.Struct({
  leaves: Schema.optionalKey(Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)))
})

/** Says nothing that Python would not have to check. */
class Loose extends RpcGroup.make(
  Rpc.make("echo", { payload: { value: Schema.Unknown }, success: Schema.Unknown }),
  Rpc.make("typed", { payload: Schema.Record(Schema.String, Schema.Unknown), success: Schema.String }),
  Rpc.make("total", { payload: { values: Tool.InputStream(Schema.Unknown) }, success: Schema.Int }),
  Rpc.make("give", { payload: { kind: Schema.String }, success: Schema.Unknown }),
  Rpc.make("give_each", { payload: { kind: Schema.String }, success: Schema.Unknown, stream: true })
) {}

/** The same tools, with the types that they have. */
class Strict extends RpcGroup.make(
  Rpc.make("echo", { payload: { value: Tree }, success: Tree }),
  Rpc.make("typed", {
    payload: { count: Schema.Int, names: Schema.Array(Schema.String), point: Schema.Struct({ x: Schema.Int }) },
    success: Schema.String
  }),
  Rpc.make("give", { payload: { kind: Schema.String }, success: Schema.Int })
) {}

const itself: Record<string, unknown> = {}
itself["leaves"] = [itself]

const deep = (levels: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < levels; level++) value = [value]
  return value
}

const fits = { count: 1, names: ["a"], point: { x: 1 } }

describe("a call of a real worker", () => {
  layer(Snakepit.layer(config({ adapter: "odd" }, { size: 1 })), { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    /** A refusal before the tool ran, in these words; and the worker goes on. */
    const refused = Effect.fnUntraced(function*(call: Effect.Effect<unknown, CallError.CallError>, ...says: ReadonlyArray<string>) {
      const error = yield* Effect.flip(call)
      assert.strictEqual(error._tag, "InvalidPayload", error.message)
      assert.strictEqual(error.executed, "no")
      for (const text of [...says, "The tool did not run: correct the call"]) assert.include(error.message, text)
    })

    it.effect("whose arguments cannot be sent says which, and why", () =>
      Effect.gen(function*() {
        const { echo } = yield* Pool.client(Loose)
        yield* refused(echo({ value: () => 1 }), "argument \"value\" cannot be sent: a function has no form that Python can read")
        yield* refused(echo({ value: [Symbol("s")] }), "argument \"value\" cannot be sent", "symbol")
        yield* refused(echo({ value: { at: new Date(Number.NaN) } }), "argument \"value\" cannot be sent: an invalid Date")
        yield* refused(
          echo({ value: 2n ** 64n }),
          "argument \"value\" cannot be sent: 18446744073709551616 has more than 64 bits: send it as text"
        )
        yield* refused(echo({ value: itself }), "argument \"value\" cannot be sent: it is nested too deeply, or contains itself")
        yield* refused(echo({ value: deep(100_000) }), "argument \"value\" cannot be sent: it is nested too deeply, or contains itself")
        yield* refused(echo({ value: deep(1100) }), "tool 'echo': one of the arguments is nested too deeply, or contains itself")
        yield* refused(
          echo({ value: ["\ud800"] }),
          "tool 'echo', parameter 'value': a text in it is no Unicode, as with half of a surrogate pair"
        )
        assert.strictEqual(yield* echo({ value: 1 }), 1)
      }))

    it.effect("carries what MessagePack has a form for, and leaves out fields that are undefined", () =>
      Effect.gen(function*() {
        const { echo, typed } = yield* Pool.client(Loose)
        const date = new Date(1)
        const values = { nan: Number.NaN, big: 2n ** 64n - 1n, date, set: new Set([1]), gone: undefined, list: [undefined] }
        const { gone: _, ...kept } = { ...values, set: [1], list: [null] }
        assert.deepStrictEqual(yield* echo({ value: values }), kept)
        assert.strictEqual(yield* typed({ ...fits, note: undefined }), "1 ['a'] Point(x=1, y=7) none")
        assert.strictEqual(yield* typed({ ...fits, point: { x: 1, y: undefined } }), "1 ['a'] Point(x=1, y=7) none")
        assert.deepStrictEqual(yield* echo({ value: deep(500) }), deep(500))
      }))

    it.effect("whose arguments are not what Python expects says which, and what was expected", () =>
      Effect.gen(function*() {
        const { typed } = yield* Pool.client(Loose)
        const { count: _, ...without } = fits
        yield* refused(typed(without), "tool 'typed': missing count; it takes (count, names, point, note)")
        yield* refused(typed({}), "missing count, names, point")
        yield* refused(typed({ ...fits, conut: 1 }), "tool 'typed': unknown conut; it takes (count, names, point, note)")
        yield* refused(typed({ ...without, conut: 1 }), "missing count; unknown conut")
        yield* refused(typed({ ...fits, count: "1" }), "tool 'typed', parameter 'count': Expected `int`, got `str`")
        yield* refused(typed({ ...fits, count: 1.5 }), "parameter 'count': Expected `int`, got `float`")
        yield* refused(typed({ ...fits, count: Number.NaN }), "parameter 'count': Expected `int`, got `float`")
        yield* refused(typed({ ...fits, count: null }), "parameter 'count': Expected `int`, got `null`")
        yield* refused(typed({ ...fits, count: new Date() }), "parameter 'count': Expected `int`, got `datetime`")
        yield* refused(typed({ ...fits, names: ["a", 2] }), "parameter 'names': Expected `str`, got `int` - at `$[1]`")
        yield* refused(typed({ ...fits, names: "a" }), "parameter 'names': Expected `array`, got `str`")
        yield* refused(typed({ ...fits, point: {} }), "parameter 'point': Object missing required field `x`")
        yield* refused(typed({ ...fits, point: { x: "1" } }), "parameter 'point': Expected `int`, got `str` - at `$.x`")
      }))

    it.effect("whose arguments are not what its contract says is told so by the contract, and nothing overflows", () =>
      Effect.gen(function*() {
        const strict = yield* Pool.client(Strict)
        const typed = (payload: unknown) => strict.typed(payload as typeof fits)
        const { count: _, ...without } = fits
        yield* refused(typed(without), `["count"]`)
        yield* refused(typed({ ...fits, count: 1.5 }), "Expected an integer", `["count"]`)
        yield* refused(typed({ ...fits, names: ["a", 2] }), `["names"][1]`, "string")
        yield* refused(typed({ ...fits, point: { x: "1" } }), `["point"]["x"]`)
        yield* refused(strict.echo({ value: itself as Tree }), "contain")
      }))

    it.effect("with an input that cannot be sent, or is not what Python expects, fails with its position", () =>
      Effect.gen(function*() {
        const { total } = yield* Pool.client(Loose)
        const error = yield* Effect.flip(total({ values: Stream.make(1, () => 2) }))
        assert(error._tag === "InvalidInput", error.message)
        assert.include(error.message, "element 1 of the inputs of \"total\" cannot be sent: a function has no form")
        const other = yield* Effect.flip(total({ values: Stream.make(1, "2") }))
        assert(other._tag === "PythonError", other.message)
        assert.include(other.message, "Expected `int`, got `str`")
      }))

    it.effect("whose result cannot be carried says what it was, and what can be", () =>
      Effect.gen(function*() {
        const { give, give_each } = yield* Pool.client(Loose)
        assert.deepStrictEqual(yield* give({ kind: "set" }), [1])
        assert.deepStrictEqual(yield* give({ kind: "nan" }), Number.NaN)
        assert.deepStrictEqual(yield* give({ kind: "whole" }), 2n ** 64n - 1n)
        const says = {
          object: "returned a object, which MessagePack cannot carry",
          function: "returned a function, which",
          generator: "returned a generator, which",
          complex: "returned a complex, which",
          buried: "returned a Exception, which",
          huge: "returned what MessagePack cannot carry: an int in it has more than 64 bits; return that as text",
          negative: "an int in it has more than 64 bits",
          surrogate: "a text in it is no Unicode, as with half of a surrogate pair",
          itself: "it is nested too deeply, or contains itself",
          deep: "it is nested too deeply, or contains itself"
        }
        for (const [kind, text] of Object.entries(says)) {
          const errors = [
            [yield* Effect.flip(give({ kind })), "give"],
            [yield* Effect.flip(Stream.runDrain(give_each({ kind }))), "give_each"]
          ] as const
          for (const [error, tool] of errors) {
            assert(error._tag === "PythonError", `${kind}: ${error.message}`)
            assert.deepStrictEqual([error.executed, error.exception.type], ["failed", "TypeError"])
            assert.include(error.message, `tool '${tool}' returned`)
            assert.include(error.message, text)
            assert.include(error.message, "convert it to one of: None, bool, int")
          }
        }
        assert.deepStrictEqual(yield* give({ kind: "set" }), [1])
      }))

    it.effect("whose result is not what its contract says is told so", () =>
      Effect.gen(function*() {
        const { give } = yield* Pool.client(Strict)
        for (const kind of ["set", "nan", "whole"]) {
          const error = yield* Effect.flip(give({ kind }))
          assert(error._tag === "InvalidResult", error.message)
          assert.include(error.message, "what \"give\" returned does not fit its contract: Expected")
          assert.include(error.message, "Correct the contract or the tool")
        }
      }))
  })
})
