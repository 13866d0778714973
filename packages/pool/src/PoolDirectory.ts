/**
 * Where the pools of an application are found by name: their settings, the current generation of their Roster, and why one is down.
 */
import { RegisteredName } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Schema from "effect/Schema"
import { HostToolRegistry } from "./control/HostToolRegistry.ts"
import * as Roster from "./control/Roster.ts"
import { TelemetryControl } from "./control/TelemetryControl.ts"
import { Guard } from "./Guard.ts"
import { PoolConfig } from "./PoolConfig.ts"
import * as PoolVersion from "./PoolVersion.ts"
import { TraceSampler } from "./TraceSampler.ts"

/** What the pools need of the application's configuration. */
export interface PoolSettings {
  readonly pools: { readonly [pool: string]: PoolConfig }
}

/** One pool. */
export interface PoolEntry {
  readonly pool: string
  /** What holds for the pool as a whole now. */
  readonly config: () => PoolConfig
  /** They outlive every part of the pool: what has proved itself is not forgotten in a crash. */
  readonly versions: PoolVersion.Versions
  /** Takes in what a snapshot says of the pool. */
  readonly configure: (snapshot: number, config: PoolConfig) => void
  /** The version of the next process of any place that was assigned none has proved itself. */
  readonly prove: (version: PoolVersion.PoolVersion) => void
  /** Asks for new workers although no key has changed. */
  readonly reload: () => void
  /** Which calls begin a trace. */
  readonly sampler: TraceSampler
  /** Runs `apply` now, and again whenever a version has come or was proved since it began: a change while it runs is not missed. */
  readonly follow: <E, R>(apply: Effect.Effect<unknown, E, R>) => Effect.Effect<never, E, R>
  readonly roster: RegisteredName.RegisteredName<Roster.Roster>
  /** What its calls may call here; outlives each generation of the pool. */
  readonly hostTools: HostToolRegistry
  /** What an operator has changed of what its workers tell. */
  readonly telemetry: TelemetryControl
  /** Its circuit breakers and rate limits. */
  readonly guard: Guard
  readonly isUp: () => void
  /** Notes why the pool gave up, or did not start again: what callers are told until it is up. */
  readonly isDown: (because: string) => void
  /** The configuration names it no more. */
  readonly isRemoved: () => void
  /** Why there is no Roster now. */
  readonly because: () => string
}

/** All pools; entries are made at their first use and stay. */
export interface PoolDirectory {
  /** The pools that are to be, by name, when it is known before they start: those that contracts show. */
  readonly expected: ReadonlyArray<string> | undefined
  readonly config: RegisteredName.RegisteredName<PoolSettings>
  /** The pools of the configuration. */
  readonly names: () => ReadonlyArray<string>
  readonly entry: (pool: string) => PoolEntry
  /** Takes in a snapshot: all pools in one turn of the event loop. */
  readonly configure: (snapshot: number, settings: PoolSettings) => void
  /** Runs `apply` now, and again whenever a snapshot has come since it began. */
  readonly follow: <E, R>(apply: Effect.Effect<unknown, E, R>) => Effect.Effect<never, E, R>
}

const defaults: PoolConfig = Schema.decodeUnknownSync(PoolConfig)({})

/** Who waits for changes. */
const makeFollowers = () => {
  const latches = new Set<Latch.Latch>()
  return {
    tell: () => {
      for (const latch of latches) latch.openUnsafe()
    },
    follow: <E, R>(apply: Effect.Effect<unknown, E, R>): Effect.Effect<never, E, R> =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const latch = Latch.makeUnsafe(true)
          latches.add(latch)
          return latch
        }),
        (latch) => Effect.forever(Effect.andThen(Effect.andThen(latch.await, latch.close), apply)),
        (latch) => Effect.sync(() => latches.delete(latch))
      )
  }
}

const makeEntry = (pool: string, first: PoolVersion.PoolVersion): PoolEntry => {
  const versions = PoolVersion.versions(first)
  const combined = PoolVersion.combiner()
  const roster = RegisteredName.make<Roster.Roster>(`pools/${pool}/roster`)
  const followers = makeFollowers()
  const changed = () => {
    if (roster.current !== undefined) Roster.configured(roster.current)
    followers.tell()
  }
  const telemetry = new TelemetryControl()
  telemetry.configured(first.config.telemetry)
  let because: string | undefined
  let guard: Guard | undefined
  return {
    pool,
    get guard() {
      return guard ??= new Guard(pool, (event) => roster.current?.emit(event))
    },
    config: () => combined(versions.proven, versions.current),
    versions,
    prove: (version) => {
      versions.proven = version
      changed()
    },
    reload: () => {
      PoolVersion.reload(versions)
      changed()
    },
    sampler: new TraceSampler(Math.random() * 0x1_0000_0000), // hosts that begin together choose each their own
    follow: followers.follow,
    roster,
    hostTools: new HostToolRegistry(),
    telemetry,
    isUp: () => {
      because = undefined
      versions.downs = 0
    },
    isDown: (message) => {
      versions.downs++
      because = `it gave up and will be tried again: ${message}`
    },
    isRemoved: () => {
      versions.downs = Number.POSITIVE_INFINITY
      because = "the configuration does not name it any more"
    },
    because: () => because ?? "it is starting, or its application is stopping",
    configure: (snapshot, config) => {
      PoolVersion.configure(versions, snapshot, config, versions.downs > 0 && roster.current === undefined)
      telemetry.configured(config.telemetry)
      changed()
    }
  }
}

/** `expected` are the settings that hold until there are registered ones: for contracts. */
export const make = (config: RegisteredName.RegisteredName<PoolSettings>, expected?: PoolSettings): PoolDirectory => {
  const entries = new Map<string, PoolEntry>()
  const followers = makeFollowers()
  let latest = 1
  return {
    expected: expected && Object.keys(expected.pools),
    config,
    names: () => Object.keys(config.latest?.pools ?? {}),
    entry: (pool) => {
      const present = entries.get(pool)
      if (present !== undefined) return present
      const entry = makeEntry(pool, { snapshot: latest, roll: 0, config: (config.latest ?? expected)?.pools[pool] ?? defaults })
      entries.set(pool, entry)
      return entry
    },
    configure: (snapshot, { pools }) => {
      latest = snapshot
      for (const [pool, config] of Object.entries(pools)) entries.get(pool)?.configure(snapshot, config)
      followers.tell()
    },
    follow: followers.follow
  }
}
