/**
 * Calls Python tools, typed by a contract.
 *
 * **When to use**
 *
 * {@link client} makes one function for each procedure of a contract, an `effect/rpc` `RpcGroup` whose names are the names of the Python
 * tools. A procedure with `stream: true` is a Python generator and becomes a `Stream`; one with a `Tool.InputStream` in its payload takes one.
 *
 * **Details**
 *
 * A call is accepted or refused at once (`QueueFull`, `ToolNotFound`, …), waits in a bounded queue, goes to the worker with the fewest
 * calls, and ends in exactly one outcome. Interrupting it cancels the work in Python. A call whose worker is lost is tried again on
 * another one when it is idempotent, and reported otherwise: see `CallError` for what a caller can rely on, and `Tool.Raises` for errors
 * of one's own. Arguments are encoded and results decoded by the contract's schemas, once, here.
 *
 * Each function takes {@link CallOptions} after its payload. A call that is made in a sampled span is part of its trace, Python included.
 *
 * **Gotchas**
 *
 * A stream asks Python for `credit` elements ahead; a consumer that stops pulling stops the generator, and one that ends early closes it.
 *
 * **Example** (One call and one stream)
 *
 * ```ts
 * import { Pool } from "snakepit"
 * import { Effect, Schema, Stream } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class Text extends RpcGroup.make(
 *   Rpc.make("embed", { payload: { text: Schema.String }, success: Schema.Array(Schema.Finite) }),
 *   Rpc.make("words", { payload: { text: Schema.String }, success: Schema.String, stream: true })
 * ) {}
 *
 * const program = Effect.gen(function*() {
 *   const text = yield* Pool.client(Text)
 *   const vector = yield* text.embed({ text: "hello" }, { session: "reader-7", deadline: "2 seconds" })
 *   yield* text.words({ text: "a b c" }).pipe(Stream.runForEach((word) => Effect.log(word)))
 *   return vector.length
 * })
 * ```
 */
import { NearNames } from "@snakepit/core"
import type { CompileError } from "@snakepit/core/CompileError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Rpc from "effect/rpc/Rpc"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import type * as RpcSchema from "effect/rpc/RpcSchema"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as CallError from "./CallError.ts"
import type * as Dispatch from "./control/Dispatch.ts"
import * as Roster from "./control/Roster.ts"
import * as Method from "./Method.ts"
import type { Payload } from "./Payload.ts"
import type { PoolDirectory, PoolEntry } from "./PoolDirectory.ts"
import * as Signature from "./Signature.ts"
import type * as Tool from "./Tool.ts"
import type { Wire } from "./Wire.ts"
import type { PayloadCodec } from "./WorkerRuntime.ts"

/** The pools of the application. */
export class Pools extends Context.Service<Pools, {
  readonly directory: PoolDirectory
  readonly codec: PayloadCodec
}>()("@snakepit/pool/Pools") {}

/** The application has no pool of that name. */
export class PoolNotFound extends Schema.TaggedError<PoolNotFound>()("PoolNotFound", {
  pool: Schema.String,
  available: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { available, pool } = this
    return `there is no pool "${pool}".${NearNames.hint(pool, available)} There is ${available.join(", ") || "none"}. ` +
      "Name one of these, or configure it"
  }
}

/** What one call may be given beside its payload. */
export interface CallOptions {
  /** Calls of one session go to the worker that has served it, as the pool's `affinity` says; Python reads it as `snakepit.current().session`. */
  readonly session?: string | undefined
  /** On whose behalf: tenants with waiting calls take turns. */
  readonly tenant?: string | undefined
  /** From now until its caller gives up: one budget for the queue, every attempt and Python. Then the call fails with `DeadlineExceeded`. */
  readonly deadline?: Duration.Input | undefined
  /** Instead of the pool's `queue.timeout`. */
  readonly queueTimeout?: Duration.Input | undefined
  /** Of one attempt, instead of `Tool.CallTimeout` and the pool's `callTimeout`. */
  readonly callTimeout?: Duration.Input | undefined
}

/** What {@link client} may be given: which pool, and what its calls have unless they say otherwise. */
export interface ClientOptions extends CallOptions {
  /** `default` by default. */
  readonly pool?: string | undefined
  /**
   * Which values are checked against the contract. `"both"` by default: Python is a program of its own, and a result that does not fit is found here,
   * with its field, for about 0.1 µs a number or string. `"arguments"` leaves results that need no decoding as they came, `"none"` arguments too:
   * for large or numerous plain values whose tools are trusted. What a schema transforms, a date for example, is decoded and encoded in any case.
   */
  readonly check?: Signature.Check | undefined
}

/** An error that a contract declares stands in a `Tool.Raises`, which says what in Python becomes it. */
type Contract<Rpcs extends Rpc.Any> =
  & ([Exclude<Rpc.ErrorExitSchema<Rpcs>, typeof Schema.Never | Tool.Raises<any>>] extends [never] ? unknown
    : CompileError<"an error of a contract says which Python exceptions become it: error: Tool.Raises({ \"module.Class\": TheError })">)
  & (true extends (Rpcs extends Rpc.Any ? IsUnion<InputOf<Rpcs>> : never)
    ? CompileError<"a tool takes at most one stream of inputs: leave one Tool.InputStream in its payload">
    : unknown)

type IsUnion<K, All = K> = [K] extends [never] ? false : K extends All ? [All] extends [K] ? false : true : never

type FieldsOf<R> = R extends Rpc.Rpc<infer _Tag, infer Payload, infer _S, infer _E, infer _M, infer _Q>
  ? Payload extends { readonly fields: infer Fields } ? Fields : {}
  : never

type InputOf<R> = FieldsOf<R> extends infer Fields
  ? { [K in keyof Fields]: Fields[K] extends Tool.InputStream<any> ? K : never }[keyof Fields]
  : never

type Answer<R extends Rpc.Any, E, Q> = R extends Rpc.Rpc<infer _Tag, infer _Payload, infer Success, infer Error, infer _M, infer _Q>
  ? [Success] extends [RpcSchema.Stream<infer A, infer F>] ? Stream.Stream<A["Type"], CallError.CallError | F["Type"] | E, Q>
  : Effect.Effect<Success["Type"], CallError.CallError | Error["Type"] | E, Q>
  : never

type Method<R extends Rpc.Any> = [InputOf<R>] extends [never]
  ? (payload: Rpc.PayloadConstructor<R>, options?: CallOptions) => Answer<R, never, never>
  : <E = never, Q = never>(
    payload:
      & Omit<Rpc.PayloadConstructor<R>, InputOf<R>>
      & { readonly [K in InputOf<R>]: Stream.Stream<Rpc.PayloadConstructor<R>[K] extends Stream.Stream<infer A> ? A : never, E, Q> },
    options?: CallOptions
  ) => Answer<R, E, Q>

/** A function for each procedure of the contract. */
export type Client<Rpcs extends Rpc.Any> = { readonly [R in Rpcs as R["_tag"]]: Method<R> }

/** What a pool has done since it came up. */
export type Ledger = Readonly<Dispatch.Ledger>

/** A typed client of the contract's tools in one pool. */
export const client = <Rpcs extends Rpc.Any>(
  contract: RpcGroup.RpcGroup<Rpcs> & Contract<Rpcs>,
  { check = "both", pool = "default", ...defaults }: ClientOptions = {}
): Effect.Effect<Client<Rpcs>, PoolNotFound, Pools> =>
  Effect.gen(function*() {
    const { codec, directory } = yield* Pools
    const entry = yield* find(directory, pool)
    const methods: Record<string, unknown> = {}
    for (const rpc of contract.requests.values()) {
      const signature = Signature.make(pool, codec, rpc as unknown as Rpc.AnyWithProps, check)
      methods[rpc._tag] = Method.make(entry, signature, defaults)
    }
    return methods as unknown as Client<Rpcs>
  })

/** What {@link map} may be given. */
export interface MapOptions extends CallOptions {
  /** Calls under way at once. By default twice what the pool's workers run at once, so that each finds its next call waiting. */
  readonly concurrency?: number | undefined
  /** Results come as they are ready instead of in the order of the stream. */
  readonly unordered?: boolean | undefined
}

/**
 * Maps a stream over a tool, with calls under way for as many workers as the pool has: `Stream.mapEffect` with the concurrency that fits the pool and
 * the options of each call. Interrupting the stream, or ending it early, cancels the calls in Python.
 *
 * **Example** (Embeds every line)
 *
 * ```ts
 * import { Pool } from "snakepit"
 * import { Effect, Schema, Stream } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class Text extends RpcGroup.make(
 *   Rpc.make("embed", { payload: { text: Schema.String }, success: Schema.Array(Schema.Finite) })
 * ) {}
 *
 * const vectors = (lines: Stream.Stream<string>) =>
 *   Stream.unwrap(Effect.map(Pool.client(Text), (text) =>
 *     lines.pipe(
 *       Stream.map((line) => ({ text: line })),
 *       Pool.map(text.embed, { tenant: "nightly" })
 *     )))
 * ```
 */
export const map = <A, B, E, R>(
  method: (payload: A, options?: CallOptions) => Effect.Effect<B, E, R>,
  { concurrency, unordered, ...call }: MapOptions = {}
) =>
<E2, R2>(self: Stream.Stream<A, E2, R2>): Stream.Stream<B, E | E2, R | R2> =>
  Stream.suspend(() =>
    Stream.mapEffect(self, (payload) => method(payload, call), {
      concurrency: concurrency ?? 2 * Method.capacity(method),
      unordered
    })
  )

/** What {@link call} and {@link stream} may be given: which pool, and what the call has beside its payload. */
export interface UntypedOptions<E = never, R = never> extends CallOptions {
  /** `default` by default. */
  readonly pool?: string | undefined
  /**
   * For a tool that takes a stream of inputs, and for no other: each input in MessagePack. It is pulled as Python has room; when it fails, the tool's
   * iterator raises, and the call fails with that error once the tool is over.
   */
  readonly inputs?: Stream.Stream<Uint8Array, E, R> | undefined
}

/**
 * Calls a plain tool by its name, without a contract: `payload` is MessagePack of a map of keyword arguments, and so is the result, of any value.
 * Nothing is checked here; what Python says of the tool (`@tool(idempotent=True, timeout=…)`) decides whether it is tried again and how long it
 * may take. For gateways and tools of operators: a program that knows its tools uses {@link client}.
 *
 * **Example** (Bytes in, bytes out)
 *
 * ```ts
 * import { Pool } from "snakepit"
 *
 * const noArguments = Uint8Array.of(0x80) // MessagePack of {}
 * const program = Pool.call("refresh", noArguments, { pool: "default" })
 * ```
 */
export const call = <E = never, R = never>(
  tool: string,
  payload: Payload,
  { inputs, pool = "default", ...options }: UntypedOptions<E, R> = {}
): Effect.Effect<Uint8Array, CallError.CallError | PoolNotFound | E, Pools | R> =>
  Effect.flatMap(entryOf(pool), (entry) => {
    const method = Method.make(entry, Signature.untyped(pool, tool, false, inputs !== undefined), options)
    const call: Signature.Untyped = { payload, inputs }
    return method(call) as Effect.Effect<Uint8Array, CallError.CallError | E, R>
  })

/** As {@link call}, of a tool that streams: each element is MessagePack. */
export const stream = <E = never, R = never>(
  tool: string,
  payload: Payload,
  { inputs, pool = "default", ...options }: UntypedOptions<E, R> = {}
): Stream.Stream<Uint8Array, CallError.CallError | PoolNotFound | E, Pools | R> =>
  Stream.unwrap(Effect.map(entryOf(pool), (entry) => {
    const method = Method.make(entry, Signature.untyped(pool, tool, true, inputs !== undefined), options)
    const call: Signature.Untyped = { payload, inputs }
    return method(call) as Stream.Stream<Uint8Array, CallError.CallError | E, R>
  }))

/** The pools of the application by name, each with the tools that its workers have announced; `undefined` while it is down. */
export const tools: Effect.Effect<ReadonlyMap<string, Wire["tools"] | undefined>, never, Pools> = Effect.map(
  Pools,
  ({ directory }) =>
    new Map(
      directory.names().map((pool) => {
        const roster = directory.entry(pool).roster.current
        return [pool, roster && (roster.state.tools ?? new Map())]
      })
    )
)

/** What a pool has done since it came up; `undefined` while it is down. */
export const ledger = (pool = "default"): Effect.Effect<Ledger | undefined, PoolNotFound, Pools> =>
  Effect.gen(function*() {
    const { directory } = yield* Pools
    const entry = yield* find(directory, pool)
    return entry.roster.current === undefined ? undefined : { ...entry.roster.current.state.ledger }
  })

/** Calls that a pool refuses because calls like them have crashed its workers. */
export type Quarantined = Roster.Quarantined

/** What a pool has in quarantine; nothing while it is down. */
export const quarantine = (pool = "default"): Effect.Effect<ReadonlyArray<Quarantined>, PoolNotFound, Pools> =>
  Effect.map(entryOf(pool), ({ roster }) => roster.current === undefined ? [] : Roster.quarantined(roster.current))

/** Lets calls of `tool` with the arguments of this digest run again, as if they had never crashed a worker. */
export const release = (tool: string, digest: string, pool = "default"): Effect.Effect<void, PoolNotFound, Pools> =>
  Effect.map(entryOf(pool), ({ roster }) => roster.current && Roster.release(roster.current, tool, digest))

/** Where a pool is found, if the application has it. Not part of the public API. @internal */
export const entryOf = (pool: string): Effect.Effect<PoolEntry, PoolNotFound, Pools> =>
  Effect.flatMap(Pools, ({ directory }) => find(directory, pool))

const find = (directory: PoolDirectory, pool: string): Effect.Effect<PoolEntry, PoolNotFound> =>
  Effect.suspend(() => {
    const available = directory.names()
    return available.includes(pool) ? Effect.succeed(directory.entry(pool)) : Effect.fail(new PoolNotFound({ pool, available }))
  })
