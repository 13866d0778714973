import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, RestartPolicy, Supervisor } from "@snakepit/core"
import { RecordedEvents, ScriptedChild } from "@snakepit/core/testing"
import { Duration, Effect, Fiber, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { common } from "./AppContract.ts"

const oneForOne = {
  ...common,
  strategy: "one_for_one",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 2, within: "10 seconds" }, delay: Schedule.spaced(0) })
} as const

describe("a supervisor that is stopped while it boots", () => {
  it.effect("stops what had started, and what was starting", () =>
    Effect.gen(function*() {
      const journal = ScriptedChild.journal()
      const a = ScriptedChild.make("a", { journal })
      const b = ScriptedChild.make("b", { journal, startTakes: "30 seconds" })
      const c = ScriptedChild.make("c", { journal })
      const booting = yield* Effect.forkChild(
        Supervisor.run(Supervisor.make("app", { ...oneForOne, children: [a, b, c] })),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(booting)
      assert.deepStrictEqual(ScriptedChild.lines(journal), [
        "a starting",
        "a up",
        "b starting",
        "b stopping",
        "b down",
        "a stopping",
        "a down"
      ])
    }))

  it.effect("takes the supervisors below along", () =>
    Effect.gen(function*() {
      const journal = ScriptedChild.journal()
      const a = ScriptedChild.make("a", { journal })
      const b = ScriptedChild.make("b", { journal, startTakes: "30 seconds" })
      const inner = Supervisor.make("inner", { ...oneForOne, children: [a, b] })
      const booting = yield* Effect.forkChild(
        Supervisor.run(Supervisor.make("app", { ...oneForOne, children: [inner] })),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(booting)
      assert.deepStrictEqual(ScriptedChild.lines(journal, "down"), ["b down", "a down"])
    }))
})

describe("the handle of a supervisor", () => {
  it.effect("finds the handle of a supervisor below it by its path, of the generation that is up", () =>
    Effect.gen(function*() {
      const inner = Supervisor.make("inner", { ...oneForOne, children: [ScriptedChild.make("a")] })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [inner] }))
      assert.strictEqual((yield* running.at("app")).path, "app")
      const before = yield* running.at("app/inner")
      yield* before.failChild("a", new Error("harm"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* before.tree).children[0]!.generation, 1)
      yield* running.failChild("inner", new Error("harm"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* (yield* running.at("app/inner")).tree).children[0]!.generation, 0)
      assert.strictEqual((yield* Effect.flip(running.at("app/inner/a"))).child, "app/inner/a") // not a supervisor
      assert.strictEqual((yield* Effect.flip(running.at("ap"))).child, "ap")
    }))

  it.effect("lets a child terminate itself", () =>
    Effect.gen(function*() {
      const child = Child.make("child", {
        start: Effect.succeed(Effect.flatMap(Supervisor.CurrentSupervisor, (above) => above.terminateChild("child")))
      })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [child] }))
      yield* TestClock.adjust(0)
      const [node] = (yield* running.tree).children
      assert.deepInclude(node, { status: "down", because: "terminated", restarts: 0 })
    }))

  it.effect("refuses to start anything once its supervisor has ended, and terminates at once", () =>
    Effect.gen(function*() {
      const child = ScriptedChild.make("child")
      const running = yield* Effect.scoped(Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [child] })))
      const error = yield* Effect.flip(running.restartChild("child"))
      assert.include(error.message, "app is stopping or has ended")
      yield* running.terminateChild("child")
    }))

  it.effect("answers those who wait for a child when the supervisor gives up meanwhile", () =>
    Effect.gen(function*() {
      const slow = ScriptedChild.make("slow", { startTakes: "1 hour", stopTakes: "1 second" })
      const running = yield* DynamicSupervisor.start(DynamicSupervisor.make("fleet", {
        ...common,
        restart: RestartPolicy.make({ intensity: { maxRestarts: 0, within: "1 second" } }),
        initial: Effect.succeed(["victim"]),
        child: (key) => key === "slow" ? slow : ScriptedChild.make(key)
      }))
      const asked = yield* Effect.forkChild(Effect.flip(running.startChild("slow")), { startImmediately: true })
      yield* running.failChild("victim", "frozen")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(asked))._tag, "ChildStartFailed")
      assert.strictEqual((yield* Effect.flip(running.startChild("another")))._tag, "SupervisorStopping")
    }))

  it.effect("asks the template anew for a key that was refused", () =>
    Effect.gen(function*() {
      const made: Array<ReturnType<typeof ScriptedChild.make>> = []
      const running = yield* DynamicSupervisor.start(DynamicSupervisor.make("fleet", {
        ...common,
        restart: oneForOne.restart,
        maxChildren: 1,
        child: (key) => {
          const child = ScriptedChild.make(key)
          made.push(child)
          return child
        }
      }))
      yield* running.startChild("a")
      yield* Effect.flip(running.startChild("b"))
      yield* running.terminateChild("a")
      yield* running.startChild("b")
      assert.deepStrictEqual(made.slice(1).map((child) => [child.id, child.starts()]), [["a", 1], ["b", 0], ["b", 1]])
    }))
})

describe("a delay", () => {
  it.effect("that takes time to be known holds up only its own restart", () =>
    Effect.gen(function*() {
      const a = ScriptedChild.make("a")
      const b = ScriptedChild.make("b")
      const asking = Schedule.fromStep(Effect.succeed((_now: number, exit: RestartPolicy.ChildExit) =>
        Effect.as(exit.id === "a" ? Effect.sleep("3 seconds") : Effect.void, [0, Duration.seconds(1)] as [number, Duration.Duration])
      ))
      const running = yield* Supervisor.start(Supervisor.make("app", {
        ...oneForOne,
        restart: RestartPolicy.make({ intensity: { maxRestarts: 9, within: "1 minute" }, delay: asking }),
        children: [a, b]
      }))
      yield* a.fail()
      yield* b.fail()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([a.generation(), b.generation()], [undefined, 1])
      assert.strictEqual((yield* running.tree).children[0]!.status, "waiting")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(a.generation(), 1) // the delay counts from the exit, however long it took to be known
    }))

  it.effect("that ends makes the supervisor give up with DelayEnded", () =>
    Effect.gen(function*() {
      const child = ScriptedChild.make("child")
      const running = yield* Supervisor.start(Supervisor.make("app", {
        ...oneForOne,
        restart: RestartPolicy.make({ intensity: { maxRestarts: 9, within: "1 minute" }, delay: Schedule.recurs(1) }),
        children: [child]
      }))
      yield* child.fail()
      yield* child.awaitUp(1)
      yield* child.fail()
      const gaveUp = yield* Effect.flip(running.life)
      assert.instanceOf(gaveUp.limit, RestartPolicy.DelayEnded)
      assert.include(gaveUp.message, "the delay schedule allows no restart after 1")
    }))
})

describe("the labels of a supervisor", () => {
  it.effect("are those of the supervisors above, and its own", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      const leaf = ScriptedChild.make("leaf")
      const worker = Supervisor.make("worker", { ...oneForOne, labels: { slot: 3 }, children: [leaf] })
      const pool = Supervisor.make("pool", { ...oneForOne, labels: { pool: "default" }, children: [worker] })
      yield* Effect.provide(Supervisor.start(Supervisor.make("app", { ...oneForOne, children: [pool] })), recorded.layer)
      assert.deepStrictEqual(recorded.ofVerb("start").map(({ attributes: { path, pool, slot } }) => [path, pool, slot]), [
        ["app/pool/worker", "default", 3],
        ["app/pool", "default", undefined],
        ["app", undefined, undefined]
      ])
    }))
})
