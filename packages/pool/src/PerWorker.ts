/**
 * An application's own children under each worker's supervisor: a gauge, a log shipper, a licence that must be held while a worker runs.
 *
 * **When to use**
 *
 * For what belongs to one worker and must begin and end with it. What decides for many workers belongs beside the pools.
 *
 * **Details**
 *
 * The children come last under the worker's supervisor, after its watchdog, and are supervised as all there is: one that ends is started
 * again and counts against `restart.worker`; they are stopped before the process, and start when its channel is open. How they can fail to
 * start stands in the start error of the layer, as `PerWorkerFailed`; what they need must be provided to the layer. They are in the
 * contract and in the tree.
 *
 * The function is called when a slot's supervisor is made, before its worker is there, and once for the contract: it makes children and
 * does nothing else. All slots of a pool have the same children.
 *
 * **Gotchas**
 *
 * A child that keeps failing costs its worker the whole subtree, and in the end the pool. A temporary child does not.
 *
 * **Example** (The processor time of each worker, asked once a second)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Child, type PerWorker, Snakepit } from "snakepit"
 *
 * const gauge = (worker: PerWorker.Worker) =>
 *   Child.make("gauge", {
 *     plane: "execution",
 *     start: Effect.succeed(
 *       Effect.logInfo(`process ${worker.pid()} fills ${worker.name}`).pipe(Effect.delay("1 second"), Effect.forever)
 *     )
 *   })
 *
 * const layer = Snakepit.layer(
 *   { pools: { default: { python: { adapter: "tools" } } } },
 *   { perWorker: { default: (worker) => [gauge(worker)] } }
 * )
 * ```
 */
import type { Child, SupervisorError } from "@snakepit/core"
import type { PerWorkerFailed } from "./WorkerError.ts"

/** The worker that the children are placed under. */
export interface Worker {
  readonly pool: string
  readonly slot: number
  /** `default/3`. */
  readonly name: string
  /** Which process fills the slot now, counted from 0; -1 before the first. */
  readonly generation: () => number
  /** That process; `undefined` while none is connected. */
  readonly pid: () => number | undefined
}

/** The children under each worker of a pool. */
export type Make<out C extends Child.Any = Child.Any> = (worker: Worker) => readonly [] | ReadonlyArray<C>

/** By pool. */
export interface PerWorker<out C extends Child.Any = Child.Any> {
  readonly [pool: string]: Make<C>
}

/** All children that it may make. */
export type ChildOf<P> = P[keyof P] extends (worker: never) => infer Cs ? Cs extends ReadonlyArray<infer C extends Child.Any> ? C : never
  : never

/** How the child can fail to start, as the start of the pool says it. */
export type StartErrorOf<C extends Child.Any> = C["~snakepit/core/Child"]["S"] extends infer S
  ? S extends SupervisorError.Origin<infer Path, infer E> ? PerWorkerFailed<Path, E> : never
  : never

/** What every worker has. */
type OwnId = "process" | "channel" | "heartbeat" | "watchdog"

type Refusal<Cs, Seen = never> = Cs extends readonly [infer C extends Child.Any, ...infer Rest]
  ? [C["~snakepit/core/Child"]["P"]] extends ["execution"]
    ? C["id"] extends OwnId ? `child id "${C["id"]}" is taken: every worker has a ${C["id"]} of its own`
    : C["id"] extends Seen ? `duplicate child id "${C["id"]}"`
    : C["~snakepit/core/Child"]["Sig"] extends true ? `child "${C["id"]}" is significant, but a worker never shuts itself down`
    : Refusal<Rest, Seen | C["id"]>
  : `child "${C["id"]}" belongs to the ${C["~snakepit/core/Child"]["P"]} plane, a worker's children to the execution plane`
  : Cs extends readonly [] ? never
  : Cs extends ReadonlyArray<infer C extends Child.Any> ? [C["~snakepit/core/Child"]["P"]] extends ["execution"] ? never
    : `a child of perWorker belongs to the ${C["~snakepit/core/Child"]["P"]} plane, a worker's children to the execution plane`
  : never

/** Refuses what does not belong under a worker. */
export type Check<P> = {
  readonly [Pool in keyof P as [RefusalOf<P[Pool]>] extends [never] ? never : Pool]: { readonly "✗": RefusalOf<P[Pool]> }
}
type RefusalOf<F> = F extends (worker: never) => infer Cs ? Refusal<Cs> : never
