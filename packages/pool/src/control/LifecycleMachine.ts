/**
 * The lifecycle machine of one pool: a total function of (state, event, now) to commands, which brings what there is to what there should be:
 * so many workers, of that version, none beyond its limits.
 *
 * ```text
 *  Look ─▶ go on with what is under way ─▶ nothing is: the next step, of these the first that is called for
 *
 *          a new version waits ────────────────────────────▶ its canary       (Rollout.ts)
 *          fewer serve than should ────────────────────────▶ one more
 *          more serve than should ─────────────────────────▶ the least used goes
 *          one is beyond a limit, of another version,
 *          or an operator has asked ───────────────────────▶ a replacement comes, then it goes: the worst first
 * ```
 *
 * **Details**
 *
 * One step at a time, and one worker more than there should be at most: the replacement of a worker is up before that gets no further call,
 * and it is stopped when the calls that it has are over, which their own limits bound. One that does not come up leaves the old one serving,
 * and the next is tried after a delay. All that is plan: the fleet is given places and forgets them, and no restart is spent.
 *
 * A worker at its memory limit gets no further call before its replacement is up, as long as it is at that limit and another one serves: memory
 * before capacity.
 *
 * **Gotchas**
 *
 * The machine owns its state and updates it in place. It decides by how things are, not by what has happened: another Lifecycle, which knows nothing
 * of the one that crashed, goes on with `Begin`.
 */
import * as PoolEvent from "../PoolEvent.ts"
import * as PoolVersion from "../PoolVersion.ts"
import * as Autoscale from "./Autoscale.ts"
import * as LifecycleState from "./LifecycleState.ts"
import * as Places from "./Places.ts"
import * as Recycle from "./Recycle.ts"
import * as Rollout from "./Rollout.ts"

type Step = LifecycleState.Step

/** Applies one event at `now` (milliseconds) and returns what to do, in order. Total. */
export const transition = (
  state: LifecycleState.LifecycleState,
  event: LifecycleState.Event,
  now: number
): ReadonlyArray<LifecycleState.Command> => {
  const step: Step = { state, now, out: [] }
  apply(step, event)
  return step.out
}

const apply = (step: Step, event: LifecycleState.Event): void => {
  const { state } = step
  switch (event._tag) {
    case "Begin":
      for (const place of state.places) place.ordered = false
      if (state.stale === "renewing") state.stale = "yes"
      return repeat(step)
    case "Filled":
      return filled(step, event)
    case "StartFailed":
      return startFailed(step, event)
    case "Stopped":
      return stopped(step, event.slot)
    case "Probed": {
      const rollout = Rollout.of(state, event.slot)
      if (rollout !== undefined) Rollout.probed(step, rollout, state.places[event.slot]!, event.failure)
      return
    }
    case "Renewed":
      return renewed(step, event.failure)
    case "Measured":
      return measured(step, event.memory)
    case "Look":
      return look(step, event)
    case "Pause":
    case "Resume":
      return pause(step, event._tag === "Pause")
    case "Drain":
    case "Undrain":
      return drain(step, event._tag === "Drain")
    case "Cordon":
    case "Uncordon": {
      const place = state.places[event.slot]
      if (place === undefined) return
      if (event._tag === "Cordon") return cordon(step, place, "operator")
      return place.cordonedBy === "operator" ? uncordon(step, place) : undefined
    }
    case "Recycle": {
      const place = state.places[event.slot]
      if (place !== undefined && Places.isActive(place)) place.because = "operator"
      return
    }
    case "Scale":
      return scale(step, event.size, "operator")
  }
}

/** What the Lifecycle before may have decided and not carried out. It changes nothing where it was. */
const repeat = (step: Step): void => {
  const { out, state } = step
  const { draining, paused, places, rollout, versions } = state
  for (const place of places) {
    const { doing, slot } = place
    const isTried = Rollout.of(state, slot) !== undefined && rollout!.stage !== "hold"
    LifecycleState.dispatch(step, {
      _tag: Places.isRetiring(place) ? "Drain" : isTried || doing === "cordoned" ? "Cordon" : "Uncordon",
      slot
    })
  }
  LifecycleState.dispatch(step, { _tag: paused ? "Pause" : "Resume" })
  LifecycleState.dispatch(step, { _tag: draining === "no" ? "Accept" : "Refuse" })
  if (rollout?.stage === "probe") out.push({ _tag: "Probe", slot: rollout.canary! })
  if (rollout?.stage !== "rest") return
  out.push({ _tag: "Prove", version: versions.proven })
  LifecycleState.dispatch(step, { _tag: "Promote", slot: rollout.canary! })
}

const filled = (step: Step, { draw, generation, served, slot }: Extract<LifecycleState.Event, { readonly _tag: "Filled" }>): void => {
  const { places, versions } = step.state
  const place = places[slot]
  if (place === undefined) return
  Object.assign(place, { generation, filledAt: step.now, servedBefore: served, draw })
  place.seen = { ...place.seen, memory: undefined }
  place.baseline = undefined
  if (place.because === "operator" && Places.isActive(place)) place.because = undefined // a crash has replaced it
  if (place.cordonedBy === "memory") uncordon(step, place)
  const version = PoolVersion.name(versions.filled.get(slot) ?? versions.proven)
  LifecycleState.tell(step, PoolEvent.lifecycle_fill, { draw }, { slot, generation, version })
}

const startFailed = (
  step: Step,
  { attempt, cause, slot, stage }: Extract<LifecycleState.Event, { readonly _tag: "StartFailed" }>
): void => {
  const { now, state } = step
  const place = state.places[slot]
  if (place?.attempt !== attempt) return
  if (place.doing === "draining") return stopped(step, slot) // it was given up before it came up
  if (place.doing !== "filling") return
  const { because, replaces } = place
  const rollout = Rollout.of(state, slot)
  if (rollout !== undefined) Rollout.fail(step, rollout, stage, cause)
  Places.clear(place)
  LifecycleState.dispatch(step, { _tag: "Uncordon", slot })
  if (rollout !== undefined) return
  state.retryAt = now + Recycle.retryMillis(++state.failures)
  const delayMillis = state.retryAt - now
  LifecycleState.tell(step, PoolEvent.lifecycle_start_fail, { delayMillis }, { slot, because: because ?? "size", replaces, cause })
  for (const other of state.places) if (other.cordonedBy === "memory") uncordon(step, other)
}

const stopped = (step: Step, slot: number): void => {
  const { now, state } = step
  const place = state.places[slot]
  if (place === undefined || place.doing === "free") return
  const { because = "size", filledAt, seen, servedBefore } = place
  const figures = { served: seen.served - servedBefore, ageMillis: now - filledAt, memory: seen.memory }
  state.versions.filled.delete(slot)
  Places.clear(place)
  LifecycleState.dispatch(step, { _tag: "Uncordon", slot })
  state.stops[because]++
  LifecycleState.tell(step, PoolEvent.lifecycle_stop, figures, { slot, because })
}

const renewed = (step: Step, failure: string | undefined): void => {
  const { now, state } = step
  state.stale = failure === undefined ? "no" : "yes"
  if (failure === undefined) return
  state.renewAt = now + Recycle.retryMillis(++state.renewFailures)
  LifecycleState.tell(step, PoolEvent.lifecycle_renew_fail, { delayMillis: state.renewAt - now }, { cause: failure })
}

const measured = (step: Step, memory: Extract<LifecycleState.Event, { readonly _tag: "Measured" }>["memory"]): void => {
  const { state } = step
  const { recycle } = state.versions.current.config
  if (memory.length === 0) return
  state.unmeasured = memory.every(({ bytes }) => bytes === undefined) ? state.unmeasured + 1 : 0
  if (state.unmeasured === 2) LifecycleState.tell(step, PoolEvent.lifecycle_memory_unknown, {}, {}) // once is a crash that was not seen yet
  for (const { bytes, slot } of memory) {
    const place = state.places[slot]
    if (place === undefined || bytes === undefined) continue
    place.seen = { ...place.seen, memory: bytes }
    if (place.baseline !== undefined) continue
    place.baseline = bytes
    if (!Recycle.isOversized(place, recycle)) state.oversized = 0
    else if (++state.oversized === 1) {
      LifecycleState.tell(step, PoolEvent.lifecycle_limit_low, { memory: bytes, limit: recycle.pss ?? recycle.rss }, { slot })
    }
  }
}

const pause = (step: Step, paused: boolean): void => {
  const { state } = step
  if (state.paused === paused) return
  state.paused = paused
  LifecycleState.dispatch(step, { _tag: paused ? "Pause" : "Resume" })
  LifecycleState.tell(step, paused ? PoolEvent.pool_pause : PoolEvent.pool_resume, {}, {})
}

const drain = (step: Step, isWanted: boolean): void => {
  const { state } = step
  if (isWanted === (state.draining !== "no")) return
  state.draining = isWanted ? "draining" : "no"
  LifecycleState.dispatch(step, { _tag: isWanted ? "Refuse" : "Accept" })
  LifecycleState.tell(step, isWanted ? PoolEvent.pool_drain : PoolEvent.pool_undrain, {}, {})
}

const cordon = (step: Step, place: Places.Place, by: "operator" | "memory"): void => {
  if (place.doing === "serving") {
    place.doing = "cordoned"
    LifecycleState.dispatch(step, { _tag: "Cordon", slot: place.slot })
    LifecycleState.tell(step, PoolEvent.lifecycle_cordon, { memory: place.seen.memory }, { slot: place.slot, by })
  } else if (place.doing !== "cordoned") return
  if (place.cordonedBy !== "operator") place.cordonedBy = by
}

/** Lifts whatever keeps calls from it. */
const uncordon = (step: Step, place: Places.Place): void => {
  if (place.doing !== "cordoned") return
  place.doing = "serving"
  place.cordonedBy = undefined
  LifecycleState.dispatch(step, { _tag: "Uncordon", slot: place.slot })
  LifecycleState.tell(step, PoolEvent.lifecycle_uncordon, {}, { slot: place.slot })
}

const scale = (step: Step, size: number, because: "operator" | "config" | "delay"): void => {
  const { now, state } = step
  const was = state.size
  if (size === was) return
  state.size = size
  state.autoscale = { changedAt: now, calmSince: undefined } // whoever changed it
  LifecycleState.tell(step, PoolEvent.pool_scale, { size, was }, { because })
}

const look = (step: Step, { busy, delayMillis, open, seen }: Extract<LifecycleState.Event, { readonly _tag: "Look" }>): void => {
  const { state } = step
  for (const one of seen) state.places[one.slot]!.seen = one
  if (state.draining === "draining" && open === 0) {
    state.draining = "drained"
    LifecycleState.tell(step, PoolEvent.pool_drained, {}, {})
  }
  const { autoscale: bounds, size } = state.versions.current.config
  if (size !== state.configured) {
    state.configured = size
    scale(step, Autoscale.within(size, bounds), "config")
  }
  Rollout.follow(step)
  autoscale(step, delayMillis, busy)
  for (const place of state.places) progress(step, place)
  guard(step)
  next(step)
}

const autoscale = (step: Step, delayMillis: number, busy: number): void => {
  const { now, state } = step
  const settings = state.versions.current.config.autoscale
  if (settings === undefined || state.paused || state.draining !== "no") return
  const decided = Autoscale.decide(state.autoscale, { size: state.size, delayMillis, busy }, settings, now)
  state.autoscale = decided.state
  scale(step, decided.size, "delay")
}

/** What is under way in one place. */
const progress = (step: Step, place: Places.Place): void => {
  const { slot } = place
  switch (place.doing) {
    case "filling":
      if (place.ordered) return arrive(step, place)
      place.ordered = true
      return void step.out.push({ _tag: "Start", slot, attempt: ++place.attempt })
    case "draining":
    case "stopping":
      if (place.seen.calls > 0 || place.ordered) return
      place.doing = "stopping"
      place.ordered = true
      LifecycleState.dispatch(step, { _tag: "Vacate", slot, reason: "its worker was replaced or taken away, as planned" })
      return void step.out.push({ _tag: "Stop", slot })
    case "serving":
    case "cordoned":
    case "free":
      return
  }
}

/** Whether the worker that was started is up, and what follows from that. */
const arrive = (step: Step, place: Places.Place): void => {
  const { state } = step
  const { because = "size", replaces, seen, slot } = place
  const rollout = Rollout.of(state, slot)
  if (rollout === undefined ? !seen.runs || !seen.attached : !Rollout.isProven(step, rollout, place)) return
  if (rollout !== undefined) Rollout.promote(step, rollout, place)
  place.doing = "serving"
  place.replaces = undefined
  place.because = undefined
  state.failures = 0
  LifecycleState.tell(step, PoolEvent.lifecycle_ready, {}, { slot, because, replaces })
  const old = replaces === undefined ? undefined : state.places[replaces]
  if (old !== undefined && Places.isActive(old)) retire(step, old, because)
}

/** Its worker gets no new calls, and goes when those it has are over. */
const retire = (step: Step, place: Places.Place, because: Recycle.Because): void => {
  place.doing = "draining"
  place.ordered = false
  place.because = because
  LifecycleState.dispatch(step, { _tag: "Drain", slot: place.slot })
  LifecycleState.tell(step, PoolEvent.lifecycle_drain, { calls: place.seen.calls }, { slot: place.slot, because })
}

/** A worker at its memory limit gets no further call, as long as it is that and another one serves. */
const guard = (step: Step): void => {
  const { failures, places, versions } = step.state
  const { recycle } = versions.current.config
  for (const place of places) if (place.cordonedBy === "memory" && !Recycle.isBeyond(place, recycle)) uncordon(step, place)
  if (failures > 0) return // its replacement does not come up: it goes on
  for (const place of places) {
    if (place.doing !== "serving" || !Recycle.isBeyond(place, recycle) || Recycle.isOversized(place, recycle)) continue
    if (places.some((other) => other !== place && other.doing === "serving" && other.seen.attached)) cordon(step, place, "memory")
  }
}

/** Begins the next step, if one is called for and there is room for it. */
const next = (step: Step): void => {
  const { now, state } = step
  const { places, rollout, size, versions } = state
  if (state.stale === "yes" && now >= state.renewAt) {
    state.stale = "renewing"
    step.out.push({ _tag: "Renew" })
  }
  const active = places.filter(Places.isActive).length
  const retiring = places.some(Places.isRetiring)
  const used = places.filter(({ doing }) => doing !== "free").length
  const isTried = rollout !== undefined && rollout.stage !== "rest"
  const isStale = ({ slot }: Places.Place) => !isTried && (versions.filled.get(slot)?.roll ?? versions.proven.roll) !== versions.proven.roll
  const isRenewed = state.stale === "no" || state.renewFailures > 0 // what does not come up is done without
  if (rollout?.stage === "rest" && isRenewed && !retiring && !places.some((place) => Places.isActive(place) && isStale(place))) {
    Rollout.finish(step, rollout)
  }
  if (places.some(({ doing }) => doing === "filling")) return
  const { recycle } = versions.current.config
  const dueOf = (place: Places.Place) => Recycle.due(place, recycle, isStale(place), now)
  const isOversized = ({ due, place }: { readonly due: Recycle.Due; readonly place: Places.Place }) =>
    due.because === "memory" && Recycle.isOversized(place, recycle)
  if (active > size && !retiring) return retire(step, Recycle.leastUsed(places, isStale, (place) => dueOf(place) !== undefined)!, "size")
  if (used > size) return
  if (rollout?.stage === "waiting") {
    Rollout.begin(step, rollout)
    return progress(step, places[rollout.canary!]!)
  }
  if (now < state.retryAt) return
  if (active < size) return fill(step, "size", undefined)
  if (retiring || !isRenewed) return
  let worst: { readonly place: Places.Place; readonly due: Recycle.Due } | undefined
  for (const place of places) {
    const due = dueOf(place)
    if (due === undefined || (isOversized({ place, due }) && now < state.oversizedAt)) continue
    if (worst === undefined || due.urgency > worst.due.urgency) worst = { place, due }
  }
  if (worst === undefined) return
  if (isOversized(worst)) state.oversizedAt = now + Recycle.retryMillis(state.oversized)
  fill(step, worst.due.because, worst.place.slot)
}

/** A worker is to come, in the lowest free place. */
const fill = (step: Step, because: Recycle.Because, replaces: number | undefined): void => {
  const place = Places.free(step.state.places)
  place.doing = "filling"
  place.because = because
  place.replaces = replaces
  LifecycleState.tell(step, PoolEvent.lifecycle_start, {}, { slot: place.slot, because, replaces })
  progress(step, place)
}

/** Whether something is under way that is not told of when it is over: it has to be looked at soon. */
export const isBusy = ({ draining, places, renewFailures, rollout, stale }: LifecycleState.LifecycleState): boolean =>
  draining === "draining" || rollout !== undefined || (stale !== "no" && renewFailures === 0) ||
  places.some((place) => place.doing === "filling" || Places.isRetiring(place))
