/**
 * Holds the configuration that everything else starts from, and takes in what changes in it while the program runs.
 *
 * ```text
 *  file · SIGHUP · reload ─▶ read all sources ─┐
 *  apply(patch) ───────────▶ patch ────────────┴▶ merge ─▶ decode ─▶ plan ─▶ apply: one turn of the event loop, one event
 *                                                          │            └─ takes a restart: noted as pending; of a patch, refused
 *                                                          └─ not valid: nothing changes, one event
 * ```
 *
 * **Details**
 *
 * The snapshots stand outside of the child: after a crash the next one serves the last good one again, whatever has become of the file. There
 * is none before the first start, so a program whose first configuration is not valid does not start.
 *
 * Keys that take a restart of the program keep what they had, and stand in `pending` of the snapshot.
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as ConfigInvalid from "../config/ConfigInvalid.ts"
import * as ConfigLayer from "../config/ConfigLayer.ts"
import * as ConfigPlan from "../config/ConfigPlan.ts"
import * as ConfigShape from "../config/ConfigShape.ts"
import type { ReloadClass } from "../config/ReloadClass.ts"
import * as PoolEvent from "../PoolEvent.ts"

/** The configuration as it was from one moment on. */
export interface ConfigSnapshot<out C> {
  /** Counts from 1. */
  readonly version: number
  /** When it was applied, in milliseconds since 1970. */
  readonly at: number
  /** What holds: of keys that take a restart, what the program was started with. */
  readonly config: C
  /** Who has said each key, by its path: `pools.default.callTimeout`. */
  readonly provenance: ReadonlyMap<string, ConfigLayer.Source>
  /** What waits for the next start of the program. */
  readonly pending: ReadonlyArray<ConfigPlan.Change>
}

/** Where the layers below patches come from. */
export interface Sources {
  /** Lowest first. */
  readonly read: Effect.Effect<ReadonlyArray<ConfigLayer.ConfigLayer>, ConfigInvalid.ConfigInvalid>
  /** Why to read them again: `file`, `SIGHUP`. */
  readonly changed: Stream.Stream<string>
}

/** What a program without files has. */
export const fixed = (layers: ReadonlyArray<ConfigLayer.ConfigLayer>): Sources => ({ read: Effect.succeed(layers), changed: Stream.never })

/** The server, as those who change the configuration see it. */
export interface ConfigServer {
  /** What {@link apply} of the same patch would do now. */
  readonly preview: (patch: unknown) => Effect.Effect<ConfigPlan.ConfigPlan, ConfigInvalid.ConfigInvalid>
  /** Applies all of it, or nothing. What takes a restart is refused: the patch would not be there any more. */
  readonly apply: (patch: unknown) => Effect.Effect<ConfigPlan.ConfigPlan, ConfigInvalid.ConfigInvalid | ConfigPlan.RestartNeeded>
  /** Reads all sources again, and applies what they say; what takes a restart waits for it. */
  readonly reload: (by: string) => Effect.Effect<ConfigPlan.ConfigPlan, ConfigInvalid.ConfigInvalid>
}

type Layers = ReadonlyArray<ConfigLayer.ConfigLayer>
type AnyConfig = Schema.Codec<unknown, unknown>

/** So many snapshots are kept for {@link Store.history}. 32: some weeks of changes by hand. */
const kept = 32

/** What outlives every generation of the server. */
export interface Store<C> {
  /** What the sources said at first: read before the tree starts, so that its shape is of the same configuration. */
  first: Exit.Exit<Loaded<C>, ConfigInvalid.ConfigInvalid> | undefined
  /** The last good one is the last. */
  readonly history: Array<ConfigSnapshot<C>>
  /** Of the last good snapshot. */
  layers: Layers
  patch: unknown
  /** What the layers and the patch come to, with what is pending: secrets too. */
  wanted: C | undefined
  readonly snapshots: PubSub.PubSub<ConfigSnapshot<C>>
  /** One change at a time. */
  readonly lock: Semaphore.Semaphore
}

/** Layers that were read, and what they come to. */
interface Loaded<C> {
  readonly layers: Layers
  readonly config: C
}

export const makeStore = <C>(): Effect.Effect<Store<C>> =>
  Effect.map(PubSub.sliding<ConfigSnapshot<C>>(kept), (snapshots) => ({
    first: undefined,
    history: [],
    layers: [],
    patch: {},
    wanted: undefined,
    snapshots,
    lock: Semaphore.makeUnsafe(1)
  }))

/** The last good snapshot. */
export const current = <C>({ history }: Store<C>): ConfigSnapshot<C> | undefined => history.at(-1)

/** What {@link child} takes. */
export interface Options<S extends AnyConfig> {
  readonly schema: S
  readonly sources: Sources
  readonly store: Store<S["Type"]>
  /** Where the configuration is found. */
  readonly name: RegisteredName.RegisteredName<S["Type"]>
  /** Where those who change it find the server. */
  readonly server: RegisteredName.RegisteredName<ConfigServer>
  /** Hands a snapshot to whoever goes by it. Synchronous: all of it applies in one turn. */
  readonly publish: (snapshot: ConfigSnapshot<S["Type"]>) => void
}

/** The configuration that the layers come to, checked. Unknown keys are mistakes. */
export const decode = <S extends AnyConfig>(schema: S, layers: Layers): Effect.Effect<S["Type"], ConfigInvalid.ConfigInvalid> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema)(ConfigLayer.merge(layers), { onExcessProperty: "error", errors: "all" }),
    ({ issue }) => ConfigInvalid.ofIssue(issue, ConfigShape.of(schema), layers)
  )

/** Reads the sources for the first time. */
export const prime = <S extends AnyConfig>(
  { schema, sources, store }: Pick<Options<S>, "schema" | "sources" | "store">
): Effect.Effect<S["Type"], ConfigInvalid.ConfigInvalid> =>
  load(schema, sources).pipe(
    Effect.onExit((exit) => Effect.sync(() => void (store.first = exit))),
    Effect.map(({ config }) => config)
  )

const load = <S extends AnyConfig>(schema: S, { read }: Sources): Effect.Effect<Loaded<S["Type"]>, ConfigInvalid.ConfigInvalid> =>
  sound(Effect.flatMap(read, (layers) => Effect.map(decode(schema, layers), (config) => ({ layers, config }))))

/** Whatever goes wrong over what a source says is a mistake of that: the next server would read the same, and end as this one. */
const sound = <A>(effect: Effect.Effect<A, ConfigInvalid.ConfigInvalid>): Effect.Effect<A, ConfigInvalid.ConfigInvalid> =>
  Effect.catchDefect(effect, (defect) => {
    const name = defect instanceof Error ? defect.name : typeof defect // no message: it may quote a secret
    const issue = `it cannot be worked on (${name}): something in it is nested too deep or too large. Take back what was changed last`
    return Effect.fail(ConfigInvalid.whole("the configuration as a whole", issue))
  })

/** What changes while the program runs. */
const changeable: ReadonlySet<ReloadClass> = new Set(["live", "scale", "roll"])

export const child = <S extends AnyConfig>(options: Options<S>) => {
  type C = S["Type"]
  const { name, publish, schema, server: serverName, sources, store } = options
  const shape = ConfigShape.of(schema)

  /** What the layers with a patch would come to. */
  const plan = (layers: Layers, patchOf: () => unknown) =>
    sound(Effect.gen(function*() {
      const patch = patchOf()
      const all = [...layers, ConfigLayer.patch(patch)]
      const wanted = yield* decode(schema, all)
      const before = current(store)!
      const provenance = ConfigLayer.provenance(shape, all, wanted)
      const config = ConfigShape.combine(shape, before.config, wanted, changeable) as C
      return { layers, patch, wanted, config, provenance, plan: ConfigPlan.of(shape, before, { config: wanted, provenance }) }
    }))

  const serve = (snapshot: ConfigSnapshot<C>) => {
    name.current = snapshot.config
    name.latest = snapshot.config
    publish(snapshot)
  }

  /** All of it in one turn of the event loop. */
  const commit = Effect.fnUntraced(function*(by: string, next: Effect.Success<ReturnType<typeof plan>>) {
    const { config, layers, patch, plan: made, provenance, wanted } = next
    const before = current(store)!
    const pending = made.changes.filter((change) => change.class === "restart")
    const isSame = ConfigShape.isSame(wanted, store.wanted)
    const snapshot: ConfigSnapshot<C> = isSame
      ? { ...before, provenance } // another may say it
      : { version: before.version + 1, at: yield* Clock.currentTimeMillis, config, provenance, pending }
    const described = ConfigPlan.describe(made)
    yield* Effect.sync(() => {
      store.layers = layers
      store.patch = patch
      store.wanted = wanted
      if (isSame) return void (store.history[store.history.length - 1] = snapshot)
      store.history.push(snapshot)
      if (store.history.length > kept) store.history.shift()
      serve(snapshot)
      PubSub.publishUnsafe(store.snapshots, snapshot)
    })
    if (isSame) return made
    yield* Event.emit(PoolEvent.config_apply, { version: snapshot.version, changes: made.changes.length, pending: pending.length }, {
      by,
      plan: described
    })
    return made
  }, Effect.uninterruptible) // what holds is told

  const rejected = (by: string) => (error: ConfigInvalid.ConfigInvalid | ConfigPlan.RestartNeeded) =>
    Event.emit(PoolEvent.config_reject, { version: current(store)!.version }, { by, cause: error.message })

  const patched = (patch: unknown) =>
    ConfigShape.isObject(patch)
      ? plan(store.layers, () => ConfigLayer.patched(store.patch, patch))
      : Effect.fail(ConfigInvalid.whole("patch at run time", "a patch is an object of the keys that it changes"))

  /** Whether the change is for something else than what waits for the next start already. */
  const isNew = (wanted: C, { key }: ConfigPlan.Change) => {
    const path = ConfigShape.parse(key)
    return !ConfigShape.isSame(ConfigLayer.valueAt(wanted, path), ConfigLayer.valueAt(store.wanted, path))
  }

  const inTurn = Effect.fnUntraced(function*<A, E>(effect: Effect.Effect<A, E>) {
    return yield* Semaphore.withPermit(store.lock, effect)
  })

  return Child.make("config_server", {
    start: Effect.gen(function*() {
      const sink = yield* Event.EventSink
      const told = <A, E>(effect: Effect.Effect<A, E>) => inTurn(Effect.provideService(effect, Event.EventSink, sink))
      const server: ConfigServer = {
        preview: (patch) => told(Effect.map(patched(patch), ({ plan }) => plan)),
        apply: (patch) =>
          told(
            Effect.gen(function*() {
              const next = yield* patched(patch)
              const keys = next.plan.changes.filter((change) => change.class === "restart" && isNew(next.wanted, change))
              if (keys.length > 0) {
                return yield* new ConfigPlan.RestartNeeded({ keys: keys.map(({ because = "", key }) => ({ key, because })) })
              }
              return yield* commit("apply", next)
            }).pipe(Effect.tapError(rejected("apply")))
          ),
        reload: (by) =>
          told(
            // without the patch too: it must not hide what is wrong below it, and it may be taken back
            Effect.flatMap(load(schema, sources), ({ layers }) => plan(layers, () => store.patch)).pipe(
              Effect.flatMap((next) => commit(by, next)),
              Effect.tapError(rejected(by))
            )
          )
      }

      const last = current(store)
      if (last === undefined) {
        const { config, layers } = yield* store.first ?? load(schema, sources)
        const provenance = ConfigLayer.provenance(shape, layers, config)
        const snapshot: ConfigSnapshot<C> = { version: 1, at: yield* Clock.currentTimeMillis, config, provenance, pending: [] }
        yield* Effect.sync(() => {
          store.layers = layers
          store.wanted = config
          store.history.push(snapshot)
        })
        yield* Event.emit(PoolEvent.config_apply, { version: 1, changes: 0, pending: 0 }, { by: "start", plan: "the first configuration" })
      } else yield* Event.emit(PoolEvent.config_restore, { version: last.version }, {})
      yield* Effect.acquireRelease(
        Effect.sync(() => serve(current(store)!)),
        () => Effect.sync(() => void (name.current = undefined))
      )
      yield* RegisteredName.register(serverName, server)
      const reload = (by: string) => Effect.ignore(server.reload(by)) // its event says what is wrong
      return Effect.andThen(
        last === undefined ? Effect.void : reload("restart"),
        Effect.andThen(Stream.runForEach(sources.changed, reload), Effect.never)
      )
    })
  })
}
