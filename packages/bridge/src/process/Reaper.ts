/**
 * The Reaper of one pool, seen from the host: spawns workers, signals them, tells what becomes of them.
 *
 * **Details**
 *
 * Every worker belongs to the Reaper process; when its pipe to the host closes, for whatever reason, it kills everything below it until
 * nothing is left. So a host that is killed leaves nothing behind.
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import { WorkerError } from "@snakepit/pool"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BridgeEvent from "../BridgeEvent.ts"
import { executable, type PythonConfig } from "../PythonConfig.ts"
import { reaperArguments } from "./PythonPackage.ts"
import * as Protocol from "./ReaperProtocol.ts"
import * as Survivors from "./Survivors.ts"

/** A Reaper that runs. All of it is synchronous; what is said in order arrives in order. */
export interface Reaper {
  readonly pid: number
  readonly send: (command: Protocol.Command) => void
  /** Who hears what becomes of a process, by its id. */
  readonly listeners: Map<string, (event: Protocol.Event) => void>
  /** Whether a process that outlives its parent becomes a child of the Reaper: without it, forked workers would not belong to it. */
  readonly subreaper: boolean
  /** Ends with the Reaper: for what is still to be seen of a process whose own child is gone. */
  readonly scope: Scope.Scope
}

/** What {@link child} takes. */
export interface Options {
  readonly pool: string
  readonly runId: string
  readonly config: PythonConfig
  readonly name: RegisteredName.RegisteredName<Reaper>
  readonly spawner: ChildProcessSpawner["Service"]
}

/** How many last lines of the Reaper's own errors stand in its exit. */
const errorLines = 8

/** The Reaper as the supervised child that all workers of the pool come after. */
export const child = ({ config, name, pool, runId, spawner }: Options) =>
  Child.make("reaper", {
    plane: "control",
    shutdown: "10 seconds", // its sweep, then SIGKILL after 5
    start: Effect.gen(function*() {
      const commands = yield* Queue.unbounded<Uint8Array, Cause.Done>()
      const python = executable(config)
      const sink = yield* Event.EventSink
      const clock = yield* Clock.Clock
      const complaints: Array<string> = []
      const lost = (detail: string) => new WorkerError.ReaperLost({ pool, detail: [detail, ...complaints].join("\n  ") })

      yield* Effect.addFinalizer(() => Survivors.sweep(runId, pool)) // runs when the process below is gone
      const handle = yield* ChildProcess.make(python, [...reaperArguments], {
        stdin: Stream.fromQueue(commands),
        stdout: "pipe",
        stderr: "pipe",
        env: { [Survivors.runMark]: runId },
        extendEnv: true,
        forceKillAfter: "5 seconds" // its sweep takes milliseconds; only a process stuck in the kernel takes longer
      }).pipe(
        Effect.provideService(ChildProcessSpawner, spawner),
        Effect.mapError((error) =>
          lost(
            error.reason._tag === "NotFound"
              ? `there is no "${python}" to run. Install Python 3.11 or newer, or say where it is: python.executable, or $SNAKEPIT_PYTHON`
              : `"${python}" could not be started: ${error.message}`
          )
        )
      )
      const ready = yield* Deferred.make<boolean, WorkerError.ReaperLost>()
      const listeners: Reaper["listeners"] = new Map()
      const complain = (line: string) => {
        complaints.push(line)
        if (complaints.length > errorLines) complaints.shift()
      }
      const take = (line: string) => {
        const event = Protocol.decode(line)
        if (event === undefined) return
        if (event.event === "ready") return void Deferred.doneUnsafe(ready, Effect.succeed(event.subreaper))
        if (event.event === "error") {
          complain(event.message)
          const at = clock.currentTimeMillisUnsafe()
          return Event.tell(sink, Event.make(BridgeEvent.reaper_complain, at, {}, { pool, message: event.message }))
        }
        if ("id" in event) listeners.get(event.id)?.(event)
      }
      const lines = (bytes: typeof handle.stdout, use: (line: string) => void) =>
        bytes.pipe(Stream.decodeText(), Stream.splitLines, Stream.runForEach((line) => Effect.sync(() => use(line))), Effect.ignore)
      yield* Effect.forkScoped(lines(handle.stderr, complain))
      yield* Effect.forkScoped(lines(handle.stdout, take))
      const ended = Effect.gen(function*() {
        const how = yield* Effect.exit(handle.exitCode)
        return yield* lost(
          how._tag === "Success" ? `it ended with code ${how.value}` : Cause.pretty(how.cause).split("\n")[0] ?? "it ended"
        )
      })
      const subreaper = yield* Effect.raceFirst(Deferred.await(ready), ended).pipe(
        Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.fail(lost("it was not ready within 20 s")) }),
        Effect.tap((subreaper) => Event.emit(BridgeEvent.reaper_start, {}, { pool, pid: handle.pid, subreaper }))
      )
      yield* RegisteredName.register(name, {
        pid: handle.pid,
        subreaper,
        scope: yield* Effect.scope,
        send: (command) => void Queue.offerUnsafe(commands, Protocol.encode(command)),
        listeners
      })
      return ended
    })
  })
