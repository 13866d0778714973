import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, Event, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { EventBus, SupervisorFold, SupervisorMetrics, SupervisorSeries, TreeReading } from "@snakepit/telemetry"
import { Deferred, Effect, Metric } from "effect"
import { TestClock } from "effect/testing"

const event = (name: string, attributes: Event.Event["attributes"]): Event.Event => ({ name, at: 0, measurements: {}, attributes })
const restart = (kind: string, pool: string | undefined, reason: string) =>
  event(`snakepit.${kind}_supervisor.restart`, { path: "somewhere", pool, reason, child: "process" })

const begin = (kind: string, pool: string | undefined, maxRestarts?: number, path = "somewhere"): Event.Event => ({
  ...event(`snakepit.${kind}_supervisor.begin`, { path, pool }),
  measurements: { maxRestarts }
})

/** Takes them all in at once; gives what is kept. */
const fold = (...events: ReadonlyArray<Event.Event>): SupervisorFold.State => {
  const state = SupervisorFold.make()
  for (const event of events) SupervisorFold.take(state, event, 0)
  return state
}

describe("the fold of what supervisors decide", () => {
  it("counts restarts by kind, pool and reason, and give-ups; slots and generations have no series of their own", () => {
    const state = fold(
      begin("worker", "a"),
      begin("worker", "b"),
      begin("root", undefined),
      ...Array.from({ length: 64 }, (_, slot) => ({
        ...restart("worker", "a", "Failed"),
        attributes: { pool: "a", slot, generation: slot, reason: "Failed" }
      })),
      restart("worker", "b", "Defect"),
      restart("root", undefined, "Killed"),
      event("snakepit.worker_supervisor.give_up", { pool: "a" }),
      event("snakepit.call.retry", { pool: "a" }),
      event("snakepit.unheard_supervisor.restart", { pool: "a", reason: "Failed" })
    )
    const none = { Normal: 0, Shutdown: 0, Killed: 0, Failed: 0, Defect: 0 }
    assert.deepStrictEqual(
      [...state.values()].map(({ giveUps, pool, restarts, supervisor }) => ({ giveUps, pool, restarts, supervisor })),
      [
        { supervisor: "worker", pool: "a", restarts: { ...none, Failed: 64 }, giveUps: 1 },
        { supervisor: "worker", pool: "b", restarts: { ...none, Defect: 1 }, giveUps: 0 },
        { supervisor: "root", pool: "", restarts: { ...none, Killed: 1 }, giveUps: 0 }
      ]
    )
  })

  it("forgets a pool when it is gone, and takes nothing for it that comes later", () => {
    const state = fold(begin("pools", undefined), begin("pool", "a"), begin("fleet", "a"), begin("pool", "b"))
    const stand = (child: string, status: string) => event("snakepit.pools_supervisor.stand", { child, status })
    SupervisorFold.take(state, stand("a", "stopping"), 0)
    assert.strictEqual(state.size, 4)
    const { over } = SupervisorFold.take(state, stand("a", "gone"), 0)
    assert.deepStrictEqual(over.map(({ pool, supervisor }) => [supervisor, pool]), [["pool", "a"], ["fleet", "a"]])
    SupervisorFold.take(state, restart("fleet", "a", "Failed"), 0) // one that was left behind, and goes on
    assert.deepStrictEqual([...state.values()].map(({ pool, supervisor }) => [supervisor, pool]), [["pools", ""], ["pool", "b"]])
  })

  it("holds for a minute how near one of a kind came to giving up, each by its own limit", () => {
    const state = fold(begin("worker", "a", 4, "fleet/0"), begin("worker", "a", 2, "fleet/1"), begin("worker", "a", undefined, "fleet/2"))
    const decided = state.get(SupervisorMetrics.keyOf("worker", "a"))!
    const spend = (now: number, path: string, budgetLeft: number | undefined) =>
      SupervisorFold.take(
        state,
        { ...restart("worker", "a", "Failed"), measurements: { budgetLeft }, attributes: { pool: "a", path } },
        now
      )
    const left = (now: number) => SupervisorFold.leastLeft(decided, now)
    assert.strictEqual(left(0), 1)
    spend(0, "fleet/2", undefined)
    spend(0, "fleet/0", 3)
    assert.strictEqual(left(0), 0.75)
    spend(1000, "fleet/1", 1)
    spend(2000, "fleet/0", 3)
    assert.strictEqual(left(60_999), 0.5)
    assert.strictEqual(left(61_000), 1)
    spend(61_000, "fleet/0", 3)
    assert.strictEqual(left(61_000), 0.75)
  })
})

describe("the reading of a tree", () => {
  it("knows each supervisor of an application by its path", () => {
    const kindOf = (path: string) => Object.values(TreeReading.placeOf(path)).join(" ")
    assert.strictEqual(kindOf("snakepit"), "root ")
    assert.strictEqual(kindOf("snakepit/foundation"), "foundation ")
    assert.strictEqual(kindOf("snakepit/pools"), "pools ")
    assert.strictEqual(kindOf("snakepit/pools/default"), "pool default")
    assert.strictEqual(kindOf("snakepit/pools/default/control"), "control default")
    assert.strictEqual(kindOf("snakepit/pools/default/control/launcher"), "launcher default")
    assert.strictEqual(kindOf("snakepit/pools/default/fleet"), "fleet default")
    assert.strictEqual(kindOf("snakepit/pools/default/fleet/3"), "worker default")
    assert.strictEqual(kindOf("snakepit/pools/default/fleet/3/yours"), "own default")
  })

  it("gives the least that is left of the budgets of a kind, and counts children", () => {
    const worker = (slot: number, budgetLeft: number) => ({
      path: `snakepit/pools/a/fleet/${slot}`,
      strategy: "rest_for_one" as const,
      intensity: { maxRestarts: 4, withinMillis: 1000 },
      budgetLeft,
      children: []
    })
    const child = (slot: number, budgetLeft: number, status: "running" | "waiting") => ({
      ...{
        id: String(slot),
        path: `snakepit/pools/a/fleet/${slot}`,
        status,
        restart: "permanent" as const,
        shutdown: 0,
        because: undefined
      },
      ...{ generation: 0, restarts: 0, supervisor: status === "running" ? worker(slot, budgetLeft) : undefined }
    })
    const { budgets, children } = TreeReading.of({
      path: "snakepit/pools/a/fleet",
      strategy: "dynamic",
      intensity: "unlimited",
      budgetLeft: Infinity,
      children: [child(0, 4, "running"), child(1, 1, "running"), child(2, 0, "waiting")]
    })
    assert.strictEqual(budgets.get(SupervisorMetrics.keyOf("worker", "a")), 0.25)
    assert.strictEqual(budgets.get(SupervisorMetrics.keyOf("fleet", "a")), 1)
    assert.deepInclude(children.get("fleet"), { running: 2, waiting: 1, down: 0 })
  })
})

describe("the series of supervisors", () => {
  const read = ({ name }: { readonly name: string }, labels: Readonly<Record<string, string>>) =>
    Effect.map(Metric.snapshot, (all) => {
      const state = all.find(({ attributes, id }) =>
        id === name && Object.entries(labels).every(([key, value]) => attributes?.[key] === value)
      )
        ?.state as { count?: number; value?: number } | undefined
      return state?.value ?? state?.count
    })

  it.effect("tell the restarts of a real supervisor, what is left of its budget, also when time gives it back, and end with the scope", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const bus = yield* EventBus.EventBus
        const series = yield* SupervisorSeries.make
        const ends: Array<Deferred.Deferred<never, Error>> = []
        const child = Child.make("child", {
          start: Effect.map(Effect.tap(Deferred.make<never, Error>(), (end) => Effect.sync(() => ends.push(end))), Deferred.await)
        })
        const running = yield* Effect.provideService(
          Supervisor.start(Supervisor.make("snakepit", {
            plane: "control",
            strategy: "one_for_one",
            restart: RestartPolicy.make({ intensity: { maxRestarts: 2, within: "1 minute" } }),
            because: "a test",
            limitBecause: "a test",
            events: SupervisorEvent.of("root_supervisor", "root"),
            children: [child]
          })),
          Event.EventSink,
          bus
        )
        series.show(() => Effect.runSync(running.tree))
        const root = { supervisor: "root", pool: "" }
        const left = read(SupervisorMetrics.budgetLeft, root)
        assert.strictEqual(yield* read(SupervisorMetrics.restarts, { ...root, reason: "Failed" }), 0)
        assert.strictEqual(yield* left, 1)
        yield* Deferred.fail(ends[0]!, new Error("the test ends it"))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* read(SupervisorMetrics.restarts, { ...root, reason: "Failed" }), 1)
        assert.strictEqual(yield* left, 0.5)
        assert.strictEqual(yield* read(SupervisorMetrics.children, { supervisor: "root", state: "running" }), 1)
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(yield* left, 1)
      }))
      assert.deepStrictEqual(yield* Metric.snapshot, [])
    }).pipe(Effect.provide(EventBus.EventBus.layer), Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("show a burst that is over as soon as it is seen, no spent budget of a pool that is down, and nothing of one that is taken away", () =>
    Effect.gen(function*() {
      const bus = yield* EventBus.EventBus
      const series = yield* SupervisorSeries.make
      const common = { plane: "control", because: "a test", limitBecause: "a test" } as const
      let isBroken = false
      let end = Deferred.makeUnsafe<never, Error>()
      const part = Child.make("part", {
        start: Effect.suspend(() => {
          if (isBroken) return Effect.fail("the test keeps it down")
          end = Deferred.makeUnsafe()
          return Effect.succeed(Deferred.await(end))
        })
      })
      const poolOf = (pool: string) =>
        Supervisor.make(pool, {
          ...common,
          strategy: "rest_for_one",
          restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "20 seconds" } }),
          events: SupervisorEvent.of("pool_supervisor", "control"),
          labels: { pool },
          children: [part]
        })
      const pools = DynamicSupervisor.make("pools", {
        ...common,
        restart: RestartPolicy.make({ intensity: "unlimited" }),
        events: SupervisorEvent.of("pools_supervisor", "control"),
        initial: Effect.succeed(["a"]),
        child: poolOf
      })
      const running = yield* Effect.provideService(
        Supervisor.start(Supervisor.make("snakepit", {
          ...common,
          strategy: "one_for_one",
          restart: RestartPolicy.make({ intensity: "unlimited" }),
          events: SupervisorEvent.of("root_supervisor", "root"),
          children: [pools]
        })),
        Event.EventSink,
        bus
      )
      series.show(() => Effect.runSync(running.tree))
      const pool = { supervisor: "pool", pool: "a" }
      const left = read(SupervisorMetrics.budgetLeft, pool)
      const crash = Effect.andThen(Effect.suspend(() => Deferred.fail(end, new Error("the test ends it"))), TestClock.adjust("5 seconds"))

      yield* Effect.repeat(crash, { times: 2 })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* left, 0, "three in fifteen seconds, and its window is over")
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* left, 1)

      isBroken = true
      yield* crash
      yield* TestClock.adjust("5 minutes")
      assert.isAtLeast((yield* read(SupervisorMetrics.giveUps, pool))!, 1)
      assert.notStrictEqual(yield* running.why("snakepit/pools/a"), undefined)
      assert.strictEqual(yield* left, 1)

      isBroken = false
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* running.why("snakepit/pools/a"), undefined, "it is up again, and tells of its own end")
      yield* (yield* running.at("snakepit/pools")).terminateChild("a")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* left, undefined)
      assert.deepStrictEqual((yield* Metric.snapshot).filter(({ attributes }) => attributes?.["pool"] === "a"), [])
    }).pipe(Effect.scoped, Effect.provide(EventBus.EventBus.layer), Effect.provideService(Metric.MetricRegistry, new Map())))
})
