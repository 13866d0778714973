import { assert, describe, it } from "@effect/vitest"
import { Child, RegisteredName, RestartPolicy, Supervisor } from "@snakepit/core"
import { Context, Effect, Layer } from "effect"
import { common } from "./AppContract.ts"

class Counter extends Context.Service<Counter, { readonly generation: number }>()("test/Counter") {}

describe("a registered name", () => {
  it.effect("is found while its scope is open, and not after", () =>
    Effect.gen(function*() {
      const name = RegisteredName.make<number>("answer")
      const inside = yield* Effect.scoped(Effect.andThen(RegisteredName.register(name, 42), RegisteredName.whereis(name)))
      assert.strictEqual(inside, 42)
      const error = yield* Effect.flip(RegisteredName.whereis(name))
      assert.include(error.message, `nobody is registered as "answer"`)
      assert.strictEqual(name.latest, 42)
    }))

  it.effect("keeps a later registration when an earlier one ends", () =>
    Effect.gen(function*() {
      const name = RegisteredName.make<number>("answer")
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Effect.scoped(Effect.gen(function*() {
          yield* RegisteredName.register(name, 1)
          name.current = 2
        }))
        assert.strictEqual(name.current, 2)
      }))
    }))

  it.effect("of a supervised layer leads to the current generation, built anew each time", () =>
    Effect.gen(function*() {
      let built = 0
      const name = RegisteredName.make<Counter["Service"]>("counter")
      const layer = Layer.effect(Counter, Effect.sync(() => ({ generation: built++ })))
      const running = yield* Supervisor.start(Supervisor.make("app", {
        ...common,
        strategy: "one_for_one",
        restart: RestartPolicy.make({ intensity: { maxRestarts: 1, within: "1 second" } }),
        children: [Child.fromLayer("counter", { key: Counter, layer, name })]
      }))
      assert.strictEqual((yield* RegisteredName.whereis(name)).generation, 0)
      yield* running.terminateChild("counter")
      yield* Effect.flip(RegisteredName.whereis(name))
      yield* running.restartChild("counter")
      assert.strictEqual((yield* RegisteredName.whereis(name)).generation, 1)
    }))
})
