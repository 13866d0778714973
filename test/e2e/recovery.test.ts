/** The two failures of the main job, induced on real Python workers: what telemetry tells, in order, and what the caller gets. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { type Event, EventBus, EventLog, Pool, Snakepit, SnakepitEvent, Survivors } from "snakepit"
import { journal, linesOf } from "./fixtures/Journal.ts"
import { config, until } from "./fixtures/Program.ts"
import { pidOf, recorder } from "./fixtures/Recorder.ts"
import { Tools } from "./fixtures/Tools.ts"

const quick = { heartbeat: { interval: "100 millis", timeout: "100 millis", maxMissed: 3 }, stopGrace: "300 millis" }

const names = (events: ReadonlyArray<Event.Event>) => events.map(({ name }) => name)

describe("a worker of a pool of real Python processes", () => {
  it.live("that is killed is replaced, and its idempotent call is answered by another", () =>
    Effect.gen(function*() {
      const { awaitEvent, events } = yield* recorder(0)
      const tools = yield* Pool.client(Tools)
      const naps = yield* Effect.forkChild(
        Effect.all([tools.nap({ seconds: 0.5 }), tools.nap({ seconds: 0.5 })], { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* tools.nothing().pipe(Effect.timeoutOption("150 millis")) // both workers are at work by now
      const pid = yield* pidOf(0)
      process.kill(pid, "SIGKILL")
      assert.deepStrictEqual(yield* Fiber.join(naps), ["rested", "rested"])
      yield* awaitEvent("snakepit.worker_supervisor.recover")
      assert.deepStrictEqual(names(events), [
        "snakepit.process.exit",
        "snakepit.worker.detach",
        "snakepit.call.retry",
        "snakepit.worker_supervisor.restart",
        "snakepit.process.start",
        "snakepit.worker.attach",
        "snakepit.worker_supervisor.recover"
      ])
      const [exit, detach, retry, restart, start, attach, recover] = events
      assert.include(detach!.attributes, { generation: 0, cause: "its process was ended by SIGKILL" })
      assert.include(retry!.attributes, { tool: "nap" })
      assert.include(exit!.attributes, { pid, endedBy: "itself", signal: "SIGKILL", exitClass: "KilledBySomeone", generation: 0 })
      assert.include(restart!.attributes, { child: "process", pool: "default", slot: 0, generation: 0, reason: "Failed" })
      assert.include(restart!.attributes["cause"], `process ${pid} of worker default/0 ended by SIGKILL`)
      assert.deepInclude(restart!.measurements, { delayMillis: 0, budgetLeft: 2, victims: 4 })
      assert.strictEqual(start!.attributes["generation"], 1)
      assert.strictEqual(attach!.attributes["generation"], 1)
      const { incident } = restart!.attributes
      assert.isString(incident)
      for (const told of [exit, start, recover, ...events.filter(({ name }) => /worker\.detach|call\.retry/.test(name))]) {
        assert.strictEqual(told!.attributes["incident"], incident, told!.name)
      }
      for (const event of events) {
        const declared = SnakepitEvent.catalogue.get(event.name)
        assert.isDefined(declared, event.name)
        assert.strictEqual(event.attributes["snakepit.layer"], declared!.layer)
      }
      assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
      const ledger = yield* Pool.ledger()
      assert.strictEqual(ledger!.retried, 1)
      assert.strictEqual(ledger!.twice, 0)
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config({}, quick)))))

  it.live("that is frozen is found by its heartbeat, failed through its supervisor, counted and replaced", () =>
    Effect.gen(function*() {
      const { awaitEvent, events } = yield* recorder(1)
      const tools = yield* Pool.client(Tools)
      const pid = yield* pidOf(1)
      process.kill(pid, "SIGSTOP")
      yield* awaitEvent("snakepit.worker_supervisor.recover")
      assert.deepStrictEqual(names(events), [
        "snakepit.heartbeat.miss",
        "snakepit.watchdog.verdict",
        "snakepit.watchdog.bite",
        "snakepit.worker_supervisor.restart",
        "snakepit.worker.detach",
        "snakepit.process.exit",
        "snakepit.process.start",
        "snakepit.worker.attach",
        "snakepit.worker_supervisor.recover"
      ])
      const restart = events.find(({ name }) => name === "snakepit.worker_supervisor.restart")
      assert.include(restart!.attributes["cause"], "is stopped (1 heartbeat in a row")
      assert.deepInclude(restart!.measurements, { budgetLeft: 2 })
      const exit = events.find(({ name }) => name === "snakepit.process.exit")
      assert.include(exit!.attributes, { pid, planned: false, endedBy: "verdict", signal: "SIGKILL" })
      assert.include(exit!.attributes["cause"], "WorkerStopped: worker default/1 is stopped")
      assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config({}, { ...quick, stopGrace: "1 minute" }))))) // none for it

  it.live("that is stopped as planned finishes its call; another worker does those that it has not begun", () =>
    Effect.gen(function*() {
      const { events } = yield* recorder(0)
      const tools = yield* Pool.client(Tools)
      const { root } = yield* Snakepit.Snakepit
      const fleet = yield* root.at("snakepit/pools/default/fleet")
      const file = yield* journal
      const calls = yield* Effect.forEach(
        ["a", "b", "c", "d"],
        (text) => Effect.forkChild(tools.note({ journal: file, text, seconds: 0.5 }), { startImmediately: true })
      )
      yield* Effect.promise(() => until(() => linesOf(file).length, (count) => count === 2))
      yield* fleet.terminateChild("0")
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), ["a", "b", "c", "d"])
      assert.lengthOf(linesOf(file), 4)
      assert.deepStrictEqual(names(events), ["snakepit.worker_supervisor.terminate", "snakepit.worker.detach", "snakepit.process.exit"])
      assert.include(events[2]!.attributes, { planned: true, endedBy: "stop", code: 0, exitClass: "Clean" })
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config({}, { prefetch: 1 })))))

  it.live("finishes its call when the whole application stops", () =>
    Effect.gen(function*() {
      const file = yield* journal
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(Snakepit.layer(config({}, { size: 1, prefetch: 1 })), scope)
      const tools = yield* Effect.provide(Pool.client(Tools), services)
      const begin = (text: string) => Effect.forkChild(tools.note({ journal: file, text, seconds: 0.5 }), { startImmediately: true })
      const running = yield* begin("running")
      const waiting = yield* begin("waiting")
      yield* Effect.promise(() => until(() => linesOf(file).length, (count) => count === 1))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(running), "running")
      assert.include(yield* Effect.flip(Fiber.join(waiting)), { _tag: "PoolDown", executed: "no" })
      assert.deepStrictEqual(linesOf(file), ["running"])
    }).pipe(Effect.scoped))

  it.live("that freezes before it has shaken hands is found as well, and replaced", () =>
    Effect.gen(function*() {
      const { awaitEvent, events } = yield* recorder(0)
      const bus = yield* EventBus.EventBus
      const tools = yield* Pool.client(Tools)
      yield* bus.tap("snakepit.process.start", ({ attributes }) => {
        if (attributes["generation"] === 1) process.kill(Number(attributes["pid"]), "SIGSTOP")
      })
      process.kill(yield* pidOf(0), "SIGKILL")
      yield* awaitEvent("snakepit.worker.detach")
      assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42) // waits for generation 2
      const restarts = events.filter(({ name }) => name === "snakepit.worker_supervisor.restart")
      assert.lengthOf(restarts, 2)
      assert.include(restarts[1]!.attributes["cause"], "and is stopped")
      assert.strictEqual(restarts[1]!.measurements["budgetLeft"], 1)
      assert.deepStrictEqual(
        events.filter(({ name }) => name === "snakepit.process.start").map(({ attributes }) => attributes["generation"]),
        [1, 2]
      )
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config({}, { ...quick, size: 1 })))))

  it.live("whose Reaper is killed goes with it, and with whatever it had started; the other pool notices nothing", () =>
    Effect.gen(function*() {
      const { awaitEvent } = yield* recorder(0)
      const bus = yield* EventBus.EventBus
      const restarts: Array<Event.Event> = []
      const starts: Array<Event.Event> = []
      yield* bus.tap("snakepit.*_supervisor.restart", (event) => restarts.push(event))
      yield* bus.tap("snakepit.process.start", (event) => starts.push(event))
      const tools = yield* Pool.client(Tools)
      const others = yield* Pool.client(Tools, { pool: "other" })
      const grandchild = yield* tools.leave_child()
      const log = yield* EventLog.EventLog
      const reaper = (yield* log.recent("snakepit.reaper.start")).find(({ attributes }) => attributes["pool"] === "default")
      process.kill(Number(reaper!.attributes["pid"]), "SIGKILL")
      yield* awaitEvent("snakepit.process.start")
      const left = yield* Survivors.of((yield* Snakepit.Snakepit).runId) // not /proc/<pid>: who adopted it may not have reaped it
      assert.notInclude(left.map(({ pid }) => pid), grandchild)
      assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
      assert.deepStrictEqual(restarts.map(({ attributes }) => [attributes["path"], attributes["child"]]), [
        ["snakepit/pools/default", "reaper"]
      ])
      assert.isTrue(starts.every(({ attributes }) => attributes["pool"] === "default"))
      assert.strictEqual(yield* others.add({ a: 1, b: 1 }), 2)
    }).pipe(
      Effect.scoped,
      Snakepit.supervised,
      Effect.provide(Snakepit.layer({
        pools: { ...config({}, { ...quick, size: 1 }).pools, other: config({}, { ...quick, size: 1 }).pools["default"]! }
      }))
    ))

  it.live("whose Reaper stands still goes with it: the pool serves again, and nothing of what was stopped is left", () =>
    Effect.gen(function*() {
      const { awaitEvent } = yield* recorder(0)
      const bus = yield* EventBus.EventBus
      const restarts: Array<Event.Event> = []
      yield* bus.tap("snakepit.*_supervisor.restart", (event) => restarts.push(event))
      const tools = yield* Pool.client(Tools)
      const { runId } = yield* Snakepit.Snakepit
      const before = (yield* Survivors.of(runId)).map(({ pid }) => pid)
      const reaper = (yield* (yield* EventLog.EventLog).recent("snakepit.reaper.start"))[0]
      process.kill(Number(reaper!.attributes["pid"]), "SIGSTOP")
      yield* awaitEvent("snakepit.process.start")
      assert.strictEqual(yield* tools.add({ a: 20, b: 22 }), 42)
      const after = new Set((yield* Survivors.of(runId)).map(({ pid }) => pid))
      assert.deepStrictEqual(before.filter((pid) => after.has(pid)), [])
      assert.deepStrictEqual(restarts.map(({ attributes }) => [attributes["path"], attributes["child"]]), [
        ["snakepit/pools/default", "reaper"]
      ])
      assert.include(restarts[0]!.attributes["cause"], "stands still: somebody sent SIGSTOP")
    }).pipe(Effect.scoped, Snakepit.supervised, Effect.provide(Snakepit.layer(config({}, { ...quick, size: 1 })))))
})
