/**
 * What an operator does with a running pool: looks at it, pauses, drains or scales it, takes a worker out, has one replaced, rolls out new code.
 *
 * **When to use**
 *
 * For a deployment script, an admin route, a signal handler. What a pool does by itself (`recycle`, `autoscale`) is configured.
 *
 * **Details**
 *
 * All of it is planned: no restart is spent, and no call that was accepted fails because of it. Each action is one event, and asking for what is so
 * already does nothing. What takes time returns when it is done; interrupting the wait leaves the action under way. A crash of the lifecycle, which
 * carries it all out, delays it by moments. When the Roster of the pool goes, what was asked for goes with it: `PoolUnavailable`.
 *
 * **Gotchas**
 *
 * Places rotate: the replacement of `default/0` may be `default/2`. `status` says which there are.
 *
 * **Example** (New code, on one worker first)
 *
 * ```ts
 * import { PoolControl } from "snakepit"
 * import { Effect } from "effect"
 *
 * const deploy = Effect.gen(function*() {
 *   const pool = yield* PoolControl.of("default")
 *   const { version } = yield* pool.reload // when every worker has imported the adapter anew
 *   yield* Effect.log(`version ${version} serves`)
 * }).pipe(
 *   Effect.catchTag("RolloutFailed", ({ reason, stage }) => Effect.logError(`rolled back at its ${stage}: ${reason}`))
 * )
 * ```
 */
import { Event } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Dispatch from "./control/Dispatch.ts"
import type * as LifecycleState from "./control/LifecycleState.ts"
import * as Places from "./control/Places.ts"
import { RolloutFailed, RolloutSuperseded } from "./control/RolloutError.ts"
import * as Roster from "./control/Roster.ts"
import type * as TelemetryControl from "./control/TelemetryControl.ts"
import * as Pool from "./Pool.ts"
import type { PoolEntry } from "./PoolDirectory.ts"
import * as PoolEvent from "./PoolEvent.ts"
import * as PoolVersion from "./PoolVersion.ts"

export { RolloutFailed, RolloutSuperseded }

/** The pool is down, or went down before it was done. */
export class PoolUnavailable extends Schema.TaggedError<PoolUnavailable>()("PoolUnavailable", {
  pool: Schema.String,
  because: Schema.String
}) {
  override get message(): string {
    return `pool "${this.pool}" cannot be asked, or forgot what it was asked for: ${this.because}. Ask again when it is up`
  }
}

/** There is no worker in that place. */
export class WorkerNotFound extends Schema.TaggedError<WorkerNotFound>()("WorkerNotFound", {
  pool: Schema.String,
  slot: Schema.Int,
  available: Schema.Array(Schema.Int)
}) {
  override get message(): string {
    return `pool "${this.pool}" has no worker that serves in place ${this.slot}; there are ${this.available.join(", ") || "none"}. ` +
      "A worker that was replaced has its successor in another place: see status"
  }
}

/** A pool cannot have so many workers. */
export class SizeInvalid extends Schema.TaggedError<SizeInvalid>()("SizeInvalid", {
  pool: Schema.String,
  size: Schema.Finite,
  min: Schema.Int,
  max: Schema.Int
}) {
  override get message(): string {
    return `pool "${this.pool}" cannot have ${this.size} workers: a whole number from ${this.min} to ${this.max}` +
      ", which its autoscale bounds if it has them"
  }
}

/** One worker, and its place. */
export interface WorkerStatus {
  readonly slot: number
  /** `default/3`. */
  readonly name: string
  readonly doing: Exclude<Places.Doing, "free">
  /** Connected: it has shaken hands. */
  readonly ready: boolean
  /** Which process of its place it is, from 0; -1 before the first. */
  readonly generation: number
  readonly pid: number | undefined
  /** Snapshot and reload count, as `3+2`. */
  readonly version: string
  /** Calls that it has, those that wait for it alone included. */
  readonly calls: number
  /** Calls that it has served. */
  readonly served: number
  /** Bytes, when `recycle` measures them. */
  readonly memory: number | undefined
}

/** A pool as it stands. */
export interface Status {
  readonly pool: string
  /** How many workers it is to have. */
  readonly size: number
  /** How many can take calls. */
  readonly ready: number
  /** Calls that wait. */
  readonly waiting: number
  readonly paused: boolean
  readonly draining: "no" | "draining" | "drained"
  /** What new workers are of. */
  readonly version: string
  /** A version that is on its way. `rest`: it has proved itself, and the others are replaced. */
  readonly rollout: { readonly version: string; readonly stage: LifecycleState.Rollout["stage"] } | undefined
  /** The last version that was rolled back. */
  readonly failed: RolloutFailed | undefined
  readonly workers: ReadonlyArray<WorkerStatus>
}

type Done<E = never> = Effect.Effect<void, PoolUnavailable | E>

export interface PoolControl {
  readonly status: Effect.Effect<Status, PoolUnavailable>
  /** The status now and whenever it may have changed, the latest for a slow reader; ends when the pool's Roster goes. */
  readonly changes: Stream.Stream<Status, PoolUnavailable>
  /** Calls are accepted and wait, within the limits of the queue; those that run go on, and so do those that their host tools make. */
  readonly pause: Done
  readonly resume: Done
  /** New calls are refused with `PoolDraining`; returns when the last that was accepted is over. */
  readonly drain: Done
  readonly undrain: Done
  /** The worker gets no new calls, but those of its strict sessions. It stays one of the pool's workers. */
  readonly cordon: (slot: number) => Done<WorkerNotFound>
  /** One at its memory limit stays cordoned for that. */
  readonly uncordon: (slot: number) => Done<WorkerNotFound>
  /** Has the worker replaced; returns when it is gone. While its replacement does not come up it serves on. */
  readonly recycle: (slot: number) => Done<WorkerNotFound>
  /** Gives the pool another size; returns when it has it. */
  readonly scale: (size: number) => Done<SizeInvalid>
  /**
   * Rolls out the adapter's code as it is now: on one worker first, which must come up, have the tools of the pool, pass `reload.probe` and
   * live through `reload.hold`. Returns when every worker has it. If the first fails, the pool is as before.
   */
  readonly reload: Effect.Effect<{ readonly version: string }, PoolUnavailable | RolloutFailed | RolloutSuperseded>
  /**
   * Changes what its workers tell, or what the one in a place does: from the next call on that is sent. Keys that are left out stay as they are; what was
   * changed of a place goes before what was changed of the pool. It holds for the workers that follow as well, until
   * {@link PoolControl.resetTelemetry}, or until the configuration says something else of the pool's telemetry.
   */
  readonly telemetry: (change: Partial<TelemetrySettings>, slot?: number) => Done<WorkerNotFound>
  /** What the configuration says holds again: of a place, or without one of the pool and each of its places. */
  readonly resetTelemetry: (slot?: number) => Done<WorkerNotFound>
}

/** What workers tell of themselves and their tools, as the section `telemetry` of a pool has it. */
export type TelemetrySettings = TelemetryControl.Settings

/** The control of a pool. */
export const of = (pool = "default"): Effect.Effect<PoolControl, Pool.PoolNotFound, Pool.Pools> => Effect.map(Pool.entryOf(pool), make)

const statusOf = ({ lifecycle, pids, pool, state, versions }: Roster.Roster): Status => {
  const workers = lifecycle.places.flatMap((place): ReadonlyArray<WorkerStatus> => {
    const { doing, generation, seen, servedBefore, slot } = place
    if (doing === "free") return []
    const present = state.slots[slot]
    const { served = servedBefore, tools } = present ?? {}
    return [{
      slot,
      name: `${pool}/${slot}`,
      doing,
      ready: tools !== undefined,
      generation,
      pid: pids.get(slot),
      version: PoolVersion.name(versions.filled.get(slot) ?? PoolVersion.next(versions, slot)),
      calls: present === undefined ? 0 : Dispatch.callsOf(present),
      served: served - servedBefore,
      memory: seen.memory
    }]
  })
  const { draining, failed, paused, rollout, size } = lifecycle
  return {
    pool,
    size,
    ready: workers.filter(({ doing, ready }) => ready && (doing === "serving" || doing === "filling")).length,
    waiting: state.waiting,
    paused,
    draining,
    version: PoolVersion.name(versions.proven),
    rollout: rollout && { version: PoolVersion.name(rollout.version), stage: rollout.stage },
    failed,
    workers
  }
}

const make = (entry: PoolEntry): PoolControl => {
  const { pool } = entry
  const unavailable = () => new PoolUnavailable({ pool, because: entry.because() })
  const roster = Effect.suspend(() =>
    entry.roster.current === undefined ? Effect.fail(unavailable()) : Effect.succeed(entry.roster.current)
  )

  /** Returns what `done` gives as soon as it gives something; fails when the Roster goes before. */
  const until = <A>(roster: Roster.Roster, done: () => A | undefined): Effect.Effect<A, PoolUnavailable> =>
    Effect.callback((resume) => {
      const look = () => {
        const value = done()
        if (value === undefined && entry.roster.current === roster) return
        roster.watchers.delete(look)
        resume(value === undefined ? Effect.fail(unavailable()) : Effect.succeed(value))
      }
      roster.watchers.add(look)
      look()
      return Effect.sync(() => void roster.watchers.delete(look))
    })
  const order = (roster: Roster.Roster, event: LifecycleState.Order, isDone: () => boolean): Done =>
    Effect.suspend(() => {
      Roster.order(roster, event)
      return Effect.asVoid(until(roster, () => isDone() || undefined))
    })
  const asked = (event: LifecycleState.Order, isDone: (state: LifecycleState.LifecycleState) => boolean): Done =>
    Effect.flatMap(roster, (roster) => order(roster, event, () => isDone(roster.lifecycle)))

  const place = (slot: number) =>
    Effect.flatMap(roster, (roster) => {
      const { places } = roster.lifecycle
      const place = places[slot]
      if (place !== undefined && Places.isActive(place)) return Effect.succeed({ place, roster })
      return Effect.fail(new WorkerNotFound({ pool, slot, available: places.filter(Places.isActive).map(({ slot }) => slot) }))
    })

  const controlled = (change: string, slot: number | undefined, apply: () => void): Done<WorkerNotFound> =>
    Effect.map(slot === undefined ? roster : Effect.map(place(slot), ({ roster }) => roster), ({ clock, emit }) => {
      apply()
      emit(Event.make(PoolEvent.telemetry_control, clock.wallTime, {}, { pool, slot, change }))
    })

  return {
    status: Effect.map(roster, statusOf),
    changes: Stream.unwrap(Effect.map(roster, (roster) =>
      Stream.callback<Status>((queue) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const look = () => void Queue.offerUnsafe(queue, statusOf(roster))
            const told = () => entry.roster.current === roster ? look() : Queue.endUnsafe(queue as never)
            roster.watchers.add(told)
            look()
            return told
          }),
          (told) => Effect.sync(() => roster.watchers.delete(told))
        ), { bufferSize: 1, strategy: "sliding" }))),
    pause: asked({ _tag: "Pause" }, ({ paused }) => paused),
    resume: asked({ _tag: "Resume" }, ({ paused }) => !paused),
    drain: asked({ _tag: "Drain" }, ({ draining }) => draining === "drained"),
    undrain: asked({ _tag: "Undrain" }, ({ draining }) => draining === "no"),
    cordon: (slot) =>
      Effect.flatMap(place(slot), ({ place, roster }) => order(roster, { _tag: "Cordon", slot }, () => place.doing !== "serving")),
    uncordon: (slot) =>
      Effect.flatMap(place(slot), ({ place, roster }) => order(roster, { _tag: "Uncordon", slot }, () => place.cordonedBy !== "operator")),
    recycle: (slot) =>
      Effect.flatMap(place(slot), ({ place, roster }) => {
        const { generation } = place
        const isGone = () => place.generation !== generation || place.doing === "free" || place.doing === "filling"
        return order(roster, { _tag: "Recycle", slot }, isGone)
      }),
    scale: (size) =>
      Effect.flatMap(roster, (roster): Done<SizeInvalid> => {
        const { lifecycle } = roster
        const { max, min } = lifecycle.versions.current.config.autoscale ?? { min: 1, max: 1024 } // as in PoolConfig
        if (!Number.isInteger(size) || size < min || size > max) return Effect.fail(new SizeInvalid({ pool, size, min, max }))
        let accepted = false
        return order(roster, { _tag: "Scale", size }, () => {
          if (accepted && lifecycle.size !== size) return true // somebody has asked for another since
          accepted ||= lifecycle.size === size
          const { places } = lifecycle
          return accepted && places.filter(Places.isActive).length === size && places.every((place) => !Places.isRetiring(place))
        })
      }),
    reload: Effect.flatMap(roster, (roster) => {
      const { results, rollout, tried } = roster.lifecycle
      const { versions } = entry
      const { roll } = versions.current
      const waits = roll > tried || (rollout?.stage === "waiting" && rollout.version.roll === roll)
      if (!waits) entry.reload() // else it will import what is there when it begins
      const version = versions.current
      return Effect.flatMap(
        until(roster, () => results.get(version.roll)),
        (result) => result === "done" ? Effect.succeed({ version: PoolVersion.name(version) }) : Effect.fail(result)
      )
    }),
    telemetry: (change, slot) => controlled(JSON.stringify(change), slot, () => entry.telemetry.change(change, slot)),
    resetTelemetry: (slot) => controlled("reset", slot, () => entry.telemetry.reset(slot))
  }
}
