/**
 * The Reaper of one pool, seen from the host: spawns workers, signals them, tells what becomes of them.
 *
 * **Details**
 *
 * Every worker belongs to the Reaper process; when its pipe to the host closes, for whatever reason, it kills everything below it until
 * nothing is left. So a host that is killed leaves nothing behind. One that stands still is killed, and replaced with its workers. With
 * `containment: "namespace"` it is the first process of a pid namespace, and the pids it tells are turned into the host's before anybody
 * hears them.
 */
import { Child, Event, Instrument, MonotonicClock, RegisteredName } from "@snakepit/core"
import { WorkerError } from "@snakepit/pool"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BridgeEvent from "../BridgeEvent.ts"
import { Traffic } from "../channel/Traffic.ts"
import type { Dropped } from "../ingest/Inbox.ts"
import { executable, type PythonConfig } from "../PythonConfig.ts"
import * as Cgroup from "./Cgroup.ts"
import * as Containment from "./Containment.ts"
import * as KernelEvidence from "./KernelEvidence.ts"
import * as PidNamespace from "./PidNamespace.ts"
import type { ProcessRegistry } from "./ProcessRegistry.ts"
import * as ProcessTable from "./ProcessTable.ts"
import { reaperArguments } from "./PythonPackage.ts"
import * as Protocol from "./ReaperProtocol.ts"
import * as ReaperPulse from "./ReaperPulse.ts"
import * as Survivors from "./Survivors.ts"

/** A Reaper that runs. All of it is synchronous; what is said in order arrives in order. */
export interface Reaper {
  /** As the host counts. */
  readonly pid: number
  readonly send: (command: Protocol.Command) => void
  /** Who hears what becomes of a process, by its id. */
  readonly listeners: Map<string, (event: Protocol.Event) => void>
  /** Whether a process that outlives its parent becomes a child of the Reaper: without it, forked workers would not belong to it. */
  readonly subreaper: boolean
  /** Ends with the Reaper: for what is still to be seen of a process whose own child is gone. */
  readonly scope: Scope.Scope
  /** By the roll of a version, the hash of the tools that its workers serve, as the first of them announced it: the others must have the same. */
  readonly catalogues: Map<number, string>
  /** What goes between the host and the workers of its pool. */
  readonly traffic: Traffic
}

/** What {@link child} takes. */
export interface Options {
  readonly pool: string
  readonly registry: RegisteredName.RegisteredName<ProcessRegistry>
  /** Read at each start. */
  readonly config: () => PythonConfig
  readonly name: RegisteredName.RegisteredName<Reaper>
  /** Of the telemetry of its workers. */
  readonly dropped: Dropped
  readonly spawner: ChildProcessSpawner["Service"]
}

/** How many last lines of the Reaper's own errors stand in its exit. */
const errorLines = 8

/** For its sweep, which takes milliseconds; only a process stuck in the kernel takes longer. */
const sweepWait = Duration.seconds(4)

/** The Reaper as the supervised child that all workers of the pool come after. */
export const child = ({ config: configured, dropped, name, pool, registry: registryName, spawner }: Options) =>
  Child.make("reaper", {
    plane: "control",
    shutdown: "10 seconds", // its sweep, then SIGKILL after 5
    start: Effect.gen(function*() {
      // its last value too: the entries belong to the run, and a registry that is being replaced is no reason not to start
      const registry = registryName.latest
      if (registry === undefined) return yield* new WorkerError.ReaperLost({ pool, detail: "its application has not started its registry" })
      const config = configured()
      const isolated = config.containment === "namespace"
      if (isolated) yield* PidNamespace.demand(pool)
      const id = `${pool}/reaper`
      const cgroup = registry.cgroup(pool)
      const commands = yield* Queue.unbounded<Uint8Array, Cause.Done>()
      const python = executable(config)
      const sink = yield* Event.EventSink
      const clock = yield* Clock.Clock
      const complaints: Array<string> = []
      const lost = (detail: string) => new WorkerError.ReaperLost({ pool, detail: [detail, ...complaints].join("\n  ") })

      yield* Effect.acquireRelease(
        Effect.sync(() => registry.reserve(id, pool)),
        () =>
          // when the process below is gone
          Survivors.sweep(registry.runId, pool).pipe(
            Effect.andThen("folder" in cgroup ? Cgroup.empty(cgroup.folder) : Effect.void),
            Effect.andThen(Effect.sync(() => registry.gone(id)))
          )
      )
      const [program, ...words] = isolated ? ["unshare", ...PidNamespace.flags, python] as const : [python] as const
      const handle = yield* ChildProcess.make(program, [...words, ...reaperArguments], {
        stdin: Stream.fromQueue(commands),
        stdout: "pipe",
        stderr: "pipe",
        env: { [Survivors.runMark]: registry.runId },
        extendEnv: true,
        forceKillAfter: "1 second" // after sweepWait, below
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
      // the end of its pipe, as when the host is killed; unshare would not pass a signal on
      yield* Effect.addFinalizer(() =>
        Queue.end(commands).pipe(Effect.andThen(Effect.timeoutOption(Effect.exit(handle.exitCode), sweepWait)))
      )
      const leader = ProcessTable.look(handle.pid)
      if (leader !== undefined) registry.started(id, leader.pid, leader.startTicks)
      const ready = yield* Deferred.make<Protocol.Containment, WorkerError.ReaperLost>()
      let pid: number = handle.pid
      let pongs = 0
      const listeners: Reaper["listeners"] = new Map()
      const complain = (line: string) => {
        complaints.push(line)
        if (complaints.length > errorLines) complaints.shift()
      }
      let report = (_cgroup: Containment.Probe["cgroup"]): void => {}
      const onHost = isolated ? PidNamespace.translator((inside) => PidNamespace.findBelow(pid, inside)) : (event: Protocol.Event) => event
      const take = (line: string) => {
        const said = Protocol.decode(line)
        if (said === undefined) return
        const event = onHost(said)
        if (event.event === "ready") {
          if (isolated) pid = PidNamespace.reaperOf(handle.pid) ?? handle.pid
          return void Deferred.doneUnsafe(ready, Effect.succeed(event.containment))
        }
        const at = clock.currentTimeMillisUnsafe()
        if (event.event === "pong") return void pongs++
        if (event.event === "dropped") {
          return Event.tell(sink, Event.make(BridgeEvent.reaper_dropped, at, { lines: event.lines }, { pool }))
        }
        if (event.event === "error") {
          if (event.id === undefined) complain(event.message) // what a worker goes without is not why the Reaper ends
          return Event.tell(sink, Event.make(BridgeEvent.reaper_complain, at, {}, { pool, message: event.message }))
        }
        if (event.event === "spawned" && event.cgroup !== undefined) {
          report(event.cgroup ? cgroup : { why: "its first process could not be put into it" })
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
      const abilities = yield* Effect.raceFirst(Deferred.await(ready), ended).pipe(
        Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.fail(lost("it was not ready within 20 s")) })
      )
      if (isolated && !abilities.namespace) {
        return yield* new WorkerError.ContainmentUnavailable({
          pool,
          containment: "namespace",
          detail: "unshare went well, and the Reaper is not the first process of a pid namespace",
          remedy: "put the unshare of util-linux 2.36 or newer first in the PATH"
        })
      }
      yield* Event.emit(BridgeEvent.reaper_start, {}, { pool, pid, subreaper: abilities.subreaper })
      report = (cgroup) => {
        report = () => {} // once
        const { layers, leaks } = Containment.report({
          platform: process.platform,
          proc: leader !== undefined,
          containment: config.containment,
          reaper: abilities,
          cgroup,
          journal: registry.journal
        })
        const named = (active: boolean) => layers.filter((layer) => layer.active === active).map(({ name }) => name).join(", ")
        const told = { pool, active: named(true), missing: named(false), leaks: leaks.join(" ") }
        Event.tell(sink, Event.make(BridgeEvent.containment_report, clock.currentTimeMillisUnsafe(), {}, told))
      }
      if ("why" in cgroup) report(cgroup) // else when a process is to be in it: a folder alone holds nothing
      const traffic = new Traffic()
      traffic.begin(yield* Instrument.series, pool, dropped)
      yield* RegisteredName.register(name, {
        pid,
        traffic,
        subreaper: abilities.subreaper,
        scope: yield* Effect.scope,
        catalogues: new Map(),
        send: (command) => void Queue.offerUnsafe(commands, Protocol.encode(command)),
        listeners
      })
      const still = ReaperPulse.untilStill({
        clock: new MonotonicClock.MonotonicClock(clock),
        ping: () => void Queue.offerUnsafe(commands, Protocol.encode({ op: "ping" })),
        answers: () => pongs,
        evidence: () => KernelEvidence.of(pid)
      })
      return Effect.raceFirst(ended, still).pipe(
        Effect.flatMap((detail) =>
          handle.kill({ killSignal: "SIGKILL" }).pipe( // it would not hear the end of its pipe
            Effect.timeoutOption(sweepWait),
            Effect.ignore,
            Effect.andThen(Effect.fail(lost(detail)))
          )
        )
      )
    })
  })
