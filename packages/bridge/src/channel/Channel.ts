/**
 * The stream to one worker: dialled when its process is ready, acknowledged by a handshake, then the wire of its slot.
 *
 * **Details**
 *
 * When the stream breaks, no further call is sent at once; whether the process died with it is known a moment later, and only then are
 * the calls in flight settled, so that their errors can say why. A stream that breaks alone ends this child and leaves the process
 * alive: the next generation dials it again. A worker that does not shake hands is waited for while it works, and else failed through its
 * supervisor.
 *
 * ```text
 *  stop   of a living process, whole stream, no verdict:  no further call ─▶ Drain ─▶ Drained · end of stream · exit · stopGrace ─▶ detach
 *         else:                                           detach
 * ```
 */
import { Child, RegisteredName, Supervisor } from "@snakepit/core"
import { WorkerError } from "@snakepit/pool"
import type { Wire, WorkerRuntime } from "@snakepit/pool"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Tool, WorkerFrame } from "../../gen/snakepit/v1/worker_pb.ts"
import type { PythonProcess } from "../process/PythonProcess.ts"
import type { Reaper } from "../process/Reaper.ts"
import * as Exception from "./Exception.ts"
import * as Session from "./Session.ts"

/** What {@link child} takes. */
export interface Options {
  readonly seat: WorkerRuntime.WorkerSeat
  readonly process: RegisteredName.RegisteredName<PythonProcess>
  readonly reaper: RegisteredName.RegisteredName<Reaper>
}

/** The channel of one worker as a supervised child. */
export const child = ({ process: processName, reaper, seat }: Options): WorkerRuntime.PortChild<
  "channel",
  WorkerError.HandshakeFailed | WorkerError.ChannelLost,
  never,
  "execution"
> =>
  Child.make("channel", {
    plane: "execution",
    shutdown: Duration.sum(seat.config.stopGrace, Duration.seconds(1)), // its drain
    start: Effect.gen(function*() {
      const supervisor = yield* Supervisor.CurrentSupervisor
      const lost = (detail: string) => new WorkerError.ChannelLost({ worker: seat.name, detail })
      const python = yield* Effect.mapError(RegisteredName.whereis(processName), (error) => lost(error.message))
      const { exited, known } = python.reaped
      const drained = yield* Deferred.make<void>()
      const probes = new Map<bigint, () => void>()
      let attached = false
      const detach = (reason: string, ended: boolean) => {
        if (!attached) return
        attached = false
        seat.sink.detached(reason, ended)
      }
      const hear = (frame: WorkerFrame["frame"]): void => {
        switch (frame.case) {
          case "started":
            return seat.sink.started(Number(frame.value.id))
          case "item":
            return seat.sink.item(Number(frame.value.id), frame.value.payload)
          case "want":
            return seat.sink.want(Number(frame.value.id), frame.value.elements)
          case "done":
            return seat.sink.done(Number(frame.value.id), frame.value.payload)
          case "failed": {
            const failure = failureOf(frame.value.reason)
            return failure === undefined ? undefined : seat.sink.failed(Number(frame.value.id), failure)
          }
          case "pong":
            return probes.get(frame.value.id)?.()
          case "drained":
            return void Deferred.doneUnsafe(drained, Exit.void)
          case "welcome":
          case "refused":
          case undefined:
            return // a second handshake, which this host has not asked for, or a frame of a newer worker
        }
      }

      const dial = Session.open({ worker: seat.name, process: python, config: seat.config }).pipe(
        Effect.catchTag("HandshakeTimeout", (silent) =>
          Effect.suspend(() => {
            seat.condemn(silent)
            return Effect.andThen(Effect.orDie(supervisor.failChild("process", silent)), Effect.fail(lost(silent.message)))
          }))
      )
      const waiting = yield* Effect.acquireRelease(Effect.sync(python.takeSession), (session) => Effect.sync(() => session?.close()))
      const session = waiting ?? (yield* dial)
      session.listen({
        frame: hear,
        broken: () => {
          if (attached) seat.sink.broken()
        }
      })
      const drain = Effect.suspend(() => {
        const isLost = known.exit !== undefined || Deferred.isDoneUnsafe(session.broken) || reaper.current !== python.reaped.reaper
        if (isLost || seat.verdict() !== undefined) return Effect.void
        seat.sink.broken()
        session.say({ case: "drain", value: { $typeName: "snakepit.v1.Drain" } })
        const over = Effect.raceAllFirst([Deferred.await(drained), Deferred.await(session.broken), Deferred.await(exited)])
        return Effect.map(Effect.timed(Effect.timeoutOption(over, seat.config.stopGrace)), ([took]) => {
          known.drainTook = took
        })
      })
      yield* Effect.addFinalizer(() =>
        Effect.map(drain, () => {
          const verdict = seat.verdict()
          if (known.exit !== undefined) return detach(Session.howItEnded(known.exit), true)
          detach(verdict === undefined ? "its supervisor stopped it" : `it was replaced: ${verdict._tag}`, false)
        })
      )
      attached = true
      seat.sink.attached(wire(python.pid, session, probes))
      // whichever is heard first, end of file or the exit: the calls are settled when the exit is known
      yield* Effect.forkScoped(Effect.map(Deferred.await(exited), (exit) => detach(Session.howItEnded(exit), true)))

      return Effect.gen(function*() {
        const detail = yield* Deferred.await(session.broken)
        const exit = yield* Session.exitAfterBreak(python)
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
      return { _tag: "Cancelled", how: reason.value.how }
    case "declined":
      return { _tag: "Declined" }
    case "tooLarge":
      return { _tag: "TooLarge", bytes: Number(reason.value) }
    case "invalid":
      return { _tag: "Invalid", issue: reason.value }
    case "unknown":
      return { _tag: "Unknown", issue: reason.value }
    case undefined:
      return undefined
  }
}

const noTrace = new Uint8Array()

const toolOf = (tool: Tool, contract: string | undefined): Wire.WireTool => ({
  name: tool.name,
  streams: tool.streams,
  description: tool.description,
  timeoutMillis: tool.timeoutMs || undefined,
  hardLimitMillis: tool.hardLimitMs || undefined,
  idempotent: tool.idempotent,
  deterministic: tool.deterministic,
  blocking: tool.blocking,
  threadSensitive: tool.threadSensitive,
  input: tool.input || undefined,
  contract
})

const wire = (pid: number, { say, welcome }: Session.Session, probes: Map<bigint, () => void>): Wire.Wire => {
  const ids = new Map(welcome.tools.map(({ id, name }) => [name, id]))
  const contract = Buffer.from(welcome.catalogueHash).toString("hex") || undefined
  let pings = 0n
  return {
    pid,
    tools: new Map(welcome.tools.map((tool) => [tool.name, toolOf(tool, contract)])),
    concurrency: Math.max(1, welcome.concurrency),
    submit: ({ credit, deadlineMillis, id, payload, session, skip, tool, trace }) =>
      say({
        case: "call",
        value: {
          $typeName: "snakepit.v1.Call",
          id: BigInt(id),
          tool: ids.get(tool) ?? 0,
          function: ids.has(tool) ? "" : tool,
          payload,
          deadlineMs: Math.min(0xffff_ffff, Math.ceil(deadlineMillis)), // uint32: 49 days
          credit,
          skip: BigInt(skip),
          session: session ?? "",
          trace: trace ?? noTrace
        }
      }),
    cancel: (id) => say({ case: "cancel", value: { $typeName: "snakepit.v1.Cancel", id: BigInt(id) } }),
    credit: (id, elements) => say({ case: "credit", value: { $typeName: "snakepit.v1.Credit", id: BigInt(id), elements } }),
    input: (id, payload) => say({ case: "input", value: { $typeName: "snakepit.v1.Input", id: BigInt(id), payload } }),
    inputEnd: (id, failure = "") => say({ case: "inputEnd", value: { $typeName: "snakepit.v1.InputEnd", id: BigInt(id), failure } }),
    probe: Effect.callback<void>((resume) => {
      const id = ++pings
      probes.set(id, () => {
        probes.delete(id)
        resume(Effect.void)
      })
      say({ case: "ping", value: { $typeName: "snakepit.v1.Ping", id } })
      return Effect.sync(() => probes.delete(id))
    })
  }
}
