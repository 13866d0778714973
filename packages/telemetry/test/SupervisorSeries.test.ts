import { assert, describe, it } from "@effect/vitest"
import { Child, Event, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { EventBus, SupervisorFold, SupervisorMetrics, SupervisorSeries, TreeReading } from "@snakepit/telemetry"
import { Deferred, Effect, Metric } from "effect"
import { TestClock } from "effect/testing"

const event = (name: string, attributes: Event.Event["attributes"]): Event.Event => ({ name, at: 0, measurements: {}, attributes })
const restart = (kind: string, pool: string | undefined, reason: string) =>
  event(`snakepit.${kind}_supervisor.restart`, { path: "somewhere", pool, reason, child: "process" })

describe("the fold of what supervisors decide", () => {
  it("counts restarts by kind, pool and reason, and give-ups; slots and generations have no series of their own", () => {
    const state = SupervisorFold.make()
    for (let slot = 0; slot < 64; slot++) {
      SupervisorFold.take(state, {
        ...restart("worker", "a", "Failed"),
        attributes: { pool: "a", slot, generation: slot, reason: "Failed" }
      })
    }
    SupervisorFold.take(state, restart("worker", "b", "Defect"))
    SupervisorFold.take(state, restart("root", undefined, "Killed"))
    SupervisorFold.take(state, event("snakepit.worker_supervisor.give_up", { pool: "a" }))
    SupervisorFold.take(state, event("snakepit.call.retry", { pool: "a" }))
    SupervisorFold.take(state, event("snakepit.unheard_supervisor.restart", { pool: "a", reason: "Failed" }))
    const none = { Normal: 0, Shutdown: 0, Killed: 0, Failed: 0, Defect: 0 }
    assert.deepStrictEqual([...state.values()], [
      { supervisor: "worker", pool: "a", restarts: { ...none, Failed: 64 }, giveUps: 1 },
      { supervisor: "worker", pool: "b", restarts: { ...none, Defect: 1 }, giveUps: 0 },
      { supervisor: "root", pool: "", restarts: { ...none, Killed: 1 }, giveUps: 0 }
    ])
  })

  it("forgets a pool that is taken away, and not one that is stopped with all others", () => {
    const state = SupervisorFold.make()
    SupervisorFold.take(state, event("snakepit.pools_supervisor.start", {}))
    SupervisorFold.take(state, event("snakepit.pool_supervisor.start", { pool: "a" }))
    SupervisorFold.take(state, event("snakepit.fleet_supervisor.start", { pool: "a" }))
    SupervisorFold.take(state, event("snakepit.pool_supervisor.start", { pool: "b" }))
    SupervisorFold.take(state, event("snakepit.pools_supervisor.terminate", { child: undefined }))
    assert.strictEqual(state.size, 4)
    const { over } = SupervisorFold.take(state, event("snakepit.pools_supervisor.terminate", { child: "a" }))
    assert.deepStrictEqual(over.map(({ pool, supervisor }) => [supervisor, pool]), [["pool", "a"], ["fleet", "a"]])
    assert.deepStrictEqual([...state.values()].map(({ pool, supervisor }) => [supervisor, pool]), [["pools", ""], ["pool", "b"]])
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
})
