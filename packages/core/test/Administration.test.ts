/** OTP's table of administration calls (`supervision.md` A-1 … A-34), in both semantics, for static and dynamic supervisors. */
import { assert, describe, it } from "@effect/vitest"
import {
  Child,
  DynamicSupervisor,
  RestartPolicy,
  Semantics,
  Supervisor,
  SupervisorEvent,
  type SupervisorHandle,
  Tree
} from "@snakepit/core"
import { RecordedEvents, ScriptedChild } from "@snakepit/core/testing"
import { Deferred, Effect, Fiber, Schedule, Stream } from "effect"
import { TestClock } from "effect/testing"

const common = {
  plane: "control",
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("app_supervisor", "root"),
  restart: RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced("1 minute") })
} as const
const options = { ...common, strategy: "one_for_one", added: (key: string) => ScriptedChild.make(key) } as const

const standing = ({ children }: Tree.SupervisorNode) => children.map(({ generation, id, status }) => `${id} ${status} ${generation}`)

/** What a call answers: its value or the tag of its error, with the status that the error names. */
const answered = <A, E extends { readonly _tag: string }>(call: Effect.Effect<A, E>): Effect.Effect<string> =>
  Effect.match(call, {
    onFailure: (error) => "status" in error ? `${error._tag} ${error.status}` : error._tag,
    onSuccess: (value) => String(value ?? "ok")
  })

type Handle = SupervisorHandle.SupervisorHandle & SupervisorHandle.AddsChildren<never>
type State = "absent" | "run" | "restarting" | "undef"

const calls = {
  startChild: (handle: Handle) => answered(handle.startChild("x")),
  restartChild: (handle: Handle) => answered(handle.restartChild("x")),
  terminateChild: (handle: Handle) => answered(handle.terminateChild("x")),
  deleteChild: (handle: Handle) => answered(handle.deleteChild("x")),
  childSpec: (handle: Handle) => answered(Effect.map(handle.childSpec("x"), ({ id, restart }) => `${id} ${restart}`)),
  failChild: (handle: Handle) => answered(handle.failChild("x", "frozen"))
}

/** For each call and each state of the child: the answer, and where the child stands afterwards. */
type Table = Record<keyof typeof calls, Partial<Record<State, readonly [answer: string, after: State]>>>

const fixed: Table = {
  startChild: {
    absent: ["0", "run"],
    run: ["ChildPresent Running", "run"],
    restarting: ["ChildPresent Waiting", "restarting"],
    undef: ["ChildPresent Down", "undef"]
  },
  restartChild: {
    absent: ["ChildNotFound", "absent"],
    run: ["ChildPresent Running", "run"],
    restarting: ["ChildPresent Waiting", "restarting"],
    undef: ["1", "run"]
  },
  terminateChild: {
    absent: ["ChildNotFound", "absent"],
    run: ["ok", "undef"],
    restarting: ["ok", "undef"],
    undef: ["ok", "undef"]
  },
  deleteChild: {
    absent: ["ChildNotFound", "absent"],
    run: ["ChildPresent Running", "run"],
    restarting: ["ChildPresent Waiting", "restarting"],
    undef: ["ok", "absent"]
  },
  childSpec: {
    absent: ["ChildNotFound", "absent"],
    run: ["x permanent", "run"],
    restarting: ["x permanent", "restarting"],
    undef: ["x permanent", "undef"]
  },
  failChild: {
    absent: ["ChildNotFound", "absent"],
    run: ["ok", "restarting"],
    restarting: ["ok", "restarting"],
    undef: ["ok", "undef"]
  }
}

/** A child that is down is forgotten at once: there is no `undef`, and a terminated child is absent. */
const dynamic: Table = {
  ...fixed,
  terminateChild: { absent: ["ChildNotFound", "absent"], run: ["ok", "absent"], restarting: ["ok", "absent"] }
}
for (const call of ["startChild", "restartChild", "deleteChild", "childSpec", "failChild"] as const) {
  const { undef: _, ...others } = fixed[call]
  dynamic[call] = others
}

const stateOf = (tree: Tree.SupervisorNode): State | Tree.NodeStatus => {
  const status = tree.children.find(({ id }) => id === "x")?.status
  return status === undefined ? "absent" : status === "running" ? "run" : status === "down" ? "undef" : status
}

for (const [mode, semantics] of [["production", Semantics.production], ["otp", Semantics.otp]] as const) {
  for (const [kind, table] of [["static", fixed], ["dynamic", dynamic]] as const) {
    describe(`the calls of a ${kind} supervisor in ${mode}`, () => {
      const make = (x: ReturnType<typeof ScriptedChild.make<"x">>, y: ReturnType<typeof ScriptedChild.make<"y">>, present: boolean) =>
        kind === "static"
          ? Supervisor.start(Supervisor.make("app", { ...options, semantics, added: () => x, children: present ? [x, y] : [y] }))
          : DynamicSupervisor.start(DynamicSupervisor.make("app", {
            ...common,
            semantics,
            initial: Effect.succeed(present ? ["x", "y"] : ["y"]),
            child: (key) => key === "x" ? x : y
          }))

      for (const [call, cells] of Object.entries(table)) {
        for (const [state, [answer, after]] of Object.entries(cells)) {
          it.effect(`${call} of a child that is ${state}: ${answer}, then ${after}`, () =>
            Effect.gen(function*() {
              const x = ScriptedChild.make("x")
              const y = ScriptedChild.make("y")
              const running = yield* make(x, y, state !== "absent")
              if (state === "undef") yield* running.terminateChild("x")
              if (state === "restarting" || after === "restarting") {
                yield* x.setStartTakes("1 second") // in otp a restart is tried again and again: one attempt a second
                yield* x.failNextStarts(Number.POSITIVE_INFINITY)
              }
              if (state === "restarting") {
                yield* x.fail()
                yield* TestClock.adjust(mode === "otp" ? "1500 millis" : 0)
              }
              const asked = yield* Effect.forkChild(calls[call as keyof typeof calls](running), { startImmediately: true })
              yield* TestClock.adjust("1 second") // in otp the call waits for the attempt that is under way
              assert.strictEqual(yield* Fiber.join(asked), answer)
              const stands = stateOf(yield* running.tree)
              assert.strictEqual(stands === "starting" || stands === "waiting" ? "restarting" : stands, after)
              assert.deepStrictEqual([y.generation(), y.starts()], [0, 1])
              const stopping = yield* Effect.forkChild(running.stop("the test is over"), { startImmediately: true })
              yield* TestClock.adjust("1 second") // in otp this waits too
              yield* Fiber.join(stopping)
            }))
        }
      }
    })
  }
}

describe("startChild", () => {
  it.effect("puts the child last in start order, and takes values beside keys (E-2)", () =>
    Effect.gen(function*() {
      const journal = ScriptedChild.journal()
      const a = ScriptedChild.make("a", { journal })
      const z = ScriptedChild.make("z", { journal })
      const group = {
        ...options,
        strategy: "rest_for_one",
        restart: RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced(0) })
      } as const
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...group, children: [a], added: (key) => ScriptedChild.make(key, { journal }) })
      )
      yield* running.startChild(z)
      yield* running.startChild("b")
      yield* z.fail()
      yield* z.awaitUp(1)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(standing(yield* running.tree), ["a running 0", "z running 1", "b running 1"])
      ScriptedChild.takeLines(journal)
      yield* running.stop("the test is over")
      assert.deepStrictEqual(ScriptedChild.lines(journal, "down"), ["b down", "z down", "a down"])
    }))

  it.effect("leaves no spec behind when the child does not start (A-21), nor when it has nothing to do and is temporary (S-4)", () =>
    Effect.gen(function*() {
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [] }))
      const refusing = ScriptedChild.make("refusing")
      yield* refusing.failNextStarts(1, "no disk")
      const error = yield* Effect.flip(running.startChild(refusing))
      assert.strictEqual(error._tag, "ChildStartFailed")
      assert.include(error.message, "ScriptedError: refusing: no disk")
      assert.deepStrictEqual(standing(yield* running.tree), [])
      assert.strictEqual(yield* running.startChild(Child.make("idle", { start: Effect.succeed(Child.ignore), restart: "temporary" })), -1)
      assert.strictEqual(yield* running.startChild(Child.make("kept", { start: Effect.succeed(Child.ignore), restart: "transient" })), -1)
      assert.deepStrictEqual(standing(yield* running.tree), ["kept down 0"])
    }))

  it.effect("gives the id of a temporary child to another as soon as the first is forgotten (A-32)", () =>
    Effect.gen(function*() {
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [] }))
      for (let i = 0; i < 2; i++) {
        const child = ScriptedChild.make("x", { restart: "temporary" })
        assert.strictEqual(yield* running.startChild(child), 0)
        yield* child.end
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(standing(yield* running.tree), [])
      }
    }))

  it.effect("is gone after a restart of its supervisor (G-13)", () =>
    Effect.gen(function*() {
      const a = ScriptedChild.make("a")
      const made = Supervisor.make("inner", { ...options, children: [a] })
      const started = yield* Deferred.make<Supervisor.RunningOf<typeof made>>()
      const inner: typeof made = {
        ...made,
        start: Effect.map(Effect.tap(Supervisor.start(made), (inner) => Deferred.succeed(started, inner)), ({ life }) => life)
      }
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [inner] }))
      yield* (yield* Deferred.await(started)).startChild("b")
      assert.deepStrictEqual(Tree.flatten(yield* running.tree).map(({ path }) => path), ["app/inner", "app/inner/a", "app/inner/b"])
      yield* running.terminateChild("inner")
      yield* running.restartChild("inner")
      assert.deepStrictEqual(Tree.flatten(yield* running.tree).map(({ path }) => path), ["app/inner", "app/inner/a"])
    }))

  it.effect("that is interrupted leaves a child that starts and is supervised", () =>
    Effect.gen(function*() {
      const slow = ScriptedChild.make("slow", { startTakes: "1 second" })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [] }))
      const asked = yield* Effect.forkChild(running.startChild(slow), { startImmediately: true })
      yield* Fiber.interrupt(asked)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(standing(yield* running.tree), ["slow running 0"])
    }))

  it.effect("says when the template makes another id than the key", () =>
    Effect.gen(function*() {
      const running = yield* Supervisor.start(
        Supervisor.make("app", { ...options, children: [], added: (key) => ScriptedChild.make(`${key}!`) })
      )
      const exit = yield* Effect.exit(running.startChild("a"))
      assert.include(String(exit), `the template of app made a child with the id "a!" for the key "a"`)
      assert.deepStrictEqual(yield* running.count, { specs: 0, active: 0, supervisors: 0, workers: 0 })
    }))

  it.effect("waits in otp for a child of its id that is being terminated, and then starts its own", () =>
    Effect.gen(function*() {
      const x = () => ScriptedChild.make("x", { restart: "temporary" })
      const first = ScriptedChild.make("x", { restart: "temporary", stopTakes: "1 second" })
      const second = x()
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, semantics: Semantics.otp, children: [first] }))
      const terminated = yield* Effect.forkChild(running.terminateChild("x"), { startImmediately: true })
      const asked = yield* Effect.forkChild(answered(running.startChild(second)), { startImmediately: true })
      const late = yield* Effect.forkChild(answered(running.startChild(x())), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(terminated)
      assert.deepStrictEqual([yield* Fiber.join(asked), yield* Fiber.join(late)], ["0", "ChildPresent Running"])
      assert.strictEqual(second.generation(), 0)
    }))
})

describe("restartChild", () => {
  it.effect("leaves the child down when it does not start, and the reason with the caller", () =>
    Effect.gen(function*() {
      const a = ScriptedChild.make("a")
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [a] }))
      yield* running.terminateChild("a")
      yield* a.failNextStarts(1)
      assert.strictEqual((yield* Effect.flip(running.restartChild("a")))._tag, "ChildStartFailed")
      assert.deepStrictEqual(standing(yield* running.tree), ["a down 1"])
      assert.strictEqual(yield* running.restartChild("a"), 2)
    }))

  it.effect("never counts, whether it fails or not; nor do the other calls (I-9)", () =>
    Effect.gen(function*() {
      const a = ScriptedChild.make("a")
      const restart = RestartPolicy.make({ intensity: { maxRestarts: 0, within: "1 minute" } })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, restart, children: [a] }))
      for (let i = 0; i < 20; i++) {
        yield* running.terminateChild("a")
        yield* a.failNextStarts(1)
        yield* Effect.flip(running.restartChild("a"))
        yield* running.restartChild("a")
        yield* running.startChild("b")
        yield* running.terminateChild("b")
        yield* running.deleteChild("b")
      }
      assert.deepStrictEqual(standing(yield* running.tree), ["a running 40"])
    }))
})

describe("terminateChild", () => {
  it.effect("returns when the child is dead, and ends no supervisor by auto-shutdown (A-30, A-31)", () =>
    Effect.gen(function*() {
      const a = ScriptedChild.make("a", { restart: "transient", significant: true, stopTakes: "2 seconds" })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, autoShutdown: "any", children: [a] }))
      const asked = yield* Effect.forkChild(running.terminateChild("a"), { startImmediately: true })
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(asked.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(asked)
      assert.deepStrictEqual(standing(yield* running.tree), ["a down 0"])
      assert.strictEqual(yield* running.restartChild("a"), 1)
      yield* a.setStopTakes(0)
    }))
})

describe("count and childSpec", () => {
  const inner = Supervisor.make("inner", { ...options, strategy: "rest_for_one", restartType: "transient", children: [] })

  it.effect("fill in every default, by kind (A-28)", () =>
    Effect.gen(function*() {
      const running = yield* Supervisor.start(Supervisor.make("app", {
        ...options,
        autoShutdown: "any",
        children: [
          ScriptedChild.make("worker"),
          inner,
          ScriptedChild.make("brutal", { restart: "temporary", shutdown: "brutal", significant: true })
        ]
      }))
      assert.deepStrictEqual(yield* Effect.forEach(["worker", "inner", "brutal"], (id) => running.childSpec(id)), [
        { id: "worker", kind: "worker", restart: "permanent", shutdown: 5000, significant: false, strategy: undefined },
        { id: "inner", kind: "supervisor", restart: "transient", shutdown: "infinity", significant: false, strategy: "rest_for_one" },
        { id: "brutal", kind: "worker", restart: "temporary", shutdown: "brutal", significant: true, strategy: undefined }
      ])
    }))

  it.effect("count specs whether alive or not, and as active what runs now (A-27)", () =>
    Effect.gen(function*() {
      const a = ScriptedChild.make("a")
      const b = ScriptedChild.make("b")
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [a, b, inner] }))
      assert.deepStrictEqual(yield* running.count, { specs: 3, active: 3, supervisors: 1, workers: 2 })
      yield* a.fail()
      yield* running.terminateChild("inner")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* running.count, { specs: 3, active: 1, supervisors: 1, workers: 2 })
      yield* TestClock.adjust("1 minute")
      yield* running.deleteChild("inner")
      assert.deepStrictEqual(yield* running.count, { specs: 2, active: 2, supervisors: 0, workers: 2 })
      yield* running.stop("the test is over")
      assert.deepStrictEqual(yield* running.count, { specs: 2, active: 0, supervisors: 0, workers: 2 })
    }))

  it.effect("count as active nobody who has ended and whose end waits to be heard (A-27, otp)", () =>
    Effect.gen(function*() {
      const a = ScriptedChild.make("a")
      const b = ScriptedChild.make("b", { stopTakes: "1 second" })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, semantics: Semantics.otp, children: [a, b] }))
      yield* Effect.forkChild(running.terminateChild("b"), { startImmediately: true })
      yield* a.fail()
      yield* TestClock.adjust(0)
      assert.strictEqual((yield* running.count).active, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* running.count).active, 1)
    }))
})

describe("stop", () => {
  it.effect("stops all in reverse, returns when they are down, and tells why (A-34, D-10)", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      const journal = ScriptedChild.journal()
      const children = [
        ScriptedChild.make("a", { journal, stopTakes: "1 second" }),
        ScriptedChild.make("b", { journal, stopTakes: "1 second" })
      ]
      const running = yield* Effect.provide(Supervisor.start(Supervisor.make("app", { ...options, children })), recorded.layer)
      const stopped = yield* Effect.forkChild(running.stop("a deploy"), { startImmediately: true })
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(stopped.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(stopped)
      yield* running.life
      assert.deepStrictEqual(ScriptedChild.lines(journal, "down"), ["b down", "a down"])
      assert.deepStrictEqual(recorded.ofVerb("terminate").map(({ attributes }) => attributes["cause"]), ["a deploy"])
      yield* running.stop("once more") // it has ended: nothing to wait for
    }))

  it.effect("is a clean end for the supervisor above, which starts a permanent one again", () =>
    Effect.gen(function*() {
      const a = Child.make("a", {
        start: Effect.succeed(
          Effect.andThen(Effect.sleep("1 second"), Effect.flatMap(Supervisor.CurrentSupervisor, (above) => above.stop("enough")))
        )
      })
      for (const [restartType, after] of [["permanent", "running 1"], ["transient", "down 0"]] as const) {
        const restart = RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced(0) })
        const inner = Supervisor.make("inner", { ...options, restartType, children: [a] })
        const running = yield* Supervisor.start(Supervisor.make("app", { ...options, restart, children: [inner] }))
        yield* TestClock.adjust("1500 millis")
        assert.deepStrictEqual(standing(yield* running.tree), [`inner ${after}`])
        yield* running.stop("the test is over")
      }
    }))
})

describe("changes", () => {
  const follow = (running: SupervisorHandle.SupervisorHandle) => {
    const seen: Array<string> = []
    const draw = (tree: Tree.SupervisorNode) =>
      Tree.flatten(tree).map(({ generation, id, status }) => `${id} ${status} ${generation}`).join(", ")
    return Effect.as(
      Effect.forkChild(Stream.runForEach(running.changes, (tree) => Effect.sync(() => seen.push(draw(tree)))), { startImmediately: true }),
      seen
    )
  }

  it.effect("begin with what is, tell what happens anywhere below, and end with the supervisor", () =>
    Effect.gen(function*() {
      const leaf = ScriptedChild.make("leaf")
      const inner = Supervisor.make("inner", { ...options, children: [leaf] })
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [inner] }))
      const seen = yield* follow(running)
      yield* TestClock.adjust(0)
      yield* leaf.fail()
      yield* TestClock.adjust(0)
      yield* Effect.flip(running.terminateChild("nobody")) // changes nothing, is no change
      yield* TestClock.adjust("1 minute")
      yield* running.stop("the test is over")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen, [
        "inner running 0, leaf running 0",
        "inner running 0, leaf waiting 0",
        "inner running 0, leaf running 1",
        "inner down 0"
      ])
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.map(running.changes, standing)), [["inner down 0"]])
    }))

  it.effect("give a slow reader the latest, and never make the supervisor wait", () =>
    Effect.gen(function*() {
      const running = yield* Supervisor.start(Supervisor.make("app", { ...options, children: [] }))
      const counts: Array<number> = []
      yield* Effect.forkChild(
        Stream.runForEach(running.changes, ({ children }) =>
          Effect.andThen(Effect.sync(() => counts.push(children.length)), Effect.sleep("1 second"))),
        { startImmediately: true }
      )
      for (let i = 1; i <= 100; i++) {
        yield* running.startChild(`${i}`)
      }
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(counts, [0, 100])
    }))
})

describe("everything is answered at once (S-9, M-16)", () => {
  /** What only looks, and a call that stops another child. */
  const answers = Effect.fnUntraced(function*(running: SupervisorHandle.SupervisorHandle, id: string, status: Tree.NodeStatus) {
    assert.strictEqual((yield* running.tree).children.find((child) => child.id === id)!.status, status)
    assert.strictEqual((yield* running.count).specs, 3)
    assert.strictEqual((yield* running.childSpec(id)).id, id)
    yield* running.terminateChild("other")
    assert.strictEqual(yield* running.restartChild("other"), 1)
  })
  const three = (x: ReturnType<typeof ScriptedChild.make<"x">>, strategy: "one_for_one" | "rest_for_one" = "one_for_one") =>
    Supervisor.make("app", { ...options, strategy, children: [ScriptedChild.make("other"), x, ScriptedChild.make("last")] })

  it.effect("while a child takes 30 seconds to start", () =>
    Effect.gen(function*() {
      const x = ScriptedChild.make("x")
      const running = yield* Supervisor.start(three(x))
      yield* running.terminateChild("x")
      yield* x.setStartTakes("30 seconds")
      const asked = yield* Effect.forkChild(answered(running.restartChild("x")), { startImmediately: true })
      yield* answers(running, "x", "starting")
      yield* running.terminateChild("x") // calls the start off
      assert.strictEqual(yield* Fiber.join(asked), "ChildStartFailed")
    }))

  it.effect("while a child takes 5 seconds to stop, and while its group waits for it", () =>
    Effect.gen(function*() {
      for (const strategy of ["one_for_one", "rest_for_one"] as const) {
        const x = ScriptedChild.make("x", { stopTakes: "5 seconds" })
        const running = yield* Supervisor.start(three(x, strategy))
        const asked = yield* Effect.forkChild(running.terminateChild("x"), { startImmediately: true })
        yield* answers(running, "x", "stopping")
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(asked.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(asked)
      }
    }))

  for (const [mode, semantics] of [["production", Semantics.production], ["otp", Semantics.otp]] as const) {
    it.effect(`during a hot restart loop in ${mode}, which terminateChild ends`, () =>
      Effect.gen(function*() {
        const x = ScriptedChild.make("x")
        const running = yield* Supervisor.start(Supervisor.make("app", {
          ...options,
          semantics,
          restart: RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced(0) }),
          children: [x, ScriptedChild.make("other")]
        }))
        yield* x.failNextStarts(Number.POSITIVE_INFINITY)
        yield* x.fail()
        yield* Effect.repeat(Effect.yieldNow, { times: 100 })
        assert.isAbove(x.starts(), 10)
        const starts = x.starts()
        assert.deepStrictEqual(yield* running.count, { specs: 2, active: 1, supervisors: 0, workers: 2 })
        assert.include(["waiting", "starting"], (yield* running.tree).children[0]!.status)
        assert.strictEqual((yield* running.childSpec("x")).id, "x")
        yield* running.terminateChild("x")
        assert.isAtMost(x.starts(), starts + 1)
        assert.strictEqual((yield* running.tree).children[0]!.because, "terminated")
        assert.strictEqual(yield* answered(running.deleteChild("x")), "ok")
      }))
  }
})
