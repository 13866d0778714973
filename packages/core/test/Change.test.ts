import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, RestartPolicy, Semantics, Supervisor, SupervisorEvent, type Tree } from "@snakepit/core"
import { RecordedEvents, ScriptedChild } from "@snakepit/core/testing"
import { Context, Effect, Fiber, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { common, three } from "./AppContract.ts"

const restarts = (maxRestarts: number, delay: Schedule.Schedule<unknown> = Schedule.spaced(0)) =>
  RestartPolicy.make({ intensity: { maxRestarts, within: "10 seconds" }, delay })
const options = { ...common, strategy: "one_for_one", restart: restarts(5), added: (key: string) => ScriptedChild.make(key) } as const

/** The ids in start order, each with its status and its generation. */
const standing = ({ children }: Tree.SupervisorNode) => children.map(({ generation, id, status }) => `${id} ${status} ${generation}`)

describe("a running supervisor that is changed", () => {
  it.effect("keeps what runs, adds what is new without starting it, and keeps what is listed no more after the listed ones (C-2 … C-5)", () =>
    Effect.gen(function*() {
      const { a, b, c, journal } = three()
      const n = ScriptedChild.make("n", { journal })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [a, b, c] }))
      ScriptedChild.takeLines(journal)
      yield* running.change(Supervisor.make("app", { ...options, children: [n, c, a] }))
      assert.deepStrictEqual(standing(yield* running.tree), ["n down -1", "c running 0", "a running 0", "b running 0"])
      assert.deepStrictEqual(ScriptedChild.lines(journal), [])
      assert.strictEqual((yield* running.tree).children[0]!.because, "not started")
      yield* running.restartChild("n")
      yield* running.stop("the test is over")
      assert.deepStrictEqual(ScriptedChild.lines(journal, "up", "down"), ["n up", "b down", "a down", "c down", "n down"])
    }))

  it.effect("is not refused for semantics that are equal, though not the same value", () =>
    Effect.gen(function*() {
      const { a } = three()
      const make = () => Supervisor.make("app", { ...options, semantics: { ...Semantics.otp, delay: "policy" }, children: [a] })
      const running = yield* Supervisor.start(make())
      yield* running.change(make())
    }))

  it.effect("starts a new child with its group only where OTP's semantics revive what is down", () =>
    Effect.gen(function*() {
      for (const semantics of [Semantics.production, Semantics.otp]) {
        const { a, b } = three()
        const group = { ...options, strategy: "one_for_all", semantics } as const
        const running = yield* Supervisor.start(Supervisor.make("app", { ...group, children: [a] }))
        yield* running.change(Supervisor.make("app", { ...group, children: [a, b] }))
        yield* a.fail()
        yield* TestClock.adjust(0)
        assert.deepStrictEqual([a.generation(), b.generation()], [1, semantics.revive ? 0 : undefined])
      }
    }))

  it.effect("restarts a known child by its new start, its new restart type and its new shutdown from the next event on (C-3)", () =>
    Effect.gen(function*() {
      const journal = ScriptedChild.journal()
      const a = ScriptedChild.make("a", { journal, stopTakes: "forever" })
      const next = ScriptedChild.make("a", { journal, restart: "transient", shutdown: "1 second" })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [a] }))
      yield* running.change(Supervisor.make("app", { ...options, children: [next] }))
      assert.deepInclude(yield* running.childSpec("a"), { restart: "transient", shutdown: 1000 })
      const terminated = yield* Effect.forkChild(running.terminateChild("a"), { startImmediately: true })
      yield* TestClock.adjust("1 second") // the old shutdown is 5 seconds
      yield* Fiber.join(terminated)
      yield* running.restartChild("a")
      assert.deepStrictEqual([a.starts(), next.starts(), next.generation()], [1, 1, 1])
      yield* next.end
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(standing(yield* running.tree), ["a down 1"]) // permanent it was, transient it is
    }))

  it.effect("releases a child that ends by itself within its new shutdown", () =>
    Effect.gen(function*() {
      const { a } = three({ stopTakes: "forever" })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [a] }))
      yield* running.change(Supervisor.make("app", { ...options, children: [{ ...a, shutdown: 1000 }] }))
      yield* a.fail()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(a.generation(), 1)
      yield* a.setStopTakes(0)
    }))

  it.effect("keeps the restarts counted so far, under the new limit (I-12)", () =>
    Effect.gen(function*() {
      const { a } = three()
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [a] }))
      yield* a.fail()
      yield* a.awaitUp(1)
      yield* running.change(Supervisor.make("app", { ...options, restart: restarts(2), children: [a] }))
      assert.strictEqual((yield* running.tree).budgetLeft, 1)
      yield* a.fail()
      yield* a.awaitUp(2)
      yield* a.fail()
      const gaveUp = yield* Effect.flip(running.life)
      assert.include(gaveUp.limit.message, "more than 2 restarts")
    }))

  it.effect("waits by its new delay from the next exit on", () =>
    Effect.gen(function*() {
      const { a, b } = three()
      const children = [a, b] as const
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...options, restart: restarts(9, Schedule.spaced("5 seconds")), children })
      )
      yield* a.fail()
      yield* TestClock.adjust(0)
      yield* running.change(Supervisor.make("app", { ...options, restart: restarts(9, Schedule.spaced("1 second")), children }))
      yield* b.fail()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([a.generation(), b.generation()], [undefined, 1])
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(a.generation(), 1)
    }))

  it.effect("restarts by its new strategy", () =>
    Effect.gen(function*() {
      const { a, b } = three()
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [a, b] }))
      yield* running.change(Supervisor.make("app", { ...options, strategy: "one_for_all", children: [a, b] }))
      assert.strictEqual((yield* running.tree).strategy, "one_for_all")
      yield* a.fail()
      yield* b.awaitUp(1)
    }))

  it.effect("changes its strategy once its group is whole, and keeps the old one until then", () =>
    Effect.gen(function*() {
      const { a, b } = three()
      const group = { ...options, strategy: "one_for_all", restart: restarts(9, Schedule.spaced("1 second")) } as const
      const running = yield* Supervisor.start(Supervisor.make("app", { ...group, children: [a, b] }))
      yield* a.fail()
      yield* TestClock.adjust(0)
      const changed = yield* Effect.forkChild(running.change(Supervisor.make("app", { ...options, children: [b, a] })), {
        startImmediately: true
      })
      assert.deepStrictEqual([(yield* running.tree).strategy, changed.pollUnsafe()], ["one_for_all", undefined])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(changed)
      assert.deepStrictEqual([a.generation(), b.generation(), (yield* running.tree).strategy], [1, 1, "one_for_one"])
    }))

  for (const strategy of ["one_for_all", "rest_for_one"] as const) {
    for (
      const [stage, at] of [["stops", "1500 millis"], ["waits for its delay", "3500 millis"], ["starts", "5500 millis"]] as const
    ) {
      it.effect(`is whole again when its order changes while its group ${stage} (${strategy})`, () =>
        Effect.gen(function*() {
          const { a, b, c } = three({ startTakes: "1 second", stopTakes: "1 second" })
          const group = { ...options, strategy, restart: restarts(9, Schedule.spaced("4 seconds")) } as const
          const booting = yield* Effect.forkChild(Supervisor.start(Supervisor.make("app", { ...group, children: [a, b, c] })), {
            startImmediately: true
          })
          yield* TestClock.adjust("3 seconds")
          const running = yield* Fiber.join(booting)
          yield* a.fail()
          yield* TestClock.adjust(at)
          yield* running.change(Supervisor.make("app", { ...group, children: [c, b, a] }))
          yield* TestClock.adjust("10 seconds")
          assert.deepStrictEqual(standing(yield* running.tree), ["c running 1", "b running 1", "a running 1"])
          for (const child of [a, b, c]) yield* child.setStopTakes(0)
        }))
    }
  }

  it.effect("tells its decisions under its new events and labels", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      const { a } = three()
      const running = yield* Effect.provide(Supervisor.start(Supervisor.make("app", { ...options, children: [a] })), recorded.layer)
      yield* running.change(Supervisor.make("app", {
        ...options,
        events: SupervisorEvent.of("other_supervisor", "root"),
        labels: { pool: "default" },
        children: [a]
      }))
      yield* running.terminateChild("a")
      const [event] = recorded.ofVerb("terminate")
      assert.deepStrictEqual([event!.name, event!.attributes["pool"]], ["snakepit.other_supervisor.terminate", "default"])
    }))

  describe("in its auto-shutdown", () => {
    const significant = (id: string) => ScriptedChild.make(id, { restart: "transient", significant: true })
    const make = (autoShutdown: "never" | "any" | "all", children: ReadonlyArray<ReturnType<typeof significant>>) =>
      Supervisor.make("app", { ...options, autoShutdown, children })

    for (
      const [from, to, endings] of [
        ["never", "any", 1],
        ["any", "never", undefined],
        ["never", "all", 2],
        ["all", "never", undefined],
        ["any", "all", 2],
        ["all", "any", 1]
      ] as const
    ) {
      it.effect(`from ${from} to ${to} ends nothing by itself, and counts from the next ending on (K-6)`, () =>
        Effect.gen(function*() {
          const children = [significant("a"), significant("b")]
          const plain = children.map((child) => ({ ...child, significant: false }))
          const running = yield* Supervisor.start(make(from, from === "never" ? plain : children))
          yield* running.change(make(to, to === "never" ? [] : children)) // a list with a significant child under never is refused
          assert.deepStrictEqual(standing(yield* running.tree), ["a running 0", "b running 0"])
          const life = yield* Effect.forkChild(running.life, { startImmediately: true })
          const ended: Array<boolean> = []
          for (const child of children) {
            if (life.pollUnsafe() !== undefined) break
            yield* child.end
            yield* TestClock.adjust(0)
            ended.push(life.pollUnsafe() !== undefined)
          }
          assert.strictEqual(ended.indexOf(true) + 1 || undefined, endings)
        }))
    }

    it.effect("respects a child's significance at its next end (K-7)", () =>
      Effect.gen(function*() {
        const plain = ScriptedChild.make("a", { restart: "transient" })
        const other = ScriptedChild.make("b", { restart: "transient", significant: true })
        const make = (a: typeof plain) => Supervisor.make("app", { ...options, autoShutdown: "any", children: [a, other] })
        const running = yield* Supervisor.start(make(plain))
        yield* running.change(make({ ...plain, significant: true } as unknown as typeof plain))
        yield* plain.end
        yield* running.life
      }))
  })

  describe("is refused, and goes on as it was,", () => {
    const a = ScriptedChild.make("a")
    const id: string = "app"
    for (
      const [what, next, message] of [
        ["when the id is another", Supervisor.make("other" as typeof id, { ...options, children: [a] }), `the new one is "other"`],
        [
          "when the kind is another",
          DynamicSupervisor.make(id, { ...common, restart: restarts(5), child: (key) => ScriptedChild.make(key) }),
          "it is static, and the new one is dynamic"
        ],
        [
          "when the semantics are others",
          Supervisor.make(id, { ...options, semantics: Semantics.otp, children: [a] }),
          "keeps its semantics"
        ]
      ] as const
    ) {
      it.effect(what, () =>
        Effect.gen(function*() {
          const running = yield* Supervisor.start(Supervisor.make(id, { ...options, children: [a] }) as Supervisor.Any)
          const before = yield* running.tree
          const error = yield* Effect.flip(running.change(next))
          assert.strictEqual(error._tag, "ChangeRefused")
          assert.include(error.message, message)
          assert.deepStrictEqual(yield* running.tree, before)
        }) as Effect.Effect<void>)
    }

    it.effect("when it is stopping", () =>
      Effect.gen(function*() {
        const slow = ScriptedChild.make("slow", { stopTakes: "1 second" })
        const tree = Supervisor.make("app", { ...options, children: [slow] })
        const running = yield* Supervisor.start(tree)
        const stopped = yield* Effect.forkChild(running.stop("a deploy"), { startImmediately: true })
        assert.strictEqual((yield* Effect.flip(running.change(tree)))._tag, "SupervisorStopping")
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(stopped)
        assert.strictEqual((yield* Effect.flip(running.change(tree)))._tag, "SupervisorStopping")
      }))
  })
})

describe("a changed supervisor below another", () => {
  const Inner = (children: ReadonlyArray<ScriptedChild.Any>, strategy: "one_for_one" | "one_for_all") =>
    Supervisor.make("inner", { ...options, strategy, children: children as ReadonlyArray<ReturnType<typeof ScriptedChild.make<string>>> })

  it.effect("is started by what it was changed to when the supervisor above restarts it, until that one is changed itself", () =>
    Effect.gen(function*() {
      const { a, b, c } = three()
      const made = Inner([a], "one_for_one")
      let handle: Supervisor.RunningOf<typeof made> | undefined
      const inner: typeof made = {
        ...made,
        start: Effect.map(Supervisor.start(made), (running) => {
          handle = running
          return running.life
        })
      }
      const tree = Supervisor.make("app", { ...options, children: [inner] })
      const running = yield* Supervisor.start(tree)
      yield* handle!.change(Inner([a, b], "one_for_all"))
      const again = Effect.andThen(running.terminateChild("inner"), running.restartChild("inner"))
      yield* again
      const below = Effect.map(running.tree, ({ children }) => standing(children[0]!.supervisor!))
      assert.deepStrictEqual(yield* below, ["a running 0", "b running 0"])
      assert.strictEqual((yield* running.childSpec("inner")).strategy, "one_for_all")
      yield* running.change(Supervisor.make("app", { ...options, children: [inner] })) // the same child: nothing new for it
      yield* again
      assert.deepStrictEqual(yield* below, ["a running 0", "b running 0"])
      yield* running.change(Supervisor.make("app", { ...options, children: [Inner([c], "one_for_one")] }))
      yield* again
      assert.deepStrictEqual(yield* below, ["c running 0"])
    }))
})

describe("a dynamic supervisor that is changed", () => {
  const fleet = (child: (key: string) => ReturnType<typeof ScriptedChild.make<string>>, maxChildren?: number) =>
    DynamicSupervisor.make("fleet", { ...common, restart: restarts(5), maxChildren, initial: Effect.succeed(["a", "b"]), child })

  it.effect("supervises the template's children by the new template, and those given as values by their own spec (C-6, E-2)", () =>
    Effect.gen(function*() {
      const made = new Map<string, ReturnType<typeof ScriptedChild.make<string>>>()
      const running = yield* DynamicSupervisor.start(fleet((key) => ScriptedChild.make(key)))
      const own = ScriptedChild.make("own", { shutdown: "9 seconds" })
      yield* running.startChild(own)
      yield* running.change(fleet((key) => {
        const child = ScriptedChild.make(key, { restart: key === "b" ? "temporary" : "permanent", shutdown: "1 second" })
        made.set(key, child)
        return child
      }))
      const specs = yield* Effect.forEach(["a", "b", "own"], (id) => running.childSpec(id))
      assert.deepStrictEqual(specs.map(({ restart, shutdown }) => `${restart} ${shutdown}`), [
        "permanent 1000",
        "temporary 1000",
        "permanent 9000"
      ])
      yield* running.failChild("a", "frozen")
      yield* running.failChild("b", "frozen")
      yield* running.failChild("own", "frozen")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(standing(yield* running.tree), ["a running 1", "own running 1"])
      assert.deepStrictEqual([made.get("a")!.generation(), own.generation()], [1, 1])
    }))

  it.effect("holds as many children as it may now", () =>
    Effect.gen(function*() {
      const template = (key: string) => ScriptedChild.make(key)
      const running = yield* DynamicSupervisor.start(fleet(template))
      yield* running.change(fleet(template, 1))
      assert.strictEqual((yield* Effect.flip(running.startChild("c")))._tag, "MaxChildren")
      assert.deepStrictEqual(yield* running.count, { specs: 2, active: 2, supervisors: 0, workers: 2 })
    }))

  it.effect("does not change when the new template fails on a key, and says which", () =>
    Effect.gen(function*() {
      const running = yield* DynamicSupervisor.start(fleet((key) => ScriptedChild.make(key)))
      const exit = yield* Effect.exit(running.change(fleet((key) => ScriptedChild.make(`${key}!`))))
      assert.include(String(exit), `made a child with the id "a!" for the key "a"`)
      yield* running.failChild("a", "frozen")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(standing(yield* running.tree), ["a running 1", "b running 0"])
    }))

  it.effect("forgets nothing and adds nothing when a child is forgotten while the change waits its turn (otp)", () =>
    Effect.gen(function*() {
      const template = (key: string) => ScriptedChild.make(key, { stopTakes: key === "a" ? "1 second" : 0 })
      const make = (child: typeof template) =>
        DynamicSupervisor.make("fleet", {
          ...common,
          semantics: Semantics.otp,
          restart: restarts(5),
          initial: Effect.succeed(["a", "b"]),
          child
        })
      const running = yield* DynamicSupervisor.start(make(template))
      const terminated = yield* Effect.forkChild(running.terminateChild("a"), { startImmediately: true })
      const changed = yield* Effect.forkChild(running.change(make((key) => template(key))), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(terminated)
      yield* Fiber.join(changed)
      assert.deepStrictEqual(standing(yield* running.tree), ["b running 0"])
    }))
})

class Needed extends Context.Service<Needed, {}>()("test/Needed") {}

describe("what a supervisor can be changed to", () => {
  const limited = { ...common, strategy: "one_for_one", restart: restarts(5) } as const
  const never: Effect.Effect<Effect.Effect<never>> = Effect.succeed(Effect.never)

  it.effect("must escalate and need no more than what runs, or it does not compile", () =>
    Effect.gen(function*() {
      const running = yield* Supervisor.start(Supervisor.make("app", { ...limited, children: [Child.make("a", { start: never })] }))
      yield* running.change(Supervisor.make("app", { ...limited, children: [Child.make("a", { start: never, restart: "temporary" })] }))
      const failing = Supervisor.make("app", { ...limited, children: [Child.make("a", { start: Effect.succeed(Effect.fail("new")) })] })
      const longer = Supervisor.make("app", {
        ...limited,
        children: [Child.make("a", { start: never }), Child.make("b", { start: never })]
      })
      const needy = Supervisor.make("app", {
        ...limited,
        children: [Child.make("a", { start: Effect.flatMap(Needed, () => never), restart: "temporary" })]
      })
      const other = Supervisor.make("other", { ...limited, children: [] })
      const refuse = (_: Effect.Effect<unknown, unknown>) => {}
      // @ts-expect-error "new" is an error that nobody handles
      refuse(running.change(failing))
      // @ts-expect-error so is the end of b
      refuse(running.change(longer))
      // @ts-expect-error nobody provides what it needs
      refuse(running.change(needy))
      // @ts-expect-error it is another supervisor
      refuse(running.change(other))
    }))
})
