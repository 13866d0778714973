/**
 * An open stream to a worker on which host and worker have shaken hands. Made for a slot when its channel starts, or beforehand for a spare:
 * whoever takes the session over hears the worker from then on.
 *
 * ```text
 *  dial ─▶ Hello ─▶ Welcome ─▶ open: frames go to whoever listens
 *                └▶ Refused, end of file, silence ─▶ why not, typed
 * ```
 */
import { MonotonicClock } from "@snakepit/core"
import { HandshakePatience, WorkerError } from "@snakepit/pool"
import type { PoolConfig } from "@snakepit/pool"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Welcome, WorkerFrame } from "../../gen/snakepit/v1/worker_pb.ts"
import * as KernelEvidence from "../process/KernelEvidence.ts"
import type { LaunchedProcess } from "../process/Launch.ts"
import type { ProcessExit } from "../process/ReapedProcess.ts"
import * as Connection from "./Connection.ts"
import * as Outbox from "./Outbox.ts"

/** The version of the wire that this host speaks. */
export const protocol = 1

/** Who hears the worker. `broken` is said once, when the stream ends. */
export interface Listener {
  readonly frame: (frame: WorkerFrame["frame"]) => void
  readonly broken: () => void
}

/** An open stream. */
export interface Session {
  readonly welcome: Welcome
  readonly say: Outbox.Outbox["say"]
  readonly listen: (listener: Listener) => void
  /** Done with the reason when the stream has ended. */
  readonly broken: Deferred.Deferred<string>
  /** Nothing is said or heard any more. May be repeated. */
  readonly close: () => void
}

/** What {@link open} takes. */
export interface Options {
  /** Its name in errors: `default/3`. */
  readonly worker: string
  readonly process: Pick<LaunchedProcess, "pid" | "socket" | "token"> & { readonly reaped: Pick<LaunchedProcess["reaped"], "exited"> }
  /** The worker runs the path of a call once, before it has one. */
  readonly rehearse?: boolean
  readonly config: Pick<PoolConfig.PoolConfig, "maxPayload"> & HandshakePatience.Options["config"]
}

/** After end of file: how long the news of the process's exit may take to come through the Reaper (measured: 2 ms). */
const verdict = Duration.millis(250)

/** After the stream broke: how the process ended, if it did. */
export const exitAfterBreak = (process: Options["process"]): Effect.Effect<Option.Option<ProcessExit>> =>
  Effect.timeoutOption(Deferred.await(process.reaped.exited), verdict)

export const howItEnded = ({ code, signal }: ProcessExit): string =>
  signal === null ? `its process ended with code ${code}` : `its process was ended by ${signal}`

/** Dials and shakes hands; the session is closed with the scope. */
export const open = ({ config, process, rehearse = false, worker }: Options): Effect.Effect<
  Session,
  WorkerError.HandshakeFailed | WorkerError.HandshakeTimeout | WorkerError.ChannelLost,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const lost = (detail: string) => new WorkerError.ChannelLost({ worker, detail })
    const refused = (field: string, expected: string, received: string) =>
      new WorkerError.HandshakeFailed({ worker, field, expected, received })
    const welcomed = yield* Deferred.make<Welcome, WorkerError.HandshakeFailed>()
    const broken = yield* Deferred.make<string>()
    let listener: Listener = {
      frame: (frame) => {
        if (frame.case === "welcome") Deferred.doneUnsafe(welcomed, Exit.succeed(frame.value))
        if (frame.case !== "refused") return
        Deferred.doneUnsafe(welcomed, Exit.fail(refused(frame.value.field, frame.value.expected, frame.value.received)))
      },
      broken: () => {}
    }
    const connection = yield* Effect.acquireRelease(
      Effect.sync(() =>
        Connection.open(process.socket, {
          message: ({ frames, read }) => {
            outbox.read(read)
            for (const { frame } of frames) listener.frame(frame)
          },
          end: (detail) => {
            listener.broken()
            Deferred.doneUnsafe(broken, Exit.succeed(detail))
          }
        })
      ),
      () => Effect.sync(() => close())
    )
    const outbox: Outbox.Outbox = Outbox.make((request) => connection.write(request))
    const close = () => {
      outbox.close()
      connection.close()
    }
    outbox.say({
      case: "hello",
      value: {
        $typeName: "snakepit.v1.Hello",
        protocol,
        token: process.token,
        maxPayload: config.maxPayload,
        rehearse,
        session: 0n,
        contractHash: new Uint8Array()
      }
    })
    const brokenEarly = Effect.gen(function*() {
      const detail = yield* Deferred.await(broken)
      const exit = yield* exitAfterBreak(process)
      return yield* lost(Option.match(exit, {
        onNone: () => `it broke before the handshake (${detail})`,
        onSome: (exit) => `${howItEnded(exit)}, before the handshake`
      }))
    })
    const clock = new MonotonicClock.MonotonicClock(yield* Clock.Clock)
    const silent = HandshakePatience.outlast({ worker, config, clock, evidence: () => KernelEvidence.of(process.pid) })
    const welcome = yield* Effect.raceFirst(
      Effect.raceFirst(Deferred.await(welcomed), brokenEarly),
      Effect.flatMap(silent, Effect.fail)
    )
    if (welcome.protocol !== protocol) return yield* refused("protocol", String(protocol), String(welcome.protocol))
    const session: Session = {
      welcome,
      say: outbox.say,
      listen: (next) => {
        listener = next
      },
      broken,
      close
    }
    return session
  })
