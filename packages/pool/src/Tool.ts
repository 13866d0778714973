/**
 * What a contract says about a tool beyond its schemas, as annotations of its `Rpc`.
 *
 * **When to use**
 *
 * A contract of tools is an `effect/rpc` `RpcGroup`; the names of its procedures are the names of the Python tools. Annotate those that
 * may run more than once.
 *
 * **Example** (A tool that may be retried, and whose stream may be resumed)
 *
 * ```ts
 * import { Tool } from "snakepit"
 * import { Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class Models extends RpcGroup.make(
 *   Rpc.make("fit", { payload: { model: Schema.String }, success: Schema.Finite, stream: true })
 *     .annotate(Tool.Idempotent, true)
 *     .annotate(Tool.Deterministic, true),
 *   Rpc.make("record", { payload: { accuracy: Schema.Finite } })
 * ) {}
 * ```
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"

/** Running it twice does no harm: a call whose worker crashed is given to another one. `false` by default. */
export const Idempotent: Context.Reference<boolean> = Context.Reference("@snakepit/pool/Tool/Idempotent", {
  defaultValue: () => false
})

/**
 * The same arguments give the same elements in the same order. With {@link Idempotent}, a stream whose worker crashed goes on with
 * another one: the elements already delivered are produced again there and not sent again. `false` by default: such a stream fails with
 * `WorkerCrashed` once it has delivered an element.
 */
export const Deterministic: Context.Reference<boolean> = Context.Reference("@snakepit/pool/Tool/Deterministic", {
  defaultValue: () => false
})

/** How long one attempt may run, instead of the pool's `callTimeout`. */
export const CallTimeout: Context.Reference<Duration.Input | undefined> = Context.Reference("@snakepit/pool/Tool/CallTimeout", {
  defaultValue: (): Duration.Input | undefined => undefined
})
