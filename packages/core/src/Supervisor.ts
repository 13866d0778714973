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
 * supervisor, a child in the wrong plane.
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
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"
import type { CompileError } from "./CompileError.ts"
import type { Clauses, Contract, Plane } from "./Contract.ts"
import * as Interpreter from "./internal/interpreter.ts"
import type * as RestartPolicy from "./RestartPolicy.ts"
import type { RestartType } from "./RestartType.ts"
import type { Semantics } from "./Semantics.ts"
import type { ChangeRefused, GaveUp, Origin, StartFailed, SupervisorStopping } from "./SupervisorError.ts"
import type { SupervisorEvents } from "./SupervisorEvent.ts"
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
  /** Where it differs from OTP; as the supervisor above by default, `Semantics.production` at the root. */
  readonly semantics?: Semantics | undefined
}

/** What {@link make} takes. */
export interface Options extends CommonOptions {
  readonly strategy: Strategy
  readonly autoShutdown?: AutoShutdown | undefined
  readonly children: ReadonlyArray<Child.Any>
  /** Makes the child of a key that is given later, with `startChild`. Its id must be the key. */
  readonly added?: ((key: string) => Child.Any) | undefined
}

/** A supervisor, which is a child of the supervisor above it. `A` is the children that it may be given later; `undefined` when none. */
export interface Supervisor<
  out Id extends string,
  out S,
  out L,
  out R,
  out P extends Plane,
  out A extends Child.Any | undefined = undefined
> extends Child.Child<Id, S, L, R, P, false> {
  readonly contract: Contract
  readonly "~snakepit/core/Added": A
  readonly "~snakepit/core/Supervisor": Interpreter.Spec
}

/** Any supervisor. */
export type Any = Supervisor<string, any, any, any, Plane, Child.Any | undefined>

type Under<Id extends string, F> = F extends Origin<infer Path, infer E> ? Origin<`${Id}/${Path}`, E> : never
type StartOf<C> = C extends Child.Child<any, infer S, any, any, any, any> ? S : never
type LifeOf<C> = C extends Child.Child<any, any, infer L, any, any, any> ? L : never
type NeedOf<C> = C extends Child.Child<any, any, any, infer R, any, any> ? R : never
type RefusalOf<O> = O extends { readonly restart: RestartPolicy.RestartPolicy<infer E, boolean> } ? E : never
type IsLimited<O> = O extends { readonly restart: { readonly "~snakepit/core/RestartPolicy": { readonly limited: false } } } ? false : true
type AddedOf<O> = O extends { readonly added: (key: string) => infer A extends Child.Any } ? A : undefined
type AutoOf<O> = O extends { readonly autoShutdown: infer A } ? A : "never"

/** The plane that a supervisor fits in. */
export type MountOf<O extends CommonOptions> = O extends { readonly mountOn: infer M extends Plane } ? M : O["plane"]

/** The origins that a supervisor of children with the origins `L` escalates: none when its intensity is unlimited. */
export type EscalationOf<Id extends string, L, O> = IsLimited<O> extends true ? Under<Id, L>
  : [RefusalOf<O>] extends [never] ? never
  : Under<Id, L>

/** A child's origins as seen from above its supervisor. */
export type { LifeOf, NeedOf, StartOf, Under }

type Duplicate<Cs extends ReadonlyArray<Child.Any>, Seen extends string = never> = Cs extends
  readonly [infer H extends Child.Any, ...infer T extends ReadonlyArray<Child.Any>]
  ? string extends H["id"] ? Duplicate<T, Seen> : H["id"] extends Seen ? H["id"] : Duplicate<T, Seen | H["id"]>
  : never

type CheckOne<C, P extends Plane, Auto> = C extends Child.Child<infer Id, any, any, any, infer CP, infer Sig>
  ? [CP] extends [P]
    ? [Sig, Auto] extends [true, "never"]
      ? CompileError<`child "${Id}" is significant but autoShutdown is "never": its ending would end nothing`>
    : unknown
  : CompileError<`child "${Id}" belongs to the ${CP} plane, this supervisor to the ${P} plane`>
  : unknown

type CheckAll<Cs extends ReadonlyArray<Child.Any>, P extends Plane, Auto> = Duplicate<Cs> extends infer D
  ? [D] extends [never] ? { readonly [K in keyof Cs]: CheckOne<Cs[K], P, Auto> }
  : { readonly [K in keyof Cs]: Cs[K] extends { readonly id: D } ? CompileError<`duplicate child id "${D & string}"`> : unknown }
  : never

/** The children that may be given to a supervisor with the template's child `C`: those that fail and need no more. */
export type Addable<C, P extends Plane> = C extends Child.Child<string, infer S, infer L, infer R, any, infer Sig>
  ? Child.Child<string, S, L, R, P, Sig>
  : undefined

type CheckAdded<O extends Options> = CheckOne<AddedOf<O>, O["plane"], AutoOf<O>> extends CompileError<infer Message>
  ? { readonly added: CompileError<Message> }
  : unknown

/** Makes a supervisor. Throws a `RangeError` when two children have the same id. */
export const make = <const Id extends string, const O extends Options>(
  id: Id,
  options: O & { readonly children: CheckAll<O["children"], O["plane"], AutoOf<O>> } & CheckAdded<O>
): Supervisor<
  Id,
  Under<Id, StartOf<O["children"][number]>>,
  EscalationOf<Id, LifeOf<O["children"][number] | AddedOf<O>>, O>,
  NeedOf<O["children"][number] | AddedOf<O>>,
  MountOf<O>,
  Addable<AddedOf<O>, O["plane"]>
> => {
  const children: ReadonlyArray<Child.Any> = options.children
  const seen = new Set<string>()
  for (const child of children) {
    if (seen.has(child.id)) throw new RangeError(`supervisor "${id}" has two children with the id "${child.id}"`)
    seen.add(child.id)
  }
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
  options: CommonOptions,
  shown: ReadonlyArray<Child.Any>,
  spec: Interpreter.Spec
): Supervisor<Id, never, never, never, never, never> => {
  const contract: Contract = {
    id,
    plane: options.plane,
    layer: options.events.start.layer,
    strategy: spec.template === undefined ? spec.strategy : "dynamic",
    intensity: options.restart.limit,
    because: options.because,
    stoppedBy: options.stoppedBy ?? [],
    children: shown.map((child) => ({
      id: child.id,
      restart: child.restart,
      significant: child.significant,
      shutdown: child.shutdown,
      supervisor: child.contract
    })),
    events: Object.values(options.events).map((event) => event.name)
  }
  return {
    ...Child.makeUnchecked(id, { start: startOf(spec), restart: options.restartType }, contract),
    contract,
    "~snakepit/core/Added": undefined as never,
    "~snakepit/core/Supervisor": spec
  }
}

const startOf = (spec: Interpreter.Spec) => Effect.map(Interpreter.boot(spec), (interpreter) => interpreter.life)

/** How starting the supervisor can fail. */
export type StartError<T> = [StartOf<T>] extends [never] ? never
  : StartOf<T> extends infer F extends Origin<string, unknown> ? StartFailed<F>
  : never

/** How the running supervisor can fail: `never` when nothing below it can make it give up. */
export type Escalation<T> = [LifeOf<T>] extends [never] ? never
  : T extends { readonly id: infer Id extends string } ? GaveUp<Id, LifeOf<T>>
  : never

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
  return { ...supervisor, start: startOf(spec), "~snakepit/core/Supervisor": spec }
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

/** What the running supervisor `T` may be changed to: a restart of it counts as running, so its start may fail with either. */
export type NextOf<T extends Any> = T extends Supervisor<infer Id, infer S, infer L, infer R, infer P, infer A>
  ? Supervisor<Id, S | L, L, R, P, A>
  : never

/** The running supervisor `T`: with `startChild` if it may be given children. */
export type RunningOf<T extends Any> =
  & Running<Escalation<T>, NextOf<T>>
  & (T extends { readonly "~snakepit/core/Added": infer A extends Child.Any } ? AddsChildren<A> : unknown)

/** Starts a tree in the current scope; it is stopped, in reverse order, when the scope closes. */
export const start = <T extends Any>(supervisor: T): Effect.Effect<RunningOf<T>, StartError<T>, NeedOf<T> | Scope.Scope> =>
  Effect.map(Interpreter.boot(supervisor["~snakepit/core/Supervisor"]), ({ handle, life }) => ({
    ...handle,
    life,
    change: (next: Any) => handle.change(next["~snakepit/core/Supervisor"])
  })) as Effect.Effect<any, any, any>

/** Runs a tree until it gives up or is interrupted: what `NodeRuntime.runMain` takes. */
export const run = <T extends Any>(supervisor: T): Effect.Effect<void, StartError<T> | Escalation<T>, NeedOf<T>> =>
  Effect.scoped(Effect.flatMap(start<any>(supervisor), (running) => running.life)) as Effect.Effect<void, any, any>

/** Builds a tree in the layer's scope and provides the running supervisor under `key`. */
export const layer = <I, Service, T extends Any>(
  key: Context.Key<I, Service>,
  supervisor: T & ([RunningOf<T>] extends [Service] ? unknown : CompileError<"the service of the key is not this supervisor's RunningOf">)
): Layer.Layer<I, StartError<T>, NeedOf<T>> =>
  Layer.effect(key, start<Any>(supervisor) as Effect.Effect<any, any, any>) as unknown as Layer.Layer<I, StartError<T>, NeedOf<T>>
