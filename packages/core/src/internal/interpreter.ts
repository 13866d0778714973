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
import * as Intensity from "../Intensity.ts"
import * as RestartPolicy from "../RestartPolicy.ts"
import * as Semantics from "../Semantics.ts"
import * as SupervisorError from "../SupervisorError.ts"
import type { SupervisorEvents } from "../SupervisorEvent.ts"
import { CurrentSupervisor, type DynamicSupervisorHandle } from "../SupervisorHandle.ts"
import { transition } from "../SupervisorMachine.ts"
import * as Machine from "../SupervisorState.ts"
import type * as Tree from "../Tree.ts"
import { makeHandle } from "./handle.ts"
import { teller } from "./teller.ts"

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
  readonly template: { readonly child: (key: string) => Child.Any; readonly initial: Effect.Effect<ReadonlyArray<string>> } | undefined
  readonly events: SupervisorEvents
  readonly labels: Labels
  /** Hears every step of the machine, for simulations. */
  readonly observer?: ((of: Interpreter, event: Machine.Event, commands: ReadonlyArray<Machine.Command>) => void) | undefined
  readonly watcher?: {
    readonly up: Effect.Effect<void>
    readonly down: (error: SupervisorError.StartFailed<any> | SupervisorError.GaveUp<any, any>) => Effect.Effect<void>
  }
}

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
  readonly path: string
  readonly semantics: Semantics.Semantics
  readonly labels: Labels
  readonly attach: (node: Interpreter) => void
  /** Shared by a whole tree, so that the same tree under the same harm tells the same events. */
  readonly incidents: { count: number }
}

const Parent: Context.Reference<Parent> = Context.Reference("@snakepit/core/internal/Parent", {
  defaultValue: (): Parent => ({ path: "", semantics: Semantics.production, labels: {}, attach: () => {}, incidents: { count: 0 } })
})

/** Boots the supervisor in the current scope: returns when every child has acknowledged, or fails with the first refusal. */
export const boot = Effect.fnUntraced(function*(spec: Spec, made: (interpreter: Interpreter) => void = () => {}) {
  const context = yield* Effect.context<never>()
  const initial = spec.template === undefined ? [] : yield* spec.template.initial
  const interpreter = new Interpreter(spec, initial, context, yield* Parent, yield* Clock.Clock, yield* Event.EventSink)
  made(interpreter)
  yield* Effect.addFinalizer(() => interpreter.shutdown)
  const { watcher } = spec
  yield* watcher === undefined ? interpreter.boot : Effect.tap(Effect.tapError(interpreter.boot, watcher.down), watcher.up)
  return interpreter
})

/** The start of a supervisor as a child. */
export const start = (spec: Spec) => Effect.map(boot(spec), (interpreter) => interpreter.life)

export class Interpreter {
  readonly path: string
  readonly handle: DynamicSupervisorHandle
  private readonly spec: Spec
  private readonly labels: Labels
  private readonly semantics: Semantics.Semantics
  private readonly incidents: Parent["incidents"]
  private readonly clock: Clock.Clock
  private readonly tell: (decision: Machine.Decision, now: number) => void
  private readonly context: Context.Context<never>
  private readonly state: Machine.SupervisorState
  private readonly lives = new Map<string, Life>()
  private readonly delays = new Map<string, RestartPolicy.DelayStep<unknown>>()
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
    this.path = parent.path === "" ? spec.id : `${parent.path}/${spec.id}`
    this.labels = { ...parent.labels, ...spec.labels }
    this.incidents = parent.path === "" ? { count: 0 } : parent.incidents
    this.clock = clock
    this.tell = teller(spec.events, sink, { path: this.path, pool: this.labels.pool, slot: this.labels.slot })
    this.handle = makeHandle({
      path: this.path,
      has: (id) => this.state.children.has(id),
      fail: (id, reason) => this.dispatch(Machine.Event.FailChild({ id, reason, incident: this.nextIncident() })),
      ask: (event) =>
        Effect.callback((resume) => {
          const token = this.ask(event, (reply) => resume(Effect.succeed(reply)))
          return Effect.sync(() => this.replies.delete(token))
        }),
      prepare: spec.template === undefined ? undefined : (key) => {
        const child = spec.template!.child(key)
        if (child.id !== key) throw new RangeError(`the template of ${this.path} made the child "${child.id}" for the key "${key}"`)
        return child
      },
      snapshot: () => this.snapshot()
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

  readonly shutdown: Effect.Effect<void> = Effect.suspend(() => {
    this.dispatch(Machine.Event.Shutdown({ why: "its parent stopped it" }))
    return Effect.asVoid(this.ended)
  })

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

  // ── events in, commands out ──

  private dispatch(event: Machine.Event): void {
    this.pending.push(event)
    if (!this.draining) this.drain()
  }

  private drain(): void {
    this.draining = true
    try {
      for (let next = this.pending.shift(); next !== undefined; next = this.pending.shift()) {
        const commands = transition(this.state, next, this.now())
        if (this.outcome === undefined) this.spec.observer?.(this, next, commands)
        for (let i = 0; i < commands.length; i++) this.execute(commands[i]!)
      }
    } finally {
      this.draining = false
    }
  }

  private now(): number {
    return this.clock.currentTimeMillisUnsafe()
  }

  private nextIncident(): string {
    return `${this.now().toString(36)}-${(this.incidents.count++).toString(36)}`
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
        this.replies.delete(command.token)
        return reply?.(command.reply)
      }
      case "Forget":
        this.lives.delete(command.id)
        this.delays.delete(command.id)
        return
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
        path: this.path,
        semantics: this.semantics,
        labels: this.labels,
        incidents: this.incidents,
        attach: (node) => void (life.node = node)
      })
    )
    const starting = this.fork(child.start as Effect.Effect<Effect.Effect<unknown, unknown>, unknown>, context)
    life.fiber = starting
    starting.addObserver((started) => {
      if (life.releasing) return
      if (Exit.isFailure(started)) {
        return this.release(child, life, (incident) => {
          this.dispatch({ _tag: "ChildStartFailed", id, generation, reason: fromExit(started), incident })
        }, started)
      }
      if (started.value === Child.ignore) {
        return this.release(child, life, () => this.dispatch({ _tag: "ChildIgnored", id, generation }), started)
      }
      this.dispatch({ _tag: "ChildStarted", id, generation })
      if (life.releasing) return
      const living = this.fork(started.value, context)
      life.fiber = living
      living.addObserver((exit) => {
        if (life.releasing) return
        this.release(child, life, (incident) => {
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
    if (!life.releasing) this.release(this.childOf(id), life, () => {}, Exit.void)
  }

  private killChild(id: string): void {
    const life = this.lives.get(id)
    if (life === undefined) return
    life.stopAsked = true
    if (!life.releasing) this.release(life.child, life, () => {}, Exit.void)
  }

  /** Interrupts what still runs, closes the scope, and reports; after the child's grace it reports anyway and leaves the rest behind. */
  private release(child: Child.Any, life: Life, report: (incident: string) => void, exit: Exit.Exit<unknown, unknown>): void {
    life.releasing = true
    let cancelGrace: (() => void) | undefined
    let reported = false
    let abandonedAfterMillis: number | undefined
    const done = () => {
      if (reported) return
      reported = true
      cancelGrace?.()
      life.node = undefined
      const { generation } = life
      if (life.stopAsked) return this.dispatch({ _tag: "ChildStopped", id: child.id, generation, abandonedAfterMillis })
      report(incidentOf(exit) ?? this.nextIncident())
    }
    const close = () => {
      const closing = Scope.closeUnsafe(life.scope, exit)
      if (closing === undefined) return done()
      this.fork(closing).addObserver((closed) => {
        if (Exit.isFailure(closed)) this.fork(Effect.logError(`a finalizer of ${this.path}/${child.id} failed`, closed.cause))
        done()
      })
    }
    life.fiber?.interruptUnsafe()
    if (life.fiber === undefined) close()
    else life.fiber.addObserver(close)
    const { shutdown } = child
    if (reported || shutdown === "infinity") return
    cancelGrace = this.afterGrace(shutdown === "brutal" ? 0 : shutdown, () => {
      if (shutdown !== "brutal") abandonedAfterMillis = shutdown
      life.node?.kill()
      if (reported || shutdown === "brutal") return done()
      this.fork(Effect.logWarning(
        `${this.path}/${child.id} did not stop within ${shutdown} ms and is left behind; its finalizers go on. ` +
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
      step = RestartPolicy.delayStep(this.spec.restart)
      this.delays.set(key, step)
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

  snapshot(): Tree.SupervisorNode {
    return {
      path: this.path,
      strategy: this.spec.template === undefined ? this.spec.strategy : "dynamic",
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
