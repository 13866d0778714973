/** Runs a schedule through our own engine, with OTP's semantics, and writes the lines of `Trace.ts`. */
import {
  Child,
  type Contract,
  DynamicSupervisor,
  InvalidSpec,
  RestartPolicy,
  Semantics,
  Simulation,
  Supervisor,
  SupervisorError,
  SupervisorEvent,
  type Tree
} from "@snakepit/core"
import { Effect } from "effect"
import * as Schedule from "./Schedule.ts"
import type { Trace } from "./Trace.ts"

const { Line } = Simulation

/** One line a step; see `Trace.ts`. */
export const engineTrace = (schedule: Schedule.Schedule): Trace => {
  const run = new Run(schedule)
  const lines = [run.boot(), ...schedule.operations.map((operation) => run.step(operation)), run.shutdown()]
  while (!run.isOver) {
    const line = run.nextTimer()
    lines.push(line ?? "wedged")
    if (line === undefined) break
  }
  run.discard()
  return lines
}

// ── the tree ──

const common = {
  plane: "control" as Contract.Plane,
  because: "the schedule says so",
  limitBecause: "the schedule says so",
  events: SupervisorEvent.of("oracle", "root")
}

const policyOf = ({ intensity, period }: { readonly intensity: number; readonly period: number }) =>
  RestartPolicy.make({ intensity: { maxRestarts: intensity, within: `${period} seconds` } })

const childOf = (node: Schedule.Node, id = String(node.id)): Child.Any => {
  const { restart, shutdown, significant } = node
  if (node.kind !== "leaf") return { ...supervisorOf(node), shutdown, significant }
  const child = Child.makeUnchecked(id, { start: Effect.succeed(Effect.never), restart, shutdown, significant }, undefined)
  return node.obeys ? child : Simulation.behaving(child, { stopMillis: "forever" })
}

const optionsOf = (node: Schedule.Supervisor) => ({
  ...common,
  restart: policyOf(node),
  restartType: node.restart,
  semantics: Semantics.otp
})

const supervisorOf = (node: Schedule.Supervisor): Supervisor.Any => {
  const id = String(node.id)
  const options = optionsOf(node)
  if (node.kind === "dynamic") return DynamicSupervisor.make(id, { ...options, child: (key) => childOf(node.template, key) })
  const { autoShutdown, strategy } = node
  return Supervisor.make(id, { ...options, strategy, autoShutdown, children: node.children.map((child) => childOf(child)) })
}

// ── the run ──

/** What an operation's answer is called, and which dynamic supervisor it was for. */
interface Call {
  readonly operation: number
  readonly call: Schedule.Operation
}

class Run {
  private readonly tree: Simulation.SimulatedTree
  private readonly root: Schedule.Supervisor
  private readonly supervisors: ReadonlyArray<Schedule.Supervisor>
  /** Paths of all ids and keys. */
  private readonly paths = new Map<number, string>()
  /** Failing starts of ids that do not name a child yet. */
  private readonly failing = new Map<number, Schedule.FailStarts>()
  private readonly before: ReadonlyArray<Schedule.FailStarts>
  /** Paths that are up and whose death has not been told, with the number of their start. */
  private readonly up = new Map<string, number>()
  private readonly calls = new Map<number, Call>()
  /** Answers that the engine was not asked for. */
  private refused: Array<string> = []
  private operations = 0
  private plays = 0
  private seen = 0
  isOver = false

  constructor({ before, root }: Schedule.Schedule) {
    this.root = root
    this.before = before
    this.supervisors = Schedule.supervisorsOf(root)
    this.name(root, "")
    this.tree = Simulation.make(supervisorOf(root))
  }

  boot(): string {
    for (const failing of this.before) this.act(failing)
    this.up.set(String(this.root.id), -1)
    this.tree.boot()
    return this.line(this.tree.outcome._tag === "Running" ? ["boot=ok"] : [])
  }

  step(operation: Schedule.Operation): string {
    this.operations++
    this.act(operation)
    return this.line()
  }

  shutdown(): string {
    if (this.tree.outcome._tag === "Running") this.play(Line.Shutdown()) // OTP's start_link returns first
    return this.line()
  }

  nextTimer(): string | undefined {
    const { nextTimer, now } = this.tree
    if (nextTimer === undefined) return undefined
    this.play(Line.Wait({ millis: nextTimer - now }))
    return this.line()
  }

  discard(): void {
    this.tree.discard()
  }

  private name(node: Schedule.Node, parent: string): void {
    const path = parent + node.id
    this.paths.set(node.id, path)
    if (node.kind === "static") { for (const child of node.children) this.name(child, `${path}/`) }
    if (node.kind === "dynamic") this.paths.set(node.template.id, `${path}/*`)
  }

  private nameLater(id: number, path: string): void {
    this.paths.set(id, path)
    const failing = this.failing.get(id)
    this.failing.delete(id)
    if (failing !== undefined) this.act(failing)
  }

  private path(id: number): string {
    return this.paths.get(id) ?? `?/${id}`
  }

  private child(sup: number, id: number): string {
    return `${this.path(sup)}/${id}`
  }

  private isInstance({ child, sup }: Schedule.Terminate): boolean {
    return this.supervisors.some((node) => node.kind === "dynamic" && node.id === sup && node.template.id !== child)
  }

  private isBusy(sup: number): boolean {
    const { state } = this.tree.supervisor(this.path(sup)) ?? {}
    return state !== undefined && isBusy([...state.children.values()].map(({ status }) => status._tag.toLowerCase()))
  }

  private isTemplate(sup: number, id: number): boolean {
    return this.supervisors.some((node) => node.kind === "dynamic" && node.id === sup && node.template.id === id)
  }

  private play(line: Simulation.Line): void {
    this.plays++
    this.tree.play(line)
  }

  private call(call: Schedule.Operation, line: Simulation.Line): void {
    this.calls.set(this.plays, { operation: this.operations, call })
    this.play(line)
  }

  private act(operation: Schedule.Operation): void {
    switch (operation.op) {
      case "Exit":
        return this.play(Line.Exit({ path: this.path(operation.leaf), how: endings[operation.reason] }))
      case "Together":
        return this.play(Line.Together({
          exits: operation.exits.map(({ leaf, reason }) => ({ path: this.path(leaf), how: endings[reason] }))
        }))
      case "FailStarts": {
        if (!this.paths.has(operation.id)) return void this.failing.set(operation.id, operation)
        const how = operation.how === "error" ? "fail" : "ignore"
        return this.play(Line.FailStarts({ path: this.path(operation.id), times: operation.times, how }))
      }
      case "Terminate":
        if (this.isInstance(operation) && this.isBusy(operation.sup)) return
        return this.call(
          operation,
          this.isTemplate(operation.sup, operation.child) // no key of ours; like an id it names nothing that could be terminated
            ? Line.DeleteChild({ path: this.child(operation.sup, operation.child) })
            : Line.TerminateChild({ path: this.child(operation.sup, operation.child) })
        )
      case "Restart":
        return this.call(operation, Line.RestartChild({ path: this.child(operation.sup, operation.child) }))
      case "Delete":
        return this.call(operation, Line.DeleteChild({ path: this.child(operation.sup, operation.child) }))
      case "Start": {
        const path = this.child(operation.sup, operation.child.id)
        this.nameLater(operation.child.id, path)
        return this.call(operation, Line.StartChild({ path, child: childOf(operation.child) }))
      }
      case "StartInstance": {
        const path = this.child(operation.sup, operation.key)
        this.nameLater(operation.key, path)
        return this.call(operation, Line.StartChild({ path }))
      }
      case "Tick":
        return this.play(Line.Wait({ millis: operation.ms }))
      case "Change":
        return this.change(operation)
    }
  }

  private change(operation: Schedule.ChangeStatic | Schedule.ChangeDynamic): void {
    const path = this.path(operation.sup)
    const { state } = this.tree.supervisor(path) ?? {}
    if (this.isBusy(operation.sup)) return
    const node = this.supervisors.find(({ id }) => id === operation.sup)!
    let next: Supervisor.Any
    try {
      next = "template" in operation
        ? supervisorOf({ ...node, ...operation, kind: "dynamic" } as Schedule.DynamicSupervisor)
        : Supervisor.make(String(node.id), {
          ...optionsOf({ ...node, intensity: operation.intensity, period: operation.period }),
          strategy: operation.strategy,
          autoShutdown: operation.autoShutdown,
          children: operation.children.flatMap((child): ReadonlyArray<Child.Any> => {
            if ("keep" in child) return [state?.children.get(String(child.keep))?.facts as Child.Any | undefined ?? []].flat()
            this.nameLater(child.id, `${path}/${child.id}`)
            return [childOf(child)]
          })
        })
    } catch (thrown) {
      if (!(thrown instanceof InvalidSpec.InvalidSpec)) throw thrown
      this.refused = state === undefined ? [`${this.operations}=noproc`] : [`${this.operations}=failed`]
      return
    }
    this.call(operation, Line.Change({ path, next }))
  }

  // ── a line of the trace ──

  private line(replies: Array<string> = []): string {
    const events: Array<string> = []
    replies.push(...this.refused.splice(0))
    for (; this.seen < this.tree.entries.length; this.seen++) this.tell(this.tree.entries[this.seen]!, events, replies)
    const { tree } = this.tree
    return `${events.join(" ")}|${replies.join(" ")}|${tree === undefined ? "" : this.standing(tree)}`
  }

  private tell(entry: Simulation.Entry, events: Array<string>, replies: Array<string>): void {
    switch (entry._tag) {
      case "Child":
        return this.moment(entry, events)
      case "Step": // who never obeys is dead when its supervisor says so
        return entry.event._tag === "ChildStopped" ? this.down(`${entry.path}/${entry.event.id}`, events) : undefined
      case "Reply": {
        const { call, operation } = this.calls.get(entry.index)!
        return void replies.push(`${operation}=${this.shape(call, entry.reply)}`)
      }
      case "End":
        this.isOver = true
        this.down(String(this.root.id), events)
        return void replies.push(!entry.booted ? "boot=failed" : isCrash(entry.outcome) ? "exit=crashed" : "exit=shutdown")
    }
  }

  private moment({ moment, path, start }: Extract<Simulation.Entry, { _tag: "Child" }>, events: Array<string>): void {
    const id = path.slice(path.lastIndexOf("/") + 1)
    const isSupervisor = this.isSupervisor(path)
    switch (moment) {
      case "starting":
        if (!isSupervisor) return
        this.up.set(path, start)
        return void events.push(`(${id}`)
      case "up":
        this.up.set(path, start)
        return void events.push(`+${id}`)
      case "refused":
      case "ignored":
        if (isSupervisor && this.up.delete(path)) events.pop()
        return void events.push(`${moment === "refused" ? "!" : "?"}${id}`)
      case "ended":
      case "stopping":
        return
      case "down":
        return this.up.get(path) === start ? this.down(path, events) : undefined
    }
  }

  private isSupervisor(path: string): boolean {
    return this.supervisors.some(({ id }) => this.path(id) === path)
  }

  /** A supervisor takes along whatever is still up below it. */
  private down(path: string, events: Array<string>): void {
    for (const other of [...this.up.keys()]) {
      if (other !== path && !other.startsWith(`${path}/`)) continue
      this.up.delete(other)
      events.push(`${this.isSupervisor(other) ? ")" : "-"}${other.slice(other.lastIndexOf("/") + 1)}`)
    }
  }

  private shape(call: Schedule.Operation, reply: Simulation.Reply | undefined): string {
    if (reply === undefined || reply._tag === "Stopping") return "noproc"
    const sup = "sup" in call ? this.supervisors.find(({ id }) => id === call.sup) : undefined
    if (sup?.kind === "dynamic" && (call.op === "Restart" || call.op === "Delete" || this.isTemplate(sup.id, childIn(call)))) {
      return "simple"
    }
    switch (reply._tag) {
      case "Done":
        return "ok"
      case "Ignored":
        return "ignored"
      case "Invalid":
      case "StartFailed":
        return "failed"
      case "MaxChildren":
        return "max"
      case "NotFound":
        if (sup?.kind !== "dynamic") return "not_found"
        return this.up.has(this.path(childIn(call))) ? "not_found" : "ok" // to OTP a process of another supervisor, or one that is gone
      case "Present": {
        const { status } = reply
        if (call.op !== "Start") return status === "Waiting" ? "restarting" : "running"
        return status === "Waiting" || status === "Down" ? "already_present" : "already_started"
      }
    }
  }

  private standing(tree: Tree.SupervisorNode): string {
    const nodes = new Map<string, Tree.SupervisorNode>()
    const visit = (node: Tree.SupervisorNode): void => {
      nodes.set(node.path, node)
      for (const { supervisor } of node.children) if (supervisor !== undefined) visit(supervisor)
    }
    visit(tree)
    return this.supervisors.flatMap((supervisor) => {
      const node = nodes.get(this.path(supervisor.id))
      return node === undefined ? [] : [standingOf(supervisor, node)]
    }).join(" ")
  }
}

const childIn = (call: Schedule.Operation): number => "child" in call && typeof call.child === "number" ? call.child : -1

/** Giving up is a `shutdown` in OTP. */
const isCrash = (outcome: Simulation.Outcome): boolean => outcome._tag === "Failed" && !(outcome.error instanceof SupervisorError.GaveUp)

const isBusy = (statuses: ReadonlyArray<string>): boolean => statuses.includes("starting") || statuses.includes("stopping")

const standingOf = ({ id, kind, ...facts }: Schedule.Supervisor, { children }: Tree.SupervisorNode): string => {
  if (isBusy(children.map(({ status }) => status))) return `${id}~`
  const up = children.filter(({ status }) => status === "running").length
  const restarting = children.filter(({ status }) => status === "waiting").length
  if (kind === "dynamic") {
    return `${id}{u${up} r${restarting} d${children.length - up - restarting}}#1,${children.length - restarting},0,${children.length}`
  }
  const nested = children.filter(({ id }) =>
    "children" in facts && facts.children.some((node) => node.kind !== "leaf" && String(node.id) === id)
  )
  const list = children.map(({ id, status }) => `${id}${status === "running" ? "u" : status === "waiting" ? "r" : "d"}`)
  return `${id}[${list.join(" ")}]#${children.length},${up},${nested.length},${children.length - nested.length}`
}

const endings: { readonly [Reason in Schedule.Reason]: Simulation.EndingHow } = {
  normal: "normal",
  shutdown: "shutdown",
  shutdown_term: "shutdown",
  crash: "failed",
  kill: "failed"
}
