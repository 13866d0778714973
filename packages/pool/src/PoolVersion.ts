/**
 * The settings of one pool as one snapshot of the configuration has them, and the code that its workers have imported.
 *
 * Workers of different versions serve a pool only while it is rolled from one to the other; all that belongs to one worker is of one version.
 * Two versions are the same when they are the same object.
 */
import type { PoolConfig } from "./PoolConfig.ts"

export interface PoolVersion {
  /** The number of the snapshot, from 1. */
  readonly snapshot: number
  /** How often the code of the pool was reloaded before, from 0. */
  readonly reload: number
  readonly config: PoolConfig
}

/** What a pool runs and is to run. */
export interface Versions {
  /** The latest snapshot's: keys that apply live are read here. */
  current: PoolVersion
  /** What new workers get whose place was assigned none: the last one that has proved itself. */
  proven: PoolVersion
  /** Places that were assigned another one: a canary's. A restart there uses it. */
  readonly assigned: Map<number, PoolVersion>
  /** Of the worker that fills each place: set when its process is about to start. */
  readonly filled: Map<number, PoolVersion>
}

export const versions = (first: PoolVersion): Versions => ({ current: first, proven: first, assigned: new Map(), filled: new Map() })

/** The version of the next process in a place. */
export const next = ({ assigned, proven }: Versions, slot: number): PoolVersion => assigned.get(slot) ?? proven

/** `3`, or `3+2` when the code was reloaded twice. */
export const name = ({ reload, snapshot }: PoolVersion): string => reload === 0 ? String(snapshot) : `${snapshot}+${reload}`
