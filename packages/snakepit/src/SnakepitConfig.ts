/** The configuration of an application: its pools by name, the gateway, and telemetry. */
import { GatewayConfig, PythonConfig } from "@snakepit/bridge"
import { PoolConfig, ReloadClass } from "@snakepit/pool"
import { TelemetryConfig } from "@snakepit/telemetry"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Short enough for a socket's path, and safe in one. */
const PoolName = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9_-]{0,31}$/, {
    expected: "the name of a pool: a small letter, then at most 31 small letters, digits, - or _"
  })
)

export const SnakepitConfig = Schema.Struct({
  pools: Schema.Record(PoolName, Schema.Struct({ ...PoolConfig.PoolConfig.fields, python: ReloadClass.roll(PythonConfig.PythonConfig) })),
  /**
   * Where the registry of processes is kept, for the next start to find what a killed host left behind. When left out: `$SNAKEPIT_DATA_DIR`, else
   * `$XDG_STATE_HOME/snakepit` or `~/.local/state/snakepit`, else a folder in the temporary folder. Hosts may share it.
   */
  dataFolder: ReloadClass.restart("the processes of this run are registered there")(Schema.optional(Schema.NonEmptyString)),
  /** `"auto"`: workers are put into cgroups (Linux, version 2) where this process may make some. */
  cgroup: ReloadClass.restart("the processes of this run are in it, or not")(
    Schema.Literals(["auto", "off"]).pipe(Schema.withDecodingDefault(Effect.succeed("auto" as const)))
  ),
  /** Serves the tools of the pools to clients in any language, over gRPC. When left out there is none. */
  gateway: ReloadClass.restart("it listens, and its clients are connected")(Schema.optional(GatewayConfig.GatewayConfig)),
  telemetry: ReloadClass.restart("its files and ports are open")(TelemetryConfig.TelemetryConfig)
})

/** The configuration, decoded. */
export type SnakepitConfig = typeof SnakepitConfig.Type

/** The configuration as a user writes it: only `pools.<name>.python.adapter` is required. */
export type SnakepitConfigInput = typeof SnakepitConfig.Encoded

/** The Schema of an application that names pools in its code, by the option that does: they must be there. */
export const naming = (named: { readonly [option: string]: ReadonlyArray<string> }): typeof SnakepitConfig =>
  SnakepitConfig.check(
    Schema.makeFilter(({ pools }) =>
      Object.entries(named).flatMap(([option, names]) => names.map((pool) => ({ option, pool }))).filter(({ pool }) =>
        !Object.hasOwn(pools, pool)
      ).map(({ option, pool }) =>
        `${option} names a pool "${pool}", and the pools of the configuration are: ${Object.keys(pools).join(", ") || "none"}`
      )
    )
  )
