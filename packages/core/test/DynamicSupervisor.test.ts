import { assert, describe, it } from "@effect/vitest"
import { DynamicSupervisor, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { ScriptedChild } from "@snakepit/core/testing"
import { Effect, Fiber, Schedule } from "effect"
import { TestClock } from "effect/testing"

const common = { plane: "control", because: "it is a test", events: SupervisorEvent.of("fleet_supervisor", "execution") } as const
const restarts = (maxRestarts: number) =>
  RestartPolicy.make({ intensity: { maxRestarts, within: "10 seconds" }, delay: Schedule.spaced(0) })

/** A fleet of scripted children, each made once for its key. */
const fleet = (options: {
  readonly initial?: ReadonlyArray<string>
  readonly maxChildren?: number
  readonly maxRestarts?: number
  readonly child?: ScriptedChild.Options
}) => {
  const journal = ScriptedChild.journal()
  const children = new Map<string, ReturnType<typeof make>>()
  const make = (key: string) => ScriptedChild.make(key, { ...options.child, journal })
  const child = (key: string) => {
    const present = children.get(key) ?? make(key)
    children.set(key, present)
    return present
  }
  const supervisor = DynamicSupervisor.make("fleet", {
    ...common,
    restart: restarts(options.maxRestarts ?? 2),
    maxChildren: options.maxChildren,
    initial: Effect.succeed(options.initial ?? []),
    child
  })
  return { journal, child, supervisor }
}

describe("a dynamic supervisor", () => {
  it.effect("starts its initial keys at once and has started when the last is up", () =>
    Effect.gen(function*() {
      const { journal, supervisor } = fleet({ initial: ["a", "b", "c"], child: { startTakes: "1 second" } })
      const booting = yield* Effect.forkChild(DynamicSupervisor.start(supervisor), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(booting)
      assert.deepStrictEqual(ScriptedChild.lines(journal), ["a starting", "b starting", "c starting", "a up", "b up", "c up"])
    }))

  it.effect("does not start when one of them refuses, and stops the others", () =>
    Effect.gen(function*() {
      const { child, journal, supervisor } = fleet({ initial: ["a", "b", "c"] })
      yield* child("b").failNextStarts(1)
      const error = yield* Effect.flip(Effect.scoped(DynamicSupervisor.start(supervisor)))
      assert.strictEqual(error.at.path, "fleet/b")
      assert.include(ScriptedChild.lines(journal), "a down")
      assert.deepStrictEqual([child("a").generation(), child("c").generation()], [undefined, undefined])
    }))

  it.effect("does not start when several refuse in the same instant", () =>
    Effect.gen(function*() {
      const { child, supervisor } = fleet({ initial: ["a", "b", "c"] })
      yield* Effect.forEach(["a", "b", "c"], (key) => child(key).failNextStarts(1))
      const error = yield* Effect.flip(Effect.scoped(DynamicSupervisor.start(supervisor)))
      assert.strictEqual(error.at.path, "fleet/a")
    }))

  it.effect("starts a child by key, refuses a key that it has, and holds no more than maxChildren", () =>
    Effect.gen(function*() {
      const running = yield* DynamicSupervisor.start(fleet({ maxChildren: 2 }).supervisor)
      assert.strictEqual(yield* running.startChild("a"), 0)
      assert.strictEqual((yield* Effect.flip(running.startChild("a")))._tag, "ChildPresent")
      yield* running.startChild("b")
      const error = yield* Effect.flip(running.startChild("c"))
      assert.include(error.message, "fleet holds 2 children, its maxChildren")
      yield* running.terminateChild("a")
      assert.strictEqual(yield* running.startChild("c"), 0)
    }))

  it.effect("forgets a child whose first start fails, and says why", () =>
    Effect.gen(function*() {
      const { child, supervisor } = fleet({})
      const running = yield* DynamicSupervisor.start(supervisor)
      yield* child("a").failNextStarts(1, "no disk")
      const error = yield* Effect.flip(running.startChild("a"))
      assert.strictEqual(error._tag, "ChildStartFailed")
      assert.include(error.message, "no disk")
      assert.lengthOf((yield* running.tree).children, 0)
      assert.strictEqual(yield* running.startChild("a"), 0)
    }))

  it.effect("restarts one child without touching another", () =>
    Effect.gen(function*() {
      const { child, supervisor } = fleet({ initial: ["a", "b", "c"] })
      yield* DynamicSupervisor.start(supervisor)
      yield* child("b").fail()
      yield* child("b").awaitUp(1)
      assert.deepStrictEqual(["a", "b", "c"].map((key) => child(key).generation()), [0, 1, 0])
    }))

  it.effect("shares its budget among all children, and is whole again after its own restart", () =>
    Effect.gen(function*() {
      const { child, supervisor } = fleet({ initial: ["a", "b"], maxRestarts: 1 })
      yield* Supervisor.start(Supervisor.make("app", {
        ...common,
        strategy: "one_for_one",
        restart: restarts(1),
        children: [supervisor]
      }))
      yield* child("a").fail()
      yield* child("a").awaitUp(1)
      yield* child("b").fail()
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([child("a").starts(), child("b").starts()], [3, 2])
      assert.deepStrictEqual([child("a").generation(), child("b").generation()], [0, 0])
    }))

  it.effect("stops all its children at once", () =>
    Effect.gen(function*() {
      const { journal, supervisor } = fleet({ initial: ["a", "b", "c"], child: { stopTakes: "1 second" } })
      const stopped = yield* Effect.forkChild(Effect.scoped(DynamicSupervisor.start(supervisor)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopped)
      assert.lengthOf(ScriptedChild.lines(journal, "down"), 3)
      assert.strictEqual(new Set(journal.entries.filter(({ moment }) => moment === "down").map(({ at }) => at)).size, 1)
    }))
})
