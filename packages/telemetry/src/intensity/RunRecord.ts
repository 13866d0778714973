/**
 * What the recorded events of one run say of its children: how each ended by itself, what its supervisor decided, and what came of that.
 *
 * **Details**
 *
 * An {@link End} is an input of the tree: a child that no supervisor made end. That a nested supervisor ended because it had given up, shut
 * itself down or was stopped by the one above follows from other ends, so it is none; what was decided of it then is kept apart, in
 * `consequences`. A {@link Recovery} is what a restart set off: what it waited, and how long the starts took until all were up.
 *
 * Not told by any event, and inferred: a child that somebody starts by hand (it ends though it was down), a start that was ignored (it
 * comes up no more, and yet the child ends later), restarts that a supervisor remembers of the run before (its first budgets are smaller by
 * them), and exits that were counted in the same instant in which their supervisor gave up over
 * another (its budget lacks them).
 */
import { Contract, type Event, type Intensity, type RestartMemory, type Simulation } from "@snakepit/core"
import * as Decision from "./Decision.ts"
import { above, childAt, contractAt } from "./Place.ts"

/** What a restart set off. Times are in Unix milliseconds. */
export interface Recovery {
  /** The path of the child whose end called for it. */
  readonly origin: string
  readonly decidedAt: number
  /** The number of the decision. */
  readonly decidedAs: number
  readonly delayMillis: number
  /** From the end of the delay until all were up; `undefined` when they never were. */
  startMillis: number | undefined
  recoveredAt: number | undefined
  /** The number of the decision that told so. */
  recoveredAs: number | undefined
  /** A further end in the group, or of the child itself, that called for another recovery before this one was over. */
  replacedBy: End | undefined
  /** The start was answered with `Child.ignore`. */
  ignored: boolean
}

/** A child ended by itself, or refused to start. */
export interface End {
  readonly seq: number
  readonly at: number
  /** The path of the child. */
  readonly path: string
  readonly stage: "starting" | "running"
  readonly how: Simulation.EndingHow
  readonly reason: string
  readonly decided: "restart" | "leave" | "give_up"
  /** Absent when the child was left. */
  readonly incident: string | undefined
  /** The delay schedule, and not the budget, refused the restart. */
  readonly refusedByDelay: boolean
  readonly recovery: Recovery | undefined
  /** The end whose recovery had started this life; absent for what was started by a boot or by hand. */
  readonly after: End | undefined
  /** When this life came up, or when its refused start was called, as far as is known. */
  readonly since: number | undefined
  /** Not recorded as such: the start of a whole supervisor was refused over it. */
  readonly inferred: boolean
}

/** A child that was up ends. */
export interface EndInput {
  readonly _tag: "End"
  readonly at: number
  readonly end: End
  /** Others of its supervisor that ended in the same instant, were counted, and are in no event: how many. */
  readonly unseen: number
  /** Others that ended before any supervisor heard of this one. */
  readonly together: Array<End>
}

/** What comes to the tree from outside, beside what {@link End}s are when they were up. */
export type Input =
  | EndInput
  | { readonly _tag: "TerminateChild" | "Stop"; readonly at: number; readonly path: string }
  | { readonly _tag: "Shutdown"; readonly at: number }

/** A supervisor that ended only some time after it had begun to: its children took that long to stop. */
export interface SlowStop {
  readonly path: string
  readonly at: number
  /** `Infinity` when the record ends before they had. */
  readonly millis: number
  /** Whose end it was over. */
  readonly over: string
  /** What set it off, when that is an input. */
  readonly by: EndInput | undefined
}

/** What was decided of a nested supervisor that had ended itself. */
export interface Consequence {
  readonly recovery: Recovery | undefined
  readonly refusedByDelay: boolean
}

/** A run, read. */
export interface RunRecord {
  readonly contract: Contract.Contract
  readonly startedAt: number
  readonly endedAt: number
  readonly ends: ReadonlyMap<string, ReadonlyArray<End>>
  readonly inputs: ReadonlyArray<Input>
  readonly slowStops: ReadonlyArray<SlowStop>
  /** By the path of the nested supervisor, in their order. */
  readonly consequences: ReadonlyMap<string, ReadonlyArray<Consequence>>
  readonly decisions: ReadonlyArray<Decision.Decision>
  /** Paths of children that the contract does not know: what they do cannot be replayed. */
  readonly strangers: ReadonlySet<string>
  /** What supervisors remembered of restarts before this run, in milliseconds from its start: a budget begins smaller by them. */
  readonly memory: RestartMemory.RestartMemory
  /** By the path of a supervisor, when all of its children were up. */
  readonly boots: ReadonlyMap<string, ReadonlyArray<Decision.Start>>
}

/** One recorded event, with its place in the record. */
export interface Numbered {
  readonly seq: number
  readonly event: Event.Event
}

/** Reads a run. `events` are in the order of their record; what no supervisor decided is passed over. */
export const of = (
  run: { readonly contract: Contract.Contract; readonly startedAt: number; readonly endedAt: number | undefined },
  events: ReadonlyArray<Numbered>
): RunRecord => {
  const decisions = events.flatMap(({ event, seq }) => Decision.of(event, seq) ?? [])
  const reader = new Reader(run.contract)
  for (const boot of forgotten(run, decisions)) reader.read(boot)
  for (const decision of decisions) reader.read(decision)
  return reader.result(run.startedAt, run.endedAt)
}

/** The boots of a run whose oldest events the history has dropped: of all supervisors that are mentioned without having come up, the lowest first. */
const forgotten = (
  { contract, startedAt }: { readonly contract: Contract.Contract; readonly startedAt: number },
  decisions: ReadonlyArray<Decision.Decision>
): ReadonlyArray<Decision.Start> => {
  const first = new Map<string, Decision.Decision["verb"]>()
  for (const { path, verb } of decisions) if (!first.has(path)) first.set(path, verb)
  if (decisions.length === 0) return []
  const at = Math.min(startedAt, decisions[0]!.at - 1) // before whatever is told
  const isWhole = decisions.some(({ path, verb }) => verb === "start" && path === contract.id)
  const known = isWhole ? [...first.keys()] : [
    ...first.keys(),
    ...Contract.flatten(contract).map(({ path }) => path).filter((path) => !path.includes(Contract.templateKey) && !first.has(path))
  ]
  return known.filter((path) => first.get(path) !== "start").toSorted((a, b) => b.split("/").length - a.split("/").length)
    .map((path) => ({ verb: "start", path, at, seq: -1 }))
}

const hows: { readonly [reason: string]: Simulation.EndingHow | undefined } = { Normal: "normal", Shutdown: "shutdown", Defect: "defect" }

class Reader {
  private readonly contract: Contract.Contract
  private readonly ends = new Map<string, Array<End>>()
  private readonly inputs: Array<Input> = []
  private readonly slowStops: Array<SlowStop> = []
  private readonly consequences = new Map<string, Array<Consequence>>()
  private readonly decisions: Array<Decision.Decision> = []
  private readonly strangers = new Set<string>()
  private readonly boots = new Map<string, Array<Decision.Start>>()
  /** By what is restarted together: a group's supervisor, or the child. */
  private readonly latest = new Map<string, { readonly recovery: Recovery; readonly end: End | undefined }>()
  /** Supervisors that are ending themselves, since when and over whom. */
  private readonly closing = new Map<string, Pick<SlowStop, "at" | "over" | "by">>()
  private readonly stopped = new Map<string, number>()
  /** Supervisors that are not up any more, and what brought them down; absent while they are up. */
  private readonly down = new Map<string, { readonly by: EndInput | undefined; readonly seq: number }>()
  /** The number of the decision that a supervisor told its latest boot with. */
  private readonly bootedAs = new Map<string, number>()
  private readonly terminated = new Set<string>()
  private readonly spent = new Map<string, Array<number>>()
  /** Of restarts before this run that count still: how many did at the last decision, and since when those count that do no more. */
  private readonly remembered = new Map<string, { alive: number; readonly expired: Array<number> }>()
  /** Whom a supervisor gave up over last. */
  private readonly offenders = new Map<string, End>()

  constructor(contract: Contract.Contract) {
    this.contract = contract
  }

  read(decision: Decision.Decision): void {
    this.decisions.push(decision)
    switch (decision.verb) {
      case "start":
        return this.booted(decision)
      case "recover":
        return this.recovered(decision)
      case "terminate":
        return this.terminate(decision)
      default:
        return this.ended(decision)
    }
  }

  result(startedAt: number, endedAt: number | undefined): RunRecord {
    const { boots, closing, consequences, contract, decisions, ends, inputs, slowStops, strangers } = this
    closing.delete(contract.id)
    for (const [path, closed] of closing) {
      if (this.hasBeenUpSince(above(path), closed.at)) slowStops.push({ ...closed, path, millis: Number.POSITIVE_INFINITY })
    }
    const last = decisions.at(-1)?.at ?? startedAt
    return {
      contract,
      startedAt: Math.min(startedAt, decisions[0]?.at ?? startedAt),
      endedAt: Math.max(endedAt ?? last, last),
      ends,
      inputs: this.inOneMoment(inputs),
      slowStops,
      consequences,
      decisions,
      strangers,
      memory: this.memoryFrom(Math.min(startedAt, decisions[0]?.at ?? startedAt)),
      boots
    }
  }

  private booted(boot: Decision.Start): void {
    const { path, seq } = boot
    this.add(this.boots, path, boot)
    this.bootedAs.set(path, seq)
    this.closing.delete(path)
    this.down.delete(path)
    this.spent.delete(path)
  }

  private wentDown(path: string): void {
    this.forget(path)
    const last = this.inputs.at(-1)
    const { at, seq } = this.decisions.at(-1)!
    this.down.set(path, { by: last?._tag === "End" && last.at === at ? last : undefined, seq })
  }

  /** Recoveries below a supervisor that ended are over. */
  private forget(path: string): void {
    for (const key of this.latest.keys()) if (key.startsWith(`${path}/`)) this.latest.delete(key)
    for (const below of this.closing.keys()) if (below.startsWith(`${path}/`)) this.closing.delete(below)
  }

  private keyOf(supervisor: string, path: string): string {
    return recoveryKey(this.contract, supervisor, path)
  }

  private recovered({ at, child, path, seq, tookMillis }: Decision.Recover): void {
    const { recovery } = this.latest.get(this.keyOf(path, `${path}/${child}`)) ?? {}
    if (recovery === undefined) return
    recovery.startMillis = Math.max(0, tookMillis - recovery.delayMillis)
    recovery.recoveredAt = at
    recovery.recoveredAs = seq
  }

  private terminate({ at, cause, child, path }: Decision.Terminate): void {
    if (child !== undefined) {
      this.terminated.add(`${path}/${child}`)
      this.inputs.push({ _tag: "TerminateChild", at, path: `${path}/${child}` })
      return
    }
    this.wentDown(path)
    const significant = /^the significant child (.*) ended$/s.exec(cause)?.[1]
    if (significant !== undefined) {
      this.closing.set(path, { at, over: `${path}/${significant}`, by: this.down.get(path)?.by })
    } else if (path === this.contract.id) {
      this.inputs.push({ _tag: "Shutdown", at })
    } else if (cause === "its parent stopped it") {
      this.stopped.set(path, at)
    } else {
      this.closing.set(path, { at, over: "", by: undefined })
      this.inputs.push({ _tag: "Stop", at, path })
    }
  }

  private ended(decision: Decision.Ended): void {
    const { at, path: supervisor, verb } = decision
    const path = `${supervisor}/${decision.child}`
    const key = this.keyOf(supervisor, path)
    const place = childAt(this.contract, path)
    if (place === undefined) this.strangers.add(path)
    const before = this.latest.get(key)
    const recovery: Recovery | undefined = verb === "restart"
      ? {
        origin: path,
        decidedAt: at,
        decidedAs: decision.seq,
        delayMillis: decision.delayMillis,
        startMillis: undefined,
        recoveredAt: undefined,
        recoveredAs: undefined,
        replacedBy: undefined,
        ignored: false
      }
      : undefined
    const closing = decision.stage === "running" ? this.closing.get(path) : undefined
    let end: End | undefined
    if (closing !== undefined) {
      this.closing.delete(path)
      this.add(this.consequences, path, { recovery, refusedByDelay: verb === "give_up" && decision.refusedBy === "delay" })
      if (at > closing.at && this.hasBeenUpSince(supervisor, closing.at)) {
        this.slowStops.push({ ...closing, path, millis: at - closing.at })
      }
    } else {
      end = this.endOf(decision, path, recovery, before)
      this.take(end, supervisor)
    }
    if (before !== undefined && before.recovery.recoveredAt === undefined) this.unfinished(before.recovery, decision, end, key, path)
    this.terminated.delete(path)
    if (verb === "restart") {
      this.latest.set(key, { recovery: recovery!, end })
      this.recall(supervisor, decision)
      this.add(this.spent, supervisor, at)
    } else if (verb === "give_up") {
      if (end !== undefined) this.offenders.set(supervisor, end)
      this.wentDown(supervisor)
      this.closing.set(supervisor, { at, over: path, by: this.down.get(supervisor)?.by })
    } else if (key === path) this.latest.delete(key)
  }

  private endOf(
    { at, child: _, path: __, ...decision }: Decision.Ended,
    path: string,
    recovery: Recovery | undefined,
    before: { readonly recovery: Recovery; readonly end: End | undefined } | undefined
  ): End {
    const { recovery: last } = before ?? {}
    const upSince = last?.origin === path ? last.recoveredAt : undefined
    const stoppedAt = decision.verb === "leave" ? this.stopped.get(path) : undefined // a supervisor that was failed by a monitor
    if (stoppedAt !== undefined && stoppedAt < at) {
      this.slowStops.push({ path, at: stoppedAt, millis: at - stoppedAt, over: "", by: undefined })
    }
    this.stopped.delete(path)
    return {
      seq: decision.seq,
      at: stoppedAt ?? at,
      path,
      stage: decision.stage,
      how: hows[decision.reason] ?? "failed",
      reason: decision.reason,
      decided: decision.verb,
      incident: decision.incident,
      refusedByDelay: decision.refusedBy === "delay",
      recovery,
      after: before?.end,
      since: decision.stage === "starting" ? last && last.decidedAt + last.delayMillis : upSince,
      inferred: false
    }
  }

  private take(end: End, supervisor: string): void {
    const { path } = end
    this.add(this.ends, path, end)
    if (end.stage === "running") {
      const first = this.down.has(supervisor) ? undefined : this.broughtDown(supervisor)
      if (first !== undefined && first.at === end.at) return void first.together.push(end)
      const unseen = end.decided === "give_up" ? this.unseen(supervisor, end) : 0
      this.inputs.push({ _tag: "End", at: end.at, end, unseen, together: [] })
      return
    }
    // a supervisor could not boot: whom it had given up over before is taken to have refused again, should it not give up this time
    const offender = this.offenders.get(path)
    if (offender === undefined) return
    this.add(this.ends, offender.path, { ...end, path: offender.path, recovery: undefined, after: offender, inferred: true })
    this.offenders.set(path, offender)
  }

  /** What ended in one instant: of the first it was decided, and of the second, before its start, for which nothing was waited, had come to anything. */
  private inOneMoment(inputs: ReadonlyArray<Input>): ReadonlyArray<Input> {
    const merged: Array<Input> = []
    for (const input of inputs) {
      const last = merged.at(-1)
      if (last?._tag === "End" && input._tag === "End" && this.overtook(last.end, input.end)) {
        last.together.push(input.end, ...input.together)
      } else merged.push(input)
    }
    return merged
  }

  private overtook({ at, path, recovery }: End, end: End): boolean {
    const isAlone = recoveryKey(this.contract, above(end.path), end.path) === end.path
    if (!isAlone || at !== end.at || above(path) !== above(end.path) || path === end.path || recovery?.delayMillis !== 0) return false
    const { recoveredAs, replacedBy } = recovery
    return recoveredAs !== undefined
      ? recovery.recoveredAt === at && recoveredAs > end.seq
      : replacedBy?.stage === "starting" && replacedBy.at === at && replacedBy.seq > end.seq
  }

  private hasBeenUpSince(supervisor: string, at: number): boolean {
    return (this.boots.get(supervisor)?.at(-1)?.at ?? Number.POSITIVE_INFINITY) <= at
  }

  /** What ended a supervisor above this one, which has not heard of it yet. */
  private broughtDown(supervisor: string): EndInput | undefined {
    for (let path = above(supervisor); path !== ""; path = above(path)) {
      const { by, seq = 0 } = this.down.get(path) ?? {}
      if (by !== undefined && (this.bootedAs.get(supervisor) ?? 0) < seq) return by
    }
    return undefined
  }

  /** Restarts that were counted and never told, because their supervisor gave up before their delay was known. */
  private unseen(supervisor: string, { at, refusedByDelay }: End): number {
    const { intensity } = contractAt(this.contract, supervisor) ?? {}
    if (intensity === undefined || intensity === "unlimited" || refusedByDelay) return 0
    const remembered = this.isFirstLife(supervisor) ? this.remembered.get(supervisor)?.alive ?? 0 : 0
    return Math.max(0, intensity.maxRestarts - countWithin(intensity, this.spent.get(supervisor) ?? [], at) - remembered)
  }

  private isFirstLife(supervisor: string): boolean {
    return (this.boots.get(supervisor)?.length ?? 0) <= 1
  }

  /** What its budget lacks, beside what it has spent in this run, was spent before. */
  private recall(supervisor: string, { at, budgetLeft }: Decision.Ended): void {
    const { intensity } = contractAt(this.contract, supervisor) ?? {}
    if (intensity === undefined || intensity === "unlimited" || budgetLeft === undefined || !this.isFirstLife(supervisor)) return
    const own = countWithin(intensity, this.spent.get(supervisor) ?? [], at)
    const alive = Math.max(0, intensity.maxRestarts - 1 - budgetLeft - own)
    const known = this.remembered.get(supervisor)
    if (known === undefined) this.remembered.set(supervisor, { alive, expired: [] })
    else {
      for (; known.alive > alive; known.alive--) known.expired.push(at - intensity.withinMillis)
    }
  }

  private memoryFrom(startedAt: number): RestartMemory.RestartMemory {
    const memory = new Map<string, ReadonlyArray<number>>()
    for (const [path, { alive, expired }] of this.remembered) {
      const times = [...expired.map((at) => Math.min(0, at - startedAt)), ...Array.from({ length: alive }, () => 0)]
      if (times.length > 0) memory.set(path, times)
    }
    return memory
  }

  private unfinished(recovery: Recovery, decision: Decision.Ended, end: End | undefined, key: string, path: string): void {
    const isGroup = key !== path
    if (!isGroup && decision.stage === "running" && !this.terminated.has(path)) recovery.ignored = true
    if (decision.verb !== "leave") recovery.replacedBy = end
  }

  private add<A>(to: Map<string, Array<A>>, key: string, value: A): void {
    const known = to.get(key)
    if (known === undefined) to.set(key, [value])
    else known.push(value)
  }
}

/** What is restarted together: the child at `path` alone, or all of a group. */
export const recoveryKey = (contract: Contract.Contract, supervisor: string, path: string): string => {
  const { strategy } = contractAt(contract, supervisor) ?? {}
  return strategy === "one_for_all" || strategy === "rest_for_one" ? `${supervisor}/*` : path
}

const countWithin = ({ withinMillis }: Intensity.Limit, times: ReadonlyArray<number>, at: number): number =>
  times.filter((time) => time > at - withinMillis).length
