/**
 * The dispatch machine played against simulated workers and callers. After each step, what the machine says is checked against what these
 * know: who waits, who was sent where, what was delivered, who was told.
 */
import { assert } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import * as DeadlineWheel from "../src/control/DeadlineWheel.ts"
import * as Dispatch from "../src/control/Dispatch.ts"
import * as DispatchMachine from "../src/control/DispatchMachine.ts"
import * as DispatchRepair from "../src/control/DispatchRepair.ts"
import { PoolConfig } from "../src/PoolConfig.ts"
import { ScriptedTool } from "../src/testing/index.ts"
import type { Wire } from "../src/Wire.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const slot = int(0, 2)
/** Chooses one of what there is, by its remainder. */
const nth = int(0, 11)

export const Settings = Schema.Struct({
  depth: int(1, 3),
  capacity: int(0, 4),
  attempts: int(1, 3),
  credit: int(1, 4),
  /** Workers that are up at the beginning. */
  up: int(0, 3)
})
export type Settings = typeof Settings.Type

/** What can happen, as far as it can: a step that is not possible now does nothing. */
export const Step = Schema.Union([
  Schema.TaggedStruct("Offer", {
    tool: Schema.Literals(["a", "a", "a", "a", "a", "b", "b", "nowhere"]),
    idempotent: Schema.Literals([true, true, false]),
    deterministic: Schema.Boolean,
    large: Schema.Literals([false, false, false, false, false, false, false, true]),
    timeout: Schema.Literals([30, 500]),
    /** 0: none is declared. */
    hardLimit: Schema.Literals([0, 0, 0, 20, 250, 700])
  }),
  Schema.TaggedStruct("Cancel", { nth }),
  Schema.TaggedStruct("Take", { nth, elements: int(1, 4) }),
  Schema.TaggedStruct("Attach", { slot, poor: Schema.Literals([false, false, false, false, true]) }),
  Schema.TaggedStruct("Break", { slot }),
  Schema.TaggedStruct("Detach", { slot, ended: Schema.Boolean }),
  Schema.TaggedStruct("Begin", { slot }),
  Schema.TaggedStruct("Yield", { slot }),
  Schema.TaggedStruct("Finish", { slot }),
  Schema.TaggedStruct("Raise", { slot, large: Schema.Boolean }),
  Schema.TaggedStruct("GiveBack", { slot }),
  Schema.TaggedStruct("Overdue", { slot }),
  Schema.TaggedStruct("Stray", { slot, nth }),
  Schema.TaggedStruct("Tick", { ms: Schema.Literals([1, 5, 10, 10, 40, 110, 300]) })
])
export type Step = typeof Step.Type

/** Work goes on more often than things break. */
const [offered, , taken, , , , begun, yielded, finished] = Step.members
const work = [offered, begun, yielded, taken, finished] as const
const Weighted = Schema.Union([...Step.members, ...work, ...work, ...work, offered, begun, yielded])
export const Script = Schema.Array(Weighted).check(Schema.isMaxLength(150))

interface Caller {
  readonly id: number
  readonly tool: string
  readonly idempotent: boolean
  readonly deterministic: boolean
  readonly timeout: number
  /** Infinity when none is declared. */
  readonly hardLimit: number
  since: number
  sends: number
  begins: number
  /** Payload indexes, in the order of their delivery. */
  readonly got: Array<number>
  granted: number
  fate: "open" | "refused" | "completed" | "failed" | "cancelled"
}

interface Job {
  readonly id: number
  readonly sentAt: number
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
  jobs: Array<Job>
}

const queueTimeout = 200
const cancelGrace = 100
const maxPayload = 1024
const slots = 3

/** All that the machine reads of a wire is which tools it serves. */
const wire = (tools: ReadonlySet<string>): Wire => ({
  pid: 1000,
  tools: new Map([...tools].map((name) => [name, ScriptedTool.announced(name)])),
  concurrency: 1,
  input: () => assert.fail("the machine uses a wire"),
  inputEnd: () => assert.fail("the machine uses a wire"),
  submit: () => assert.fail("the machine uses a wire"),
  cancel: () => assert.fail("the machine uses a wire"),
  credit: () => assert.fail("the machine uses a wire"),
  probe: Effect.never
})

export class Model {
  readonly state: Dispatch.DispatchState
  readonly callers = new Map<number, Caller>()
  readonly workers: ReadonlyArray<Worker> = Array.from({ length: slots }, () => ({ tools: undefined, open: false, jobs: [] }))
  /** In the order in which they should be sent. */
  again: Array<number> = []
  queue: Array<number> = []
  readonly bitten = new Set<number>()
  /** The call whose caller has just been told that its worker is replaced. */
  private replaced: number | undefined
  now = 1_000_000
  private ids = 0
  private readonly settings: Settings

  constructor(settings: Settings) {
    this.settings = settings
    const { attempts, capacity, credit, depth } = settings
    const config = Schema.decodeUnknownSync(PoolConfig)({ size: slots, attempts, credit, depth, maxPayload })
    this.state = Dispatch.make("p", {
      ...config,
      queue: { capacity, timeout: Duration.millis(queueTimeout) },
      cancelGrace: Duration.millis(cancelGrace)
    })
    for (let slot = 0; slot < settings.up; slot++) this.step({ _tag: "Attach", slot, poor: false })
  }

  step(step: Step): void {
    switch (step._tag) {
      case "Begin":
      case "Yield":
      case "Finish":
      case "Raise":
      case "GiveBack":
      case "Overdue":
        return this.work(step._tag, step.slot)
    }
    const worker = "slot" in step ? this.workers[step.slot]! : undefined
    switch (step._tag) {
      case "Offer": {
        const { deterministic, idempotent, large, timeout, tool } = step
        const hardLimit = step.hardLimit === 0 ? Number.POSITIVE_INFINITY : step.hardLimit
        const id = ++this.ids
        this.callers.set(id, {
          id,
          tool,
          idempotent,
          deterministic,
          timeout,
          hardLimit,
          since: this.now,
          sends: 0,
          begins: 0,
          got: [],
          granted: this.settings.credit,
          fate: "open"
        })
        const offer = {
          id,
          tool,
          idempotent,
          deterministic,
          callTimeoutMillis: timeout,
          hardLimitMillis: step.hardLimit === 0 ? undefined : step.hardLimit,
          blocking: false,
          session: undefined,
          tenant: "",
          deadline: undefined,
          queueTimeoutMillis: undefined,
          trace: undefined,
          bytes: large ? maxPayload + 1 : 10,
          at: this.now
        }
        const { rejected } = this.state.ledger
        const full = this.state.queue.size
        this.queue.push(id)
        this.say(Dispatch.Event.Offer({ offer }))
        if (this.state.ledger.rejected > rejected) this.callers.get(id)!.fate = "refused"
        else assert.isAtMost(this.state.queue.size, Math.max(full, this.settings.capacity), "the queue is longer than its capacity")
        return
      }
      case "Cancel": {
        const caller = this.pick(step.nth, ({ fate }) => fate === "open")
        if (caller === undefined) return
        caller.fate = "cancelled"
        this.unqueue(caller.id)
        return this.say(Dispatch.Event.Cancel({ id: caller.id }))
      }
      case "Take": {
        const caller = this.pick(step.nth, ({ fate, got, granted }) => fate === "open" && got.length + this.settings.credit > granted)
        if (caller === undefined) return
        const elements = Math.min(step.elements, caller.got.length + this.settings.credit - caller.granted)
        caller.granted += elements
        return this.say(Dispatch.Event.Credit({ id: caller.id, elements }))
      }
      case "Attach": {
        const tools = new Set(step.poor ? ["a"] : ["a", "b"])
        this.lost(step.slot)
        Object.assign(worker!, { tools, open: true, jobs: [] })
        return this.say(Dispatch.Event.Attached({ slot: step.slot, wire: wire(tools) }))
      }
      case "Break":
        worker!.open = false
        return this.say(Dispatch.Event.Broken({ slot: step.slot }))
      case "Detach":
        this.lost(step.slot)
        Object.assign(worker!, { tools: undefined, open: false, jobs: [] })
        return this.say(Dispatch.Event.Detached({ slot: step.slot, reason: "gone", ended: step.ended }))
      case "Stray": { // news of a call that the slot does not have
        const caller = this.pick(step.nth, ({ id }) => worker!.jobs.every((job) => job.id !== id))
        if (caller === undefined) return
        this.say(Dispatch.Event.Started({ slot: step.slot, id: caller.id }))
        this.say(Dispatch.Event.Item({ slot: step.slot, id: caller.id, payload: Uint8Array.of(255) }))
        return this.say(Dispatch.Event.Done({ slot: step.slot, id: caller.id, payload: Uint8Array.of(255) }))
      }
      case "Tick":
        this.now += step.ms
        this.say(Dispatch.Event.Tick())
        for (const caller of this.open()) {
          const waits = this.again.includes(caller.id) || this.queue.includes(caller.id)
          const limit = waits ? queueTimeout : Math.min(caller.timeout, caller.hardLimit)
          assert.isBelow(this.now - caller.since, limit + DeadlineWheel.tickMillis, `call ${caller.id} is past its deadline`)
        }
        for (const [slot, { jobs }] of this.workers.entries()) {
          const late = jobs.find(({ due }) => this.now - due >= DeadlineWheel.tickMillis)
          assert.isUndefined(late, `worker ${slot} goes on with call ${late?.id} beyond its limit`)
        }
    }
  }

  /** What a worker says of the call at the head of its own queue: on this slot, or the next one where it can be. */
  private work(what: "Begin" | "Yield" | "Finish" | "Raise" | "GiveBack" | "Overdue", from: number): void {
    const can = ({ begun, cancelled, credit }: Job): boolean => {
      switch (what) {
        case "Begin":
          return !begun && !cancelled
        case "Yield":
          return begun && !cancelled && credit > 0
        case "Finish":
          return begun
        case "Raise":
          return begun && !cancelled
        case "GiveBack": // it is draining, or the call was cancelled before it began
        case "Overdue": // by the worker's own clock
          return !begun
      }
    }
    const slot = [from, (from + 1) % slots, (from + 2) % slots].find((slot) => this.workers[slot]!.jobs.slice(0, 1).some(can))
    if (slot === undefined) return
    const worker = this.workers[slot]!
    const job = worker.jobs[0]!
    const { id } = job
    const cancelled = Dispatch.Event.Failed({ slot, id, failure: { _tag: "Cancelled", how: "finished" } })
    switch (what) {
      case "Begin":
        job.begun = true
        this.callers.get(id)!.begins++
        return this.say(Dispatch.Event.Started({ slot, id }))
      case "Yield":
        job.credit--
        return this.say(Dispatch.Event.Item({ slot, id, payload: Uint8Array.of(job.next++) }))
      case "Finish":
        worker.jobs.shift()
        return this.say(job.cancelled ? cancelled : Dispatch.Event.Done({ slot, id, payload: Uint8Array.of(id & 255) }))
      case "Raise":
        worker.jobs.shift()
        return this.say(Dispatch.Event.Failed({ slot, id, failure: { _tag: "TooLarge", bytes: 9999 } }))
      case "Overdue":
        worker.jobs.shift()
        return this.say(cancelled)
      case "GiveBack": {
        worker.jobs.shift()
        if (job.cancelled) return this.say(cancelled)
        worker.open = false
        const caller = this.callers.get(id)!
        caller.sends--
        caller.since = this.now
        this.again.push(id)
        return this.say(Dispatch.Event.Failed({ slot, id, failure: { _tag: "Declined" } }))
      }
    }
  }

  /** Lets everything come to its end: all workers up, and every one of them at work. */
  settle(): void {
    for (let round = 0; round < 200 && this.state.calls.size > 0; round++) {
      for (let slot = 0; slot < slots; slot++) {
        if (!this.workers[slot]!.open) this.step({ _tag: "Attach", slot, poor: false })
        this.step({ _tag: "Begin", slot })
        this.step({ _tag: "Finish", slot })
        this.step({ _tag: "GiveBack", slot })
      }
    }
    assert.strictEqual(this.state.calls.size, 0, "a call never comes to its end")
    assert.deepStrictEqual([...this.open()], [])
  }

  close(): void {
    this.say(Dispatch.Event.Close({ because: "over" }))
    assert.deepStrictEqual([...this.open()], [])
    assert.strictEqual(this.state.calls.size, 0)
  }

  *open(): Iterable<Caller> {
    for (const caller of this.callers.values()) if (caller.fate === "open") yield caller
  }

  /** Applies an event, follows the commands, and looks for what is wrong. */
  say(event: Dispatch.Event): void {
    for (const command of DispatchMachine.transition(this.state, event, this.now)) this.follow(command, event)
    this.check()
  }

  check(): void {
    assert.deepStrictEqual(DispatchRepair.violations(this.state), [])
    assert.deepStrictEqual([...this.state.again], this.again)
    assert.deepStrictEqual([...this.state.queue], this.queue)
    const { ledger } = this.state
    const count = (fate: Caller["fate"]) => [...this.callers.values()].filter((caller) => caller.fate === fate).length
    assert.strictEqual(ledger.accepted, ledger.completed + ledger.failed + ledger.cancelled + count("open"))
    assert.strictEqual(ledger.completed, count("completed"))
    assert.strictEqual(ledger.cancelled, count("cancelled"))
    assert.strictEqual(ledger.failed + ledger.rejected, count("failed") + count("refused"))
    assert.strictEqual(ledger.twice, 0)
  }

  follow(command: Dispatch.Command, event: Dispatch.Event): void {
    switch (command._tag) {
      case "Send": {
        const { credit, id, skip, slot } = command
        const worker = this.workers[slot]!
        const caller = this.openCaller(id)
        assert.isTrue(worker.tools?.has(caller.tool), "sent to a worker that does not serve it")
        assert.isTrue(worker.open, "sent to a closed slot")
        assert.isBelow(worker.jobs.length, this.settings.depth, "sent beyond the depth")
        for (const other of this.workers) if (other.open) assert.isAtLeast(other.jobs.length, worker.jobs.length, "not the freest worker")
        assert.strictEqual(id, this.again[0] ?? this.queue[0], "not the first of the queue")
        this.unqueue(id)
        caller.sends++
        caller.since = this.now
        assert.isAtMost(caller.sends, caller.idempotent ? this.settings.attempts : 1, "sent too often")
        assert.strictEqual(skip, caller.got.length, "resumed in the wrong place")
        assert.isTrue(skip === 0 || caller.deterministic)
        assert.strictEqual(credit, caller.granted - caller.got.length, "more elements on the way than the consumer has room for")
        const due = Number.POSITIVE_INFINITY
        worker.jobs.push({ id, sentAt: this.now, begun: false, cancelled: false, due, next: skip, credit })
        return
      }
      case "CancelOnWire": {
        const job = this.workers[command.slot]!.jobs.find(({ id }) => id === command.id)
        assert.isDefined(job, "cancelled where it is not")
        const { fate, hardLimit } = this.callers.get(command.id)!
        job!.cancelled = true
        const afterGrace = this.now + cancelGrace
        const hard = job!.sentAt + hardLimit
        if (fate === "cancelled") job!.due = Math.min(afterGrace, hard)
        else job!.due = Number.isFinite(hard) && hard > this.now ? hard : afterGrace
        return
      }
      case "CreditOnWire": {
        const job = this.workers[command.slot]!.jobs.find(({ id }) => id === command.id)
        assert.isDefined(job, "credit where it is not")
        job!.credit += command.elements
        return
      }
      case "Deliver": {
        const { got } = this.openCaller(command.id)
        assert.strictEqual(command.payload[0], got.length, "an element is missing or comes twice")
        got.push(got.length)
        return
      }
      case "Complete": {
        const caller = this.openCaller(command.id)
        assert.strictEqual(command.payload[0], caller.id & 255, "the result of another call")
        caller.fate = "completed"
        return
      }
      case "Fail": {
        const caller = this.openCaller(command.id)
        caller.fate = "failed"
        const waited = this.now - caller.since
        this.unqueue(command.id)
        const { error } = command
        if (error.executed === "no") assert.strictEqual(caller.sends, 0, `${error._tag} says that it did not run, and it was sent`)
        else assert.isAtLeast(caller.sends, 1, `${error._tag} of a call that was never sent`)
        switch (error._tag) {
          case "QueueTimeout":
            return assert.isAtLeast(waited, queueTimeout, "early")
          case "CallTimeout":
            if (event._tag === "Tick") assert.isAtLeast(waited, Math.min(caller.timeout, caller.hardLimit), "early")
            if (error.replaced) this.replaced = command.id
            return
          case "WorkerCrashed":
            assert.isAtLeast(caller.begins, 1)
            return assert.isTrue(event._tag === "Close" || !this.mayRunAgain(caller), "it could have been tried again")
          case "QueueFull":
            return assert.isAtLeast(this.state.queue.size, this.settings.capacity)
        }
        return
      }
      case "FailWorker": {
        const { jobs } = this.workers[command.slot]!
        const due = jobs.find((job) => this.now >= job.due)
        if (due === undefined) { // not one that was cancelled before: it has reached its hard limit
          const job = jobs.find(({ id }) => id === this.replaced)
          assert.isDefined(job, "a worker is failed whose calls are all within their limits")
          assert.isAtLeast(this.now - job!.sentAt, this.callers.get(job!.id)!.hardLimit, "before its hard limit")
          assert.isTrue(job!.begun || jobs.every(({ begun, cancelled }) => !begun && !cancelled), "for a call that waits behind another")
          this.replaced = undefined
        } else due.due = this.now + cancelGrace // it is said again
        this.bitten.add(command.slot)
        return
      }
      case "Retried":
        assert.isTrue(this.mayRunAgain(this.openCaller(command.id)), "tried again although it must not be")
    }
  }

  private mayRunAgain(caller: Caller): boolean {
    return caller.idempotent && caller.sends < this.settings.attempts && (caller.got.length === 0 || caller.deterministic)
  }

  private openCaller(id: number): Caller {
    const caller = this.callers.get(id)!
    assert.strictEqual(caller.fate, "open", `call ${id} hears more after it was settled`)
    return caller
  }

  private unqueue(id: number): void {
    this.again = this.again.filter((other) => other !== id)
    this.queue = this.queue.filter((other) => other !== id)
  }

  /** What the caller's side expects of a slot that goes: those that may are tried again, in the order in which they were sent. */
  private lost(slot: number): void {
    for (const { cancelled, id } of this.workers[slot]!.jobs) {
      const caller = this.callers.get(id)!
      if (cancelled || caller.fate !== "open" || !this.mayRunAgain(caller)) continue
      this.again.push(id)
      caller.since = this.now
    }
  }

  private pick(nth: number, isOne: (caller: Caller) => boolean): Caller | undefined {
    const some = [...this.callers.values()].filter(isOne)
    return some.length === 0 ? undefined : some[nth % some.length]
  }
}
