/** What a tree that runs really escalates is among what its type says: each `satisfies` below holds the value to the type. */
import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Supervisor, SupervisorError, SupervisorEvent } from "@snakepit/core"
import { Effect, Schedule } from "effect"

class Refused extends Error {
  readonly _tag = "Refused"
}

const common = {
  plane: "control",
  strategy: "one_for_one",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 0, within: "10 seconds" } }),
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("app_supervisor", "root")
} as const
const once = RestartPolicy.make({ intensity: { maxRestarts: 1, within: "10 seconds" }, delay: Schedule.spaced(0) })
const unlimited = RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced(0) })

/** Starts well the first time, and as told from then on. */
const startsOnce = <E>(again: Effect.Effect<never, E>): Effect.Effect<Effect.Effect<never>, E> => {
  let starts = 0
  return Effect.suspend(() => starts++ === 0 ? Effect.succeed(Effect.never) : again)
}

const failing = Child.make("failing", { start: Effect.succeed(Effect.fail(new Refused())) })

const gaveUp = <T extends Supervisor.Any>(tree: T) =>
  Effect.scoped(Effect.flatMap(Supervisor.start(tree), (running) => Effect.flip(running.life)))

describe("a tree escalates", () => {
  it.effect("the start error of a temporary child, once its supervisor is restarted", () =>
    Effect.gen(function*() {
      const task = Child.make("task", { start: startsOnce(Effect.fail("refused" as const)), restart: "temporary" })
      const inner = Supervisor.make("inner", { ...common, children: [task, failing] })
      const { because } = yield* gaveUp(Supervisor.make("root", { ...common, restart: once, children: [inner] }))
      assert.deepStrictEqual(because, { path: "root/inner/task", error: "refused" } satisfies typeof because)
    }))

  it.effect("the defect of a supervisor whose restart died", () =>
    Effect.gen(function*() {
      const fragile = Child.make("fragile", { start: startsOnce(Effect.die("a bug")), restart: "temporary" })
      const inner = Supervisor.make("inner", { ...common, children: [fragile, failing] })
      const { because } = yield* gaveUp(Supervisor.make("root", { ...common, restart: once, children: [inner] }))
      const expected = { path: "root/inner", error: new SupervisorError.Defect({ defect: "a bug" }) } satisfies typeof because
      assert.strictEqual(because.path, expected.path)
      assert.instanceOf(because.error, SupervisorError.Defect)
    }))

  it.effect("the ending of a permanent supervisor that shut itself down", () =>
    Effect.gen(function*() {
      const job = Child.make("job", { start: Effect.succeed(Effect.void), restart: "transient", significant: true })
      const inner = Supervisor.make("inner", { ...common, autoShutdown: "any", children: [job] })
      const { because } = yield* gaveUp(Supervisor.make("root", { ...common, children: [inner] }))
      const expected = { path: "root/inner", error: new SupervisorError.Ended({ cause: "" }) } satisfies typeof because
      assert.strictEqual(because.path, expected.path)
      assert.instanceOf(because.error, SupervisorError.Ended)
    }))

  it.effect("the start error of an unlimited supervisor, once a sibling takes it along", () =>
    Effect.gen(function*() {
      const exporter = Child.make("exporter", { start: startsOnce(Effect.fail("refused" as const)) })
      const watchers = Supervisor.make("watchers", { ...common, restart: unlimited, children: [exporter] })
      const { because } = yield* gaveUp(
        Supervisor.make("root", { ...common, restart: once, strategy: "one_for_all", children: [watchers, failing] })
      )
      assert.deepStrictEqual(because, { path: "root/watchers/exporter", error: "refused" } satisfies typeof because)
    }))

  it.effect("what a monitor failed a child with as a defect: the child does not declare it", () =>
    Effect.gen(function*() {
      const quiet = Child.make("quiet", { start: Effect.succeed(Effect.never) })
      const running = yield* Supervisor.start(Supervisor.make("root", { ...common, children: [quiet] }))
      yield* running.failChild("quiet", "heartbeat lost")
      const { because } = yield* Effect.flip(running.life)
      const expected = { path: "root/quiet", error: new SupervisorError.Defect({ defect: "heartbeat lost" }) } satisfies typeof because
      assert.deepStrictEqual(because, expected)
    }))

  it.effect("an unlimited supervisor that is failed from outside, as a defect that no type names: by itself it never ends", () =>
    Effect.gen(function*() {
      const quiet = Child.make("quiet", { start: Effect.succeed(Effect.never) })
      const watchers = Supervisor.make("watchers", { ...common, restart: unlimited, children: [quiet] })
      const running = yield* Supervisor.start(Supervisor.make("root", { ...common, children: [watchers] }))
      const life: Effect.Effect<void> = running.life
      yield* running.failChild("watchers", "by hand")
      const error = yield* Effect.flip(life as Effect.Effect<void, { readonly because: unknown }>)
      assert.deepStrictEqual(error.because, { path: "root/watchers", error: new SupervisorError.Defect({ defect: "by hand" }) })
    }))

  it.effect("whole, the error of a supervisor that a plain child runs for itself", () =>
    Effect.gen(function*() {
      const inner = Supervisor.make("inner", { ...common, children: [failing] })
      const host = Child.make("host", { start: Effect.map(Supervisor.start(inner), ({ life }) => life) })
      const { because } = yield* gaveUp(Supervisor.make("root", { ...common, children: [host] }))
      assert.deepStrictEqual([because.path, because.error._tag], ["root/host", "GaveUp"] satisfies [typeof because.path, string])
    }))

  it.effect("a start that interrupted itself as a defect, of a transient child too", () =>
    Effect.gen(function*() {
      const fickle = Child.make("fickle", { start: startsOnce(Effect.interrupt), restart: "transient" })
      const running = yield* Supervisor.start(Supervisor.make("root", { ...common, restart: once, children: [fickle] }))
      yield* running.failChild("fickle", "frozen")
      const { because } = yield* Effect.flip(running.life)
      assert.deepStrictEqual([because.path, because.error._tag], ["root/fickle", "Defect"] satisfies [typeof because.path, string])
    }))

  it.effect("through an unlimited supervisor what its delay refuses, told in words", () =>
    Effect.gen(function*() {
      const broke = Schedule.fromStepWithMetadata(Effect.succeed(() => Effect.fail("no more money" as const)))
      const tree = Supervisor.make("root", {
        ...common,
        restart: RestartPolicy.make({ intensity: "unlimited", delay: broke }),
        children: [failing]
      })
      const error = yield* gaveUp(tree)
      assert.strictEqual(error.limit, "no more money" satisfies typeof error.limit)
      assert.include(error.message, "supervisor root gave up: the delay schedule refused: no more money.")
    }))
})

describe("a program that handles what its tree may do", () => {
  it.effect("runs as it is", () =>
    Effect.gen(function*() {
      const handled = Supervisor.run(Supervisor.make("root", { ...common, children: [failing] })).pipe(
        Effect.catchTag("GaveUp", (error) => Effect.succeed(error.path)),
        Supervisor.handled
      )
      assert.strictEqual(yield* handled, "root")
    }))
})
