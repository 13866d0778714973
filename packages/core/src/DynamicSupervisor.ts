/**
 * A supervisor over children of one kind that come and go: started by key, independent of each other, stopped all at once.
 *
 * **When to use**
 *
 * For a fleet of workers, one subtree a tenant, one child a connection. OTP's `simple_one_for_one`, Elixir's `DynamicSupervisor`.
 *
 * **Details**
 *
 * Each child is restarted by itself (`one_for_one`); the intensity is shared. `initial` says which keys to start with, and is asked anew
 * at each start of the supervisor, so that a restarted fleet is whole again; its children start at once, and the supervisor has started
 * when the last has acknowledged. More are started with `startChild(key)` of the handle. At a stop all children are asked at once.
 *
 * A child that is terminated, or that ended and is not restarted, is forgotten: its key is free, and it takes no place.
 *
 * **Gotchas**
 *
 * Children added with `startChild` are gone after a restart of the supervisor unless `initial` names them.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Child from "./Child.ts"
import type { CompileError } from "./CompileError.ts"
import type { Plane } from "./Contract.ts"
import * as Interpreter from "./internal/interpreter.ts"
import { checkDynamic } from "./internal/specification.ts"
import * as Supervisor from "./Supervisor.ts"
import type { DynamicSupervisorHandle } from "./SupervisorHandle.ts"

/** What {@link make} takes. */
export interface Options extends Supervisor.CommonOptions {
  /** The template: makes the child of a key. Its id must be the key. */
  readonly child: (key: string) => Child.Any
  /** The keys to start with; none by default. */
  readonly initial?: Effect.Effect<ReadonlyArray<string>> | undefined
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

/** Makes a dynamic supervisor. Throws an `InvalidSpec` for what types cannot see. */
export const make = <const Id extends string, const O extends Options>(
  id: Id,
  options: O & CheckTemplate<O> & Supervisor.CheckCommon<Id, O, keyof Options, "DynamicSupervisor.make">
): Supervisor.Made<Id, TemplateOf<O>, O> => {
  const shown = checkDynamic(id, options)
  const { child, initial, maxChildren }: Options = options
  return Supervisor.fromSpec(id, options, [shown], {
    id,
    semantics: options.semantics,
    strategy: "one_for_one",
    autoShutdown: "never",
    maxChildren: maxChildren ?? Number.POSITIVE_INFINITY,
    restart: options.restart,
    children: [],
    template: { child, initial: initial ?? Effect.succeed([]) },
    events: options.events,
    labels: options.labels ?? {}
  })
}

/** A dynamic supervisor that runs. */
export interface Running<out E> extends DynamicSupervisorHandle {
  /** Ends when the supervisor was stopped, fails when it gave up. */
  readonly life: Effect.Effect<void, E>
}

/** Starts it in the current scope, with a handle that can start children. */
export const start = <T extends Supervisor.Any>(
  supervisor: T
): Effect.Effect<Running<Supervisor.Escalation<T>>, Supervisor.StartError<T>, Supervisor.NeedOf<T> | Scope.Scope> =>
  Effect.map(Interpreter.boot(supervisor["~snakepit/core/Supervisor"]), (interpreter) => ({
    ...interpreter.handle,
    life: interpreter.life
  })) as Effect.Effect<Running<any>, any, any>
