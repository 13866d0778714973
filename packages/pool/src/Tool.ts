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

/** How long one attempt may run, instead of the pool's `callTimeout`. Its caller then gets `CallTimeout`, and Python is told to cancel it. */
export const CallTimeout: Context.Reference<Duration.Input | undefined> = Context.Reference("@snakepit/pool/Tool/CallTimeout", {
  defaultValue: (): Duration.Input | undefined => undefined
})

/**
 * When a call still runs this long after it was sent to its worker, the worker is replaced; its caller has `CallTimeout` by then at the
 * latest. For tools that may loop or deadlock for ever: nothing in Python can stop those. By default a worker is replaced `cancelGrace`
 * after the call timeout. A call whose caller went away is given `cancelGrace`, and never more than this.
 *
 * **Example** (A solver that does not always converge)
 *
 * ```ts
 * import { Tool } from "snakepit"
 * import { Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 *
 * const solve = Rpc.make("solve", { payload: { seed: Schema.Int }, success: Schema.Finite })
 *   .annotate(Tool.HardLimit, "30 seconds")
 * ```
 */
export const HardLimit: Context.Reference<Duration.Input | undefined> = Context.Reference("@snakepit/pool/Tool/HardLimit", {
  defaultValue: (): Duration.Input | undefined => undefined
})

/**
 * It may hold the interpreter lock and wait, without using CPU: a driver that waits for an instrument, a library that blocks in native
 * code. `false` by default: a worker that is silent and still is taken for hung after `heartbeat.maxMissed` beats. With it the limit of
 * the call alone decides, so give it one.
 *
 * **Example** (A driver that blocks)
 *
 * ```ts
 * import { Tool } from "snakepit"
 * import { Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 *
 * const expose = Rpc.make("expose", { payload: { seconds: Schema.Finite }, success: Schema.Uint8Array })
 *   .annotate(Tool.Blocking, true)
 *   .annotate(Tool.HardLimit, "2 minutes")
 * ```
 */
export const Blocking: Context.Reference<boolean> = Context.Reference("@snakepit/pool/Tool/Blocking", {
  defaultValue: () => false
})

/**
 * The contract that a procedure belongs to: the SHA-256, in hexadecimal, that the workers of its adapter announce. `snakepit codegen` writes it. A
 * call to workers that announce another one fails with `ContractMismatch` instead of with what the difference leads to. By default nothing is
 * compared.
 *
 * **Example** (As it is generated)
 *
 * ```ts
 * import { Tool } from "snakepit"
 * import { Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class Sums extends RpcGroup.make(
 *   Rpc.make("add", { payload: { a: Schema.Int, b: Schema.Int }, success: Schema.Int })
 * ).annotateRpcs(Tool.ContractHash, "409cb90a8be582464bfe9e61ab3cf10b8793778adf39ddc0e1da504e8b3fc1e8") {}
 * ```
 */
export const ContractHash: Context.Reference<string | undefined> = Context.Reference("@snakepit/pool/Tool/ContractHash", {
  defaultValue: (): string | undefined => undefined
})
