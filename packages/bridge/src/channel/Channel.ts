/**
 * One stream to one worker: dialled when its process is ready, acknowledged by a handshake; the first one attaches the wire of its slot.
 *
 * **Details**
 *
 * When the stream breaks, no further call is sent at once. If the process died with it, the process's own exit is what its supervisor decides
 * on. A stream that breaks alone ends this child, which costs the worker a restart, and leaves process and session alive: the next generation
 * dials and goes on where the two were, so no call is lost. A worker that does not shake hands is waited for while it works, and else failed
 * through its supervisor.
 *
 * ```text
 *  stop   it has failed: the stream was cut:               the session waits for the next generation
 *         of a living process, whole stream, no verdict:   no further call ─▶ Drain ─▶ Drained · end of stream · exit · stopGrace ─▶ over
 *         else:                                            over: the wire is detached
 * ```
 */
import { Child, RegisteredName, Supervisor } from "@snakepit/core"
import { WorkerError } from "@snakepit/pool"
import type { Wire, WorkerRuntime } from "@snakepit/pool"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Tool, Welcome } from "../../gen/snakepit/v1/worker_pb.ts"
import type { PythonProcess } from "../process/PythonProcess.ts"
import type { Reaper } from "../process/Reaper.ts"
import * as Exception from "./Exception.ts"
import type * as Frames from "./Frames.ts"
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
      const session = python.session()
      let cut = false

      const dial = session.dial().pipe(
        Effect.catchTag("HandshakeTimeout", (silent) =>
          Effect.suspend(() => {
            seat.condemn(silent)
            return Effect.andThen(Effect.orDie(supervisor.failChild("process", silent)), Effect.fail(lost(silent.message)))
          }))
      )
      const waiting = yield* Effect.acquireRelease(Effect.sync(() => session.takeStream()), (stream) => Effect.sync(() => stream?.close()))
      const stream = waiting ?? (yield* dial)
      const drain = Effect.suspend(() => {
        const isLost = known.exit !== undefined || Deferred.isDoneUnsafe(stream.broken) || reaper.current !== python.reaped.reaper
        if (isLost || seat.verdict() !== undefined) return Effect.void
        seat.sink.broken()
        const over = Effect.raceAllFirst([session.drain, Deferred.await(stream.broken), Deferred.await(exited)])
        return Effect.map(Effect.timed(Effect.timeoutOption(over, seat.config.stopGrace)), ([took]) => {
          known.drainTook = took
        })
      })
      yield* Effect.addFinalizer(() => cut ? Effect.void : Effect.map(drain, python.end))
      if (session.isHeard) {
        seat.sink.resumed()
      } else {
        session.listen({ frame: (frame) => hear(seat.sink, frame), broken: seat.sink.broken, over: seat.sink.detached })
        seat.sink.attached(wire(python, session))
      }
      // whichever is heard first, end of file or the exit: the calls are settled when the exit is known
      yield* Effect.forkScoped(Effect.map(Deferred.await(exited), python.end))

      return Effect.gen(function*() {
        const end = yield* Deferred.await(stream.broken)
        const exit = yield* Session.exitAfterBreak(python, end)
        if (Option.isSome(exit)) return yield* Effect.never // the process's own exit is what its supervisor decides on
        cut = true
        return yield* lost(end.detail)
      })
    })
  })

const hear = (sink: Wire.WireSink, frame: Frames.Heard): void => {
  switch (frame.kind) {
    case "started":
      return sink.started(frame.id)
    case "item":
      return sink.item(frame.id, frame.payload)
    case "want":
      return sink.want(frame.id, frame.elements)
    case "done":
      return sink.done(frame.id, frame.payload, frame.micros)
    case "failed": {
      const failure = failureOf(frame.reason)
      return failure === undefined ? undefined : sink.failed(frame.id, failure)
    }
    case "hostCall":
      return sink.hostCall(frame.asked)
    case "hostCallCancel":
      return sink.hostCancel(frame.number)
    case "telemetry":
      return sink.telemetry(frame.telemetry)
    case "sessionEnded":
      return sink.sessionEnded(frame.number, frame.failure, frame.overran)
    default:
      return // a second handshake, which this host has not asked for, or a frame of a newer worker
  }
}

const failureOf = (
  reason: Extract<Frames.Heard, { kind: "failed" }>["reason"]
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

const toolOf = (tool: Tool): Wire.WireTool => ({
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
  contract: tool.contract
})

/** Workers of one pool that serve the same share what is known of it, by its hash: what looks at it need look once. */
const catalogues = new WeakMap<Reaper, Map<string, Wire.Wire["tools"]>>()

const toolsOf = (reaper: Reaper, { catalogueHash, tools }: Welcome): Wire.Wire["tools"] => {
  const known = catalogues.get(reaper) ?? new Map<string, Wire.Wire["tools"]>()
  catalogues.set(reaper, known)
  const hash = Buffer.from(catalogueHash).toString("hex")
  const made = known.get(hash) ?? new Map(tools.map((tool) => [tool.name, toolOf(tool)]))
  known.set(hash, made)
  return made
}

/** By OpenTelemetry's conventions. A status is of a stream, not of a call in it: there is none. */
const rpc = { "rpc.system.name": "grpc", "rpc.method": "snakepit.v1.WorkerService/Connect", "network.transport": "unix" }

/** uint32: 49 days. */
const longestMillis = 0xffff_ffff

const wire = ({ pid, reaped, socket }: PythonProcess, { outbox, probe, segments, welcome }: Session.Session): Wire.Wire => {
  const ids = new Map(welcome.tools.map(({ id, name }) => [name, id]))
  return {
    pid,
    tools: toolsOf(reaped.reaper, welcome),
    concurrency: Math.max(1, welcome.concurrency),
    about: { ...rpc, "server.address": socket },
    submit: ({ credit, deadlineMillis, id, payload, session, skip, tool, trace, traceState }) => {
      const known = ids.get(tool)
      outbox.say().call({
        id,
        tool: known ?? 0,
        function: known === undefined ? tool : "",
        payload: segments.place(payload),
        deadlineMillis: Math.min(longestMillis, Math.ceil(deadlineMillis)),
        credit,
        skip,
        session: session ?? "",
        trace: trace ?? noTrace,
        traceState: traceState ?? ""
      })
    },
    cancel: (id) => outbox.say().cancel(id),
    credit: (id, elements) => outbox.say().credit(id, elements),
    input: (id, payload) => outbox.say().input(id, segments.place(payload)),
    hostResult: (number, outcome) => {
      if (outcome._tag === "Done") outbox.say().hostResult(number, segments.place(outcome.payload))
      else outbox.say().hostFailure(number, outcome)
    },
    inputEnd: (id, failure = "") => outbox.say().inputEnd(id, failure),
    sessionStart: (session, data) => outbox.say().sessionStart(session, data),
    sessionEnd: (number, session, limitMillis) => outbox.say().sessionEnd(number, session, Math.min(longestMillis, Math.ceil(limitMillis))),
    telemetry: (settings, credit) => outbox.say().telemetryControl(settings, credit),
    probe
  }
}
