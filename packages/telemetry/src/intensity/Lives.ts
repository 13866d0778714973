/**
 * The lives of the children of one recorded run, by which a run under another policy is played: what each start met, how long each life lasted,
 * and what was asked for by hand. They are read off the machines while a {@link Reproduction} makes their decisions again.
 *
 * **Details**
 *
 * An {@link End} is the end of a life that no supervisor made end: a child ended by itself, was failed by a monitor, or refused to start. That a
 * nested supervisor ended because it had given up or shut itself down follows from other ends, so it is none.
 *
 * A supervisor that could not boot tells nothing: the child that it had given up over before is taken to have refused again.
 */
import type { Contract, RestartMemory, Simulation, SupervisorState } from "@snakepit/core"
import type * as Decision from "./Decision.ts"
import { contractAt, recoveryKey } from "./Place.ts"
import * as Reproduction from "./Reproduction.ts"

/** A life ended by itself, or its start was refused. Times are in Unix milliseconds. */
export interface End {
  readonly seq: number
  readonly at: number
  /** The path of the child. */
  readonly path: string
  readonly stage: "starting" | "running"
  readonly how: Simulation.EndingHow
  /** How long its start took. */
  readonly startMillis: number
  /** When it came up; of a start that was refused, when that was called. `undefined`: before the record. */
  readonly since: number | undefined
  /** The end whose restart had begun this life; absent for what was started by a boot or by hand. */
  readonly after: End | undefined
  /** Absent when nothing was decided of it alone: it was stopped anyway, or ended with others. */
  decided: "restart" | "leave" | "give_up" | undefined
  incident: string | undefined
}

/** What comes to the tree from outside and is no end of a child that is none itself. */
export type Input =
  | { readonly _tag: "TerminateChild" | "RestartChild" | "StartChild" | "DeleteChild" | "Stop"; readonly at: number; readonly path: string }
  | { readonly _tag: "Shutdown"; readonly at: number }
  /** A monitor failed a nested supervisor. */
  | { readonly _tag: "FailSupervisor"; readonly at: number; readonly end: End }

/** What a run was made of. */
export interface Lives {
  /** By the path of the child, in their order. */
  readonly ends: ReadonlyMap<string, ReadonlyArray<End>>
  readonly inputs: ReadonlyArray<Input>
  /** By the path of a child, the number of the decision that tells of its latest life that came up. */
  readonly cameUp: ReadonlyMap<string, number>
  /** By the path of a dynamic supervisor, the keys of all children that it had. */
  readonly keys: ReadonlyMap<string, ReadonlySet<string>>
  /** What supervisors remembered of restarts before this run, in milliseconds from its start: a budget begins smaller by them. */
  readonly memory: RestartMemory.RestartMemory
  /** The decisions, made again. */
  readonly reproduction: Reproduction.Reproduction
}

/** Makes the decisions again, and follows. */
export const of = (contract: Contract.Contract, startedAt: number, decisions: ReadonlyArray<Decision.Decision>): Lives => {
  const reader = new Reader(contract, startedAt)
  const reproduction = Reproduction.of(contract, decisions, (step) => reader.read(step))
  const { cameUp, ends, inputs, keys, memory } = reader
  return { cameUp, ends, inputs: inputs.toSorted((a, b) => a.at - b.at), keys, memory, reproduction }
}

const hows: { readonly [reason: string]: Simulation.EndingHow | undefined } = { Normal: "normal", Shutdown: "shutdown", Defect: "defect" }

/** One life of a child, while it goes on. */
interface Life {
  readonly calledAt: number
  readonly after: End | undefined
  upAt: number | undefined
  /** It ended, or is stopped: what it is reported to do then is its stop. */
  end: End | "stopped" | undefined
}

/** Follows the machines of a run, and takes down how the lives of children go. */
class Reader {
  readonly ends = new Map<string, Array<End>>()
  readonly inputs: Array<Input> = []
  readonly cameUp = new Map<string, number>()
  readonly keys = new Map<string, Set<string>>()
  readonly memory = new Map<string, ReadonlyArray<number>>()
  private readonly contract: Contract.Contract
  private readonly startedAt: number
  /** By supervisor, child and generation. */
  private readonly lives = new Map<string, Life>()
  /** Which end is being recovered from, by supervisor and by what is restarted together. */
  private readonly recovering = new Map<string, End | undefined>()
  /** Whom a supervisor gave up over last, by its path. */
  private readonly offenders = new Map<string, End>()

  constructor(contract: Contract.Contract, startedAt: number) {
    this.contract = contract
    this.startedAt = startedAt
  }

  read(step: Reproduction.Step): void {
    this.hear(step)
    for (const command of step.commands) this.obey(step, command)
  }

  private hear(step: Reproduction.Step): void {
    const { input: { at, event, made }, path, seq } = step
    switch (event._tag) {
      case "Boot":
        if (made?.dynamic === true) { for (const { id } of made.children) this.addKey(path, id) }
        if (made?.spent !== undefined && made.spent.length > 0) {
          this.memory.set(path, made.spent.map((spent) => Math.min(0, spent - this.startedAt)))
        }
        return
      case "ChildStarted": {
        const life = this.lives.get(keyOf(step, event))
        if (life !== undefined) life.upAt = at
        this.cameUp.set(`${path}/${event.id}`, seq)
        return
      }
      case "ChildExited":
        return this.isSupervisor(`${path}/${event.id}`) ? undefined : void this.ended(step, event, "running", event.reason)
      case "ChildStartFailed":
        return void this.ended(step, event, "starting", event.reason)
      case "FailChild": {
        const stop = step.commands.find((command) => command._tag === "Stop" && command.id === event.id)
        if (stop?._tag !== "Stop") return
        const end = this.ended(step, stop, "running", event.reason)
        if (end !== undefined && this.isSupervisor(end.path)) this.inputs.push({ _tag: "FailSupervisor", at, end })
        return
      }
      case "StartChild":
        if (this.isDynamic(path)) this.addKey(path, event.child.id)
        return void this.inputs.push({ _tag: event._tag, at, path: `${path}/${event.child.id}` })
      case "RestartChild":
      case "TerminateChild":
      case "DeleteChild":
        return void this.inputs.push({ _tag: event._tag, at, path: `${path}/${event.id}` })
      case "Shutdown":
        if (path === this.contract.id) this.inputs.push({ _tag: "Shutdown", at })
        else if (event.why !== "its parent stopped it") this.inputs.push({ _tag: "Stop", at, path })
    }
  }

  private obey(step: Reproduction.Step, command: SupervisorState.Command): void {
    const { input: { at, event }, path } = step
    if (command._tag === "Start") {
      const byHand = event._tag === "RestartChild" || event._tag === "StartChild"
      const after = byHand ? undefined : this.recovering.get(this.groupOf(step, command.id))
      this.lives.set(keyOf(step, command), { calledAt: at, after, upAt: undefined, end: undefined })
    } else if (command._tag === "Stop") {
      const life = this.lives.get(keyOf(step, command))
      if (life !== undefined) life.end ??= "stopped"
    } else if (command._tag === "Tell") {
      const { decision } = command
      if (decision._tag !== "Restart" && decision._tag !== "GiveUp" && decision._tag !== "Leave") return
      const life = this.lives.get(`${step.supervisor} ${decision.generation} ${decision.child}`)
      const end = life?.end === "stopped" ? undefined : life?.end
      if (end !== undefined) {
        end.decided = decision._tag === "Restart" ? "restart" : decision._tag === "GiveUp" ? "give_up" : "leave"
        end.incident = "incident" in decision ? decision.incident : undefined
      }
      if (decision._tag === "Restart") this.recovering.set(this.groupOf(step, decision.child), end)
      if (decision._tag === "GiveUp" && end !== undefined) this.offenders.set(path, end)
    }
  }

  private ended(
    step: Reproduction.Step,
    child: { readonly id: string; readonly generation: number },
    stage: End["stage"],
    reason: { readonly _tag: string }
  ): End | undefined {
    const { input: { at }, seq } = step
    const path = `${step.path}/${child.id}`
    const key = keyOf(step, child)
    const life: Life = this.lives.get(key) ?? { calledAt: at, after: undefined, upAt: undefined, end: undefined } // begun before the record
    if (life.end !== undefined) return undefined
    const known = this.lives.has(key)
    const end: End = {
      seq,
      at,
      path,
      stage,
      how: hows[reason._tag] ?? "failed",
      startMillis: (life.upAt ?? at) - life.calledAt,
      since: known ? life.upAt ?? life.calledAt : undefined,
      after: life.after,
      decided: undefined,
      incident: undefined
    }
    life.end = end
    this.lives.set(key, life)
    this.add(end)
    const offender = stage === "starting" ? this.offenders.get(path) : undefined
    if (offender !== undefined) {
      this.add({ ...end, path: offender.path, after: offender })
      this.offenders.set(path, offender)
    }
    return end
  }

  private groupOf({ path, supervisor }: Reproduction.Step, id: string): string {
    return `${supervisor} ${recoveryKey(this.contract, path, `${path}/${id}`)}`
  }

  private isSupervisor(path: string): boolean {
    return contractAt(this.contract, path) !== undefined
  }

  private isDynamic(path: string): boolean {
    return contractAt(this.contract, path)?.strategy === "dynamic"
  }

  private addKey(path: string, key: string): void {
    const known = this.keys.get(path)
    if (known === undefined) this.keys.set(path, new Set([key]))
    else known.add(key)
  }

  private add(end: End): void {
    const known = this.ends.get(end.path)
    if (known === undefined) this.ends.set(end.path, [end])
    else known.push(end)
  }
}

const keyOf = ({ supervisor }: Reproduction.Step, { generation, id }: { readonly id: string; readonly generation: number }): string =>
  `${supervisor} ${generation} ${id}`

/** Whether it was never seen up again. */
export const isUnresolved = ({ cameUp }: Lives, { decided, path, seq }: End): boolean =>
  decided !== "leave" && (cameUp.get(path) ?? -1) <= seq
