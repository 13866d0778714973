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
import type { CompileError } from "@snakepit/core/CompileError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as Stream from "effect/Stream"
import type { CallError, PythonError, PythonException } from "./CallError.ts"
import type { Breaker as BreakerConfig, RateLimit as RateLimitConfig } from "./PoolConfig.ts"

const unsaid = <A>(name: string): Context.Reference<A | undefined> =>
  Context.Reference<A | undefined>(`@snakepit/pool/Tool/${name}`, { defaultValue: () => undefined })

/** Running it twice does no harm: a call whose worker crashed is given to another one. By default what Python says of the tool, else `false`. */
export const Idempotent: Context.Reference<boolean | undefined> = unsaid("Idempotent")

/**
 * The same arguments give the same elements in the same order. With {@link Idempotent}, a stream whose worker crashed goes on with
 * another one: the elements already delivered are produced again there and not sent again. By default what Python says of the tool, else
 * `false`: such a stream fails with `WorkerCrashed` once it has delivered an element.
 */
export const Deterministic: Context.Reference<boolean | undefined> = unsaid("Deterministic")

/** How long one attempt may run, instead of the pool's `callTimeout`. Its caller then gets `CallTimeout`, and Python is told to cancel it. */
export const CallTimeout: Context.Reference<Duration.Input | undefined> = unsaid("CallTimeout")

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
export const HardLimit: Context.Reference<Duration.Input | undefined> = unsaid("HardLimit")

/**
 * It may hold the interpreter lock and wait, without using CPU: a driver that waits for an instrument, a library that blocks in native
 * code. By default what Python says of the tool, else `false`: a worker that is silent and still is taken for hung after `heartbeat.maxMissed` beats. With it the limit of
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
export const Blocking: Context.Reference<boolean | undefined> = unsaid("Blocking")

/**
 * What a procedure was made from, part by part, each with its hash: what a worker announces of the tool under the same names. `snakepit codegen`
 * writes it. A call of a tool that has changed since fails with `ContractMismatch`, which names the part, instead of with what the difference leads
 * to; calls of the adapter's other tools go on. By default nothing is compared.
 *
 * **Example** (As it is generated)
 *
 * ```ts
 * import { Tool } from "snakepit"
 * import { Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class Sums extends RpcGroup.make(
 *   Rpc.make("add", { payload: { a: Schema.Int, b: Schema.optionalKey(Schema.Int) }, success: Schema.Int })
 *     .annotate(Tool.Contract, { "argument a": "be456ac440ca", "argument b": "9aeceb24bc37", result: "033bd508ab12" })
 * ) {}
 * ```
 */
export const Contract: Context.Reference<Readonly<Record<string, string>> | undefined> = unsaid("Contract")

/**
 * When an {@link Idempotent} call that may have crashed its worker is tried again, instead of the pool's `barrier.backoff`: any `Schedule` over the
 * error that the call would have ended with. Where the schedule ends, the call does, with that error; the pool's `attempts` bounds it as well, and
 * its caller's deadline goes on.
 *
 * **Example** (Longer each time, and four times at most)
 *
 * ```ts
 * import { Tool } from "snakepit"
 * import { Schedule, Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 *
 * const patiently = Schedule.exponential("1 second").pipe(
 *   Schedule.jittered,
 *   Schedule.upTo({ times: 4 })
 * )
 *
 * const embed = Rpc.make("embed", { payload: { text: Schema.String }, success: Schema.Array(Schema.Finite) })
 *   .annotate(Tool.Idempotent, true)
 *   .annotate(Tool.Retry, patiently)
 * ```
 */
export const Retry: Context.Reference<Schedule.Schedule<unknown, CallError> | undefined> = unsaid("Retry")

/**
 * A circuit breaker of the tool, beside the pool's: its calls are refused with `CircuitOpen` while they fail one after the other.
 *
 * **Example** (A tool that asks another service)
 *
 * ```ts
 * import { PoolConfig, Tool } from "snakepit"
 * import { Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 *
 * const quote = Rpc.make("quote", { payload: { symbol: Schema.String }, success: Schema.Finite })
 *   .annotate(Tool.Breaker, Schema.decodeSync(PoolConfig.Breaker)({ failures: ["requests.exceptions.ConnectionError"] }))
 * ```
 */
export const Breaker: Context.Reference<BreakerConfig | undefined> = unsaid("Breaker")

/**
 * How many calls of the tool may begin in a time, beside the pool's limit.
 *
 * **Example** (A tool with a quota)
 *
 * ```ts
 * import { PoolConfig, Tool } from "snakepit"
 * import { Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 *
 * const translate = Rpc.make("translate", { payload: { text: Schema.String }, success: Schema.String })
 *   .annotate(Tool.RateLimit, Schema.decodeSync(PoolConfig.RateLimit)({ calls: 100, per: "1 minute" }))
 * ```
 */
export const RateLimit: Context.Reference<RateLimitConfig | undefined> = unsaid("RateLimit")

// ── errors of its own ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What an error of the caller's own can be made of: its fields are taken from here by name. */
export interface Raised extends PythonException {
  readonly pool: string
  readonly tool: string
  readonly worker: string
  /** The exception as Python would print it, its causes first. */
  readonly traceback: string
}

/** An error of the caller's own: a `Schema.TaggedError` class. */
export type OwnError = Schema.Codec<Error & { readonly _tag: string }, any>

/** Errors by the qualified names of Python's exception classes, `builtins.` left out. */
export interface Mapping {
  readonly [pythonClass: string]: OwnError
}

const RaisesTypeId = "~@snakepit/pool/Tool/Raises"

/** The errors of a mapping, as one schema. */
export interface Raises<M extends Mapping> extends Schema.Union<ReadonlyArray<M[keyof M]>> {
  readonly [RaisesTypeId]: M
}

type MadeOf<M extends Mapping> = {
  readonly [K in keyof M]: Raised extends M[K]["~type.make.in"] ? unknown : CompileError<
    `the error of "${
      & K
      & string}" has a field that no Python exception has: its fields are some of type, bases, message, frames, notes, cause, implicit, members, traceback, pool, tool, worker`
  >
}

/**
 * Python's exceptions that callers of a tool should handle, as errors of the caller's own, in the type of its method. It is the `error` of a
 * contract's procedure. An exception of that class, or of one derived from it, becomes that error, the nearest class first; every other stays
 * a `PythonError`.
 *
 * **Example** (A model that was not fitted)
 *
 * ```ts
 * import { Pool, Tool } from "snakepit"
 * import { Effect, Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class NotFitted extends Schema.TaggedError<NotFitted>()("NotFitted", { message: Schema.String }) {}
 *
 * class Models extends RpcGroup.make(
 *   Rpc.make("predict", {
 *     payload: { features: Schema.Array(Schema.Finite) },
 *     success: Schema.Finite,
 *     error: Tool.Raises({ "sklearn.exceptions.NotFittedError": NotFitted })
 *   })
 * ) {}
 *
 * const program = Effect.gen(function*() {
 *   const models = yield* Pool.client(Models)
 *   return yield* models.predict({ features: [1, 2] }).pipe(Effect.catchTag("NotFitted", () => Effect.succeed(0)))
 * })
 * ```
 */
export const Raises = <const M extends Mapping>(mapping: M & MadeOf<M>): Raises<M> => {
  const union = Schema.Union([...new Set(Object.values<OwnError>(mapping))])
  return Schema.make(union.ast, { members: union.members, [RaisesTypeId]: mapping })
}

/** The error that a contract gives for what was raised, if it has one for it. */
export const ownError = (schema: Schema.Top, raised: PythonError): OwnError["Type"] | undefined => {
  if (!(RaisesTypeId in schema)) return undefined
  const mapping = schema[RaisesTypeId] as Mapping
  const { exception, pool, tool, traceback, worker } = raised
  const own = [exception.type, ...exception.bases].find((name) => Object.hasOwn(mapping, name))
  if (own === undefined) return undefined
  try {
    return mapping[own]!.make({ ...exception, pool, tool, traceback, worker } as never)
  } catch { // a check of its schema refuses it: the exception tells more than that would
    return undefined
  }
}

// ── streams of inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const InputStreamTypeId = "~@snakepit/pool/Tool/InputStream"

/** A stream of elements of one schema, as a field of a payload. */
export interface InputStream<S extends Schema.Top> extends Schema.BottomLazy<SchemaAST.Declaration, InputStream<S>> {
  readonly "Type": Stream.Stream<S["Type"]>
  readonly "Encoded": Stream.Stream<S["Encoded"]>
  readonly "DecodingServices": S["DecodingServices"]
  readonly "EncodingServices": S["EncodingServices"]
  readonly "Rebuild": InputStream<S>
  readonly "~type.make.in": Stream.Stream<S["Type"]>
  readonly "~type.make": Stream.Stream<S["Type"]>
  readonly "Iso": Stream.Stream<S["Type"]>
  readonly [InputStreamTypeId]: typeof InputStreamTypeId
  readonly element: S
}

/**
 * A stream that the caller sends into a running tool, as one field of its payload: the parameter of that name, annotated `Iterator[T]` or
 * `AsyncIterator[T]`, iterates over it in Python. At most one a tool.
 *
 * **Details**
 *
 * Elements are pulled when Python has room for them, so a slow tool holds the stream back; when the tool ends first, the stream is
 * interrupted. When the stream fails, the iterator raises in Python, and once the tool is over the call fails with the stream's own error. A call
 * whose worker is lost is not tried again once the worker has asked for inputs, whatever it is declared.
 *
 * **Example** (A sum of what comes)
 *
 * ```ts
 * import { Pool, Tool } from "snakepit"
 * import { Effect, Schema, Stream } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class Sums extends RpcGroup.make(
 *   Rpc.make("total", { payload: { from: Schema.Int, numbers: Tool.InputStream(Schema.Int) }, success: Schema.Int })
 * ) {}
 *
 * const program = Effect.gen(function*() {
 *   const sums = yield* Pool.client(Sums)
 *   return yield* sums.total({ from: 10, numbers: Stream.range(1, 1000) })
 * })
 * ```
 */
export const InputStream = <S extends Schema.Top>(element: S): InputStream<S> =>
  Schema.make(Schema.declare(Stream.isStream).ast, { [InputStreamTypeId]: InputStreamTypeId, element })

/** Whether a schema is a stream of inputs. */
export const isInputStream = (schema: Schema.Top): schema is InputStream<Schema.Top> => InputStreamTypeId in schema
