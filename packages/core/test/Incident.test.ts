import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { RecordedEvents } from "@snakepit/core/testing"
import { Deferred, Effect } from "effect"
import { TestClock } from "effect/testing"

const restart = (maxRestarts: number) => RestartPolicy.make({ intensity: { maxRestarts, within: "5 seconds" } })

/** Children that fail when they are told to, and note in which incident they begin and end. */
const makeScene = () => {
  const notes: Array<string> = []
  const recorded = RecordedEvents.make()
  const lives = new Map<string, Deferred.Deferred<never, string>>()
  const children = new Map<string, Child.CurrentChild["Service"]>()
  const child = <const Id extends string>(id: Id) =>
    Child.make(id, {
      plane,
      start: Effect.gen(function*() {
        const current = yield* Child.CurrentChild
        const life = yield* Deferred.make<never, string>()
        lives.set(id, life)
        children.set(id, current)
        notes.push(`${id} starts: ${current.incident("start")}`)
        yield* Effect.addFinalizer(() => Effect.sync(() => notes.push(`${id} ends: ${current.incident("end")}`)))
        return Deferred.await(life)
      })
    })
  const fail = (id: string) => Effect.andThen(Deferred.fail(lives.get(id)!, "told to"), TestClock.adjust("1 second"))
  const told = (name: string) => recorded.events.find((event) => event.name === `snakepit.${name}`)!.attributes["incident"]
  return { child, children, fail, notes, recorded, told }
}

const plane = "control"
const app = { plane, because: "the test says so", limitBecause: "the test says so" } as const
const events = SupervisorEvent.of("app_supervisor", "root")

describe("an incident", () => {
  it.effect("is known to the child that sets it off, to its victims while they end, and to all of them when they start again", () =>
    Effect.gen(function*() {
      const { child, fail, notes, recorded, told } = makeScene()
      const tree = Supervisor.make("app", {
        ...app,
        strategy: "rest_for_one",
        restart: restart(1),
        events,
        children: [child("before"), child("first"), child("after")]
      })
      const running = yield* Effect.provide(Supervisor.start(tree), recorded.layer)
      yield* fail("first")
      const incident = told("app_supervisor.restart")
      assert.isString(incident)
      assert.deepStrictEqual(notes, [
        "before starts: undefined",
        "first starts: undefined",
        "after starts: undefined",
        `first ends: ${incident}`,
        `after ends: ${incident}`,
        `first starts: ${incident}`,
        `after starts: ${incident}`
      ])
      notes.length = 0
      yield* running.stop("as planned")
      assert.deepStrictEqual(notes, ["after ends: undefined", "first ends: undefined", "before ends: undefined"])
    }).pipe(Effect.scoped))

  it.effect("goes up with an escalation, and down to all that it takes along", () =>
    Effect.gen(function*() {
      const { child, fail, notes, recorded, told } = makeScene()
      const inside = { ...app, strategy: "one_for_one", restart: restart(0) } as const
      const left = Supervisor.make("left", {
        ...inside,
        events: SupervisorEvent.of("left_supervisor", "root"),
        children: [child("a"), child("b")]
      })
      const right = Supervisor.make("right", {
        ...inside,
        events: SupervisorEvent.of("right_supervisor", "root"),
        children: [child("c")]
      })
      const tree = Supervisor.make("app", {
        ...app,
        strategy: "one_for_all",
        restart: restart(1),
        events,
        children: [left, right]
      })
      yield* Effect.provide(Supervisor.start(tree), recorded.layer)
      notes.length = 0
      recorded.events.length = 0
      yield* fail("a")
      const incident = told("left_supervisor.give_up")
      assert.isString(incident)
      assert.deepStrictEqual(notes, [
        ...["a ends", "b ends", "c ends", "a starts", "b starts", "c starts"].map((what) => `${what}: ${incident}`)
      ])
      assert.deepStrictEqual(recorded.events.map(({ attributes, name }) => [name, attributes["incident"]]), [
        ["snakepit.left_supervisor.give_up", incident],
        ["snakepit.right_supervisor.terminate", incident],
        ["snakepit.app_supervisor.restart", incident],
        ["snakepit.left_supervisor.start", incident],
        ["snakepit.right_supervisor.start", incident],
        ["snakepit.app_supervisor.recover", incident]
      ])
    }).pipe(Effect.scoped))

  it.effect("can be asked for by who is about to fail the child, and is the one that its supervisor then decides under", () =>
    Effect.gen(function*() {
      const { child, children, notes, recorded, told } = makeScene()
      const tree = Supervisor.make("app", { ...app, strategy: "one_for_one", restart: restart(1), events, children: [child("a")] })
      const running = yield* Effect.provide(Supervisor.start(tree), recorded.layer)
      const incident = children.get("a")!.incident("end")
      yield* running.failChild("a", new Error("judged"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(told("app_supervisor.restart"), incident)
      assert.deepStrictEqual(notes, ["a starts: undefined", `a ends: ${incident}`, `a starts: ${incident}`])
    }).pipe(Effect.scoped))

  it.effect("is none when an operator ends a child", () =>
    Effect.gen(function*() {
      const { child, notes, recorded } = makeScene()
      const tree = Supervisor.make("app", { ...app, strategy: "one_for_one", restart: restart(1), events, children: [child("a")] })
      const running = yield* Effect.provide(Supervisor.start(tree), recorded.layer)
      yield* running.terminateChild("a")
      yield* running.restartChild("a")
      assert.deepStrictEqual(notes, ["a starts: undefined", "a ends: undefined", "a starts: undefined"])
    }).pipe(Effect.scoped))
})
