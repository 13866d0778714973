/** Sessions of real Python workers: hooks, state, and what of them a dead worker, a crash of the session_store and a drain leave. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Pool, Session, Snakepit } from "snakepit"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { config } from "./fixtures/Program.ts"

class Notebooks extends RpcGroup.make(
  Rpc.make("run", { payload: { cell: Schema.String }, success: Schema.Array(Schema.String) }),
  Rpc.make("pid", { success: Schema.Int })
) {}

const pools = config({ adapter: "notebooks" }, { affinity: "strict_queue", sessions: { onLoss: "replay" } })

describe("a session on real Python workers", () => {
  it.live("has its state from start to end, begins again when its worker dies, and ends with its scope or its worker", () =>
    Effect.gen(function*() {
      const file = yield* journal
      const program = Effect.gen(function*() {
        const { root } = yield* Snakepit.Snakepit
        const data = { journal: file, cells: ["import math"] }
        yield* Session.open("default", { id: "kept", data })
        const kept = yield* Pool.client(Notebooks, { session: "kept" })
        yield* Effect.scoped(Effect.gen(function*() {
          const session = yield* Session.open("default", { id: "ada", data })
          const ada = yield* Pool.client(Notebooks, { session: session.id })
          assert.deepStrictEqual(yield* ada.run({ cell: "x = 1" }), ["import math", "x = 1"])
          assert.deepStrictEqual(yield* kept.run({ cell: "y" }), ["import math", "y"])

          const foundation = yield* root.at("snakepit/foundation")
          yield* foundation.failChild("session_store", new Error("the test ends it"))
          assert.deepStrictEqual(yield* ada.run({ cell: "x + 1" }), ["import math", "x = 1", "x + 1"])

          process.kill(yield* ada.pid(), "SIGKILL")
          const begun = yield* Effect.retry(ada.run({ cell: "x" }), { times: 3 }) // it may be on its way to the dead worker
          assert.deepStrictEqual(begun, ["import math", "x"])
        }))
        assert.isUndefined(yield* Session.get("default", "ada"))
        assert.deepStrictEqual((yield* Session.list("default")).map(({ id }) => id), ["kept"])
      })
      yield* program.pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(pools)))
      assert.deepStrictEqual(linesOf(file).filter((line) => line.startsWith("ada")), ["ada start", "ada start", "ada end after 2"])
    }))

  it.live("that is left when the tree stops is ended by its worker's drain", () =>
    Effect.gen(function*() {
      const file = yield* journal
      const program = Effect.gen(function*() {
        yield* Session.open("default", { id: "bob", data: { journal: file, cells: [] } })
        const bob = yield* Pool.client(Notebooks, { session: "bob" })
        yield* bob.run({ cell: "x" })
      })
      // the session's scope outlives the tree
      yield* Effect.provide(program, Snakepit.layer(pools))
      assert.deepStrictEqual(linesOf(file), ["bob start", "bob end after 1"])
    }).pipe(Effect.scoped))
})
