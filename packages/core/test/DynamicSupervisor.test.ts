import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, RestartPolicy, Semantics, Supervisor, SupervisorEvent } from "@snakepit/core"
import { RecordedEvents, ScriptedChild } from "@snakepit/core/testing"
import { Cause, Effect, Fiber, Schedule } from "effect"
import { TestClock } from "effect/testing"

const common = {
  plane: "control",
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("fleet_supervisor", "execution")
} as const
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

  it.effect("takes any child that fails and needs no more than the template's do, beside keys", () =>
    Effect.gen(function*() {
      const running = yield* DynamicSupervisor.start(fleet({}).supervisor)
      const own = ScriptedChild.make("own", { shutdown: "9 seconds" })
      assert.strictEqual(yield* running.startChild(own), 0)
      assert.strictEqual((yield* Effect.flip(running.startChild("own")))._tag, "ChildPresent")
      assert.strictEqual((yield* running.childSpec("own")).shutdown, 9000)
      yield* own.fail()
      yield* own.awaitUp(1)
    }))

  it.effect("counts restarting and stopping children in maxChildren (E-3)", () =>
    Effect.gen(function*() {
      const { child, supervisor } = fleet({ initial: ["a", "b"], maxChildren: 2, maxRestarts: 9 })
      const running = yield* DynamicSupervisor.start(supervisor)
      yield* child("a").setStartTakes("1 second")
      yield* child("a").fail()
      yield* child("b").setStopTakes("1 second")
      const terminated = yield* Effect.forkChild(running.terminateChild("b"), { startImmediately: true })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* running.count, { specs: 2, active: 0, supervisors: 0, workers: 2 })
      assert.strictEqual((yield* Effect.flip(running.startChild("c")))._tag, "MaxChildren")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(terminated)
      assert.strictEqual(yield* running.startChild("c"), 0)
    }))

  for (
    const [mode, semantics, left] of [["production", Semantics.production, Array<string>()], ["otp", Semantics.otp, ["a down"]]] as const
  ) {
    it.effect(`forgets a child that ignores its start, and in ${mode} ${left.length === 0 ? "also" : "not"} one that ignores its restart (E-4)`, () =>
      Effect.gen(function*() {
        const starts = new Map<string, number>()
        const running = yield* DynamicSupervisor.start(DynamicSupervisor.make("fleet", {
          ...common,
          semantics,
          restart: restarts(9),
          initial: Effect.succeed(["a", "b"]),
          child: (key) =>
            Child.make(key, {
              start: Effect.sync(() => {
                starts.set(key, (starts.get(key) ?? 0) + 1)
                return key === "b" || starts.get(key)! > 1 ? Child.ignore : Effect.never
              })
            })
        }))
        assert.deepStrictEqual((yield* running.tree).children.map(({ id, status }) => `${id} ${status}`), ["a running"])
        assert.strictEqual(yield* running.startChild("b"), -1)
        yield* running.failChild("a", "frozen")
        yield* TestClock.adjust(0)
        assert.deepStrictEqual((yield* running.tree).children.map(({ id, status }) => `${id} ${status}`), left)
      }))
  }

  for (
    const [restart, reason, after] of [
      ["permanent", "end", "running 1"],
      ["permanent", "interrupt", "running 1"],
      ["permanent", "fail", "running 1"],
      ["transient", "end", undefined],
      ["transient", "interrupt", undefined],
      ["transient", "fail", "running 1"],
      ["temporary", "end", undefined],
      ["temporary", "interrupt", undefined],
      ["temporary", "fail", undefined]
    ] as const
  ) {
    it.effect(`${after === undefined ? "forgets" : "restarts"} a ${restart} child after ${reason}`, () =>
      Effect.gen(function*() {
        const child = ScriptedChild.make("a", { restart })
        const running = yield* DynamicSupervisor.start(DynamicSupervisor.make("fleet", {
          ...common,
          restart: restarts(9),
          initial: Effect.succeed(["a"]),
          child: () => child
        }))
        yield* reason === "fail" ? child.fail() : child[reason]
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(
          (yield* running.tree).children.map(({ generation, status }) => `${status} ${generation}`),
          after === undefined ? [] : [after]
        )
      }))
  }

  it.effect("tries a failing restart again, counts each attempt, and gives up at the limit with its siblings (E-4)", () =>
    Effect.gen(function*() {
      const { child, supervisor } = fleet({ initial: ["a", "b"], maxRestarts: 3 })
      const running = yield* DynamicSupervisor.start(supervisor)
      yield* child("a").failNextStarts(1)
      yield* child("a").fail()
      yield* child("a").awaitUp(2)
      yield* child("a").failNextStarts(Number.POSITIVE_INFINITY)
      yield* child("a").fail()
      const gaveUp = yield* Effect.flip(running.life)
      assert.strictEqual(gaveUp.because.path, "fleet/a")
      assert.deepStrictEqual([child("a").starts(), child("b").generation()], [4, undefined])
    }))

  it.effect("stops all at once, each within its own shutdown, those with the same one together (E-5, D-1)", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      const shutdowns = { brutal: "brutal", one: "1 second", uno: "1 second", two: "2 seconds", ever: "infinity" } as const
      const running = yield* Effect.provide(
        DynamicSupervisor.start(DynamicSupervisor.make("fleet", {
          ...common,
          restart: restarts(9),
          initial: Effect.succeed(Object.keys(shutdowns)),
          child: (key) =>
            ScriptedChild.make(key, {
              shutdown: shutdowns[key as keyof typeof shutdowns],
              stopTakes: key === "ever" ? "9 seconds" : "forever"
            })
        })),
        recorded.layer
      )
      const stopped = yield* Effect.forkChild(running.stop("the test is over"), { startImmediately: true })
      yield* TestClock.adjust("8999 millis")
      assert.isUndefined(stopped.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(stopped)
      assert.deepStrictEqual(recorded.ofVerb("abandon").map(({ at, attributes }) => [attributes["child"], at]), [
        ["uno", 1000],
        ["one", 1000],
        ["two", 2000]
      ])
    }))

  it.effect("terminates a child by brutal kill, by its integer, and while it is restarting", () =>
    Effect.gen(function*() {
      const { child, supervisor } = fleet({ initial: ["a"], maxRestarts: 9 })
      const running = yield* DynamicSupervisor.start(supervisor)
      const hung = (id: string, shutdown: "brutal" | "1 second") => ScriptedChild.make(id, { shutdown, stopTakes: "forever" })
      yield* running.startChild(hung("brutal", "brutal"))
      yield* running.terminateChild("brutal")
      yield* running.startChild(hung("integer", "1 second"))
      const terminated = yield* Effect.forkChild(running.terminateChild("integer"), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(terminated)
      yield* child("a").setStartTakes("1 minute")
      yield* child("a").fail()
      yield* TestClock.adjust(0)
      yield* running.terminateChild("a")
      assert.deepStrictEqual((yield* running.tree).children, [])
    }))

  it.effect("refuses to begin with more keys than it may hold, with a key twice, or with a child of another key", () =>
    Effect.gen(function*() {
      const refused = (supervisor: Supervisor.Any) =>
        Effect.map(Effect.sandbox(Effect.flip(Effect.sandbox(Supervisor.start(supervisor)))), (cause) => String(Cause.squash(cause)))
      assert.include(yield* refused(fleet({ initial: ["a", "b", "c"], maxChildren: 2 }).supervisor), "no more keys than maxChildren allows")
      assert.include(yield* refused(fleet({ initial: ["a", "a"] }).supervisor), "different from the ids of the children before it")
      const deaf = DynamicSupervisor.make("fleet", {
        ...common,
        restart: restarts(1),
        initial: Effect.succeed(["a", "b"]),
        child: () => ScriptedChild.make("a")
      })
      assert.include(yield* refused(deaf), "made a child with the id \"a\" for the key \"b\"")
    }))
})
