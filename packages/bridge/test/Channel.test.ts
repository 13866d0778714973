/** The channel of a worker on a session in memory: what its stop waits for, and what it does not wait for. */
import { assert, describe, it } from "@effect/vitest"
import { RegisteredName, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { WorkerError, type WorkerRuntime } from "@snakepit/pool"
import { Deferred, Duration, Effect, Exit, Fiber, Schedule, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { HostFrame, WorkerFrame } from "../gen/snakepit/v1/worker_pb.ts"
import * as Channel from "../src/channel/Channel.ts"
import type * as Session from "../src/channel/Session.ts"
import type { PythonProcess } from "../src/process/PythonProcess.ts"
import * as ReapedProcess from "../src/process/ReapedProcess.ts"
import * as ScriptedReaper from "./ScriptedReaper.ts"

const id = "default/0#0"

/** A channel that is up, and its stop. */
const opening = Effect.fnUntraced(function*() {
  const scripted = yield* ScriptedReaper.make({ config: { stopGrace: "3 seconds" } })
  const told: Array<string> = []
  const said: Array<HostFrame["frame"]["case"]> = []
  let listener: Session.Listener | undefined
  let verdict: WorkerRuntime.Imposed | undefined
  const broken = Deferred.makeUnsafe<string>()
  const session: Session.Session = {
    welcome: { tools: [] as Session.Session["welcome"]["tools"] } as Session.Session["welcome"],
    say: (frame) => void said.push(frame.case),
    listen: (heard) => {
      listener = heard
    },
    broken,
    close: () => void told.push("closed")
  }
  const reaped = ReapedProcess.begin({
    pool: "default",
    worker: "default/0",
    reaper: scripted.name.current!,
    registry: scripted.launcher.registry.current!,
    command: { op: "spawn", id, argv: [], env: {}, cwd: "/", secret: "", settings: {} }
  })
  const process = RegisteredName.make<PythonProcess>("default/0/process")
  const python: PythonProcess = { pid: 4711, start: "spawn", socket: "", token: "", reaped, takeSession: () => session }
  yield* RegisteredName.register(process, python)
  const seat: WorkerRuntime.WorkerSeat = {
    pool: "default",
    slot: 0,
    name: "default/0",
    config: scripted.launcher.config as WorkerRuntime.WorkerSeat["config"],
    fill: () => 0,
    condemn: (imposed) => {
      verdict = imposed
    },
    verdict: () => verdict,
    sink: {
      attached: () => void told.push("attached"),
      started: () => {},
      item: () => {},
      want: () => {},
      resumed: () => {},
      done: (call) => void told.push(`done ${call}`),
      failed: () => {},
      broken: () => void told.push("broken"),
      detached: (reason, ended) => void told.push(`detached: ${reason}${ended ? ", ended" : ""}`)
    },
    governed: (launch) => launch
  }
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
  const hear = (frame: WorkerFrame["frame"]) => listener!.frame(frame)
  return {
    scripted,
    told,
    said,
    hear,
    seat,
    broken,
    grace: () => Duration.toMillis(reaped.known.drainTook),
    stop: Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
  }
})

const drained: WorkerFrame["frame"] = { case: "drained", value: { $typeName: "snakepit.v1.Drained" } }

describe("a channel that is stopped", () => {
  it.effect("asks its worker to drain, lets no further call come, hears the running one out, and then detaches", () =>
    Effect.gen(function*() {
      const { grace, hear, said, stop, told } = yield* opening()
      const stopping = yield* stop
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual([told, said], [["attached", "broken"], ["drain"]])
      hear({ case: "done", value: { $typeName: "snakepit.v1.Done", id: 7n, payload: new Uint8Array() } })
      hear(drained)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(told, ["attached", "broken", "done 7", "detached: its supervisor stopped it", "closed"])
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
      yield* Deferred.succeed(cut.broken, "the worker ended the stream")
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
      assert.deepStrictEqual(condemned.said, [])
      assert.include(condemned.told, "detached: it was replaced: WorkerStopped")
      const orphan = yield* opening()
      orphan.scripted.name.current = undefined
      yield* Fiber.join(yield* orphan.stop)
      assert.deepStrictEqual(orphan.said, [])
    }))
})
