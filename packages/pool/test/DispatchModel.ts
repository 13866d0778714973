/**
 * The dispatch machine played against simulated workers and callers. After each step, what the machine says is checked against what these
 * know: who waits, who was sent where, what was delivered, who was told.
 */
import { assert } from "@effect/vitest"
import { Duration, Schema } from "effect"
import * as DeadlineWheel from "../src/control/DeadlineWheel.ts"
import type * as Dispatch from "../src/control/Dispatch.ts"
import { make } from "../src/control/Dispatch.ts"
import * as DispatchMachine from "../src/control/DispatchMachine.ts"
import * as DispatchRepair from "../src/control/DispatchRepair.ts"
import { mostAhead } from "../src/control/Pace.ts"
import * as TenantQueue from "../src/control/TenantQueue.ts"
import type { Payload } from "../src/Payload.ts"
import { PoolConfig } from "../src/PoolConfig.ts"
import { ScriptedTool } from "../src/testing/index.ts"
import type { WireTool } from "../src/Wire.ts"
import { offerOf, wireOf } from "./MachineInput.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const slot = int(0, 2)
/** Chooses one of what there is, by its remainder. */
const nth = int(0, 11)

export const Settings = Schema.Struct({
  concurrency: int(1, 2),
  prefetch: Schema.Union([int(0, 2), Schema.Literal("auto")]),
  affinity: Schema.Literals(["hint", "hint", "strict_queue", "strict_fail_fast"]),
  capacity: int(0, 6),
  perTenant: int(1, 6),
  attempts: int(1, 3),
  credit: int(1, 4),
  /** 0: no call is quarantined. */
  poisonAfter: int(0, 3),
  /** What is answered when the machine asks how long a call rests; -1: it is not tried again, -2: nobody answers. */
  delay: Schema.Literals([0, 20, 60, -1, -2]),
  /** 0: no slot is tainted. */
  taintFor: Schema.Literals([0, 100]),
  maxTainted: Schema.Literals([0.5, 1]),
  /** Workers that are up at the beginning. */
  up: int(0, 3)
})
export type Settings = typeof Settings.Type

/** What can happen, as far as it can: a step that is not possible now does nothing. */
export const Step = Schema.Union([
  Schema.TaggedStruct("Offer", {
    tool: Schema.Literals(["a", "a", "a", "a", "a", "b", "b", "nowhere"]),
    args: int(0, 2),
    /** Whether the contract says the following, or leaves it to the worker. */
    says: Schema.Literals([true, true, true, false]),
    idempotent: Schema.Literals([true, true, false]),
    deterministic: Schema.Boolean,
    timeout: Schema.Literals([30, 500]),
    /** 0: none is declared. */
    hardLimit: Schema.Literals([0, 0, 0, 20, 250, 700]),
    large: Schema.Literals([false, false, false, false, false, false, false, true]),
    tenant: Schema.Literals(["", "", "x", "y"]),
    session: Schema.Literals(["", "", "s", "t"]),
    /** From now on; 0: none. */
    deadline: Schema.Literals([0, 0, 0, -5, 25, 350]),
    queueTimeout: Schema.Literals([0, 0, 0, 60])
  }),
  Schema.TaggedStruct("Cancel", { nth }),
  Schema.TaggedStruct("Take", { nth, elements: int(1, 4) }),
  Schema.TaggedStruct("Feed", { nth }),
  Schema.TaggedStruct("Attach", { slot, poor: Schema.Literals([false, false, false, false, true]) }),
  Schema.TaggedStruct("Break", { slot }),
  Schema.TaggedStruct("Resume", { slot }),
  Schema.TaggedStruct("Detach", {
    slot,
    end: Schema.Literals(["not seen", "unclear", "KilledByUs", "Segfault", "Segfault", "KilledBySomeone"])
  }),
  Schema.TaggedStruct("Begin", { slot }),
  Schema.TaggedStruct("Yield", { slot }),
  Schema.TaggedStruct("Ask", { slot }),
  Schema.TaggedStruct("Finish", { slot }),
  Schema.TaggedStruct("Raise", { slot, large: Schema.Boolean }),
  Schema.TaggedStruct("GiveBack", { slot }),
  Schema.TaggedStruct("Overdue", { slot }),
  Schema.TaggedStruct("Stray", { slot, nth }),
  Schema.TaggedStruct("Configure", {
    capacity: int(0, 8),
    prefetch: Schema.Union([Schema.Literal("auto"), int(0, 2)]),
    attempts: int(1, 3)
  }),
  Schema.TaggedStruct("Tick", { ms: Schema.Literals([1, 5, 10, 10, 40, 110, 300]) }),
  /** Time passes, and no tick comes yet. */
  Schema.TaggedStruct("Pass", { ms: int(1, 50) }),
  Schema.TaggedStruct("Hold", { slot, how: Schema.Literals(["Cordon", "Drain", "Uncordon", "Uncordon"]) })
])
export type Step = typeof Step.Type

/** Work goes on more often than things break. */
const [offered, , taken, , , , , , begun, yielded, , finished] = Step.members
const work = [offered, begun, yielded, taken, finished] as const
const Weighted = Schema.Union([...Step.members, ...work, ...work, ...work, offered, begun, yielded])
export const Script = Schema.Array(Weighted).check(Schema.isMaxLength(150))

/** Calls that crash their workers, most of them to be tried again: what {@link Script} comes to rarely. */
export const Crashes = Schema.Array(Schema.Union([
  ...[1, 2, 3].map(() =>
    Schema.TaggedStruct("Offer", {
      tool: Schema.Literal("a"),
      args: int(0, 1),
      says: Schema.Literal(true),
      idempotent: Schema.Literals([true, true, true, false]),
      deterministic: Schema.Boolean,
      timeout: Schema.Literal(500),
      hardLimit: Schema.Literal(0),
      large: Schema.Literal(false),
      tenant: Schema.Literals(["", "x"]),
      session: Schema.Literals(["", "", "", "s"]),
      deadline: Schema.Literals([0, 0, 350]),
      queueTimeout: Schema.Literal(0)
    })
  ),
  ...[1, 2].flatMap(() => [
    Schema.TaggedStruct("Begin", { slot }),
    Schema.TaggedStruct("Detach", { slot, end: Schema.Literals(["Segfault", "Segfault", "KilledBySomeone", "KilledByUs"]) }),
    Schema.TaggedStruct("Attach", { slot, poor: Schema.Literal(false) })
  ]),
  Schema.TaggedStruct("Tick", { ms: Schema.Literals([10, 40, 110]) }),
  Schema.TaggedStruct("Pass", { ms: Schema.Literals([40, 110, 300]) }),
  Schema.TaggedStruct("Break", { slot }),
  Schema.TaggedStruct("Resume", { slot }),
  Schema.TaggedStruct("Hold", { slot, how: Schema.Literals(["Cordon", "Drain", "Uncordon", "Uncordon"]) }),
  Schema.TaggedStruct("Ask", { slot }),
  Schema.TaggedStruct("Finish", { slot }),
  Schema.TaggedStruct("Cancel", { nth })
])).check(Schema.isMinLength(10), Schema.isMaxLength(60))

interface Caller {
  readonly id: number
  readonly tool: string
  /** Tool and arguments. */
  readonly print: string
  /** Until when it rests; Infinity while that is not known. */
  rests: number | undefined
  /** Slots whose workers crashed with it. */
  readonly crashed: Set<number>
  /** Crashes that others may have caused, too. */
  readonly unproven: Array<Crash>
  readonly tenant: string
  readonly session: string | undefined
  /** Whether its contract says what follows; otherwise the worker that it is sent to does. */
  readonly says: boolean
  idempotent: boolean
  deterministic: boolean
  timeout: number
  readonly declaredHardLimit: number | undefined
  /** Infinity when none is declared. */
  hardLimit: number
  readonly queueTimeout: number
  readonly deadline: number
  since: number
  sends: number
  begins: number
  /** A worker has it. */
  isTried: boolean
  asked: boolean
  /** Payload indexes, in the order of their delivery. */
  readonly got: Array<number>
  granted: number
  fate: "open" | "refused" | "completed" | "failed" | "cancelled"
  isLate: boolean
}

interface Crash {
  readonly at: number
  readonly sentAt: number
}

interface Job {
  readonly id: number
  readonly sentAt: number
  begunAt: number
  begun: boolean
  cancelled: boolean
  /** When its worker must be failed: not before, and at the latest one tick after. */
  due: number
  next: number
  credit: number
}

interface Worker {
  tools: ReadonlySet<string> | undefined
  open: boolean
  held: "no" | "cordoned" | "drained"
  jobs: Array<Job>
}

const queueTimeout = 200
const cancelGrace = 100
const maxPayload = 1024
const poisonWindow = 3000
const together = 1000
const told = 1000
const trial = 100
const quarantineFor = 300
const digestOf = (payload: Payload) => `args ${(payload as Uint8Array)[0]}`
const slots = 3

/** What workers say of their tools. */
const facts: { readonly [tool: string]: WireTool } = {
  a: { ...ScriptedTool.announced("a"), idempotent: true, deterministic: true, timeoutMillis: 300 },
  b: { ...ScriptedTool.announced("b"), timeoutMillis: 40, hardLimitMillis: 90 }
}

export class Model {
  readonly state: Dispatch.DispatchState
  readonly callers = new Map<number, Caller>()
  readonly workers: ReadonlyArray<Worker> = Array.from({ length: slots }, () => ({ tools: undefined, open: false, held: "no", jobs: [] }))
  /** By tenant, in the order in which they should be sent. */
  readonly lines = new Map<string, Array<number>>()
  /** By waiting tenant: how often others were served since it was. */
  private readonly passed = new Map<string, Map<string, number>>()
  /** Slots by session, and sessions whose worker is gone. */
  private readonly homes = new Map<string, number>()
  private readonly homeless = new Set<string>()
  /** Those whose calls were told that their worker is to go, while it drained: they are not told again. */
  private readonly warned = new Set<string>()
  /** Ends of sessions that workers were told and have not confirmed. */
  private readonly endings: Array<{ readonly slot: number; readonly number: number }> = []
  /** Those whose calls were told so in the present event. */
  private readonly told = new Set<string>()
  /** Calls that nobody waits for, until it is told how they ended. */
  readonly given = new Set<number>()
  /** How often a call was sent that has completed at a later attempt, until that is told. */
  readonly recovered = new Map<number, number>()
  readonly bitten = new Set<number>()
  private readonly fates = { open: 0, refused: 0, completed: 0, failed: 0, cancelled: 0 }
  /** The call whose caller has just been told that its worker is replaced. */
  private replaced: number | undefined
  /** By tool and arguments: when they crashed workers, until when they are in quarantine. */
  private readonly crashes = new Map<string, Array<number>>()
  private readonly quarantine = new Map<string, number>()
  /** Those that must be told to be in quarantine from now on. */
  private readonly poisoned = new Set<string>()
  /** Until when, by slot. */
  private readonly tainted = new Map<number, number>()
  private crashing: number | undefined
  /** Whom the crash counts for. */
  private blamed: string | undefined
  private readonly resting = new Set<Caller>()
  private readonly asks: Array<Dispatch.AskDelay> = []
  now = 1_000_000
  private ids = 0
  private settings: Settings

  constructor(settings: Settings) {
    this.settings = settings
    const { affinity, attempts, capacity, concurrency, credit, perTenant, prefetch } = settings
    const config = Schema.decodeUnknownSync(PoolConfig)({ size: slots, attempts, credit, concurrency, prefetch, affinity, maxPayload })
    const { maxTainted, poisonAfter, taintFor } = settings
    this.state = make("p", {
      ...config,
      barrier: {
        ...config.barrier,
        poisonAfter,
        maxTainted,
        taintFor: Duration.millis(taintFor),
        poisonWindow: Duration.millis(poisonWindow),
        quarantineFor: Duration.millis(quarantineFor)
      },
      queue: { capacity, perTenant, timeout: Duration.millis(queueTimeout) },
      cancelGrace: Duration.millis(cancelGrace)
    }, digestOf)
    for (let slot = 0; slot < settings.up; slot++) this.step({ _tag: "Attach", slot, poor: false })
  }

  private get isStrict(): boolean {
    return this.settings.affinity !== "hint"
  }

  step(step: Step): void {
    switch (step._tag) {
      case "Begin":
      case "Yield":
      case "Ask":
      case "Finish":
      case "Raise":
      case "GiveBack":
      case "Overdue":
        return this.work(step._tag, step.slot)
    }
    const worker = "slot" in step ? this.workers[step.slot]! : undefined
    switch (step._tag) {
      case "Offer":
        return this.offer(step)
      case "Cancel": {
        const caller = this.pick(step.nth, ({ fate }) => fate === "open")
        if (caller === undefined) return
        this.end(caller, "cancelled")
        this.given.add(caller.id)
        this.unqueue(caller)
        return this.say({ _tag: "Cancel", id: caller.id })
      }
      case "Take": {
        const caller = this.pick(step.nth, ({ fate, got, granted }) => fate === "open" && got.length + this.settings.credit > granted)
        if (caller === undefined) return
        const elements = Math.min(step.elements, caller.got.length + this.settings.credit - caller.granted)
        caller.granted += elements
        return this.say({ _tag: "Credit", id: caller.id, elements })
      }
      case "Feed": {
        const caller = this.pick(step.nth, ({ asked, fate }) => fate === "open" && asked)
        return caller && this.say({ _tag: "Input", id: caller.id, payload: Uint8Array.of(1) })
      }
      case "Attach": {
        const tools = new Set(step.poor ? ["a"] : ["a", "b"])
        this.lost(step.slot)
        Object.assign(worker!, { tools, open: true, jobs: [] })
        return this.say({
          _tag: "Attached",
          slot: step.slot,
          wire: wireOf([...tools].map((name) => facts[name]!), this.settings.concurrency)
        })
      }
      case "Break":
        worker!.open = false
        return this.say({ _tag: "Broken", slot: step.slot })
      case "Resume":
        worker!.open = worker!.tools !== undefined
        return this.say({ _tag: "Resumed", slot: step.slot })
      case "Hold": {
        worker!.held = step.how === "Uncordon" ? "no" : step.how === "Cordon" ? "cordoned" : "drained"
        if (step.how === "Drain" && !this.isStrict) this.leave(step.slot)
        return this.say({ _tag: step.how, slot: step.slot })
      }
      case "Detach":
        return this.detach(step.slot, step.end)
      case "Stray": { // news of a call that the slot does not have
        const caller = this.pick(step.nth, ({ id }) => worker!.jobs.every((job) => job.id !== id))
        if (caller === undefined) return
        this.say({ _tag: "Started", slot: step.slot, id: caller.id })
        this.say({ _tag: "Item", slot: step.slot, id: caller.id, payload: Uint8Array.of(255) })
        return this.say({ _tag: "Done", slot: step.slot, id: caller.id, payload: Uint8Array.of(255), micros: 0 })
      }
      case "Configure": {
        const { capacity, prefetch } = step
        const attempts = Math.max(step.attempts, this.settings.attempts) // what was sent stays sent
        this.settings = { ...this.settings, attempts, capacity, prefetch }
        const { config } = this.state
        return this.say({ _tag: "Configured", config: { ...config, attempts, prefetch, queue: { ...config.queue, capacity } } })
      }
      case "Pass":
        this.now += step.ms
        return
      case "Tick":
        this.now += step.ms
        this.say({ _tag: "Tick" })
        for (const [slot, until] of this.tainted) assert.isBelow(this.now, until, `slot ${slot} is tainted for ever`)
        for (const [print, until] of this.quarantine) assert.isBelow(this.now, until, `${print} is in quarantine for ever`)
        for (const caller of this.open()) {
          if (caller.rests !== undefined) {
            const end = Math.min(Number.isFinite(caller.rests) ? caller.rests : caller.since + caller.queueTimeout, caller.deadline)
            assert.isBelow(this.now - end, DeadlineWheel.tickMillis, `call ${caller.id} rests for ever`)
            continue
          }
          const limit = this.waits(caller) ? caller.queueTimeout : Math.min(caller.timeout, caller.hardLimit)
          const end = Math.min(caller.since + limit, caller.deadline)
          assert.isBelow(this.now - end, DeadlineWheel.tickMillis, `call ${caller.id} is past its deadline`)
        }
        for (const [slot, { jobs }] of this.workers.entries()) {
          const late = jobs.find(({ due }) => this.now - due >= DeadlineWheel.tickMillis)
          assert.isUndefined(late, `worker ${slot} goes on with call ${late?.id} beyond its limit`)
        }
    }
  }

  private offer(step: Extract<Step, { readonly _tag: "Offer" }>): void {
    const { args, deterministic, idempotent, large, says, tenant, timeout, tool } = step
    const id = ++this.ids
    const declaredHardLimit = says && step.hardLimit > 0 ? step.hardLimit : undefined
    const deadline = step.deadline === 0 ? undefined : this.now + step.deadline
    const session = step.session === "" ? undefined : step.session
    const caller: Caller = {
      id,
      tool,
      print: `${tool} ${args}`,
      rests: undefined,
      crashed: new Set(),
      unproven: [],
      tenant,
      session,
      says,
      idempotent,
      deterministic,
      timeout,
      declaredHardLimit,
      hardLimit: Number.POSITIVE_INFINITY,
      queueTimeout: step.queueTimeout === 0 ? queueTimeout : step.queueTimeout,
      deadline: deadline ?? Number.POSITIVE_INFINITY,
      since: this.now,
      sends: 0,
      begins: 0,
      isTried: false,
      asked: false,
      got: [],
      granted: this.settings.credit,
      fate: "open",
      isLate: false
    }
    this.callers.set(id, caller)
    this.fates.open++
    const { ledger, waiting } = this.state
    const { rejected } = ledger
    this.line(tenant).push(id)
    this.say({
      _tag: "Offer",
      offer: offerOf({
        id,
        tool,
        idempotent: says ? idempotent : undefined,
        deterministic: says ? deterministic : undefined,
        callTimeoutMillis: says ? timeout : undefined,
        hardLimitMillis: declaredHardLimit,
        blocking: says ? false : undefined,
        session,
        tenant,
        deadline,
        queueTimeoutMillis: step.queueTimeout === 0 ? undefined : step.queueTimeout,
        payload: Uint8Array.of(args),
        bytes: large ? maxPayload + 1 : 10,
        at: this.now
      })
    })
    if (ledger.rejected > rejected) return this.refuse(caller)
    assert.isFalse(this.isPoison(caller), "accepted, though it is in quarantine")
    assert.isAtMost(this.state.waiting, Math.max(waiting, this.settings.capacity), "the queue is longer than its capacity")
  }

  /** What a worker says of a call that it may run: on this slot, or the next one where it can be. */
  private work(what: "Begin" | "Yield" | "Ask" | "Finish" | "Raise" | "GiveBack" | "Overdue", from: number): void {
    const can = ({ begun, cancelled, credit }: Job): boolean => {
      switch (what) {
        case "Begin":
          return !begun && !cancelled
        case "Yield":
          return begun && !cancelled && credit > 0
        case "Finish":
          return begun
        case "Ask":
        case "Raise":
          return begun && !cancelled
        case "GiveBack": // it is draining, or the call was cancelled before it began
        case "Overdue": // by the worker's own clock
          return !begun
      }
    }
    const found = (slot: number) => this.workers[slot]!.jobs.slice(0, this.settings.concurrency).find(can)
    const slot = [from, (from + 1) % slots, (from + 2) % slots].find((slot) => found(slot) !== undefined)
    if (slot === undefined) return
    const worker = this.workers[slot]!
    const job = found(slot)!
    const { id } = job
    const caller = this.callers.get(id)!
    const remove = () => worker.jobs.splice(worker.jobs.indexOf(job), 1)
    const cancelled = (how: string) => this.say({ _tag: "Failed", slot, id, failure: { _tag: "Cancelled", how } })
    switch (what) {
      case "Begin":
        job.begun = true
        job.begunAt = this.now
        caller.begins++
        return this.say({ _tag: "Started", slot, id })
      case "Yield":
        job.credit--
        return this.say({ _tag: "Item", slot, id, payload: Uint8Array.of(job.next++) })
      case "Ask":
        caller.asked = true
        return this.say({ _tag: "Want", slot, id, elements: 2 })
      case "Finish":
        remove()
        return job.cancelled ? cancelled("finished") : this.say({ _tag: "Done", slot, id, payload: Uint8Array.of(id & 255), micros: 0 })
      case "Raise":
        remove()
        return this.say({ _tag: "Failed", slot, id, failure: { _tag: "TooLarge", bytes: 9999 } })
      case "Overdue":
        remove()
        return cancelled("queued")
      case "GiveBack": {
        remove()
        if (job.cancelled) return cancelled("queued")
        worker.open = false
        caller.sends--
        caller.since = this.now
        this.again(caller)
        return this.say({ _tag: "Failed", slot, id, failure: { _tag: "Declined" } })
      }
    }
  }

  /** Lets everything come to its end: all workers up, and every one of them at work. */
  settle(): void {
    for (let slot = 0; slot < slots; slot++) this.step({ _tag: "Hold", slot, how: "Uncordon" })
    for (let round = 0; round < 200 && this.state.calls.size > 0; round++) {
      if (this.state.resting.length > 0) this.step({ _tag: "Tick", ms: 40 })
      for (const { number, slot } of this.endings.splice(0)) {
        this.say({ _tag: "SessionEnded", slot, number, failure: "", overran: false })
      }
      for (let slot = 0; slot < slots; slot++) {
        if (!this.workers[slot]!.open) this.step({ _tag: "Attach", slot, poor: false })
        this.step({ _tag: "Begin", slot })
        this.step({ _tag: "Finish", slot })
        this.step({ _tag: "GiveBack", slot })
      }
    }
    assert.strictEqual(this.state.calls.size, 0, "a call never comes to its end")
    assert.deepStrictEqual([...this.open()], [])
    assert.deepStrictEqual([...this.given], [], "how a cancelled call ended is not told")
  }

  close(): void {
    this.say({ _tag: "Close", because: "over" })
    assert.deepStrictEqual([...this.open()], [])
    assert.strictEqual(this.state.calls.size, 0)
    assert.deepStrictEqual([...this.given], [], "how a cancelled call ended is not told")
  }

  *open(): Iterable<Caller> {
    for (const caller of this.callers.values()) if (caller.fate === "open") yield caller
  }

  /** Applies an event, follows the commands, and looks for what is wrong. */
  say(event: Dispatch.Event): void {
    for (const command of DispatchMachine.transition(this.state, event, this.now)) this.follow(command, event)
    for (const session of this.told) this.begin(session)
    this.rested()
    this.check()
    this.answer()
  }

  /** Answers what the machine has asked in the event. */
  private answer(): void {
    const { delay } = this.settings
    for (let asked = this.asks.shift(); asked !== undefined; asked = this.asks.shift()) {
      if (delay === -2) continue
      const event: Dispatch.Event = { _tag: "DelayKnown", asked, delayMillis: delay === -1 ? undefined : delay }
      this.say(event)
      this.say(event) // once more: it was answered
    }
  }

  /** Those whose rest is over, and that wait again: before the others of their tenant. */
  private rested(): void {
    if (this.resting.size === 0) return
    for (const tenant of ["", "x", "y"]) {
      const waiting = this.queues().flatMap((queue) => [...TenantQueue.members(queue)]).filter((call) => call.tenant === tenant)
      const back = waiting.map(({ id }) => this.callers.get(id)!).filter(({ rests }) => rests !== undefined)
      for (const caller of back.toReversed()) {
        assert.isAtLeast(this.now, caller.rests!, "its rest is not over")
        this.again(caller)
      }
    }
  }

  private queues() {
    const { queue, slots } = this.state
    return [queue, ...slots.map(({ bound }) => bound)]
  }

  check(): void {
    assert.deepStrictEqual(DispatchRepair.violations(this.state), [])
    assert.deepStrictEqual([...this.poisoned], [], "nobody was told of a quarantine")
    assert.strictEqual(this.recovered.size, 0, "nobody was told that a call has completed after all")
    const waiting = this.queues().flatMap((queue) => [...TenantQueue.members(queue)])
    if (this.isStrict) {
      const ids = waiting.map(({ id }) => id).toSorted((a, b) => a - b)
      assert.deepStrictEqual(ids, [...this.lines.values()].flat().toSorted((a, b) => a - b))
    } else {
      for (const [tenant, line] of this.lines) {
        assert.deepStrictEqual(waiting.flatMap((call) => call.tenant === tenant ? [call.id] : []), line)
      }
    }
    const { accepted, cancelled, completed, failed, rejected, twice } = this.state.ledger
    assert.strictEqual(accepted, completed + failed + cancelled + this.fates.open)
    assert.strictEqual(completed, this.fates.completed)
    assert.strictEqual(cancelled, this.fates.cancelled)
    assert.strictEqual(failed + rejected, this.fates.failed + this.fates.refused)
    assert.strictEqual(twice, 0)
  }

  follow(command: Dispatch.Command, event: Dispatch.Event): void {
    switch (command._tag) {
      case "Send":
        return this.sent(command)
      case "EndSessionOnWire":
        return void this.endings.push({ slot: command.slot, number: command.number })
      case "CancelOnWire": {
        const job = this.workers[command.slot]!.jobs.find(({ id }) => id === command.id)
        assert.isDefined(job, "cancelled where it is not")
        const { fate, hardLimit, isLate, timeout } = this.callers.get(command.id)!
        job!.cancelled = true
        this.replaced = undefined
        this.given.add(command.id)
        const afterGrace = this.now + cancelGrace
        const hard = job!.sentAt + hardLimit
        if (fate === "cancelled") job!.due = Math.min(afterGrace, Number.isFinite(hard) ? hard : job!.sentAt + timeout + cancelGrace)
        else job!.due = Number.isFinite(hard) && hard > this.now ? isLate ? Math.min(hard, afterGrace) : hard : afterGrace
        return
      }
      case "Cancelled":
        assert.isTrue(this.given.delete(command.id), "told twice how it ended, or of a call that was not given up")
        return assert.strictEqual(command.because === "caller", this.callers.get(command.id)!.fate === "cancelled")
      case "CreditOnWire": {
        const job = this.workers[command.slot]!.jobs.find(({ id }) => id === command.id)
        assert.isDefined(job, "credit where it is not")
        job!.credit += command.elements
        return
      }
      case "InputOnWire":
        return assert.isTrue(this.workers[command.slot]!.jobs.some(({ id }) => id === command.id), "input where the call is not")
      case "Want":
        return assert.isTrue(this.openCaller(command.id).asked)
      case "Deliver": {
        const { got } = this.openCaller(command.id)
        assert.strictEqual(command.payload[0], got.length, "an element is missing or comes twice")
        got.push(got.length)
        return
      }
      case "Complete": {
        const caller = this.openCaller(command.id)
        assert.strictEqual(command.payload[0], caller.id & 255, "the result of another call")
        if (caller.sends > 1) this.recovered.set(command.id, caller.sends)
        return this.end(caller, "completed")
      }
      case "Recovered":
        assert.strictEqual(command.attempts, this.recovered.get(command.id), "it was not retried, has not completed, or was told twice")
        return void this.recovered.delete(command.id)
      case "Fail":
        return this.failed(command, event)
      case "FailWorker": {
        const { jobs } = this.workers[command.slot]!
        if (this.replaced === undefined) { // for one that was cancelled before
          const due = jobs.find((job) => this.now >= job.due)
          assert.isDefined(due, "a worker is failed whose calls are all within their limits")
          due!.due = this.now + cancelGrace // it is said again
        } else {
          const job = jobs.find(({ id }) => id === this.replaced)!
          assert.isAtLeast(this.now - job.sentAt, this.callers.get(job.id)!.hardLimit, "before its hard limit")
          assert.isTrue(job.begun || jobs.every(({ begun, cancelled }) => !begun && !cancelled), "for a call that waits behind another")
        }
        this.bitten.add(command.slot)
        return
      }
      case "Returned": {
        const caller = this.openCaller(command.id)
        assert.isTrue(caller.isTried, "given back by no worker")
        caller.isTried = false
        return
      }
      case "AskDelay": {
        const caller = this.openCaller(command.id)
        assert.isTrue(this.mayRunAgain(caller), "it must not be tried again")
        assert.strictEqual(caller.rests, Number.POSITIVE_INFINITY, "it has not crashed its worker")
        assert.strictEqual(command.error.executed, "unknown")
        return void this.asks.push(command)
      }
      case "Retried": {
        const caller = this.openCaller(command.id)
        if (caller.rests !== undefined) caller.rests = this.now + command.delayMillis
        return assert.isTrue(this.mayRunAgain(caller), "tried again although it must not be")
      }
      case "Tainted": {
        assert.strictEqual(command.slot, this.crashing)
        assert.strictEqual(command.exitClass, "Segfault")
        this.tainted.set(command.slot, this.now + this.settings.taintFor)
        return assert.isAtMost(this.tainted.size, this.settings.maxTainted * slots, "too many are tainted")
      }
      case "Untainted":
        assert.isAtLeast(this.now, this.tainted.get(command.slot) ?? Number.POSITIVE_INFINITY, "early, or told twice")
        return void this.tainted.delete(command.slot)
      case "Quarantined": {
        const print = `${command.tool} ${command.digest.slice("args ".length)}`
        assert.isTrue(this.poisoned.delete(print), "in quarantine without reason, or told twice")
        assert.strictEqual(command.until, this.now + quarantineFor)
        this.quarantine.set(print, command.until)
        return assert.strictEqual(command.crashes, this.settings.poisonAfter)
      }
      case "Released": {
        const print = `${command.tool} ${command.digest.slice("args ".length)}`
        assert.isAtLeast(this.now, this.quarantine.get(print) ?? Number.POSITIVE_INFINITY, "early, or told twice")
        if (print !== this.blamed) this.crashes.set(print, [])
        return void this.quarantine.delete(print)
      }
    }
  }

  private sent({ credit, deadlineMillis, id, skip, slot }: Extract<Dispatch.Command, { readonly _tag: "Send" }>): void {
    const { concurrency, prefetch } = this.settings
    const worker = this.workers[slot]!
    const caller = this.openCaller(id)
    const { session, tenant } = caller
    const busy = worker.jobs.length
    assert.isTrue(worker.tools?.has(caller.tool), "sent to a worker that does not serve it")
    assert.isTrue(worker.open, "sent to a closed slot")
    assert.isBelow(busy, concurrency + (prefetch === "auto" ? mostAhead : prefetch), "sent beyond the bound")
    if (this.isStrict && session !== undefined) {
      if (this.told.has(session) || (this.warned.has(session) && this.homes.get(session) !== slot)) this.begin(session)
      assert.isFalse(this.homeless.has(session), "nobody was told that the session's worker is gone")
      assert.isTrue((this.homes.get(session) ?? slot) === slot, "sent to another worker than its session's")
    }
    assert.isFalse(this.isPoison(caller), "sent, though it is in quarantine")
    const isClean = (slot: number) => this.workers[slot]!.open && this.workers[slot]!.held === "no" && !this.tainted.has(slot)
    const anyClean = this.workers.some((_, slot) => isClean(slot))
    const chosen = this.workers.filter(({ held, open }, index) => open && held === "no" && (!anyClean || isClean(index)))
    const others = chosen.filter((worker) => !caller.crashed.has(this.workers.indexOf(worker)))
    const isRetry = ({ id }: Job) => this.callers.get(id)!.crashed.size > 0
    const isOnTrial = (job: Job) => isRetry(job) && this.now - job.sentAt < trial
    if (caller.crashed.has(slot)) {
      assert.isTrue(
        others.every(({ jobs }) => jobs.length >= concurrency || jobs.some(isOnTrial)),
        "sent where it crashed, while another worker is free"
      )
    }
    if (caller.crashed.size > 0) assert.isFalse(worker.jobs.some(isOnTrial), "two calls whose workers crashed begin beside each other")
    if (caller.crashed.size > 0 || worker.jobs.some(isRetry)) {
      assert.isBelow(busy, concurrency, "sent ahead, or behind a call whose worker crashed")
    }
    const mayTake = (caller.crashed.has(slot) ? chosen : others).filter(({ jobs }) => jobs.length < concurrency || !jobs.some(isRetry))
    const least = Math.min(...mayTake.map(({ jobs }) => jobs.length))
    const home = session === undefined ? undefined : this.homes.get(session)
    if (!(this.isStrict && home !== undefined)) {
      assert.strictEqual(worker.held, "no", "sent to a worker that gets no new calls")
      assert.isTrue(!anyClean || isClean(slot), "sent to a tainted worker, while another is there")
      if (busy >= concurrency) assert.isAtLeast(least, concurrency - (home === slot ? 1 : 0), "sent ahead while another worker is free")
      if (prefetch !== "auto" && caller.crashed.size === 0) assert.isAtMost(busy, least + (home === slot ? 1 : 0), "not the freest worker")
    }
    if (caller.rests !== undefined) {
      assert.isAtLeast(this.now, caller.rests, "it rests still")
      this.again(caller)
    }
    if (!this.isStrict) this.taken(tenant, id)
    this.unqueue(caller)
    if (session !== undefined) this.homes.set(session, slot)
    assert.isFalse(caller.isTried, "sent again, and nobody was told that its attempt is over")
    caller.isTried = true
    caller.sends++
    caller.since = this.now
    const { deterministic, hardLimitMillis, idempotent, timeoutMillis } = facts[caller.tool]!
    if (!caller.says) Object.assign(caller, { deterministic, idempotent, timeout: timeoutMillis })
    caller.hardLimit = caller.declaredHardLimit ?? hardLimitMillis ?? Number.POSITIVE_INFINITY
    assert.isBelow(this.now, caller.deadline, "sent after its deadline")
    assert.strictEqual(deadlineMillis, Math.min(caller.timeout, caller.hardLimit, caller.deadline - this.now))
    assert.isAtMost(caller.sends, caller.idempotent ? this.settings.attempts : 1, "sent too often")
    assert.strictEqual(skip, caller.got.length, "resumed in the wrong place")
    assert.isTrue(skip === 0 || caller.deterministic)
    assert.strictEqual(credit, caller.granted - caller.got.length, "more elements on the way than the consumer has room for")
    const due = Number.POSITIVE_INFINITY
    worker.jobs.push({ id, sentAt: this.now, begun: false, begunAt: Number.POSITIVE_INFINITY, cancelled: false, due, next: skip, credit })
  }

  /** A call of the tenant is sent: it is its first, and no other tenant was passed by a second time. */
  private taken(tenant: string, id: number): void {
    assert.strictEqual(id, this.line(tenant)[0], "not the first of its tenant")
    for (const [other, line] of this.lines) {
      if (other === tenant || line.length === 0) {
        this.passed.delete(other)
        continue
      }
      const counts = this.passed.get(other) ?? new Map<string, number>()
      const times = (counts.get(tenant) ?? 0) + 1
      assert.isAtMost(times, 1, `two calls of "${tenant}" between two of "${other}", which waits`)
      this.passed.set(other, counts.set(tenant, times))
    }
  }

  private failed({ error, id }: Extract<Dispatch.Command, { readonly _tag: "Fail" }>, event: Dispatch.Event): void {
    const caller = this.openCaller(id)
    const { session } = caller
    this.end(caller, "failed")
    const waited = this.now - caller.since
    this.unqueue(caller)
    if (event._tag !== "Tick") this.passed.delete(caller.tenant) // its turn had come
    const gaveBack = event._tag === "Failed" && event.failure._tag === "Cancelled"
    if (error.executed === "no") assert.isTrue(caller.sends === 0 || gaveBack, `${error._tag} says that it did not run, and it was sent`)
    else assert.isAtLeast(caller.sends, 1, `${error._tag} of a call that was never sent`)
    switch (error._tag) {
      case "QueueTimeout":
        return assert.isAtLeast(waited, caller.queueTimeout, "early")
      case "CallTimeout":
        if (event._tag === "Tick") assert.isAtLeast(waited, Math.min(caller.timeout, caller.hardLimit), "early")
        if (error.replaced) this.replaced = id
        return
      case "DeadlineExceeded":
        caller.isLate = true
        if (event._tag === "Tick" && caller.sends > 0 && error.worker !== undefined) this.replaced = id
        return assert.isAtLeast(this.now + (gaveBack ? DeadlineWheel.tickMillis : 0), caller.deadline, "early")
      case "WorkerCrashed":
        assert.isAtLeast(caller.begins, 1)
        return assert.isTrue(
          event._tag === "Close" || !this.mayRunAgain(caller) || (event._tag === "DelayKnown" && event.delayMillis === undefined),
          "it could have been tried again"
        )
      case "CallPoisoned":
        return assert.isTrue(this.isPoison(caller), "it is not in quarantine")
      case "QueueFull":
        return assert.isAtLeast(
          error.tenant === undefined ? this.state.waiting : this.line(caller.tenant).length,
          error.tenant === undefined ? this.settings.capacity : this.isStrict ? 0 : this.settings.perTenant
        )
      case "SessionLost":
        if (this.workers[this.homes.get(session!) ?? -1]?.held === "drained" && !this.homeless.has(session!)) {
          return void this.warned.add(session!)
        }
        assert.isTrue(this.isStrict && this.homeless.has(session!), "its worker is there")
        this.told.add(session!)
        return
      case "SessionBusy": {
        assert.strictEqual(this.settings.affinity, "strict_fail_fast")
        const { jobs, open } = this.workers[this.homes.get(session!)!]!
        return assert.isTrue(!open || jobs.length >= this.settings.concurrency, "its worker is free")
      }
    }
  }

  /** Who was told that a session's worker is gone begins the session anew. */
  private begin(session: string): void {
    this.told.delete(session)
    this.warned.delete(session)
    this.homeless.delete(session)
    this.homes.delete(session)
  }

  private end(caller: Caller, fate: Exclude<Caller["fate"], "open">): void {
    this.fates[caller.fate]--
    this.fates[fate]++
    caller.fate = fate
    caller.rests = undefined
    this.resting.delete(caller)
  }

  private isPoison({ print }: Caller): boolean {
    return this.poisoned.has(print) || (this.quarantine.get(print) ?? 0) > this.now
  }

  private refuse(caller: Caller): void {
    this.fates.failed--
    this.fates.refused++
    caller.fate = "refused"
  }

  private mayRunAgain(caller: Caller): boolean {
    if (this.isStrict && caller.session !== undefined) return false
    return caller.idempotent && !caller.asked && caller.sends < this.settings.attempts && (caller.got.length === 0 || caller.deterministic)
  }

  private openCaller(id: number): Caller {
    const caller = this.callers.get(id)!
    assert.strictEqual(caller.fate, "open", `call ${id} hears more after it was settled`)
    return caller
  }

  private line(tenant: string): Array<number> {
    const line = this.lines.get(tenant) ?? []
    this.lines.set(tenant, line)
    return line
  }

  private waits({ id, tenant }: Caller): boolean {
    return this.line(tenant).includes(id)
  }

  private unqueue({ id, tenant }: Caller): void {
    const line = this.line(tenant)
    const index = line.indexOf(id)
    if (index >= 0) line.splice(index, 1)
    if (line.length === 0) this.passed.delete(tenant)
  }

  private again(caller: Caller): void {
    this.line(caller.tenant).unshift(caller.id)
    caller.since = this.now
    caller.rests = undefined
    this.resting.delete(caller)
  }

  /** What the caller's side expects of a slot that goes: those that may are tried again, in the order in which they were sent. */
  private lost(slot: number, isCrash = false, culprit?: Job): void {
    for (const job of this.workers[slot]!.jobs.toReversed()) {
      const caller = this.callers.get(job.id)!
      if (job.cancelled || caller.fate !== "open" || !this.mayRunAgain(caller)) continue
      if (!isCrash) this.again(caller)
      else if (job !== culprit || !this.isPoison(caller)) {
        caller.rests = Number.POSITIVE_INFINITY
        this.resting.add(caller)
        caller.since = this.now
        caller.crashed.add(slot)
      }
    }
    this.leave(slot)
  }

  /** Sessions whose worker goes. */
  private leave(slot: number): void {
    for (const [session, home] of this.homes) {
      if (home !== slot) continue
      if (this.isStrict && !this.warned.delete(session)) this.homeless.add(session)
      else this.homes.delete(session)
    }
  }

  private detach(slot: number, end: Extract<Step, { readonly _tag: "Detach" }>["end"]): void {
    const worker = this.workers[slot]!
    const isCrash = worker.tools !== undefined && (end === "Segfault" || end === "KilledBySomeone")
    const culprit = isCrash && end === "Segfault" ? this.blame(worker.jobs) : undefined
    this.lost(slot, isCrash, culprit)
    Object.assign(worker, { tools: undefined, open: false, jobs: [] })
    this.crashing = isCrash ? slot : undefined
    const exit = end === "unclear" || end === "not seen" ? undefined : { _tag: end, signal: "SIGKILL" }
    this.say({ _tag: "Detached", slot, reason: "gone", ended: end !== "not seen", exit })
    this.crashing = undefined
    this.blamed = undefined
    const { maxTainted, taintFor } = this.settings
    const others = [...this.tainted.keys()].filter((tainted) => tainted !== slot).length
    if (isCrash && end === "Segfault" && taintFor > 0 && others + 1 <= maxTainted * slots) {
      assert.strictEqual(this.tainted.get(slot), this.now + taintFor, "it is not tainted")
    }
  }

  /** The one that must have crashed its worker; counts that. */
  private blame(jobs: ReadonlyArray<Job>): Job | undefined {
    const { concurrency, poisonAfter } = this.settings
    const alone = jobs.length === 1
    const retried = jobs.filter(({ id }) => this.callers.get(id)!.crashed.size > 0)
    const sure = concurrency === 1 ? jobs.find(({ begunAt }) => this.now - begunAt >= told) : undefined
    const culprit = alone ? jobs[0] : retried.length > 0 ? retried.length === 1 ? retried[0] : undefined : sure
    const isSure = culprit !== undefined && (culprit.begun || !culprit.cancelled)
    for (const job of jobs) {
      if (!isSure || job !== culprit) this.callers.get(job.id)!.unproven.push({ at: this.now, sentAt: job.sentAt })
    }
    if (!isSure) return undefined
    const { asked, print, unproven } = this.callers.get(culprit.id)!
    if (asked || poisonAfter === 0) return culprit
    this.blamed = print
    const until = this.quarantine.get(print)
    const isOver = until !== undefined && until <= this.now
    const crashes = isOver ? [] : (this.crashes.get(print) ?? []).filter((at) => at >= this.now - poisonWindow)
    for (const { at, sentAt } of [...alone ? unproven : [], { at: this.now, sentAt: culprit.sentAt }]) {
      const isOld = at < this.now - poisonWindow
      const isSame = crashes.some((other) => sentAt <= other && Math.abs(at - other) <= together)
      if (!isOld && !isSame) crashes.push(at)
    }
    this.crashes.set(print, crashes)
    if ((until === undefined || isOver) && crashes.length >= poisonAfter) this.poisoned.add(print)
    return culprit
  }

  private pick(nth: number, isOne: (caller: Caller) => boolean): Caller | undefined {
    const some = [...this.callers.values()].filter(isOne)
    return some.length === 0 ? undefined : some[nth % some.length]
  }
}
