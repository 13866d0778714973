import { assert, describe, it } from "@effect/vitest"
import { Child, RegisteredName, RestartPolicy, Supervisor } from "@snakepit/core"
import { ScriptedChild } from "@snakepit/core/testing"
import { Context, Effect, Exit, Fiber, Layer, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { common } from "./AppContract.ts"

const oneForOne = {
  ...common,
  strategy: "one_for_one",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 2, within: "10 seconds" }, delay: Schedule.spaced(0) })
} as const

describe("a child", () => {
  it.effect("that is stopped has its life interrupted first and its resources released after", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const note = (line: string) => Effect.sync(() => void seen.push(line))
      const child = Child.make("child", {
        start: Effect.as(
          Effect.andThen(Effect.addFinalizer(() => note("first")), Effect.addFinalizer(() => note("second"))),
          Effect.onInterrupt(Effect.never, () => note("life"))
        )
      })
      yield* Effect.scoped(Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [child] })))
      assert.deepStrictEqual(seen, ["life", "second", "first"])
    }))

  it.effect("keeps what its start forked as long as it lives", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const child = Child.make("child", {
        start: Effect.as(
          Effect.forkChild(Effect.onInterrupt(Effect.never, () => Effect.sync(() => void seen.push("forked"))), { startImmediately: true }),
          Effect.never
        )
      })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [child] }))
        assert.deepStrictEqual(seen, [])
      }))
      assert.deepStrictEqual(seen, ["forked"])
    }))

  it.effect("that ends is replaced when its resources are released, or when its time for that is over", () =>
    Effect.gen(function*() {
      const slow = ScriptedChild.make("slow", { stopTakes: "1 second" })
      const stuck = ScriptedChild.make("stuck", { stopTakes: "forever", shutdown: "2 seconds" })
      yield* Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [slow, stuck] }))
      yield* slow.fail()
      yield* stuck.fail()
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual([slow.starts(), stuck.starts()], [1, 1])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([slow.starts(), stuck.starts()], [2, 1])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([slow.starts(), stuck.starts()], [2, 2])
      yield* slow.setStopTakes(0) // the test's own end waits for nothing
      yield* stuck.setStopTakes(0)
    }))

  it.effect("whose finalizer dies is replaced all the same", () =>
    Effect.gen(function*() {
      let starts = 0
      const child = Child.make("child", {
        start: Effect.as(
          Effect.andThen(
            Effect.sync(() => void starts++),
            Effect.addFinalizer(() => starts === 1 ? Effect.die("a bug in a finalizer") : Effect.void)
          ),
          Effect.never
        )
      })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [child] }))
      yield* running.failChild("child", "again")
      yield* TestClock.adjust(0)
      assert.strictEqual(starts, 2)
      assert.strictEqual((yield* running.tree).children[0]!.status, "running")
    }))

  it.effect("whose start dies makes its supervisor die of the same", () =>
    Effect.gen(function*() {
      const bug = new TypeError("a bug")
      const child = Child.make("child", { start: Effect.as(Effect.die(bug), Effect.never) })
      const exit = yield* Effect.exit(Supervisor.run(Supervisor.make("app", { ...oneForOne, children: [child] })))
      assert.isTrue(Exit.isFailure(exit) && Exit.hasDies(exit))
    }))

  it.effect("may stop for as long as it takes when its shutdown is infinity", () =>
    Effect.gen(function*() {
      const child = ScriptedChild.make("child", { stopTakes: "1 hour", shutdown: "infinity" })
      const running = yield* Effect.forkChild(
        Effect.scoped(Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [child] }))),
        { startImmediately: true }
      )
      yield* TestClock.adjust("59 minutes")
      assert.isUndefined(running.pollUnsafe())
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(running)
    }))

  it("is permanent, not significant, and may stop for five seconds unless it says otherwise", () => {
    const { restart, shutdown, significant } = Child.make("child", { start: Effect.succeed(Effect.never) })
    assert.deepStrictEqual({ restart, shutdown, significant }, { restart: "permanent", shutdown: 5_000, significant: false })
  })
})

class Connection extends Context.Service<Connection, { readonly number: number }>()("test/Connection") {}

describe("a supervised layer", () => {
  it.effect("is released when its generation ends, before the next is built", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const name = RegisteredName.make<Connection["Service"]>("connection")
      let built = 0
      const layer = Layer.effect(
        Connection,
        Effect.acquireRelease(
          Effect.sync(() => {
            seen.push(`open ${built}`)
            return { number: built++ }
          }),
          ({ number }) => Effect.sync(() => seen.push(`close ${number}, ${name.current === undefined ? "nobody" : "somebody"} registered`))
        )
      )
      const child = Child.fromLayer("connection", { key: Connection, layer, name })
      yield* Effect.scoped(Effect.gen(function*() {
        const running = yield* Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [child] }))
        yield* running.failChild("connection", "lost")
        yield* TestClock.adjust(0)
        assert.strictEqual((yield* RegisteredName.whereis(name)).number, 1)
      }))
      assert.deepStrictEqual(seen, ["open 0", "close 0, nobody registered", "open 1", "close 1, nobody registered"])
    }))

  it.effect("that cannot be built fails the start with its own error", () =>
    Effect.gen(function*() {
      const layer: Layer.Layer<Connection, "refused"> = Layer.effect(Connection, Effect.fail("refused"))
      const name = RegisteredName.make<Connection["Service"]>("connection")
      const child = Child.fromLayer("connection", { key: Connection, layer, name })
      const error = yield* Effect.flip(Supervisor.run(Supervisor.make("app", { ...oneForOne, children: [child] })))
      assert.strictEqual(error._tag, "StartFailed")
      if (error._tag === "StartFailed") assert.deepStrictEqual(error.at, { path: "app/connection", error: "refused" })
    }))
})
