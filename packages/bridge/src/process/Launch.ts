/**
 * How a process comes to be, for slots and spares alike: one place, so that none starts without its place in the registry.
 *
 * ```text
 *  reserve ─▶ fork by the forkserver, if it is up ─▶ wait for its status line ─▶ ready to be dialled
 *                 │ it died meanwhile                    ▲
 *                 └─▶ spawn through the Reaper ──────────┘
 *  scope closes: SIGTERM to its group ─ stopGrace ─ SIGKILL to all that is its ─ gone, verified in /proc by the Reaper
 *                a verdict over it ──────────────────┘
 * ```
 */
import { RegisteredName } from "@snakepit/core"
import type { PoolConfig } from "@snakepit/pool"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { rmSync } from "node:fs"
import { basename } from "node:path"
import { type PythonConfig, settings } from "../PythonConfig.ts"
import type { Forkserver } from "./Forkserver.ts"
import type { ProcessRegistry } from "./ProcessRegistry.ts"
import * as PythonProgram from "./PythonProgram.ts"
import * as ReapedProcess from "./ReapedProcess.ts"
import type { Reaper } from "./Reaper.ts"
import * as RunFolder from "./RunFolder.ts"
import * as SharedFolder from "./SharedFolder.ts"
import * as WorkingFolder from "./WorkingFolder.ts"

/** What processes of one pool are started with. */
export interface Launcher {
  readonly pool: string
  /** Of the version that the settings are of: a forkserver and spares of another are of no use. */
  readonly roll: number
  readonly python: PythonConfig
  readonly config: Pick<
    PoolConfig.PoolConfig,
    "callTimeout" | "cancelGrace" | "concurrency" | "heartbeat" | "maxPayload" | "startTimeout" | "stopGrace"
  >
  readonly reaper: RegisteredName.RegisteredName<Reaper>
  readonly registry: RegisteredName.RegisteredName<ProcessRegistry>
  readonly forkserver: RegisteredName.RegisteredName<Forkserver>
  /** Counts the processes that were started under a name, from 0, in the whole run: no two have the same id, whatever was restarted. */
  readonly count: (worker: string) => number
}

/** What a process is started as. */
export interface Place extends ReapedProcess.Owner {
  /** `default/3`, or `default/spare`. */
  readonly worker: string
  /** `"s"`: it has no slot yet. */
  readonly slot: number | "s"
}

/** A process that is ready to be dialled. */
export interface LaunchedProcess {
  readonly pid: number
  /** Of its version. */
  readonly roll: number
  readonly start: "fork" | "spawn"
  readonly socket: string
  readonly token: string
  /** Its folder in shared memory, and how many bytes either side may use there; `undefined` where there is none. */
  readonly segments: { readonly folder: string; readonly limit: number } | undefined
  /** What is heard of it: its exit, its output. */
  readonly reaped: ReapedProcess.ReapedProcess
}

/** Starts a process that ends with the scope. */
export const launch = Effect.fnUntraced(function*(launcher: Launcher, place: Place) {
  const { slot, worker } = place
  const { config, forkserver, pool, python, reaper: reaperName, registry: registryName } = launcher
  let process: ReapedProcess.ReapedProcess | undefined
  const failed = ReapedProcess.bootFailed(worker, python.adapter, () => process)
  const count = launcher.count(worker)
  yield* WorkingFolder.check(python, failed)
  const reaper = yield* Effect.mapError(RegisteredName.whereis(reaperName), (error) => failed("spawn", error.message))
  const registry = registryName.latest // a registry that is being replaced is no reason not to start
  if (registry === undefined) return yield* failed("spawn", "its application has not started its registry")
  const socket = RunFolder.socketPath(registry.folder, pool, slot, count)
  const secret = randomBytes(32).toString("hex")
  const cgroup = registry.cgroup(pool)
  const about = {
    id: `${worker}#${count}`,
    secret,
    settings: settings(python, "folder" in cgroup ? cgroup.folder : undefined)
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(socket, { force: true })))

  const shared = "folder" in registry.shared && python.sharedMemory > 0
    ? yield* SharedFolder.ofProcess(registry.shared.folder, basename(socket))
    : undefined
  const segments = shared === undefined ? undefined : { folder: shared, limit: Math.floor(python.sharedMemory / 2) }

  let how: "fork" | "spawn" = "spawn"
  const attempt = Effect.fnUntraced(function*(start: "fork" | "spawn", command: ReapedProcess.Options["command"]) {
    how = start
    const begun = yield* Effect.acquireRelease(
      Effect.sync(() => process = ReapedProcess.begin({ pool, worker, reaper, registry, command })),
      (begun) => ReapedProcess.end(begun, reaperName, config.stopGrace, place)
    )
    const { pid } = yield* ReapedProcess.ready(begun, python.adapter)
    const launched: LaunchedProcess = { pid, roll: launcher.roll, start, socket, token: secret, segments, reaped: begun }
    return launched
  })
  const spawn = Effect.suspend(() =>
    attempt("spawn", {
      op: "spawn",
      ...about,
      ...PythonProgram.make("snakepit.worker", python, registry.runId, [
        ...["--socket", socket, "--name", worker],
        ...["--max-payload", String(config.maxPayload), "--concurrency", String(config.concurrency)],
        ...python.allow.flatMap((pattern) => ["--allow", pattern])
      ])
    })
  )
  const fork = (via: string) =>
    attempt("fork", {
      op: "fork",
      ...about,
      ...{ via, socket, name: worker },
      ...{ max_payload: config.maxPayload, concurrency: config.concurrency, allow: python.allow }
    })

  const server = forkserver.current
  const started = server?.reaper !== reaper || server.roll !== launcher.roll ? spawn : Effect.catchTag(
    fork(server.id),
    "SpawnRefused",
    (refused) => refused.forkserverGone ? spawn : Effect.fail(refused)
  )
  return yield* started.pipe(
    Effect.catchTag("SpawnRefused", ({ detail, errno }) => Effect.fail(failed("spawn", detail, { errno, start: how }))),
    Effect.timeoutOrElse({
      duration: config.startTimeout,
      orElse: () =>
        Effect.suspend(() =>
          Effect.fail(failed("timeout", `nothing was heard of it for ${Duration.format(config.startTimeout)}`, { start: how }))
        )
    })
  )
})
