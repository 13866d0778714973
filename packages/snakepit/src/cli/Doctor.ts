/** Everything that `snakepit doctor` looks at, in the order an application meets it. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { SnakepitConfig } from "../SnakepitConfig.ts"
import * as ContainmentCheck from "./ContainmentCheck.ts"
import * as Finding from "./Finding.ts"
import * as FolderCheck from "./FolderCheck.ts"
import * as GatewayCheck from "./GatewayCheck.ts"
import * as HistoryCheck from "./HistoryCheck.ts"
import * as LeftoverCheck from "./LeftoverCheck.ts"
import * as LimitCheck from "./LimitCheck.ts"
import * as NodeCheck from "./NodeCheck.ts"
import * as PythonCheck from "./PythonCheck.ts"

/** What an application has when it says nothing: one pool named "default". Its adapter is not known, so it is not looked for. */
const assumed: SnakepitConfig = Schema.decodeUnknownSync(SnakepitConfig)({ pools: { default: { python: { adapter: "unknown" } } } })

interface Read {
  readonly config: SnakepitConfig
  readonly isAssumed: boolean
  readonly finding: Finding.Finding
}

const without = (finding: Finding.Finding): Read => ({ config: assumed, isAssumed: true, finding })

const readConfig = (file: string | undefined): Effect.Effect<Read> => {
  if (file === undefined) {
    return Effect.succeed(without(Finding.ok("config", "none was given (--config): one pool with the defaults is assumed")))
  }
  return Effect.try({
    try: () => JSON.parse(readFileSync(file, "utf8")) as unknown,
    catch: (cause) => cause instanceof Error ? cause.message : String(cause)
  }).pipe(
    Effect.flatMap((input) =>
      Schema.decodeUnknownEffect(SnakepitConfig)(input, { onExcessProperty: "error", errors: "all" }).pipe(
        Effect.mapError((problem) => problem.message)
      )
    ),
    Effect.match({
      onSuccess: (config): Read => ({ config, isAssumed: false, finding: Finding.ok("config", file) }),
      onFailure: (detail) =>
        without(
          Finding.error(
            "config",
            `${file}: ${detail}`,
            "mend it: it is what Snakepit.layer takes, as JSON. One pool with the defaults is assumed below"
          )
        )
    })
  )
}

/** Runs all checks. Nothing is left behind but the empty folders that an application would make: for its data, for its gateway's socket. */
export const examine = (file: string | undefined): Effect.Effect<ReadonlyArray<Finding.Finding>> =>
  Effect.gen(function*() {
    const { config, finding, isAssumed } = yield* readConfig(file)
    const pools = Object.entries(config.pools)
    const sizes = pools.map(([pool, { size }]) => ({ pool, size }))
    const pythons = yield* Effect.forEach(pools, ([pool, { python }]) =>
      PythonCheck.check(`python ${pool}`, python, isAssumed ? "" : python.adapter))
    const data = yield* FolderCheck.dataFolder(config.dataFolder)
    const ground = yield* ContainmentCheck.ground(config.cgroup, data.folder)
    return [
      NodeCheck.check(process.versions.node),
      finding,
      ...pythons.flat(),
      yield* FolderCheck.runFolder(sizes),
      data.finding,
      ...(yield* LeftoverCheck.check(data.folder)),
      ...(yield* HistoryCheck.check(config)),
      yield* FolderCheck.sharedMemory,
      ...(yield* GatewayCheck.check(config.gateway)),
      ...(yield* LimitCheck.check(sizes.map(({ size }) =>
        size
      ))),
      ...(yield* Effect.forEach(pools, ([pool, { python }]) => ContainmentCheck.check(pool, python, ground))).flat()
    ]
  })
