/**
 * A recorded run under another policy, on the real engine and in virtual time.
 *
 * **Details**
 *
 * A start meets what the recorded start met whose place it takes: the child's first recorded life that is still to come. It lasts as long as
 * that one did. What would have become of a child that was given more time, nobody recorded; so there are two readings:
 *
 * - `"outlived"`: a recorded failure that lies in the past when the child is started is over; it does not come. Whoever waits longer sees
 *   fewer failures.
 * - `"again"`: every recorded failure comes, however long the child was down before; one that the record leaves unresolved comes again and
 *   again.
 *
 * What both readings say is known. Where they differ, it cannot be known from the record.
 *
 * Stops are taken to take no time. All children that a dynamic supervisor had are taken to be there from its boot on, and delays to be in the
 * middle of what chance allows.
 *
 * @see {@link ./Replay.ts} for both readings side by side
 */
import { type Contract, type RestartPolicy, Simulation } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Decision from "./Decision.ts"
import * as IncidentOutcome from "./IncidentOutcome.ts"
import { type End, type Input, isUnresolved } from "./Lives.ts"
import { contractAt } from "./Place.ts"
import * as RecordedTree from "./RecordedTree.ts"
import type { RunRecord } from "./RunRecord.ts"

const { Line } = Simulation

/** What is assumed of failures that the recorded restart met, and the one under another policy comes later than. */
export type Reading = "outlived" | "again"

/** What would have been. */
export interface WhatIf {
  readonly incidents: ReadonlyArray<IncidentOutcome.IncidentOutcome>
  /** By the id of a recorded incident, the ids of those that its ends belong to now; absent when none of them came. */
  readonly became: ReadonlyMap<string, ReadonlySet<string>>
  /** Failures that were not in the record, and were assumed. */
  readonly assumed: number
}

const horizonMillis = 600_000 // ten minutes after the record: what is unresolved by then has shown whether it escalates
const mostAssumed = 1000 // failures made up for one run: a loop without a limit ends there

/** Plays a run under the policies that `restartOf` gives. */
export const of = (
  record: RunRecord,
  restartOf: (path: string, contract: Contract.Contract) => RestartPolicy.Any,
  reading: Reading
): WhatIf => new World(record, restartOf, reading).run()

class World {
  private readonly record: RunRecord
  private readonly reading: Reading
  private readonly simulated: Simulation.SimulatedTree
  private seen = 0
  /** By path: which recorded end is next, which one its present life is to end with, and which one it ended with last. */
  private readonly next = new Map<string, number>()
  private readonly planned = new Map<string, End>()
  private readonly last = new Map<string, End>()
  /** Ends that have come, or lie in the past. */
  private readonly gone = new Set<End>()
  private readonly became = new Map<string, Set<string>>()
  private assumed = 0

  constructor(record: RunRecord, restartOf: (path: string, contract: Contract.Contract) => RestartPolicy.Any, reading: Reading) {
    this.record = record
    this.reading = reading
    const tree = RecordedTree.make(record.contract, { restartOf, initialOf: (path) => [...record.lives.keys.get(path) ?? []] })
    this.simulated = Simulation.make(tree, undefined, { fates: ({ path }) => this.fateOf(path), memory: record.lives.memory })
  }

  run(): WhatIf {
    const { endedAt, lives: { inputs }, startedAt } = this.record
    this.simulated.boot()
    for (const input of inputs) {
      this.waitUntil(input.at - startedAt)
      this.play(input)
    }
    this.waitUntil(endedAt - startedAt)
    const isOpen = () => this.simulated.outcome._tag === "Running" && this.assumed < mostAssumed && this.planned.size > 0
    const until = this.simulated.now + horizonMillis
    while (isOpen() && this.simulated.nextTimer !== undefined && this.simulated.nextTimer < until) {
      this.waitUntil(this.simulated.nextTimer)
      this.look()
    }
    this.look()
    const decisions = this.simulated.entries.flatMap((entry, seq) => {
      const decision = entry._tag === "Event" ? Decision.of({ ...entry.event, at: entry.event.at + startedAt }, seq) : undefined
      return decision ?? []
    })
    this.simulated.discard()
    return { incidents: IncidentOutcome.of(decisions), became: this.became, assumed: this.assumed }
  }

  private waitUntil(at: number): void {
    if (at > this.simulated.now) this.simulated.play(Line.Wait({ millis: at - this.simulated.now }))
  }

  /** What comes at its own time whatever the policy: what was asked for by hand, and supervisors that a monitor failed. */
  private play(input: Input): void {
    switch (input._tag) {
      case "Shutdown":
        return this.simulated.play(Line.Shutdown())
      case "Stop": {
        const supervisor = this.simulated.supervisor(input.path)
        if (supervisor !== undefined) Effect.runFork(supervisor.handle.stop("asked for"))
        return this.waitUntil(this.simulated.now)
      }
      case "FailSupervisor":
        this.last.set(input.end.path, input.end)
        this.gone.add(input.end)
        return this.simulated.play(Line.FailChild({ path: input.end.path }))
      default:
        return this.simulated.play(Line[input._tag]({ path: input.path }))
    }
  }

  private get now(): number {
    return this.simulated.now + this.record.startedAt
  }

  // ── what a start meets ──

  private fateOf(path: string): Simulation.Fate | undefined {
    this.look()
    this.planned.delete(path)
    const end = this.endOf(path)
    if (end === undefined) return undefined
    const { how, stage } = end
    if (stage === "starting") {
      if (!this.isDue(end)) return undefined
      this.planned.set(path, end)
      return { startMillis: this.lasting(end), answer: "refused" }
    }
    if (contractAt(this.record.contract, path) !== undefined) return undefined // it comes at its own time
    this.planned.set(path, end)
    return { startMillis: end.startMillis, ends: { afterMillis: this.lasting(end), how } }
  }

  private endOf(path: string): End | undefined {
    const ends = this.record.lives.ends.get(path) ?? []
    let index = this.next.get(path) ?? 0
    if (this.reading === "outlived") { for (; index < ends.length && ends[index]!.at < this.now; index++) this.gone.add(ends[index]!) }
    this.next.set(path, index)
    const end = ends[index]
    if (end !== undefined || this.reading === "outlived") return end
    const last = ends.at(-1)
    if (last === undefined || this.assumed >= mostAssumed || !isUnresolved(this.record.lives, last)) return undefined
    this.assumed++
    return last
  }

  /** A start is refused once what called for it has come. */
  private isDue({ after, at }: End): boolean {
    return after === undefined ? at <= this.now : this.gone.has(after)
  }

  /** How long until it comes: as long as it took, but not after its recorded time, if it is over by then. */
  private lasting({ at, since }: End): number {
    const took = since === undefined ? undefined : Math.max(0, at - since)
    const left = at - this.now
    if (left < 0 || this.reading === "again") return took ?? Math.max(0, left)
    return Math.min(took ?? left, left)
  }

  // ── what came of it ──

  private look(): void {
    const { entries } = this.simulated
    for (; this.seen < entries.length; this.seen++) {
      const entry = entries[this.seen]!
      if (entry._tag === "Child" && (entry.moment === "ended" || entry.moment === "refused")) this.ended(entry.path)
      else if (entry._tag === "Event") this.decided(Decision.of(entry.event, 0))
    }
  }

  private ended(path: string): void {
    const end = this.planned.get(path)
    if (end === undefined) return
    this.planned.delete(path)
    this.last.set(path, end)
    this.gone.add(end)
    const ends = this.record.lives.ends.get(path)!
    this.next.set(path, Math.max(this.next.get(path) ?? 0, ends.indexOf(end) + 1))
  }

  private decided(decision: Decision.Decision | undefined): void {
    if (decision?.verb !== "restart" && decision?.verb !== "give_up") return
    const recorded = this.last.get(`${decision.path}/${decision.child}`)?.incident
    if (recorded === undefined || decision.incident === undefined) return
    const known = this.became.get(recorded)
    if (known === undefined) this.became.set(recorded, new Set([decision.incident]))
    else known.add(decision.incident)
  }
}
