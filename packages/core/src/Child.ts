/**
 * Something that a supervisor supervises: how it starts, what its life is, and what its ending means.
 *
 * **When to use**
 *
 * {@link make} for anything with a start and a life; {@link fromLayer} for a service that others use. A supervisor is itself a child.
 *
 * **Details**
 *
 * `start` is a scoped effect: it acquires what the child needs, and its success is the acknowledgement that lets the next child start.
 * It returns the child's *life*, an effect that runs until the child ends. When the child ends, or is stopped, its life is interrupted
 * and then its scope is closed, within `shutdown`. Start and life are one fiber: what `start` forks as its child (`Effect.forkChild`)
 * lives as long as the life does.
 *
 * Two errors are inferred for each child: the error of starting and the error of running (`SupervisorError.ts`).
 *
 * **Gotchas**
 *
 * JavaScript cannot kill: a finalizer that does not end within `shutdown` is abandoned, goes on in the background, and is logged.
 *
 * **Example** (A child that beats)
 *
 * ```ts
 * import { Child } from "@snakepit/core"
 * import { Effect } from "effect"
 *
 * const beat = Child.make("beat", {
 *   start: Effect.gen(function*() {
 *     yield* Effect.addFinalizer(() => Effect.log("stopped"))
 *     return Effect.log("tick").pipe(Effect.delay("1 second"), Effect.forever)
 *   }),
 *   shutdown: "2 seconds"
 * })
 * ```
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { CompileError, NoOther } from "./CompileError.ts"
import type { Contract, Plane } from "./Contract.ts"
import { checkChild } from "./internal/specification.ts"
import * as RegisteredName from "./RegisteredName.ts"
import type { RestartType } from "./RestartType.ts"
import type { Defect, Ended, Origin } from "./SupervisorError.ts"
import type { CurrentSupervisor } from "./SupervisorHandle.ts"

/** How long a child may take to stop: a duration, for as long as it takes, or not waited for at all. */
export type Shutdown = Duration.Input | "infinity" | "brutal"

/** What every child says of itself. */
export interface CommonOptions {
  /** `permanent` by default, as in OTP. */
  readonly restart?: RestartType | undefined
  /** 5 seconds by default, as in OTP; `"infinity"` for supervisors. */
  readonly shutdown?: Shutdown | undefined
  /** Its ending for good may end its supervisor (`autoShutdown`). Not for permanent children. */
  readonly significant?: boolean | undefined
  /** Where it may be placed; a child without a plane fits in either. */
  readonly plane?: Plane | undefined
}

/** What {@link make} takes. */
export interface Options extends CommonOptions {
  readonly start: Effect.Effect<Effect.Effect<unknown, any, any>, any, any>
}

/**
 * A child: `S` is the origins of the errors of starting, `L` those of running, `R` what it needs, `P` the planes it fits in, `Sig`
 * whether it is significant.
 */
export interface Child<out Id extends string, out S, out L, out R, out P extends Plane, out Sig extends boolean> {
  readonly "~snakepit/core/Child": { readonly S: S; readonly L: L; readonly R: R; readonly P: P; readonly Sig: Sig }
  readonly id: Id
  readonly start: Effect.Effect<Effect.Effect<unknown, any, any>, any, any>
  readonly restart: RestartType
  readonly shutdown: number | "infinity" | "brutal"
  readonly significant: boolean
  /** Where it may be placed; `undefined` for either. */
  readonly plane: Plane | undefined
  readonly contract: Contract | undefined
}

/** Any child. */
export type Any = Child<string, any, any, any, Plane, boolean>

/** Which child this is, for the code of the child itself. */
export class CurrentChild extends Context.Service<CurrentChild, {
  readonly id: string
  readonly path: string
  /** Counts the starts of this child under its present supervisor, from 0. */
  readonly generation: number
  /**
   * The incident that it is started again after (`"start"`), or that its end belongs to (`"end"`): that of whoever stops it, or one of its own, which its
   * supervisor then decides under. To be asked for an end that is certain; `undefined`: it starts or ends as planned.
   */
  readonly incident: (moment: "start" | "end") => string | undefined
}>()("@snakepit/core/CurrentChild") {}

/**
 * What a start returns in place of a life when it has nothing to do, as OTP's `ignore`: a static supervisor keeps the child's spec, down,
 * unless it is temporary; a dynamic one forgets the child.
 */
export const ignore: Effect.Effect<never> = Effect.suspend(() => Effect.never) // a value of its own, known by identity

type ErrorOf<X> = X extends Effect.Effect<any, infer E, any> ? E : never
type LifeOf<X> = X extends Effect.Effect<infer A, any, any> ? A : never
type NeedOf<X> = X extends Effect.Effect<any, any, infer R> ? R : never
type PlaneOf<O> = O extends { readonly plane: infer P extends Plane } ? P : never
type At<Id extends string, E> = [E] extends [never] ? never : Origin<Id, E>

/** What the restart type may be, given what an option says of it: nothing, and what is not known, counts as `permanent`. */
export type RestartIn<X> = X extends RestartType ? X : "permanent"

/** Whether it is significant: `true`, `false`, or not known. */
export type SignificantIn<X> = X extends boolean ? X : false

/** What the interpreter gives to every child. */
type Given = Scope.Scope | CurrentChild | CurrentSupervisor

/** The child that follows from the options `O`, the errors of starting `E0` and of running `E`, and what both need. */
type Made<Id extends string, E0, E, R, O extends CommonOptions, Restart = RestartIn<O["restart"]>> = Child<
  Id,
  At<Id, E0>,
  [Restart] extends ["temporary"] ? never : At<Id, E0 | E | Defect | ("permanent" extends Restart ? Ended : never)>,
  Exclude<R, Given>,
  PlaneOf<O>,
  SignificantIn<O["significant"]>
>

/** Refuses what could never end its supervisor. */
export type CheckSignificant<What extends string, O, Restart> = O extends { readonly significant: true } ?
  [Restart] extends ["permanent"] ? {
      readonly significant: CompileError<
        `${What} is significant and permanent: a permanent child never ends for good, so auto-shutdown could never fire; make it transient or temporary`
      >
    }
  : unknown
  : unknown

/** Makes a child. Throws an `InvalidSpec` for what types cannot see. */
export const make = <const Id extends string, const O extends Options>(
  id: Id,
  options: O & CheckSignificant<`child "${Id}"`, O, RestartIn<O["restart"]>> & NoOther<O, keyof Options, "Child.make">
): Made<Id, ErrorOf<O["start"]>, ErrorOf<LifeOf<O["start"]>>, NeedOf<O["start"]> | NeedOf<LifeOf<O["start"]>>, O> => {
  checkChild(id, options)
  return makeUnchecked(id, options, undefined)
}

/** The value behind every child, without the inference and the checks. */
export const makeUnchecked = <Id extends string>(
  id: Id,
  options: Options,
  contract: Contract | undefined
): Child<Id, never, never, never, never, never> => ({
  "~snakepit/core/Child": undefined as never,
  id,
  start: options.start,
  restart: options.restart ?? "permanent",
  shutdown: shutdownOf(options.shutdown ?? (contract === undefined ? 5_000 : "infinity")), // OTP's two defaults
  significant: options.significant ?? false,
  plane: options.plane,
  contract
})

const shutdownOf = (shutdown: Shutdown): number | "infinity" | "brutal" =>
  shutdown === "infinity" || shutdown === "brutal" ? shutdown : Duration.toMillis(Duration.fromInputUnsafe(shutdown))

/** What {@link fromLayer} takes. */
export interface LayerOptions<I, A, E, R> extends CommonOptions {
  readonly key: Context.Key<I, NoInfer<A>>
  readonly layer: Layer.Layer<I, E, R>
  /** Where dependants look up the current generation. */
  readonly name: RegisteredName.RegisteredName<A>
}

/**
 * Supervises a service: each generation builds the layer anew and registers the service under `name`, where dependants find the
 * current generation with `RegisteredName.whereis`. How the layer fails to build is how the child fails to start.
 *
 * **Example** (A connection that is opened anew at each restart)
 *
 * ```ts
 * import { Child, RegisteredName } from "@snakepit/core"
 * import { Context, Effect, Layer } from "effect"
 *
 * class Connection extends Context.Service<Connection, { readonly send: (line: string) => Effect.Effect<void> }>()("Connection") {}
 *
 * const connection = RegisteredName.make<Connection["Service"]>("connection")
 * const child = Child.fromLayer("connection", {
 *   key: Connection,
 *   layer: Layer.succeed(Connection, { send: Effect.log }),
 *   name: connection,
 *   shutdown: "1 second"
 * })
 * const greet = Effect.flatMap(RegisteredName.whereis(connection), ({ send }) => send("hello"))
 * ```
 */
export const fromLayer = <const Id extends string, I, A, E, R, const O extends CommonOptions>(
  id: Id,
  options:
    & LayerOptions<I, A, E, R>
    & O
    & CheckSignificant<`child "${Id}"`, O, RestartIn<O["restart"]>>
    & NoOther<O, keyof LayerOptions<I, A, E, R>, "Child.fromLayer">
): Made<Id, E, never, R, O> => {
  const { key, layer, name, ...common }: LayerOptions<I, A, E, R> = options
  const start = Effect.gen(function*() {
    const memo = yield* Layer.makeMemoMap // a shared one would hand out the generation that died
    const context = yield* Layer.buildWithMemoMap(layer, memo, yield* Effect.scope)
    yield* RegisteredName.register(name, Context.get(context, key))
    return Effect.never
  })
  const checked: Options = { ...common, start }
  checkChild(id, checked)
  return makeUnchecked(id, checked, undefined)
}
