/**
 * The external process of one worker: from spawn to the proof that nothing of it is left.
 *
 * ```text
 *  start    reserve ─ spawn through the Reaper ─ wait for its status line (ready, or why not) ─ hand the address to the channel
 *  life     until the process exits
 *  stop     SIGTERM to its group ─ stopGrace ─ SIGKILL to all that is its ─ gone, verified in /proc by the Reaper
 * ```
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import { WorkerError } from "@snakepit/pool"
import type { WorkerRuntime } from "@snakepit/pool"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { randomBytes } from "node:crypto"
import { rmSync } from "node:fs"
import * as BridgeEvent from "../BridgeEvent.ts"
import { environment, executable, type PythonConfig } from "../PythonConfig.ts"
import type { ProcessRegistry } from "./ProcessRegistry.ts"
import * as PythonPackage from "./PythonPackage.ts"
import type { Reaper } from "./Reaper.ts"
import type * as Protocol from "./ReaperProtocol.ts"
import * as RunFolder from "./RunFolder.ts"
import { runMark } from "./Survivors.ts"

/** How a process ended. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: string | null
}

/** A process that is ready to be dialled. */
export interface PythonProcess {
  readonly pid: number
  readonly generation: number
  readonly socket: string
  readonly token: string
  readonly exited: Deferred.Deferred<ProcessExit>
}

/** What {@link child} takes. */
export interface Options {
  readonly seat: WorkerRuntime.WorkerSeat
  readonly config: PythonConfig
  readonly reaper: RegisteredName.RegisteredName<Reaper>
  readonly registry: RegisteredName.RegisteredName<ProcessRegistry>
  /** Where the channel finds the process. */
  readonly name: RegisteredName.RegisteredName<PythonProcess>
}

/** The last lines of output kept for an exit. 20: a Python traceback of usual depth. */
const outputLines = 20

/** After SIGKILL. Only a process in an uninterruptible system call takes longer. */
const killWait = Duration.seconds(5)

/** The process of one worker as a supervised child. */
export const child = ({ config, name, reaper: reaperName, registry: registryName, seat }: Options): WorkerRuntime.PortChild<
  "process",
  WorkerError.BootFailed,
  WorkerError.ProcessExited | WorkerRuntime.Imposed,
  "execution"
> =>
  Child.make("process", {
    plane: "execution",
    shutdown: Duration.sum(seat.config.stopGrace, Duration.sum(killWait, Duration.seconds(1))),
    start: Effect.gen(function*() {
      const began = yield* Clock.currentTimeMillis
      const generation = seat.fill()
      const id = `${seat.name}#${generation}`
      const output: Array<string> = []
      const failed = (stage: WorkerError.BootFailed["stage"], detail: string) =>
        new WorkerError.BootFailed({ worker: seat.name, stage, adapter: config.adapter, detail, output: [...output] })
      const reaper = yield* Effect.mapError(RegisteredName.whereis(reaperName), (error) => failed("spawn", error.message))
      const registry = yield* Effect.mapError(RegisteredName.whereis(registryName), (error) => failed("spawn", error.message))
      const cgroup = registry.cgroup(seat.pool)
      const socket = RunFolder.socketPath(registry.folder, seat.pool, seat.slot, generation)
      const token = randomBytes(32).toString("hex")
      const about = { pool: seat.pool, slot: seat.slot, generation }

      const spawned = yield* Deferred.make<number, WorkerError.BootFailed>()
      const status = yield* Deferred.make<Protocol.Status>()
      const exited = yield* Deferred.make<ProcessExit>()
      const gone = yield* Deferred.make<void>()
      const hear = (event: Protocol.Event): void => {
        switch (event.event) {
          case "spawned":
            registry.started(id, event.pid, event.started)
            return void Deferred.doneUnsafe(spawned, Effect.succeed(event.pid))
          case "spawn_failed":
            Deferred.doneUnsafe(gone, Effect.void)
            return void Deferred.doneUnsafe(spawned, Effect.fail(failed("spawn", event.message)))
          case "status":
            return void Deferred.doneUnsafe(status, Effect.succeed(event.status))
          case "output":
            output.push(event.text)
            if (output.length > outputLines) output.shift()
            return
          case "exited":
            return void Deferred.doneUnsafe(exited, Effect.succeed({ code: event.code, signal: event.signal }))
          case "gone":
            return void Deferred.doneUnsafe(gone, Effect.void)
        }
      }

      yield* Effect.acquireRelease(
        Effect.sync(() => {
          registry.reserve(id, seat.pool)
          reaper.listeners.set(id, hear)
          reaper.send({
            op: "spawn",
            id,
            argv: [
              executable(config),
              "-m",
              "snakepit.worker",
              ...["--socket", socket, "--adapter", config.adapter, "--name", seat.name],
              ...["--max-payload", String(seat.config.maxPayload)],
              ...config.path.flatMap((folder) => ["--path", folder])
            ],
            env: environment(config, {
              [runMark]: registry.runId,
              PYTHONPATH: [PythonPackage.folder, config.env["PYTHONPATH"] ?? process.env["PYTHONPATH"]].filter(Boolean).join(":")
            }),
            cwd: config.cwd ?? process.cwd(),
            secret: token,
            ...("folder" in cgroup ? { settings: { cgroup: cgroup.folder } } : {})
          })
        }),
        () =>
          Effect.gen(function*() {
            const planned = !Deferred.isDoneUnsafe(exited)
            yield* stop(reaperName, reaper, id, seat.config.stopGrace, gone)
            const left = !Deferred.isDoneUnsafe(gone)
            const pid = registry.entries.get(id)?.pid
            if (pid !== undefined) {
              const { code, signal } = Option.getOrElse(yield* poll(exited), () => ({ code: null, signal: null }))
              yield* Event.emit(BridgeEvent.process_exit, {}, {
                ...about,
                pid,
                planned,
                code: code ?? undefined,
                signal: signal ?? undefined
              })
              if (left && reaperName.current === reaper) yield* Event.emit(BridgeEvent.process_leak, {}, { ...about, pid })
            }
            reaper.listeners.delete(id)
            if (left && reaperName.current === reaper) registry.leaked(id)
            else registry.gone(id)
            rmSync(socket, { force: true })
          })
      )

      const ended = Effect.map(Deferred.await(exited), ({ code, signal }) =>
        failed("exit", signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`))
      const heard = Effect.gen(function*() {
        const pid = yield* Deferred.await(spawned)
        return { pid, said: yield* Effect.raceFirst(Deferred.await(status), Effect.flatMap(ended, Effect.fail)) }
      })
      const { pid, said } = yield* heard.pipe(Effect.timeoutOrElse({
        duration: seat.config.startTimeout,
        orElse: () =>
          Effect.fail(failed("timeout", `nothing was heard of it for ${Duration.format(seat.config.startTimeout)}`))
      }))
      if (said.status === "failed") {
        const { message, traceback, type } = said.exception
        if (output.length === 0) output.push(...traceback.trimEnd().split("\n")) // else the worker has printed it
        return yield* failed(said.stage, `${type}: ${message}`)
      }
      yield* RegisteredName.register(name, { pid, generation, socket, token, exited })
      const tookMillis = (yield* Clock.currentTimeMillis) - began
      yield* Event.emit(BridgeEvent.process_start, { tookMillis }, { ...about, pid })

      const life: Effect.Effect<
        never,
        WorkerError.ProcessExited | WorkerRuntime.Imposed // the latter by others, through failChild
      > = Effect.flatMap(
        Deferred.await(exited),
        ({ code, signal }) => Effect.fail(new WorkerError.ProcessExited({ worker: seat.name, pid, code, signal, output: [...output] }))
      )
      return life
    })
  })

const poll = <A>(deferred: Deferred.Deferred<A>): Effect.Effect<Option.Option<A>> =>
  Deferred.isDoneUnsafe(deferred) ? Effect.asSome(Deferred.await(deferred)) : Effect.succeedNone

/** Ends the process and all that is its, and waits until the Reaper has verified it. A Reaper that is gone has taken them along. */
const stop = (
  name: RegisteredName.RegisteredName<Reaper>,
  reaper: Reaper,
  id: string,
  grace: Duration.Duration,
  gone: Deferred.Deferred<void>
) =>
  Effect.gen(function*() {
    if (Deferred.isDoneUnsafe(gone) || name.current !== reaper) return
    reaper.send({ op: "signal", id, signal: "TERM" })
    const inTime = yield* Effect.timeoutOption(Deferred.await(gone), grace)
    if (Option.isSome(inTime)) return
    reaper.send({ op: "signal", id, signal: "KILL" })
    yield* Effect.timeoutOption(Deferred.await(gone), killWait)
  })
