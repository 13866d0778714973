/**
 * The decision machine of a supervisor: a total function of (state, event, now) to commands. No effects, no clock, no randomness.
 *
 * ```text
 *  supervisor   Booting ──all children up──▶ Running ──shutdown · gave up · auto-shutdown──▶ Stopping ──all down──▶ Ended
 *                  └──────a child's start fails, or a shutdown is asked──────────────────────▲
 *
 *  child        Down ──start──▶ Starting ──acknowledged──▶ Running ──ends by itself──▶ Waiting ──delay over──▶ Starting
 *                 ▲                └──start failed──▶ Waiting         └──left alone──▶ Down
 *                 └── Stopping ◀──terminated · failed by a monitor · victim of a sibling · supervisor stopping──┘
 * ```
 *
 * **Details**
 *
 * A *recovery* brings back what one exit took down: its victims by strategy are stopped in reverse start order, the delay passes, then
 * they are started in order, each acknowledged before the next. Under `one_for_one` each child has a recovery of its own and they run
 * beside each other; under the group strategies there is one, and a further exit widens it. Each exit or failed start that calls for a
 * restart spends one unit of the intensity, whatever the size of the group. An exit, or a failed start, inside the group of a child that
 * is being failed is part of that failure and spends nothing.
 *
 * Exits that arrive while the supervisor boots are held until the last child is up, as they are in OTP.
 *
 * **Gotchas**
 *
 * It owns its state and updates it in place; `SupervisorState.snapshot` copies it.
 */
import { ExitReason } from "./ExitReason.ts"
import * as Intensity from "./Intensity.ts"
import * as RestartType from "./RestartType.ts"
import {
  type ChildFacts,
  type ChildState,
  Command,
  Decision,
  type Event,
  makeChild,
  type Outcome,
  type Recovery,
  Reply,
  type Status,
  type SupervisorState,
  type Then
} from "./SupervisorState.ts"

/** Applies one event at `now` (milliseconds) and returns what to do, in order. Total: an event that no longer applies does nothing. */
export const transition = (state: SupervisorState, event: Event, now: number): ReadonlyArray<Command> => {
  if (state.phase._tag === "Ended") return refuseAfterEnd(event)
  const out: Array<Command> = []
  apply({ state, now, out }, event)
  return out
}

interface Step {
  readonly state: SupervisorState
  readonly now: number
  readonly out: Array<Command>
}

const refuseAfterEnd = (event: Event): ReadonlyArray<Command> =>
  "token" in event ? [Command.Reply({ token: event.token, reply: Reply.Stopping() })] : []

const apply = (step: Step, event: Event): void => {
  const { state } = step
  switch (event._tag) {
    case "Boot":
      return boot(step)
    case "ChildStarted": {
      const child = current(state, event, "Starting")
      return child === undefined ? undefined : childStarted(step, child)
    }
    case "ChildStartFailed": {
      const child = current(state, event, "Starting")
      return child === undefined ? stopReported(step, event) : childStartFailed(step, child, event.reason, event.incident)
    }
    case "ChildExited": {
      const child = current(state, event, "Running")
      return child === undefined ? stopReported(step, event) : childExited(step, child, event.reason, event.incident)
    }
    case "ChildStopped":
      return stopReported(step, event)
    case "DelayKnown":
      return delayKnown(step, event.ask, event.delayMillis)
    case "DelayRefused":
      return delayRefused(step, event.ask, event.error)
    case "Due": {
      const recovery = recoveryOf(state, event.ask)
      if (recovery === undefined) return
      recovery.due = step.now // the timer decides: a clock of whole milliseconds may still read one less
      return advance(step, recovery)
    }
    case "FailChild": {
      const child = state.children.get(event.id)
      if (child?.status._tag !== "Running" || state.phase._tag === "Stopping") return
      return stop(step, child, { _tag: "Fail", reason: event.reason, incident: event.incident })
    }
    case "StartChild":
      return startChild(step, event.child, event.token)
    case "RestartChild":
      return restartChild(step, event.id, event.token)
    case "TerminateChild":
      return terminateChild(step, event.id, event.token)
    case "DeleteChild":
      return deleteChild(step, event.id, event.token)
    case "Shutdown":
      return beginStop(step, { _tag: "Shutdown", why: event.why })
  }
}

const current = (
  state: SupervisorState,
  event: { readonly id: string; readonly generation: number },
  status: Status["_tag"]
): ChildState | undefined => {
  const child = state.children.get(event.id)
  return child?.generation === event.generation && child.status._tag === status ? child : undefined
}

/** `ChildStopped`, or an end that was on its way when the stop was asked for: no other report will come. */
const stopReported = (
  step: Step,
  event: { readonly id: string; readonly generation: number; readonly abandonedAfterMillis?: number | undefined }
): void => {
  const child = current(step.state, event, "Stopping")
  if (child === undefined) return
  const { abandonedAfterMillis: graceMillis, generation, id } = event
  if (graceMillis !== undefined) {
    const reason = ExitReason.Killed({ graceMillis })
    step.out.push(Command.Tell({ decision: Decision.Abandon({ child: id, generation, reason }) }))
  }
  childStopped(step, child)
}

// ── starting ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const boot = (step: Step): void => {
  const { out, state } = step
  for (const child of state.children.values()) {
    if (child.status._tag === "Starting") {
      if (!state.parallel) return
    } else if (child.status._tag === "Down" && child.status.why === "not started") {
      start(step, child, undefined)
      if (!state.parallel) return
    }
  }
  for (const child of state.children.values()) if (child.status._tag === "Starting") return
  state.phase = { _tag: "Running" }
  out.push(Command.Tell({ decision: Decision.Start({ children: state.children.size }) }), Command.Booted())
  for (const child of state.held) {
    if (child.status._tag === "Waiting") decideExit(step, child, child.status.reason, child.status.incident)
  }
  state.held.clear()
}

const start = (step: Step, child: ChildState, askedBy: number | undefined, added = false): void => {
  child.generation++
  child.status = { _tag: "Starting", askedBy, added }
  step.out.push(Command.Start({ id: child.id, generation: child.generation }))
}

const childStarted = (step: Step, child: ChildState): void => {
  const { askedBy } = child.status as Extract<Status, { _tag: "Starting" }>
  child.status = { _tag: "Running" }
  if (askedBy !== undefined) {
    step.out.push(Command.Reply({ token: askedBy, reply: Reply.Done({ generation: child.generation }) }))
  }
  if (step.state.phase._tag === "Booting") return boot(step)
  advanceFor(step, child)
}

const childStartFailed = (step: Step, child: ChildState, reason: ExitReason, incident: string): void => {
  const { added, askedBy } = child.status as Extract<Status, { _tag: "Starting" }>
  child.status = { _tag: "Down", why: "start failed" }
  if (step.state.phase._tag === "Booting" && askedBy === undefined) {
    return beginStop(step, { _tag: "StartFailed", child: child.id, reason })
  }
  if (askedBy !== undefined) {
    step.out.push(Command.Reply({ token: askedBy, reply: Reply.StartFailed({ reason }) }))
    if (added) forget(step, child)
  }
  if (step.state.phase._tag === "Stopping") {
    answer(step, child)
    return stopNext(step)
  }
  if (step.state.phase._tag === "Booting") return boot(step)
  if (askedBy !== undefined) return advanceFor(step, child)
  if (isPartOfAFailure(step.state, child)) {
    child.status = { _tag: "Waiting", reason, incident }
    return
  }
  recover(step, child, reason, incident)
}

// ── exits ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const childExited = (step: Step, child: ChildState, reason: ExitReason, incident: string): void => {
  child.status = { _tag: "Waiting", reason, incident }
  if (step.state.phase._tag === "Stopping") {
    child.status = { _tag: "Down", why: "supervisor stopping" }
    answer(step, child)
    return stopNext(step)
  }
  if (step.state.phase._tag === "Booting") {
    return void step.state.held.add(child)
  }
  if (RestartType.decide(child.restart, reason) === "restart" && isPartOfAFailure(step.state, child)) return
  decideExit(step, child, reason, incident)
}

const decideExit = (step: Step, child: ChildState, reason: ExitReason, incident: string): void => {
  if (RestartType.decide(child.restart, reason) === "leave") return leave(step, child, reason)
  recover(step, child, reason, incident)
}

const leave = (step: Step, child: ChildState, reason: ExitReason): void => {
  const { out, state } = step
  child.status = { _tag: "Down", why: "finished" }
  out.push(Command.Tell({ decision: Decision.Leave({ child: child.id, generation: child.generation, reason }) }))
  if (child.restart === "temporary") forget(step, child)
  if (child.significant && autoShutdownIsDue(state)) {
    return beginStop(step, { _tag: "AutoShutdown", child: child.id })
  }
  advanceFor(step, child)
}

const autoShutdownIsDue = (state: SupervisorState): boolean => {
  if (state.autoShutdown === "never") return false
  if (state.autoShutdown === "any") return true
  for (const child of state.children.values()) if (child.significant && child.status._tag !== "Down") return false
  return true
}

/** A sibling that is being failed will take this child along: its exit belongs to that failure. */
const isPartOfAFailure = (state: SupervisorState, child: ChildState): boolean => {
  if (state.strategy === "one_for_one") return false
  for (const other of state.children.values()) {
    if (isBeingFailed(other) && (state.strategy === "one_for_all" || isBefore(state, other, child))) return true
  }
  return false
}

/** It will be restarted once it has stopped; a temporary one is left alone and takes nobody along. */
const isBeingFailed = ({ restart, status }: ChildState): boolean =>
  status._tag === "Stopping" && status.then._tag === "Fail" && restart !== "temporary"

// ── recovery ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const recover = (step: Step, child: ChildState, reason: ExitReason, ownIncident: string): void => {
  const { now, out, state } = step
  const generation = child.generation
  const first = firstVictim(state, child)
  const incident = recoveryFor(state, child)?.incident ?? ownIncident
  child.restarts++
  child.status = { _tag: "Waiting", reason, incident }
  const verdict = Intensity.decide(state.window, now)
  if (!verdict.allowed) {
    return beginStop(step, { _tag: "GaveUp", child: child.id, reason, refusal: undefined, incident })
  }
  const key = keyOf(state, child)
  const ask = ++state.asks
  const recovery: Recovery = { key, incident, decidedAt: now, origin: child, first, ask, stage: "stopping", due: undefined }
  state.recoveries.set(key, recovery)
  const victims = group(state, recovery).filter((victim) => victim !== child && isUp(victim)).map((victim) => victim.id)
  state.asked.set(ask, { key, child: child.id, generation, reason, budgetLeft: verdict.left, victims, incident })
  out.push(Command.AskDelay({ ask, key, id: child.id, reason }))
  advance(step, recovery)
}

const delayKnown = (step: Step, ask: number, delayMillis: number): void => {
  const { now, out, state } = step
  const decision = state.asked.get(ask)
  if (decision === undefined) return
  state.asked.delete(ask)
  if (state.phase._tag !== "Running") return
  const { key, ...facts } = decision
  out.push(Command.Tell({ decision: Decision.Restart({ ...facts, delayMillis }) }))
  const recovery = state.recoveries.get(key)
  if (recovery?.ask !== ask) return
  recovery.due = recovery.decidedAt + delayMillis
  if (recovery.due > now) out.push(Command.StartAt({ ask, key, at: recovery.due }))
  else advance(step, recovery)
}

const delayRefused = (step: Step, ask: number, error: unknown): void => {
  const decision = step.state.asked.get(ask)
  if (decision === undefined) return
  step.state.asked.delete(ask)
  const { child, incident, reason } = decision
  beginStop(step, { _tag: "GaveUp", child, reason, refusal: { error }, incident })
}

/** Does the next thing that a recovery can do now, or nothing while it waits for a child or for its delay. */
const advance = (step: Step, recovery: Recovery): void => {
  const { now, out, state } = step
  if (state.phase._tag !== "Running") return
  const victims = group(state, recovery)
  if (victims.length === 0) return void state.recoveries.delete(recovery.key) // they were terminated meanwhile
  if (recovery.stage === "stopping") {
    for (const victim of victims.toReversed()) {
      if (victim.status._tag === "Stopping") return
      if (isUp(victim)) return stop(step, victim, { _tag: "Recover" })
    }
    recovery.stage = "starting"
  }
  if (recovery.due === undefined || now < recovery.due || isHeldUp(state, recovery)) return
  for (const victim of victims) {
    if (victim.status._tag === "Waiting") return start(step, victim, undefined)
    if (victim.status._tag === "Starting" || victim.status._tag === "Stopping") return
  }
  state.recoveries.delete(recovery.key)
  const { generation, id, status } = recovery.origin
  if (status._tag !== "Running") return
  const tookMillis = now - recovery.decidedAt
  out.push(Command.Tell({ decision: Decision.Recover({ child: id, generation, tookMillis, incident: recovery.incident }) }))
}

/** Where the recovery begins that `child` sets off or widens. Victims that are up again already are touched no more. */
const firstVictim = (state: SupervisorState, child: ChildState): ChildState => {
  const recovery = recoveryFor(state, child)
  if (recovery === undefined) return child
  const first = recovery.stage === "stopping" ? recovery.first : group(state, recovery).find(({ status }) => status._tag === "Waiting")
  return first !== undefined && isBefore(state, first, child) ? first : child
}

/** A sibling in front of the victims still starts, or is being failed and will take them along. */
const isHeldUp = (state: SupervisorState, { first }: Recovery): boolean => {
  if (state.strategy !== "rest_for_one") return false
  for (const child of state.children.values()) {
    if (child === first) return false
    if (child.status._tag === "Starting" || isBeingFailed(child)) return true
  }
  return false
}

const advanceFor = (step: Step, child: ChildState): void => {
  const recovery = recoveryFor(step.state, child)
  if (recovery !== undefined) advance(step, recovery)
}

const keyOf = (state: SupervisorState, child: ChildState): string => state.strategy === "one_for_one" ? child.id : ""

const recoveryFor = (state: SupervisorState, child: ChildState): Recovery | undefined => state.recoveries.get(keyOf(state, child))

const recoveryOf = (state: SupervisorState, ask: number): Recovery | undefined => {
  for (const recovery of state.recoveries.values()) if (recovery.ask === ask) return recovery
  return undefined
}

/** The children that a recovery concerns, in start order. Those the operator stopped, or that finished, stay as they are. */
const group = (state: SupervisorState, recovery: Recovery): ReadonlyArray<ChildState> => {
  if (state.strategy === "one_for_one") return recovery.origin.status._tag === "Down" ? [] : [recovery.origin]
  const children = [...state.children.values()]
  const from = state.strategy === "one_for_all" ? 0 : children.indexOf(recovery.first)
  return children.slice(Math.max(0, from)).filter((child) => child.status._tag !== "Down")
}

const isUp = (child: ChildState): boolean => child.status._tag === "Running" || child.status._tag === "Starting"

const isBefore = (state: SupervisorState, a: ChildState, b: ChildState): boolean => {
  for (const child of state.children.values()) {
    if (child === b) return false
    if (child === a) return true
  }
  return false
}

// ── stopping ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stop = (step: Step, child: ChildState, then: Then): void => {
  const { askedBy } = child.status._tag === "Starting" ? child.status : { askedBy: undefined }
  if (askedBy !== undefined) {
    step.out.push(
      Command.Reply({ token: askedBy, reply: Reply.StartFailed({ reason: ExitReason.Shutdown({ why: "stopped while starting" }) }) })
    )
  }
  child.status = { _tag: "Stopping", then }
  step.out.push(Command.Stop({ id: child.id, generation: child.generation }))
}

const childStopped = (step: Step, child: ChildState): void => {
  const { then } = child.status as Extract<Status, { _tag: "Stopping" }>
  const stopping = step.state.phase._tag === "Stopping"
  if (then._tag === "Fail" && !stopping) {
    child.status = { _tag: "Running" }
    return childExited(step, child, then.reason, then.incident)
  }
  if (then._tag === "Recover" && !stopping && child.restart !== "temporary") {
    const recovery = recoveryFor(step.state, child)
    child.status = {
      _tag: "Waiting",
      reason: ExitReason.Shutdown({ why: "a sibling ended" }),
      incident: recovery?.incident ?? ""
    }
  } else {
    child.status = { _tag: "Down", why: stopping ? "supervisor stopping" : "terminated" }
    answer(step, child)
    if (child.restart === "temporary") forget(step, child)
  }
  if (stopping) return stopNext(step)
  if (step.state.phase._tag === "Booting") return boot(step)
  advanceFor(step, child)
}

/** Exits that were held back for a failure are decided now that it has become a termination. */
const decideStranded = (step: Step): void => {
  const { state } = step
  if (state.strategy === "one_for_one") return
  for (const child of [...state.children.values()]) {
    if (state.phase._tag !== "Running") return
    if (child.status._tag !== "Waiting" || isPartOfAFailure(state, child)) continue
    const recovery = recoveryFor(state, child)
    if (recovery === undefined || (state.strategy === "rest_for_one" && isBefore(state, child, recovery.first))) {
      decideExit(step, child, child.status.reason, child.status.incident)
    }
  }
}

const answer = (step: Step, child: ChildState): void => {
  for (const token of child.waiters.splice(0)) {
    step.out.push(Command.Reply({ token, reply: Reply.Done({ generation: child.generation }) }))
  }
}

const forget = (step: Step, child: ChildState): void => {
  const { out, state } = step
  const recovery = recoveryFor(state, child)
  if (recovery?.first === child && state.strategy !== "one_for_all") {
    const next = state.strategy === "one_for_one" ? undefined : [...state.children.values()].find((other) => isBefore(state, child, other))
    if (next === undefined) state.recoveries.delete(recovery.key)
    else recovery.first = next
  }
  state.children.delete(child.id)
  out.push(Command.Forget({ id: child.id }))
}

const beginStop = (step: Step, outcome: Outcome): void => {
  const { out, state } = step
  if (state.phase._tag === "Stopping") return
  state.phase = { _tag: "Stopping", outcome }
  state.recoveries.clear()
  if (outcome._tag === "GaveUp") {
    const { child, incident, reason } = outcome
    const generation = state.children.get(child)?.generation ?? -1
    out.push(Command.Tell({ decision: Decision.GiveUp({ child, generation, reason, incident }) }))
  } else if (outcome._tag !== "StartFailed") {
    const why = outcome._tag === "Shutdown" ? outcome.why : `the significant child ${outcome.child} ended`
    out.push(Command.Tell({ decision: Decision.Terminate({ why }) }))
  }
  for (const child of state.children.values()) {
    if (child.status._tag === "Waiting") child.status = { _tag: "Down", why: "supervisor stopping" }
  }
  stopNext(step)
}

const stopNext = (step: Step): void => {
  const { out, state } = step
  if (state.phase._tag !== "Stopping") return
  let waiting = false
  for (const child of [...state.children.values()].toReversed()) {
    if (isUp(child)) stop(step, child, { _tag: "StayDown" })
    if (child.status._tag === "Stopping") waiting = true
    if (waiting && !state.parallel) return
  }
  if (waiting) return
  const { outcome } = state.phase
  state.phase = { _tag: "Ended", outcome }
  out.push(Command.End({ outcome }))
}

// ── administration ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const startChild = (step: Step, facts: ChildFacts, token: number): void => {
  const { out, state } = step
  const reply = (answer: Reply) => void out.push(Command.Reply({ token, reply: answer }))
  if (state.phase._tag === "Stopping") return reply(Reply.Stopping())
  const present = state.children.get(facts.id)
  if (present !== undefined) return reply(Reply.Present({ status: present.status._tag }))
  if (state.children.size >= state.maxChildren) return reply(Reply.MaxChildren({ maxChildren: state.maxChildren }))
  const child = makeChild(facts)
  state.children.set(child.id, child)
  start(step, child, token, true)
}

const restartChild = (step: Step, id: string, token: number): void => {
  const { out, state } = step
  const reply = (answer: Reply) => void out.push(Command.Reply({ token, reply: answer }))
  if (state.phase._tag === "Stopping") return reply(Reply.Stopping())
  const child = state.children.get(id)
  if (child === undefined) return reply(Reply.NotFound())
  if (child.status._tag !== "Down") return reply(Reply.Present({ status: child.status._tag }))
  if (child.status.why === "not started") return reply(Reply.Present({ status: "Starting" })) // the boot comes to it
  start(step, child, token)
}

const terminateChild = (step: Step, id: string, token: number): void => {
  const { out, state } = step
  const child = state.children.get(id)
  if (child === undefined) return void out.push(Command.Reply({ token, reply: Reply.NotFound() }))
  child.waiters.push(token)
  const { status } = child
  if (status._tag === "Down") {
    if (status.why === "not started") child.status = { _tag: "Down", why: "terminated" } // the boot passes it by
    return answer(step, child)
  }
  if (state.phase._tag === "Stopping") return // its turn comes, in reverse start order
  const told = status._tag === "Stopping" && status.then._tag === "StayDown"
  if (!told) {
    out.push(Command.Tell({ decision: Decision.TerminateChild({ child: id, generation: child.generation }) }))
  }
  if (status._tag === "Waiting") {
    child.status = { _tag: "Down", why: "terminated" }
    answer(step, child)
    if (child.restart === "temporary") forget(step, child)
    return advanceFor(step, child)
  }
  if (status._tag !== "Stopping") return stop(step, child, { _tag: "StayDown" })
  child.status = { _tag: "Stopping", then: { _tag: "StayDown" } }
  decideStranded(step)
}

const deleteChild = (step: Step, id: string, token: number): void => {
  const { out, state } = step
  const child = state.children.get(id)
  if (child === undefined) return void out.push(Command.Reply({ token, reply: Reply.NotFound() }))
  if (child.status._tag !== "Down") {
    return void out.push(Command.Reply({ token, reply: Reply.Present({ status: child.status._tag }) }))
  }
  forget(step, child)
  out.push(Command.Reply({ token, reply: Reply.Done({ generation: child.generation }) }))
}
