/** A call that crashes real workers: the pool gives it up, not itself. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { EventLog, Pool, Snakepit, Tool } from "snakepit"
import { config } from "./fixtures/Program.ts"

class Crashing extends RpcGroup.make(
  Rpc.make("crash", { payload: { how: Schema.Literals(["segfault", "abort"]) } }).annotate(Tool.Idempotent, true),
  Rpc.make("add", { payload: { a: Schema.Int, b: Schema.Int }, success: Schema.Int }).annotate(Tool.Idempotent, true)
) {}

describe.skipIf(process.platform !== "linux")("a call that crashes every worker", () => {
  it.live("is quarantined after three of them, with the digest of its arguments, while others go on", () =>
    Effect.gen(function*() {
      const tools = yield* Pool.client(Crashing)
      const adding = Effect.forEach(Array.from({ length: 50 }, (_, n) => n), (n) => tools.add({ a: n, b: 1 }), { concurrency: 1 })
      const [error, sums] = yield* Effect.all([Effect.flip(tools.crash({ how: "segfault" })), adding], { concurrency: 2 })
      assert.isTrue(error._tag === "CallPoisoned")
      if (error._tag !== "CallPoisoned") return
      assert.deepInclude(error, { executed: "unknown", crashes: 3, exits: ["Segfault"] })
      assert.isAtLeast(error.workers.length, 2)
      // printf '\\x81\\xa3how\\xa8segfault' | sha256sum
      assert.strictEqual(error.digest, "8ae93aa205672d38757510e174df0542")
      assert.deepStrictEqual(sums, Array.from({ length: 50 }, (_, n) => n + 1))

      const again = yield* Effect.flip(tools.crash({ how: "segfault" }))
      assert.deepInclude(again, { _tag: "CallPoisoned", executed: "no", digest: error.digest })
      assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
      const exits = yield* (yield* EventLog.EventLog).recent("snakepit.process.exit")
      assert.strictEqual(exits.filter(({ attributes }) => attributes["exitClass"] === "Segfault").length, 3)
      assert.deepStrictEqual((yield* Pool.quarantine()).map(({ digest, tool }) => [tool, digest]), [["crash", error.digest]])
    }).pipe(
      Effect.scoped,
      Snakepit.supervised,
      Effect.provide(Snakepit.layer(config({}, { size: 3, stopGrace: "300 millis", restart: { fleet: { maxRestarts: 20 } } })))
    ))
})
