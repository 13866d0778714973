/**
 * A process that the Reaper holds, followed by its id: reserved before it starts, heard event by event, ended in order.
 *
 * ```text
 *  begin    reserved in the registry ─ the command goes to the Reaper
 *  spawned  the pid is known and stands in the registry
 *  status   ready, or why not
 *  exited   its first process was reaped; the Reaper goes on with whatever that left behind
 *  gone     nothing of it is left in /proc; taken out of the registry
 * ```
 */
import { Event, type RegisteredName } from "@snakepit/core"
import { ExitClass, WorkerError } from "@snakepit/pool"
import type { WorkerRuntime } from "@snakepit/pool"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { readFileSync } from "node:fs"
import { getSystemErrorName } from "node:util"
import * as BridgeEvent from "../BridgeEvent.ts"
import * as ExitEvidence from "./ExitEvidence.ts"
import * as OutputTail from "./OutputTail.ts"
import type { ProcessRegistry } from "./ProcessRegistry.ts"
import type { Reaper } from "./Reaper.ts"
import type * as Protocol from "./ReaperProtocol.ts"

/** How a process ended, as the Reaper tells it. */
export type ProcessExit = Pick<Extract<Protocol.Event, { event: "exited" }>, "code" | "signal" | "sent" | "oom">

/** A process that the Reaper holds. */
export interface ReapedProcess {
  /** `default/3#0`: what Reaper and registry know it by. */
  readonly id: string
  readonly pool: string
  /** Its name in errors and events: `default/3`. Another one when a slot takes it that was a spare. */
  worker: string
  readonly reaper: Reaper
  readonly registry: ProcessRegistry
  /** The last lines that it wrote, oldest first. */
  readonly output: OutputTail.OutputTail
  readonly spawned: Deferred.Deferred<number, SpawnRefused>
  readonly status: Deferred.Deferred<Protocol.Status>
  readonly exited: Deferred.Deferred<ProcessExit>
  readonly gone: Deferred.Deferred<void>
  /** Takes it out of the registry, and hears no more of it. */
  readonly forget: () => void
  /** A slot has taken it. */
  readonly fill: (worker: string) => void
  /** What is known of it by now. */
  readonly known: {
    pid: number | undefined
    status: Protocol.Status | undefined
    exit: ProcessExit | undefined
    /** Its last lines, as they looked from its exit. */
    lastWords: ReadonlyArray<OutputTail.Line>
    /** Of the grace of its stop. */
    drainTook: Duration.Duration
  }
}

/** The Reaper's answer when it could not start a process. */
export class SpawnRefused extends Data.TaggedError("SpawnRefused")<{
  readonly detail: string
  /** `ENOENT`. */
  readonly errno: string
  readonly forkserverGone: boolean
}> {
  override get message(): string {
    return this.detail
  }
}

/** Lines of output in an error. 20: a Python traceback of usual depth. */
const errorLines = 20

/** What an error says of its output. */
export const lastLines = ({ output }: ReapedProcess): ReadonlyArray<string> => ExitEvidence.excerpt([...output], errorLines)

/** After SIGKILL. Only a process in an uninterruptible system call takes longer. */
export const killWait = Duration.seconds(5)

/** What {@link begin} takes. */
export interface Options {
  readonly pool: string
  readonly worker: string
  readonly reaper: Reaper
  readonly registry: ProcessRegistry
  readonly command: Exclude<Protocol.Command, { readonly op: "signal" }>
}

/** Reserves a place in the registry and has the Reaper start the process. */
export const begin = ({ command, pool, reaper, registry, worker }: Options): ReapedProcess => {
  const { id } = command
  const process: ReapedProcess = {
    id,
    pool,
    worker,
    reaper,
    registry,
    output: new OutputTail.OutputTail(),
    spawned: Deferred.makeUnsafe(),
    status: Deferred.makeUnsafe(),
    exited: Deferred.makeUnsafe(),
    gone: Deferred.makeUnsafe(),
    forget: () => {
      if (reaper.listeners.get(id) === hear) reaper.listeners.delete(id)
      registry.gone(id)
      Deferred.doneUnsafe(process.gone, Exit.void)
    },
    fill: (worker) => {
      process.worker = worker
      registry.taken(id, worker)
    },
    known: { pid: undefined, status: undefined, exit: undefined, lastWords: [], drainTook: Duration.zero }
  }
  const hear = (event: Protocol.Event): void => {
    switch (event.event) {
      case "spawned":
        process.known.pid = event.pid
        registry.started(id, event.pid, event.started)
        return void Deferred.doneUnsafe(process.spawned, Exit.succeed(event.pid))
      case "spawn_failed":
        process.forget()
        return void Deferred.doneUnsafe(
          process.spawned,
          Exit.fail(
            new SpawnRefused({
              detail: event.message,
              errno: errnoName(event.errno),
              forkserverGone: event.forkserver_gone === true
            })
          )
        )
      case "status":
        process.known.status ??= event.status
        return void Deferred.doneUnsafe(process.status, Exit.succeed(event.status))
      case "output":
        return process.output.push(event.text, performance.now())
      case "exited":
        process.known.exit = event
        process.known.lastWords = process.output.before(performance.now())
        return void Deferred.doneUnsafe(process.exited, Exit.succeed(event))
      case "gone":
        return process.forget()
    }
  }
  registry.reserve(id, pool)
  reaper.listeners.set(id, hear)
  reaper.send(command)
  return process
}

/** The name of an error of the system; its number for one that this system does not know. */
const errnoName = (errno: number): string => {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return String(errno)
  }
}

/** Makes the errors of a process that does not come up. */
export const bootFailed = (worker: string, adapter: string, process: () => ReapedProcess | undefined) =>
(
  stage: WorkerError.BootFailed["stage"],
  detail: string,
  more: Pick<Partial<WorkerError.BootFailed>, "errno" | "start"> = {}
): WorkerError.BootFailed => {
  const failed = process()
  return new WorkerError.BootFailed({ worker, stage, adapter, detail, output: failed === undefined ? [] : lastLines(failed), ...more })
}

/** Waits until it says that it is ready. */
export const ready = (process: ReapedProcess, adapter: string) =>
  Effect.gen(function*() {
    const { exited, output, spawned, status, worker } = process
    const failed = bootFailed(worker, adapter, () => process)
    const pid = yield* Deferred.await(spawned)
    const ended = Effect.flatMap(Deferred.await(exited), (exit) => {
      const how = exit.signal === null ? `it ended with code ${exit.code}` : `it was ended by ${exit.signal}`
      return Effect.fail(failed("exit", `${how}: ${ExitClass.cause(classOf(process, exit))}`))
    })
    const said = yield* Effect.raceFirst(Deferred.await(status), ended)
    if (said.status === "ready") return { pid, said }
    const { message, traceback, type } = said.exception
    if (output.isEmpty) { // else the process has printed it
      for (const line of traceback.trimEnd().split("\n")) output.push(line, performance.now())
    }
    return yield* failed(said.stage, `${type}: ${message}`)
  })

/** The class of its exit, by all that is known of it. */
export const classOf = ({ known: { lastWords, status } }: ReapedProcess, exit: ProcessExit): ExitClass.ExitClass => {
  const imported = status?.status === "ready" || status?.stage === "start" || status?.stage === "bind"
  const stage = status?.status === "ready" ? "serving" : status === undefined || imported ? "starting" : "import"
  return ExitEvidence.classify({ ...exit, lines: lastWords, stage })
}

/** Who a process belongs to. */
export interface Owner {
  /** Hears of its end, once it is known. */
  readonly told: (end: ProcessEnd) => Effect.Effect<void>
  /** Why it is to end at once, if it is. */
  readonly verdict: () => WorkerRuntime.Imposed | undefined
}

/** What is to be told of the end of a process. */
export interface ProcessEnd {
  readonly pid: number
  /**
   * `itself`: it ended, by its own doing or by somebody else's signal, before anybody here ended it. `stop`: its supervisor stopped it as
   * planned. `verdict`: it was judged, and killed. `reaper`: its Reaper ended and took it along.
   */
  readonly endedBy: "itself" | "stop" | "verdict" | "reaper"
  readonly verdict: WorkerRuntime.Imposed | undefined
  readonly code: number | null
  readonly signal: string | null
  readonly exitClass: ExitClass.ExitClass
  readonly output: ReadonlyArray<string>
}

/**
 * Ends the process and all that is its: SIGTERM to its group, what its drain has left of the grace, SIGKILL, and then it is verified to be
 * gone. One with a verdict is killed at once. Returns at once when it has ended by itself: the Reaper goes on with what it left behind, and the
 * registry's entry stays until nothing is. A Reaper that is gone has taken all of its own along.
 */
export const end = (
  process: ReapedProcess,
  reaperName: RegisteredName.RegisteredName<Reaper>,
  grace: Duration.Duration,
  { told, verdict: judged }: Owner
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { gone, id, known, reaper } = process
    const verdict = judged()
    const endedBy = known.exit !== undefined
      ? "itself"
      : reaperName.current !== reaper
      ? "reaper"
      : verdict === undefined
      ? "stop"
      : "verdict"
    const tell = Effect.suspend(() => {
      const { exit, pid } = known
      const exitClass: ExitClass.ExitClass = exit === undefined ? { _tag: "KilledByUs", signal: "SIGKILL" } : classOf(process, exit)
      const { code, signal } = exit ?? { code: null, signal: null }
      return pid === undefined ? Effect.void : told({ pid, endedBy, verdict, code, signal, exitClass, output: [...process.output] })
    })
    const isDone = () => {
      if (!Deferred.isDoneUnsafe(gone) && reaperName.current !== reaper) process.forget()
      return Deferred.isDoneUnsafe(gone)
    }
    const wait = (duration: Duration.Duration) => Effect.timeoutOption(Deferred.await(gone), duration)
    const leak = Effect.suspend(() => isDone() ? Effect.void : tellLeak(process))

    if (endedBy === "itself") {
      yield* tell
      if (isDone()) return
      const chased = Effect.onInterrupt(wait(killWait), () => Effect.sync(process.forget)) // the Reaper ends, and takes the rest along
      yield* Effect.forkIn(Effect.andThen(chased, leak), reaper.scope, { startImmediately: true })
      return
    }
    if (!isDone()) {
      const terminate = Effect.suspend(() => {
        reaper.send({ op: "signal", id, signal: "TERM" })
        return wait(Duration.subtract(grace, known.drainTook))
      })
      if (verdict !== undefined || Option.isNone(yield* terminate)) {
        reaper.send({ op: "signal", id, signal: "KILL" })
        yield* wait(killWait)
      }
    }
    if (isDone()) return yield* tell
    yield* leak
    yield* Effect.forkIn(Effect.andThen(Deferred.await(gone), tell), reaper.scope)
  })

const tellLeak = ({ id, known, pool, registry, worker }: ReapedProcess) =>
  Effect.gen(function*() {
    const { pid } = known
    if (pid === undefined) return // an order that nobody has carried out; if it still is, the Reaper ends what comes of it
    registry.leaked(id)
    const state = stateOf(pid)
    yield* Event.emit(BridgeEvent.process_leak, {}, { pool, worker, pid, state })
    const leaked = new WorkerError.ProcessLeaked({ worker, pid, state, waitedMillis: Duration.toMillis(killWait) })
    yield* Effect.logError(leaked.message)
  })

/** What the kernel says a process does. */
const stateOf = (pid: number): string => {
  try {
    return /^State:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "unknown"
  } catch (error) {
    return globalThis.process.platform === "linux" && error instanceof Error ? "gone" : "unknown"
  }
}

/** The end as attributes of an event. */
export const facts = ({ code, endedBy, exitClass, output, signal, verdict }: Omit<ProcessEnd, "pid">) => ({
  planned: endedBy === "stop",
  endedBy,
  code: code ?? undefined,
  signal: signal ?? undefined,
  exitClass: exitClass._tag,
  cause: causeOf(endedBy, verdict, exitClass),
  output: ExitEvidence.excerpt(output, eventLines).map((line) => line.slice(0, eventCharacters)).join("\n")
})

const causeOf = (endedBy: ProcessEnd["endedBy"], verdict: ProcessEnd["verdict"], exitClass: ExitClass.ExitClass): string => {
  if (endedBy === "verdict" && verdict !== undefined) return `${verdict._tag}: ${verdict.message}`
  return endedBy === "reaper" ? "its Reaper ended and took it along" : ExitClass.cause(exitClass)
}

/** Lines of output in an event, and characters of each. 12 and 160: a cause and its place, in 2 kB at most, since events are kept. */
const eventLines = 12
const eventCharacters = 160
