/**
 * How a new version proves itself: on one worker, started by itself without the forkserver, which holds the code of the version before.
 *
 * ```text
 *  waiting ─ a place is free ─▶ boot ─ hands shaken, tools as before ─▶ probe ─ succeeds ─▶ hold ─ no crash ─▶ rest ─ none is of another ─▶ done
 *                                └──────────────┬──────────────────────────┴───────────────────┘
 *                                               └─▶ rolled back: the canary is drained and stopped, nothing else has changed
 *  rest: the forkserver is replaced, and spares with it, then worker by worker, as stale
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

/** What has become of so many versions is remembered: whoever waits for one is told at once. */
const remembered = 100

const note = ({ state }: Step, { roll }: PoolVersion.PoolVersion, result: LifecycleState.RolloutResult): void => {
  state.results.set(roll, result)
  state.results.delete(roll - remembered)
}

/** Begins with the version that the settings are of, when that is another one. What is on its way gives way to it. */
export const follow = (step: Step): void => {
  const { state } = step
  const { current, proven, rolls } = state.versions
  const wanted = current.roll > state.tried
  for (let roll = state.tried + 1; roll <= rolls; roll++) { // those that were not looked at in time
    if (roll !== current.roll) note(step, { ...current, roll }, superseded(state.pool, { ...current, roll }, current))
  }
  state.tried = Math.max(state.tried, rolls)
  const isTakenBack = current.roll === proven.roll && state.rollout !== undefined && state.rollout.stage !== "rest"
  if (!wanted && !isTakenBack) return
  const before = state.rollout
  if (before !== undefined) {
    leave(step)
    state.rollout = undefined
    note(step, before.version, superseded(state.pool, before.version, current))
  }
  if (wanted) order(step, current)
}

const superseded = (pool: string, version: PoolVersion.PoolVersion, by: PoolVersion.PoolVersion): RolloutSuperseded =>
  new RolloutSuperseded({ pool, version: PoolVersion.name(version), by: PoolVersion.name(by) })

const order = (step: Step, version: PoolVersion.PoolVersion): void => {
  const { state } = step
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
      const { changed, missing } = place.seen
      if (tools === "keep" && missing.length + changed.length > 0) {
        const named = (tools: ReadonlyArray<string>) => tools.map((tool) => `"${tool}"`).join(", ")
        const reasons = [
          ...missing.length === 0 ? [] : [`it has no tool ${named(missing)}, which the version before has`],
          ...changed.length === 0 ? [] : [`what ${named(changed)} takes or gives is not as in the version before`]
        ]
        fail(step, rollout, "catalogue", reasons.join("; "))
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
  step.out.push({ _tag: "Prove", version: rollout.version })
  state.versions.assigned.delete(slot)
  Object.assign(state, { stale: "yes", renewFailures: 0, renewAt: 0 })
  LifecycleState.dispatch(step, { _tag: "Promote", slot })
  LifecycleState.tell(step, PoolEvent.rollout_promote, {}, { ...about(rollout.version), slot })
}

/** Every worker is of it. */
export const finish = (step: Step, rollout: LifecycleState.Rollout): void => {
  const { state } = step
  state.rollout = undefined
  note(step, rollout.version, "done")
  LifecycleState.tell(step, PoolEvent.rollout_finish, {}, about(rollout.version))
}

/** It is not what the pool will run. */
export const fail = (step: Step, rollout: LifecycleState.Rollout, stage: RolloutFailed["stage"], reason: string): void => {
  const { state } = step
  leave(step)
  state.rollout = undefined
  state.failed = new RolloutFailed({ pool: state.pool, version: PoolVersion.name(rollout.version), stage, reason })
  note(step, rollout.version, state.failed)
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
