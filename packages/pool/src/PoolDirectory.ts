/**
 * Where the pools of an application are found by name: their settings, the current generation of their Roster, and why one is down.
 */
import { RegisteredName } from "@snakepit/core"
import * as Schema from "effect/Schema"
import type { Roster } from "./control/Roster.ts"
import { Guard } from "./Guard.ts"
import { PoolConfig } from "./PoolConfig.ts"

/** What the pools need of the application's configuration. */
export interface PoolSettings {
  readonly pools: { readonly [pool: string]: PoolConfig }
}

/** One pool. */
export interface PoolEntry {
  readonly pool: string
  readonly config: () => PoolConfig
  readonly roster: RegisteredName.RegisteredName<Roster>
  /** Its circuit breakers and rate limits. */
  readonly guard: Guard
  readonly isUp: () => void
  /** Notes why the pool gave up, or did not start again: what callers are told until it is up. */
  readonly isDown: (because: string) => void
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
}

const defaults: PoolConfig = Schema.decodeUnknownSync(PoolConfig)({})

/** `expected` are the settings that hold until there are registered ones: for contracts. */
export const make = (config: RegisteredName.RegisteredName<PoolSettings>, expected?: PoolSettings): PoolDirectory => {
  const entries = new Map<string, PoolEntry>()
  return {
    expected: expected && Object.keys(expected.pools),
    config,
    names: () => Object.keys(config.latest?.pools ?? {}),
    entry: (pool) => {
      const present = entries.get(pool)
      if (present !== undefined) return present
      let because: string | undefined
      let guard: Guard | undefined
      const roster = RegisteredName.make<Roster>(`pools/${pool}/roster`)
      const entry: PoolEntry = {
        pool,
        config: () => (config.latest ?? expected)?.pools[pool] ?? defaults,
        roster,
        get guard() {
          return guard ??= new Guard(pool, (event) => roster.current?.emit(event))
        },
        isUp: () => {
          because = undefined
        },
        isDown: (message) => {
          because = `it gave up and will be tried again: ${message}`
        },
        because: () => because ?? "it is starting, or its application is stopping"
      }
      entries.set(pool, entry)
      return entry
    }
  }
}
