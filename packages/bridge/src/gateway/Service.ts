/**
 * What a call through the gateway does: a pool's call by name, in the form of payload that the client has chosen. Handlers are thin: each call
 * is one fiber, which the end of the client's call interrupts.
 */
import { create } from "@bufbuild/protobuf"
import type * as grpc from "@grpc/grpc-js"
import { CallError, Payload, Pool, type Wire } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import {
  type GatewayServiceExecuteRequest,
  type GatewayServiceExecuteResponse,
  GatewayServiceExecuteResponseSchema,
  type GatewayServiceExecuteStreamRequest,
  type GatewayServiceExecuteStreamResponse,
  GatewayServiceExecuteStreamResponseSchema,
  type ListToolsRequest,
  type ListToolsResponse,
  ListToolsResponseSchema,
  type Pool as ListedPool,
  PoolSchema
} from "../../gen/snakepit/v1/gateway_pb.ts"
import { type Tool, ToolSchema } from "../../gen/snakepit/v1/worker_pb.ts"
import * as Failure from "./Failure.ts"
import * as Json from "./Json.ts"

/** Both requests have the same fields. */
type Request = Pick<GatewayServiceExecuteRequest, "pool" | "tool" | "session" | "tenant" | "arguments">

/** A result or an element in the form that was asked for. */
type Told = { readonly case: "payload"; readonly value: Uint8Array } | { readonly case: "json"; readonly value: string }

const poolOf = ({ pool }: Request): string => pool || "default"

/** The arguments in bytes, once it is known that the tool is called with the right method. */
const admit = (request: Request, streams: boolean): Effect.Effect<Uint8Array, Failure.Failure, Pool.Pools> =>
  Effect.gen(function*() {
    const { codec } = yield* Pool.Pools
    const about = { pool: poolOf(request), tool: request.tool }
    const announced = (yield* Pool.tools).get(about.pool)?.get(about.tool)
    if (announced !== undefined && announced.streams !== streams) {
      return yield* new Failure.WrongMethod({ ...about, executed: "no", method: announced.streams ? "ExecuteStream" : "Execute" })
    }
    switch (request.arguments.case) {
      case "payload":
        return request.arguments.value
      case undefined:
        return Payload.whole(codec.encode({}))
      case "json": {
        const payload = Json.toPayload(codec, request.arguments.value)
        return Result.isSuccess(payload)
          ? payload.success
          : yield* new CallError.InvalidPayload({ ...about, executed: "no", issue: payload.failure })
      }
    }
  })

const tell = (request: Request, payload: Uint8Array): Effect.Effect<Told, Failure.Failure, Pool.Pools> =>
  request.arguments.case !== "json"
    ? Effect.succeed({ case: "payload", value: payload })
    : Effect.flatMap(Pool.Pools, ({ codec }) => {
      const json = Json.fromPayload(codec, payload)
      return Result.isSuccess(json)
        ? Effect.succeed({ case: "json", value: json.success } as const)
        : Effect.fail(new CallError.InvalidResult({ pool: poolOf(request), tool: request.tool, executed: "failed", issue: json.failure }))
    })

/** The pool's call may take no longer than the client waits, in the queue as in Python. */
const optionsOf = (request: Request, deadline: grpc.Deadline): Pool.UntypedOptions => {
  const left = Number(deadline) - Date.now()
  return {
    pool: poolOf(request),
    session: request.session || undefined,
    tenant: request.tenant || undefined,
    deadline: Number.isFinite(left) ? Math.max(0, left) : undefined
  }
}

export const execute = (
  request: GatewayServiceExecuteRequest,
  deadline: grpc.Deadline
): Effect.Effect<GatewayServiceExecuteResponse, Failure.Failure, Pool.Pools> =>
  admit(request, false).pipe(
    Effect.flatMap((payload) => Pool.call(request.tool, payload, optionsOf(request, deadline))),
    Effect.flatMap((payload) => tell(request, payload)),
    Effect.map((result) => create(GatewayServiceExecuteResponseSchema, { result }))
  )

export const executeStream = (
  request: GatewayServiceExecuteStreamRequest,
  deadline: grpc.Deadline
): Stream.Stream<GatewayServiceExecuteStreamResponse, Failure.Failure, Pool.Pools> =>
  Stream.fromEffect(admit(request, true)).pipe(
    Stream.flatMap((payload) => Pool.stream(request.tool, payload, optionsOf(request, deadline))),
    Stream.mapEffect((payload) => tell(request, payload)),
    Stream.map((element) => create(GatewayServiceExecuteStreamResponseSchema, { element }))
  )

const listed = (tool: Wire.WireTool): Tool =>
  create(ToolSchema, {
    name: tool.name,
    streams: tool.streams,
    description: tool.description,
    timeoutMs: tool.timeoutMillis ?? 0,
    hardLimitMs: tool.hardLimitMillis ?? 0,
    idempotent: tool.idempotent,
    deterministic: tool.deterministic,
    blocking: tool.blocking,
    threadSensitive: tool.threadSensitive,
    input: tool.input ?? ""
  })

export const listTools = ({ pool }: ListToolsRequest): Effect.Effect<ListToolsResponse, Failure.Failure, Pool.Pools> =>
  Effect.flatMap(Pool.tools, (all) => {
    const names = [...all.keys()]
    if (pool !== "" && !all.has(pool)) return Effect.fail(new Pool.PoolNotFound({ pool, available: names }))
    const pools = names.filter((name) => pool === "" || name === pool).map((name): ListedPool => {
      const tools = all.get(name)
      return create(PoolSchema, { name, up: tools !== undefined, tools: [...tools?.values() ?? []].map(listed) })
    })
    return Effect.succeed(create(ListToolsResponseSchema, { pools }))
  })

/** Runs one call as a fiber that ends with the gateway. */
export type Run = <A, E>(effect: Effect.Effect<A, E, Pool.Pools>) => Fiber.Fiber<A, E>

/** Interrupts the call's fiber when the client's call is over: cancelled, past its deadline, its connection lost. */
const untilCancelled = (call: { on(event: "cancelled", listener: () => void): unknown }, fiber: Fiber.Fiber<unknown, unknown>) =>
  call.on("cancelled", () => fiber.interruptUnsafe())

const unary = <Request, Response>(
  run: Run,
  method: (request: Request, deadline: grpc.Deadline) => Effect.Effect<Response, Failure.Failure, Pool.Pools>
) =>
(call: grpc.ServerUnaryCall<Request, Response>, answer: grpc.sendUnaryData<Response>): void => {
  const fiber = run(logged(method(call.request, call.getDeadline())))
  untilCancelled(call, fiber)
  fiber.addObserver((exit) => Exit.isSuccess(exit) ? answer(null, exit.value) : answer(Failure.toStatus(Failure.ofCause(exit.cause))))
}

/** Asks for no further element while the client has not taken what it was sent: the pool's credit then stops the tool. */
const serverStream = <Request, Response>(
  run: Run,
  method: (request: Request, deadline: grpc.Deadline) => Stream.Stream<Response, Failure.Failure, Pool.Pools>
) =>
(call: grpc.ServerWritableStream<Request, Response>): void => {
  const drained = Effect.callback<void>((resume) => {
    const drain = () => resume(Effect.void)
    call.once("drain", drain)
    return Effect.sync(() => call.off("drain", drain))
  })
  const write = (response: Response) => Effect.suspend(() => call.write(response) ? Effect.void : drained)
  const fiber = run(logged(Stream.runForEach(method(call.request, call.getDeadline()), write)))
  untilCancelled(call, fiber)
  fiber.addObserver((exit) => {
    if (Exit.isSuccess(exit)) call.end()
    else call.emit("error", Failure.toStatus(Failure.ofCause(exit.cause)))
  })
}

/** A defect is a fault of ours: the client is told no more than that, the log has it. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapDefect(effect, (defect) => Effect.logError("a call through the gateway ended with a defect", defect))

/** The handlers, by the local names of the service's methods. */
export const handlers = (run: Run): grpc.UntypedServiceImplementation => ({
  execute: unary(run, execute),
  executeStream: serverStream(run, executeStream),
  listTools: unary(run, listTools)
})
