/**
 * Runs the commands of one supervisor's machine in scopes and fibers. It never waits: what takes time is forked, and its end comes back
 * as an event.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Child from "../Child.ts"
import * as Event from "../Event.ts"
import { type ExitReason, fromExit } from "../ExitReason.ts"
import * as GiveUpAt from "../GiveUpAt.ts"
import * as Heard from "../Heard.ts"
import * as Intensity from "../Intensity.ts"
import { MonotonicClock } from "../MonotonicClock.ts"
import { RestartMemory } from "../RestartMemory.ts"
import * as RestartPolicy from "../RestartPolicy.ts"
import * as Semantics from "../Semantics.ts"
import * as SupervisorError from "../SupervisorError.ts"
import type { SupervisorEvents } from "../SupervisorEvent.ts"
import { type ChildCount, type ChildSpec, CurrentSupervisor } from "../SupervisorHandle.ts"
import { incidentOf, transition } from "../SupervisorMachine.ts"
import * as Machine from "../SupervisorState.ts"
import type * as Tree from "../Tree.ts"
import * as Why from "../Why.ts"
import { Graces } from "./Graces.ts"
import { type Handle, makeHandle } from "./handle.ts"
import * as Outcome from "./outcome.ts"
import { checkInitial } from "./specification.ts"
import { because, beginning, standing, statusOf, teller } from "./teller.ts"
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
  readonly template: {
    readonly child: Template
    readonly initial: Effect.Effect<ReadonlyArray<string>>
    /** The keys that stand for all in its contract and in previews. */
    readonly shown: ReadonlyArray<string>
  } | undefined
  /** Makes the children that a static supervisor may be given later. */
  readonly added: Template | undefined
  readonly events: SupervisorEvents
  readonly labels: Labels
  /** Hears every step of the machine, for simulations. */
  readonly observer?: ((of: Interpreter, event: Machine.Event, commands: ReadonlyArray<Machine.Command>) => void) | undefined
  /** Makes each generation known, until its scope closes. */
  readonly announce?: ((interpreter: Interpreter) => Effect.Effect<void, never, Scope.Scope>) | undefined
  readonly watcher?: {
    readonly up: Effect.Effect<void>
    readonly down: (error: SupervisorError.StartFailed<any> | SupervisorError.GaveUp<any, any>) => Effect.Effect<void>
  } | undefined
}

type Template = (key: string) => Child.Any

/** The delay of one recovery key, and what it was asked. */
interface Delay {
  readonly step: RestartPolicy.DelayStep<unknown>
  readonly memory: RestartPolicy.DelayMemory
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
  abandonedAfterMillis: number | undefined
  cancelGrace: (() => void) | undefined
  node: Interpreter | undefined
  /** The incident of its end, asked for before its supervisor heard of that. */
  incident: string | undefined
  /** The memory of its restart delay, handed on from one generation to the next; under a group strategy the group's is asked. */
  delay: Delay | undefined
}

interface Parent {
  /** Absent above the root. */
  readonly root: TreeRoot.TreeRoot<Spec> | undefined
  readonly path: string
  readonly semantics: Semantics.Semantics
  readonly labels: Labels
  readonly attach: (node: Interpreter, child: Child.CurrentChild["Service"]) => void
  /** It has not ended, nor any above it: below one that was left behind nobody tells how children stand. */
  readonly stands: () => boolean
}

const Parent: Context.Reference<Parent> = Context.Reference("@snakepit/core/internal/Parent", {
  defaultValue: (): Parent => ({
    root: undefined,
    path: "",
    semantics: Semantics.production,
    labels: {},
    attach: () => {},
    stands: () => true
  })
})

const turn = 64 // events handled before others have their turn, for restart loops without a delay: they take 0.1 ms

/** Boots the supervisor in the current scope: returns when every child has acknowledged, or fails with the first refusal. */
export const boot = Effect.fnUntraced(function*(given: Spec, made: (interpreter: Interpreter) => void = () => {}) {
  const context = yield* Effect.context<never>()
  const parent = yield* Parent
  const spec = changedTo(context, parent, given)
  const initial = spec.template === undefined ? [] : yield* spec.template.initial
  const root = parent.root ?? TreeRoot.make<Spec>(new MonotonicClock(yield* Clock.Clock), yield* RestartMemory)
  const interpreter = new Interpreter(spec, initial, context, parent, root, yield* Event.EventSink)
  made(interpreter)
  yield* Effect.addFinalizer(() => interpreter.handle.stop("its parent stopped it"))
  const { announce, watcher } = spec
  if (announce !== undefined) yield* announce(interpreter)
  yield* watcher === undefined ? interpreter.boot : Effect.tap(Effect.tapError(interpreter.boot, watcher.down), watcher.up)
  return interpreter
})

/** The start of a supervisor as a child. */
export const start = (spec: Spec) => Effect.map(boot(spec), (interpreter) => interpreter.life)

/** What it was changed to, if it is a child of the supervisor above, and not something that a child runs for itself. */
const changedTo = (context: Context.Context<never>, parent: Parent, spec: Spec): Spec => {
  const path = pathOf(parent, spec)
  const isChild = Context.getOrUndefined(context, Child.CurrentChild)?.path === path
  return isChild ? parent.root?.changed.get(path) ?? spec : spec
}

/** A start that was interrupted by itself did not do what it is there for. */
const startReason = (exit: Exit.Exit<unknown, unknown>): ExitReason => {
  const reason = fromExit(exit)
  return reason._tag === "Shutdown" ? { _tag: "Defect", defect: new Error("its start was interrupted") } : reason
}

const makeDelay = (policy: RestartPolicy.Any): Delay => {
  const memory = RestartPolicy.delayMemory()
  return { step: RestartPolicy.delayStep(policy, memory), memory }
}

const pathOf = (parent: Parent, { id }: Spec): string => parent.path === "" ? id : `${parent.path}/${id}`

export class Interpreter {
  readonly path: string
  readonly handle: Handle<Spec>
  private spec: Spec
  private readonly parent: Parent
  /** As which child of the supervisor above it runs; `undefined`: it is no child. */
  private readonly self: Child.CurrentChild["Service"] | undefined
  private readonly root: TreeRoot.TreeRoot<Spec>
  private labels: Labels
  private readonly semantics: Semantics.Semantics
  private readonly sink: Event.EventSink
  private tell: (decision: Machine.Decision, now: number, heard: string | undefined) => void
  /** Of a sink that watches: what nobody keeps costs nothing. */
  private readonly ear: Heard.Ear | undefined
  private readonly context: Context.Context<never>
  readonly state: Machine.SupervisorState
  /** Children that came as values, which a change of the template leaves alone. */
  private readonly given = new WeakSet<Child.Any>()
  /** Changes that wait for the machine to come to them, by token. */
  private readonly changes = new Map<number, Spec>()
  private readonly lives = new Map<string, Life>()
  private groupDelay: Delay | undefined
  private readonly timers = new Map<string, Fiber.Fiber<void>>()
  private readonly graces = new Graces((timer) => this.fork(timer), () => this.now())
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
    root: TreeRoot.TreeRoot<Spec>,
    sink: Event.EventSink
  ) {
    this.spec = spec
    this.parent = parent
    this.root = root
    this.labels = { ...parent.labels, ...spec.labels }
    this.path = pathOf(parent, spec)
    this.sink = sink
    const current = Context.getOrUndefined(context, Child.CurrentChild)
    this.self = current?.path === this.path ? current : undefined
    this.tell = this.teller()
    this.ear = this.sink.watches === true ? new Heard.Ear(root.supervisors++) : undefined
    this.handle = makeHandle({
      path: this.path,
      has: (id) => this.state.children.has(id),
      fail: (id, reason) =>
        this.dispatch(Machine.Event.FailChild({ id, reason, incident: this.lives.get(id)?.incident ?? this.nextIncident() })),
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
      at: (path) => this.at(path)?.handle,
      why: (path) => Why.of(this, path),
      giveUpAt: (path) => this.giveUpAt(path)
    })
    const labels = () => this.labels
    const parentOfChildren: Parent = {
      root: this.root,
      path: this.path,
      semantics: spec.semantics ?? parent.semantics,
      get labels() {
        return labels() // a change may give others
      },
      attach: (node, { generation, id }) => {
        const life = this.lives.get(id)
        if (life?.generation === generation) life.node = node
      },
      stands: () => this.outcome === undefined && parent.stands()
    }
    this.context = flat(context.pipe(Context.add(CurrentSupervisor, this.handle), Context.add(Parent, parentOfChildren)))
    const children = spec.template === undefined ? spec.children : this.initialChildren(spec.template.child, initial)
    this.semantics = spec.semantics ?? parent.semantics
    this.state = Machine.make({
      semantics: this.semantics,
      strategy: spec.strategy,
      autoShutdown: spec.autoShutdown,
      dynamic: spec.template !== undefined,
      maxChildren: spec.maxChildren,
      limit: spec.restart.limit,
      spent: TreeRoot.takeSpent(this.root, this.path),
      children
    })
    if (sink.watches === true) this.state.moved = new Set(this.state.children.values())
    if (current !== undefined) parent.attach(this, current)
  }

  private teller(): typeof this.tell {
    const { pool, slot } = this.labels
    return teller(this.spec.events, this.sink, { path: this.path, pool, slot, incident: (moment) => this.self?.incident(moment) })
  }

  // ── for the supervisor above, and for a simulation ──

  /** Makes the child of a key; absent where none can be given later. */
  get template(): Template | undefined {
    return this.spec.template?.child ?? this.spec.added
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
          : Effect.flatMap(this.failure as Effect.Effect<void, SupervisorError.StartFailed<any>>, () => Effect.interrupt)
      )
    this.onEnd.add(settle)
    this.onBooted = () => {
      this.onEnd.delete(settle)
      settle()
    }
    this.tellFlags()
    this.dispatch(Machine.Event.Boot())
  })
  private onBooted: () => void = () => {}

  /** The supervisor's life: ends when it was stopped, fails when it gave up. */
  readonly life: Effect.Effect<void, SupervisorError.GaveUp<any, any>> = Effect.suspend(() =>
    Effect.tapError(
      Effect.andThen(this.ended, this.failure) as Effect.Effect<void, SupervisorError.GaveUp<any, any>>,
      (error) => this.spec.watcher?.down(error) ?? Effect.void
    )
  )

  private readonly failure: Effect.Effect<void, Outcome.Failure> = Effect.suspend(() =>
    Outcome.failureOf(this.outcome!, this.path, this.spec.restart)
  )

  private readonly ended: Effect.Effect<Machine.Outcome> = Effect.callback((resume) => {
    const settle = () => resume(Effect.succeed(this.outcome!))
    if (this.outcome !== undefined) return settle()
    this.onEnd.add(settle)
    return Effect.sync(() => this.onEnd.delete(settle))
  })

  // ── administration ──

  private offer(given: string | Child.Any): Effect.Effect<Machine.Reply> {
    if (typeof given !== "string") this.given.add(given)
    const child = typeof given === "string" ? this.fromTemplate(this.template!, given) : given
    return this.asking((token) => Machine.Event.StartChild({ child, token }))
  }

  private initialChildren(template: Template, keys: ReadonlyArray<string>): ReadonlyArray<Child.Any> {
    checkInitial(this.path, keys, this.spec.maxChildren)
    return keys.map((key) => this.fromTemplate(template, key))
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
    const template = spec.template?.child
    const made = new Map<string, Child.Any>() // now, so that a template that throws changes nothing
    if (template !== undefined) { for (const id of this.state.children.keys()) made.set(id, this.fromTemplate(template, id)) }
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
            return this.given.has(child) ? child : made.get(id) ?? this.fromTemplate(template, id)
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
    if (!Equal.equals(next.semantics ?? this.parent.semantics, this.semantics)) return "a supervisor keeps its semantics while it runs"
    return undefined
  }

  private goOver(spec: Spec): void {
    if (spec.restart !== this.spec.restart) {
      this.groupDelay = undefined
      for (const life of this.lives.values()) life.delay = undefined
    }
    const { announce, observer, watcher } = this.spec
    this.spec = { ...spec, announce: spec.announce ?? announce, watcher: spec.watcher ?? watcher, observer: spec.observer ?? observer }
    this.labels = { ...this.parent.labels, ...spec.labels }
    this.tell = this.teller()
    this.tellFlags()
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
    let handled = 0
    try {
      while (handled < this.pending.length && handled < turn) {
        const event = this.pending[handled++]!
        const now = this.now()
        if (this.outcome === undefined) this.ear?.hear(event, now, this.state)
        const commands = transition(this.state, event, now)
        if (this.outcome === undefined) this.spec.observer?.(this, event, commands)
        this.tellStandings() // a supervisor that is started tells of its children at once: it stands before them
        for (let i = 0; i < commands.length; i++) this.execute(commands[i]!, now)
      }
    } finally {
      if (handled === this.pending.length) this.pending.length = 0
      else this.pending.splice(0, handled)
      this.draining = false
    }
    TreeRoot.signal(this.root, this.path, this.outcome !== undefined)
    if (handled < turn) return
    this.draining = true
    this.fork(Effect.yieldNow).addObserver(() => this.drain())
  }

  private now(): number {
    return this.root.clock.now()
  }

  private tellFlags(): void {
    if (this.state.moved === undefined || !this.parent.stands()) return
    const { events, restart: { limit } } = this.spec
    const left = Intensity.left(this.state.window, this.now())
    Event.tell(this.sink, beginning(events, this.root.clock.wallTime, this.strategy, limit, left, { path: this.path, ...this.labels }))
  }

  private tellStandings(): void {
    const { moved } = this.state
    if (moved === undefined || moved.size === 0) return
    if (this.parent.stands()) {
      const at = this.root.clock.wallTime
      const about = { path: this.path, ...this.labels }
      for (const child of moved) {
        const present = this.state.children.get(child.id)
        if (present !== undefined && present !== child) continue // another has its id by now, and is told of
        Event.tell(this.sink, standing(this.spec.events, at, child, present === undefined, about))
      }
    }
    moved.clear()
  }

  private execute(command: Machine.Command, now: number): void {
    switch (command._tag) {
      case "Start":
        return this.start(command.id, command.generation)
      case "Stop":
      case "Kill":
        return this.stop(command.id)
      case "Settle":
        return void this.fork(Effect.yieldNow).addObserver(() => this.dispatch({ _tag: "Settled" }))
      case "AskDelay":
        return this.askDelay(command, now)
      case "StartAt":
        return this.startAt(command)
      case "CancelStart":
        return this.timers.get(command.key)?.interruptUnsafe()
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
        if (this.spec.template !== undefined) TreeRoot.forget(this.root, `${this.path}/${command.id}`) // its key may come to mean another child
        return
      case "Tell":
        return this.tell(command.decision, this.root.clock.wallTime, this.ear?.take())
      case "Booted":
        return this.onBooted()
      case "End":
        return this.end(command.outcome)
    }
  }

  private nextIncident(): string {
    return TreeRoot.nextIncident(this.root, this.now())
  }

  /** The one that a life starts after, or ends in. */
  private incidentOf(life: Life, moment: "start" | "end"): string | undefined {
    const { children, phase } = this.state
    if (phase._tag === "Stopping") return phase.outcome._tag === "GaveUp" ? phase.outcome.incident : this.self?.incident(moment)
    const child = children.get(life.child.id)
    if (phase._tag === "Booting" && child?.status._tag === "Starting") return this.self?.incident(moment)
    const known = child?.generation === life.generation ? incidentOf(this.state, child) : undefined
    if (known !== undefined || moment === "start" || life.stopAsked) return known ?? life.incident
    return life.incident ??= Outcome.incidentOf(life.exit ?? Exit.void) ?? this.nextIncident()
  }

  private fork<A, E>(effect: Effect.Effect<A, E>, context = this.context): Fiber.Fiber<A, E> {
    return Effect.runForkWith(context)(effect)
  }

  private start(id: string, generation: number): void {
    const child = this.childOf(id)
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
      abandonedAfterMillis: undefined,
      cancelGrace: undefined,
      node: undefined,
      incident: undefined,
      delay: this.lives.get(id)?.delay
    }
    this.lives.set(id, life)
    const incident = (moment: "start" | "end") => this.incidentOf(life, moment)
    const current = { id, path: `${this.path}/${id}`, generation, incident }
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

  /** The machine keeps the spec that it was given. */
  private childOf(id: string): Child.Any {
    return this.state.children.get(id)!.facts as Child.Any
  }

  private stop(id: string): void {
    const life = this.lives.get(id)
    if (life === undefined) return // only of a supervisor that is killed: it was never started
    life.stopAsked = true
    this.release(life)
  }

  private release(life: Life): void {
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
    if (life.reported) return
    const { id } = life.child
    const { shutdown } = (this.state.children.get(id)?.facts as Child.Any | undefined) ?? life.child // it may have been changed
    if (shutdown === "infinity") return
    life.cancelGrace = this.graces.after(shutdown === "brutal" ? 0 : shutdown, () => {
      if (shutdown !== "brutal") life.abandonedAfterMillis = shutdown
      life.node?.kill()
      if (life.reported || shutdown === "brutal") return this.released(life, life.exit!)
      this.fork(Effect.logWarning(
        `${this.path}/${id} did not stop within ${shutdown} ms and is left behind; its finalizers go on. ` +
          "A finalizer that waits without a bound is the likely cause"
      ))
      this.released(life, life.exit!)
    })
  }

  private released(life: Life, exit: Exit.Exit<unknown, unknown>): void {
    if (life.reported) return
    life.reported = true
    life.cancelGrace?.()
    life.node = undefined
    const { abandonedAfterMillis, child: { id }, generation, stage } = life
    if (life.stopAsked) return this.dispatch({ _tag: "ChildStopped", id, generation, abandonedAfterMillis })
    if (stage === "ignored") return this.dispatch({ _tag: "ChildIgnored", id, generation })
    const incident = Outcome.incidentOf(exit) ?? life.incident ?? this.nextIncident()
    const starting = stage === "starting"
    const reason = starting ? startReason(exit) : fromExit(exit)
    this.dispatch({ _tag: starting ? "ChildStartFailed" : "ChildExited", id, generation, reason, incident, abandonedAfterMillis })
  }

  private askDelay({ ask, id, reason }: Extract<Machine.Command, { _tag: "AskDelay" }>, now: number): void {
    const stepped = this.delayOf(id).step(now, { id, reason })
    if (Exit.isExit(stepped)) this.delayAnswered(ask, stepped as Exit.Exit<number, unknown>)
    else this.fork(stepped).addObserver((exit) => this.delayAnswered(ask, exit))
  }

  private delayAnswered(ask: number, exit: Exit.Exit<number, unknown>): void {
    this.dispatch(
      Exit.isSuccess(exit)
        ? { _tag: "DelayKnown", ask, delayMillis: exit.value }
        : { _tag: "DelayRefused", ask, error: Outcome.errorOf(fromExit(exit)) }
    )
  }

  private delayOf(id: string): Delay {
    if (this.state.strategy !== "one_for_one") return this.groupDelay ??= makeDelay(this.spec.restart)
    return this.lives.get(id)!.delay ??= makeDelay(this.spec.restart)
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
    this.graces.interrupt()
    for (const reply of this.replies.values()) reply(Machine.Reply.Stopping())
    this.replies.clear()
    for (const settle of [...this.onEnd]) settle()
    this.onEnd.clear()
  }

  /** The supervisor at this path that is up, its own or one below it. */
  private at(path: string): Interpreter | undefined {
    if (path === this.path) return this
    for (const { node } of this.lives.values()) {
      if (node !== undefined && (path === node.path || path.startsWith(`${node.path}/`))) return node.at(path)
    }
    return undefined
  }

  /** `undefined` when nothing is at this path, or what is there is up and no supervisor. */
  giveUpAt(path: string): GiveUpAt.GiveUpAt | undefined {
    const found = this.at(path)
    if (found !== undefined) return GiveUpAt.of(found.state, found.spec.restart, found.memories(), found.now())
    const why = Why.of(this, path)
    return why === "running" || why === "unknown" ? undefined : GiveUpAt.GiveUpAt.Never({ because: "it is not running" })
  }

  /** By recovery key. */
  private memories(): ReadonlyMap<string, RestartPolicy.DelayMemory> {
    const memories = new Map<string, RestartPolicy.DelayMemory>()
    if (this.groupDelay !== undefined) memories.set("", this.groupDelay.memory)
    for (const [id, { delay }] of this.lives) if (delay !== undefined) memories.set(id, delay.memory)
    return memories
  }

  get strategy(): Machine.Strategy | "dynamic" {
    return this.spec.template === undefined ? this.spec.strategy : "dynamic"
  }

  snapshot(): Tree.SupervisorNode {
    return {
      path: this.path,
      strategy: this.strategy,
      intensity: this.spec.restart.limit,
      budgetLeft: Intensity.left(this.state.window, this.now()),
      children: [...this.state.children.values()].map((child) => {
        const { generation, id, restarts, status } = child
        const { restart, shutdown } = this.childOf(id)
        return {
          id,
          path: `${this.path}/${id}`,
          status: statusOf(status._tag),
          restart,
          shutdown,
          because: because(child),
          generation,
          restarts,
          supervisor: this.lives.get(id)?.node?.snapshot()
        }
      })
    }
  }
}

/** The same context in one layer: those of the children add to it at each start. */
const flat = (context: Context.Context<never>): Context.Context<never> => Context.makeUnsafe(new Map(context.mapUnsafe))
