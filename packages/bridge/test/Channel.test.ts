/** The channel of a worker on a wire in memory: what its stop waits for, what a broken stream costs, and what it does not. */
import { assert, describe, it } from "@effect/vitest"
import { RegisteredName, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { type Wire, WorkerError, type WorkerRuntime } from "@snakepit/pool"
import { Deferred, Duration, Effect, Exit, Fiber, Schedule, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Channel from "../src/channel/Channel.ts"
import * as Session from "../src/channel/Session.ts"
import { Traffic } from "../src/channel/Traffic.ts"
import * as PythonProcess from "../src/process/PythonProcess.ts"
import * as ReapedProcess from "../src/process/ReapedProcess.ts"
import * as ScriptedReaper from "./ScriptedReaper.ts"
import { ScriptedWorker } from "./ScriptedWorker.ts"

const id = "default/0#0"

/** A channel that is up, and its stop. */
const opening = Effect.fnUntraced(function*(pid = globalThis.process.pid) {
  const scripted = yield* ScriptedReaper.make({ config: { stopGrace: "3 seconds" } })
  const told: Array<string> = []
  const python = new ScriptedWorker()
  let verdict: WorkerRuntime.Imposed | undefined
  let wire: Wire.Wire | undefined
  const reaped = ReapedProcess.begin({
    pool: "default",
    worker: "default/0",
    reaper: scripted.name.current!,
    registry: scripted.launcher.registry.current!,
    command: { op: "spawn", id, argv: [], env: {}, cwd: "/", secret: "", settings: {} }
  })
  const process = RegisteredName.make<PythonProcess.PythonProcess>("default/0/process")
  const config = scripted.launcher.config as WorkerRuntime.WorkerSeat["config"]
  const seat: WorkerRuntime.WorkerSeat = {
    pool: "default",
    slot: 0,
    name: "default/0",
    config,
    version: () => ({ snapshot: 1, roll: 0, config }),
    fill: () => 0,
    condemn: (imposed) => {
      verdict = imposed
    },
    verdict: () => verdict,
    generation: () => 0,
    incident: () => undefined,
    sink: {
      attached: (attached) => {
        wire = attached
        told.push("attached")
      },
      started: () => {},
      item: () => {},
      want: () => {},
      sessionEnded: () => {},
      resumed: () => void told.push("resumed"),
      done: (call) => void told.push(`done ${call}`),
      failed: () => {},
      hostCall: ({ number }) => void told.push(`host call ${number}`),
      hostCancel: (number) => void told.push(`host call ${number} is given up`),
      telemetry: ({ records }) => void told.push(`telemetry: ${records.map(({ said }) => said._tag).join(", ")}`),
      broken: () => void told.push("broken"),
      detached: (reason, ended) => void told.push(`detached: ${reason}${ended ? ", ended" : ""}`)
    },
    governed: (launch) => launch
  }
  const launched = { pid, start: "spawn", socket: "", token: "", segments: undefined, roll: 0, reaped } as const
  const session = new Session.Session({ process: launched, config: () => seat.config }, python.open)
  yield* Scope.provide(session.prepare(), yield* Effect.scope)
  const held = PythonProcess.make(seat, launched, session, python.open)
  yield* RegisteredName.register(process, held)
  const worker = Supervisor.make("0", {
    plane: "execution",
    strategy: "rest_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "30 seconds" }, delay: Schedule.spaced(0) }),
    because: "it is a test",
    limitBecause: "it is a test",
    events: SupervisorEvent.of("worker_supervisor", "execution"),
    children: [Channel.child({ seat, process, reaper: scripted.name })]
  })
  const scope = yield* Scope.make()
  yield* Scope.provide(Supervisor.start(worker), scope)
  return {
    scripted,
    python,
    told,
    said: () => python.heard.map((frame) => frame.case),
    wire: () => wire!,
    seat,
    grace: () => Duration.toMillis(reaped.known.drainTook),
    stop: Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
  }
})

const done = (id: number) => ({ case: "done", value: { id: BigInt(id) } }) as const
const drained = { case: "drained", value: {} } as const

/** Lets what is on its way arrive, and whoever waits for it go on. */
const settle = Effect.gen(function*() {
  for (let turn = 0; turn < 10; turn++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
})

describe("a channel that is stopped", () => {
  it.effect("asks its worker to drain, lets no further call come, hears the running one out, and then detaches", () =>
    Effect.gen(function*() {
      const { grace, python, said, stop, told } = yield* opening()
      const stopping = yield* stop
      yield* settle
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual([told, said()], [["attached", "broken"], ["drain"]])
      python.say(done(7))
      python.say(drained)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(told, ["attached", "broken", "done 7", "detached: its supervisor stopped it"])
      assert.isTrue(python.streams[0]!.closed)
      assert.strictEqual(grace(), 500)
    }))

  it.effect("waits for stopGrace, and no longer", () =>
    Effect.gen(function*() {
      const { grace, stop, told } = yield* opening()
      const stopping = yield* stop
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(stopping.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(stopping)
      assert.include(told, "detached: its supervisor stopped it")
      assert.strictEqual(grace(), 3000)
    }))

  it.effect("waits no more when the process ends, or the stream", () =>
    Effect.gen(function*() {
      const ended = yield* opening()
      const first = yield* ended.stop
      ended.scripted.exit(id, { code: null, signal: "SIGKILL" })
      yield* Fiber.join(first)
      assert.include(ended.told, "detached: its process was ended by SIGKILL, ended")
      const cut = yield* opening()
      const second = yield* cut.stop
      cut.python.cut()
      yield* Fiber.join(second)
      assert.include(cut.told, "detached: its supervisor stopped it")
    }))

  it.effect("does not ask a worker that was condemned, nor one whose Reaper is gone", () =>
    Effect.gen(function*() {
      const condemned = yield* opening()
      condemned.seat.condemn(
        new WorkerError.WorkerStopped({ worker: "default/0", missed: 1, silentMillis: 1500, evidence: undefined })
      )
      yield* Fiber.join(yield* condemned.stop)
      assert.deepStrictEqual(condemned.said(), [])
      assert.include(condemned.told, "detached: it was replaced: WorkerStopped")
      const orphan = yield* opening()
      orphan.scripted.name.current = undefined
      yield* Fiber.join(yield* orphan.stop)
      assert.deepStrictEqual(orphan.said(), [])
    }))
})

const call = (id: number): Wire.WireCall => ({
  id,
  tool: "add",
  payload: new Uint8Array(),
  deadlineMillis: 0,
  credit: 0,
  skip: 0,
  session: undefined,
  trace: undefined,
  traceState: undefined
})

describe("a channel whose stream breaks", () => {
  it.effect("resumes at once when the process lives: what runs is heard out, what was said meanwhile arrives, once", () =>
    Effect.gen(function*() {
      const { python, said, told, wire } = yield* opening()
      wire().submit(call(7))
      yield* settle
      python.manual = true
      python.say(done(7)) // on its way when the stream is cut
      python.cut()
      wire().cancel(8)
      python.manual = false
      yield* settle
      yield* TestClock.adjust(0)
      yield* settle
      assert.deepStrictEqual(told, ["attached", "broken", "resumed", "done 7"])
      assert.deepStrictEqual(said(), ["call", "cancel"])
      assert.lengthOf(python.streams, 2)
    }))

  it.effect("waits for the exit that explains it, and is not the one that fails", () =>
    Effect.gen(function*() {
      const { python, scripted, told } = yield* opening(0) // the kernel knows no such process
      python.cut()
      yield* TestClock.adjust("249 millis")
      assert.deepStrictEqual(told, ["attached", "broken"])
      scripted.exit(id, { code: null, signal: "SIGKILL" })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(told, ["attached", "broken", "detached: its process was ended by SIGKILL, ended"])
      assert.lengthOf(python.streams, 1)
    }))

  it.effect("waits for the exit of a worker that ended its stream itself, which it does when it stops", () =>
    Effect.gen(function*() {
      const { python, told } = yield* opening()
      python.cut(python.streams[0], { detail: "ABORTED: the worker has drained", byWorker: true })
      yield* TestClock.adjust("249 millis")
      yield* settle
      assert.deepStrictEqual(told, ["attached", "broken"])
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.deepStrictEqual(told, ["attached", "broken", "resumed"])
    }))

  it.effect("detaches and begins anew when the worker has given the session up", () =>
    Effect.gen(function*() {
      const { python, told, wire } = yield* opening()
      wire().submit(call(7))
      yield* settle
      python.session = undefined
      python.cut()
      yield* settle
      yield* TestClock.adjust("50 millis")
      yield* settle
      assert.deepStrictEqual(told, [
        "attached",
        "broken",
        "detached: the worker has given up the session that was to go on: it was too long without a stream, or failed to take a batch in",
        "attached"
      ])
      wire().submit(call(8))
      yield* settle
      assert.deepStrictEqual(python.heard.map((frame) => frame.case === "call" && frame.value.id), [7n, 8n])
    }))

  it.effect("ends the session with the worker when its budget is spent", () =>
    Effect.gen(function*() {
      const { python, told } = yield* opening()
      for (let time = 0; time < 4; time++) {
        python.cut()
        yield* settle
        yield* TestClock.adjust(0)
        yield* settle
      }
      assert.deepStrictEqual(told, ["attached", ...["broken", "resumed", "broken", "resumed", "broken", "resumed"], "broken"])
    }))
})

describe("a handshake", () => {
  const shake = Effect.fnUntraced(function*(script: (python: ScriptedWorker) => void, catalogue?: string) {
    const python = new ScriptedWorker()
    script(python)
    const catalogues = new Map(catalogue === undefined ? [] : [[0, catalogue]])
    const reaped = {
      worker: "default/0",
      exited: Deferred.makeUnsafe<ReapedProcess.ProcessExit>(),
      reaper: { catalogues, traffic: new Traffic() }
    }
    const config = (yield* ScriptedReaper.make()).launcher.config
    const session = new Session.Session(
      { process: { pid: process.pid, roll: 0, socket: "", token: "", segments: undefined, reaped }, config: () => config },
      python.open
    )
    return { reaped, outcome: yield* Effect.flip(session.dial()) }
  })

  it.effect("that a worker refuses fails with the field, what it expected and what it received", () =>
    Effect.gen(function*() {
      for (
        const refuses of [
          { field: "protocol", expected: "2", received: "1" },
          { field: "token", expected: "the token this worker was started with", received: "another one" }
        ]
      ) {
        const { outcome } = yield* shake((python) => {
          python.refuses = refuses
        })
        assert.deepInclude(outcome, { _tag: "HandshakeFailed", worker: "default/0", ...refuses })
        assert.isTrue(WorkerError.isIncurable(outcome))
      }
    }))

  it.effect("is refused by the host when the worker speaks another protocol", () =>
    Effect.gen(function*() {
      const { outcome } = yield* shake((python) => {
        python.protocol = 2
      })
      assert.deepInclude(outcome, { _tag: "HandshakeFailed", field: "protocol", expected: "1", received: "2" })
    }))

  it.effect("is refused by the host when the worker serves another catalogue than the others of its version", () =>
    Effect.gen(function*() {
      const { outcome } = yield* shake(() => {}, "ff".repeat(32))
      assert.deepInclude(outcome, {
        _tag: "HandshakeFailed",
        field: "catalogue",
        expected: "ff".repeat(32),
        received: "00".repeat(32)
      })
    }))
})
