/**
 * A supervisor over a fixed list of children: starts them in order, restarts them by strategy, stops them in reverse order.
 *
 * **When to use**
 *
 * For the static parts of a tree. For children that come and go, {@link ./DynamicSupervisor.ts}.
 *
 * **Details**
 *
 * | strategy       | when a child ends and must restart, it takes along           |
 * | -------------- | ------------------------------------------------------------ |
 * | `one_for_one`  | nobody                                                       |
 * | `one_for_all`  | all its siblings                                             |
 * | `rest_for_one` | the siblings started after it                                |
 *
 * Victims are stopped in reverse start order, each within its own `shutdown`; after the policy's delay they are started in order, each
 * acknowledged before the next. The supervisor answers meanwhile. When the policy refuses a restart the supervisor gives up: it stops
 * its children and fails with `GaveUp`, which is an abnormal exit for its parent. (In OTP that exit is `shutdown`, so a transient
 * supervisor stays down in silence: a declared difference.)
 *
 * Children that are started later come from `added`, which makes the child of a key. Its errors are in the types of the supervisor from
 * the start, so `startChild` of the handle can never bring in an error that nobody handles; a supervisor without `added` has no
 * `startChild`. Later children come last in start order, and are gone after a restart of the supervisor, as in OTP.
 *
 * A running supervisor goes over to another value of the same id with `change`: its flags are replaced, the restarts counted so far stay;
 * children whose ids are known keep running and are supervised by their new specs from the next event on; new ones wait, down, for
 * `restartChild`; those that are listed no more stay, after the listed ones. The new value must fail and need no more than the old one,
 * or it does not compile. A restart by the supervisor above starts what it was changed to.
 *
 * Mistakes in a spec are compile-time errors that read as sentences: duplicate ids, a significant child that could never end the
 * supervisor, an auto-shutdown that could never fire, a child in the wrong plane, an option that does not exist, and, with
 * {@link handled}, an escalation that nobody handles. What types cannot see is thrown as `InvalidSpec` when the supervisor is made.
 *
 * A finite `shutdown` for a supervisor compiles, as OTP allows it; it is a matter for `lint`, with OTP's reason (a race).
 *
 * **Example** (A database and its users, run to the end)
 *
 * ```ts
 * import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
 * import { Effect } from "effect"
 *
 * const tree = Supervisor.make("app", {
 *   plane: "control",
 *   strategy: "rest_for_one",
 *   restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
 *   because: "the cache holds rows of the database",
 *   limitBecause: "three restarts outlast a hiccup; a fourth within ten seconds is a cause that no restart cures",
 *   events: SupervisorEvent.of("app_supervisor", "root"),
 *   children: [
 *     Child.make("db", { start: Effect.succeed(Effect.never) }),
 *     Child.make("cache", { start: Effect.succeed(Effect.never) })
 *   ]
 * })
 *
 * const main = Supervisor.run(tree) // Effect<void, GaveUp<"app", Origin<"app/db", Defect | Ended> | …>>
 * ```
 *
 * **Example** (Children that come later, and other limits while it runs)
 *
 * ```ts
 * import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
 * import { Effect } from "effect"
 *
 * const listeners = (maxRestarts: number) =>
 *   Supervisor.make("listeners", {
 *     plane: "control",
 *     strategy: "one_for_one",
 *     restart: RestartPolicy.make({ intensity: { maxRestarts, within: "10 seconds" } }),
 *     because: "listeners do not depend on each other",
 *     limitBecause: "a listener that needs more has lost its port for good",
 *     events: SupervisorEvent.of("listeners_supervisor", "root"),
 *     children: [],
 *     added: (port) => Child.make(port, { start: Effect.succeed(Effect.never) })
 *   })
 *
 * const main = Effect.gen(function*() {
 *   const running = yield* Supervisor.start(listeners(3))
 *   yield* running.startChild("8080")
 *   yield* running.change(listeners(10)) // 8080 goes on, and so does the count of restarts
 *   yield* running.count // => { specs: 1, active: 1, supervisors: 0, workers: 1 }
 * })
 * ```
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"
import type { CompileError, NoOther } from "./CompileError.ts"
import type { Clauses, Contract, FailedBy, Plane } from "./Contract.ts"
import { backoffOf } from "./internal/delays.ts"
import * as Interpreter from "./internal/interpreter.ts"
import { checkSupervisor } from "./internal/specification.ts"
import * as RegisteredName from "./RegisteredName.ts"
import * as RestartPolicy from "./RestartPolicy.ts"
import type { RestartType } from "./RestartType.ts"
import type { Semantics } from "./Semantics.ts"
import type { ChangeRefused, Defect, Ended, GaveUp, Origin, StartFailed, SupervisorStopping } from "./SupervisorError.ts"
import { isObservation, type SupervisorEvents } from "./SupervisorEvent.ts"
import type { AddsChildren, SupervisorHandle } from "./SupervisorHandle.ts"
import type { AutoShutdown, Strategy } from "./SupervisorState.ts"

export { CurrentSupervisor } from "./SupervisorHandle.ts"

/** What supervisors of both kinds take. */
export interface CommonOptions extends Clauses {
  readonly restart: RestartPolicy.Any
  /** Declared with `SupervisorEvent.of`: a supervisor without events does not compile. */
  readonly events: SupervisorEvents
  /** The pool and slot that this subtree belongs to, for its events. */
  readonly labels?: Interpreter.Labels | undefined
  /** The plane of the supervisor above when it is another one: where a subtree is mounted. */
  readonly mountOn?: Plane | undefined
  /** How its own parent restarts it; `permanent` by default. */
  readonly restartType?: RestartType | undefined
  /** Its ending for good may end the supervisor above (`autoShutdown`). Not when it is permanent. */
  readonly significant?: boolean | undefined
  /**
   * How long its own parent gives it to stop: as long as it takes by default. With anything else it may be left behind while its own
   * children are still stopping; OTP calls this a race and advises against it.
   */
  readonly shutdown?: Child.Shutdown | undefined
  /** Where it differs from OTP; as the supervisor above by default, `Semantics.production` at the root. */
  readonly semantics?: Semantics | undefined
}

/** What {@link make} takes. */
export interface Options extends CommonOptions {
  readonly strategy: Strategy
  readonly autoShutdown?: AutoShutdown | undefined
  readonly children: ReadonlyArray<Child.Any>
  /** Which children end which of their siblings with `failChild`: by the id of the one that is ended. */
  readonly failedBy?: FailedBy | undefined
  /** Makes the child of a key that is given later, with `startChild`. Its id must be the key. */
  readonly added?: ((key: string) => Child.Any) | undefined
}

/**
 * A supervisor, which is a child of the supervisor above it: `Escalation` is how it can give up, `Again` the origins of how it can fail to
 * start when a sibling takes it along, `Added` the children that it may be given later, `undefined` when none.
 */
export interface Supervisor<
  out Id extends string,
  out S,
  out L,
  out R,
  out P extends Plane,
  out Sig extends boolean = boolean,
  out Escalation = unknown,
  out Again = unknown,
  out Added extends Child.Any | undefined = Child.Any | undefined
> extends Child.Child<Id, S, L, R, P, Sig> {
  readonly contract: Contract
  readonly "~snakepit/core/Added": Added
  readonly "~snakepit/core/Escalation": { readonly Escalation: Escalation; readonly Again: Again }
  readonly "~snakepit/core/Supervisor": Interpreter.Spec
}

/** Any supervisor. */
export type Any = Supervisor<string, any, any, any, Plane>

type Under<Id extends string, F> = unknown extends F ? Origin<`${Id}/${string}`, unknown>
  : F extends Origin<infer Path, infer E> ? Origin<`${Id}/${Path}`, E>
  : never
type StartOf<C extends Child.Any> = C["~snakepit/core/Child"]["S"]
type LifeOf<C extends Child.Any> = C["~snakepit/core/Child"]["L"]
type NeedOf<C extends Child.Any> = C["~snakepit/core/Child"]["R"]
type AgainOf<C> = C extends { readonly "~snakepit/core/Escalation": { readonly Again: infer Again } } ? Again : never
type RefusalOf<O> = O extends { readonly restart: RestartPolicy.RestartPolicy<infer E, boolean> } ? E : never
type IsLimited<O> = O extends { readonly restart: { readonly "~snakepit/core/RestartPolicy": { readonly limited: false } } } ? false : true
type AddedOf<O> = O extends { readonly added: (key: string) => infer A extends Child.Any } ? A : never
type AutoOf<O> = O extends { readonly autoShutdown?: infer A } ? A extends AutoShutdown ? A : "never" : "never"
/** The origins of its children while it runs: under a group strategy a sibling's exit restarts them too. */
type WhileRunning<C extends Child.Any, O> = O extends { readonly strategy: infer T } ?
  [T] extends ["one_for_one"] ? LifeOf<C> : Plus<LifeOf<C>, AgainOf<C>>
  : LifeOf<C>
type MountOf<O extends CommonOptions> = O extends { readonly mountOn: infer M extends Plane } ? M : O["plane"]

/** How the policy can refuse a restart. */
type LimitOf<O> = RefusalOf<O> | (IsLimited<O> extends true ? RestartPolicy.IntensityExceeded | RestartPolicy.DelayEnded : never)

/** The origins that make it give up, out of those of its children: none when its intensity is unlimited. */
type OwnOf<Id extends string, L, O> = [LimitOf<O>] extends [never] ? never : Under<Id, L>

/** `L`, and of `More` what it does not cover. */
type Plus<L, More> = L | Exclude<More, L>

/** What a restart by the supervisor above can meet. */
type AgainFor<Id extends string, S, Restart> = [Restart] extends ["temporary"] ? never : S | Origin<Id, Defect>

/** Its origins for the supervisor above: nothing of a temporary one; how its restart can fail once it can end and be restarted. */
type AboveOf<Id extends string, S, Own, Returns, Restart> = [Restart] extends ["temporary"] ? never
  : Returns extends true ? Plus<Own, AgainFor<Id, S, Restart> | Origin<Id, Ended>>
  : [Own] extends [never] ? never
  : Plus<Own, AgainFor<Id, S, Restart>>

/** Whether it can shut itself down though its parent then restarts it. */
type ReturnsOf<Auto, Restart> = [Auto] extends ["never"] ? false : "permanent" extends Restart ? true : false

/** The supervisor that follows from its options, from the children `C` under them, and from those that may be `Added` later. */
export type Made<
  Id extends string,
  C extends Child.Any,
  O extends CommonOptions,
  Added extends Child.Any = never,
  S = Under<Id, StartOf<C>>,
  Own = OwnOf<Id, WhileRunning<C | Added, O>, O>,
  Restart = Child.RestartIn<O["restartType"]>
> = Supervisor<
  Id,
  S,
  AboveOf<Id, S, Own, ReturnsOf<AutoOf<O>, Restart>, Restart>,
  NeedOf<C | Added>,
  MountOf<O>,
  Child.SignificantIn<O["significant"]>,
  [Own] extends [never] ? never : [RefusalOf<O>] extends [never] ? GaveUp<Id, Own> : GaveUp<Id, Own, LimitOf<O>>, // the first reads better
  AgainFor<Id, S, Restart>,
  [Added] extends [never] ? undefined : Addable<Added, O["plane"]>
>

/** A child's origins and needs. */
export type { LifeOf, NeedOf, StartOf, Under }

/** Whether the id is one text, not any of several. */
type IsLiteral<Id extends string> = {} extends Record<Id, true> ? false : true

type IdsOf<Cs extends ReadonlyArray<Child.Any>> = { readonly [K in keyof Cs]: Cs[K]["id"] }

/** The literal ids that are in the list twice. */
type Twice<Ids, Seen = never, Found = never> = Ids extends readonly [infer H extends string, ...infer T]
  ? IsLiteral<H> extends false ? Twice<T, Seen, Found> : H extends Seen ? Twice<T, Seen, Found | H> : Twice<T, Seen | H, Found>
  : Found

/** Refuses a child whose id is in another place too, or that does not fit under a supervisor of this plane and this `autoShutdown`. */
type CheckChild<Facts extends Child.Any["~snakepit/core/Child"], Id extends string, Twice, P extends Plane, Auto> = Twice extends true
  ? CompileError<`duplicate child id "${Id}"`>
  : [Facts["P"]] extends [P]
    ? [Facts["Sig"], Auto] extends [true, "never"]
      ? CompileError<`child "${Id}" is significant but autoShutdown is "never": its ending would end nothing`>
    : unknown
  : CompileError<`child "${Id}" belongs to the ${Facts["P"]} plane, this supervisor to the ${P} plane`>

type CheckAll<Cs extends ReadonlyArray<Child.Any>, P extends Plane, Auto, D = Twice<IdsOf<Cs>>> = {
  readonly [K in keyof Cs]: CheckChild<Cs[K]["~snakepit/core/Child"], Cs[K]["id"], [Cs[K]["id"]] extends [D] ? true : false, P, Auto>
}

/** The children that may be given to a supervisor with the template's child `C`: those that fail and need no more. */
export type Addable<C extends Child.Any, P extends Plane> = Child.Child<
  string,
  StartOf<C>,
  LifeOf<C>,
  NeedOf<C>,
  P,
  C["~snakepit/core/Child"]["Sig"]
>

type CheckAdded<O extends Options> = [AddedOf<O>] extends [never] ? unknown
  : CheckChild<AddedOf<O>["~snakepit/core/Child"], AddedOf<O>["id"], false, O["plane"], AutoOf<O>> extends CompileError<infer Message>
    ? { readonly added: CompileError<Message> }
  : unknown

/** Refuses an auto-shutdown that could never fire: the list of children is known, and none of them is significant. */
type CheckAuto<Id extends string, O extends Options> = [AutoOf<O>] extends ["any" | "all"]
  ? number extends O["children"]["length"] ? unknown
  : true extends (O["children"][number] | AddedOf<O>)["~snakepit/core/Child"]["Sig"] ? unknown
  : {
    readonly autoShutdown: CompileError<
      `supervisor "${Id}" has autoShutdown "${AutoOf<O>}" but no significant child: it could never shut itself down`
    >
  }
  : unknown

type FailersOf<O> = O extends { readonly failedBy: infer F extends FailedBy } ? keyof F | NonNullable<F[keyof F]>[number] : never

/** Refuses a `failedBy` that names somebody who is no child. */
type CheckFailers<Id extends string, O extends Options, Stranger = Exclude<FailersOf<O>, O["children"][number]["id"]>> = [Stranger] extends
  [never] ? unknown
  : { readonly failedBy: CompileError<`supervisor "${Id}" has no child "${Stranger & string}", which its failedBy names`> }

/** Refuses what supervisors of both kinds must not say. */
export type CheckCommon<Id extends string, O extends CommonOptions, Known extends PropertyKey, Maker extends string> =
  & Child.CheckSignificant<`supervisor "${Id}"`, O, Child.RestartIn<O["restartType"]>>
  & NoOther<O, Known, Maker>

/** Makes a supervisor. Throws an `InvalidSpec` for what types cannot see. */
export const make = <const Id extends string, const O extends Options>(
  id: Id,
  options:
    & O
    & { readonly children: CheckAll<O["children"], O["plane"], AutoOf<O>> }
    & CheckAdded<O>
    & CheckAuto<Id, O>
    & CheckFailers<Id, O>
    & CheckCommon<Id, O, keyof Options, "Supervisor.make">
): Made<Id, O["children"][number], O, AddedOf<O>> => {
  checkSupervisor(id, options)
  const children: ReadonlyArray<Child.Any> = options.children
  return fromSpec(id, options, children, {
    id,
    strategy: options.strategy,
    semantics: options.semantics,
    autoShutdown: options.autoShutdown ?? "never",
    maxChildren: Number.POSITIVE_INFINITY,
    restart: options.restart,
    children,
    template: undefined,
    added: options.added,
    events: options.events,
    labels: options.labels ?? {}
  })
}

/** The value behind both kinds of supervisor. `shown` are the children that its contract lists. */
export const fromSpec = <Id extends string>(
  id: Id,
  options: CommonOptions & Pick<Options, "failedBy">,
  shown: ReadonlyArray<Child.Any>,
  spec: Interpreter.Spec,
  startedBy = "itself"
): Supervisor<Id, never, never, never, never, never, never, never, never> => {
  const contract: Contract = {
    id,
    plane: options.plane,
    layer: options.events.start.layer,
    strategy: spec.template === undefined ? spec.strategy : "dynamic",
    intensity: options.restart.limit,
    backoff: backoffOf(options.restart),
    because: options.because,
    limitBecause: options.limitBecause,
    stoppedBy: options.stoppedBy ?? [],
    autoShutdown: spec.autoShutdown,
    startedBy,
    children: shown.map((child) => ({
      id: child.id,
      plane: child.contract?.plane ?? child.plane ?? options.plane,
      restart: child.restart,
      significant: child.significant,
      shutdown: child.shutdown,
      failedBy: options.failedBy?.[child.id] ?? [],
      supervisor: child.contract
    })),
    events: Object.values(options.events).map((event) => event.name).filter((name) => !isObservation(name))
  }
  return {
    ...Child.makeUnchecked(
      id,
      { start: Interpreter.start(spec), restart: options.restartType, significant: options.significant, shutdown: options.shutdown },
      contract
    ),
    contract,
    "~snakepit/core/Escalation": undefined as never,
    "~snakepit/core/Added": undefined as never,
    "~snakepit/core/Supervisor": spec
  }
}

/** How starting the supervisor can fail. */
export type StartError<T extends Child.Any> = [StartOf<T>] extends [never] ? never
  : StartOf<T> extends infer F extends Origin<string, unknown> ? StartFailed<F>
  : never

/** How the running supervisor can fail: `never` when nothing below it can make it give up. */
export type Escalation<T> = T extends { readonly "~snakepit/core/Escalation": { readonly Escalation: infer E } } ? E : never

/** Who wants to know how a supervisor fares. Paths in the errors are from the root of its tree. */
export interface Watcher {
  /** All its children are up, at its start and at each restart. */
  readonly up: Effect.Effect<void>
  /** It did not start, or it gave up. */
  readonly down: (error: StartFailed<Origin<string, unknown>> | GaveUp<string, Origin<string, unknown>>) => Effect.Effect<void>
}

/** The same supervisor, telling a watcher: for those who must say why something is down. */
export const watched = <T extends Any>(supervisor: T, watcher: Watcher): T => {
  const spec: Interpreter.Spec = { ...supervisor["~snakepit/core/Supervisor"], watcher }
  return { ...supervisor, start: Interpreter.start(spec), "~snakepit/core/Supervisor": spec }
}

/** A supervisor that runs: `E` is how it escalates, `Next` what it can be changed to. */
export interface Running<out E, in Next = never> extends SupervisorHandle {
  /** Ends when the supervisor was stopped, fails when it gave up. */
  readonly life: Effect.Effect<void, E>
  /**
   * Goes over to other flags and specs while it runs; see above for what becomes of the children. When it is refused nothing has changed.
   * A change of strategy waits until nothing is being recovered: each recovery ends by the strategy that it began with.
   */
  readonly change: (next: Next) => Effect.Effect<void, ChangeRefused | SupervisorStopping>
}

/** What the running supervisor `T` may be changed to: what fails and needs no more. How it would start does not matter: it has. */
export type NextOf<T extends Any> = T extends Supervisor<infer Id, any, infer L, infer R, infer P, boolean, infer Up, any, infer Added>
  ? Supervisor<Id, unknown, L, R, P, boolean, Up, unknown, Added>
  : never

/** The running supervisor `T`: with `startChild` if it may be given children. */
export type RunningOf<T extends Any> =
  & Running<Escalation<T>, NextOf<T>>
  & (T extends { readonly "~snakepit/core/Added": infer A extends Child.Any } ? AddsChildren<A> : unknown)

const runningOf = ({ handle, life }: Interpreter.Interpreter) => ({
  ...handle,
  life,
  change: (next: Any) => handle.change(next["~snakepit/core/Supervisor"])
})

/** Starts a tree in the current scope; it is stopped, in reverse order, when the scope closes. */
export const start = <T extends Any>(supervisor: T): Effect.Effect<RunningOf<T>, StartError<T>, NeedOf<T> | Scope.Scope> =>
  Effect.map(Interpreter.boot(supervisor["~snakepit/core/Supervisor"]), runningOf) as Effect.Effect<any, any, any>

/**
 * The same supervisor, known under a name while it stands: for those who give children to a supervisor inside a tree, or ask it to stop
 * one. A restart registers the new generation. A simulation registers nothing.
 *
 * **Example** (A listener that gives each connection to a supervisor of its own)
 *
 * ```ts
 * import { Child, DynamicSupervisor, RegisteredName, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
 * import { Effect, Stream } from "effect"
 *
 * declare const accepted: Stream.Stream<string>
 *
 * const common = {
 *   plane: "control",
 *   restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
 *   events: SupervisorEvent.of("app_supervisor", "root")
 * } as const
 *
 * const template = DynamicSupervisor.make("connections", {
 *   ...common,
 *   because: "connections do not depend on each other",
 *   limitBecause: "three restarts outlast a hiccup; a fourth within ten seconds is a cause that no restart cures",
 *   child: (id) => Child.make(id, { start: Effect.succeed(Effect.never), restart: "temporary" })
 * })
 * const connections = RegisteredName.make<Supervisor.RunningOf<typeof template>>("connections")
 *
 * const tree = Supervisor.make("app", {
 *   ...common,
 *   strategy: "rest_for_one",
 *   because: "the listener hands over to the connections",
 *   limitBecause: "three restarts outlast a hiccup; a fourth within ten seconds is a cause that no restart cures",
 *   children: [
 *     Supervisor.registered(template, connections),
 *     Child.make("listener", {
 *       start: Effect.succeed(Stream.runForEach(accepted, (id) =>
 *         Effect.flatMap(RegisteredName.whereis(connections), (running) => running.startChild(id))))
 *     })
 *   ]
 * })
 * ```
 */
export const registered = <T extends Any>(supervisor: T, name: RegisteredName.RegisteredName<NoInfer<RunningOf<T>>>): T => {
  const announce = (interpreter: Interpreter.Interpreter) =>
    RegisteredName.register<unknown>(name as RegisteredName.RegisteredName<unknown>, runningOf(interpreter))
  const spec: Interpreter.Spec = { ...supervisor["~snakepit/core/Supervisor"], announce }
  return { ...supervisor, start: Interpreter.start(spec), "~snakepit/core/Supervisor": spec }
}

/**
 * The same supervisor, steered by an effect that runs beside it while it stands, and is interrupted when it stops: for those who change it, or give
 * it children, as something outside changes. A restart runs it anew, with the new generation. What it fails with is logged, and ends it alone.
 * A simulation runs none.
 *
 * **Example** (Limits that follow the load)
 *
 * ```ts
 * import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
 * import { Effect, Stream } from "effect"
 *
 * declare const limits: Stream.Stream<number>
 *
 * const tree = Supervisor.make("app", {
 *   plane: "control",
 *   strategy: "one_for_one",
 *   restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
 *   because: "its children do not depend on each other",
 *   limitBecause: "three restarts outlast a hiccup; a fourth within ten seconds is a cause that no restart cures",
 *   events: SupervisorEvent.of("app_supervisor", "root"),
 *   children: [Child.make("db", { start: Effect.succeed(Effect.never) })]
 * })
 *
 * const main = Supervisor.run(Supervisor.steered(tree, (running) =>
 *   Stream.runForEach(limits, (maxRestarts) =>
 *     running.change(Supervisor.withIntensity(tree, { maxRestarts, within: "10 seconds" })))))
 * ```
 */
export const steered = <T extends Any>(
  supervisor: T,
  steer: (running: RunningOf<T>) => Effect.Effect<unknown, { readonly message: string }>
): T => {
  const before = supervisor["~snakepit/core/Supervisor"].announce
  const announce = (interpreter: Interpreter.Interpreter) => {
    const run = Effect.catchCause(
      steer(runningOf(interpreter) as unknown as RunningOf<T>), // as `start` gives it
      (cause) => Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError(`what steers ${interpreter.path} has failed`, cause)
    )
    return Effect.andThen(before === undefined ? Effect.void : before(interpreter), Effect.forkScoped(run)).pipe(Effect.asVoid)
  }
  const spec: Interpreter.Spec = { ...supervisor["~snakepit/core/Supervisor"], announce }
  return { ...supervisor, start: Interpreter.start(spec), "~snakepit/core/Supervisor": spec }
}

/** The same supervisor with another budget, to `change` a running one to; a supervisor without a limit gets none this way. Delays stay as they are. */
export const withIntensity = <T extends Any>(supervisor: T, intensity: RestartPolicy.IntensityInput): T => {
  const before = supervisor["~snakepit/core/Supervisor"]
  if (before.restart.limit === "unlimited") return supervisor
  const { limit } = RestartPolicy.make({ intensity })
  const spec: Interpreter.Spec = { ...before, restart: { ...before.restart, limit } }
  return {
    ...supervisor,
    start: Interpreter.start(spec),
    contract: { ...supervisor.contract, intensity: limit },
    "~snakepit/core/Supervisor": spec
  }
}

/**
 * Runs a tree until it gives up or is interrupted. How it can fail to start and give up stands in its error, which `NodeRuntime.runMain`
 * reports before it ends the program with a failure's code; to be sure that your program says itself what it does then, see {@link handled}.
 */
export const run = <T extends Any>(supervisor: T): Effect.Effect<void, StartError<T> | Escalation<T>, NeedOf<T>> =>
  Effect.scoped(Effect.flatMap(start<any>(supervisor), (running) => running.life)) as Effect.Effect<void, any, any>

type Unhandled<E> = E extends GaveUp<infer Path, unknown, unknown>
  ? `supervisor "${Path}" may give up, and nobody says what the program does then: catch "GaveUp" before this`
  : E extends StartFailed<any> ? `the tree may fail to start, and nobody says what the program does then: catch "StartFailed" before this`
  : "the program may still fail: handle its errors before this"

/**
 * The program as it is, for roots where nothing may be left unhandled: it does not compile while a tree below it may fail to start or
 * give up and nobody says what happens then.
 *
 * **Example** (A program that says what it does when its tree gives up)
 *
 * ```ts
 * import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
 * import { Effect } from "effect"
 *
 * const tree = Supervisor.make("app", {
 *   plane: "control",
 *   strategy: "one_for_one",
 *   restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
 *   because: "it has one child",
 *   limitBecause: "three restarts outlast a hiccup; a fourth within ten seconds is a cause that no restart cures",
 *   events: SupervisorEvent.of("app_supervisor", "root"),
 *   children: [Child.make("db", { start: Effect.succeed(Effect.never) })]
 * })
 *
 * const main = Supervisor.run(tree).pipe(
 *   Effect.catchTag("GaveUp", (error) => Effect.logFatal(error.message)), // without this line the next does not compile
 *   Supervisor.handled
 * )
 * ```
 */
export const handled = <A, E, R>(
  program: Effect.Effect<A, E, R> & ([E] extends [never] ? unknown : CompileError<Unhandled<E>>)
): Effect.Effect<A, never, R> => program as Effect.Effect<A, never, R>

type CheckService<T extends Any, Shape> = [RunningOf<T>] extends [Shape] ? unknown
  : CompileError<
    `supervisor "${T[
      "id"
    ]}" does not fit the service of the key, which must be Supervisor.RunningOf<typeof tree>, or something wider`
  >

/**
 * Builds a tree in the layer's scope and provides the running supervisor under `key`.
 *
 * **Details**
 *
 * The layer's error is that of starting. Giving up comes later, when the layer has long been built: it is the failure of the service's
 * `life`. While its scope is open the layer logs it as fatal, so that it is not silent when nobody awaits `life`. A log ends nothing: wrap
 * the program in {@link supervised}.
 *
 * @see {@link supervised}
 */
export const layer = <I, Shape, T extends Any>(
  key: Context.Key<I, Shape>,
  supervisor: T & CheckService<T, Shape>
): Layer.Layer<I, StartError<T>, NeedOf<T>> =>
  Layer.effect(key, Effect.tap(start<any>(supervisor), logGivingUp) as never) as unknown as Layer.Layer<I, StartError<T>, NeedOf<T>>

const logGivingUp = ({ life }: Running<any>): Effect.Effect<unknown, never, Scope.Scope> =>
  Effect.forkScoped(Effect.catch(life, (error: GaveUp<string, unknown>) => Effect.logFatal(error.message)))

/** How the service of a key can give up. */
type GivingUpOf<Shape> = Shape extends { readonly life: Effect.Effect<unknown, infer E, infer _R> } ? E : never

/**
 * Runs a program for as long as the tree of {@link layer} under `key` stands: should the tree give up, the program is interrupted and fails
 * with the tree's typed error. A tree that stops, because it was asked to or by auto-shutdown, leaves the program running.
 *
 * **Example** (A program that ends when its tree gives up)
 *
 * ```ts
 * import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
 * import { Context, Effect } from "effect"
 *
 * const tree = Supervisor.make("app", {
 *   plane: "control",
 *   strategy: "one_for_one",
 *   restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
 *   because: "it has one child",
 *   limitBecause: "three restarts outlast a hiccup; a fourth within ten seconds is a cause that no restart cures",
 *   events: SupervisorEvent.of("app_supervisor", "root"),
 *   children: [Child.make("db", { start: Effect.succeed(Effect.never) })]
 * })
 *
 * class App extends Context.Service<App, Supervisor.RunningOf<typeof tree>>()("App") {}
 *
 * const main = Effect.gen(function*() {
 *   yield* Effect.log(yield* (yield* App).count)
 *   yield* Effect.never
 * }).pipe(
 *   Supervisor.supervised(App), // adds GaveUp<"app", Origin<"app/db", Defect | Ended>> to the program's errors
 *   Effect.provide(Supervisor.layer(App, tree))
 * )
 * ```
 */
export const supervised =
  <I, Shape extends { readonly life: Effect.Effect<unknown, unknown> }>(key: Context.Key<I, Shape>) =>
  <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E | GivingUpOf<Shape>, R | I> =>
    Effect.flatMap(
      key as Context.Key<I, { readonly life: Effect.Effect<unknown, GivingUpOf<Shape>> }>,
      ({ life }) => Effect.raceFirst(program, Effect.andThen(life, Effect.never))
    )
