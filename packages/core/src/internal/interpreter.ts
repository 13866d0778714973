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
  readonly watcher?: {
    readonly up: Effect.Effect<void>
    readonly down: (error: SupervisorError.StartFailed<any> | SupervisorError.GaveUp<any, any>) => Effect.Effect<void>
  }
}

/** One filling of a child: one fiber that starts it and then is its life. */
interface Life {
  readonly child: Child.Any
  readonly generation: number
  readonly scope: Scope.Closeable
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  stage: "starting" | "living" | "ignored"
  /** How it ended, or was told to. Its resources are being released then; nothing it still does counts, except that release. */
  exit: Exit.Exit<unknown, unknown> | undefined
  /** The machine has asked for the stop: the release is reported as `ChildStopped`. */
  stopAsked: boolean
  reported: boolean
  cancelGrace: (() => void) | undefined
  node: Interpreter | undefined
  /** The memory of its restart delay, handed on from one generation to the next; under a group strategy the group's is asked. */
  delay: RestartPolicy.DelayStep<unknown> | undefined
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
  readonly attach: (node: Interpreter, child: Child.CurrentChild["Service"]) => void
}

const Parent: Context.Reference<Parent> = Context.Reference("@snakepit/core/internal/Parent", {
  defaultValue: (): Parent => ({ path: "", semantics: Semantics.production, labels: {}, attach: () => {} })
})

let incidents = 0
let moment = { now: 0, name: "0" } // writing a time down costs more than a restart's other words together, and many have the same
const nextIncident = (now: number): string => {
  if (now !== moment.now) moment = { now, name: now.toString(36) }
  return `${moment.name}-${incidents++}`
}

/** Events handled before others have their turn: some milliseconds of a restart loop without a delay. */
const turn = 1024

/** Boots the supervisor in the current scope: returns when every child has acknowledged, or fails with the first refusal. */
export const boot = Effect.fnUntraced(function*(spec: Spec) {
  const context = yield* Effect.context<never>()
  const initial = spec.template === undefined ? [] : yield* spec.template.initial
  const interpreter = new Interpreter(spec, initial, context, yield* Parent, yield* Clock.Clock, yield* Event.EventSink)
  yield* Effect.addFinalizer(() => interpreter.shutdown)
  const { watcher } = spec
  yield* watcher === undefined ? interpreter.boot : Effect.tap(Effect.tapError(interpreter.boot, watcher.down), watcher.up)
  return interpreter
})

export class Interpreter {
  readonly path: string
  readonly handle: DynamicSupervisorHandle
  private readonly spec: Spec
  private readonly labels: Labels
  private readonly semantics: Semantics.Semantics
  private readonly clock: Clock.Clock
  private readonly tell: (decision: Machine.Decision, now: number) => void
  private readonly context: Context.Context<never>
  private readonly state: Machine.SupervisorState
  private readonly specs: Map<string, Child.Any>
  private readonly lives = new Map<string, Life>()
  private groupDelay: RestartPolicy.DelayStep<unknown> | undefined
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
    this.clock = clock
    this.tell = teller(spec.events, sink, { path: this.path, pool: this.labels.pool, slot: this.labels.slot })
    this.handle = makeHandle({
      path: this.path,
      has: (id) => this.state.children.has(id),
      fail: (id, reason) => this.dispatch(Machine.Event.FailChild({ id, reason, incident: nextIncident(this.now()) })),
      ask: (event) =>
        Effect.callback((resume) => {
          const token = ++this.tokens
          this.replies.set(token, (reply) => resume(Effect.succeed(reply)))
          this.dispatch(event(token))
          return Effect.sync(() => this.replies.delete(token))
        }),
      prepare: spec.template === undefined ? undefined : (key) => {
        const child = spec.template!.child(key)
        if (child.id !== key) throw new RangeError(`the template of ${this.path} made the child "${child.id}" for the key "${key}"`)
        if (!this.specs.has(key)) this.specs.set(key, child)
        return child
      },
      discard: (key) => {
        if (!this.state.children.has(key)) this.specs.delete(key)
      },
      snapshot: () => this.snapshot()
    })
    this.context = flat(context.pipe(
      Context.add(CurrentSupervisor, this.handle),
      Context.add(Parent, {
        path: this.path,
        semantics: spec.semantics ?? parent.semantics,
        labels: this.labels,
        attach: (node, { generation, id }) => {
          const life = this.lives.get(id)
          if (life?.generation === generation) life.node = node
        }
      })
    ))
    const children = spec.template === undefined ? spec.children : initial.map(spec.template.child)
    this.specs = new Map(children.map((child) => [child.id, child]))
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
    const self = Context.getOrUndefined(context, Child.CurrentChild)
    if (self !== undefined) parent.attach(this, self)
  }

  // ── for the supervisor's own child wrapper ──

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
    let handled = 0
    try {
      while (handled < this.pending.length && handled < turn) {
        const event = this.pending[handled++]!
        const now = this.now()
        const commands = transition(this.state, event, now)
        for (let i = 0; i < commands.length; i++) this.execute(commands[i]!, now)
      }
    } finally {
      this.pending.splice(0, handled)
      this.draining = false
    }
    if (handled < turn) return
    this.draining = true
    this.fork(Effect.yieldNow).addObserver(() => this.drain())
  }

  private now(): number {
    return this.clock.currentTimeMillisUnsafe()
  }

  private execute(command: Machine.Command, now: number): void {
    switch (command._tag) {
      case "Start":
        return this.start(command.id, command.generation)
      case "Stop":
        return this.stop(command.id)
      case "Settle":
        return void this.fork(Effect.yieldNow).addObserver(() => this.dispatch({ _tag: "Settled" }))
      case "AskDelay":
        return this.askDelay(command, now)
      case "StartAt":
        return this.startAt(command)
      case "Reply": {
        const reply = this.replies.get(command.token)
        this.replies.delete(command.token)
        return reply?.(command.reply)
      }
      case "Forget":
        this.specs.delete(command.id)
        this.lives.delete(command.id)
        return
      case "Tell":
        return this.tell(command.decision, now)
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
    const child = this.specs.get(id)!
    const scope = Scope.makeUnsafe("sequential")
    const life: Life = {
      child,
      generation,
      scope,
      fiber: undefined,
      stage: "starting",
      exit: undefined,
      stopAsked: false,
      reported: false,
      cancelGrace: undefined,
      node: undefined,
      delay: this.lives.get(id)?.delay
    }
    this.lives.set(id, life)
    const current = { id, path: `${this.path}/${id}`, generation }
    const context = Context.add(Context.add(this.context, Scope.Scope, scope), Child.CurrentChild, current)
    life.fiber = this.fork(
      Effect.flatMapEager(child.start as Effect.Effect<Effect.Effect<unknown>>, (living) => this.live(life, living)),
      context
    )
    life.fiber.addObserver((exit) => this.over(life, exit))
  }

  /** The start has acknowledged: what it goes on with. */
  private live(life: Life, living: Effect.Effect<unknown>): Effect.Effect<unknown> {
    if (living === Child.ignore) {
      life.stage = "ignored"
      return Effect.void
    }
    life.stage = "living"
    this.dispatch({ _tag: "ChildStarted", id: life.child.id, generation: life.generation })
    return living
  }

  /** Its fiber is over, by itself or interrupted. */
  private over(life: Life, exit: Exit.Exit<unknown, unknown>): void {
    if (life.exit !== undefined) return this.close(life, life.exit)
    life.exit = exit
    this.close(life, exit)
    this.limit(life)
  }

  private stop(id: string): void {
    const life = this.lives.get(id)!
    life.stopAsked = true
    if (life.exit !== undefined) return
    life.exit = Exit.void
    life.fiber!.interruptUnsafe()
    this.limit(life)
  }

  private close(life: Life, exit: Exit.Exit<unknown, unknown>): void {
    const closing = Scope.closeUnsafe(life.scope, exit)
    if (closing === undefined) return this.released(life, exit)
    this.fork(closing).addObserver((closed) => {
      if (Exit.isFailure(closed)) this.fork(Effect.logError(`a finalizer of ${this.path}/${life.child.id} failed`, closed.cause))
      this.released(life, exit)
    })
  }

  /** After the child's grace its release is reported anyway, and the rest of it left behind. */
  private limit(life: Life): void {
    const { child: { id, shutdown } } = life
    if (life.reported || shutdown === "infinity") return
    life.cancelGrace = this.afterGrace(shutdown === "brutal" ? 0 : shutdown, () => {
      if (shutdown === "brutal") return this.released(life, life.exit!)
      this.fork(Effect.logWarning(
        `${this.path}/${id} did not stop within ${shutdown} ms and is left behind; its finalizers go on. ` +
          "A finalizer that waits without a bound is the likely cause"
      ))
      this.released(life, life.exit!, shutdown)
    })
  }

  private released(life: Life, exit: Exit.Exit<unknown, unknown>, abandonedAfterMillis?: number): void {
    if (life.reported) return
    life.reported = true
    life.cancelGrace?.()
    life.node = undefined
    const { child: { id }, generation, stage } = life
    if (life.stopAsked) return this.dispatch({ _tag: "ChildStopped", id, generation, abandonedAfterMillis })
    if (stage === "ignored") return this.dispatch({ _tag: "ChildIgnored", id, generation })
    const incident = incidentOf(exit) ?? nextIncident(this.now())
    this.dispatch({ _tag: stage === "starting" ? "ChildStartFailed" : "ChildExited", id, generation, reason: fromExit(exit), incident })
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

  private askDelay({ ask, id, reason }: Extract<Machine.Command, { _tag: "AskDelay" }>, now: number): void {
    const stepped = this.delayOf(id)(now, { id, reason })
    if (Exit.isExit(stepped)) this.delayAnswered(ask, stepped as Exit.Exit<number, unknown>)
    else this.fork(stepped).addObserver((exit) => this.delayAnswered(ask, exit))
  }

  private delayAnswered(ask: number, exit: Exit.Exit<number, unknown>): void {
    this.dispatch(
      Exit.isSuccess(exit)
        ? { _tag: "DelayKnown", ask, delayMillis: exit.value }
        : { _tag: "DelayRefused", ask, error: errorOf(fromExit(exit)) }
    )
  }

  private delayOf(id: string): RestartPolicy.DelayStep<unknown> {
    const { restart } = this.spec
    if (this.state.strategy !== "one_for_one") return this.groupDelay ??= RestartPolicy.delayStep(restart)
    return this.lives.get(id)!.delay ??= RestartPolicy.delayStep(restart)
  }

  private startAt({ ask, at, key }: Extract<Machine.Command, { _tag: "StartAt" }>): void {
    this.timers.get(key)?.interruptUnsafe()
    const timer = this.fork(Effect.sleep(at - this.now()))
    this.timers.set(key, timer)
    timer.addObserver((exit) => {
      if (this.timers.get(key) === timer) this.timers.delete(key)
      if (Exit.isSuccess(exit)) this.dispatch({ _tag: "Due", ask })
    })
  }

  private end(outcome: Machine.Outcome): void {
    this.outcome = outcome
    for (const timer of this.timers.values()) timer.interruptUnsafe()
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

/** The same context in one layer: those of the children add to it at each start. */
const flat = (context: Context.Context<never>): Context.Context<never> => Context.makeUnsafe(new Map(context.mapUnsafe))

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
