/**
 * Why a child is not running: one chain of reasons, from the child to what set it off.
 *
 * **When to use**
 *
 * `handle.why(path)`, when something is down and a person or an alert asks for the cause. For everything at once there is `tree`.
 *
 * **Details**
 *
 * The first link is about the child itself. `ParentDown`, `Victim` and `Queued` say that another is to blame, and the next link is about
 * that one; every other link is the end of the chain.
 *
 * ```text
 *  app/cache/index   ParentDown   its supervisor app/cache is not running
 *  app/cache         Victim       it was taken down by the restart of app/db
 *  app/db            Exited       disk full; it is started again at 12 000
 * ```
 *
 * **Gotchas**
 *
 * A supervisor that is down knows no keys of its dynamic children: any key below it is `ParentDown`.
 *
 * **Example** (What to tell the operator)
 *
 * ```ts
 * import { Supervisor, Why } from "@snakepit/core"
 * import { Effect } from "effect"
 *
 * declare const running: Supervisor.Running<never>
 *
 * const message = Effect.map(running.why("app/cache/index"), (why) => why === undefined ? "it is running" : Why.render(why))
 * ```
 *
 * @see {@link ./GiveUpAt.ts} for how long it can go on.
 */
import * as Data from "effect/Data"
import { describe, type ExitReason } from "./ExitReason.ts"
import * as Mailbox from "./internal/Mailbox.ts"
import * as Plan from "./internal/plan.ts"
import type { ChildFacts, ChildState, DownReason, Event, Outcome, Recovery, SupervisorState } from "./SupervisorState.ts"

interface About {
  /** The child or supervisor that this link is about. */
  readonly path: string
}

/** One link of the chain. Times are milliseconds of the supervisor's clock. */
export type Link = Data.TaggedEnum<{
  /** Its supervisor is not running. */
  ParentDown: About
  /** The restart of a sibling took it down; it comes up with that one. */
  Victim: About
  /** Children start one after the other, and its turn has not come. */
  Queued: About
  /** Its start has begun and has not acknowledged. */
  Starting: About
  /** It ended and is started again, at `until`; before that is known its victims stop, or its delay is asked for. */
  Exited: About & { readonly reason: ExitReason; readonly incident: string; readonly until: number | undefined }
  /** It is up again, and brings its victims up. */
  Recovering: About & { readonly incident: string }
  /** It is being stopped, because it was asked for or because it was failed and is not restarted. */
  Stopping: About & { readonly reason: ExitReason | undefined }
  /** It stays down until somebody starts it. */
  Down: About & { readonly because: Exclude<DownReason, "supervisor stopping"> }
  /** The supervisor at `path` stops, or has ended. */
  SupervisorEnded: About & { readonly outcome: Outcome }
}>
export const Link = Data.taggedEnum<Link>()

/** At least one link. */
export type Why = readonly [Link, ...ReadonlyArray<Link>]

/** A supervisor that is up, as it is looked into. */
export interface Node {
  readonly path: string
  readonly state: SupervisorState
  /** The child's own supervision, when it is a supervisor that is up. */
  readonly node: (id: string) => Node | undefined
}

/** Why what stands at `path` is not running: `"running"` when it is, `"unknown"` when there is nothing of that path. */
export const of = (node: Node, path: string): Why | "running" | "unknown" => {
  if (path === node.path) return ofSupervisor(node)
  const child = childAt(node, path)
  if (child === undefined) return "unknown"
  const at = `${node.path}/${child.id}`
  if (at === path) return ofChild(node, child)
  const below = node.node(child.id)
  if (below !== undefined) return of(below, path)
  if (!isDeclared(child.facts, at, path)) return "unknown"
  const above = ofChild(node, child)
  return above === "running" ? "running" : [Link.ParentDown({ path }), ...above]
}

const childAt = ({ path: above, state }: Node, path: string): ChildState | undefined => {
  for (const child of state.children.values()) {
    const at = `${above}/${child.id}`
    if (at === path || path.startsWith(`${at}/`)) return child
  }
  return undefined
}

const isDeclared = (child: ChildFacts, at: string, path: string): boolean => {
  if (at === path) return true
  const spec = Plan.specOf(child)
  if (spec === undefined || !path.startsWith(`${at}/`)) return false
  return spec.template !== undefined || spec.children.some((below) => isDeclared(below, `${at}/${below.id}`, path))
}

const ofSupervisor = ({ path, state }: Node): Why | "running" => {
  const { phase } = state
  switch (phase._tag) {
    case "Running":
      return "running"
    case "Booting":
      return [Link.Starting({ path })]
    case "Stopping":
    case "Ended":
      return [Link.SupervisorEnded({ path, outcome: phase.outcome })]
  }
}

const ofChild = (node: Node, child: ChildState): Why | "running" => {
  const { state } = node
  const { status } = child
  const path = `${node.path}/${child.id}`
  switch (status._tag) {
    case "Running": {
      const news = child.ended ? newsOf(state, child) : undefined
      if (news?._tag !== "ChildExited") return "running"
      return [Link.Exited({ path, reason: news.reason, incident: news.incident, until: undefined })]
    }
    case "Starting":
      return [Link.Starting({ path })]
    case "Waiting":
      return ofRestart(node, child, status)
    case "Stopping": {
      if (state.phase._tag === "Stopping") return [Link.SupervisorEnded({ path: node.path, outcome: state.phase.outcome })]
      if (status.then._tag === "Recover") return ofRestart(node, child, child.exit)
      return [Link.Stopping({ path, reason: status.then._tag === "Leave" ? status.then.reason : undefined })]
    }
    case "Down":
      return ofDown(node, child, status.why)
  }
}

/** Its own exit, or that of the sibling whose restart takes it along. */
const ofRestart = (node: Node, child: ChildState, own: { readonly reason: ExitReason; readonly incident: string } | undefined): Why => {
  const path = `${node.path}/${child.id}`
  const recovery = child.recovery ?? node.state.recovery
  if (recovery === undefined || recovery.origin === child || node.state.gathering.has(child)) {
    if (own === undefined) return [Link.Stopping({ path, reason: undefined })]
    return [Link.Exited({ path, ...own, until: recovery?.origin === child ? recovery.due : undefined })]
  }
  return [Link.Victim({ path }), ...ofOrigin(node, recovery)]
}

const ofOrigin = (node: Node, { incident, origin }: Recovery): Why => {
  const why = ofChild(node, origin)
  return why === "running" ? [Link.Recovering({ path: `${node.path}/${origin.id}`, incident })] : why
}

const ofDown = (node: Node, child: ChildState, because: DownReason): Why => {
  const { cursor, phase } = node.state
  const path = `${node.path}/${child.id}`
  if (because === "supervisor stopping") {
    const { outcome } = phase as Extract<SupervisorState["phase"], { readonly outcome: Outcome }>
    return [Link.SupervisorEnded({ path: node.path, outcome })]
  }
  if (because === "not started" && phase._tag === "Booting" && cursor !== undefined && cursor !== child) {
    const before = ofChild(node, cursor)
    if (before !== "running") return [Link.Queued({ path }), ...before]
  }
  return [Link.Down({ path, because })]
}

const newsOf = ({ mailbox }: SupervisorState, child: ChildState): Event | undefined =>
  Mailbox.waiting(mailbox).find(({ about, event }) => about === child && event._tag === "ChildExited")?.event

/** How a supervisor ended, for people. */
export const describeOutcome = (outcome: Outcome): string => {
  switch (outcome._tag) {
    case "Shutdown":
      return `it was shut down: ${outcome.why}`
    case "AutoShutdown":
      return `its significant child ${outcome.child} ended`
    case "StartFailed":
      return `its child ${outcome.child} did not start: ${describe(outcome.reason)}`
    case "GaveUp":
      return `it gave up over ${outcome.child}: ${describe(outcome.reason)}`
    case "Crashed":
      return `it crashed: its child ${outcome.child} had ignored a restart and could not be stopped`
  }
}

/** The chain for people, a link a line. */
export const render = (why: Why): string => why.map((link) => `${link.path}: ${describeLink(link)}`).join("\n")

const describeLink = (link: Link): string => {
  switch (link._tag) {
    case "ParentDown":
      return "its supervisor is not running"
    case "Victim":
      return "it is restarted along with a sibling"
    case "Queued":
      return "it starts after a sibling that is not up yet"
    case "Starting":
      return "its start has not been acknowledged yet"
    case "Exited":
      return `${describe(link.reason)}; it is started again ${link.until === undefined ? "after its delay" : `at ${link.until}`}`
    case "Recovering":
      return "it is up again, and its siblings come up after it"
    case "Stopping":
      return `it is being stopped (${link.reason === undefined ? "as asked for" : describe(link.reason)})`
    case "Down":
      return downText[link.because]
    case "SupervisorEnded":
      return `the supervisor stops or has ended: ${describeOutcome(link.outcome)}`
  }
}

const downText: Readonly<Record<Exclude<DownReason, "supervisor stopping">, string>> = {
  "not started": "it was never started; start it with restartChild",
  finished: "it ended for good, as its restart type allows",
  ignored: "its start had nothing to do",
  terminated: "an operator stopped it; start it with restartChild",
  "start failed": "the start that was asked for failed; start it with restartChild",
  stranded: "a sibling's restart took it down and was called off; start it with restartChild"
}
