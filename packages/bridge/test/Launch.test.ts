/** How a process comes to be and how it ends, with a Reaper in memory and the clock of the test. */
import { assert, describe, it } from "@effect/vitest"
import { Event, RegisteredName } from "@snakepit/core"
import { RecordedEvents } from "@snakepit/core/testing"
import { WorkerError, type WorkerRuntime } from "@snakepit/pool"
import { Deferred, Duration, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { constants } from "node:os"
import { resolve } from "node:path"
import * as Launch from "../src/process/Launch.ts"
import * as ProcessRegistry from "../src/process/ProcessRegistry.ts"
import * as ReapedProcess from "../src/process/ReapedProcess.ts"
import * as ScriptedReaper from "./ScriptedReaper.ts"

const id = "default/0#0"

/** A launch in a scope of its own, and what is told of its end. */
const launching = Effect.fnUntraced(function*(scripted: ScriptedReaper.ScriptedReaper, verdict?: WorkerRuntime.Imposed) {
  const scope = yield* Scope.make()
  const ends: Array<ReapedProcess.ProcessEnd> = []
  const place: Launch.Place = {
    worker: "default/0",
    slot: 0,
    told: (end) => Effect.sync(() => void ends.push(end)),
    verdict: () => verdict
  }
  const fiber = yield* Effect.forkChild(Scope.provide(Launch.launch(scripted.launcher, place), scope), { startImmediately: true })
  const stop = Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
  return { fiber, stop, ends }
})

const withForkserver = (scripted: ScriptedReaper.ScriptedReaper) =>
  RegisteredName.register(scripted.forkserver, { id: "default/forkserver#0", reaper: scripted.name.current!, roll: 0 })

const refusal = (fiber: Fiber.Fiber<unknown, WorkerError.BootFailed>) => Effect.flip(Fiber.join(fiber))

describe("a launch", () => {
  it.effect("reserves a place in the registry before anything starts, and frees it when nothing is left", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      const { ends, fiber, stop } = yield* launching(scripted)
      const { pid, start } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([pid, start], [scripted.pidOf(id), "spawn"])
      assert.deepInclude(scripted.entries.get(id), { pid, startTicks: 7, leaked: false })
      yield* Fiber.join(yield* stop)
      assert.deepStrictEqual(scripted.journal, [`reserve ${id}`, `spawn ${id}`, `started ${id}`, `TERM ${id}`, `gone ${id}`])
      assert.strictEqual(scripted.entries.size, 0)
      assert.deepStrictEqual(ends.map(({ code, endedBy, exitClass }) => [code, exitClass._tag, endedBy]), [[0, "Clean", "stop"]])
    }))

  it.effect("passes command line, environment and settings on", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({
        python: {
          path: ["./models"],
          env: { MODEL: "small" },
          threads: 3,
          nice: 5,
          limits: { addressSpace: 2 ** 32, openFiles: 128 },
          allow: ["math:*", "os.path:join"]
        },
        config: { maxPayload: 4096, concurrency: 4 }
      })
      const { fiber } = yield* launching(scripted)
      const { socket, token } = yield* Fiber.join(fiber)
      const [command] = scripted.commands
      assert(command?.op === "spawn")
      assert.deepStrictEqual(command.argv, [
        ...["python", "-m", "snakepit.worker", "--adapter", "tools", "--socket", socket],
        ...["--name", "default/0", "--max-payload", "4096", "--concurrency", "4"],
        ...["--allow", "math:*", "--allow", "os.path:join", "--path", resolve("models")]
      ])
      assert.deepInclude(command.env, { MODEL: "small", OMP_NUM_THREADS: "3", RAYON_NUM_THREADS: "3", SNAKEPIT_RUN: "run" })
      assert.deepStrictEqual(command.settings, { nice: 5, rlimits: { AS: 2 ** 32, NOFILE: 128, CORE: 0 } })
      assert.strictEqual(command.secret, token)
    }))

  it.effect("takes every relative path from the folder of the host, wherever workers run", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({
        python: { path: ["models", "/opt/models"], cwd: "packages", executable: ".venv/bin/python" }
      })
      yield* Fiber.join((yield* launching(scripted)).fiber)
      const [command] = scripted.commands
      assert(command?.op === "spawn")
      assert.strictEqual(command.argv[0], resolve(".venv/bin/python"))
      assert.deepStrictEqual(command.argv.slice(-4), ["--path", resolve("models"), "--path", "/opt/models"])
      assert.strictEqual(command.cwd, resolve("packages"))
    }))

  it.effect("forks while a forkserver is up", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ python: { allow: ["math:*"] }, config: { concurrency: 4 } })
      yield* withForkserver(scripted)
      const { fiber } = yield* launching(scripted)
      const { socket, start, token } = yield* Fiber.join(fiber)
      assert.strictEqual(start, "fork")
      assert.deepStrictEqual(scripted.commands, [{
        ...{ op: "fork", id, via: "default/forkserver#0", socket, name: "default/0", max_payload: 16_777_216 },
        ...{ concurrency: 4, allow: ["math:*"] },
        ...{ secret: token, settings: { rlimits: { CORE: 0 } } }
      }])
    }))

  it.effect("spawns when the forkserver belongs to another Reaper", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      yield* RegisteredName.register(scripted.forkserver, {
        id: "default/forkserver#0",
        reaper: { ...scripted.name.current!, pid: 2 },
        roll: 0
      })
      const { fiber } = yield* launching(scripted)
      assert.strictEqual((yield* Fiber.join(fiber)).start, "spawn")
    }))

  it.effect("spawns when the forkserver has imported the code of another version", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      yield* RegisteredName.register(scripted.forkserver, { id: "default/forkserver#0", reaper: scripted.name.current!, roll: 1 })
      const { fiber } = yield* launching(scripted)
      assert.strictEqual((yield* Fiber.join(fiber)).start, "spawn")
    }))

  it.effect("spawns once when the forkserver dies before it answers", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      yield* withForkserver(scripted)
      scripted.script.start = ({ id, op }) =>
        op === "fork"
          ? scripted.say({ event: "spawn_failed", id, errno: 32, message: "ended before it answered", forkserver_gone: true })
          : scripted.boot(id)
      const { fiber, stop } = yield* launching(scripted)
      assert.strictEqual((yield* Fiber.join(fiber)).start, "spawn")
      assert.deepStrictEqual(scripted.journal, [
        ...[`reserve ${id}`, `fork ${id}`, `gone ${id}`],
        ...[`reserve ${id}`, `spawn ${id}`, `started ${id}`]
      ])
      assert.deepInclude(scripted.entries.get(id), { pid: scripted.pidOf(id) })
      yield* Fiber.join(yield* stop)
      assert.strictEqual(scripted.entries.size, 0)
    }))

  it.effect("does not spawn when a living forkserver could not fork", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      yield* withForkserver(scripted)
      scripted.script.start = ({ id }) =>
        scripted.say({ event: "spawn_failed", id, errno: 11, message: "Resource temporarily unavailable", forkserver_gone: false })
      const { fiber } = yield* launching(scripted)
      assert.deepInclude(yield* refusal(fiber), { worker: "default/0", stage: "spawn", detail: "Resource temporarily unavailable" })
      assert.lengthOf(scripted.commands, 1)
    }))

  it.effect("fails typed when the process says why it cannot serve", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      const exception = { type: "ImportError", message: "no torch", traceback: "Traceback …\nImportError: no torch\n" }
      scripted.script.start = ({ id }) => scripted.boot(id, { status: "failed", stage: "import", exception } as never)
      const { fiber } = yield* launching(scripted)
      assert.deepInclude(yield* refusal(fiber), {
        stage: "import",
        detail: "ImportError: no torch",
        output: ["Traceback …", "ImportError: no torch"]
      })
    }))

  it.effect("fails typed, and may be cured, when on_start of its adapter raises", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      const exception = { type: "OSError", message: "no device", traceback: "Traceback …\nOSError: no device\n" }
      scripted.script.start = ({ id }) => scripted.boot(id, { status: "failed", stage: "start", exception } as never)
      const error = yield* refusal((yield* launching(scripted)).fiber)
      assert.deepInclude(error, { stage: "start", detail: "OSError: no device" })
      assert.include(error.message, "on_start of its adapter \"tools\" raised: OSError: no device")
      assert.isFalse(WorkerError.isIncurable(error))
    }))

  it.effect("fails with the likely cause when the process ends before it is ready", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      scripted.script.start = ({ id }) => {
        scripted.say({ event: "spawned", id, pid: 4711, started: 7 })
        scripted.say({ event: "output", id, stream: "stderr", text: "Fatal Python error: Segmentation fault" })
        scripted.end(id, { code: null, signal: "SIGSEGV" })
      }
      const { fiber } = yield* launching(scripted)
      assert.deepInclude(yield* refusal(fiber), {
        stage: "exit",
        detail: "it was ended by SIGSEGV: native code crashed (SIGSEGV)",
        output: ["Fatal Python error: Segmentation fault"]
      })
    }))

  it.effect("fails when nothing is heard in time, and ends what it had started", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ config: { startTimeout: "2 seconds" } })
      scripted.script.start = ({ id }) => scripted.say({ event: "spawned", id, pid: 4711, started: 7 })
      const { ends, fiber, stop } = yield* launching(scripted)
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* refusal(fiber), { stage: "timeout", detail: "nothing was heard of it for 2s" })
      yield* Fiber.join(yield* stop)
      assert.include(scripted.journal, `TERM ${id}`)
      assert.deepInclude(ends[0], { pid: 4711, endedBy: "stop" })
    }))

  it.effect("that was forked and does not come up is not told to wait longer: its adapter was imported before", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ config: { startTimeout: "2 seconds" } })
      yield* withForkserver(scripted)
      scripted.script.start = ({ id }) => scripted.say({ event: "spawned", id, pid: 4711, started: 7 })
      const { fiber } = yield* launching(scripted)
      yield* TestClock.adjust("2 seconds")
      const { message } = yield* refusal(fiber)
      assert.include(message, "set python.start to \"spawn\"")
      assert.notInclude(message, "Raise startTimeout")
    }))

  it.effect("fails before anything is reserved when its working folder is none, and names the key", () =>
    Effect.gen(function*() {
      for (const [cwd, why] of [["/nowhere/at/all", "there is no such folder"], ["/dev/null", "is no folder"]] as const) {
        const scripted = yield* ScriptedReaper.make({ python: { cwd } })
        const { fiber } = yield* launching(scripted)
        const error = yield* refusal(fiber)
        assert.strictEqual(error.stage, "cwd")
        assert.include(error.message, `python.cwd is "${cwd}"`)
        assert.include(error.message, why)
        assert.deepStrictEqual(scripted.journal, [])
      }
    }))

  it.effect("says the next step for what the system says", () =>
    Effect.gen(function*() {
      for (
        const [errno, name, step] of [
          [constants.errno.ENOENT, "ENOENT", "python.executable"],
          [constants.errno.EAGAIN, "EAGAIN", "ulimit -u"],
          [constants.errno.ENOMEM, "ENOMEM", "memory"],
          [constants.errno.EMFILE, "EMFILE", "ulimit -n"]
        ] as const
      ) {
        const scripted = yield* ScriptedReaper.make()
        scripted.script.start = ({ id }) => scripted.say({ event: "spawn_failed", id, errno, message: "python: no" })
        const { fiber } = yield* launching(scripted)
        const error = yield* refusal(fiber)
        assert.deepInclude(error, { stage: "spawn", errno: name })
        assert.include(error.message.split("\n").at(-1), step)
      }
    }))

  it.effect("never has the id of another in the run, whatever counts generations anew", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ config: { stopGrace: "3 seconds" } })
      scripted.script.obeys = () => false
      const { fiber, stop } = yield* launching(scripted)
      yield* Fiber.join(fiber)
      const stopping = yield* stop
      yield* TestClock.adjust("8 seconds")
      yield* Fiber.join(stopping)
      yield* Fiber.join((yield* launching(scripted)).fiber)
      assert.deepStrictEqual([...scripted.entries].map(([id, { leaked }]) => [id, leaked]), [["default/0#0", true], ["default/0#1", false]])
      const leaks = yield* ProcessRegistry.leaks({ registry: scripted.launcher.registry })
      assert.deepStrictEqual(leaks.map(({ id }) => id), ["default/0#0"])
    }))

  it.effect("that was withdrawn before it had a process is no leak", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      yield* Effect.gen(function*() {
        const scripted = yield* ScriptedReaper.make({ config: { startTimeout: "2 seconds", stopGrace: "3 seconds" } })
        scripted.script.start = () => {}
        scripted.script.obeys = () => false
        const { fiber, stop } = yield* launching(scripted)
        yield* TestClock.adjust("2 seconds")
        const stopping = yield* stop
        yield* TestClock.adjust("8 seconds")
        yield* refusal(fiber)
        yield* Fiber.join(stopping)
        assert.deepStrictEqual(recorded.names(), [])
        assert.deepInclude(scripted.entries.get(id), { pid: undefined, leaked: false })
        scripted.say({ event: "spawn_failed", id, errno: constants.errno.ECANCELED, message: "withdrawn" })
        assert.strictEqual(scripted.entries.size, 0)
      }).pipe(Effect.provideService(Event.EventSink, recorded.sink))
    }))

  it.effect("fails when there is no Reaper", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      scripted.name.current = undefined
      const { fiber } = yield* launching(scripted)
      assert.deepInclude(yield* refusal(fiber), { stage: "spawn" })
      assert.lengthOf(scripted.commands, 0)
    }))
})

describe("the stop of a process", () => {
  it.effect("is SIGTERM, the grace, SIGKILL", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ config: { stopGrace: "3 seconds" } })
      scripted.script.obeys = (signal) => signal === "KILL"
      const { ends, fiber, stop } = yield* launching(scripted)
      yield* Fiber.join(fiber)
      const stopping = yield* stop
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(scripted.journal.slice(3), [`TERM ${id}`])
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(scripted.journal.slice(3), [`TERM ${id}`, `KILL ${id}`, `gone ${id}`])
      assert.deepInclude(ends[0], { endedBy: "stop", signal: "SIGKILL", exitClass: { _tag: "KilledByUs", signal: "SIGKILL" } })
    }))

  it.effect("waits until nothing of it is left: a grandchild that outlives it is killed after the grace", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ config: { stopGrace: "3 seconds" } })
      scripted.script.obeys = () => false
      const { ends, fiber, stop } = yield* launching(scripted)
      yield* Fiber.join(fiber)
      const stopping = yield* stop
      yield* TestClock.adjust("1 second")
      scripted.exit(id, { sent: "TERM" })
      yield* TestClock.adjust("1 second")
      assert.isUndefined(stopping.pollUnsafe())
      assert.lengthOf(ends, 0)
      scripted.say({ event: "gone", id })
      yield* Fiber.join(stopping)
      assert.deepInclude(ends[0], { endedBy: "stop", code: 0 })
      assert.notInclude(scripted.journal, `KILL ${id}`)
    }))

  it.effect("kills at once what was condemned, and says by which verdict", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ config: { stopGrace: "3 seconds" } })
      const stopped = new WorkerError.WorkerStopped({ worker: "default/0", missed: 1, silentMillis: 1500, evidence: undefined })
      const { ends, fiber, stop } = yield* launching(scripted, stopped)
      yield* Fiber.join(fiber)
      yield* Fiber.join(yield* stop)
      assert.deepStrictEqual(scripted.journal.slice(3), [`KILL ${id}`, `gone ${id}`])
      assert.deepInclude(ends[0], { endedBy: "verdict", signal: "SIGKILL" })
      const { cause, planned } = ReapedProcess.facts(ends[0]!)
      assert.isFalse(planned)
      assert.include(cause, "WorkerStopped: worker default/0 is stopped")
    }))

  it.effect("counts what the drain has taken: the grace is one", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make({ config: { stopGrace: "3 seconds" } })
      scripted.script.obeys = (signal) => signal === "KILL"
      const { ends, fiber, stop } = yield* launching(scripted)
      const { reaped } = yield* Fiber.join(fiber)
      reaped.known.drainTook = Duration.seconds(2)
      const stopping = yield* stop
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(stopping.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(stopping)
      assert.deepInclude(ends[0], { endedBy: "stop", signal: "SIGKILL" })
    }))

  it.effect("does not hang on a process that SIGKILL does not end: it is told as leaked, kept in the registry, and its end is told later", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      yield* Effect.gen(function*() {
        const scripted = yield* ScriptedReaper.make({ config: { stopGrace: "3 seconds" } })
        scripted.script.obeys = () => false
        const { ends, fiber, stop } = yield* launching(scripted)
        const { pid } = yield* Fiber.join(fiber)
        const stopping = yield* stop
        yield* TestClock.adjust("7999 millis")
        assert.isUndefined(stopping.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(stopping)
        assert.deepStrictEqual(recorded.names(), ["snakepit.process.leak"])
        assert.deepInclude(recorded.events[0]!.attributes, { pool: "default", worker: "default/0", pid })
        assert.deepInclude(scripted.entries.get(id), { pid, leaked: true })
        assert.lengthOf(ends, 0)
        scripted.end(id, { code: null, signal: "SIGKILL", sent: "KILL" })
        yield* TestClock.adjust(0)
        assert.strictEqual(scripted.entries.size, 0)
        assert.deepInclude(ends[0], { pid, signal: "SIGKILL" })
      }).pipe(Effect.provideService(Event.EventSink, recorded.sink))
    }))

  it.effect("returns at once when it has ended by itself: the Reaper goes on with what it left, and the registry keeps it until then", () =>
    Effect.gen(function*() {
      const recorded = RecordedEvents.make()
      yield* Effect.gen(function*() {
        const scripted = yield* ScriptedReaper.make()
        const { ends, fiber, stop } = yield* launching(scripted)
        const { reaped } = yield* Fiber.join(fiber)
        scripted.exit(id, { code: null, signal: "SIGSEGV" })
        assert.isTrue(Deferred.isDoneUnsafe(reaped.exited))
        yield* Fiber.join(yield* stop)
        assert.deepInclude(ends[0], { endedBy: "itself", exitClass: { _tag: "Segfault", signal: "SIGSEGV" } })
        assert.isTrue(scripted.entries.has(id))
        assert.notInclude(scripted.journal, `TERM ${id}`)
        yield* TestClock.adjust("4999 millis")
        assert.deepStrictEqual(recorded.names(), [])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(recorded.names(), ["snakepit.process.leak"])
        scripted.say({ event: "gone", id })
        assert.strictEqual(scripted.entries.size, 0)
        assert.lengthOf(ends, 1)
      }).pipe(Effect.provideService(Event.EventSink, recorded.sink))
    }))

  it.effect("is over when the Reaper ends before it has said that nothing is left", () =>
    Effect.gen(function*() {
      const reaping = yield* Scope.make()
      const scripted = yield* Scope.provide(ScriptedReaper.make(), reaping)
      const { fiber, stop } = yield* launching(scripted)
      yield* Fiber.join(fiber)
      scripted.exit(id, { code: 1 })
      yield* Fiber.join(yield* stop)
      assert.isTrue(scripted.entries.has(id))
      yield* Scope.close(reaping, Exit.void)
      assert.strictEqual(scripted.entries.size, 0)
    }))

  it.effect("sends nothing to a Reaper that is gone: it has taken all of its own along", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedReaper.make()
      const { ends, fiber, stop } = yield* launching(scripted)
      yield* Fiber.join(fiber)
      scripted.name.current = undefined
      yield* Fiber.join(yield* stop)
      assert.deepStrictEqual(scripted.journal, [`reserve ${id}`, `spawn ${id}`, `started ${id}`, `gone ${id}`])
      assert.deepInclude(ends[0], { endedBy: "reaper", exitClass: { _tag: "KilledByUs", signal: "SIGKILL" } })
    }))
})
