/**
 * Calls Python tools, typed by a contract.
 *
 * **When to use**
 *
 * {@link client} makes one function for each procedure of a contract, an `effect/rpc` `RpcGroup` whose names are the names of the Python
 * tools. A procedure with `stream: true` is a Python generator and becomes a `Stream`.
 *
 * **Details**
 *
 * A call is accepted or refused at once (`QueueFull`, `ToolNotFound`, …), waits in a bounded queue, goes to the worker with the fewest
 * calls, and ends in exactly one outcome. Interrupting it cancels the work in Python. A call whose worker is lost is tried again on
 * another one when its procedure is annotated with `Tool.Idempotent`, and reported otherwise: see `CallError` for what a caller can
 * rely on. Arguments are encoded and results decoded by the contract's schemas, once, here.
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
 *   const vector = yield* text.embed({ text: "hello" })
 *   yield* text.words({ text: "a b c" }).pipe(Stream.runForEach((word) => Effect.log(word)))
 *   return vector.length
 * })
 * ```
 */
import { RegisteredName, SupervisorError } from "@snakepit/core"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Rpc from "effect/rpc/Rpc"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcSchema from "effect/rpc/RpcSchema"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as CallError from "./CallError.ts"
import type * as Dispatch from "./control/Dispatch.ts"
import * as Roster from "./control/Roster.ts"
import type { PoolDirectory, PoolEntry } from "./PoolDirectory.ts"
import * as Tool from "./Tool.ts"
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
    return `there is no pool "${this.pool}"; there is ${this.available.join(", ") || "none"}. Name one of these, or configure it`
  }
}

/** A procedure's errors come as `CallError`: a contract that declares errors of its own does not compile. */
type OnlyCallErrors<Rpcs extends Rpc.Any> = [Rpc.ErrorExit<Rpcs>] extends [never] ? unknown : {
  readonly "✗": "a tool's failures are CallErrors (PythonError and others): leave `error` out of the contract's procedures"
}

type Method<R extends Rpc.Any> = R extends Rpc.Rpc<infer _Tag, infer _Payload, infer Success, infer _Error, infer _M, infer _Q>
  ? [Success] extends [RpcSchema.Stream<infer A, infer _E>]
    ? (payload: Rpc.PayloadConstructor<R>) => Stream.Stream<A["Type"], CallError.CallError>
  : (payload: Rpc.PayloadConstructor<R>) => Effect.Effect<Success["Type"], CallError.CallError>
  : never

/** A function for each procedure of the contract. */
export type Client<Rpcs extends Rpc.Any> = { readonly [R in Rpcs as R["_tag"]]: Method<R> }

/** What a pool has done since it came up. */
export type Ledger = Readonly<Dispatch.Ledger>

/** Which pool; `default` by default. */
export interface ClientOptions {
  readonly pool?: string | undefined
}

/** A typed client of the contract's tools in one pool. */
export const client = <Rpcs extends Rpc.Any>(
  contract: RpcGroup.RpcGroup<Rpcs> & OnlyCallErrors<Rpcs>,
  options: ClientOptions = {}
): Effect.Effect<Client<Rpcs>, PoolNotFound, Pools> =>
  Effect.gen(function*() {
    const { codec, directory } = yield* Pools
    const entry = yield* find(directory, options.pool ?? "default")
    const methods: Record<string, unknown> = {}
    for (const rpc of contract.requests.values()) methods[rpc._tag] = method(entry, codec, rpc as unknown as Rpc.AnyWithProps)
    return methods as unknown as Client<Rpcs>
  })

/** What a pool has done since it came up; `undefined` while it is down. */
export const ledger = (pool = "default"): Effect.Effect<Ledger | undefined, PoolNotFound, Pools> =>
  Effect.gen(function*() {
    const { directory } = yield* Pools
    const entry = yield* find(directory, pool)
    return entry.roster.current === undefined ? undefined : { ...entry.roster.current.state.ledger }
  })

const find = (directory: PoolDirectory, pool: string): Effect.Effect<PoolEntry, PoolNotFound> =>
  Effect.suspend(() => {
    const available = directory.names()
    return available.includes(pool) ? Effect.succeed(directory.entry(pool)) : Effect.fail(new PoolNotFound({ pool, available }))
  })

const method = (entry: PoolEntry, codec: PayloadCodec, rpc: Rpc.AnyWithProps) => {
  const tool = rpc._tag
  const about = { pool: entry.pool, tool }
  const idempotent = Context.get(rpc.annotations, Tool.Idempotent)
  const deterministic = Context.get(rpc.annotations, Tool.Deterministic)
  const limit = Context.get(rpc.annotations, Tool.CallTimeout)
  const callTimeout = millisOf(limit)
  const hardLimitMillis = millisOf(Context.get(rpc.annotations, Tool.HardLimit))
  const blocking = Context.get(rpc.annotations, Tool.Blocking)
  const encode = Schema.encodeUnknownExit(rpc.payloadSchema as Schema.Codec<unknown>)
  const streams = RpcSchema.isStreamSchema(rpc.successSchema)
  const success = RpcSchema.isStreamSchema(rpc.successSchema) ? rpc.successSchema.success : rpc.successSchema
  const decodeExit = Schema.decodeUnknownExit(success as Schema.Codec<unknown>)
  const isVoid = success.ast._tag === "Void"

  const payloadOf = (payload: unknown): Exit.Exit<Uint8Array, CallError.InvalidPayload> => {
    const invalid = (issue: string) => Exit.fail(new CallError.InvalidPayload({ ...about, executed: "no", issue }))
    const encoded = encode(payload)
    if (Exit.isFailure(encoded)) return invalid(issueOf(encoded.cause))
    try {
      return Exit.succeed(codec.encode(encoded.value ?? {}))
    } catch (defect) {
      return invalid(`they cannot be written: ${defect}`)
    }
  }
  const decode = (payload: Uint8Array): Exit.Exit<unknown, CallError.InvalidResult> => {
    const invalid = (issue: string) => Exit.fail(new CallError.InvalidResult({ ...about, executed: "failed", issue }))
    if (isVoid) return Exit.void
    let value: unknown
    try {
      value = codec.decode(payload)
    } catch (defect) {
      return invalid(`it cannot be read: ${defect}`)
    }
    const decoded = decodeExit(value)
    return Exit.isSuccess(decoded) ? Exit.succeed(decoded.value) : invalid(issueOf(decoded.cause))
  }
  /** Hands the call to the pool; returns what takes it back. */
  const submit = (roster: Roster.Roster, ticket: Roster.Ticket): { readonly id: number; readonly cancel: () => void } => {
    const id = ++roster.calls
    roster.tickets.set(id, ticket)
    Roster.offer(roster, {
      id,
      tool,
      bytes: ticket.payload.byteLength,
      idempotent,
      deterministic,
      callTimeoutMillis: callTimeout,
      hardLimitMillis,
      blocking,
      session: undefined,
      tenant: "",
      deadline: undefined,
      queueTimeoutMillis: undefined,
      trace: undefined,
      at: roster.clock.now()
    })
    const cancel = () => {
      if (roster.tickets.has(id)) Roster.cancel(roster, id)
    }
    return { id, cancel }
  }
  const roster = Effect.mapError(
    RegisteredName.whereis(entry.roster),
    () => new CallError.PoolDown({ ...about, executed: "no", because: entry.because() })
  )

  const call = (input: unknown): Effect.Effect<unknown, CallError.CallError> =>
    Effect.flatMap(roster, (roster) =>
      Effect.callback((resume) => {
        const payload = payloadOf(input)
        if (Exit.isFailure(payload)) return resume(payload)
        const { cancel } = submit(roster, {
          tool,
          payload: payload.value,
          item: () => {},
          want: () => {},
          complete: (result) => resume(decode(result)),
          fail: (error) => resume(Effect.fail(SupervisorError.withoutStack(error)))
        })
        return Effect.sync(cancel)
      }))

  const stream = (input: unknown): Stream.Stream<unknown, CallError.CallError> =>
    Stream.unwrap(Effect.gen(function*() {
      const pool = yield* roster
      const payload = yield* payloadOf(input)
      const elements = yield* Queue.unbounded<unknown, CallError.CallError | Cause.Done>() // bounded by the credit
      const { id } = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const submitted = submit(pool, {
            tool,
            payload,
            item: (element) => {
              const decoded = decode(element)
              if (Exit.isSuccess(decoded)) return void Queue.offerUnsafe(elements, decoded.value)
              Queue.failCauseUnsafe(elements, decoded.cause)
              submitted.cancel()
            },
            want: () => {},
            complete: () => Queue.endUnsafe(elements),
            fail: (error) => Queue.failCauseUnsafe(elements, Cause.fail(SupervisorError.withoutStack(error)))
          })
          return submitted
        }),
        ({ cancel }) => Effect.sync(cancel)
      )
      const batch = Math.max(1, pool.config.credit >> 1) // half the window: Python goes on while the other half is on its way
      let owed = 0
      let given = 0
      return Stream.fromPull(Effect.succeed(Effect.suspend(() => {
        owed += given // asking for more means that what was given is consumed
        given = 0
        if (owed >= batch) {
          Roster.credit(pool, id, owed)
          owed = 0
        }
        return Effect.tap(Queue.takeAll(elements), (chunk) =>
          Effect.sync(() => {
            given = chunk.length
          }))
      })))
    }))

  return streams ? stream : call
}

const millisOf = (limit: Duration.Input | undefined): number | undefined =>
  limit === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(limit))

const issueOf = (cause: Cause.Cause<{ readonly message: string }>): string =>
  Option.match(Cause.findErrorOption(cause), { onNone: () => Cause.pretty(cause), onSome: (error) => error.message })
