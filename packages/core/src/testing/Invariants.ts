/**
 * The laws of supervision, checked on the timeline of any tree by bookkeeping of its own, independent of the engine.
 *
 * **When to use**
 *
 * To hold your own trees, with harm of your own, to what a supervisor promises: {@link check} returns what was broken, where and when.
 * The engine is held to the same laws by `npm run verify:laws`, over generated trees.
 *
 * **Details**
 *
 * | rule            | what it says                                                                                                    |
 * | --------------- | --------------------------------------------------------------------------------------------------------------- |
 * | `isolation`     | no child is stopped or started outside the victims of an exit, as the strategies along its path name them       |
 * | `order`         | starts in order, each when the one before has acknowledged; stops in reverse, each when the one before is down  |
 * | `budget`        | no interval `[t, t + within)` holds more restarts than allowed; giving up at the first that would, to the ms    |
 * | `restart type`  | who is restarted, by restart type × exit reason                                                                 |
 * | `delay`         | no restart before its delay is over                                                                             |
 * | `stranded`      | who is owed a restart gets it as soon as its delay is over and its siblings allow                               |
 * | `operator`      | a child that was terminated stays down until it is asked for; nobody is forgotten who was not deleted           |
 * | `auto-shutdown` | a supervisor ends when its significant children call for it, and else not                                       |
 * | `double life`   | one life of a child at a time, generations without gaps                                                         |
 * | `leak`          | who is reported as down is down; nobody lives when the tree has ended, but for those told as abandoned          |
 * | `event`         | one decision, one event, with the right path, generation, incident, budget left                                 |
 * | `reply`         | every call is answered once                                                                                     |
 * | `record`        | the timeline is one of this tree                                                                                |
 *
 * **Gotchas**
 *
 * These are the laws of `Semantics.production`: OTP's traps are violations of some of them.
 *
 * **Example** (My tree keeps the laws)
 *
 * ```ts
 * import { Simulation, type Supervisor } from "@snakepit/core"
 * import { Invariants } from "@snakepit/core/testing"
 *
 * declare const app: Supervisor.Any
 *
 * const timeline = Simulation.simulate(app, [Simulation.Line.Exit({ path: "app/db", how: "failed" })])
 * Invariants.check(app, timeline) // => []
 * ```
 *
 * @see {@link ./Generate.ts} for trees and scripts by the thousand
 */
import type * as Event from "../Event.ts"
import type { Entry, Line, Timeline } from "../Simulation.ts"
import type * as Supervisor from "../Supervisor.ts"
import type { Decision } from "../SupervisorState.ts"
import type * as Tree from "../Tree.ts"
import { LifeLedger } from "./internal/LifeLedger.ts"
import { specOf, SupervisorLedger } from "./internal/SupervisorLedger.ts"

/** What was broken. */
export type Rule =
  | "isolation"
  | "order"
  | "budget"
  | "restart type"
  | "delay"
  | "stranded"
  | "operator"
  | "auto-shutdown"
  | "double life"
  | "leak"
  | "event"
  | "reply"
  | "record"

/** One breach of a law. `at` is in milliseconds from the boot; `message` reads on from the path. */
export interface Violation {
  readonly rule: Rule
  readonly path: string
  readonly at: number
  readonly message: string
}

/** What a timeline breaks; empty when every law is kept. */
export const check = (tree: Supervisor.Any, timeline: Timeline): ReadonlyArray<Violation> => new Inspection(tree).read(timeline)

/** One line for people. */
export const describe = ({ at, message, path, rule }: Violation): string => `${at} ms, ${rule}: ${path} ${message}`

class Inspection {
  private readonly violations: Array<Violation> = []
  private readonly tree: Supervisor.Any
  private readonly lives: LifeLedger
  /** By the number of the supervisor in the timeline. */
  private readonly ledgers = new Map<number, SupervisorLedger>()
  private readonly present = new Map<string, SupervisorLedger>()
  private readonly open = new Set<SupervisorLedger>()
  private readonly tells = new Map<string, Array<Decision>>()
  private readonly calls = new Map<number, { readonly path: string; answers: number }>()
  private at = 0
  private ended = false

  constructor(tree: Supervisor.Any) {
    this.tree = tree
    this.lives = new LifeLedger(this.accuse)
  }

  private readonly accuse = (rule: Rule, path: string, message: string): void =>
    void this.violations.push({ rule, path, at: this.at, message })

  read(timeline: Timeline): ReadonlyArray<Violation> {
    for (const entry of timeline.entries) {
      if (entry.at > this.at) this.settle(entry.at)
      this.at = entry.at
      this.entry(entry)
    }
    if (this.ended) this.settle(this.at + 1)
    else {
      if (timeline.millis > this.at) this.settle(timeline.millis)
      this.at = timeline.millis
      this.settle(this.at + 1)
      this.compare(timeline.tree)
    }
    for (const { answers, path } of this.calls.values()) {
      if (answers === 0 && (this.ended || !this.isBusy(path))) this.accuse("reply", path, "was asked for, and the call is not answered")
    }
    return this.violations
  }

  private entry(entry: Entry): void {
    switch (entry._tag) {
      case "Line":
        return this.line(entry.line, entry.index)
      case "Child":
        return this.lives.tell(entry)
      case "Step":
        return this.step(entry)
      case "Event":
        return this.event(entry.event)
      case "Reply": {
        const call = this.calls.get(entry.index)
        if (call === undefined) return this.accuse("reply", "", `line ${entry.index} asked for nothing and is answered`)
        if (++call.answers > 1) this.accuse("reply", call.path, "was asked for once, and the call is answered twice")
        return
      }
      case "End": {
        if (this.ended) this.accuse("record", this.tree.id, "has ended twice")
        this.ended = true
        return this.lives.end()
      }
    }
  }

  private line(line: Line, index: number): void {
    switch (line._tag) {
      case "Exit":
        return this.lives.ends([line])
      case "Together":
        return this.lives.ends(line.exits)
      case "StartChild":
      case "RestartChild":
      case "TerminateChild":
      case "DeleteChild":
        return void this.calls.set(index, { path: line.path, answers: 0 })
    }
  }

  private step({ at, commands, event, path, supervisor }: Extract<Entry, { _tag: "Step" }>): void {
    const ledger = this.ledgers.get(supervisor) ?? this.begin(path, supervisor)
    if (ledger === undefined) return
    for (const command of commands) {
      if (command._tag === "Start") this.lives.expect(`${path}/${command.id}`, ledger)
      if (command._tag === "Tell") this.expectEvent(path, command.decision)
    }
    ledger.step(event, commands, at)
    this.open.add(ledger)
  }

  private begin(path: string, supervisor: number): SupervisorLedger | undefined {
    const life = this.lives.at(path)
    const spec = path === this.tree.id ? this.tree["~snakepit/core/Supervisor"] : life?.member && specOf(life.member.child)
    if (spec === undefined) return void this.accuse("record", path, "takes a step and is no supervisor of this tree")
    if (life?.ledger !== undefined) this.accuse("double life", path, "boots twice in one life")
    const ledger = new SupervisorLedger(path, spec, life, this.accuse)
    if (life !== undefined) life.ledger = ledger
    this.ledgers.set(supervisor, ledger)
    this.present.set(path, ledger)
    return ledger
  }

  // ── events ──

  private expectEvent(path: string, decision: Decision): void {
    const tells = this.tells.get(path)
    if (tells === undefined) this.tells.set(path, [decision])
    else tells.push(decision)
  }

  private event({ attributes, measurements, name }: Event.Event): void {
    const path = String(attributes["path"])
    const verb = name.slice(name.lastIndexOf(".") + 1)
    const tells = this.tells.get(path) ?? []
    const index = tells.findIndex((decision) =>
      verbs[decision._tag] === verb && ("child" in decision ? decision.child : undefined) === attributes["child"]
    )
    if (index === -1) return this.accuse("event", path, `${name} is told of ${attributes["child"] ?? "itself"}, and nothing was decided`)
    const [decision] = tells.splice(index, 1)
    const facts: { readonly [name: string]: unknown } = { ...measurements, ...attributes }
    for (const [fact, value] of Object.entries(factsOf(decision!))) {
      if (facts[fact] !== value) this.accuse("event", path, `${name} says ${fact} ${facts[fact]}, it was ${value}`)
    }
  }

  // ── the end of an instant ──

  private settle(next: number): void {
    for (const ledger of this.open) {
      ledger.settle(next)
      if (!ledger.isOpen) this.open.delete(ledger)
    }
    for (const [path, tells] of this.tells) {
      for (const decision of tells) this.accuse("event", path, `decided ${decision._tag}, and no event tells it`)
    }
    this.tells.clear()
  }

  private compare(tree: Tree.SupervisorNode | undefined): void {
    if (tree === undefined) return
    const ledger = this.present.get(tree.path)
    const shown = tree.children.map(({ id, status }) => `${id} ${status}`)
    const known = ledger?.members.map(({ doing, id, owed }) => `${id} ${doing === "down" && owed ? "waiting" : doing}`)
    if (ledger?.phase === "running" && shown.toSorted().join() !== known!.toSorted().join()) {
      this.accuse("record", tree.path, `shows [${shown}], and its children are [${known}]`)
    }
    for (const { supervisor } of tree.children) this.compare(supervisor)
  }

  private isBusy(path: string): boolean {
    const ledger = this.present.get(path.slice(0, path.lastIndexOf("/")))
    return ledger !== undefined && (ledger.isOpen || ledger.members.some(({ doing }) => doing === "starting" || doing === "stopping"))
  }
}

const verbs: { readonly [Tag in Decision["_tag"]]: string } = {
  Start: "start",
  Restart: "restart",
  Recover: "recover",
  Leave: "leave",
  Abandon: "abandon",
  TerminateChild: "terminate",
  Terminate: "terminate",
  GiveUp: "give_up"
}

/** What the event of a decision must say. */
const factsOf = (decision: Decision): { readonly [fact: string]: unknown } => {
  switch (decision._tag) {
    case "Start":
      return { children: decision.children }
    case "Restart": {
      const { budgetLeft, delayMillis, generation, incident, reason, victims } = decision
      const left = budgetLeft === Number.POSITIVE_INFINITY ? undefined : budgetLeft
      return { generation, incident, delayMillis, reason: reason._tag, victims: victims.length, budgetLeft: left }
    }
    case "Recover":
      return { generation: decision.generation, incident: decision.incident, tookMillis: decision.tookMillis }
    case "Leave":
    case "Abandon":
      return { generation: decision.generation, reason: decision.reason._tag }
    case "GiveUp":
      return { generation: decision.generation, reason: decision.reason._tag, incident: decision.incident }
    case "TerminateChild":
    case "Terminate":
      return {}
  }
}
