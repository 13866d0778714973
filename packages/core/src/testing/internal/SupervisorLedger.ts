/**
 * What one supervisor may do, known from the definitions alone: strategies, the restart table, the window, the order.
 *
 * It reads what the supervisor heard and what it commanded, keeps books of its own, and says where the two part. It knows nothing of the
 * engine, whose state it never sees.
 */
import type * as Child from "../../Child.ts"
import type { ExitReason } from "../../ExitReason.ts"
import type { Spec } from "../../internal/interpreter.ts"
import type * as Supervisor from "../../Supervisor.ts"
import type { Command, Decision, Event } from "../../SupervisorState.ts"
import type { Rule } from "../Invariants.ts"
import { isOver, type Life } from "./LifeLedger.ts"

export type Accuse = (rule: Rule, path: string, message: string) => void

/** Why a child is being stopped. */
type Cause = "operator" | "failed" | "victim" | "shutdown"

/** A child in the books. */
export interface Member {
  readonly child: Child.Any
  readonly id: string
  readonly added: boolean
  generation: number
  doing: "down" | "starting" | "running" | "stopping"
  cause: Cause | undefined
  /** Somebody owes it a start. */
  owed: boolean
  /** It is owed because it ended itself: others may go down with it. */
  trigger: boolean
  /** Its end called for a restart that was neither granted nor refused yet. */
  undecided: boolean
  incident: string
  reason: ExitReason["_tag"] | undefined
  /** Its end is known and waits for the boot to be over. */
  ended: boolean
  /** Terminated before the boot came to it. */
  passedBy: boolean
  /** Started for an administration call. */
  asked: boolean
  stoppedAt: number
  /** Down for good and never to be started again: it must be forgotten. */
  gone: boolean
  life: Life | undefined
  grant: Grant | undefined
}

/** A restart that was granted. */
interface Grant {
  readonly origin: Member
  readonly at: number
  readonly incidents: ReadonlyArray<string>
  readonly generation: number
  readonly budgetLeft: number
  readonly victims: ReadonlyArray<string>
  from: Member
  due: number | undefined
  incident: string | undefined
  /** The victim that was started last; none while they are stopped and delayed. */
  cursor: Member | undefined
  /** Its child was terminated or ignored its start: there is nothing to tell when the group is whole. */
  silent: boolean
}

type Told<Tag extends Decision["_tag"]> = Extract<Decision, { readonly _tag: Tag }>

export class SupervisorLedger {
  readonly path: string
  readonly spec: Spec
  readonly life: Life | undefined
  phase: "booting" | "running" | "stopping" | "ended" = "booting"
  killed = false
  /** The incident that it gave up with. */
  gaveUp: string | undefined
  autoStopped = false
  readonly members: Array<Member> = []
  private readonly requests = new Map<number, { readonly id: string; readonly child: Child.Any | undefined }>()
  /** Calls of any kind that are not answered. */
  private readonly calls = new Map<number, string>()
  private readonly spent: Array<number> = []
  private readonly grants = new Map<number, Grant>()
  /** What came during the boot. */
  private held: Array<Extract<Event, { _tag: "ChildExited" | "FailChild" }>> = []
  private grant: Grant | undefined
  private significantEnded = false
  private significantChange: "ended" | "terminated" | undefined
  private ends = 0
  private refusal = false
  /** Terminated in this step, and not yet told. */
  private terminating: Member | undefined
  private readonly accuse: Accuse

  constructor(path: string, spec: Spec, life: Life | undefined, accuse: Accuse) {
    this.path = path
    this.spec = spec
    this.life = life
    this.accuse = accuse
    if (!this.dynamic) { for (const child of spec.children) this.members.push(makeMember(child, false)) }
  }

  private get dynamic(): boolean {
    return this.spec.template !== undefined
  }

  private get isGroup(): boolean {
    return !this.dynamic && this.spec.strategy !== "one_for_one"
  }

  find(id: string): Member | undefined {
    return this.members.find((member) => member.id === id)
  }

  /** One step: what it heard, then what it commanded. */
  step(event: Event, commands: ReadonlyArray<Command>, at: number): void {
    this.significantChange = undefined
    this.terminating = undefined
    if ("token" in event) this.calls.set(event.token, "id" in event ? event.id : event._tag === "StartChild" ? event.child.id : "")
    this.refusal = event._tag === "DelayRefused"
    this.hear(event)
    for (const command of commands) this.obey(command, event, at)
    if (this.terminating !== undefined) this.blame("event", this.terminating, "is terminated, and that is not told")
    this.checkAutoShutdown()
    this.finish(at)
  }

  // ── what it hears ──

  private hear(event: Event): void {
    switch (event._tag) {
      case "ChildStarted":
        return this.started(event)
      case "ChildIgnored":
        return this.ignored(event)
      case "ChildStartFailed":
        return this.startFailed(event)
      case "ChildExited":
        return this.exited(event)
      case "ChildStopped":
        return this.stopped(event)
      case "FailChild":
        return this.failed(event)
      case "DelayKnown": {
        const grant = this.grants.get(event.ask)
        if (grant !== undefined) grant.due = grant.at + event.delayMillis
        return
      }
      case "StartChild":
        this.requests.set(event.token, { id: event.child.id, child: event.child as Child.Any })
        return
      case "RestartChild":
        this.requests.set(event.token, { id: event.id, child: undefined })
        return
      case "TerminateChild":
        return this.terminated(event.id)
      case "Shutdown": {
        const asked = this.life === undefined || this.life.excused || this.life.member?.doing === "stopping"
        if (!asked) this.blame("isolation", undefined, "was told to stop and its own supervisor had not stopped it")
        return
      }
      case "Kill":
        this.killed = true
        return
    }
  }

  private current(event: { readonly id: string; readonly generation: number }, doing: Member["doing"]): Member | undefined {
    const member = this.find(event.id)
    return member?.generation === event.generation && member.doing === doing ? member : undefined
  }

  private started(event: Extract<Event, { _tag: "ChildStarted" }>): void {
    const member = this.current(event, "starting")
    if (member === undefined) return
    if (member.life?.state === "starting") this.blame("record", member, "is reported as started before it is up")
    Object.assign(member, { doing: "running", trigger: false, asked: false })
  }

  private ignored(event: Extract<Event, { _tag: "ChildIgnored" }>): void {
    const member = this.current(event, "starting")
    if (member === undefined) return this.stopped(event)
    const isNew = member.asked || this.phase === "booting"
    this.rest(member)
    this.silence(member)
    this.mustBeForgotten(member)
    if (!isNew && member.child.significant) this.significantDown("ended")
  }

  private startFailed(event: Extract<Event, { _tag: "ChildStartFailed" }>): void {
    const member = this.current(event, "starting")
    if (member === undefined) return this.stopped(event)
    this.mustBeReleased(member)
    if (member.asked || this.phase === "stopping") return this.rest(member)
    if (this.phase === "booting") {
      this.rest(member)
      return this.unwind() // and nothing is told
    }
    this.needsRestart(member, event.reason, event.incident)
  }

  private exited(event: Extract<Event, { _tag: "ChildExited" }>): void {
    const member = this.current(event, "running")
    if (member === undefined) return this.stopped(event)
    if (this.phase === "booting") {
      member.ended = true
      this.held.push(event)
      return
    }
    this.mustBeReleased(member)
    this.checkReason(member, event.reason, event.incident)
    member.reason = event.reason._tag
    if (this.phase === "stopping") return this.rest(member)
    if (calls(member.child, event.reason)) return this.needsRestart(member, event.reason, event.incident)
    this.rest(member)
    this.silence(member)
    member.undecided = true // until it is told that it is left
    this.mustBeForgotten(member)
    if (member.child.significant) this.significantDown("ended")
  }

  private stopped(event: { readonly id: string; readonly generation: number; readonly abandonedAfterMillis?: number | undefined }): void {
    const member = this.current(event, "stopping")
    if (member === undefined) return
    if (event.abandonedAfterMillis === undefined) {
      if (member.child.shutdown === "brutal") excuse(member.life)
      else this.mustBeReleased(member)
    }
    const below = member.life?.ledger
    if (below !== undefined && below.phase !== "ended") {
      this.blame("leak", member, "is taken to be down, and its supervisor goes on unkilled")
    }
    const { cause, owed } = member
    if (cause === "operator" && member.child.significant && this.phase === "running") this.significantDown("terminated")
    if (cause === "failed" && !owed) {
      member.undecided = true
      if (member.child.significant) this.significantDown("ended")
    }
    Object.assign(member, { doing: "down", cause: undefined })
    if (cause !== "failed" && member.child.restart === "temporary") Object.assign(member, { owed: false, trigger: false })
    if (!member.owed) this.mustBeForgotten(member)
  }

  private mustBeForgotten(member: Member): void {
    member.gone = this.dynamic || member.child.restart === "temporary"
  }

  private failed(event: Extract<Event, { _tag: "FailChild" }>): void {
    const member = this.find(event.id)
    if (member?.doing !== "running" || member.ended || member.cause === "failed") return
    if (event.generation !== undefined && member.generation !== event.generation) return
    if (this.phase === "booting") return void this.held.push({ ...event, generation: member.generation })
    if (this.phase !== "running") return
    member.cause = "failed"
    member.reason = event.reason._tag
    if (!calls(member.child, event.reason)) return
    Object.assign(member, { owed: true, trigger: true, undecided: true, incident: event.incident })
    this.absorb(member)
  }

  private terminated(id: string): void {
    const member = this.find(id)
    if (member === undefined || this.phase === "stopping") return
    if (member.ended) Object.assign(member, { doing: "down", ended: false, owed: true })
    const wasWaiting = member.doing === "down" && member.owed
    if (wasWaiting || isUp(member) || (member.doing === "stopping" && (member.owed || member.cause === "victim"))) this.terminating = member
    if (member.doing === "down") member.passedBy = member.generation === -1
    if (member.doing === "stopping") member.cause = "operator"
    Object.assign(member, { owed: false, trigger: false, undecided: false })
    this.silence(member)
    if (wasWaiting && member.child.significant) this.significantDown("terminated")
  }

  private needsRestart(member: Member, reason: ExitReason, incident: string): void {
    Object.assign(member, { doing: "down", owed: true, trigger: true, undecided: true, incident, reason: reason._tag, asked: false })
    this.absorb(member)
  }

  /** An end in a group that is being stopped anyway is part of that stop. */
  private absorb(member: Member): void {
    if (this.isGoingDown(member)) member.undecided = false
  }

  /** It is stopped for a restart that is granted and has started nobody yet, whatever became of its origin meanwhile. */
  private isGoingDown(member: Member): boolean {
    const { grant } = this
    return grant !== undefined && grant.cursor === undefined && this.includes(grant.from, member)
  }

  /** Down, and nobody owes it a start. */
  private rest(member: Member): void {
    Object.assign(member, { doing: "down", owed: false, trigger: false, undecided: false, cause: undefined, asked: false })
  }

  private silence(member: Member): void {
    if (member.grant?.origin === member) member.grant = undefined
    if (this.grant?.origin === member) this.grant.silent = true
  }

  private significantDown(how: "ended" | "terminated"): void {
    this.significantChange ??= how
    if (how === "ended") {
      this.significantChange = how
      this.significantEnded = true
    }
  }

  private mustBeReleased(member: Member): void {
    const { life } = member
    if (life === undefined || life.excused || isOver(life)) return
    this.blame("leak", member, `is taken to be down while it is ${life.state}`)
  }

  private checkReason(member: Member, reason: ExitReason, incident: string): void {
    const { life } = member
    if (life === undefined) return
    const below = life.ledger
    if (below === undefined) {
      const expected = life.hows.map((how) => reasonOf[how])
      if (!expected.some((tag) => tag === reason._tag)) {
        this.blame("restart type", member, `ended as ${expected} and is reported as ${reason._tag}`)
      }
      return
    }
    const expected = below.gaveUp === undefined ? "Normal" : "Failed"
    if (reason._tag !== expected) this.blame("restart type", member, `ended as ${expected} and is reported as ${reason._tag}`)
    if (below.gaveUp !== undefined && below.gaveUp !== incident) {
      this.blame("event", member, `gave up in the incident ${below.gaveUp} and is reported in ${incident}`)
    }
  }

  // ── what it commands ──

  private obey(command: Command, event: Event, at: number): void {
    switch (command._tag) {
      case "Start":
        return this.start(command, at)
      case "Stop":
        return this.stop(command, event, at)
      case "Kill": {
        const member = this.find(command.id)
        if (!this.killed) this.blame("isolation", member, "is killed and nobody killed its supervisor")
        excuse(member?.life)
        return member && this.rest(member)
      }
      case "AskDelay":
        return this.granted(command.ask, command.id, at)
      case "Reply": {
        this.requests.delete(command.token)
        this.calls.delete(command.token)
        return
      }
      case "Forget":
        return this.forgotten(command.id, event)
      case "Booted":
        return this.booted()
      case "Tell":
        return this.told(command.decision, event, at)
      case "End":
        return this.end()
    }
  }

  private start({ generation, id }: Extract<Command, { _tag: "Start" }>, at: number): void {
    const request = [...this.requests.values()].find((request) => request.id === id)
    let member = this.find(id)
    if (member === undefined) {
      const child = request?.child ?? (this.dynamic && this.phase === "booting" ? this.spec.template!.child(id) : undefined)
      if (child === undefined) return this.accuse("isolation", `${this.path}/${id}`, "is started and is no child of its supervisor")
      member = makeMember(child, request?.child !== undefined)
      this.members.push(member)
      if (this.members.length > this.spec.maxChildren) {
        this.blame("operator", member, `is started beyond maxChildren, ${this.spec.maxChildren}`)
      }
    }
    const first = this.phase === "booting" && member.generation === -1 && !member.passedBy && !member.added
    const asked = !member.owed && !first && request !== undefined
    if (this.phase === "stopping") this.blame("isolation", member, "is started while its supervisor stops")
    if (member.doing !== "down") this.blame("double life", member, `is started while it is ${member.doing}`)
    if (generation !== member.generation + 1) this.blame("double life", member, `generation ${generation} follows ${member.generation}`)
    if (first) this.checkBootOrder(member)
    else if (!asked && !member.owed) {
      const rule = member.generation >= 0 && member.reason !== undefined ? "restart type" : "operator"
      this.blame(rule, member, "is started and nobody owes it a start")
    } else if (member.owed) this.checkRestart(member, at)
    Object.assign(member, { doing: "starting", generation, owed: false, trigger: false, asked, ended: false, reason: undefined })
    member.life = undefined
  }

  private checkBootOrder(member: Member): void {
    if (this.dynamic) return
    for (const other of this.members) {
      if (other === member) break
      if (other.generation === -1 && !other.passedBy) this.blame("order", member, `boots before ${other.id}`)
    }
    this.mustBeAlone(member)
  }

  private checkRestart(member: Member, at: number): void {
    if (member.child.restart === "temporary") this.blame("restart type", member, "is temporary and is restarted")
    const grant = this.isGroup ? this.grant : member.grant
    if (grant === undefined || member.undecided) return this.blame("budget", member, "is restarted and no restart was granted")
    if (grant.due === undefined || at < grant.due) {
      this.blame("delay", member, `is restarted at ${at}, before its delay is over (${grant.due})`)
    }
    grant.cursor = member
    if (!this.isGroup) return
    this.mustBeAlone(member)
    for (const other of this.members) {
      if (other === member) break
      if (other.owed && this.includes(grant.from, other)) this.blame("order", member, `is restarted before ${other.id}`)
    }
  }

  private mustBeAlone(member: Member): void {
    const other = this.members.find(({ asked, doing }) => doing === "starting" && !asked)
    if (other !== undefined) this.blame("order", member, `is started before ${other.id} has acknowledged`)
    const last = this.isGroup && this.phase === "running"
      ? this.members.find(({ cause, doing }) => doing === "stopping" && cause === "victim")
      : undefined
    if (last !== undefined) this.blame("order", member, `is started while ${last.id} still stops`)
  }

  private stop({ generation, id }: Extract<Command, { _tag: "Stop" }>, event: Event, at: number): void {
    const member = this.find(id)
    if (member === undefined) return this.accuse("isolation", `${this.path}/${id}`, "is stopped and is no child of its supervisor")
    if (member.doing !== "running" && member.doing !== "starting") {
      this.blame("double life", member, `is stopped while it is ${member.doing}`)
    }
    if (generation !== member.generation) {
      this.blame("double life", member, `generation ${generation} is stopped, ${member.generation} is up`)
    }
    const cause = this.causeOf(member, event)
    if (cause === undefined) this.blame("isolation", member, "is stopped: it is no victim of any exit, and nobody asked for it")
    if ((cause === "shutdown" && !this.dynamic) || cause === "victim") this.mustBeLast(member)
    const origin = this.grant?.origin
    if (cause === "victim" && origin?.doing === "stopping" && origin.cause === "failed") {
      this.blame("order", member, `is stopped before ${origin.id}, which was failed, is down`)
    }
    if (cause === "victim") Object.assign(member, { owed: member.child.restart !== "temporary", trigger: false })
    Object.assign(member, { doing: "stopping", cause: cause ?? "victim", asked: false, stoppedAt: at })
  }

  private causeOf(member: Member, event: Event): Cause | undefined {
    if (this.phase === "stopping") return "shutdown"
    if (member.cause === "failed") return "failed"
    if (event._tag === "TerminateChild" && event.id === member.id) return "operator"
    if (!this.isGroup) return undefined
    return this.isGoingDown(member) || this.members.some((other) => other.trigger && this.includes(other, member)) ? "victim" : undefined
  }

  private mustBeLast(member: Member): void {
    for (const other of this.members.slice(this.members.indexOf(member) + 1)) {
      if (other.doing !== "down") this.blame("order", member, `is stopped before ${other.id} is down`)
    }
  }

  /** Whether an exit of the first takes the second along. */
  private includes(origin: Member, member: Member): boolean {
    switch (this.spec.strategy) {
      case "one_for_one":
        return origin === member
      case "one_for_all":
        return true
      case "rest_for_one": {
        const first = this.members.indexOf(origin)
        return first !== -1 && this.members.indexOf(member) >= first // a child that was deleted takes nobody along
      }
    }
  }

  private granted(ask: number, id: string, at: number): void {
    const origin = this.find(id)
    if (origin === undefined || !origin.undecided || !origin.owed) {
      this.accuse("budget", `${this.path}/${id}`, "is granted a restart that no exit of it calls for")
    }
    if (origin === undefined) return
    this.spent.push(at)
    const left = this.budgetLeft(at)
    if (left < 0) this.blame("budget", origin, `is granted a restart, number ${this.used(at)} of ${this.limitText()}`)
    const before = this.isGroup ? this.grant : origin.grant
    const grant: Grant = {
      origin,
      at,
      generation: origin.generation,
      budgetLeft: left,
      incidents: [origin.incident, ...(before === undefined ? [] : [...before.incidents])],
      victims: this.isGroup
        ? this.members.filter((other) => other !== origin && isUp(other) && this.includes(this.first(before, origin), other)).map((
          { id }
        ) => id)
        : [],
      from: this.first(before, origin),
      due: undefined,
      incident: undefined,
      cursor: undefined,
      silent: false
    }
    this.grants.set(ask, grant)
    if (!this.isGroup) {
      origin.undecided = false
      origin.grant = grant
      return
    }
    this.grant = grant
    for (const other of this.members) {
      if (!other.undecided || !other.owed) continue
      if (this.members.indexOf(other) < this.members.indexOf(origin)) {
        this.blame("event", origin, `is told as the origin, and ${other.id}, before it, ended with it`)
      }
      other.undecided = false
    }
  }

  /** Where a recovery begins that follows another: who is up again is touched no more. */
  private first(before: Grant | undefined, origin: Member): Member {
    const first = before?.cursor ?? before?.from ?? origin
    const index = this.members.indexOf(first)
    return index !== -1 && index < this.members.indexOf(origin) ? first : origin
  }

  private used(at: number): number {
    const { limit } = this.spec.restart
    return limit === "unlimited" ? 0 : this.spent.filter((time) => at - time < limit.withinMillis).length
  }

  private budgetLeft(at: number): number {
    const { limit } = this.spec.restart
    return limit === "unlimited" ? Number.POSITIVE_INFINITY : limit.maxRestarts - this.used(at)
  }

  private limitText(): string {
    const { limit } = this.spec.restart
    return limit === "unlimited" ? "no limit" : `${limit.maxRestarts} allowed within ${limit.withinMillis} ms`
  }

  private booted(): void {
    if (this.phase !== "booting") this.blame("record", undefined, "has booted twice")
    for (const { asked, doing, generation, passedBy, id } of this.members) {
      if ((doing === "starting" && !asked) || (generation === -1 && !passedBy)) {
        this.blame("order", undefined, `has booted before ${id} was up`)
      }
    }
    this.phase = "running"
    for (const event of this.held.splice(0)) {
      const member = this.find(event.id)
      if (member !== undefined && event._tag === "ChildExited") member.ended = false
      this.hear(event)
    }
  }

  private forgotten(id: string, event: Event): void {
    const member = this.find(id)
    if (member === undefined) return this.accuse("operator", `${this.path}/${id}`, "is forgotten and was no child of its supervisor")
    if (member.doing !== "down") this.blame("operator", member, `is forgotten while it is ${member.doing}`)
    const expected = this.dynamic || member.child.restart === "temporary" || event._tag === "DeleteChild" ||
      (member.added && member.generation === 0)
    if (!expected || member.owed) this.blame("operator", member, "is forgotten and nobody deleted it")
    const index = this.members.indexOf(member)
    const next = this.members[index + 1]
    if (this.grant !== undefined && next !== undefined) {
      if (this.grant.from === member) this.grant.from = next
      if (this.grant.cursor === member) this.grant.cursor = next
    }
    this.members.splice(index, 1)
    this.held = this.held.filter((event) => event.id !== id)
  }

  // ── what it tells ──

  private told(decision: Decision, event: Event, at: number): void {
    switch (decision._tag) {
      case "Start": {
        if (decision.children !== this.members.length) {
          this.blame("event", undefined, `tells ${decision.children} children of ${this.members.length}`)
        }
        return
      }
      case "Restart":
        return this.toldRestart(decision, event)
      case "Recover":
        return this.toldRecover(decision, at)
      case "Leave":
        return this.toldLeave(decision)
      case "Abandon":
        return this.toldAbandon(decision, at)
      case "TerminateChild": {
        if (this.terminating?.id !== decision.child) {
          this.accuse("event", `${this.path}/${decision.child}`, "is told as terminated, and it is not")
        }
        this.terminating = undefined
        return
      }
      case "Terminate":
        return this.toldTerminate(decision, event)
      case "GiveUp":
        return this.toldGiveUp(decision, at)
    }
  }

  private toldRestart(decision: Told<"Restart">, event: Event): void {
    const ask = event._tag === "DelayKnown" ? event.ask : -1
    const grant = this.grants.get(ask)
    const path = `${this.path}/${decision.child}`
    if (grant === undefined) return this.accuse("event", path, "is told as restarted and no restart was granted")
    this.grants.delete(ask)
    grant.incident = decision.incident
    const { budgetLeft, generation, incidents, origin, victims } = grant
    if (origin.id !== decision.child || generation !== decision.generation) {
      this.accuse("event", path, `is told as restarted after generation ${decision.generation}; it was ${origin.id} after ${generation}`)
    }
    if (budgetLeft !== decision.budgetLeft) this.accuse("event", path, `budget left is told as ${decision.budgetLeft}, it is ${budgetLeft}`)
    if (!incidents.includes(decision.incident)) {
      this.accuse("event", path, `the incident is told as ${decision.incident}, it is ${incidents}`)
    }
    if (victims.join() !== decision.victims.join()) {
      this.accuse("isolation", path, `victims are told as [${decision.victims}], they are [${victims}]`)
    }
  }

  private toldRecover(decision: Told<"Recover">, at: number): void {
    const member = this.find(decision.child)
    const path = `${this.path}/${decision.child}`
    const grant = this.isGroup ? this.grant : member?.grant
    if (member === undefined || grant?.origin !== member) return this.accuse("event", path, "is told as recovered and was not restarted")
    if (member.doing !== "running") this.blame("event", member, "is told as recovered and is not up")
    const missing = this.isGroup ? this.members.find((other) => other.owed && this.includes(grant.from, other)) : undefined
    if (missing !== undefined) this.blame("event", member, `is told as recovered before ${missing.id} is up`)
    if (decision.tookMillis !== at - grant.at) {
      this.blame("event", member, `its recovery is told as ${decision.tookMillis} ms, it took ${at - grant.at}`)
    }
    if (decision.incident !== grant.incident) this.blame("event", member, "its recovery is told in another incident than its restart")
    member.grant = undefined
    if (this.isGroup) this.grant = undefined
  }

  private toldLeave({ child, generation, reason }: Told<"Leave">): void {
    const member = this.find(child)
    if (member === undefined || !member.undecided || member.owed || member.generation !== generation) {
      return this.accuse("event", `${this.path}/${child}`, "is told as left alone, and no end of it calls for that")
    }
    if (member.reason !== reason._tag) this.blame("event", member, `ended as ${member.reason} and is told as ${reason._tag}`)
    member.undecided = false
  }

  private toldAbandon({ child }: Told<"Abandon">, at: number): void {
    const member = this.find(child)
    if (member === undefined) return this.accuse("event", `${this.path}/${child}`, "is told as abandoned and is no child")
    const { shutdown } = member.child
    if (typeof shutdown !== "number" || at !== member.stoppedAt + shutdown) {
      this.blame("event", member, `is abandoned ${at - member.stoppedAt} ms after it was asked to stop; it has ${shutdown}`)
    }
    excuse(member.life)
  }

  private toldTerminate({ why }: Told<"Terminate">, event: Event): void {
    this.beginStop()
    if (event._tag === "Shutdown" || event._tag === "Kill") return
    this.autoStopped = true
    if (!this.autoShutdownIsDue()) this.blame("auto-shutdown", undefined, `stops by itself (${why}) and no significant child calls for it`)
  }

  private toldGiveUp({ child, generation, incident }: Told<"GiveUp">, at: number): void {
    const member = this.find(child)
    const called = member !== undefined && member.undecided && member.owed && member.generation === generation
    this.beginStop()
    this.gaveUp = incident
    if (this.refusal) return
    const left = this.budgetLeft(at)
    if (!called) this.accuse("budget", `${this.path}/${child}`, "is the reason for giving up, and no exit of it calls for a restart")
    else if (left > 0) this.blame("budget", member, `its supervisor gives up with ${left} restarts left of ${this.limitText()}`)
  }

  private beginStop(): void {
    if (this.phase === "stopping" && !this.killed) this.blame("event", undefined, "tells its end twice")
    this.ends++
    this.unwind()
    this.grant = undefined
    this.grants.clear()
  }

  private unwind(): void {
    this.phase = "stopping"
    for (const member of this.members) {
      Object.assign(member, { owed: false, trigger: false, undecided: false })
      if (member.ended) Object.assign(member, { doing: "down", ended: false })
    }
  }

  private autoShutdownIsDue(): boolean {
    switch (this.spec.autoShutdown) {
      case "never":
        return false
      case "any":
        return this.significantChange === "ended"
      case "all":
        return this.significantChange !== undefined && this.significantEnded && this.significantLeft() === 0
    }
  }

  private significantLeft(): number {
    return this.members.filter(({ child, doing, owed }) => child.significant && (doing !== "down" || owed)).length
  }

  private checkAutoShutdown(): void {
    if (this.phase !== "running" || !this.autoShutdownIsDue()) return
    this.blame(
      "auto-shutdown",
      undefined,
      `goes on, and with autoShutdown "${this.spec.autoShutdown}" its significant children call for its end`
    )
  }

  private end(): void {
    const up = this.members.filter(({ doing }) => doing !== "down")
    for (const member of up) this.blame("leak", member, `is ${member.doing} when its supervisor has ended`)
    if (this.ends > 1) this.blame("event", undefined, `has ended and told it ${this.ends} times`)
    this.phase = "ended"
  }

  // ── the end of an instant ──

  /** Nothing more happens before `next`: what should have? */
  settle(next: number): void {
    if (this.phase !== "running") return
    for (const member of this.members) {
      if (!member.undecided) continue
      this.blame("event", member, `ended as ${member.reason}, and nothing is decided about it`)
      member.undecided = false
    }
    for (const [ask, { origin }] of this.grants) {
      this.blame("event", origin, "was granted a restart, and it is not told")
      this.grants.delete(ask)
    }
    for (const member of this.members) {
      if (member.gone) this.blame("operator", member, "will never be started again, and is kept")
      member.gone = false
    }
    const isBusy = this.members.some(({ doing }) => doing === "starting" || doing === "stopping")
    if (!isBusy && !this.isOpen) this.mustHaveAnswered()
    if (this.isGroup && isBusy) return
    for (const member of this.members) {
      if (!member.owed || member.doing !== "down") continue
      const { due } = (this.isGroup ? this.grant : member.grant) ?? {}
      if (due === undefined || due < next) this.strand(member)
    }
  }

  /** A recovery that has nothing left to do is over, and is told if its origin is up. */
  private finish(at: number): void {
    if (this.phase !== "running") return
    const { grant } = this
    if (grant === undefined) {
      for (const member of this.members) {
        if (member.grant === undefined || member.doing !== "running") continue
        this.blame("event", member, "is up again, and its recovery is not told")
        member.grant = undefined
      }
      return
    }
    const isLeft = (member: Member): boolean => {
      const { asked, doing, owed } = member
      return owed || ((doing === "stopping" || (doing === "starting" && !asked)) && this.includes(grant.from, member))
    }
    if (grant.due === undefined || grant.due > at || this.members.some(isLeft)) return
    if (!grant.silent && grant.origin.doing === "running") {
      this.blame("event", grant.origin, "is up again with its group, and it is not told")
    }
    this.grant = undefined
  }

  private mustHaveAnswered(): void {
    for (const id of this.calls.values()) {
      this.accuse("reply", `${this.path}/${id}`, "is asked for, nothing stands in the way, and no answer comes")
    }
    this.calls.clear()
  }

  private strand(member: Member): void {
    this.blame("stranded", member, "is owed a restart whose delay is over, and nothing stands in its way")
    member.owed = false
  }

  /** Whether it may still have something to do without anything happening to it. */
  get isOpen(): boolean {
    return this.phase === "running" && (this.grant !== undefined || this.members.some(({ grant, owed }) => owed || grant !== undefined))
  }

  private blame(rule: Rule, member: Member | undefined, message: string): void {
    this.accuse(rule, member === undefined ? this.path : `${this.path}/${member.id}`, message)
  }
}

const makeMember = (child: Child.Any, added: boolean): Member => ({
  child,
  id: child.id,
  added,
  generation: -1,
  doing: "down",
  cause: undefined,
  owed: false,
  trigger: false,
  undecided: false,
  incident: "",
  reason: undefined,
  ended: false,
  passedBy: false,
  asked: false,
  stoppedAt: 0,
  gone: false,
  life: undefined,
  grant: undefined
})

const isUp = ({ doing, ended }: Member): boolean => (doing === "running" || doing === "starting") && !ended

/** It and everything below may go on in the background: it was told so, or nobody waits for it. */
const excuse = (life: Life | undefined): void => {
  if (life === undefined) return
  life.excused = true
  for (const { life: below } of life.ledger?.members ?? []) excuse(below)
}

const reasonOf = { normal: "Normal", shutdown: "Shutdown", failed: "Failed", defect: "Defect" } as const

/** OTP's table, restart type × reason, written out. */
const calls = ({ restart }: Child.Any, { _tag }: ExitReason): boolean =>
  restart === "permanent" || (restart === "transient" && (_tag === "Failed" || _tag === "Defect" || _tag === "Killed"))

/** The specification of a supervisor child. */
export const specOf = (child: Child.Any): Spec | undefined =>
  "~snakepit/core/Supervisor" in child ? (child as Supervisor.Any)["~snakepit/core/Supervisor"] : undefined
