/**
 * How a new version proves itself: on one worker, started by itself without the forkserver, which holds the code of the version before.
 *
 * ```text
 *  waiting ─ a place is free ─▶ boot ─ hands shaken, no tool missing ─▶ probe ─ succeeds ─▶ hold ─ no crash ─▶ rest ─ none is of another ─▶ done
 *                                └──────────────┬──────────────────────────┴───────────────────┘
 *                                               └─▶ rolled back: the canary is drained and stopped, nothing else has changed
 *  rest: forkserver and spares are replaced, then worker by worker, as stale
 * ```
 *
 * Until then every other place keeps the version before, and a crash there restarts it with that.
 */
import * as Duration from "effect/Duration"
import * as PoolEvent from "../PoolEvent.ts"
import * as PoolVersion from "../PoolVersion.ts"
import * as LifecycleState from "./LifecycleState.ts"
import * as Places from "./Places.ts"
import { RolloutFailed, RolloutSuperseded } from "./RolloutError.ts"

type Step = LifecycleState.Step

const about = (version: PoolVersion.PoolVersion) => ({ version: PoolVersion.name(version) })

/** A new version is to be rolled out. The one that is on its way gives way to it. */
export const order = (step: Step, version: PoolVersion.PoolVersion): void => {
  const { state } = step
  const before = state.rollout
  if (before !== undefined) {
    leave(step)
    state.results.set(
      before.version,
      new RolloutSuperseded({ pool: state.pool, version: PoolVersion.name(before.version), by: PoolVersion.name(version) })
    )
  }
  state.rollout = { version, stage: "waiting", canary: undefined, generation: -1, since: 0 }
  LifecycleState.tell(step, PoolEvent.rollout_begin, {}, about(version))
}

/** The first place of the new version is to be filled, beside those that serve. */
export const begin = (step: Step, rollout: LifecycleState.Rollout): void => {
  const { places, versions } = step.state
  const canary = Places.free(places)
  canary.doing = "filling"
  canary.because = "version"
  canary.replaces = places.find((place) => Places.isActive(place))?.slot
  rollout.stage = "boot"
  rollout.canary = canary.slot
  versions.assigned.set(canary.slot, rollout.version)
  LifecycleState.dispatch(step, { _tag: "Cordon", slot: canary.slot })
  LifecycleState.tell(step, PoolEvent.rollout_try, {}, { ...about(rollout.version), slot: canary.slot })
}

/** The rollout whose canary fills the place. */
export const of = ({ rollout }: LifecycleState.LifecycleState, slot: number): LifecycleState.Rollout | undefined =>
  rollout?.canary === slot && rollout.stage !== "rest" ? rollout : undefined

/** Looks at the canary, which was started; gives whether it has proved itself. */
export const isProven = (step: Step, rollout: LifecycleState.Rollout, place: Places.Place): boolean => {
  const { now, state } = step
  const { hold, probe, tools } = state.versions.current.config.reload
  switch (rollout.stage) {
    case "boot": {
      if (!place.seen.runs || !place.seen.attached) return false
      const { missing } = place.seen
      if (tools === "keep" && missing.length > 0) {
        const reason = `it has no tool ${missing.map((tool) => `"${tool}"`).join(", ")}, which the version before has`
        fail(step, rollout, "catalogue", reason)
        return false
      }
      rollout.generation = place.generation
      if (probe === undefined) {
        serve(step, rollout, place)
        return false
      }
      rollout.stage = "probe"
      step.out.push({ _tag: "Probe", slot: place.slot })
      return false
    }
    case "hold":
      if (place.generation !== rollout.generation || !place.seen.attached) {
        fail(step, rollout, "hold", `its worker crashed within ${Duration.format(hold)} of its first call`)
        return false
      }
      return now - rollout.since >= Duration.toMillis(hold)
    default:
      return false
  }
}

/** The canary has answered its probe; `failure` says why it has not passed. */
export const probed = (step: Step, rollout: LifecycleState.Rollout, place: Places.Place, failure: string | undefined): void => {
  if (rollout.stage !== "probe") return
  if (failure === undefined) serve(step, rollout, place)
  else fail(step, rollout, "probe", failure)
}

/** It serves as the others do, for a while. */
const serve = (step: Step, rollout: LifecycleState.Rollout, { slot }: Places.Place): void => {
  rollout.stage = "hold"
  rollout.since = step.now
  LifecycleState.dispatch(step, { _tag: "Uncordon", slot })
}

/** It is what the pool runs from now on. */
export const promote = (step: Step, rollout: LifecycleState.Rollout, { slot }: Places.Place): void => {
  const { state } = step
  rollout.stage = "rest"
  state.versions.proven = rollout.version
  state.versions.assigned.delete(slot)
  state.stale = "yes"
  LifecycleState.dispatch(step, { _tag: "Promote", slot })
  LifecycleState.tell(step, PoolEvent.rollout_promote, {}, { ...about(rollout.version), slot })
}

/** Every worker is of it. */
export const finish = (step: Step, rollout: LifecycleState.Rollout): void => {
  const { state } = step
  state.rollout = undefined
  state.results.set(rollout.version, "done")
  LifecycleState.tell(step, PoolEvent.rollout_finish, {}, about(rollout.version))
}

/** It is not what the pool will run. */
export const fail = (step: Step, rollout: LifecycleState.Rollout, stage: RolloutFailed["stage"], reason: string): void => {
  const { state } = step
  leave(step)
  state.rollout = undefined
  state.failed = new RolloutFailed({ pool: state.pool, version: PoolVersion.name(rollout.version), stage, reason })
  state.results.set(rollout.version, state.failed)
  LifecycleState.tell(step, PoolEvent.rollout_fail, {}, { ...about(rollout.version), stage, cause: reason })
}

/** Its canary goes, if there is one. */
const leave = (step: Step): void => {
  const { places, rollout, versions } = step.state
  const place = rollout?.stage === "rest" ? undefined : places[rollout?.canary ?? -1]
  if (place?.doing !== "filling") return
  place.doing = "draining"
  place.ordered = false
  place.replaces = undefined
  versions.assigned.delete(place.slot)
  LifecycleState.dispatch(step, { _tag: "Drain", slot: place.slot })
}
