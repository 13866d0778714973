/**
 * The stream to one worker: dialled when its process is ready, acknowledged by a handshake, then the wire of its slot.
 *
 * **Details**
 *
 * When the stream breaks, no further call is sent at once; whether the process died with it is known a moment later, and only then are
 * the calls in flight settled, so that their errors can say why. A stream that breaks alone ends this child and leaves the process
 * alive: the next generation dials it again. A worker that does not shake hands in time is failed through its supervisor.
 */
import { Child, RegisteredName, Supervisor } from "@snakepit/core"
import { WorkerError } from "@snakepit/pool"
import type { Wire, WorkerRuntime } from "@snakepit/pool"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Welcome, WorkerFrame } from "../../gen/snakepit/v1/worker_pb.ts"
import type { ProcessExit, PythonProcess } from "../process/PythonProcess.ts"
import * as Connection from "./Connection.ts"
import * as Exception from "./Exception.ts"
import * as Outbox from "./Outbox.ts"

/** The version of the wire that this host speaks. */
export const protocol = 1

/** What {@link child} takes. */
export interface Options {
  readonly seat: WorkerRuntime.WorkerSeat
  readonly process: RegisteredName.RegisteredName<PythonProcess>
}

/** After end of file: how long the news of the process's exit may take to come through the Reaper (measured: 2 ms). */
const verdict = Duration.millis(250)

/**
 * How long a worker may take to shake hands: as long as it may miss heartbeats, which begin only then. It answers when no call of a lost
 * connection is running any more, so one that is frozen or still busy after that is failed like one that misses its beats.
 */
const patience = ({ heartbeat }: WorkerRuntime.WorkerSeat["config"]): Duration.Duration =>
  Duration.max(Duration.times(heartbeat.interval, heartbeat.maxMissed), Duration.seconds(2)) // 2 s: a connection on a loaded machine

const howItEnded = ({ code, signal }: ProcessExit): string =>
  signal === null ? `its process ended with code ${code}` : `its process was ended by ${signal}`

/** The channel of one worker as a supervised child. */
export const child = ({ process: processName, seat }: Options): WorkerRuntime.PortChild<
  "channel",
  WorkerError.HandshakeFailed | WorkerError.ChannelLost,
  never,
  "execution"
> =>
  Child.make("channel", {
    plane: "execution",
    start: Effect.gen(function*() {
      const supervisor = yield* Supervisor.CurrentSupervisor
      const lost = (detail: string) => new WorkerError.ChannelLost({ worker: seat.name, detail })
      const python = yield* Effect.mapError(RegisteredName.whereis(processName), (error) => lost(error.message))
      const welcomed = yield* Deferred.make<Welcome, WorkerError.HandshakeFailed | WorkerError.ChannelLost>()
      const broken = yield* Deferred.make<string>()
      const probes = new Map<bigint, () => void>()
      let attached = false
      const detach = (reason: string, ended: boolean) => {
        if (!attached) return
        attached = false
        seat.sink.detached(reason, ended)
      }

      const hear = ({ frame }: WorkerFrame): void => {
        switch (frame.case) {
          case "welcome":
            return void Deferred.doneUnsafe(welcomed, Effect.succeed(frame.value))
          case "refused": {
            const { expected, field, received } = frame.value
            const refused = new WorkerError.HandshakeFailed({ worker: seat.name, field, expected, received })
            return void Deferred.doneUnsafe(welcomed, Effect.fail(refused))
          }
          case "started":
            return seat.sink.started(Number(frame.value.id))
          case "item":
            return seat.sink.item(Number(frame.value.id), frame.value.payload)
          case "done":
            return seat.sink.done(Number(frame.value.id), frame.value.payload)
          case "failed": {
            const failure = failureOf(frame.value.reason)
            return failure === undefined ? undefined : seat.sink.failed(Number(frame.value.id), failure)
          }
          case "pong":
            return probes.get(frame.value.id)?.()
          case undefined:
            return // a frame of a newer worker
        }
      }
      const connection = yield* Effect.acquireRelease(
        Effect.sync(() =>
          Connection.open(python.socket, {
            message: ({ frames, read }) => {
              outbox.read(read)
              for (const frame of frames) hear(frame)
            },
            end: (detail) => {
              if (attached) seat.sink.broken()
              Deferred.doneUnsafe(broken, Effect.succeed(detail))
            }
          })
        ),
        (connection) =>
          Effect.gen(function*() {
            outbox.close()
            connection.close()
            if (Deferred.isDoneUnsafe(python.exited)) detach(howItEnded(yield* Deferred.await(python.exited)), true)
            else detach("its supervisor stopped it", false)
          })
      )
      const outbox: Outbox.Outbox = Outbox.make((request) => connection.write(request))
      outbox.say({
        case: "hello",
        value: {
          $typeName: "snakepit.v1.Hello",
          protocol,
          token: python.token,
          maxPayload: seat.config.maxPayload
        }
      })
      const brokenEarly = Effect.gen(function*() {
        const detail = yield* Deferred.await(broken)
        const exit = yield* Effect.timeoutOption(Deferred.await(python.exited), verdict)
        return yield* lost(Option.match(exit, {
          onNone: () => `it broke before the handshake (${detail})`,
          onSome: (exit) => `${howItEnded(exit)}, before the handshake`
        }))
      })
      const late = Effect.gen(function*() {
        const waited = Duration.toMillis(patience(seat.config))
        const silent = new WorkerError.HandshakeTimeout({ worker: seat.name, waitedMillis: waited })
        yield* Effect.orDie(supervisor.failChild("process", silent))
        return yield* lost(silent.message)
      })
      const welcome = yield* Effect.raceFirst(Deferred.await(welcomed), brokenEarly).pipe(
        Effect.timeoutOrElse({ duration: patience(seat.config), orElse: () => late })
      )
      if (welcome.protocol !== protocol) {
        return yield* new WorkerError.HandshakeFailed({
          worker: seat.name,
          field: "protocol",
          expected: String(protocol),
          received: String(welcome.protocol)
        })
      }
      attached = true
      seat.sink.attached(wire(python.pid, outbox, welcome, probes))
      // whichever is heard first, end of file or the exit: the calls are settled when the exit is known
      yield* Effect.forkScoped(Effect.map(Deferred.await(python.exited), (exit) => detach(howItEnded(exit), true)))

      return Effect.gen(function*() {
        const detail = yield* Deferred.await(broken)
        const exit = yield* Effect.timeoutOption(Deferred.await(python.exited), verdict)
        if (Option.isSome(exit)) return yield* Effect.never // the process's own exit is what its supervisor decides on
        detach(`the channel broke (${detail})`, false)
        return yield* lost(detail)
      })
    })
  })

const failureOf = (
  reason: Extract<WorkerFrame["frame"], { case: "failed" }>["value"]["reason"]
): Wire.WireFailure | undefined => {
  switch (reason.case) {
    case "exception":
      return { _tag: "Exception", exception: Exception.fromWire(reason.value) }
    case "cancelled":
      return { _tag: "Cancelled" }
    case "declined":
      return { _tag: "Declined" }
    case "tooLarge":
      return { _tag: "TooLarge", bytes: Number(reason.value) }
    case undefined:
      return undefined
  }
}

const wire = (pid: number, outbox: Outbox.Outbox, welcome: Welcome, probes: Map<bigint, () => void>): Wire.Wire => {
  const ids = new Map(welcome.tools.map(({ id, name }) => [name, id]))
  let pings = 0n
  return {
    pid,
    tools: new Set(ids.keys()),
    submit: ({ credit, deadlineMillis, id, payload, skip, tool }) =>
      outbox.say({
        case: "call",
        value: {
          $typeName: "snakepit.v1.Call",
          id: BigInt(id),
          tool: ids.get(tool)!,
          payload,
          deadlineMs: Math.min(0xffff_ffff, Math.ceil(deadlineMillis)), // uint32: 49 days
          credit,
          skip: BigInt(skip)
        }
      }),
    cancel: (id) => outbox.say({ case: "cancel", value: { $typeName: "snakepit.v1.Cancel", id: BigInt(id) } }),
    credit: (id, elements) => outbox.say({ case: "credit", value: { $typeName: "snakepit.v1.Credit", id: BigInt(id), elements } }),
    probe: Effect.callback<void>((resume) => {
      const id = ++pings
      probes.set(id, () => {
        probes.delete(id)
        resume(Effect.void)
      })
      outbox.say({ case: "ping", value: { $typeName: "snakepit.v1.Ping", id } })
      return Effect.sync(() => probes.delete(id))
    })
  }
}
