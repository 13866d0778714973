import { assert, describe, it } from "@effect/vitest"
import {
  Child,
  DynamicSupervisor,
  Event,
  ExitReason,
  InvalidSpec,
  RegisteredName,
  RestartPolicy,
  Simulation,
  Supervisor,
  SupervisorEvent,
  Tree
} from "@snakepit/core"
import { RecordedEvents, ScriptedChild } from "@snakepit/core/testing"
import { Clock, Context, Effect, Exit, Fiber, Layer, Logger, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { common, three } from "./AppContract.ts"

const events = SupervisorEvent.of("app_supervisor", "root")
const restarts = (maxRestarts: number) =>
  RestartPolicy.make({ intensity: { maxRestarts, within: "10 seconds" }, delay: Schedule.spaced(0) })
const backoff = RestartPolicy.make({ intensity: { maxRestarts: 5, within: "1 minute" }, delay: Schedule.spaced("1 second") })

const statusOf = (node: Tree.SupervisorNode, id: string) => Tree.flatten(node).find((child) => child.id === id)?.status

describe("a supervisor", () => {
  it.effect("starts its children in order and stops them in reverse", () =>
    Effect.gen(function*() {
      const { a, b, c, journal } = three()
      yield* Effect.scoped(
        Supervisor.start(Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a, b, c] }))
      )
      assert.deepStrictEqual(ScriptedChild.lines(journal, "up", "down"), ["a up", "b up", "c up", "c down", "b down", "a down"])
    }))

  it.effect("starts no child before the one before it has acknowledged", () =>
    Effect.gen(function*() {
      const { a, b, c, journal } = three({ startTakes: "1 second" })
      const booting = yield* Effect.forkChild(
        Supervisor.start(Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a, b, c] })),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1500 millis")
      assert.deepStrictEqual(ScriptedChild.lines(journal), ["a starting", "a up", "b starting"])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(booting)
    }))

  it.effect("that cannot start says which child refused and why, and stops those that had started", () =>
    Effect.gen(function*() {
      const { a, b, c, journal } = three()
      yield* c.failNextStarts(1, "no disk")
      const error = yield* Effect.flip(Effect.scoped(
        Supervisor.start(Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(9), children: [a, b, c] }))
      ))
      assert.strictEqual(error.at.path, "app/c")
      assert.instanceOf(error.at.error, ScriptedChild.ScriptedError)
      assert.include(error.message, "app/c did not start")
      assert.deepStrictEqual(ScriptedChild.lines(journal, "up", "refused", "down"), [
        "a up",
        "b up",
        "c refused",
        "b down",
        "a down"
      ])
    }))

  it.effect("that cannot start because one below it cannot keeps the leaf's path and error (S-7)", () =>
    Effect.gen(function*() {
      const { a } = three()
      yield* a.failNextStarts(1, "no disk")
      const policy = { ...common, strategy: "one_for_one", restart: restarts(9) } as const
      const inner = Supervisor.make("inner", { ...policy, children: [a] })
      const middle = Supervisor.make("middle", { ...policy, children: [inner] })
      const { at } = yield* Effect.flip(Effect.scoped(Supervisor.start(Supervisor.make("app", { ...policy, children: [middle] }))))
      assert.strictEqual(at.path, "app/middle/inner/a")
      assert.instanceOf(at.error, ScriptedChild.ScriptedError)
    }))

  for (
    const [strategy, lines] of [
      ["one_for_one", ["b down", "b up"]],
      ["one_for_all", ["b down", "c down", "a down", "a up", "b up", "c up"]],
      ["rest_for_one", ["b down", "c down", "b up", "c up"]]
    ] as const
  ) {
    it.effect(`restarts by ${strategy} exactly its victims, in order`, () =>
      Effect.gen(function*() {
        const { a, b, c, journal } = three()
        yield* Supervisor.start(Supervisor.make("app", { ...common, strategy, restart: restarts(1), children: [a, b, c] }))
        ScriptedChild.takeLines(journal)
        yield* b.fail()
        yield* b.awaitUp(1)
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(ScriptedChild.lines(journal, "up", "down"), lines)
      }))
  }

  for (
    const [restart, ending, up] of [
      ["permanent", "end", true],
      ["permanent", "fail", true],
      ["permanent", "interrupt", true],
      ["transient", "end", false],
      ["transient", "fail", true],
      ["transient", "interrupt", false],
      ["temporary", "end", false],
      ["temporary", "fail", false]
    ] as const
  ) {
    it.effect(`${up ? "restarts" : "leaves"} a ${restart} child that ends by ${ending}`, () =>
      Effect.gen(function*() {
        const recorded = RecordedEvents.make()
        const child = ScriptedChild.make("child", { restart })
        const running = yield* Effect.provide(
          Supervisor.start(Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [child] })),
          recorded.layer
        )
        yield* ending === "fail" ? child.fail() : child[ending]
        yield* TestClock.adjust(0)
        assert.strictEqual(child.generation(), up ? 1 : undefined)
        assert.lengthOf(recorded.ofVerb("restart"), up ? 1 : 0)
        assert.lengthOf(recorded.ofVerb("leave"), up ? 0 : 1)
        assert.lengthOf((yield* running.tree).children, restart === "temporary" ? 0 : 1)
      }))
  }

  it.effect("waits the delay of its policy before a start, and answers meanwhile", () =>
    Effect.gen(function*() {
      const { a, b, c } = three()
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "one_for_one", restart: backoff, children: [a, b, c] })
      )
      yield* b.fail("full")
      yield* TestClock.adjust("999 millis")
      const waiting = yield* running.tree
      assert.strictEqual(statusOf(waiting, "b"), "waiting")
      assert.include(Tree.render(waiting), "b  waiting (ScriptedError: b: full)")
      yield* c.fail() // another exit is handled while the delay runs
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(b.generation(), 1)
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(c.generation(), 1)
    }))

  it.effect("answers while a child starts for thirty seconds and while one stops for five", () =>
    Effect.gen(function*() {
      const { a, b, c } = three()
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(3), children: [a, b, c] })
      )
      yield* a.setStartTakes("30 seconds")
      yield* b.setStopTakes("4 seconds")
      yield* a.fail()
      const terminated = yield* Effect.forkChild(running.terminateChild("b"), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      const node = yield* running.tree
      assert.strictEqual(statusOf(node, "a"), "starting")
      assert.strictEqual(statusOf(node, "b"), "stopping")
      yield* running.terminateChild("c")
      assert.strictEqual(statusOf(yield* running.tree, "c"), "down")
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(terminated)
      yield* running.terminateChild("a") // interrupts its start
      assert.strictEqual(statusOf(yield* running.tree, "a"), "down")
    }))

  it.effect("answers in the middle of a restart loop that nothing slows down", () =>
    Effect.gen(function*() {
      const crashing = Child.make("crashing", { start: Effect.succeed(Effect.fail("at once")) })
      const { a } = three()
      const unlimited = RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced(0) })
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "one_for_one", restart: unlimited, children: [crashing, a] })
      )
      const restarts = Effect.map(running.tree, ({ children }) => children[0]!.restarts)
      const before = yield* restarts
      yield* Effect.yieldNow
      assert.isAbove(yield* restarts, before)
      yield* running.terminateChild("crashing")
      const after = yield* restarts
      yield* Effect.yieldNow
      assert.strictEqual(yield* restarts, after)
      assert.strictEqual(statusOf(yield* running.tree, "a"), "running")
    }))

  it.effect("counts a child that is failed by a monitor, and replaces it", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      const { a, b, c, journal } = three()
      const running = yield* Effect.provide(
        Supervisor.start(Supervisor.make("app", { ...common, strategy: "rest_for_one", restart: restarts(1), children: [a, b, c] })),
        recorded.layer
      )
      ScriptedChild.takeLines(journal)
      yield* running.failChild("b", new Error("frozen"))
      yield* b.awaitUp(1)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(ScriptedChild.lines(journal, "up", "down"), ["b down", "c down", "b up", "c up"])
      const [restart] = recorded.ofVerb("restart")
      assert.include(restart!.attributes, { child: "b", reason: "Failed", cause: "Error: frozen" })
      assert.strictEqual(restart!.measurements["budgetLeft"], 0)
      yield* running.failChild("b", new Error("frozen again"))
      const gaveUp = yield* Effect.flip(running.life)
      assert.strictEqual(gaveUp.because.path, "app/b")
      assert.include((yield* Effect.flip(running.failChild("nobody", "x"))).message, `app has no child "nobody"`)
    }))

  it.effect("does not count a child that is terminated and restarted by its operator", () =>
    Effect.gen(function*() {
      const { a, b, c } = three()
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "one_for_all", restart: restarts(0), children: [a, b, c] })
      )
      for (let generation = 1; generation <= 5; generation++) {
        yield* running.terminateChild("b")
        assert.strictEqual(yield* running.restartChild("b"), generation)
      }
      assert.strictEqual((yield* running.tree).budgetLeft, 0)
      assert.deepStrictEqual([a.starts(), b.starts(), c.starts()], [1, 6, 1])
    }))

  it.effect("leaves a child down that its operator stopped, through a restart of its group", () =>
    Effect.gen(function*() {
      const { a, b, c } = three()
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "one_for_all", restart: restarts(1), children: [a, b, c] })
      )
      yield* running.terminateChild("b")
      yield* a.fail()
      yield* c.awaitUp(1)
      assert.strictEqual(b.generation(), undefined)
      assert.strictEqual(statusOf(yield* running.tree, "b"), "down")
    }))

  it.effect("refuses to delete a child that runs, and forgets one that is down", () =>
    Effect.gen(function*() {
      const { a, b, c } = three()
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a, b, c] })
      )
      assert.strictEqual((yield* Effect.flip(running.deleteChild("b")))._tag, "ChildPresent")
      yield* running.terminateChild("b")
      yield* running.deleteChild("b")
      assert.strictEqual((yield* Effect.flip(running.restartChild("b")))._tag, "ChildNotFound")
      assert.strictEqual((yield* Effect.flip(running.restartChild("a")))._tag, "ChildPresent")
    }))

  it.effect("leaves behind a child that does not stop within its time, and goes on", () =>
    Effect.gen(function*() {
      const journal = ScriptedChild.journal()
      const a = ScriptedChild.make("a", { journal })
      const stuck = ScriptedChild.make("stuck", { journal, shutdown: "2 seconds", stopTakes: "forever" })
      const brutal = ScriptedChild.make("brutal", { journal, shutdown: "brutal", stopTakes: "forever" })
      const recorded = RecordedEvents.make()
      const stopped = yield* Effect.forkChild(
        Effect.provide(
          Effect.scoped(
            Supervisor.start(
              Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a, stuck, brutal] })
            )
          ),
          recorded.layer
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(stopped.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(stopped)
      assert.deepStrictEqual(ScriptedChild.lines(journal, "stopping", "down"), [
        "brutal stopping",
        "stuck stopping",
        "a stopping",
        "a down"
      ])
    }))

  it.effect("counts a restart whose start fails, and tries again", () =>
    Effect.gen(function*() {
      const { a, b, c, journal } = three()
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "rest_for_one", restart: restarts(4), children: [a, b, c] })
      )
      ScriptedChild.takeLines(journal)
      yield* b.failNextStarts(2)
      yield* a.fail()
      yield* c.awaitUp(1)
      assert.deepStrictEqual([a.starts(), b.starts(), c.starts()], [2, 4, 2]) // OTP G-9
      assert.strictEqual((yield* running.tree).budgetLeft, 1)
    }))

  it.effect("carries the start error when the restarts are spent on it", () =>
    Effect.gen(function*() {
      const child = ScriptedChild.make("child")
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(3), children: [child] })
      )
      yield* child.failNextStarts(99, "no disk")
      yield* child.fail()
      const gaveUp = yield* Effect.flip(running.life)
      assert.strictEqual(child.starts(), 4)
      assert.strictEqual((gaveUp.because.error as ScriptedChild.ScriptedError).reason, "no disk")
      assert.include(gaveUp.message, "supervisor app gave up: more than 3 restarts within 10000 ms")
    }))

  it.effect("holds an exit that comes while it boots until all children are up", () =>
    Effect.gen(function*() {
      const { a, b, c, journal } = three()
      yield* b.setStartTakes("1 second")
      const booting = yield* Effect.forkChild(
        Supervisor.start(Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a, b, c] })),
        { startImmediately: true }
      )
      yield* TestClock.adjust("500 millis")
      yield* a.fail()
      yield* TestClock.adjust("500 millis")
      yield* Fiber.join(booting)
      yield* a.awaitUp(1)
      assert.deepStrictEqual(ScriptedChild.lines(journal, "up", "down"), ["a up", "a down", "b up", "c up", "a up"])
    }))

  it.effect("escalates with the leaf's path and error, the supervisors between, and one incident", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      const leaf = ScriptedChild.make("leaf")
      const inner = Supervisor.make("inner", {
        ...common,
        strategy: "one_for_one",
        restart: restarts(0),
        labels: { pool: "default", slot: 3 },
        children: [leaf]
      })
      const outer = Supervisor.make("outer", { ...common, strategy: "one_for_one", restart: restarts(0), children: [inner] })
      const running = yield* Effect.provide(
        Supervisor.start(Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(0), children: [outer] })),
        recorded.layer
      )
      yield* leaf.fail("boom")
      const gaveUp = yield* Effect.flip(running.life)
      assert.strictEqual(gaveUp.path, "app")
      assert.strictEqual(gaveUp.because.path, "app/outer/inner/leaf")
      assert.instanceOf(gaveUp.because.error, ScriptedChild.ScriptedError)
      assert.deepStrictEqual(gaveUp.escalated, ["app/outer/inner", "app/outer"])
      const told = recorded.ofVerb("give_up")
      assert.deepStrictEqual(told.map(({ attributes }) => attributes["path"]), ["app/outer/inner", "app/outer", "app"])
      assert.strictEqual(new Set(told.map(({ attributes }) => attributes["incident"])).size, 1)
      assert.strictEqual(told[0]!.attributes["incident"], gaveUp.incident)
      assert.include(told[0]!.attributes, { "snakepit.layer": "root", pool: "default", slot: 3, child: "leaf" })
    }))

  it.effect("tells one event for each decision, with what it decided", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      const { a, b, c } = three()
      yield* Effect.scoped(Effect.gen(function*() {
        const running = yield* Supervisor.start(
          Supervisor.make("app", { ...common, strategy: "rest_for_one", restart: backoff, children: [a, b, c] })
        )
        yield* b.die(new TypeError("a bug"))
        yield* TestClock.adjust("1 second")
        yield* running.terminateChild("c")
      })).pipe(Effect.provide(recorded.layer))
      assert.deepStrictEqual(recorded.names().map((name) => name.split(".").at(-1)), [
        "start",
        "restart",
        "recover",
        "terminate",
        "terminate"
      ])
      const [, restart, recover] = recorded.events
      assert.deepInclude(restart!.measurements, { delayMillis: 1000, budgetLeft: 4, victims: 1 })
      assert.include(restart!.attributes, { path: "app", child: "b", generation: 0, reason: "Defect", cause: "defect: TypeError: a bug" })
      assert.include(recover!.attributes, { child: "b", generation: 1, incident: restart!.attributes["incident"] })
      assert.strictEqual(recover!.measurements["tookMillis"], 1000)
    }))

  for (
    const [autoShutdown, ended] of [["any", 1], ["all", 2]] as const
  ) {
    it.effect(`ends by itself when ${autoShutdown} of its significant children ended for good`, () =>
      Effect.gen(function*() {
        const journal = ScriptedChild.journal()
        const a = ScriptedChild.make("a", { journal, restart: "transient", significant: true })
        const b = ScriptedChild.make("b", { journal, restart: "temporary", significant: true })
        const c = ScriptedChild.make("c", { journal })
        const running = yield* Supervisor.start(
          Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), autoShutdown, children: [a, b, c] })
        )
        const life = yield* Effect.forkChild(running.life, { startImmediately: true })
        yield* a.end
        yield* TestClock.adjust(0)
        assert.strictEqual(life.pollUnsafe() !== undefined, ended === 1)
        if (ended === 2) yield* b.fail()
        yield* Fiber.join(life)
        assert.strictEqual(ScriptedChild.lines(journal, "down").at(-1), ended === 1 ? "b down" : "c down")
      }))
  }

  it.effect("gives a child its path and generation, and a handle to itself", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const child = Child.make("child", {
        start: Effect.gen(function*() {
          const { generation, path } = yield* Child.CurrentChild
          const { path: above } = yield* Supervisor.CurrentSupervisor
          seen.push(`${path} ${generation} of ${above}`)
          return Effect.never
        })
      })
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [child] })
      )
      yield* running.failChild("child", "again")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen, ["app/child 0 of app", "app/child 1 of app"])
    }))

  it.effect("runs as a program, and stops everything when it is interrupted", () =>
    Effect.gen(function*() {
      const { a, b, c, journal } = three()
      const program = yield* Effect.forkChild(
        Supervisor.run(Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a, b, c] })),
        { startImmediately: true }
      )
      yield* c.awaitUp(0)
      yield* Fiber.interrupt(program)
      assert.deepStrictEqual(ScriptedChild.lines(journal, "down"), ["c down", "b down", "a down"])
    }))

  it.effect("is a layer whose service is the running tree", () =>
    Effect.gen(function*() {
      const { a, b, c, journal } = three()
      const tree = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a, b, c] })
      class App extends Context.Service<App, Supervisor.Running<Supervisor.Escalation<typeof tree>>>()("test/App") {}
      const path = yield* Effect.map(App, (app) => app.path).pipe(Effect.provide(Layer.fresh(Supervisor.layer(App, tree))))
      assert.strictEqual(path, "app")
      assert.deepStrictEqual(ScriptedChild.lines(journal, "down"), ["c down", "b down", "a down"])
    }))

  describe("under a layer", () => {
    const crashing = () => {
      const child = ScriptedChild.make("child")
      const tree = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(0), children: [child] })
      class App extends Context.Service<App, Supervisor.RunningOf<typeof tree>>()("test/Crashing") {}
      const logged: Array<string> = []
      const logger = Logger.layer([Logger.make(({ logLevel, message }) => logged.push(`${logLevel} ${String(message)}`))])
      const layer = Layer.fresh(Supervisor.layer(App, tree)).pipe(Layer.provideMerge(logger))
      return { App, child, layer, logged }
    }

    it.effect("ends a supervised program with its typed error when it gives up", () =>
      Effect.gen(function*() {
        const { App, child, layer } = crashing()
        const program = yield* Effect.never.pipe(Supervisor.supervised(App), Effect.provide(layer), Effect.forkChild)
        yield* child.awaitUp(0)
        yield* child.fail("boom")
        const error = yield* Effect.flip(Fiber.join(program))
        assert.strictEqual(error._tag === "GaveUp" ? error.because.path : error._tag, "app/child")
      }))

    it.effect("is not silent when nobody watches it give up", () =>
      Effect.gen(function*() {
        const { App, child, layer, logged } = crashing()
        const program = yield* Effect.flatMap(App, () => Effect.never).pipe(Effect.provide(layer), Effect.forkChild)
        yield* child.awaitUp(0)
        yield* child.fail("boom")
        yield* TestClock.adjust(0)
        assert.lengthOf(logged, 1)
        assert.match(logged[0]!, /^Fatal supervisor app gave up: more than 0 restarts within 10000 ms.*at app\/child: .*boom/)
        yield* Fiber.interrupt(program)
      }))

    it.effect("says nothing when it is stopped, and lets the program go on", () =>
      Effect.gen(function*() {
        const { App, layer, logged } = crashing()
        const program = Effect.gen(function*() {
          const app = yield* App
          yield* app.stop("it is late")
          yield* app.life
          return yield* Effect.as(Effect.sleep("1 second"), "went on")
        }).pipe(Supervisor.supervised(App), Effect.provide(layer))
        const running = yield* Effect.forkChild(program)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(running), "went on")
        assert.deepStrictEqual(logged, [])
      }))
  })

  it.effect("is known under a name inside its tree, in each of its generations, until it is gone", () =>
    Effect.gen(function*() {
      const template = DynamicSupervisor.make("fleet", {
        ...common,
        restart: restarts(0),
        child: (key) => ScriptedChild.make(key)
      })
      const fleet = RegisteredName.make<Supervisor.RunningOf<typeof template>>("fleet")
      const user = ScriptedChild.make("user")
      const tree = Supervisor.make("app", {
        ...common,
        strategy: "one_for_one",
        restart: restarts(1),
        children: [Supervisor.registered(template, fleet), user]
      })
      yield* Effect.scoped(Effect.gen(function*() {
        const app = yield* Supervisor.start(tree)
        const first = yield* RegisteredName.whereis(fleet)
        assert.strictEqual(yield* first.startChild("a"), 0)
        assert.strictEqual((yield* app.count).active, 2)
        yield* first.change(template) // keeps its name
        yield* first.failChild("a", "boom")
        yield* TestClock.adjust(0)
        const second = yield* RegisteredName.whereis(fleet)
        assert.notStrictEqual(second, first)
        assert.strictEqual((yield* second.count).specs, 0)
        assert.strictEqual(yield* second.startChild("a"), 0)
      }))
      assert.strictEqual((yield* Effect.flip(RegisteredName.whereis(fleet)))._tag, "NotRegistered")
    }))

  it.effect("tells a watcher when it is up, and why it is down", () =>
    Effect.gen(function*() {
      const child = ScriptedChild.make("child")
      const told: Array<string> = []
      const inner = Supervisor.watched(
        Supervisor.make("inner", { ...common, strategy: "one_for_one", restart: restarts(0), children: [child] }),
        {
          up: Effect.sync(() => told.push("up")),
          down: (error) => Effect.sync(() => told.push(error._tag === "GaveUp" ? error.because.path : error.at.path))
        }
      )
      yield* Supervisor.start(Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(2), children: [inner] }))
      yield* child.failNextStarts(1)
      yield* child.fail("boom")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(told, ["up", "app/inner/child", "app/inner/child", "up"])
      assert.strictEqual(child.starts(), 3)
    }))

  it("cannot be made with two children of one id, however they came to it", () => {
    const ids: ReadonlyArray<string> = ["a", "a"]
    assert.throws(
      () =>
        Supervisor.make("app", {
          ...common,
          strategy: "one_for_one",
          restart: restarts(1),
          children: ids.map((id) => ScriptedChild.make(id))
        }),
      InvalidSpec.InvalidSpec,
      `child "a" of supervisor "app" is not valid: id must be different from the ids of the children before it; got "a"`
    )
  })

  it("has a contract that follows from what it was made with", () => {
    const { a, b } = three({ shutdown: "1 second" })
    const inner = Supervisor.make("inner", { ...common, strategy: "one_for_all", restart: restarts(2), children: [b], stoppedBy: ["app"] })
    const { contract } = Supervisor.make("app", { ...common, strategy: "rest_for_one", restart: restarts(1), children: [a, inner] })
    assert.strictEqual(contract.strategy, "rest_for_one")
    assert.deepStrictEqual(contract.intensity, { maxRestarts: 1, withinMillis: 10_000 })
    assert.deepStrictEqual(contract.children.map(({ id, shutdown }) => [id, shutdown]), [["a", 1000], ["inner", "infinity"]])
    assert.deepStrictEqual(contract.children[1]!.supervisor?.stoppedBy, ["app"])
    assert.include(contract.events, "snakepit.app_supervisor.give_up")
  })
})

describe("a supervisor whose wall clock is set", () => {
  /** The test's clock, with a wall clock of its own. */
  const skewed = (wall: { skew: number }) =>
    Effect.map(
      Clock.Clock,
      (clock): Clock.Clock =>
        Object.create(clock, { currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + wall.skew } })
    )

  it.effect("counts restarts by the monotonic one", () =>
    Effect.gen(function*() {
      const wall = { skew: 0 }
      const clock = yield* skewed(wall)
      const a = ScriptedChild.make("a")
      const tree = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a] })
      const running = yield* Effect.provideService(Supervisor.start(tree), Clock.Clock, clock)
      yield* a.fail()
      yield* TestClock.adjust(0)
      wall.skew = 3_600_000 // an hour forth: the first restart counts all the same
      yield* a.fail()
      assert.strictEqual((yield* Effect.flip(running.life)).because.path, "app/a")
    }))

  it.effect("ends a delay when the monotonic one says so", () =>
    Effect.gen(function*() {
      const wall = { skew: 0 }
      const clock = yield* skewed(wall)
      const { a, b } = three()
      const tree = Supervisor.make("app", { ...common, strategy: "one_for_all", restart: backoff, children: [a, b] })
      yield* Effect.provideService(Supervisor.start(tree), Clock.Clock, clock)
      yield* a.fail()
      yield* TestClock.adjust(0)
      wall.skew = -3_600_000
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([a.generation(), b.generation()], [1, 1])
    }))
})

describe("a supervisor of children that are slow to be gone", () => {
  it.effect("tells that it left one behind which had ended by itself", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      const a = ScriptedChild.make("a", { stopTakes: "forever", shutdown: "1 second" })
      const tree = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: restarts(1), children: [a] })
      yield* Effect.provide(Supervisor.start(tree), recorded.layer)
      yield* a.fail()
      yield* TestClock.adjust("1 second")
      yield* a.setStopTakes(0)
      assert.deepStrictEqual(recorded.names().map((name) => name.split(".")[2]), ["start", "abandon", "restart", "recover"])
    }))

  it.effect("keeps no timer for a child that is terminated while its delay runs", () =>
    Effect.sync(() => {
      const tree = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: backoff, children: [ScriptedChild.make("a")] })
      const simulated = Simulation.make(tree)
      simulated.boot()
      simulated.play(Simulation.Line.Exit({ path: "app/a", how: "failed" }))
      assert.strictEqual(simulated.nextTimer, 1000)
      simulated.play(Simulation.Line.TerminateChild({ path: "app/a" }))
      assert.strictEqual(simulated.nextTimer, undefined)
    }))
})

describe("an exit reason", () => {
  it("is read from an exit: a failure before a defect, a defect before an interruption", () => {
    assert.strictEqual(ExitReason.fromExit(Exit.void)._tag, "Normal")
    assert.strictEqual(ExitReason.fromExit(Exit.interrupt())._tag, "Shutdown")
    assert.strictEqual(ExitReason.fromExit(Exit.die("x"))._tag, "Defect")
    assert.deepStrictEqual(ExitReason.fromExit(Exit.fail("x")), ExitReason.ExitReason.Failed({ error: "x" }))
  })
})

describe("an event", () => {
  it.effect("is stamped by the clock and carries its layer", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      yield* TestClock.setTime(1234)
      yield* Event.emit(events.start, { children: 0 }, { path: "app", pool: undefined, slot: undefined, heard: "", incident: undefined })
        .pipe(
          Effect.provideService(Event.EventSink, recorded.sink)
        )
      assert.deepInclude(recorded.events[0], { name: "snakepit.app_supervisor.start", at: 1234, measurements: { children: 0 } })
      assert.strictEqual(recorded.events[0]!.attributes["snakepit.layer"], "root")
    }))
})
