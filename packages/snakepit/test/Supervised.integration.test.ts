/** How a program ends whose tree is stopped beneath it, and that it does not when its tree is closed as it should be. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Runtime, Scope } from "effect"
import { Snakepit } from "../src/index.ts"

const layer = Snakepit.layer({ pools: {} })

describe("a supervised program", () => {
  it.live("is interrupted and fails with what was stopped, and why, when somebody stops its tree", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const program = Effect.never.pipe(Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)), Snakepit.supervised)
      const running = yield* Effect.forkChild(program, { startImmediately: true })
      const { root } = yield* Snakepit.Snakepit
      yield* (yield* root.at("snakepit")).stop("maintenance")
      const error = yield* Effect.flip(Fiber.join(running))
      assert.strictEqual(error._tag, "TreeStopped")
      assert.strictEqual(error[Runtime.errorExitCode], 70)
      assert.deepInclude(error._tag === "TreeStopped" && error.why[0], { _tag: "SupervisorEnded", path: "snakepit" })
      assert.include(error.message, "(snakepit: the supervisor stops or has ended: it was shut down: maintenance)")
      assert.isTrue(yield* Deferred.isDone(interrupted))
    }).pipe(Effect.provide(layer)))

  it.live("that ends by itself gives its result, and the tree is stopped after it", () =>
    Effect.gen(function*() {
      const life = yield* Effect.flatMap(Snakepit.Snakepit, ({ root }) => Effect.as(root.count, root)).pipe(
        Snakepit.supervised,
        Effect.provide(layer)
      )
      assert.include(JSON.stringify(yield* life.why("snakepit")), "its parent stopped it")
    }))

  it.live("is told nothing when the scope of its layer closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      const program = yield* Effect.forkChild(Snakepit.supervised(Effect.never).pipe(Effect.provide(context)), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      yield* Effect.yieldNow
      assert.isUndefined(program.pollUnsafe())
      yield* Fiber.interrupt(program)
    }))
})
