/**
 * A recorded run made to happen again, on the real engine and in virtual time, under the policy that it had: what came from outside comes
 * at its recorded time, the delays are those that were recorded, and the supervisors decide anew.
 *
 * **Details**
 *
 * What the events do not tell is chosen so that what they do tell can follow: a start takes as long as its recovery did; a start that must
 * not be over yet, because its recovery was replaced by another, goes on until then; a child that ends though it is down was started by
 * hand just before.
 *
 * @see {@link ./RunRecord.ts} for what is inferred
 */
import { type Contract, type Event, RestartPolicy, Simulation } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Decision from "./Decision.ts"
import { above, contractAt, idOf } from "./Place.ts"
import * as RecordedTree from "./RecordedTree.ts"
import {
  type Consequence,
  type End,
  type EndInput,
  type Input,
  type Recovery,
  recoveryKey,
  type RunRecord,
  type SlowStop
} from "./RunRecord.ts"

const { Line } = Simulation

/** The decisions of the same run, made again. Times are those of the record. */
export const of = (record: RunRecord): ReadonlyArray<Decision.Decision> => new Reproduction(record).run()

/** What must happen half a millisecond before, to be in time for what is due at that moment. */
interface InTime {
  readonly _tag: "InTime"
  readonly at: number
  readonly of: SlowStop | EndInput
}

const inTime = (of: InTime["of"]): InTime => ({ _tag: "InTime", at: of.at - 0.5, of })

class Reproduction {
  private readonly record: RunRecord
  private readonly simulated: Simulation.SimulatedTree
  /** Entries of the simulation that were looked at. */
  private seen = 0
  /** By path, how many consequences have happened again. */
  private readonly followed = new Map<string, number>()
  /** The end of a child that its supervisor is deciding about. */
  private readonly fresh = new Map<string, End>()
  /** What is being recovered, by what is restarted together. */
  private readonly recovering = new Map<string, Recovery>()
  /** What a start below a supervisor that is to be refused will meet. */
  private readonly refusals = new Map<string, End>()
  /** What is started now is started by somebody, long ago perhaps. */
  private byHand = false
  /** Ends that came before their moment. */
  private readonly done = new Set<End>()
  /** How often a supervisor was up, and those that are. */
  private readonly booted = new Map<string, number>()
  private readonly up = new Set<string>()

  constructor(record: RunRecord) {
    this.record = record
    const tree = RecordedTree.make(record.contract, {
      restartOf: (path, contract) => this.policyOf(path, contract),
      initialOf: (path) => this.initialOf(path)
    })
    this.simulated = Simulation.make(tree, undefined, { fates: ({ path }) => this.fateOf(path), memory: record.memory })
  }

  run(): ReadonlyArray<Decision.Decision> {
    const { endedAt, inputs, slowStops, startedAt } = this.record
    this.simulated.boot()
    const known = new Set<Input>(inputs)
    const agenda: Array<Input | InTime> = slowStops.filter(({ by }) => by === undefined || !known.has(by)).map(inTime)
    for (const input of inputs) {
      for (const stop of slowStops) if (stop.by === input) agenda.push({ ...inTime(stop), at: stop.at })
      if (this.isAtBoot(input)) agenda.push(inTime(input))
      agenda.push(input)
    }
    agenda.sort((a, b) => a.at - b.at) // stable: of one moment in the order of their record
    let slow: ReadonlyArray<string> = []
    let slowAt = Number.POSITIVE_INFINITY
    for (const input of agenda) {
      if (input.at > slowAt) {
        for (const path of slow) this.simulated.play(Line.StopTakes({ path, millis: 0 }))
        slow = []
        slowAt = Number.POSITIVE_INFINITY
      }
      this.waitUntil(input.at - startedAt)
      if (input._tag !== "InTime") this.play(input)
      else if (!("_tag" in input.of)) {
        slow = [...slow, ...this.slowDown(input.of)]
        slowAt = input.of.at
      } else if (this.isUpInBoot(input.of.end.path)) {
        this.play(input.of)
        this.done.add(input.of.end)
      }
    }
    this.waitUntil(endedAt - startedAt)
    const decisions = this.simulated.entries.flatMap((entry, seq) => {
      const decision = entry._tag === "Event" ? Decision.of({ ...entry.event, at: entry.event.at + startedAt }, seq) : undefined
      return decision ?? []
    })
    this.simulated.discard()
    return decisions
  }

  /** What ended while its supervisor booted was heard of when that was over. */
  private isAtBoot(input: Input): input is EndInput {
    return input._tag === "End" && this.record.boots.get(above(input.end.path))?.some(({ at }) => at === input.at) === true
  }

  private isUpInBoot(path: string): boolean {
    this.look()
    const supervisor = above(path)
    const { children = [] } = this.simulated.supervisor(supervisor)?.snapshot() ?? {}
    return !this.up.has(supervisor) && children.some((child) => child.path === path && child.status === "running")
  }

  private waitUntil(at: number): void {
    if (at > this.simulated.now) this.simulated.play(Line.Wait({ millis: at - this.simulated.now }))
  }

  // ── what comes from outside ──

  private play(input: Input): void {
    switch (input._tag) {
      case "Shutdown":
        return this.simulated.play(Line.Shutdown())
      case "TerminateChild":
        this.ensure(input.path)
        return this.simulated.play(Line.TerminateChild({ path: input.path }))
      case "Stop": {
        const supervisor = this.simulated.supervisor(input.path)
        if (supervisor !== undefined) Effect.runFork(supervisor.handle.stop("asked for"))
        return this.simulated.play(Line.Wait({ millis: 0 }))
      }
      case "End":
        return this.end(input)
    }
  }

  private end({ end, together, unseen }: EndInput): void {
    if (this.done.delete(end)) return
    for (const other of [end, ...together]) {
      this.ensure(other.path)
      this.fresh.set(other.path, other)
    }
    const { how, path } = end
    if (this.isSupervisor(path)) return this.simulated.play(Line.FailChild({ path }))
    const others = unseen === 0 ? [] : this.othersUp(path, unseen).map((path) => ({ path, how: "failed" as const }))
    const exits = [...others, { path, how }, ...together]
    this.simulated.play(exits.length === 1 ? Line.Exit({ path, how }) : Line.Together({ exits }))
  }

  /** Somebody must have started it by hand, if it is down. */
  private ensure(path: string): void {
    const parent = above(path)
    if (parent.includes("/")) this.ensure(parent)
    const supervisor = this.simulated.supervisor(parent)
    if (supervisor === undefined) return
    const child = supervisor.snapshot().children.find(({ id }) => id === idOf(path))
    if (child !== undefined && child.status !== "down") return
    this.byHand = true
    this.simulated.play(child === undefined ? Line.StartChild({ path }) : Line.RestartChild({ path }))
    this.byHand = false
  }

  private othersUp(path: string, count: number): ReadonlyArray<string> {
    const supervisor = above(path)
    if (contractAt(this.record.contract, supervisor)?.strategy === "dynamic") {
      const keys = Array.from({ length: count }, (_, index) => `${supervisor}/unseen ${index}`)
      for (const key of keys) this.ensure(key)
      return keys
    }
    const siblings = this.simulated.supervisor(supervisor)?.snapshot().children ?? []
    return siblings.flatMap((child) =>
      child.path !== path && child.status === "running" && child.supervisor === undefined && child.restart !== "temporary" ? child.path : []
    ).slice(0, count)
  }

  /** Lets the children that are about to be stopped take as long as they did, within the time that each is given. */
  private slowDown({ millis, over, path }: SlowStop): ReadonlyArray<string> {
    let left = millis
    const slowed: Array<string> = []
    const visit = (path: string): void => {
      for (const child of this.simulated.supervisor(path)?.snapshot().children.toReversed() ?? []) {
        if (child.supervisor !== undefined) {
          visit(child.path)
          continue
        }
        const grace = child.shutdown === "infinity" ? left : child.shutdown === "brutal" ? 0 : child.shutdown
        const takes = Math.min(left, grace)
        const isThere = child.status === "running" || child.status === "starting" || child.because === "not started"
        if (!isThere || child.path === over || takes === 0) continue
        left -= takes
        slowed.push(child.path)
        this.simulated.play(Line.StopTakes({ path: child.path, millis: Number.isFinite(takes) ? takes : "forever" }))
      }
    }
    visit(path)
    return slowed
  }

  private isSupervisor(path: string): boolean {
    return contractAt(this.record.contract, path) !== undefined
  }

  // ── what a start meets ──

  private fateOf(path: string): Simulation.Fate | undefined {
    this.look()
    if (this.byHand) return undefined
    const isNode = this.isSupervisor(path)
    if (isNode) this.up.delete(path)
    if (isNode) { for (const key of this.recovering.keys()) if (key.startsWith(`${path}/`)) this.recovering.delete(key) }
    const supervisor = above(path)
    if (supervisor === "") return undefined
    const key = recoveryKey(this.record.contract, supervisor, path)
    const recovery = this.recovering.get(key)
    const passedOn = this.refusals.get(path)
    const refused = recovery?.replacedBy?.path === path && recovery.replacedBy.stage === "starting" ? recovery.replacedBy : passedOn
    if (refused !== undefined) {
      this.refusals.delete(path)
      if (refused !== passedOn) this.fresh.set(path, refused)
      return this.refusalOf(path, refused, recovery?.decidedAs ?? passedOn?.after?.recovery?.decidedAs ?? 0)
    }
    if (isNode) return this.bootOf(path, supervisor)
    if (recovery === undefined) return this.isLast(supervisor, path) ? { startMillis: this.untilBooted(supervisor) } : undefined
    if (recovery.ignored) return { answer: "ignored" }
    if (key !== path && !this.isLastOfGroup(supervisor, path)) return undefined
    return { startMillis: recovery.recoveredAt === undefined ? "forever" : this.until(recovery.recoveredAt) }
  }

  /** Of a group the last one takes all of the time. */
  private isLastOfGroup(supervisor: string, path: string): boolean {
    const { children = [] } = this.simulated.supervisor(supervisor)?.snapshot() ?? {}
    return !children.slice(children.findIndex((child) => child.path === path) + 1).some(({ status }) => status === "waiting")
  }

  /** When somebody below it came up before its start was refused, it was refused by one of its children, behind those. */
  private refusalOf(path: string, end: End, since: number): Simulation.Fate | undefined {
    const { children = [] } = contractAt(this.record.contract, path) ?? {}
    const paths = children.map(({ id }) => `${path}/${id}`)
    const isBefore = (boot: Decision.Start | undefined) => boot !== undefined && boot.seq < end.seq
    const latest = paths.findLastIndex((path) => this.bootsWithin(path, since).some(isBefore))
    const refuser = paths[isBefore(this.nextBoot(paths[latest] ?? "", since)) ? latest + 1 : latest]
    if (refuser === undefined) return { startMillis: this.until(end.at), answer: "refused" }
    this.refusals.set(refuser, end)
    return undefined
  }

  /** The next boot of each supervisor at a path and below it. */
  private bootsWithin(path: string, since: number): ReadonlyArray<Decision.Start> {
    return [...this.record.boots.keys()].flatMap((other) =>
      other === path || other.startsWith(`${path}/`) ? this.nextBoot(other, since) ?? [] : []
    )
  }

  private isLast(supervisor: string, path: string): boolean {
    return contractAt(this.record.contract, supervisor)?.children.at(-1)?.id === idOf(path)
  }

  /** One that was never up again, though the one above it was, ignored its start. What takes time is its last child, if it has any. */
  private bootOf(path: string, supervisor: string): Simulation.Fate | undefined {
    const boot = this.nextBoot(path)
    if (boot === undefined && this.nextBoot(supervisor) !== undefined) return { answer: "ignored" }
    const { children = [], strategy } = contractAt(this.record.contract, path) ?? {}
    if (strategy === "dynamic" ? this.initialOf(path).length > 0 : children.length > 0) return undefined
    return { startMillis: boot === undefined ? "forever" : this.until(boot.at) }
  }

  private nextBoot(supervisor: string, since = Number.NEGATIVE_INFINITY): Decision.Start | undefined {
    const now = this.simulated.now + this.record.startedAt
    return this.record.boots.get(supervisor)?.slice(this.booted.get(supervisor) ?? 0).find(({ at, seq }) => at >= now && seq > since)
  }

  /** The supervisors that a dynamic one started with: in which somebody came up before it did. Of its other children no event tells. */
  private initialOf(path: string): ReadonlyArray<string> {
    const own = this.nextBoot(path)
    const keys = new Set<string>()
    for (const other of this.record.boots.keys()) {
      if (!other.startsWith(`${path}/`)) continue
      const boot = this.nextBoot(other)
      if (boot !== undefined && (own === undefined || boot.seq < own.seq)) keys.add(other.slice(path.length + 1).split("/", 1)[0]!)
    }
    return [...keys]
  }

  /** A boot takes until the supervisor told that all are up; one that is up already is being given a child by hand. */
  private untilBooted(supervisor: string): number | "forever" {
    if (this.up.has(supervisor)) return 0
    const boot = this.nextBoot(supervisor)
    return boot === undefined ? "forever" : this.until(boot.at)
  }

  private until(at: number): number {
    return Math.max(0, at - this.record.startedAt - this.simulated.now)
  }

  /** Takes note of what was decided since it last looked. */
  private look(): void {
    const { entries } = this.simulated
    for (; this.seen < entries.length; this.seen++) {
      const entry = entries[this.seen]!
      if (entry._tag === "Event") this.decided(entry.event)
    }
  }

  private decided(event: Event.Event): void {
    const decision = Decision.of(event, 0)
    if (decision?.verb === "start") {
      this.up.add(decision.path)
      this.booted.set(decision.path, (this.booted.get(decision.path) ?? 0) + 1)
    }
    if (decision?.verb === "terminate" && decision.child !== undefined) this.recovering.delete(`${decision.path}/${decision.child}`)
    if (decision === undefined || decision.verb === "start" || decision.verb === "terminate") return
    const path = `${decision.path}/${decision.child}`
    const wasNotAsked = decision.verb === "leave" || (decision.verb === "give_up" && decision.refusedBy === "intensity")
    if (wasNotAsked && !this.fresh.delete(path)) this.next(path)
    if (decision.verb === "leave" || decision.verb === "give_up") return
    const key = recoveryKey(this.record.contract, decision.path, path)
    const recovery = decision.verb === "restart" ? this.lastOf.get(path)?.recovery : undefined
    if (recovery === undefined) this.recovering.delete(key)
    else this.recovering.set(key, recovery)
  }

  // ── the policy that it had ──

  private policyOf(path: string, { backoff, intensity }: Contract.Contract): RestartPolicy.Any {
    return {
      ...RestartPolicy.make({
        intensity: intensity === "unlimited"
          ? "unlimited"
          : { maxRestarts: intensity.maxRestarts, within: Duration.millis(intensity.withinMillis) },
        resetAfter: Duration.millis(backoff.resetAfterMillis)
      }),
      delay: Schedule.fromStep(Effect.succeed((_now: number, { id }: RestartPolicy.ChildExit) => this.delayOf(`${path}/${id}`)))
    }
  }

  /** What was decided last of each child. */
  private readonly lastOf = new Map<string, Consequence>()

  private delayOf(path: string): Exit.Exit<[void, Duration.Duration], "refused"> {
    this.look()
    const end = this.fresh.get(path)
    this.fresh.delete(path)
    const consequence = end ?? this.next(path)
    if (consequence === undefined) return Exit.succeed([undefined, Duration.zero])
    this.lastOf.set(path, consequence)
    if (consequence.refusedByDelay) return Exit.fail("refused")
    return Exit.succeed([undefined, Duration.millis(consequence.recovery?.delayMillis ?? 0)])
  }

  private next(path: string): Consequence | undefined {
    const index = this.followed.get(path) ?? 0
    this.followed.set(path, index + 1)
    return this.record.consequences.get(path)?.[index]
  }
}
