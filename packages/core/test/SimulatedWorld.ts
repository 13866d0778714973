/**
 * The world around one pure supervisor machine, and a second opinion on what the machine may do in it.
 *
 * The world carries out commands slowly: a start, a stop and a question about a delay stay open until the script answers them, in
 * any order. After each event it compares the commands with its own bookkeeping, which knows the strategies, the restart table and the
 * window only from their definitions and never looks into the machine for what is allowed.
 */
import { assert } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { ExitReason } from "../src/ExitReason.ts"
import type { Limit } from "../src/Intensity.ts"
import * as Semantics from "../src/Semantics.ts"
import { transition } from "../src/SupervisorMachine.ts"
import * as Machine from "../src/SupervisorState.ts"

const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const pick = small(5)
const id = small(4)

/** One line of a script. `pick` chooses among what is open at that moment, modulo how many there are. */
export const Line = Schema.TaggedUnion({
  Started: { pick, but: small(8) }, // 7: it wants no life, 8: the start fails instead
  Stopped: { pick, but: small(5) }, // 5: it had ended by itself, and the report crosses the request
  Exits: { pick, how: Schema.Literals(["failed", "normal", "shutdown", "defect"]) },
  Delay: { pick, millis: small(60), but: small(11) }, // 11: refused instead
  Tick: { millis: small(120) },
  FailChild: { id },
  TerminateChild: { id },
  RestartChild: { id },
  DeleteChild: { id },
  StartChild: { id },
  Late: { id },
  Shutdown: { but: small(3) } // 3: really
})
export type Line = typeof Line.Type

/** A supervisor and what happens to it. */
export const Scenario = Schema.Struct({
  strategy: Schema.Literals(["one_for_one", "one_for_all", "rest_for_one"]),
  autoShutdown: Schema.Literals(["never", "any", "all"]),
  dynamic: Schema.Boolean,
  /** Each bit is one field as in `otp` instead of as in `production`. */
  like: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 63 })),
  maxRestarts: small(8), // 8: unlimited
  within: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 })),
  children: Schema.Array(Schema.Struct({
    restart: Schema.Literals(["permanent", "transient", "temporary"]),
    significant: Schema.Boolean
  })).check(Schema.isMaxLength(4)),
  bootFirst: Schema.Boolean,
  script: Schema.Array(Line).check(Schema.isMaxLength(40))
})
export type Scenario = typeof Scenario.Type

interface Child {
  readonly id: string
  readonly restart: Machine.ChildFacts["restart"]
  generation: number
  doing: "down" | "starting" | "running" | "stopping"
  /** Whether, once it is down, somebody owes it a start. */
  owed: boolean
  cause: "terminate" | "fail" | "recovery" | "shutdown" | undefined
  asked: boolean
  /** Terminated before the boot came to it. */
  passedBy: boolean
  /** Added by `StartChild`. */
  readonly added: boolean
  /** The last generation whose end was decided on. */
  decided: number
}

type Ask = Extract<Machine.Command, { _tag: "AskDelay" }>

export class SimulatedWorld {
  readonly state: Machine.SupervisorState
  readonly decisions: Array<Machine.Decision> = []
  now = 0
  ended: Machine.Outcome | undefined
  private readonly children: Array<Child>
  private settling = false
  /** Failed by a monitor while the supervisor boots. */
  private readonly failing = new Map<string, number>()
  /** Starts that were asked for and not yet begun. */
  private readonly requested = new Map<string, Machine.ChildFacts | undefined>()
  private asks: Array<Ask> = []
  private timers: Array<{ readonly ask: number; readonly at: number }> = []
  private readonly tokens = new Map<number, number>()
  private nextToken = 0
  /** Times of the restarts granted: the naive count. */
  private readonly spent: Array<number> = []
  /** Whom the exits since the last calm moment may take along. */
  private readonly blast = new Set<string>()
  private booting = true
  private stopping = false
  private readonly limit: Limit | "unlimited"
  private readonly scenario: Scenario
  private incidents = 0

  constructor(scenario: Scenario) {
    this.scenario = scenario
    this.limit = scenario.maxRestarts === 8 ? "unlimited" : { maxRestarts: scenario.maxRestarts, withinMillis: scenario.within }
    const facts = scenario.children.map((child, index) => ({
      id: `c${index}`,
      restart: child.restart,
      significant: child.significant && child.restart !== "permanent"
    }))
    this.children = facts.map(({ id, restart }) => makeChild(id, restart))
    this.state = Machine.make({
      semantics: semanticsOf(scenario.like),
      strategy: this.strategy,
      autoShutdown: scenario.autoShutdown,
      dynamic: scenario.dynamic,
      maxChildren: scenario.dynamic ? 6 : Number.POSITIVE_INFINITY,
      limit: this.limit,
      children: facts
    })
  }

  private get strategy(): Machine.Strategy {
    return this.scenario.dynamic ? "one_for_one" : this.scenario.strategy
  }

  /** Boots, plays the script, answers what is open, looks for the stranded, shuts down, and looks for what is left. */
  play(before: (state: Machine.SupervisorState) => void = () => {}): void {
    this.send(Machine.Event.Boot())
    if (this.scenario.bootFirst) this.settle()
    for (const line of this.scenario.script) {
      before(this.state)
      this.line(line)
    }
    this.settle()
    this.assertAtRest()
    this.send(Machine.Event.Shutdown({ why: "the script is over" }))
    this.settle()
    this.assertEnded()
  }

  // ── the script ──

  /** A line that has nothing to act on answers something that is open instead, so that few lines are wasted. */
  line(line: Line): void {
    switch (line._tag) {
      case "Started": {
        const child = choose(this.doing("starting"), line.pick)
        if (child === undefined) return this.answerAny(line.pick)
        return line.but === 8 ? this.startFails(child) : line.but === 7 ? this.ignored(child) : this.started(child)
      }
      case "Stopped": {
        const child = choose(this.doing("stopping"), line.pick)
        return child === undefined ? this.answerAny(line.pick) : this.stopped(child, line.but === 5)
      }
      case "Exits": {
        const child = choose(this.doing("running"), line.pick)
        return child === undefined ? this.answerAny(line.pick) : this.exits(child, reasonOf(line.how))
      }
      case "Delay": {
        const ask = choose(this.asks, line.pick)
        if (ask === undefined) return this.answerAny(line.pick)
        return this.answer(ask, line.but === 11 ? undefined : line.millis)
      }
      case "Tick":
        return this.tick(line.millis)
      case "FailChild":
        return this.failChild(this.idOf(line.id))
      case "TerminateChild":
        return this.terminateChild(this.idOf(line.id))
      case "RestartChild":
        return this.restartChild(this.idOf(line.id))
      case "DeleteChild":
        return this.deleteChild(this.idOf(line.id))
      case "StartChild":
        return this.startChild(`c${line.id}`)
      case "Late":
        return this.late(this.idOf(line.id))
      case "Shutdown":
        if (line.but !== 3) return
        this.send(Machine.Event.Shutdown({ why: "the script says so" }))
    }
  }

  private idOf(index: number): string {
    return this.children[index]?.id ?? `c${index}`
  }

  private answerAny(pick: number): void {
    const starting = choose(this.doing("starting"), pick)
    const stopping = choose(this.doing("stopping"), pick)
    const ask = choose(this.asks, pick)
    if (this.settling && pick % 2 === 0) return this.settled()
    if (starting !== undefined) this.started(starting)
    else if (stopping !== undefined) this.stopped(stopping)
    else if (ask !== undefined) this.answer(ask, pick)
    else if (this.settling) this.settled()
    else if (this.timers.length > 0) this.tick(Math.max(0, Math.min(...this.timers.map(({ at }) => at)) - this.now))
  }

  private settled(): void {
    this.settling = false
    this.send(Machine.Event.Settled())
  }

  private ignored(child: Child): void {
    Object.assign(child, { doing: "down", owed: false, asked: false })
    this.send(Machine.Event.ChildIgnored({ id: child.id, generation: child.generation }))
  }

  private started(child: Child): void {
    child.doing = "running"
    child.asked = false
    this.send(Machine.Event.ChildStarted({ id: child.id, generation: child.generation }))
  }

  private startFails(child: Child): void {
    child.doing = "down"
    const { asked } = child
    child.asked = false
    child.owed = !this.booting && !asked && !this.stopping
    if (child.owed) this.takeAlong(child)
    this.send(Machine.Event.ChildStartFailed({ ...this.about(child), reason: reasonOf("failed") }))
  }

  private exits(child: Child, reason: ExitReason): void {
    child.doing = "down"
    child.owed = !this.stopping && calls(child.restart, reason)
    if (child.owed) this.takeAlong(child)
    const alone = this.strategy === "one_for_one" && !this.booting && !this.stopping
    const commands = this.send(Machine.Event.ChildExited({ ...this.about(child), reason }))
    if (!alone) return
    const decisions = commands.filter((command) =>
      command._tag === "AskDelay" || (command._tag === "Tell" && (command.decision._tag === "GiveUp" || command.decision._tag === "Leave"))
    )
    assert.strictEqual(decisions.length, 1, `one exit, one decision: ${child.id}`)
  }

  private stopped(child: Child, crossed = false): void {
    child.doing = "down"
    const { cause } = child
    child.cause = undefined
    if (this.stopping) child.owed = false
    else if (cause === "fail") child.owed = calls(child.restart, reasonOf("failed"))
    else child.owed = cause === "recovery" && child.restart !== "temporary"
    this.send(Machine.Event[crossed ? "ChildExited" : "ChildStopped"]({ ...this.about(child), reason: reasonOf("failed") }))
  }

  private answer(ask: Ask, millis: number | undefined): void {
    this.asks = this.asks.filter((open) => open !== ask)
    const wasEnding = this.stopping || this.ended !== undefined
    const told = this.decisions.length
    if (millis === undefined) this.send(Machine.Event.DelayRefused({ ask: ask.ask, error: "no" }), ask)
    else this.send(Machine.Event.DelayKnown({ ask: ask.ask, delayMillis: millis }))
    const mine = this.decisions.slice(told).filter(({ _tag }) => _tag === (millis === undefined ? "GiveUp" : "Restart"))
    if (!wasEnding) assert.strictEqual(mine.length, 1, "one answered question, one decision told")
    else assert.isAtMost(mine.length, 1)
  }

  private tick(millis: number): void {
    this.now += millis
    const due = this.timers.filter(({ at }) => at <= this.now)
    this.timers = this.timers.filter(({ at }) => at > this.now)
    for (const { ask } of due) this.send(Machine.Event.Due({ ask }))
  }

  private failChild(id: string): void {
    const child = this.find(id)
    if (child?.doing === "running" && !this.stopping) this.failing.set(id, child.generation)
    this.send(Machine.Event.FailChild({ id, reason: reasonOf("failed"), incident: this.incident() }))
    if (!this.booting) this.failing.delete(id)
  }

  private terminateChild(id: string): void {
    const child = this.find(id)
    if (child !== undefined && !this.stopping) {
      if (child.doing === "stopping") child.cause = "terminate"
      child.owed = false
      child.passedBy = child.generation === -1
    }
    this.send(Machine.Event.TerminateChild({ id, token: this.token() }))
  }

  private restartChild(id: string): void {
    if (!this.requested.has(id)) this.requested.set(id, undefined)
    this.send(Machine.Event.RestartChild({ id, token: this.token() }))
  }

  private deleteChild(id: string): void {
    this.send(Machine.Event.DeleteChild({ id, token: this.token() }))
  }

  private startChild(id: string): void {
    const child = { id, restart: "permanent" as const, significant: false }
    this.requested.set(id, child)
    this.send(Machine.Event.StartChild({ child, token: this.token() }))
  }

  private late(id: string): void {
    const generation = (this.find(id)?.generation ?? 0) - 1
    const about = { id, generation, reason: reasonOf("failed"), incident: this.incident() }
    const before = JSON.stringify(this.statuses())
    for (
      const event of [
        Machine.Event.ChildStarted(about),
        Machine.Event.ChildStartFailed(about),
        Machine.Event.ChildExited(about),
        Machine.Event.ChildStopped(about),
        Machine.Event.DelayKnown({ ask: -1, delayMillis: 0 }),
        Machine.Event.DelayRefused({ ask: -1, error: "no" }),
        Machine.Event.ChildIgnored(about),
        Machine.Event.Due({ ask: -1 })
      ]
    ) assert.deepStrictEqual(this.send(event), [], "a late report moves nothing")
    assert.strictEqual(JSON.stringify(this.statuses()), before)
  }

  // ── the machine ──

  private send(event: Machine.Event, refused?: Ask): ReadonlyArray<Machine.Command> {
    const commands = transition(this.state, event, this.now)
    for (const command of commands) this.carryOut(command, event, refused)
    this.compare(event)
    if (this.isCalm()) this.blast.clear()
    return commands
  }

  private carryOut(command: Machine.Command, event: Machine.Event, refused: Ask | undefined): void {
    switch (command._tag) {
      case "Start":
        return this.start(command)
      case "Stop":
        return this.stop(command, event)
      case "Settle":
        assert.isFalse(this.settling, "it settles twice")
        this.settling = true
        return
      case "Kill": // a dynamic child that ignored its restart and was kept is the end of its supervisor
        assert.strictEqual(this.state.semantics.ignoredInstance, "keep")
        this.find(command.id)!.doing = "down"
        return
      case "AskDelay":
        this.decide(command.id)
        this.spent.push(this.now)
        assert.isTrue(this.usedNow() <= this.maxRestarts(), "a restart beyond the limit was granted")
        this.asks.push(command)
        return
      case "StartAt":
        assert.isTrue(command.at > this.now, "a timer in the past")
        this.timers.push(command)
        return
      case "Reply":
        assert.isTrue(this.tokens.has(command.token), `token ${command.token} was never asked`)
        this.tokens.set(command.token, this.tokens.get(command.token)! + 1)
        assert.strictEqual(this.tokens.get(command.token), 1, `token ${command.token} was answered twice`)
        return
      case "Forget": {
        const child = this.find(command.id)
        assert.strictEqual(child?.doing, "down", `${command.id} was forgotten while it is up`)
        const refused = event._tag === "ChildStartFailed" && child!.added && child!.generation === 0
        const expected = event._tag === "DeleteChild" || refused || child!.restart === "temporary" || this.scenario.dynamic
        assert.isTrue(expected, `${command.id} was forgotten`)
        child!.owed = false
        this.children.splice(this.children.indexOf(child!), 1)
        return
      }
      case "Booted":
        assert.isTrue(this.booting)
        this.booting = false
        return
      case "Tell":
        return this.told(command.decision, refused)
      case "End":
        assert.isUndefined(this.ended, "ended twice")
        assert.deepStrictEqual(this.children.filter(({ doing }) => doing !== "down"), [], "it ended with children up")
        this.ended = command.outcome
        return
    }
  }

  private decide(id: string): void {
    const child = this.find(id)!
    assert.isAbove(child.generation, child.decided, `the end of ${id} generation ${child.generation} is decided twice`)
    child.decided = child.generation
  }

  private told(decision: Machine.Decision, refused: Ask | undefined): void {
    this.decisions.push(decision)
    if (decision._tag === "GiveUp" && refused === undefined) {
      assert.isAbove(this.usedNow() + 1, this.maxRestarts(), "it gave up with budget left")
    }
    if (decision._tag === "Leave" || (decision._tag === "GiveUp" && refused === undefined)) this.decide(decision.child)
    if (decision._tag === "Restart" || decision._tag === "Leave" || decision._tag === "GiveUp") {
      assert.isFalse(this.stopping, `${decision._tag} is told while the supervisor stops`)
    }
    if (decision._tag === "Recover") {
      assert.strictEqual(this.find(decision.child)?.doing, "running", `${decision.child} is told as recovered and is not up`)
    }
  }

  private start({ generation, id }: Extract<Machine.Command, { _tag: "Start" }>): void {
    assert.isFalse(this.stopping, `${id} is started while the supervisor stops`)
    const facts = this.requested.get(id)
    if (facts !== undefined && this.find(id) === undefined) this.children.push(makeChild(id, facts.restart, true))
    const child = this.find(id)!
    const asked = this.requested.has(id) && !child.owed && !(this.booting && child.generation === -1 && !child.added && !child.passedBy)
    if (asked) this.requested.delete(id)
    assert.strictEqual(child.doing, "down", `${id} is started while it is ${child.doing}`)
    assert.strictEqual(generation, child.generation + 1, `${id} skips a generation`)
    const first = this.booting && child.generation === -1 && !child.passedBy
    assert.isTrue(asked || first || child.owed, `${id} is started and nobody owes it a start`)
    if (asked && !child.added) assert.isFalse(first, `${id} is asked for before the boot comes to it`)
    if (!asked) assert.isTrue(child.restart !== "temporary" || first, `${id} is temporary and is restarted`)
    if (!asked && !first && this.strategy !== "one_for_one") {
      assert.isTrue(this.blast.has(id), `${id} is started outside the victims`)
      for (const other of this.before(child)) {
        if (this.blast.has(other.id)) assert.isFalse(other.owed && other.doing !== "running", `${id} starts before ${other.id}`)
      }
    }
    if (!asked && !this.scenario.dynamic && (first || this.strategy !== "one_for_one")) {
      assert.deepStrictEqual(this.doing("starting").filter((other) => !other.asked), [], "two are starting at once")
    }
    if (first && !asked) {
      for (const other of this.before(child)) assert.isTrue(other.generation !== -1 || other.passedBy, `${id} boots before ${other.id}`)
    }
    if (asked && this.blast.size > 0) this.blast.add(id) // started by the operator into a group that is being recovered
    else if (!this.booting) this.blast.delete(id) // up again, it is a victim no more
    Object.assign(child, { doing: "starting", generation, owed: false, asked })
  }

  private stop({ generation, id }: Extract<Machine.Command, { _tag: "Stop" }>, event: Machine.Event): void {
    const child = this.find(id)!
    assert.isTrue(child.doing === "running" || child.doing === "starting", `${id} is stopped while it is ${child.doing}`)
    assert.strictEqual(generation, child.generation)
    const later = this.after(child)
    if (this.failing.get(id) === generation && !this.booting) {
      child.cause = "fail"
      this.failing.delete(id)
      if (calls(child.restart, reasonOf("failed"))) this.takeAlong(child)
    } else if (this.state.phase._tag === "Stopping") {
      child.cause = "shutdown"
      if (!this.scenario.dynamic) {
        for (const other of later) assert.strictEqual(other.doing, "down", `${id} stops before ${other.id} is down`)
      }
    } else if (event._tag === "TerminateChild" && event.id === id) child.cause = "terminate"
    else {
      child.cause = "recovery"
      assert.notStrictEqual(this.strategy, "one_for_one", `${id} is stopped for the sake of a sibling`)
      assert.isTrue(this.blast.has(id), `${id} is stopped outside the victims`)
      for (const other of later) {
        if (this.blast.has(other.id)) assert.strictEqual(other.doing, "down", `${id} stops before ${other.id} is down`)
      }
    }
    Object.assign(child, { doing: "stopping", asked: false })
  }

  /** The machine's own account of its children against the world's. */
  private compare(event: Machine.Event): void {
    const phase = this.state.phase._tag
    this.stopping = phase === "Stopping" || phase === "Ended"
    if (this.stopping) { for (const child of this.children) child.owed = false }
    const now = this.statuses()
    assert.deepStrictEqual(
      now.map(([id, status]) => [id, status]),
      this.children.map(({ doing, id, owed }) => [id, doing === "down" ? this.downAs(id, owed) : doing]),
      `after ${event._tag}`
    )
  }

  private downAs(id: string, owed: boolean): string {
    const child = this.state.children.get(id) // an exit during the boot is held, whatever will be decided on it
    return child?.ended === true ? child.status._tag.toLowerCase() : owed ? "waiting" : "down"
  }

  private statuses(): ReadonlyArray<readonly [string, string]> {
    return [...this.state.children.values()].map(({ id, status }) => [id, status._tag.toLowerCase()] as const)
  }

  // ── the end of a script ──

  /** Answers everything that is open, and lets all timers fire, until nothing is open any more. */
  private settle(): void {
    for (let turn = 0; turn < 1_000; turn++) {
      if (this.isSettled()) return
      this.answerAny(0)
    }
    assert.fail("it never comes to rest")
  }

  private isSettled(): boolean {
    const open = this.doing("starting").length + this.doing("stopping").length + this.asks.length + this.timers.length
    return open === 0 && !this.settling
  }

  private assertAtRest(): void {
    const phase = this.state.phase._tag
    assert.isTrue(phase === "Running" || phase === "Ended", `at rest and still ${phase}`)
    for (const child of this.children) assert.isFalse(child.owed, `${child.id} is owed a start and nobody gives it`)
    if (phase === "Running") assert.strictEqual(this.state.recoveries, 0, "a recovery is left over")
    assert.strictEqual(this.state.busy, 0)
    for (const [token, answers] of this.tokens) assert.strictEqual(answers, 1, `token ${token} was not answered`)
  }

  private assertEnded(): void {
    assert.strictEqual(this.state.phase._tag, "Ended")
    assert.isDefined(this.ended)
    for (const [token, answers] of this.tokens) assert.strictEqual(answers, 1, `token ${token} was not answered`)
    const ends = this.decisions.filter((told) => told._tag === "Terminate" || told._tag === "GiveUp")
    assert.lengthOf(ends, this.ended!._tag === "StartFailed" ? 0 : 1, "one end, one decision")
  }

  // ── bookkeeping ──

  private takeAlong(child: Child): void {
    if (this.strategy === "one_for_one") return
    const from = this.strategy === "one_for_all" ? 0 : this.children.indexOf(child)
    for (const victim of this.children.slice(from)) this.blast.add(victim.id)
  }

  private isCalm(): boolean {
    return this.asks.length === 0 && this.timers.length === 0 && !this.settling &&
      this.children.every(({ doing, owed }) => doing === "running" || (doing === "down" && !owed))
  }

  private maxRestarts(): number {
    return this.limit === "unlimited" ? Number.POSITIVE_INFINITY : this.limit.maxRestarts
  }

  private usedNow(): number {
    return this.spent.filter((at) => this.now - at < this.scenario.within).length
  }

  private doing(doing: Child["doing"]): ReadonlyArray<Child> {
    return this.children.filter((child) => child.doing === doing)
  }

  private before(child: Child): ReadonlyArray<Child> {
    return this.children.slice(0, this.children.indexOf(child))
  }

  private after(child: Child): ReadonlyArray<Child> {
    return this.children.slice(this.children.indexOf(child) + 1)
  }

  private find(id: string): Child | undefined {
    return this.children.find((child) => child.id === id)
  }

  private about({ generation, id }: Child) {
    return { id, generation, incident: this.incident() }
  }

  private incident(): string {
    return `i${this.incidents++}`
  }

  private token(): number {
    this.tokens.set(++this.nextToken, 0)
    return this.nextToken
  }
}

const makeChild = (id: string, restart: Child["restart"], added = false): Child => ({
  id,
  restart,
  generation: -1,
  doing: "down",
  owed: false,
  cause: undefined,
  asked: false,
  passedBy: false,
  added,
  decided: -1
})

/** Fields whose `otp` value leaves the laws of this world as they are; those that do not have tests of their own, and the oracle. */
const semanticsOf = (like: number): Semantics.Semantics => {
  const fields = ["window", "coalesce", "autoShutdown", "giveUp", "ignoredInstance"] as const
  const chosen = fields.filter((field, bit) => field !== "window" && (like & (1 << bit)) !== 0)
  return { ...Semantics.production, ...Object.fromEntries(chosen.map((field) => [field, Semantics.otp[field]])) }
}

const choose = <A>(open: ReadonlyArray<A>, pick: number): A | undefined => open[pick % Math.max(1, open.length)]

const reasonOf = (how: "failed" | "normal" | "shutdown" | "defect"): ExitReason => {
  switch (how) {
    case "failed":
      return ExitReason.Failed({ error: "failed" })
    case "normal":
      return ExitReason.Normal()
    case "shutdown":
      return ExitReason.Shutdown({ why: "asked" })
    case "defect":
      return ExitReason.Defect({ defect: "bug" })
  }
}

/** OTP's table, written out. */
const calls = (restart: Child["restart"], reason: ExitReason): boolean =>
  restart === "permanent" || (restart === "transient" && (reason._tag === "Failed" || reason._tag === "Defect" || reason._tag === "Killed"))
