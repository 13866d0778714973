/** Spares and the processes of slots that take them, with a Reaper in memory and sessions that are never dialled. */
import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Event, RegisteredName, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { RecordedEvents } from "@snakepit/core/testing"
import type { WorkerRuntime } from "@snakepit/pool"
import { Effect, Exit, Fiber, Schedule, Scope } from "effect"
import { TestClock } from "effect/testing"
import { RenameSchema } from "../gen/snakepit/v1/worker_pb.ts"
import * as PythonProcess from "../src/process/PythonProcess.ts"
import * as Spares from "../src/process/Spares.ts"
import * as ScriptedReaper from "./ScriptedReaper.ts"
import { ScriptedWorker } from "./ScriptedWorker.ts"

/** A pool with one slot: what a spare is for. */
const opening = Effect.fnUntraced(function*(options: ScriptedReaper.Options = {}) {
  const scripted = yield* ScriptedReaper.make(options)
  const recorded = RecordedEvents.make()
  const kernel = { state: "sleeping" as WorkerRuntime.Evidence["state"] }
  const spares = Spares.make(() => kernel.state)
  const name = RegisteredName.make<PythonProcess.PythonProcess>("default/0/process")
  const dialled = new ScriptedWorker()
  let launches = 0
  let generation = 0
  const unused = () => assert.fail("a process says nothing to the pool")
  const config = scripted.launcher.config as WorkerRuntime.WorkerSeat["config"]
  const seat: WorkerRuntime.WorkerSeat = {
    pool: "default",
    slot: 0,
    name: "default/0",
    config,
    version: () => ({ snapshot: 1, roll: 0, config }),
    fill: () => generation++,
    condemn: unused,
    verdict: () => undefined,
    generation: () => 0,
    incident: () => undefined,
    sink: {
      attached: unused,
      started: unused,
      item: unused,
      want: unused,
      sessionEnded: unused,
      resumed: unused,
      done: unused,
      failed: unused,
      hostCall: unused,
      hostCancel: unused,
      telemetry: unused,
      broken: unused,
      detached: unused
    },
    governed: (launch) => Effect.andThen(Effect.sync(() => launches++), launch)
  }
  const worker = Supervisor.make("0", {
    plane: "execution",
    strategy: "rest_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "30 seconds" }, delay: Schedule.spaced(0) }),
    because: "it is a test",
    limitBecause: "it is a test",
    events: SupervisorEvent.of("worker_supervisor", "execution"),
    children: [PythonProcess.child({ seat, launcher: () => scripted.launcher, spares, name })]
  })
  const sink = Effect.provideService(Event.EventSink, recorded.sink)
  /** Starts a spare in a scope of its own. */
  const spare = (worker: ScriptedWorker = dialled) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const started = yield* Spares.start(spares, scripted.launcher, worker.open).pipe(Scope.provide(scope), sink)
      return { ...started, close: Scope.close(scope, Exit.void) }
    })
  const fill = Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Supervisor.start(worker).pipe(Scope.provide(scope), sink)
    return { stop: Scope.close(scope, Exit.void) }
  })
  const told = (event: string) => recorded.events.filter(({ name }) => name === `snakepit.${event}`).map(({ attributes }) => attributes)
  return { scripted, spares, spare, kernel, fill, name, dialled, told, launches: () => launches }
})

describe("a spare", () => {
  it.effect("fills a slot without a launch, with its session open; it ends with the slot, not with whoever started it", () =>
    Effect.gen(function*() {
      const { dialled, fill, launches, name, scripted, spare, spares, told } = yield* opening()
      const { close, gone, pid } = yield* spare()
      const { stop } = yield* fill
      assert.strictEqual(yield* gone, "taken")
      assert.lengthOf(spares.shelf, 0)
      assert.strictEqual(launches(), 0)
      assert.strictEqual(scripted.launcher.reaper.current?.traffic.boots.state.count, 1)
      assert.deepInclude(told("process.start")[0], { pid, slot: 0, generation: 0, start: "spare" })
      const taken = name.current!.session()
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))) // what is said leaves in the next tick
      assert.deepInclude(dialled.heard, { case: "rename", value: create(RenameSchema, { name: "default/0" }) })
      assert.isDefined(taken.takeStream())
      assert.isUndefined(taken.takeStream())
      yield* close
      assert.notInclude(scripted.journal, "TERM default/spare#0")
      yield* stop
      assert.include(scripted.journal, "TERM default/spare#0")
      assert.deepInclude(told("process.exit")[0], { pid, slot: 0, planned: true, endedBy: "stop" })
      assert.lengthOf(told("spare.exit"), 0)
    }))

  it.effect("replaces a worker that was killed in the same moment, without waiting for what the dead one left", () =>
    Effect.gen(function*() {
      const { fill, launches, name, scripted, spare, told } = yield* opening()
      yield* fill
      const { pid } = yield* spare()
      scripted.exit("default/0#0", { code: null, signal: "SIGKILL" })
      yield* TestClock.adjust(0)
      assert.strictEqual(name.current?.pid, pid)
      assert.strictEqual(launches(), 1)
      assert.deepStrictEqual(told("process.start").map(({ generation, start }) => [generation, start]), [[0, "spawn"], [1, "spare"]])
      assert.isTrue(scripted.entries.has("default/0#0")) // until the Reaper says that it is gone
      scripted.say({ event: "gone", id: "default/0#0" })
      assert.deepStrictEqual([...scripted.entries.keys()], ["default/spare#0"])
    }))

  it.effect("that has died is not taken: the slot launches", () =>
    Effect.gen(function*() {
      const { fill, launches, scripted, spare, told } = yield* opening()
      const { close, gone } = yield* spare()
      scripted.exit("default/spare#0", { code: null, signal: "SIGKILL" }) // nobody has had time to notice
      const { stop } = yield* fill
      assert.strictEqual(launches(), 1)
      assert.strictEqual(yield* gone, "died")
      yield* close
      assert.deepInclude(told("spare.exit")[0], { planned: false, endedBy: "itself", exitClass: "KilledBySomeone" })
      yield* stop
    }))

  it.effect("whose session has broken is not taken, and is stopped", () =>
    Effect.gen(function*() {
      const { dialled, fill, launches, scripted, spare, told } = yield* opening()
      const { close, gone } = yield* spare()
      dialled.cut()
      assert.strictEqual(yield* gone, "died")
      yield* fill
      assert.strictEqual(launches(), 1)
      yield* close
      assert.include(scripted.journal, "TERM default/spare#0")
      assert.deepInclude(told("spare.exit")[0], { planned: true, endedBy: "stop" })
    }))

  it.effect("that was stopped is not taken, and is replaced: it looks alive to everybody but the kernel", () =>
    Effect.gen(function*() {
      const { fill, kernel, launches, spare } = yield* opening()
      const { gone } = yield* spare()
      kernel.state = "stopped"
      yield* fill
      assert.strictEqual(launches(), 1)
      assert.strictEqual(yield* gone, "died")
    }))

  it.effect("that a slot has taken is known by the slot's name: to the registry, and when it cannot be ended", () =>
    Effect.gen(function*() {
      const { fill, scripted, spare, told } = yield* opening({ config: { stopGrace: "3 seconds" } })
      yield* spare()
      const { stop } = yield* fill
      assert.deepInclude(scripted.entries.get("default/spare#0"), { takenBy: "default/0", leaked: false })
      scripted.script.obeys = () => false
      const stopping = yield* Effect.forkChild(stop, { startImmediately: true })
      yield* TestClock.adjust("8 seconds")
      yield* Fiber.join(stopping)
      assert.deepInclude(told("process.leak")[0], { worker: "default/0" })
      assert.deepInclude(scripted.entries.get("default/spare#0"), { takenBy: "default/0", leaked: true })
    }))

  it.effect("goes to one slot only, oldest first", () =>
    Effect.gen(function*() {
      const { spare, spares } = yield* opening()
      const pids = [(yield* spare()).pid, (yield* spare()).pid]
      const takes = [0, 1, 2].map(() =>
        Spares.take(spares, 0, "default/0", { told: () => Effect.void, verdict: () => undefined })?.launched.pid
      )
      assert.deepStrictEqual(takes, [...pids, undefined])
    }))

  it.effect("is for a slot of its version", () =>
    Effect.gen(function*() {
      const { spare, spares } = yield* opening()
      const { pid } = yield* spare()
      const take = (roll: number) =>
        Spares.take(spares, roll, "default/0", { told: () => Effect.void, verdict: () => undefined })?.launched.pid
      assert.deepStrictEqual([take(1), take(0)], [undefined, pid])
    }))

  it.effect("that nobody took is stopped when its scope closes, and is not on the shelf while it stops", () =>
    Effect.gen(function*() {
      const { scripted, spare, spares, told } = yield* opening({ config: { stopGrace: "3 seconds" } })
      scripted.script.obeys = (signal) => signal === "KILL"
      const { close } = yield* spare()
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      assert.lengthOf(spares.shelf, 0)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(closing)
      assert.deepInclude(told("spare.exit")[0], { planned: true, endedBy: "stop", exitClass: "KilledByUs" })
      assert.strictEqual(scripted.entries.size, 0)
    }))

  it.effect("that does not shake hands fails typed, and is stopped", () =>
    Effect.gen(function*() {
      const { scripted, spare, spares } = yield* opening()
      const newer = new ScriptedWorker()
      newer.protocol = 2
      const error = yield* Effect.flip(spare(newer))
      assert.deepInclude(error, { _tag: "BootFailed", stage: "handshake", worker: "default/spare" })
      assert.include(error.detail, "protocol is 2, expected 1")
      assert.lengthOf(spares.shelf, 0)
      assert.include(scripted.journal, "started default/spare#0")
    }))

  it.effect("that does not answer the handshake is killed at once", () =>
    Effect.gen(function*() {
      const { scripted, spare } = yield* opening()
      const silent = new ScriptedWorker()
      silent.silent = true
      const scope = yield* Scope.make()
      const starting = yield* Effect.forkChild(Effect.flip(Scope.provide(spare(silent), scope)), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* Fiber.join(starting), { stage: "handshake" })
      yield* Scope.close(scope, Exit.void)
      assert.notInclude(scripted.journal, "TERM default/spare#0")
    }))
})

describe("the process of a slot", () => {
  it.effect("fails with the class of its exit and its last lines, and the event tells the same", () =>
    Effect.gen(function*() {
      const { fill, scripted, told } = yield* opening()
      yield* fill
      scripted.say({ event: "output", id: "default/0#0", stream: "stderr", text: "Fatal Python error: Segmentation fault" })
      scripted.exit("default/0#0", { code: null, signal: "SIGSEGV" })
      yield* TestClock.adjust(0)
      assert.deepInclude(told("process.exit")[0], {
        planned: false,
        endedBy: "itself",
        signal: "SIGSEGV",
        exitClass: "Segfault",
        output: "Fatal Python error: Segmentation fault"
      })
      const cause = String(told("worker_supervisor.restart")[0]!["cause"])
      assert.include(cause, "ended by SIGSEGV: native code crashed (SIGSEGV)")
      assert.include(cause, "The stack above names the library")
    }))
})
