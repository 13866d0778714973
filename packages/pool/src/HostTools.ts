/**
 * TypeScript functions that Python tools call while they run: `snakepit.current().call("name", …)`.
 *
 * **When to use**
 *
 * For what belongs to the host and a tool needs in the middle of its work: a look-up in a data base, a secret, progress to report, a decision of the
 * application. What is known before goes into the arguments.
 *
 * **Details**
 *
 * A contract is an `effect/rpc` `RpcGroup`: payload, success and error have Schemas, and Python's arguments are checked by them before a handler
 * runs. Handlers are Effects. What they need is in the type of {@link make}'s result, and in the needs of whoever serves it:
 * `hostTools` of `Snakepit.layer` for all calls of a pool, {@link serve} for a pool or one session as long as a scope is open. A session's tool goes before the
 * pool's of the same name.
 *
 * A handler runs in the trace of the Python call, knows its {@link Caller}, and is interrupted when nobody waits for it any more: its limit of time has passed
 * (`Tool.CallTimeout`, else `hostTools.timeout` of the pool), the Python call is cancelled or over, or its worker is lost. It is run at most once for each call
 * in Python, also when the stream to the worker is cut meanwhile.
 *
 * An error that the contract declares is a `snakepit.HostToolError` in Python, with `tag`, `data` and `message`; a defect a `HostToolFailed`, of which Python is
 * told the message alone.
 *
 * **Gotchas**
 *
 * A handler may call Python. When that call would wait for a place that is held, in the end, by the call which the handler serves, it fails with
 * `CallCycle`: give it a pool of its own.
 *
 * **Example** (A look-up for the tools of a pool)
 *
 * ```ts
 * import { Context, Effect, Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 * import { HostTools, Snakepit } from "snakepit"
 *
 * class NoSuchUser extends Schema.TaggedError<NoSuchUser>()("NoSuchUser", { id: Schema.Int }) {}
 *
 * class Users extends Context.Service<Users, { readonly nameOf: (id: number) => Effect.Effect<string, NoSuchUser> }>()("app/Users") {}
 *
 * class Directory extends RpcGroup.make(
 *   Rpc.make("user.name", { payload: { id: Schema.Int }, success: Schema.String, error: NoSuchUser })
 * ) {}
 *
 * const directory = HostTools.make(Directory, {
 *   "user.name": ({ id }) => Effect.flatMap(Users, (users) => users.nameOf(id))
 * })
 *
 * // needs Users
 * const layer = Snakepit.layer(
 *   { pools: { default: { python: { adapter: "tools" } } } },
 *   { hostTools: { default: directory } }
 * )
 * ```
 */
import type { CompileError } from "@snakepit/core/CompileError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Rpc from "effect/rpc/Rpc"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import type * as RpcSchema from "effect/rpc/RpcSchema"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type * as HostToolRegistry from "./control/HostToolRegistry.ts"
import * as Payload from "./Payload.ts"
import * as Pool from "./Pool.ts"
import { millisOf } from "./Signature.ts"
import * as Tool from "./Tool.ts"
import type { HostOutcome, HostReason } from "./Wire.ts"
import type { PayloadCodec } from "./WorkerRuntime.ts"

/** Who calls: the Python tool that runs, and on whose behalf. Given to every handler. */
export class Caller extends Context.Service<Caller, HostToolRegistry.Calling>()("@snakepit/pool/HostTools/Caller") {}

/** A function for each procedure of the contract. */
export type Handlers<Rpcs extends Rpc.Any> = {
  readonly [R in Rpcs as R["_tag"]]: (payload: Rpc.Payload<R>) => Effect.Effect<Rpc.Success<R>, Rpc.Error<R>, any>
}

type ServicesOf<H> = {
  [K in keyof H]: H[K] extends (payload: never) => Effect.Effect<infer _A, infer _E, infer R> ? Exclude<R, Caller | Scope.Scope> : never
}[keyof H]

type NoStream<Rpcs extends Rpc.Any> = true extends
  (Rpcs extends Rpc.Any ? Rpc.SuccessSchema<Rpcs> extends RpcSchema.Stream<any, any> ? true : never : never)
  ? CompileError<"a host tool gives one result: leave `stream: true` out">
  : unknown

interface HostTool {
  readonly rpc: Rpc.AnyWithProps
  readonly handler: (payload: unknown) => Effect.Effect<unknown, unknown, unknown>
}

const TypeId = "~@snakepit/pool/HostTools"

/** Tools with what their handlers need, `R`. */
export interface HostTools<out R = never> {
  readonly [TypeId]: (_: never) => R
  readonly tools: ReadonlyArray<HostTool>
}

/** What the handlers need. */
export type NeedOf<T> = T extends HostTools<infer R> ? R : never

/** 64 characters of these: what an identifier, a path in dots and a version are made of, and no log is broken by. */
const goodName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

/**
 * A contract and its handlers. Throws when a name has anything but letters, digits, `_`, `.` and `-`, begins with another sign than a letter or digit, or has
 * more than 64.
 */
export const make = <Rpcs extends Rpc.Any, const H extends Handlers<Rpcs>>(
  contract: RpcGroup.RpcGroup<Rpcs> & NoStream<Rpcs>,
  handlers: H
): HostTools<ServicesOf<H> | Rpc.ServicesServer<Rpcs>> => {
  const tools = [...contract.requests.values()].map((rpc): HostTool => {
    if (!goodName.test(rpc._tag)) {
      throw new TypeError(
        `"${rpc._tag}" is no name for a host tool: it is made of at most 64 letters, digits, _, . and -, and begins with a letter or digit`
      )
    }
    return { rpc: rpc as unknown as Rpc.AnyWithProps, handler: handlers[rpc._tag as keyof H] as HostTool["handler"] }
  })
  return { [TypeId]: () => undefined as never, tools }
}

/** A host tool of that name is served to the same calls already. */
export class HostToolTaken extends Schema.TaggedError<HostToolTaken>()("HostToolTaken", {
  pool: Schema.String,
  session: Schema.optionalKey(Schema.String),
  hostTool: Schema.String
}) {
  override get message(): string {
    const where = this.session === undefined ? `pool "${this.pool}"` : `session "${this.session}" of pool "${this.pool}"`
    return `${where} has a host tool "${this.hostTool}" already, so none of these is served: name it otherwise, or close the scope of the other one first`
  }
}

/** To whom {@link serve} serves tools. */
export interface To {
  /** `default` by default. */
  readonly pool?: string | undefined
  /** Only calls of this session find them. By default all calls of the pool do. */
  readonly session?: string | undefined
}

/**
 * Serves tools to a pool, or to one session of it, until the scope closes: then what runs of them is interrupted, and Python is told
 * `HostCallCancelled`. They need not be there when a worker starts.
 *
 * **Example** (A tool that knows what one session is about)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 * import { HostTools, Pool } from "snakepit"
 *
 * class Progress extends RpcGroup.make(Rpc.make("progress", { payload: { done: Schema.Finite } })) {}
 * class Models extends RpcGroup.make(Rpc.make("train", { payload: { epochs: Schema.Int }, success: Schema.Finite })) {}
 *
 * const train = (user: string) =>
 *   Effect.scoped(Effect.gen(function*() {
 *     const session = `training of ${user}`
 *     yield* HostTools.serve(
 *       HostTools.make(Progress, { progress: ({ done }) => Effect.log(`${user}: ${done} %`) }),
 *       { session }
 *     )
 *     const models = yield* Pool.client(Models, { session })
 *     return yield* models.train({ epochs: 10 })
 *   }))
 * ```
 */
export const serve = <R>(
  { tools }: HostTools<R>,
  { pool = "default", session }: To = {}
): Effect.Effect<void, Pool.PoolNotFound | HostToolTaken, Pool.Pools | R | Scope.Scope> =>
  Effect.gen(function*() {
    const { codec } = yield* Pool.Pools
    const { hostTools } = yield* Pool.entryOf(pool)
    yield* register(hostTools, codec, tools, { pool, session })
  })

/** As {@link serve}, before the pools are there. */
export const register = Effect.fnUntraced(function*(
  registry: HostToolRegistry.HostToolRegistry,
  codec: PayloadCodec,
  tools: HostTools<unknown>["tools"],
  { pool, session }: { readonly pool: string; readonly session?: string | undefined }
) {
  const services = Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>())
  const served = tools.map((tool) => servedOf(tool, codec, services as Context.Context<never>))
  const taken = yield* Effect.acquireRelease(
    Effect.sync(() => registry.add(session, served)),
    (taken) => Effect.sync(() => taken === undefined && registry.remove(session, served))
  )
  if (taken !== undefined) return yield* new HostToolTaken({ pool, hostTool: taken, ...session !== undefined && { session } })
})

const failed = (reason: HostReason, message: string): HostOutcome => ({ _tag: "Failed", reason, message })

const servedOf = ({ handler, rpc }: HostTool, codec: PayloadCodec, services: Context.Context<never>): HostToolRegistry.Served => {
  const name = rpc._tag
  const { errorSchema, payloadSchema, successSchema } = rpc
  const takesNothing = payloadSchema.ast._tag === "Void"
  // an argument that is not expected is a mistake of the caller, as it is in Python
  const decode = Schema.decodeUnknownEffect(
    (takesNothing ? Schema.Record(Schema.String, Schema.Never) : payloadSchema) as Schema.Codec<unknown>,
    {
      onExcessProperty: "error"
    }
  )
  const encode = Schema.encodeUnknownEffect(successSchema as Schema.Codec<unknown>)
  const encodeError = Schema.encodeUnknownEffect(errorSchema as Schema.Codec<unknown>)

  const invalid = (why: string) => failed("invalid", `the arguments of host tool "${name}" do not fit: ${why}. It did not run`)
  const broken = (why: string) => failed("failed", `host tool "${name}" broke down: ${why}`)
  const large = (what: string, bytes: number, maxPayload: number) =>
    failed(
      "too_large",
      `${what} of host tool "${name}" takes ${bytes} bytes, and maxPayload allows ${maxPayload}: give less at once, or raise it`
    )

  const result = (value: unknown, maxPayload: number): Effect.Effect<HostOutcome> =>
    Effect.map(encode(value), (encoded): HostOutcome => {
      const payload = codec.encode(encoded ?? null)
      return payload.byteLength > maxPayload ? large("the result", payload.byteLength, maxPayload) : { _tag: "Done", payload }
    }).pipe(Effect.catch((misfit) => Effect.succeed(broken(`its result does not fit its contract: ${misfit.message}`))))

  const raised = (error: unknown, maxPayload: number): Effect.Effect<HostOutcome> =>
    Effect.map(encodeError(error), (encoded): HostOutcome => {
      const data = Payload.whole(codec.encode(encoded ?? null))
      if (data.byteLength > maxPayload) return large("an error", data.byteLength, maxPayload)
      return { _tag: "Failed", reason: "raised", message: textOf(error), tag: tagOf(error), data }
    }).pipe(Effect.catch((misfit) => Effect.succeed(broken(`it failed with what does not fit its contract: ${misfit.message}`))))

  const ended = (exit: Exit.Exit<unknown, unknown>, maxPayload: number): Effect.Effect<HostOutcome> => {
    if (Exit.isSuccess(exit)) return result(exit.value, maxPayload)
    const error = Cause.findErrorOption(exit.cause)
    if (Option.isSome(error)) return raised(error.value, maxPayload)
    return Effect.succeed(
      Cause.hasInterruptsOnly(exit.cause)
        ? failed("cancelled", `host tool "${name}" was interrupted`)
        : broken(textOf(Cause.squash(exit.cause)))
    )
  }

  return {
    name,
    timeoutMillis: millisOf(Context.get(rpc.annotations, Tool.CallTimeout)),
    services,
    running: new Set(),
    run: (payload, maxPayload, calling) =>
      Effect.try({ try: () => codec.decode(payload), catch: (why) => invalid(`they cannot be read: ${textOf(why)}`) }).pipe(
        Effect.flatMap((value) => Effect.mapError(decode(value), (misfit) => invalid(misfit.message))),
        Effect.flatMap((value) => Effect.exit(Effect.scoped(Effect.suspend(() => handler(takesNothing ? undefined : value))))),
        Effect.flatMap((exit) => ended(exit, maxPayload)),
        Effect.catch(Effect.succeed),
        Effect.catchDefect((defect) => Effect.succeed(broken(textOf(defect)))),
        Effect.provideService(Caller, calling)
      ) as Effect.Effect<HostOutcome>
  }
}

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string" ? error._tag : ""

/** 16 Ki characters of a message: one that someone reads, as Python has it. */
const longestText = 16_384

const textOf = (problem: unknown): string => (problem instanceof Error ? problem.message : String(problem)).slice(0, longestText)
