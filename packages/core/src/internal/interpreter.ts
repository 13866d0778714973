/**
 * Runs the commands of one supervisor's machine in scopes and fibers. It never waits: what takes time is forked, and its end comes back
 * as an event.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Child from "../Child.ts"
import * as Event from "../Event.ts"
import { describe, type ExitReason, fromExit } from "../ExitReason.ts"
import * as GiveUpAt from "../GiveUpAt.ts"
import * as Intensity from "../Intensity.ts"
import * as RestartPolicy from "../RestartPolicy.ts"
import * as Semantics from "../Semantics.ts"
import * as SupervisorError from "../SupervisorError.ts"
import type { SupervisorEvents } from "../SupervisorEvent.ts"
import { type ChildCount, type ChildSpec, CurrentSupervisor } from "../SupervisorHandle.ts"
import { transition } from "../SupervisorMachine.ts"
import * as Machine from "../SupervisorState.ts"
import type * as Tree from "../Tree.ts"
import * as Why from "../Why.ts"
import { type Handle, makeHandle } from "./handle.ts"
import { teller } from "./teller.ts"
import * as TreeRoot from "./TreeRoot.ts"

/** What the events of a subtree are labelled with. */
export interface Labels {
  readonly pool?: string | undefined
  readonly slot?: number | undefined
}

/** Everything that defines one supervisor. */
export interface Spec {
  readonly id: string
  /** The differences from the supervisor above; its own by default, `Semantics.production` at the root. */
  readonly semantics: Semantics.Semantics | undefined
  readonly strategy: Machine.Strategy
  readonly autoShutdown: Machine.AutoShutdown
  readonly maxChildren: number
  readonly restart: RestartPolicy.Any
  readonly children: ReadonlyArray<Child.Any>
  /** Present in a dynamic supervisor: makes the child of a key, and says which keys to start with. */
  readonly template: { readonly child: Template; readonly initial: Effect.Effect<ReadonlyArray<string>> } | undefined
  /** Makes the children that a static supervisor may be given later. */
  readonly added: Template | undefined
  readonly events: SupervisorEvents
  readonly labels: Labels
  /** Hears every step of the machine, for simulations. */
  readonly observer?: ((path: string, event: Machine.Event, commands: ReadonlyArray<Machine.Command>) => void) | undefined
  readonly watcher?: {
    readonly up: Effect.Effect<void>
    readonly down: (error: SupervisorError.StartFailed<any> | SupervisorError.GaveUp<any, any>) => Effect.Effect<void>
  } | undefined
}

type Template = (key: string) => Child.Any

/** One filling of a child. */
interface Life {
  readonly child: Child.Any
  readonly generation: number
  readonly scope: Scope.Closeable
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** Its resources are being released; nothing it still reports counts, except that release. */
  releasing: boolean
  /** The machine has asked for the stop: the release is reported as `ChildStopped`. */
  stopAsked: boolean
  node: Interpreter | undefined
}

/** Children whose time to stop ends at the same moment: one timer for all, as OTP has for a dynamic supervisor. */
interface Grace {
  readonly timer: Fiber.Fiber<void>
  readonly expire: Set<() => void>
}

interface Parent {
  /** Absent above the root. */
  readonly root: TreeRoot.TreeRoot<Spec> | undefined
  readonly path: string
  readonly semantics: Semantics.Semantics
  readonly labels: Labels
  readonly attach: (node: Interpreter) => void
}

const Parent: Context.Reference<Parent> = Context.Reference("@snakepit/core/internal/Parent", {
  defaultValue: (): Parent => ({ root: undefined, path: "", semantics: Semantics.production, labels: {}, attach: () => {} })
})

const eventsATurn = 64 // starts that fail at once come back as events at once: a hot restart loop must let others run; 64 take 0.1 ms

/** Boots the supervisor in the current scope: returns when every child has acknowledged, or fails with the first refusal. */
export const boot = Effect.fnUntraced(function*(given: Spec, made: (interpreter: Interpreter) => void = () => {}) {
  const context = yield* Effect.context<never>()
  const parent = yield* Parent
  const spec = parent.root?.changed.get(pathOf(parent, given)) ?? given
  const initial = spec.template === undefined ? [] : yield* spec.template.initial
  const interpreter = new Interpreter(spec, initial, context, parent, yield* Clock.Clock, yield* Event.EventSink)
  made(interpreter)
  yield* Effect.addFinalizer(() => interpreter.handle.stop("its parent stopped it"))
  const { watcher } = spec
  yield* watcher === undefined ? interpreter.boot : Effect.tap(Effect.tapError(interpreter.boot, watcher.down), watcher.up)
  return interpreter
})

/** The start of a supervisor as a child. */
export const start = (spec: Spec) => Effect.map(boot(spec), (interpreter) => interpreter.life)

const pathOf = (parent: Parent, { id }: Spec): string => parent.path === "" ? id : `${parent.path}/${id}`

const tellerOf = ({ events }: Spec, sink: Event.EventSink, path: string, { pool, slot }: Labels) =>
  teller(events, sink, { path, pool, slot })

export class Interpreter {
  readonly path: string
  readonly handle: Handle<Spec>
  private spec: Spec
  private readonly parent: Parent
  private readonly root: TreeRoot.TreeRoot<Spec>
  private labels: Labels
  private readonly semantics: Semantics.Semantics
  private readonly clock: Clock.Clock
  private readonly sink: Event.EventSink
  private tell: (decision: Machine.Decision, now: number) => void
  private readonly context: Context.Context<never>
  readonly state: Machine.SupervisorState
  /** Children that came as values, which a change of the template leaves alone. */
  private readonly given = new WeakSet<Child.Any>()
  /** Changes that wait for the machine to come to them, by token. */
  private readonly changes = new Map<number, Spec>()
  private readonly lives = new Map<string, Life>()
  private readonly delays = new Map<string, RestartPolicy.DelayStep<unknown>>()
  private readonly memories = new Map<string, RestartPolicy.DelayMemory>()
  private readonly timers = new Map<string, Fiber.Fiber<void>>()
  private readonly graces = new Map<number, Grace>()
  private readonly replies = new Map<number, (reply: Machine.Reply) => void>()
  private readonly pending: Array<Machine.Event> = []
  private draining = false
  private tokens = 0
  private outcome: Machine.Outcome | undefined
  private readonly onEnd = new Set<() => void>()

  constructor(
    spec: Spec,
    initial: ReadonlyArray<string>,
    context: Context.Context<never>,
    parent: Parent,
    clock: Clock.Clock,
    sink: Event.EventSink
  ) {
    this.spec = spec
    this.parent = parent
    this.root = parent.root ?? TreeRoot.make()
    this.labels = { ...parent.labels, ...spec.labels }
    this.path = pathOf(parent, spec)
    this.clock = clock
    this.sink = sink
    this.tell = tellerOf(spec, sink, this.path, this.labels)
    this.handle = makeHandle({
      path: this.path,
      has: (id) => this.state.children.has(id),
      fail: (id, reason) => this.dispatch(Machine.Event.FailChild({ id, reason, incident: this.nextIncident() })),
      ask: (event) => this.asking(event),
      offer: (child) => this.offer(child),
      change: (next) => this.change(next),
      stop: (why) =>
        Effect.suspend(() => {
          this.dispatch(Machine.Event.Shutdown({ why }))
          return this.ended
        }),
      count: () => this.count(),
      childSpec: (id) => this.childSpec(id),
      snapshot: () => this.snapshot(),
      changes: TreeRoot.changes(this.root, this.path, () => this.snapshot(), () => this.outcome !== undefined),
      why: (path) => Why.of(this, path),
      giveUpAt: (path) => this.giveUpAt(path)
    })
    this.context = Context.add(context, CurrentSupervisor, this.handle)
    const children = spec.template === undefined ? spec.children : initial.map(spec.template.child)
    this.semantics = spec.semantics ?? parent.semantics
    this.state = Machine.make({
      semantics: this.semantics,
      strategy: spec.strategy,
      autoShutdown: spec.autoShutdown,
      dynamic: spec.template !== undefined,
      maxChildren: spec.maxChildren,
      limit: spec.restart.limit,
      children
    })
    parent.attach(this)
  }

  // ── for the supervisor above, and for a simulation ──

  /** Makes the child of a key; absent in a static supervisor. */
  get template(): ((key: string) => Child.Any) | undefined {
    return this.spec.template?.child
  }

  /** The supervisor that is the child `id`, while it is up. */
  node(id: string): Interpreter | undefined {
    return this.lives.get(id)?.node
  }

  /** Sends an administration call; the answer may come at once. */
  ask(event: (token: number) => Machine.Event, answered: (reply: Machine.Reply) => void): number {
    const token = ++this.tokens
    this.replies.set(token, answered)
    this.dispatch(event(token))
    return token
  }

  private asking(event: (token: number) => Machine.Event): Effect.Effect<Machine.Reply> {
    return Effect.callback((resume) => {
      const token = this.ask(event, (reply) => resume(Effect.succeed(reply)))
      return Effect.sync(() => this.replies.delete(token))
    })
  }

  /** Lets events wait until {@link resume}. */
  hold(): void {
    this.draining = true
  }

  resume(): void {
    this.draining = false
    this.drain()
  }

  /** Ends it without waiting for its children, as OTP's `kill`: supervisors below it stop by themselves, in their order. */
  kill(): void {
    this.dispatch(Machine.Event.Kill())
  }

  /** Returns when every child has acknowledged. A supervisor stopped while it boots counts as interrupted. */
  readonly boot: Effect.Effect<void, SupervisorError.StartFailed<any>> = Effect.callback((resume) => {
    const settle = () =>
      resume(
        this.outcome === undefined
          ? Effect.void
          : Effect.flatMap(this.failureOf(this.outcome) as Effect.Effect<void, SupervisorError.StartFailed<any>>, () => Effect.interrupt)
      )
    this.onEnd.add(settle)
    this.onBooted = () => {
      this.onEnd.delete(settle)
      settle()
    }
    this.dispatch(Machine.Event.Boot())
  })
  private onBooted: () => void = () => {}

  /** The supervisor's life: ends when it was stopped, fails when it gave up. */
  readonly life: Effect.Effect<void, SupervisorError.GaveUp<any, any>> = Effect.suspend(() =>
    Effect.tapError(
      Effect.flatMap(this.ended, (outcome) => this.failureOf(outcome)) as Effect.Effect<void, SupervisorError.GaveUp<any, any>>,
      (error) => this.spec.watcher?.down(error) ?? Effect.void
    )
  )

  private readonly ended: Effect.Effect<Machine.Outcome> = Effect.callback((resume) => {
    const settle = () => resume(Effect.succeed(this.outcome!))
    if (this.outcome !== undefined) return settle()
    this.onEnd.add(settle)
    return Effect.sync(() => this.onEnd.delete(settle))
  })

  private failureOf(
    outcome: Machine.Outcome
  ): Effect.Effect<void, SupervisorError.StartFailed<any> | SupervisorError.GaveUp<any, any>> {
    switch (outcome._tag) {
      case "Shutdown":
      case "AutoShutdown":
        return Effect.void
      case "StartFailed": {
        const { reason } = outcome
        if (reason._tag === "Defect") return Effect.die(reason.defect)
        if (reason._tag !== "Failed") return Effect.die(new Error(`${this.path}/${outcome.child} did not start: ${describe(reason)}`))
        return Effect.fail(
          reason.error instanceof SupervisorError.StartFailed
            ? reason.error
            : SupervisorError.withoutStack(
              new SupervisorError.StartFailed({ at: { path: `${this.path}/${outcome.child}`, error: reason.error } })
            )
        )
      }
      case "Crashed":
        return Effect.die(new Error(`${this.path} crashed: its child "${outcome.child}" ignored a restart and could not be stopped`))
      case "GaveUp":
        return Effect.fail(this.gaveUp(outcome))
    }
  }

  private gaveUp(outcome: Extract<Machine.Outcome, { _tag: "GaveUp" }>): SupervisorError.GaveUp<any, any> {
    const { child, incident, reason, refusal } = outcome
    const inner = reason._tag === "Failed" ? reason.error : undefined
    const because = inner instanceof SupervisorError.GaveUp
      ? inner.because
      : inner instanceof SupervisorError.StartFailed
      ? inner.at
      : { path: `${this.path}/${child}`, error: errorOf(reason) }
    const escalated = inner instanceof SupervisorError.GaveUp ? [...inner.escalated, inner.path] : []
    const limit = refusal === undefined ? RestartPolicy.intensityExceeded(this.spec.restart) : refusal.error as { message: string }
    return SupervisorError.withoutStack(new SupervisorError.GaveUp({ path: this.path, because, limit, escalated, incident }))
  }

  // ── administration ──

  private offer(given: string | Child.Any): Effect.Effect<Machine.Reply> {
    if (typeof given !== "string") this.given.add(given)
    const child = typeof given === "string" ? this.fromTemplate(this.spec.template?.child ?? this.spec.added!, given) : given
    return this.asking((token) => Machine.Event.StartChild({ child, token }))
  }

  private fromTemplate(template: Template, key: string): Child.Any {
    const child = template(key)
    if (child.id === key) return child
    throw new RangeError(
      `the template of ${this.path} made a child with the id "${child.id}" for the key "${key}". ` +
        "Its id must be the key: make it with Child.make(key, …)"
    )
  }

  private change(spec: Spec): Effect.Effect<Machine.Reply, SupervisorError.ChangeRefused> {
    const why = this.whyNot(spec)
    if (why !== undefined) return Effect.fail(new SupervisorError.ChangeRefused({ supervisor: this.path, why }))
    const { template } = spec
    return this.asking((token) => {
      this.changes.set(token, spec)
      return Machine.Event.Change({
        change: {
          strategy: spec.strategy,
          autoShutdown: spec.autoShutdown,
          maxChildren: spec.maxChildren,
          limit: spec.restart.limit,
          children: spec.children,
          template: template === undefined ? undefined : (id) => {
            const child = this.childOf(id)
            return this.given.has(child) ? child : this.fromTemplate(template.child, id)
          }
        },
        token
      })
    })
  }

  private whyNot(next: Spec): string | undefined {
    if (next.id !== this.spec.id) return `a supervisor keeps its id, and the new one is "${next.id}"`
    const kindOf = ({ template }: Spec) => template === undefined ? "static" : "dynamic"
    if (kindOf(next) !== kindOf(this.spec)) return `it is ${kindOf(this.spec)}, and the new one is ${kindOf(next)}`
    if ((next.semantics ?? this.parent.semantics) !== this.semantics) return "a supervisor keeps its semantics while it runs"
    return undefined
  }

  private goOver(spec: Spec): void {
    if (spec.restart !== this.spec.restart) this.delays.clear()
    this.spec = { ...spec, watcher: spec.watcher ?? this.spec.watcher, observer: spec.observer ?? this.spec.observer }
    this.labels = { ...this.parent.labels, ...spec.labels }
    this.tell = tellerOf(spec, this.sink, this.path, this.labels)
    for (const child of spec.children) {
      if (this.lives.get(child.id)?.child !== child) TreeRoot.forget(this.root, `${this.path}/${child.id}`)
    }
    this.root.changed.set(this.path, this.spec)
  }

  private count(): ChildCount {
    let active = 0
    let supervisors = 0
    for (const { ended, id, status } of this.state.children.values()) {
      if (status._tag === "Running" && !ended) active++
      if (this.childOf(id).contract !== undefined) supervisors++
    }
    const specs = this.state.children.size
    return { specs, active, supervisors, workers: specs - supervisors }
  }

  private childSpec(id: string): ChildSpec | undefined {
    if (!this.state.children.has(id)) return undefined
    const { contract, restart, shutdown, significant } = this.childOf(id)
    const strategy = this.lives.get(id)?.node?.strategy ?? contract?.strategy
    return { id, kind: contract === undefined ? "worker" : "supervisor", restart, shutdown, significant, strategy }
  }

  // ── events in, commands out ──

  private dispatch(event: Machine.Event): void {
    this.pending.push(event)
    if (!this.draining) this.drain()
  }

  private drain(): void {
    this.draining = true
    let paused = false
    try {
      for (let applied = 0; this.pending.length > 0 && !paused; applied++) {
        if (applied === eventsATurn) paused = true
        else {
          const event = this.pending.shift()!
          const commands = transition(this.state, event, this.now())
          if (this.outcome === undefined) this.spec.observer?.(this.path, event, commands)
          for (let i = 0; i < commands.length; i++) this.execute(commands[i]!)
        }
      }
    } finally {
      this.draining = paused
    }
    TreeRoot.signal(this.root, this.path, this.outcome !== undefined)
    if (paused) this.fork(Effect.yieldNow).addObserver(() => this.drain())
  }

  private now(): number {
    return this.clock.currentTimeMillisUnsafe()
  }

  private nextIncident(): string {
    return `${this.now().toString(36)}-${(this.root.incidents++).toString(36)}`
  }

  private execute(command: Machine.Command): void {
    switch (command._tag) {
      case "Start":
        return this.start(command.id, command.generation)
      case "Stop":
        return this.stop(command.id)
      case "Kill":
        return this.killChild(command.id)
      case "Settle":
        return void this.fork(Effect.yieldNow).addObserver(() => this.dispatch({ _tag: "Settled" }))
      case "AskDelay":
        return this.askDelay(command)
      case "StartAt":
        return this.startAt(command)
      case "Reply": {
        const reply = this.replies.get(command.token)
        const change = this.changes.get(command.token)
        this.replies.delete(command.token)
        this.changes.delete(command.token)
        if (change !== undefined && command.reply._tag === "Done") this.goOver(change)
        return reply?.(command.reply)
      }
      case "Forget":
        this.lives.delete(command.id)
        this.delays.delete(command.id)
        this.memories.delete(command.id)
        return TreeRoot.forget(this.root, `${this.path}/${command.id}`)
      case "Tell":
        return this.tell(command.decision, this.now())
      case "Booted":
        return this.onBooted()
      case "End":
        return this.end(command.outcome)
    }
  }

  private fork<A, E>(effect: Effect.Effect<A, E>, context = this.context): Fiber.Fiber<A, E> {
    return Effect.runForkWith(context)(effect)
  }

  private start(id: string, generation: number): void {
    const child = this.childOf(id)
    const scope = Scope.makeUnsafe("sequential")
    const life: Life = { child, generation, scope, fiber: undefined, releasing: false, stopAsked: false, node: undefined }
    this.lives.set(id, life)
    const path = `${this.path}/${id}`
    const context = this.context.pipe(
      Context.add(Scope.Scope, scope),
      Context.add(Child.CurrentChild, { id, path, generation }),
      Context.add(Parent, {
        root: this.root,
        path: this.path,
        semantics: this.semantics,
        labels: this.labels,
        attach: (node) => void (life.node = node)
      })
    )
    const starting = this.fork(child.start as Effect.Effect<Effect.Effect<unknown, unknown>, unknown>, context)
    life.fiber = starting
    starting.addObserver((started) => {
      if (life.releasing) return
      if (Exit.isFailure(started)) {
        return this.release(id, life, (incident) => {
          this.dispatch({ _tag: "ChildStartFailed", id, generation, reason: fromExit(started), incident })
        }, started)
      }
      if (started.value === Child.ignore) {
        return this.release(id, life, () => this.dispatch({ _tag: "ChildIgnored", id, generation }), started)
      }
      this.dispatch({ _tag: "ChildStarted", id, generation })
      if (life.releasing) return
      const living = this.fork(started.value, context)
      life.fiber = living
      living.addObserver((exit) => {
        if (life.releasing) return
        this.release(id, life, (incident) => {
          this.dispatch({ _tag: "ChildExited", id, generation, reason: fromExit(exit), incident })
        }, exit)
      })
    })
  }

  /** The machine keeps the spec that it was given. */
  private childOf(id: string): Child.Any {
    return this.state.children.get(id)!.facts as Child.Any
  }

  private stop(id: string): void {
    const life = this.lives.get(id)!
    life.stopAsked = true
    if (!life.releasing) this.release(id, life, () => {}, Exit.void)
  }

  private killChild(id: string): void {
    const life = this.lives.get(id)
    if (life === undefined) return
    life.stopAsked = true
    if (!life.releasing) this.release(id, life, () => {}, Exit.void)
  }

  /** Interrupts what still runs, closes the scope, and reports; after the child's grace it reports anyway and leaves the rest behind. */
  private release(id: string, life: Life, report: (incident: string) => void, exit: Exit.Exit<unknown, unknown>): void {
    life.releasing = true
    const { shutdown } = (this.state.children.get(id)?.facts as Child.Any | undefined) ?? life.child
    let cancelGrace: (() => void) | undefined
    let reported = false
    let abandonedAfterMillis: number | undefined
    const done = () => {
      if (reported) return
      reported = true
      cancelGrace?.()
      life.node = undefined
      const { generation } = life
      if (life.stopAsked) return this.dispatch({ _tag: "ChildStopped", id, generation, abandonedAfterMillis })
      report(incidentOf(exit) ?? this.nextIncident())
    }
    const close = () => {
      const closing = Scope.closeUnsafe(life.scope, exit)
      if (closing === undefined) return done()
      this.fork(closing).addObserver((closed) => {
        if (Exit.isFailure(closed)) this.fork(Effect.logError(`a finalizer of ${this.path}/${id} failed`, closed.cause))
        done()
      })
    }
    life.fiber?.interruptUnsafe()
    if (life.fiber === undefined) close()
    else life.fiber.addObserver(close)
    if (reported || shutdown === "infinity") return
    cancelGrace = this.afterGrace(shutdown === "brutal" ? 0 : shutdown, () => {
      if (shutdown !== "brutal") abandonedAfterMillis = shutdown
      life.node?.kill()
      if (reported || shutdown === "brutal") return done()
      this.fork(Effect.logWarning(
        `${this.path}/${id} did not stop within ${shutdown} ms and is left behind; its finalizers go on. ` +
          "A finalizer that waits without a bound is the likely cause"
      ))
      done()
    })
  }

  /** Calls `expire` after a grace, unless cancelled. */
  private afterGrace(millis: number, expire: () => void): () => void {
    const at = this.now() + millis
    let grace = this.graces.get(at)
    if (grace === undefined) {
      const made: Grace = { timer: this.fork(millis === 0 ? Effect.yieldNow : Effect.sleep(millis)), expire: new Set() }
      grace = made
      this.graces.set(at, made)
      made.timer.addObserver((slept) => {
        this.graces.delete(at)
        if (Exit.isSuccess(slept)) { for (const expired of made.expire) expired() }
      })
    }
    const { expire: waiting, timer } = grace
    waiting.add(expire)
    return () => {
      waiting.delete(expire)
      if (waiting.size === 0) timer.interruptUnsafe()
    }
  }

  private askDelay({ ask, id, key, reason }: Extract<Machine.Command, { _tag: "AskDelay" }>): void {
    let step = this.delays.get(key)
    if (step === undefined) {
      const memory = RestartPolicy.delayMemory()
      step = RestartPolicy.delayStep(this.spec.restart, memory)
      this.delays.set(key, step)
      this.memories.set(key, memory)
    }
    this.fork(step(this.now(), { id, reason })).addObserver((exit) => {
      this.dispatch(
        Exit.isSuccess(exit)
          ? Machine.Event.DelayKnown({ ask, delayMillis: exit.value })
          : Machine.Event.DelayRefused({ ask, error: errorOf(fromExit(exit)) })
      )
    })
  }

  private startAt({ ask, at, key }: Extract<Machine.Command, { _tag: "StartAt" }>): void {
    this.timers.get(key)?.interruptUnsafe()
    const timer = this.fork(Effect.sleep(at - this.now()))
    this.timers.set(key, timer)
    timer.addObserver((exit) => {
      if (this.timers.get(key) === timer) this.timers.delete(key)
      if (Exit.isSuccess(exit)) this.dispatch(Machine.Event.Due({ ask }))
    })
  }

  private end(outcome: Machine.Outcome): void {
    this.outcome = outcome
    for (const timer of this.timers.values()) timer.interruptUnsafe()
    for (const { timer } of this.graces.values()) timer.interruptUnsafe()
    for (const reply of this.replies.values()) reply(Machine.Reply.Stopping())
    this.replies.clear()
    for (const settle of [...this.onEnd]) settle()
    this.onEnd.clear()
  }

  /** `undefined` when nothing is at this path, or what is there is up and no supervisor. */
  giveUpAt(path: string): GiveUpAt.GiveUpAt | undefined {
    if (path === this.path) return GiveUpAt.of(this.state, this.spec.restart, this.memories, this.now())
    for (const { node } of this.lives.values()) {
      if (node !== undefined && (path === node.path || path.startsWith(`${node.path}/`))) return node.giveUpAt(path)
    }
    const why = Why.of(this, path)
    return why === "running" || why === "unknown" ? undefined : GiveUpAt.GiveUpAt.Never({ because: "it is not running" })
  }

  get strategy(): Machine.Strategy | "dynamic" {
    return this.spec.template === undefined ? this.spec.strategy : "dynamic"
  }

  snapshot(): Tree.SupervisorNode {
    return {
      path: this.path,
      strategy: this.strategy,
      budgetLeft: Intensity.left(this.state.window, this.now()),
      children: [...this.state.children.values()].map(({ generation, id, restarts, status }) => ({
        id,
        path: `${this.path}/${id}`,
        status: status._tag.toLowerCase() as Tree.NodeStatus,
        because: status._tag === "Down" ? status.why : status._tag === "Waiting" ? describe(status.reason) : undefined,
        generation,
        restarts,
        supervisor: this.lives.get(id)?.node?.snapshot()
      }))
    }
  }
}

/** An escalation keeps the incident of the exit that set it off. */
const incidentOf = (exit: Exit.Exit<unknown, unknown>): string | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const reason = exit.cause.reasons.find(Cause.isFailReason)
  return reason?.error instanceof SupervisorError.GaveUp ? reason.error.incident : undefined
}

const errorOf = (reason: ExitReason): unknown => {
  switch (reason._tag) {
    case "Failed":
      return reason.error
    case "Defect":
      return new SupervisorError.Defect({ defect: reason.defect })
    default:
      return new SupervisorError.Ended({ cause: describe(reason) })
  }
}
