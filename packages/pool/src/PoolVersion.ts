/**
 * The settings of one pool as one snapshot of the configuration has them.
 *
 * ```text
 *  key of class    of a worker                        of the pool: calls, limits, launches
 *  live · scale    the current version's              the current version's
 *  roll            the version's that it started as   the proven version's
 * ```
 *
 * Workers of different versions serve a pool only while it is rolled from one to the other; all that belongs to one worker is of one version.
 */
import * as ConfigShape from "./config/ConfigShape.ts"
import type { ReloadClass } from "./config/ReloadClass.ts"
import { PoolConfig } from "./PoolConfig.ts"

export interface PoolVersion {
  /** The number of the snapshot, from 1. */
  readonly snapshot: number
  /** Another number: workers must be replaced to get from one to the other. The same: they differ in what applies live. */
  readonly roll: number
  readonly config: PoolConfig
}

/** What a pool runs and is to run. */
export interface Versions {
  /** The latest snapshot's: keys that apply live are read here. */
  current: PoolVersion
  /** What new workers get whose place was assigned none: the last one that has proved itself, or what a pool begins with that is down. */
  proven: PoolVersion
  /** How often the pool has gone down since it was up; infinite while it has not been up, as before its first start. */
  downs: number
  /** Places that were assigned another one: a canary's. A restart there uses it. */
  readonly assigned: Map<number, PoolVersion>
  /** Of the worker that fills each place: set when its process is about to start. */
  readonly filled: Map<number, PoolVersion>
  /** The highest `roll` that was given out. */
  rolls: number
}

export const versions = (first: PoolVersion): Versions => ({
  current: first,
  proven: first,
  downs: Number.POSITIVE_INFINITY,
  assigned: new Map(),
  filled: new Map(),
  rolls: first.roll
})

/** The version of the next process in a place. */
export const next = ({ assigned, proven }: Versions, slot: number): PoolVersion => assigned.get(slot) ?? proven

/** `3`, or `3+2` when workers were replaced twice to get there. */
export const name = ({ roll, snapshot }: PoolVersion): string => roll === 0 ? String(snapshot) : `${snapshot}+${roll}`

const shape = ConfigShape.of(PoolConfig)
const applied: ReadonlySet<ReloadClass> = new Set(["live", "scale"])

/** What holds for a worker of version `pinned` now: a new object only when one of the two is another than in the call before. */
export const combiner = (): (pinned: PoolVersion, current: PoolVersion) => PoolConfig => {
  let last: { readonly pinned: PoolVersion; readonly current: PoolVersion; readonly config: PoolConfig } | undefined
  return (pinned, current) => {
    if (pinned === current) return current.config
    if (last?.pinned === pinned && last.current === current) return last.config
    const config = combine(pinned.config, current.config)
    last = { pinned, current, config }
    return config
  }
}

/** The settings that a worker of `pinned` has while `current` is what the configuration says. */
export const combine = <C extends PoolConfig>(pinned: C, current: C): C => ConfigShape.combine(shape, pinned, current, applied) as C

/** Whether workers need not be replaced to get from one to the other. */
export const isLive = (from: PoolConfig, to: PoolConfig): boolean => ConfigShape.isSame(combine(from, to), to)

/**
 * Takes in what a snapshot says of the pool. Where no worker is to be replaced for it, it needs no proof; and in a pool without workers (`isDown`)
 * there is nothing to try it beside.
 */
export const configure = (versions: Versions, snapshot: number, config: PoolConfig, isDown = false): void => {
  const { current, proven } = versions
  const like = [current, proven].find((version) => isLive(version.config, config))
  versions.current = { snapshot, roll: like?.roll ?? ++versions.rolls, config }
  if (isDown || versions.current.roll === proven.roll) versions.proven = versions.current
}

/** The pool begins. What it has not come up with, or not again, proves nothing any more: then it is what the configuration says. */
export const begin = (versions: Versions): void => {
  if (versions.downs > 1) versions.proven = versions.current
}

/** Asks for new workers although no key has changed: the pool's code has. */
export const reload = (versions: Versions): void => {
  versions.current = { ...versions.current, roll: ++versions.rolls }
}
