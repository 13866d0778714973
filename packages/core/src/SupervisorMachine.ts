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
 *
 *  recovery     stopping ──victims down──▶ delaying ──delay over──▶ starting ──victims up──▶ over
 *                   ▲ a further exit in the group, or a failed start, is a decision of its own and begins anew, wider │
 *                   └─────────────────────────────────────────────────────────────────────────────────────────────────┘
 * ```
 *
 * **Details**
 *
 * A *recovery* brings back what one exit took down: its victims by strategy are stopped in reverse start order, the delay passes, then
 * they are started in order, each acknowledged before the next. Under `one_for_one` each child has a recovery of its own and they run
 * beside each other; under the group strategies there is one. Each exit or failed start that calls for a restart spends one unit of the
 * intensity, whatever the size of the group; an exit of a victim that is about to be stopped anyway is part of that stop.
 *
 * What differs between OTP and us is asked of `state.semantics`, a field at a time (`Semantics.ts`).
 *
 * A step costs O(1) in the number of children, apart from the victims that it names: children are linked in start order, and a boot, a
 * stop and a recovery each keep a cursor to where they are.
 *
 * **Gotchas**
 *
 * It owns its state and updates it in place; `SupervisorState.snapshot` copies it.
 */
import { ExitReason } from "./ExitReason.ts"
import * as Intensity from "./Intensity.ts"
import * as ChildOrder from "./internal/ChildOrder.ts"
import * as Mailbox from "./internal/Mailbox.ts"
import * as RestartType from "./RestartType.ts"
import {
  type Change,
  type ChildFacts,
  type ChildState,
  type Command,
  type DownReason,
  type Event,
  makeChild,
  type Outcome,
  type Recovery,
  Reply,
  type Stage,
  type Status,
  type SupervisorState,
  type Then
} from "./SupervisorState.ts"

/** Applies one event at `now` (milliseconds) and returns what to do, in order. Total: an event that no longer applies does nothing. */
export const transition = (state: SupervisorState, event: Event, now: number): ReadonlyArray<Command> => {
  const step: Step = { state, now, out: [] }
  if (state.phase._tag === "Ended") refuse(step, event)
  else if (mustWait(state, event)) defer(state, event)
  else apply(step, event)
  while (!Mailbox.isEmpty(state.mailbox) && isServing(state)) {
    const { about, event } = Mailbox.take(state.mailbox)
    if (about === undefined || state.children.get(about.id) === about) apply(step, event)
  }
  return step.out
}

interface Step {
  readonly state: SupervisorState
  readonly now: number
  readonly out: Array<Command>
}

const apply = (step: Step, event: Event): void => {
  const { state } = step
  switch (event._tag) {
    case "Boot": {
      state.cursor = state.order.first
      return boot(step)
    }
    case "ChildStarted": {
      const child = current(state, event, "Starting")
      return child === undefined ? undefined : childStarted(step, child, false)
    }
    case "ChildIgnored": {
      const child = current(state, event, "Starting")
      return child === undefined ? stopReported(step, event) : childStarted(step, child, true)
    }
    case "ChildStartFailed": {
      const child = current(state, event, "Starting")
      if (child === undefined) return stopReported(step, event)
      tellAbandoned(step, event)
      return childStartFailed(step, child, event.reason, event.incident)
    }
    case "ChildExited": {
      const child = current(state, event, "Running")
      if (child === undefined) return stopReported(step, event)
      tellAbandoned(step, event)
      return childExited(step, child, event.reason, event.incident)
    }
    case "ChildStopped":
      return stopReported(step, event)
    case "DelayKnown":
      return delayKnown(step, event.ask, event.delayMillis)
    case "DelayRefused":
      return delayRefused(step, event.ask, event.error)
    case "Due":
      return due(step, event.ask)
    case "Settled":
      return settled(step)
    case "Retry": {
      const { status } = state.children.get(event.id) ?? {}
      return status?._tag === "Waiting" ? recover(step, state.children.get(event.id)!, status.reason, status.incident) : undefined
    }
    case "FailChild":
      return failChild(step, event)
    case "StartChild":
      return startChild(step, event.child, event.token)
    case "RestartChild":
      return restartChild(step, event.id, event.token)
    case "TerminateChild":
      return terminateChild(step, event.id, event.token)
    case "DeleteChild":
      return deleteChild(step, event.id, event.token)
    case "Change":
      return change(step, event.change, event.token)
    case "Shutdown":
      return beginStop(step, { _tag: "Shutdown", why: event.why })
    case "Kill":
      return collapse(step, { _tag: "Shutdown", why: "killed" })
  }
}

// ── the mailbox ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const isServing = ({ busy, phase, semantics }: SupervisorState): boolean =>
  phase._tag === "Running" && (semantics.serve === "always" || busy === 0)

const mustWait = (state: SupervisorState, event: Event): boolean => {
  if (isServing(state)) return false
  switch (event._tag) {
    case "ChildExited":
      return current(state, event, "Running") !== undefined && (state.phase._tag === "Booting" || state.semantics.serve !== "always")
    case "FailChild":
      return state.phase._tag === "Booting" || state.semantics.serve !== "always"
    case "StartChild":
    case "RestartChild":
    case "TerminateChild":
    case "DeleteChild":
    case "Change":
      return state.semantics.serve !== "always"
    case "Shutdown":
      return state.semantics.serve !== "always" && state.phase._tag === "Running"
    default:
      return false
  }
}

const defer = (state: SupervisorState, event: Event): void => {
  if (event._tag === "ChildExited") {
    const child = state.children.get(event.id)!
    child.ended = true
    Mailbox.post(state.mailbox, event, child)
  } else if (event._tag === "FailChild") {
    const child = state.children.get(event.id)
    if (child?.status._tag === "Running") Mailbox.post(state.mailbox, { ...event, generation: child.generation }, child)
  } else Mailbox.post(state.mailbox, event)
}

const refuse = ({ out }: Step, event: Event): void => {
  if ("token" in event) out.push({ _tag: "Reply", token: event.token, reply: Reply.Stopping() })
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
const stopReported = (step: Step, event: Released): void => {
  const child = current(step.state, event, "Stopping")
  if (child === undefined) return
  tellAbandoned(step, event)
  childStopped(step, child)
}

interface Released {
  readonly id: string
  readonly generation: number
  readonly abandonedAfterMillis?: number | undefined
}

const tellAbandoned = ({ out }: Step, { abandonedAfterMillis: graceMillis, generation, id }: Released): void => {
  if (graceMillis === undefined) return
  out.push({ _tag: "Tell", decision: { _tag: "Abandon", child: id, generation, reason: ExitReason.Killed({ graceMillis }) } })
}

// ── a child's status ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const isBusy = ({ _tag }: Status): boolean => _tag === "Starting" || _tag === "Stopping"

const isUp = ({ status }: ChildState): boolean => status._tag === "Running" || status._tag === "Starting"

const running: Status = { _tag: "Running" }

const setStatus = (state: SupervisorState, child: ChildState, status: Status): void => {
  const was = child.status
  state.busy += (isBusy(status) ? 1 : 0) - (isBusy(was) ? 1 : 0)
  if (child.facts.significant) state.significantLeft += (status._tag === "Down" ? 0 : 1) - (was._tag === "Down" ? 0 : 1)
  child.status = status
  state.moved?.add(child)
}

const setDown = (state: SupervisorState, child: ChildState, why: DownReason): void => setStatus(state, child, { _tag: "Down", why })

/** Down for good: the calls that waited for it are answered, and what will never start again is forgotten. */
const settleDown = (step: Step, child: ChildState, why: DownReason): void => {
  if (child.recovery !== undefined) endRecovery(step, child.recovery)
  setDown(step.state, child, why)
  if (child.facts.restart === "temporary" || step.state.dynamic) forget(step, child) // before the answer: its asker may use the id again
  answer(step, child)
}

const answer = (step: Step, child: ChildState): void => {
  for (const token of child.waiters.splice(0)) reply(step, token, Reply.Done({ generation: child.generation }))
}

const reply = ({ out }: Step, token: number, answered: Reply): void => void out.push({ _tag: "Reply", token, reply: answered })

const forget = (step: Step, child: ChildState): void => {
  const { out, state } = step
  const { cursor, recovery } = state
  if (cursor === child) state.cursor = state.phase._tag === "Booting" ? child.after : child.before
  if (recovery !== undefined) {
    if (recovery.cursor === child) recovery.cursor = recovery.stage === "stopping" ? child.before : child.after
    if (recovery.from === child && child.after !== undefined) recovery.from = child.after
  }
  if (state.ghost === child) state.ghost = undefined
  ChildOrder.remove(state.order, child)
  state.children.delete(child.id)
  state.moved?.add(child)
  out.push({ _tag: "Forget", id: child.id })
}

// ── starting ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const boot = (step: Step): void => {
  const { out, state } = step
  while (state.cursor !== undefined) {
    const child = state.cursor
    if (isBusy(child.status) && !state.dynamic) return
    state.cursor = child.after
    if (child.status._tag !== "Down" || child.status.why !== "not started") continue
    start(step, child, undefined)
    if (!state.dynamic) {
      state.cursor = child
      return
    }
  }
  if (state.dynamic && state.busy > 0) return
  state.phase = { _tag: "Running" }
  out.push({ _tag: "Tell", decision: { _tag: "Start", children: state.children.size } }, { _tag: "Booted" })
}

const start = (step: Step, child: ChildState, askedBy: number | undefined, added = false): void => {
  child.generation++
  child.ended = false
  child.acknowledged = false
  child.exit = undefined
  setStatus(step.state, child, { _tag: "Starting", askedBy, added })
  step.out.push({ _tag: "Start", id: child.id, generation: child.generation })
}

const childStarted = (step: Step, child: ChildState, ignored: boolean): void => {
  const { state } = step
  const { added, askedBy } = child.status as Extract<Status, { _tag: "Starting" }>
  if (ignored) childIgnored(step, child, askedBy === undefined ? state.phase._tag === "Booting" : added ? true : "asked for again")
  else {
    child.acknowledged = true
    setStatus(state, child, running)
  }
  if (askedBy !== undefined) reply(step, askedBy, ignored ? Reply.Ignored() : Reply.Done({ generation: child.generation }))
  goOn(step, child)
}

const childIgnored = (step: Step, child: ChildState, isNew: boolean | "asked for again"): void => {
  const { state } = step
  const kept = state.dynamic
    ? !isNew && state.semantics.ignoredInstance === "keep"
    : child.facts.restart !== "temporary" || isNew === "asked for again"
  skip(state, child)
  setDown(state, child, "ignored")
  if (!kept || state.ghost !== undefined) forget(step, child)
  else if (state.dynamic) state.ghost = child
  answer(step, child)
  if (!isNew && child.facts.significant && state.semantics.autoShutdown === "every change") {
    state.significantEnded = true
    if (autoShutdownIsDue(state)) beginStop(step, { _tag: "AutoShutdown", child: child.id })
  }
}

/** Moves the recovery on, so that it does not start the child once more. */
const skip = (state: SupervisorState, child: ChildState): void => {
  const recovery = recoveryOf(state, child)
  if (recovery?.stage === "starting" && recovery.cursor === child) recovery.cursor = nextVictim(state, child)
}

const childStartFailed = (step: Step, child: ChildState, reason: ExitReason, incident: string): void => {
  const { state } = step
  const { added, askedBy } = child.status as Extract<Status, { _tag: "Starting" }>
  if (askedBy !== undefined) {
    setDown(state, child, "start failed")
    if (added || state.dynamic) forget(step, child)
    reply(step, askedBy, Reply.StartFailed({ reason }))
    answer(step, child)
    return goOn(step, child)
  }
  if (state.phase._tag === "Booting") {
    setDown(state, child, "start failed")
    return beginStop(step, { _tag: "StartFailed", child: child.id, reason })
  }
  if (state.phase._tag === "Stopping") {
    settleDown(step, child, "supervisor stopping")
    return stopNext(step)
  }
  setStatus(state, child, { _tag: "Waiting", reason, incident })
  if (state.semantics.delay === "policy") return callForRestart(step, child, reason, incident)
  leaveToRetry(step, child)
}

/** The next attempt waits behind whatever is waiting already. */
const leaveToRetry = (step: Step, child: ChildState): void => {
  const { state } = step
  const recovery = recoveryOf(state, child)
  Mailbox.post(state.mailbox, { _tag: "Retry", id: child.id }, state.dynamic ? child : undefined) // OTP names a static child by its id
  if (recovery === undefined) return
  if (state.semantics.heal) {
    recovery.stage = "delaying"
    recovery.due = undefined
    return
  }
  for (let other = nextVictim(state, child); other !== undefined; other = nextVictim(state, other)) {
    if (other.status._tag === "Waiting") setDown(state, other, "stranded")
  }
  endRecovery(step, recovery)
}

/** What a change of this child's status lets happen next. */
const goOn = (step: Step, child: ChildState): void => {
  const { state } = step
  switch (state.phase._tag) {
    case "Booting":
      return boot(step)
    case "Stopping":
      return stopNext(step)
    case "Running": {
      const recovery = recoveryOf(state, child)
      return recovery === undefined ? undefined : advance(step, recovery)
    }
  }
}

// ── exits ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const childExited = (step: Step, child: ChildState, reason: ExitReason, incident: string): void => {
  const { state } = step
  child.ended = false
  if (state.phase._tag === "Stopping") {
    settleDown(step, child, "supervisor stopping")
    return stopNext(step)
  }
  if (decide(state, child, reason) === "leave") return leave(step, child, reason)
  setStatus(state, child, { _tag: "Waiting", reason, incident })
  callForRestart(step, child, reason, incident)
}

const failChild = (step: Step, { generation, id, incident, reason }: Extract<Event, { _tag: "FailChild" }>): void => {
  const { state } = step
  const child = state.children.get(id)
  if (generation !== undefined && child?.generation !== generation) return
  if (child?.status._tag !== "Running" || child.ended || state.phase._tag === "Stopping") return
  if (decide(state, child, reason) === "leave") return void stop(step, child, { _tag: "Leave", reason })
  child.exit = { reason, incident }
  stop(step, child, { _tag: "Recover" })
  callForRestart(step, child, reason, incident)
}

const decide = (state: SupervisorState, child: ChildState, reason: ExitReason): "restart" | "leave" =>
  RestartType.decide(child.facts.restart, reason, state.semantics.giveUp)

/** Decides at once, or with the exits that are pending beside this one. */
const callForRestart = (step: Step, child: ChildState, reason: ExitReason, incident: string): void => {
  const { out, state } = step
  if (state.strategy === "one_for_one" || !state.semantics.coalesce) return recover(step, child, reason, incident)
  if (state.recovery?.stage === "stopping" && isVictim(state, state.recovery, child)) return advance(step, state.recovery)
  if (state.gathering.size === 0) out.push({ _tag: "Settle" })
  state.gathering.add(child)
  child.exit = { reason, incident }
}

const settled = (step: Step): void => {
  const { state } = step
  let origin: ChildState | undefined
  for (const child of state.gathering) {
    if (state.children.get(child.id) !== child || !isGoingDown(child)) continue
    if (origin === undefined || child.position < origin.position) origin = child
  }
  state.gathering.clear()
  if (state.phase._tag !== "Running") return
  if (origin === undefined) return state.recovery === undefined ? serveLater(state) : advance(step, state.recovery)
  recover(step, origin, origin.exit!.reason, origin.exit!.incident)
}

const isGoingDown = ({ status }: ChildState): boolean =>
  status._tag === "Waiting" || (status._tag === "Stopping" && status.then._tag === "Recover")

const leave = (step: Step, child: ChildState, reason: ExitReason): void => {
  const { out, state } = step
  out.push({ _tag: "Tell", decision: { _tag: "Leave", child: child.id, generation: child.generation, reason } })
  settleDown(step, child, "finished")
  if (child.facts.significant) {
    state.significantEnded = true
    if (autoShutdownIsDue(state)) return beginStop(step, { _tag: "AutoShutdown", child: child.id })
  }
  goOn(step, child)
}

const autoShutdownIsDue = ({ autoShutdown, significantLeft }: SupervisorState): boolean =>
  autoShutdown === "any" || (autoShutdown === "all" && significantLeft === 0)

// ── recovery ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const recover = (step: Step, child: ChildState, reason: ExitReason, ownIncident: string): void => {
  const { now, out, state } = step
  const { generation } = child
  const before = recoveryOf(state, child)
  const incident = before?.incident ?? ownIncident
  child.restarts++
  const verdict = Intensity.decide(state.window, now)
  if (!verdict.allowed) {
    return beginStop(step, { _tag: "GaveUp", child: child.id, generation, stage: stageOf(child), reason, refusal: undefined, incident })
  }
  const isGroup = state.strategy !== "one_for_one"
  const immediate = state.semantics.delay === "none"
  const recovery: Recovery = {
    key: isGroup ? "" : child.id,
    incident,
    decidedAt: now,
    origin: child,
    from: firstVictim(state, before, child),
    ask: immediate ? 0 : ++state.lastAsk,
    stage: "stopping",
    due: immediate ? now : undefined,
    cursor: isGroup ? state.order.last : child
  }
  if (before === undefined) state.recoveries++
  else {
    cancelStart(step, before)
    if (!isPending(state, before)) state.asks.delete(before.ask)
  }
  if (isGroup) state.recovery = recovery
  else child.recovery = recovery
  const victims = isGroup ? victimsOf(state, recovery) : nobody
  const decision = { child: child.id, generation, stage: stageOf(child), reason, budgetLeft: verdict.left, victims, incident }
  if (immediate) {
    out.push({ _tag: "Tell", decision: { _tag: "Restart", ...decision, delayMillis: 0 } })
  } else {
    state.asks.set(recovery.ask, { recovery, decision, told: false })
    out.push({ _tag: "AskDelay", ask: recovery.ask, key: recovery.key, id: child.id, reason })
  }
  advance(step, recovery)
}

const nobody: ReadonlyArray<string> = []

const stageOf = ({ acknowledged }: ChildState): Stage => acknowledged ? "running" : "starting"

/** Its delay is still being asked for, and will be told. */
const isPending = (state: SupervisorState, recovery: Recovery): boolean => state.asks.get(recovery.ask)?.told === false

const victimsOf = (state: SupervisorState, recovery: Recovery): ReadonlyArray<string> => {
  const victims: Array<string> = []
  const first = firstOf(state, recovery)
  for (let child: ChildState | undefined = first; child !== undefined; child = child.after) {
    if (child !== recovery.origin && isUp(child) && !child.ended) victims.push(child.id)
  }
  return victims
}

/** Where a recovery begins that replaces another: victims that are up again already are touched no more, and one that was deleted is none. */
const firstVictim = (state: SupervisorState, before: Recovery | undefined, child: ChildState): ChildState => {
  if (before === undefined) return child
  const first = before.stage === "starting" ? before.cursor ?? child : before.from
  return state.children.get(first.id) === first && first.position < child.position ? first : child
}

const delayKnown = (step: Step, ask: number, delayMillis: number): void => {
  const { now, out, state } = step
  const asked = state.asks.get(ask)
  if (asked === undefined || asked.told || state.phase._tag !== "Running") return
  const { decision, recovery } = asked
  out.push({ _tag: "Tell", decision: { _tag: "Restart", ...decision, delayMillis } })
  asked.told = true
  if (!isCurrent(state, recovery)) return void state.asks.delete(ask)
  recovery.due = recovery.decidedAt + delayMillis
  if (recovery.due > now) {
    out.push({ _tag: "StartAt", ask, key: recovery.key, at: recovery.due })
    return
  }
  state.asks.delete(ask)
  advance(step, recovery)
}

const delayRefused = (step: Step, ask: number, error: unknown): void => {
  const asked = step.state.asks.get(ask)
  if (asked === undefined) return
  step.state.asks.delete(ask)
  const { child, generation, incident, reason, stage } = asked.decision
  beginStop(step, { _tag: "GaveUp", child, generation, stage, reason, refusal: { error }, incident })
}

const due = (step: Step, ask: number): void => {
  const asked = step.state.asks.get(ask)
  step.state.asks.delete(ask)
  if (asked === undefined || !isCurrent(step.state, asked.recovery)) return
  asked.recovery.due = step.now // the timer decides: a clock of whole milliseconds may still read one less
  advance(step, asked.recovery)
}

/** Does the next thing that a recovery can do now, or nothing while it waits for a child or for its delay. */
const advance = (step: Step, recovery: Recovery): void => {
  const { now, out, state } = step
  if (state.phase._tag !== "Running" || !isCurrent(state, recovery) || state.gathering.size > 0) return
  if (recovery.stage === "stopping" && !stopVictims(step, recovery)) return
  if (recovery.stage === "stopping") recovery.stage = "delaying"
  if (recovery.stage === "delaying") {
    if (recovery.due === undefined || now < recovery.due) return
    recovery.stage = "starting"
    recovery.cursor = firstOf(state, recovery)
  }
  while (recovery.cursor !== undefined) {
    const child = recovery.cursor
    if (isBusy(child.status)) return
    if (mustStart(state, child)) return start(step, child, undefined)
    recovery.cursor = nextVictim(state, child)
  }
  endRecovery(step, recovery)
  const { generation, id, status } = recovery.origin
  if (status._tag !== "Running") return
  const tookMillis = now - recovery.decidedAt
  out.push({ _tag: "Tell", decision: { _tag: "Recover", child: id, generation, tookMillis, incident: recovery.incident } })
}

/** Stops one victim after the other, the last first; true when all are down. */
const stopVictims = (step: Step, recovery: Recovery): boolean => {
  const { state } = step
  if (recovery.origin.status._tag === "Stopping") return false // a child that is being failed goes first
  while (recovery.cursor !== undefined && isVictim(state, recovery, recovery.cursor)) {
    const child = recovery.cursor
    if (child.status._tag === "Stopping") return false
    if (isUp(child) && !stop(step, child, { _tag: "Recover" })) return false
    if (child.status._tag === "Down" && child.facts.restart === "temporary" && state.semantics.revive) forget(step, child)
    if (recovery.cursor === child) recovery.cursor = state.strategy === "one_for_one" ? undefined : child.before
  }
  return true
}

const mustStart = ({ semantics }: SupervisorState, { status }: ChildState): boolean =>
  status._tag === "Waiting" || (status._tag === "Down" && (semantics.revive || status.why === "stranded"))

const isVictim = (state: SupervisorState, recovery: Recovery, child: ChildState): boolean => {
  switch (state.strategy) {
    case "one_for_one":
      return child === recovery.origin
    case "one_for_all":
      return true
    case "rest_for_one":
      return child.position >= recovery.from.position
  }
}

const firstOf = (state: SupervisorState, recovery: Recovery): ChildState | undefined => {
  if (state.strategy === "one_for_all") return state.order.first
  return state.children.get(recovery.from.id) === recovery.from ? recovery.from : undefined
}

const nextVictim = (state: SupervisorState, child: ChildState): ChildState | undefined =>
  state.strategy === "one_for_one" ? undefined : child.after

const recoveryOf = (state: SupervisorState, child: ChildState): Recovery | undefined =>
  state.strategy === "one_for_one" ? child.recovery : state.recovery

/** The incident that has this child ended or started again; `undefined`: none that is known yet. */
export const incidentOf = (state: SupervisorState, child: ChildState): string | undefined => {
  const recovery = recoveryOf(state, child)
  return recovery !== undefined && isVictim(state, recovery, child) ? recovery.incident : child.exit?.incident
}

const isCurrent = (state: SupervisorState, recovery: Recovery): boolean =>
  state.recovery === recovery || recovery.origin.recovery === recovery

const endRecovery = (step: Step, recovery: Recovery): void => {
  const { state } = step
  cancelStart(step, recovery)
  if (state.recovery === recovery) state.recovery = undefined
  else recovery.origin.recovery = undefined
  if (!isPending(state, recovery)) state.asks.delete(recovery.ask)
  if (--state.recoveries === 0) serveLater(state)
}

/** Nobody needs the timer of its delay any more. */
const cancelStart = ({ now, out }: Step, { due, key }: Recovery): void => {
  if (due !== undefined && due > now) out.push({ _tag: "CancelStart", key })
}

/** Whoever waited for the group to be whole has his turn. */
const serveLater = ({ afterRecovery, mailbox }: SupervisorState): void => {
  for (const event of afterRecovery.splice(0)) Mailbox.post(mailbox, event)
}

// ── stopping ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Begins to stop a child that is up; true when it turned out to have ended already. */
const stop = (step: Step, child: ChildState, then: Then): boolean => {
  const { out, state } = step
  if (child.status._tag === "Starting" && child.status.askedBy !== undefined) {
    reply(step, child.status.askedBy, Reply.StartFailed({ reason: ExitReason.Shutdown({ why: "stopped while starting" }) }))
  }
  setStatus(state, child, { _tag: "Stopping", then })
  if (child.ended) {
    settleStop(step, child, then)
    return true
  }
  out.push({ _tag: "Stop", id: child.id, generation: child.generation })
  return false
}

const childStopped = (step: Step, child: ChildState): void => {
  const { then } = child.status as Extract<Status, { _tag: "Stopping" }>
  if (then._tag === "Leave" && step.state.phase._tag === "Running") return leave(step, child, then.reason)
  settleStop(step, child, then)
  if (then._tag === "StayDown") changed(step, child)
  goOn(step, child)
}

/** Where a child ends up that was stopped. */
const settleStop = (step: Step, child: ChildState, then: Then): void => {
  const { state } = step
  child.ended = false
  if (state.phase._tag === "Stopping") return settleDown(step, child, "supervisor stopping")
  if (then._tag !== "Recover" || child.facts.restart === "temporary") return settleDown(step, child, "terminated")
  const { incident, reason } = child.exit ?? { reason: siblingEnded, incident: recoveryOf(state, child)?.incident ?? "" }
  setStatus(state, child, { _tag: "Waiting", reason, incident })
}

const siblingEnded = ExitReason.Shutdown({ why: "a sibling ended" })

/** A significant child is down that did not end by itself: nobody may be left whose end could still be waited for. */
const changed = (step: Step, child: ChildState): void => {
  const { state } = step
  if (!child.facts.significant || state.semantics.autoShutdown !== "every change" || state.autoShutdown !== "all") return
  if (state.significantEnded && state.significantLeft === 0) beginStop(step, { _tag: "AutoShutdown", child: child.id })
}

const beginStop = (step: Step, outcome: Outcome): void => {
  const { out, state } = step
  if (state.phase._tag === "Stopping" || state.phase._tag === "Ended") return
  state.phase = { _tag: "Stopping", outcome }
  state.recovery = undefined
  state.asks.clear()
  if (outcome._tag === "GaveUp") {
    const { child, generation, incident, reason, refusal, stage } = outcome
    const refusedBy = refusal === undefined ? "intensity" : "delay"
    out.push({ _tag: "Tell", decision: { _tag: "GiveUp", child, generation, stage, reason, refusedBy, incident } })
  } else if (outcome._tag !== "StartFailed") {
    const why = outcome._tag === "Shutdown" ? outcome.why : `the significant child ${outcome.child} ended`
    out.push({ _tag: "Tell", decision: { _tag: "Terminate", why } })
  }
  if (state.ghost !== undefined) return collapse(step, { _tag: "Crashed", child: state.ghost.id })
  state.cursor = undefined
  for (let child = state.order.first; child !== undefined; child = child.after) {
    if (child.status._tag === "Waiting") settleDown(step, child, "supervisor stopping")
  }
  state.cursor = state.order.last
  stopNext(step)
}

const stopNext = (step: Step): void => {
  const { state } = step
  while (state.cursor !== undefined) {
    const child = state.cursor
    if (child.status._tag === "Stopping" && !state.dynamic) return
    if (isUp(child) && !stop(step, child, { _tag: "StayDown" }) && !state.dynamic) return
    if (state.cursor === child) state.cursor = child.before
  }
  if (state.busy === 0) end(step)
}

/** Lets go of everything, without order and without waiting. */
const collapse = (step: Step, outcome: Outcome): void => {
  const { out, state } = step
  state.phase = { _tag: "Stopping", outcome }
  state.recovery = undefined
  state.asks.clear()
  for (let child = state.order.last; child !== undefined; child = child.before) {
    if (isUp(child) || child.status._tag === "Stopping") out.push({ _tag: "Kill", id: child.id, generation: child.generation })
    if (child.status._tag === "Starting" && child.status.askedBy !== undefined) reply(step, child.status.askedBy, Reply.Stopping())
    for (const token of child.waiters.splice(0)) reply(step, token, Reply.Stopping())
    settleDown(step, child, "supervisor stopping")
  }
  end(step)
}

const end = (step: Step): void => {
  const { out, state } = step
  if (state.phase._tag !== "Stopping") return
  const { outcome } = state.phase
  state.phase = { _tag: "Ended", outcome }
  serveLater(state)
  while (!Mailbox.isEmpty(state.mailbox)) refuse(step, Mailbox.take(state.mailbox).event)
  out.push({ _tag: "End", outcome })
}

// ── administration ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const startChild = (step: Step, facts: ChildFacts, token: number): void => {
  const { state } = step
  if (state.phase._tag === "Stopping") return reply(step, token, Reply.Stopping())
  if (facts.significant && (state.autoShutdown === "never" || facts.restart === "permanent")) return reply(step, token, Reply.Invalid())
  const present = state.children.get(facts.id)
  if (present !== undefined) return reply(step, token, Reply.Present({ status: present.status._tag }))
  if (state.children.size >= state.maxChildren) return reply(step, token, Reply.MaxChildren({ maxChildren: state.maxChildren }))
  if (state.recovery !== undefined) return void state.afterRecovery.push({ _tag: "StartChild", child: facts, token })
  const child = makeChild(facts)
  state.children.set(child.id, child)
  ChildOrder.append(state.order, child)
  start(step, child, token, true)
}

const restartChild = (step: Step, id: string, token: number): void => {
  const { state } = step
  if (state.phase._tag === "Stopping") return reply(step, token, Reply.Stopping())
  const child = state.children.get(id)
  if (child === undefined || child === state.ghost) return reply(step, token, Reply.NotFound())
  const { status } = child
  if (status._tag !== "Down") return reply(step, token, Reply.Present({ status: status._tag }))
  if (state.phase._tag === "Booting" && status.why === "not started") return reply(step, token, Reply.Present({ status: "Starting" }))
  if (state.recovery !== undefined) return void state.afterRecovery.push({ _tag: "RestartChild", id, token })
  start(step, child, token)
}

const terminateChild = (step: Step, id: string, token: number): void => {
  const { out, state } = step
  const child = state.children.get(id)
  if (child === undefined && state.ghost !== undefined) forget(step, state.ghost)
  if (child === undefined) return reply(step, token, Reply.NotFound())
  child.waiters.push(token)
  const { status } = child
  if (status._tag === "Down") return settleDown(step, child, "terminated") // a boot, a retry or a healing passes it by
  if (state.phase._tag === "Stopping") return // its turn comes, in reverse start order
  const told = status._tag === "Stopping" && status.then._tag !== "Recover"
  if (!told) out.push({ _tag: "Tell", decision: { _tag: "TerminateChild", child: id, generation: child.generation } })
  if (status._tag === "Stopping") return setStatus(state, child, { _tag: "Stopping", then: { _tag: "StayDown" } })
  if (status._tag === "Waiting") {
    const recovery = recoveryOf(state, child)
    if (recovery?.origin === child && state.semantics.delay === "none") recovery.due = step.now // its retry will find nobody
    settleDown(step, child, "terminated")
  } else if (!stop(step, child, { _tag: "StayDown" })) return
  changed(step, child)
  goOn(step, child)
}

const deleteChild = (step: Step, id: string, token: number): void => {
  const { state } = step
  const child = state.children.get(id)
  if (child === undefined || child === state.ghost) return reply(step, token, Reply.NotFound())
  if (child.status._tag !== "Down") return reply(step, token, Reply.Present({ status: child.status._tag }))
  forget(step, child)
  reply(step, token, Reply.Done({ generation: child.generation }))
  goOn(step, child)
}

/** OTP's code change: pids, running children and the restarts counted so far stay; new children are not started. */
const change = (step: Step, change: Change, token: number): void => {
  const { state } = step
  if (state.phase._tag === "Stopping") return reply(step, token, Reply.Stopping())
  if ((state.recoveries > 0 || state.gathering.size > 0) && change.strategy !== state.strategy) {
    return void state.afterRecovery.push({ _tag: "Change", change, token }) // a recovery keeps the strategy that it began with
  }
  state.strategy = change.strategy
  state.autoShutdown = change.autoShutdown
  state.maxChildren = change.maxChildren
  state.window.limit = change.limit
  if (change.template === undefined) changeChildren(step, change.children)
  else {
    const listed = new Map(change.children.map((facts) => [facts.id, facts]))
    for (const child of state.children.values()) respecify(state, child, listed.get(child.id) ?? change.template(child.id))
  }
  reply(step, token, Reply.Done({ generation: 0 }))
}

/** The listed ones in their order, then those that are listed no more in the order they had. */
const changeChildren = ({ state }: Step, listed: ReadonlyArray<ChildFacts>): void => {
  const before = [...state.children.values()]
  const children = listed.map((facts) => {
    const child = state.children.get(facts.id)
    if (child === undefined) {
      const added = makeChild(facts)
      state.moved?.add(added)
      return added
    }
    respecify(state, child, facts)
    return child
  })
  const ids = new Set(listed.map(({ id }) => id))
  children.push(...before.filter(({ id }) => !ids.has(id)).toSorted((a, b) => a.position - b.position))
  state.children.clear()
  state.order.first = undefined
  state.order.last = undefined
  for (const child of children) {
    state.children.set(child.id, child)
    ChildOrder.append(state.order, child)
  }
  if (state.recovery !== undefined) walkAnew(state, state.recovery)
}

/** The order has changed under a recovery of the group: who is down because of it is a victim, wherever it stands now. */
const walkAnew = (state: SupervisorState, recovery: Recovery): void => {
  let from = state.order.first
  while (from !== undefined && from !== recovery.from && !isGoingDown(from)) from = from.after
  if (from !== undefined) recovery.from = from
  recovery.cursor = recovery.stage === "stopping" ? state.order.last : firstOf(state, recovery)
}

const respecify = (state: SupervisorState, child: ChildState, facts: ChildFacts): void => {
  const { status } = child
  if (status._tag !== "Down") state.significantLeft += (facts.significant ? 1 : 0) - (child.facts.significant ? 1 : 0)
  child.facts = facts
}
