/**
 * The decisions of a recorded run, made again: each supervisor's machine, the one that it runs by, is told what it heard then, and when.
 *
 * **Details**
 *
 * Told are the things that a supervisor does not decide: how and when its children started, ended and stopped, what its delay schedule answered,
 * when its timers fired, what was asked of it. All else follows, in the same order: who is a victim, what the budget holds, whether it gives up.
 * A decision is the same when everything is that `Decision.whatOf` names.
 *
 * A supervisor whose beginning the history has dropped is taken to have had all of its children up, and as much of its budget as its first
 * decision says. Where it decides otherwise then, that may be why: `unknown`.
 */
import { type Contract, Heard, Semantics, SupervisorMachine, SupervisorState } from "@snakepit/core"
import * as Decision from "./Decision.ts"
import { contractAt } from "./Place.ts"

/** Why decisions cannot be made again. */
export type Missing =
  /** An earlier version recorded it. */
  | "what was heard is not in the record"
  | "the beginning is no longer in the record"
  /** It was dropped on its way into the history, or that does not keep all decisions. */
  | "a decision before is not in the record"
  /** A supervisor heard more between two decisions than is kept (`Heard`). */
  | "more was heard than is kept"

/** A decision that a replay lacks (`replayed` absent), has too many (`recorded` absent), or has otherwise; as `Decision.whatOf` says it. */
export interface Difference {
  readonly path: string
  readonly recorded: Decision.Decision | undefined
  readonly replayed: SupervisorState.Decision | undefined
}

/** One step of a machine. */
export interface Step {
  readonly seq: number
  /** The path of the supervisor, and its number in the tree. */
  readonly path: string
  readonly supervisor: number
  readonly input: Heard.Input
  readonly commands: ReadonlyArray<SupervisorState.Command>
}

/** What came of it. */
export interface Reproduction {
  readonly decisions: number
  readonly differences: ReadonlyArray<Difference>
  /** The ids of incidents in which something was decided otherwise. */
  readonly otherwise: ReadonlySet<string>
  /** Those of which that cannot be said. */
  readonly unknown: ReadonlyMap<string, Missing>
}

/** Makes the decisions again, which are in the order of their record. `watch` is told each step. */
export const of = (
  contract: Contract.Contract,
  decisions: ReadonlyArray<Decision.Decision>,
  watch: (step: Step) => void = () => {}
): Reproduction => {
  const supervisors = new Map<number, Supervisor>()
  const differences: Array<Difference> = []
  const otherwise = new Set<string>()
  const unknown = new Map<string, Missing>()
  const differ = (path: string, missing: Missing | undefined, { recorded, replayed }: Omit<Difference, "path">) => {
    const incidents = [recorded && Decision.incidentOf(recorded), replayed && "incident" in replayed ? replayed.incident : undefined]
    for (const incident of incidents) {
      if (incident === undefined) continue
      if (missing === undefined) otherwise.add(incident)
      else unknown.set(incident, missing)
    }
    if (missing === undefined) differences.push({ path, recorded, replayed })
  }
  const tooMany = ({ missing, path, told }: Supervisor) => {
    for (const replayed of told.splice(0)) differ(path, missing, { recorded: undefined, replayed })
  }
  const all = decisions.map((decision) => ({ decision, heard: Heard.read(decision.heard) }))
  for (const [index, { decision: recorded, heard }] of all.entries()) {
    const { path, seq } = recorded
    if (heard === undefined) {
      differ(path, "what was heard is not in the record", { recorded, replayed: undefined })
      continue
    }
    const made = heard.inputs[0]?.made
    const rest = () => all.slice(index).filter(({ heard: other }) => other?.supervisor === heard.supervisor)
    const supervisor = made === undefined
      ? supervisors.get(heard.supervisor) ?? takenUp(contract, path, rest())
      : { path, state: SupervisorState.make(made), told: [], next: 0, missing: undefined }
    supervisors.set(heard.supervisor, supervisor)
    if (heard.nth !== supervisor.next) supervisor.missing ??= "a decision before is not in the record"
    supervisor.next = heard.nth + 1
    if (heard.isCut) supervisor.missing = "more was heard than is kept"
    if (heard.inputs.length > 0) tooMany(supervisor)
    for (const input of heard.inputs) {
      const commands = SupervisorMachine.transition(supervisor.state, input.event, input.at)
      for (const command of commands) if (command._tag === "Tell") supervisor.told.push(command.decision)
      watch({ seq, path, supervisor: heard.supervisor, input, commands })
    }
    const replayed = supervisor.told.shift()
    if (replayed === undefined || Decision.whatOf(recorded) !== Decision.whatOfTold(replayed)) {
      differ(path, supervisor.missing, { recorded, replayed })
    }
  }
  for (const supervisor of supervisors.values()) tooMany(supervisor)
  for (const incident of otherwise) unknown.delete(incident)
  return { decisions: decisions.length, differences, otherwise, unknown }
}

/** One that ran. */
interface Supervisor {
  readonly path: string
  readonly state: SupervisorState.SupervisorState
  /** Decisions that are not compared yet. */
  readonly told: Array<SupervisorState.Decision>
  /** Which of its decisions is the next one. */
  next: number
  missing: Missing | undefined
}

/** One whose beginning is lost, as its first inputs that are left let it be taken to have been. */
const takenUp = (
  contract: Contract.Contract,
  path: string,
  rest: ReadonlyArray<{ readonly decision: Decision.Decision; readonly heard: Heard.Heard | undefined }>
): Supervisor => {
  const inputs = rest.flatMap(({ heard }) => heard?.inputs ?? [])
  const own = contractAt(contract, path)
  const promised = new Map(own?.children.map((child) => [child.id, child]))
  const template = own?.strategy === "dynamic" ? own.children[0] : undefined
  const first = new Map<string, Extract<SupervisorState.Event, { readonly generation?: number | undefined }>>()
  const added = new Set<string>()
  let lastAsk = 0
  for (const { event } of inputs) {
    if (event._tag === "StartChild" && !first.has(event.child.id)) added.add(event.child.id)
    if (event._tag === "DelayKnown" && lastAsk === 0) lastAsk = event.ask - 1
    if ("id" in event && "generation" in event && !first.has(event.id) && !added.has(event.id)) first.set(event.id, event)
  }
  const ids = template === undefined ? promised.keys() : first.keys()
  const facts = [...ids].map((id) => {
    const { restart = "permanent", significant = false } = promised.get(id) ?? template ?? {}
    return { id, restart, significant }
  })
  const state = SupervisorState.make({
    ...production,
    strategy: own === undefined || own.strategy === "dynamic" ? "one_for_one" : own.strategy,
    autoShutdown: own?.autoShutdown ?? "never",
    dynamic: template !== undefined,
    limit: own?.intensity ?? "unlimited",
    spent: own === undefined ? [] : spentBefore(own.intensity, rest.map(({ decision }) => decision), inputs[0]?.at ?? 0),
    children: facts
  })
  state.phase = { _tag: "Running" }
  state.lastAsk = lastAsk
  for (const child of state.children.values()) {
    const event = first.get(child.id)
    const isStarting = event?._tag === "ChildStarted" || event?._tag === "ChildIgnored" || event?._tag === "ChildStartFailed"
    child.generation = event?.generation ?? 0
    child.acknowledged = !isStarting
    child.status = isStarting ? { _tag: "Starting", askedBy: undefined, added: false } : { _tag: "Running" }
    if (isStarting) state.busy++
    if (child.facts.significant) state.significantLeft++
  }
  return { path, state, told: [], next: 0, missing: "the beginning is no longer in the record" }
}

/** Restarts that its first decision had already counted: when each was, is lost. */
const spentBefore = (
  limit: Contract.Contract["intensity"],
  decisions: ReadonlyArray<Decision.Decision>,
  at: number
): ReadonlyArray<number> => {
  const first = decisions.find(({ verb }) => verb === "restart" || verb === "give_up")
  if (limit === "unlimited" || first === undefined) return []
  const { maxRestarts } = limit
  const left = first.verb === "restart" ? first.budgetLeft ?? maxRestarts - 1 : -1
  return Array.from({ length: Math.max(0, maxRestarts - 1 - left) }, () => at)
}

const production = { semantics: Semantics.production, maxChildren: Number.POSITIVE_INFINITY }
