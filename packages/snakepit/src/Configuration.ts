/**
 * The configuration of a running application: what holds, who has said it, what a change would do, and changes.
 *
 * **When to use**
 *
 * To change limits, sizes or code settings of running pools from code, and to find out where a value comes from. For changes by file, give
 * `Snakepit.layer` a `configFile`.
 *
 * **Details**
 *
 * A patch is a part of the configuration, written as it is there, over everything else; `null` takes back what patches have said of a key. All of a
 * change applies, or nothing. `docs/reference/configuration.md` says of each key when a change takes effect.
 *
 * **Example** (Look at a change, and make it)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Configuration, ConfigPlan } from "snakepit"
 *
 * const moreTime = Effect.gen(function*() {
 *   const configuration = yield* Configuration.Configuration
 *   const patch = { pools: { default: { callTimeout: "10 minutes", size: 4 } } }
 *   yield* Effect.log(ConfigPlan.describe(yield* configuration.preview(patch))) // 1 key live; pool default grows from 2 to 4 workers
 *   yield* configuration.apply(patch)
 * })
 * ```
 */
import { RegisteredName } from "@snakepit/core"
import { ConfigInvalid, ConfigLayer, ConfigPlan, ConfigServer, ConfigShape, type ReloadClass } from "@snakepit/pool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SnakepitConfig from "./SnakepitConfig.ts"

/** The configuration from one moment on. */
export type Snapshot = ConfigServer.ConfigSnapshot<SnakepitConfig.SnakepitConfig>

/** What there is to know of a key. */
export interface KeyFacts {
  readonly key: string
  /** As people write it; of a secret, that it is one; `undefined` when it is not there. */
  readonly value: string | undefined
  /** `snakepit.yaml, line 4`, `environment, SNAKEPIT__…`, `code`, `patch at run time` or `default`. */
  readonly source: string
  readonly reload: ReloadClass.ReloadClass
  /** What waits for the next start of the program. */
  readonly pending: string | undefined
}

/** There is no such key. */
export class KeyUnknown extends Schema.TaggedError<KeyUnknown>()("KeyUnknown", { key: Schema.String, issue: Schema.String }) {
  override get message(): string {
    return `${this.key}: ${this.issue}`
  }
}

/** A part of the configuration as a user writes it; `null` takes back. */
export type Patch = PatchOf<SnakepitConfig.SnakepitConfigInput>
type PatchOf<T> = T extends ReadonlyArray<unknown> ? T : T extends object ? { readonly [K in keyof T]?: PatchOf<T[K]> | null } : T

/** The configuration of the running application. `NotRegistered`: its server is being restarted; ask again. */
export class Configuration extends Context.Service<Configuration, {
  /** What holds. */
  readonly current: Effect.Effect<Snapshot>
  /** What holds, and each snapshot that comes after it. */
  readonly changes: Stream.Stream<Snapshot>
  /** The last 32 snapshots, oldest first. */
  readonly history: Effect.Effect<ReadonlyArray<Snapshot>>
  /** What `apply` of the same patch would do. */
  readonly preview: (patch: Patch) => Effect.Effect<ConfigPlan.ConfigPlan, ConfigInvalid.ConfigInvalid | RegisteredName.NotRegistered>
  /** Applies all of the patch, or nothing. Keys that take a restart of the program are refused: they are for the file. */
  readonly apply: (
    patch: Patch
  ) => Effect.Effect<ConfigPlan.ConfigPlan, ConfigInvalid.ConfigInvalid | ConfigPlan.RestartNeeded | RegisteredName.NotRegistered>
  /** Reads file and environment again, as a SIGHUP does. */
  readonly reload: Effect.Effect<ConfigPlan.ConfigPlan, ConfigInvalid.ConfigInvalid | RegisteredName.NotRegistered>
  /** Where the value of a key comes from: `pools.default.callTimeout`. */
  readonly why: (key: string) => Effect.Effect<KeyFacts, KeyUnknown>
}>()("snakepit/Configuration") {}

const shape = ConfigShape.of(SnakepitConfig.SnakepitConfig)

/** Whether there may be such a key: below a pool, only of one that the configuration names. */
const isThere = (config: unknown, path: ConfigShape.Path): boolean => {
  const above = ConfigShape.at(shape, path.slice(0, -1))
  if (above?._tag === "Table" && above.each._tag === "Section") return ConfigLayer.valueAt(config, path) !== undefined
  return ConfigShape.at(shape, path) !== undefined
}

/** What a snapshot, or one that is no snapshot yet, knows of a key. */
export const factsOf = (
  { config, pending = [], provenance }: ConfigPlan.Side & { readonly pending?: ReadonlyArray<ConfigPlan.Change> },
  key: string
): Effect.Effect<KeyFacts, KeyUnknown> =>
  Effect.suspend(() => {
    const path = ConfigShape.parse(key)
    const found = ConfigShape.at(shape, path)
    const missing = path.findIndex((_, index) => !isThere(config, path.slice(0, index + 1)))
    if (found === undefined || missing >= 0) {
      const above = path.slice(0, missing)
      const section = ConfigShape.at(shape, above)
      const names = section?._tag === "Section" ? [...section.keys.keys()] : Object.keys(ConfigLayer.valueAt(config, above) ?? {})
      return Effect.fail(new KeyUnknown({ key, issue: ConfigInvalid.noSuchKey(path[missing]!, names) }))
    }
    if (found._tag !== "Key") {
      const keys = found._tag === "Section" ? [...found.keys.keys()] : Object.keys(ConfigLayer.valueAt(config, path) ?? {})
      return Effect.fail(new KeyUnknown({ key, issue: `it is a section: name one of its keys, ${keys.join(", ")}` }))
    }
    const value = ConfigLayer.valueAt(config, path)
    return Effect.succeed({
      key,
      value: value === undefined ? undefined : found.reload.secret === true ? "(secret)" : ConfigPlan.render(value),
      source: ConfigLayer.describe(provenance.get(ConfigShape.render(path)) ?? { _tag: "Default" }),
      reload: found.reload.class ?? "roll",
      pending: pending.find((change) => change.key === ConfigShape.render(path))?.to
    })
  })

/** The service over the server of an application that is up. */
export const make = (
  store: ConfigServer.Store<SnakepitConfig.SnakepitConfig>,
  server: RegisteredName.RegisteredName<ConfigServer.ConfigServer>
): Configuration["Service"] => {
  const current = Effect.sync(() => ConfigServer.current(store)!) // there is one since the tree is up
  const ask = RegisteredName.whereis(server)
  return {
    current,
    changes: Stream.unwrap(Effect.gen(function*() {
      const later = yield* PubSub.subscribe(store.snapshots)
      const first = yield* current // after that: what comes in between comes twice, and is told once
      return Stream.concat(Stream.succeed(first), Stream.filter(Stream.fromSubscription(later), ({ version }) => version > first.version))
    })),
    history: Effect.sync(() => [...store.history]),
    preview: (patch) => Effect.flatMap(ask, (server) => server.preview(patch)),
    apply: (patch) => Effect.flatMap(ask, (server) => server.apply(patch)),
    reload: Effect.flatMap(ask, (server) => server.reload("reload")),
    why: (key) => Effect.flatMap(current, (snapshot) => factsOf(snapshot, key))
  }
}
