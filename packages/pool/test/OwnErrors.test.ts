import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Tool } from "../src/index.ts"
import { ScriptedTool } from "../src/testing/index.ts"
import { openTools } from "./OpenTools.ts"

class NotFitted extends Schema.TaggedError<NotFitted>()("NotFitted", { message: Schema.String, worker: Schema.String }) {}
class Diverged extends Schema.TaggedError<Diverged>()("Diverged", { notes: Schema.Array(Schema.String), traceback: Schema.String }) {}
class Short extends Schema.TaggedError<Short>()("Short", { message: Schema.String.check(Schema.isMaxLength(3)) }) {}

const error = Tool.Raises({ "sklearn.NotFitted": NotFitted, "optim.Diverged": Diverged, "ArithmeticError": Diverged, "Short": Short })

class Models extends RpcGroup.make(
  Rpc.make("raise", { payload: { type: Schema.String, bases: Schema.Array(Schema.String) }, success: Schema.Int, error }),
  Rpc.make("losses", { success: Schema.Int, stream: true, error })
) {}

const tools = {
  raise: ({ bases, type }: { readonly type: string; readonly bases: ReadonlyArray<string> }) =>
    ScriptedTool.raise(type, "not yet", { bases, notes: ["seen"] }),
  losses: function*() {
    yield 3
    yield 2
    ScriptedTool.raise("optim.Diverged", "inf")
  }
}

const raise = (type: string, ...bases: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { clientOf } = yield* openTools(tools)
    const models = yield* clientOf(Models)
    return yield* Effect.flip(models.raise({ type, bases }))
  })

describe("an exception that the contract has an error for", () => {
  it.effect("of its class becomes that error, with the facts that it has fields for", () =>
    Effect.gen(function*() {
      const raised = yield* raise("sklearn.NotFitted", "ValueError", "Exception")
      assert.isTrue(raised instanceof NotFitted)
      assert.deepInclude(raised, { _tag: "NotFitted", message: "not yet", worker: "default/0" })
    }))

  it.effect("of a class derived from it does too", () =>
    Effect.gen(function*() {
      const raised = yield* raise("mine.Unfitted", "sklearn.NotFitted", "Exception")
      assert.isTrue(raised instanceof NotFitted)
    }))

  it.effect("takes the nearest class", () =>
    Effect.gen(function*() {
      const raised = yield* raise("mine.Error", "ArithmeticError", "sklearn.NotFitted")
      assert.isTrue(raised instanceof Diverged)
      if (!(raised instanceof Diverged)) return
      assert.deepStrictEqual(raised.notes, ["seen"])
      assert.include(raised.traceback, "mine.Error: not yet")
    }))

  it.effect("stays a PythonError when it does not fit that error", () =>
    Effect.gen(function*() {
      const raised = yield* raise("Short")
      assert.isTrue(raised._tag === "PythonError" && raised.exception.type === "Short")
    }))

  it.effect("ends a stream after its last element", () =>
    Effect.gen(function*() {
      const { clientOf } = yield* openTools(tools)
      const models = yield* clientOf(Models)
      const seen: Array<number> = []
      const raised = yield* Effect.flip(Stream.runForEach(models.losses(), (loss) => Effect.sync(() => seen.push(loss))))
      assert.strictEqual(raised._tag, "Diverged")
      assert.deepStrictEqual(seen, [3, 2])
    }))
})

describe("any other exception", () => {
  it.effect("stays a PythonError, whatever names objects have", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* raise("KeyError", "LookupError"))._tag, "PythonError")
      assert.strictEqual((yield* raise("constructor", "toString"))._tag, "PythonError")
    }))
})

describe("Tool.Raises", () => {
  it("is a schema of its errors", () => {
    const json = Schema.encodeUnknownSync(error)(new NotFitted({ message: "m", worker: "w" }))
    assert.deepStrictEqual(json, { _tag: "NotFitted", message: "m", worker: "w" })
    assert.isTrue(Schema.decodeUnknownSync(error)(json) instanceof NotFitted)
  })
})
