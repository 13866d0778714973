/**
 * A supervisor over children of one kind that come and go: started by key, independent of each other, stopped all at once.
 *
 * **When to use**
 *
 * For a fleet of workers, one subtree a tenant, one child a connection. OTP's `simple_one_for_one`, Elixir's `DynamicSupervisor`.
 *
 * **Details**
 *
 * `startChild` takes a key, for the template's child, or any child that fails and needs no more than the template's do: the types hold
 * it to that, so the supervisor's escalation stays what it says.
 *
 * Each child is restarted by itself (`one_for_one`); the intensity is shared. `initial` says which keys to start with, and is asked anew
 * at each start of the supervisor, so that a restarted fleet is whole again; its children start at once, and the supervisor has started
 * when the last has acknowledged. Without `initial` it starts empty, and its start cannot fail. More are started with `startChild` of the
 * handle. At a stop all children are asked at once, and those with the same `shutdown` share one timer.
 *
 * A child that is terminated, or that ended and is not restarted, is forgotten: its key is free, and it takes no place.
 *
 * **Gotchas**
 *
 * Children added with `startChild` are gone after a restart of the supervisor unless `initial` names them.
 *
 * After `change`, children of the template are supervised by the new template's spec for their key from the next event on; children that
 * were given as values keep their own.
 *
 * A child that is down is forgotten, so `restartChild` and `deleteChild` find it running or not at all. (OTP refuses both calls for a
 * `simple_one_for_one`, and takes pids where we take keys.)
 *
 * **Example** (One child a tenant, and one that is special)
 *
 * ```ts
 * import { Child, DynamicSupervisor, RestartPolicy, SupervisorEvent } from "@snakepit/core"
 * import { Effect } from "effect"
 *
 * const tenants = DynamicSupervisor.make("tenants", {
 *   plane: "control",
 *   restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "10 seconds" } }),
 *   because: "tenants do not depend on each other",
 *   limitBecause: "three restarts outlast a hiccup; a fourth within ten seconds is a cause that no restart cures",
 *   events: SupervisorEvent.of("tenants_supervisor", "root"),
 *   initial: Effect.succeed(["acme"]),
 *   child: (tenant) => Child.make(tenant, { start: Effect.succeed(Effect.never) })
 * })
 *
 * const main = Effect.gen(function*() {
 *   const running = yield* DynamicSupervisor.start(tenants)
 *   yield* running.startChild("umbrella") // => 0, its generation
 *   yield* running.startChild(Child.make("slow", { start: Effect.succeed(Effect.never), shutdown: "1 minute" }))
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Child from "./Child.ts"
import type { CompileError } from "./CompileError.ts"
import type { Plane } from "./Contract.ts"
import { checkDynamic } from "./internal/specification.ts"
import * as Supervisor from "./Supervisor.ts"

/** What {@link make} takes. */
export interface Options extends Supervisor.CommonOptions {
  /** The template: makes the child of a key. Its id must be the key. */
  readonly child: (key: string) => Child.Any
  /** The keys to start with; none by default. */
  readonly initial?: Effect.Effect<ReadonlyArray<string>> | undefined
  /**
   * The keys whose children its contract lists, each by itself: for a template that makes different children by their key, whose keys are
   * known. When left out one entry, made for `Contract.templateKey`, stands for all.
   */
  readonly shown?: ReadonlyArray<string> | undefined
  /**
   * Which child starts its children with `startChild`, by the path from the supervisor above: `control/starter`. For its contract; it has no
   * `initial` then.
   */
  readonly startedBy?: string | undefined
  /** How many children it may hold, running, restarting and stopping ones; unbounded by default. */
  readonly maxChildren?: number | undefined
}

type TemplateOf<O extends Options> = ReturnType<O["child"]>
type CheckTemplate<O extends Options> = TemplateOf<O> extends Child.Child<any, any, any, any, infer CP extends Plane, infer Sig>
  ? [CP] extends [O["plane"]] ? [Sig] extends [true] ? {
        readonly child: CompileError<
          "the template is significant, but a dynamic supervisor never shuts itself down: its ending would end nothing"
        >
      }
    : unknown
  : { readonly child: CompileError<`the template belongs to the ${CP} plane, this supervisor to the ${O["plane"]} plane`> }
  : unknown

/** How its start can fail: as its template's, or not at all when it starts empty. */
type FirstOf<Id extends string, O extends Options> = O extends { readonly initial: unknown } ?
  Supervisor.Under<Id, Supervisor.StartOf<TemplateOf<O>>>
  : never

/** Makes a dynamic supervisor. Throws an `InvalidSpec` for what types cannot see. */
export const make = <const Id extends string, const O extends Options>(
  id: Id,
  options: O & CheckTemplate<O> & Supervisor.CheckCommon<Id, O, keyof Options, "DynamicSupervisor.make">
): Supervisor.Made<Id, TemplateOf<O>, O, TemplateOf<O>, FirstOf<Id, O>> => {
  const shown = checkDynamic(id, options)
  const { child, initial, maxChildren, startedBy }: Options = options
  return Supervisor.fromSpec(id, options, shown, {
    id,
    semantics: options.semantics,
    strategy: "one_for_one",
    autoShutdown: "never",
    maxChildren: maxChildren ?? Number.POSITIVE_INFINITY,
    restart: options.restart,
    children: [],
    template: { child, initial: initial ?? Effect.succeed([]), shown: shown.map(({ id }) => id) },
    added: undefined,
    events: options.events,
    labels: options.labels ?? {}
  }, startedBy ?? (initial === undefined ? "callers" : "itself"))
}

/** Any supervisor that can be given children. */
export type Any = Supervisor.Supervisor<string, any, any, any, Plane, boolean, unknown, unknown, Child.Any>

/** Starts it in the current scope: `Supervisor.start`, for supervisors that can be given children. */
export const start: <T extends Any>(
  supervisor: T
) => Effect.Effect<Supervisor.RunningOf<T>, Supervisor.StartError<T>, Supervisor.NeedOf<T> | Scope.Scope> = Supervisor.start
