/** The forkserver as a supervised child, with a Reaper in memory and the clock of the test. */
import { assert, describe, it } from "@effect/vitest"
import { Event, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { RecordedEvents } from "@snakepit/core/testing"
import type { WorkerError } from "@snakepit/pool"
import { Effect, Exit, Fiber, Schedule, Scope } from "effect"
import { TestClock } from "effect/testing"
import { resolve } from "node:path"
import * as Forkserver from "../src/process/Forkserver.ts"
import type { Status } from "../src/process/ReaperProtocol.ts"
import * as ScriptedReaper from "./ScriptedReaper.ts"

const id = "default/forkserver#0"

/** Starts it under a supervisor that restarts it at once. */
const starting = Effect.fnUntraced(function*(scripted: ScriptedReaper.ScriptedReaper) {
  const recorded = RecordedEvents.make()
  const scope = yield* Scope.make()
  const launcher = Supervisor.make("launcher", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "30 seconds" }, delay: Schedule.spaced(0) }),
    because: "it is a test",
    limitBecause: "it is a test",
    events: SupervisorEvent.of("launcher_supervisor", "control"),
    children: [Forkserver.child(() => scripted.launcher, { up: undefined })]
  })
  const started = yield* Effect.forkChild(
    Supervisor.start(launcher).pipe(Scope.provide(scope), Effect.provideService(Event.EventSink, recorded.sink)),
    { startImmediately: true }
  )
  const told = (name: string) => recorded.events.filter((event) => event.name === `snakepit.${name}`).map(({ attributes }) => attributes)
  return { started, told, stop: Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true }) }
})

const registered = ({ forkserver }: ScriptedReaper.ScriptedReaper) => forkserver.current

describe("a forkserver", () => {
  it.effect("is up when its import is done, under a name that launches find, and is stopped with its supervisor", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({
        python: { path: ["./models"], nice: 5, limits: { addressSpace: 1 << 30, openFiles: 256, coreBytes: 7 } }
      })
      scripted.script.start = ({ id }) => scripted.say({ event: "spawned", id, pid: 4711, started: 7 })
      const { started, stop, told } = yield* starting(scripted)
      const [command] = scripted.commands
      assert(command?.op === "forkserver")
      assert.deepStrictEqual(command.argv, ["python", "-m", "snakepit.forkserver", "--adapter", "tools", "--path", resolve("models")])
      assert.deepStrictEqual(command.settings, { rlimits: { AS: 1 << 30, CORE: 7 } })
      assert.isUndefined(started.pollUnsafe())
      assert.isUndefined(registered(scripted))
      scripted.say({ event: "status", id, status: { status: "ready", pid: 4711, tools: ["add"], threads: 1 } })
      yield* Fiber.join(started)
      assert.deepStrictEqual(registered(scripted), { id, reaper: scripted.name.current!, roll: 0 })
      assert.deepInclude(told("forkserver.start")[0], { pool: "default", mode: "fork", pid: 4711 })
      yield* Fiber.join(yield* stop)
      assert.isUndefined(registered(scripted))
      assert.deepStrictEqual(scripted.journal, [`reserve ${id}`, `forkserver ${id}`, `started ${id}`, `TERM ${id}`, `gone ${id}`])
      assert.deepInclude(told("forkserver.exit")[0], { pid: 4711, planned: true, exitClass: "Clean" })
    }))

  it.effect("is stopped again when nobody can count what threads its import has started", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      scripted.script.start = ({ id }) => scripted.boot(id, { threads: null })
      const { started, told } = yield* starting(scripted)
      yield* Fiber.join(started)
      assert.isUndefined(registered(scripted))
      assert.include(told("forkserver.start")[0]?.["why"], "cannot be counted")
    }))

  it.effect("that ends is started anew, and has no name meanwhile", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      const { started, told } = yield* starting(scripted)
      yield* Fiber.join(started)
      scripted.script.start = () => {}
      scripted.exit(id, { code: null, signal: "SIGKILL" })
      yield* TestClock.adjust(0)
      assert.isUndefined(registered(scripted))
      assert.deepInclude(told("forkserver.exit")[0], { planned: false, signal: "SIGKILL", exitClass: "KilledBySomeone" })
      assert.include(told("launcher_supervisor.restart")[0]!["cause"], "the Forkserver of pool \"default\" is gone")
      scripted.boot("default/forkserver#1")
      yield* TestClock.adjust(0)
      assert.strictEqual(registered(scripted)?.id, "default/forkserver#1")
    }))

  it.effect("whose adapter does not import any more stays up without a process, and is not tried again and again", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      const { started, told } = yield* starting(scripted)
      yield* Fiber.join(started)
      scripted.script.start = ({ id }) => {
        scripted.say({ event: "spawned", id, pid: 4712, started: 8 })
        const exception = { type: "ImportError", message: "no torch", traceback: "" }
        scripted.say({ event: "status", id, status: { status: "failed", stage: "import", exception } })
      }
      scripted.end(id, { code: null, signal: "SIGKILL" })
      yield* TestClock.adjust("10 minutes")
      assert.lengthOf(told("launcher_supervisor.restart"), 1)
      assert.deepStrictEqual(scripted.commands.filter(({ op }) => op === "forkserver").map(({ id }) => id), [id, "default/forkserver#1"])
      assert.include(scripted.journal, "TERM default/forkserver#1")
      assert.strictEqual(scripted.entries.size, 0)
      assert.isUndefined(registered(scripted))
      assert.deepInclude(told("forkserver.start")[1], { mode: "spawn", pid: undefined })
      assert.include(told("forkserver.start")[1]!["why"], "worked before and fails now: ImportError: no torch")
    }))

  it.effect("that a restart finds too slow is tried again: that may pass", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      const { started } = yield* starting(scripted)
      yield* Fiber.join(started)
      scripted.script.start = ({ id }) => scripted.say({ event: "spawned", id, pid: 4712, started: 8 })
      scripted.end(id, { code: null, signal: "SIGKILL" })
      yield* TestClock.adjust("1 minute")
      scripted.boot("default/forkserver#2")
      yield* TestClock.adjust(0)
      assert.strictEqual(registered(scripted)?.id, "default/forkserver#2")
    }))

  const failures: ReadonlyArray<
    readonly [
      string,
      (scripted: ScriptedReaper.ScriptedReaper) => void,
      { readonly stage: WorkerError.BootFailed["stage"]; readonly detail: string }
    ]
  > = [
    [
      "the adapter does not import",
      ({ say }) =>
        say({
          event: "status",
          id,
          status: { status: "failed", stage: "import", exception: { type: "ImportError", message: "no torch", traceback: "" } }
        }),
      { stage: "import", detail: "ImportError: no torch" }
    ],
    [
      "its tools cannot be served",
      ({ say }) =>
        say({
          event: "status",
          id,
          status: { status: "failed", stage: "catalogue", exception: { type: "TypeError", message: "no hints", traceback: "" } }
        }),
      { stage: "catalogue", detail: "TypeError: no hints" }
    ],
    [
      "it cannot be spawned",
      ({ say }) => say({ event: "spawn_failed", id, errno: 2, message: "python: not found" }),
      { stage: "spawn", detail: "python: not found" }
    ],
    ["it ends", ({ end }) => end(id, { code: 3 }), { stage: "exit", detail: "it ended with code 3: it left with code 3 and no traceback" }],
    ["it is silent", () => {}, { stage: "timeout", detail: "nothing was heard of it for 1m" }]
  ]
  it.effect.each(failures)("does not start, with a typed reason, when %s", ([, say, expected]) =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      scripted.script.start = ({ id }) => expected.stage !== "spawn" && scripted.say({ event: "spawned", id, pid: 4711, started: 7 })
      const { started } = yield* starting(scripted)
      say(scripted)
      yield* TestClock.adjust("1 minute")
      const { at } = yield* Effect.flip(Fiber.join(started))
      assert.strictEqual(at.path, "launcher/forkserver")
      assert.deepInclude(at.error, { _tag: "BootFailed", worker: "default/forkserver", adapter: "tools", ...expected })
      assert.isUndefined(registered(scripted))
      assert.strictEqual(scripted.entries.size, 0)
    }))

  it.effect("is up without a process when workers are to be spawned", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ python: { start: "spawn" } })
      const { started, told } = yield* starting(scripted)
      yield* Fiber.join(started)
      assert.deepStrictEqual([scripted.commands, scripted.forkserver.current], [[], undefined])
      assert.deepInclude(told("forkserver.start")[0], { mode: "spawn", why: "python.start is \"spawn\"", pid: undefined })
    }))

  it.effect("is up without a process where a forked worker would not belong to the Reaper", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ subreaper: false })
      const { started, told } = yield* starting(scripted)
      yield* Fiber.join(started)
      assert.lengthOf(scripted.commands, 0)
      assert.include(told("forkserver.start")[0], { mode: "spawn" })
      assert.include(told("forkserver.start")[0]!["why"], "no process adopt")
    }))

  it.effect("is stopped again when the import has started threads, and stays up without a process", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      scripted.script.start = ({ id }) => scripted.boot(id, { threads: 4 } as Partial<Status>)
      const { started, stop, told } = yield* starting(scripted)
      yield* Fiber.join(started)
      assert.isUndefined(registered(scripted))
      assert.include(scripted.journal, `TERM ${id}`)
      assert.strictEqual(scripted.entries.size, 0)
      assert.include(told("forkserver.start")[0]!["why"], "importing \"tools\" left 3 threads running")
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(told("launcher_supervisor.restart"), 0)
      yield* Fiber.join(yield* stop)
    }))
})
