import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Latch, Ref } from "effect"
import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "../src/index.ts"

const idle = Child.make("idle", { start: Effect.succeed(Effect.never) })

const make = () =>
  Supervisor.make("app", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
    because: "it is a test",
    limitBecause: "it is a test",
    events: SupervisorEvent.of("app_supervisor", "root"),
    children: [idle]
  })

describe("a steered supervisor", () => {
  it.effect("is changed by what steers it, which is told to end when it stops", () =>
    Effect.gen(function*() {
      const raise = Latch.makeUnsafe(false)
      const ended = yield* Deferred.make<void>()
      const tree = make()
      yield* Effect.scoped(Effect.gen(function*() {
        const running = yield* Supervisor.start(Supervisor.steered(tree, (running) =>
          raise.await.pipe(
            Effect.andThen(running.change(Supervisor.withIntensity(tree, { maxRestarts: 9, within: "1 minute" }))),
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
          )))
        assert.deepStrictEqual((yield* running.tree).intensity, { maxRestarts: 3, withinMillis: 10_000 })
        yield* raise.open
        yield* Effect.yieldNow
        yield* Effect.yieldNow
        assert.deepStrictEqual((yield* running.tree).intensity, { maxRestarts: 9, withinMillis: 60_000 })
      }))
      assert.isTrue(Deferred.isDoneUnsafe(ended))
    }))

  it.effect("stands when what steers it fails", () =>
    Effect.gen(function*() {
      const running = yield* Supervisor.start(Supervisor.steered(make(), () => Effect.fail({ message: "the wheel is gone" })))
      yield* Effect.yieldNow
      assert.strictEqual((yield* running.count).active, 1)
    }))

  it.effect("is steered anew by each generation", () =>
    Effect.gen(function*() {
      const steered = yield* Ref.make(0)
      const below = Supervisor.steered(make(), () => Ref.update(steered, (times) => times + 1))
      const above = Supervisor.make("above", {
        plane: "control",
        strategy: "one_for_one",
        restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
        because: "it is a test",
        limitBecause: "it is a test",
        events: SupervisorEvent.of("app_supervisor", "root"),
        children: [below]
      })
      const running = yield* Supervisor.start(above)
      yield* Effect.yieldNow
      yield* running.terminateChild("app")
      yield* running.restartChild("app")
      yield* Effect.yieldNow
      assert.strictEqual(yield* Ref.get(steered), 2)
    }))

  it("has no limit where it had none", () => {
    const unlimited = Supervisor.make("app", {
      plane: "control",
      strategy: "one_for_one",
      restart: RestartPolicy.make({ intensity: "unlimited" }),
      because: "it is a test",
      limitBecause: "it is a test",
      events: SupervisorEvent.of("app_supervisor", "root"),
      children: [idle]
    })
    assert.strictEqual(Supervisor.withIntensity(unlimited, { maxRestarts: 1, within: "1 second" }).contract.intensity, "unlimited")
  })
})
