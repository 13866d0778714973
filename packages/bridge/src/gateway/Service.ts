/**
 * What a call through the gateway does: a pool's call by name, in the form of payload that the client has chosen. Handlers are thin: each call
 * is one fiber, which the end of the client's call interrupts.
 */
import { create } from "@bufbuild/protobuf"
import * as NodeStream from "@effect/platform-node/NodeStream"
import type * as grpc from "@grpc/grpc-js"
import { CallError, Payload, Pool, type Wire } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Readable, Writable } from "node:stream"
import {
  type GatewayCall,
  type GatewayInput,
  type GatewayValue,
  GatewayValueSchema,
  type ListToolsRequest,
  type ListToolsResponse,
  ListToolsResponseSchema,
  type Pool as ListedPool,
  PoolSchema
} from "../../gen/snakepit/v1/gateway_pb.ts"
import { type Tool, ToolSchema } from "../../gen/snakepit/v1/worker_pb.ts"
import * as Failure from "./Failure.ts"
import * as Json from "./Json.ts"
import * as TraceMetadata from "./TraceMetadata.ts"

type MethodName = Failure.WrongMethod["method"]

const aboutOf = ({ pool, tool }: GatewayCall) => ({ pool: pool || "default", tool })

const methodOf = ({ input, streams }: Wire.WireTool): MethodName =>
  input !== undefined ? "ExecuteWithInputs" : streams ? "ExecuteStream" : "Execute"

/** A call whose tool is of the form that its method expects, as far as that is known. */
interface Admitted {
  readonly payload: Uint8Array
  /** The tool gives elements. */
  readonly streams: boolean
}

const admit = (call: GatewayCall, method: MethodName): Effect.Effect<Admitted, Failure.Failure, Pool.Pools> =>
  Effect.gen(function*() {
    const about = aboutOf(call)
    const announced = (yield* Pool.tools).get(about.pool)?.get(about.tool)
    if (announced !== undefined && methodOf(announced) !== method) {
      return yield* new Failure.WrongMethod({ ...about, executed: "no", method: methodOf(announced) })
    }
    const { codec } = yield* Pool.Pools
    const payload = argumentsOf(codec, call.arguments)
    return Result.isSuccess(payload)
      ? { payload: payload.success, streams: announced?.streams ?? method === "ExecuteStream" }
      : yield* new CallError.InvalidPayload({ ...about, executed: "no", issue: payload.failure })
  })

const argumentsOf = (codec: Codec, { case: form, value }: GatewayCall["arguments"]): Result.Result<Uint8Array, string> =>
  form === "payload"
    ? Result.succeed(value)
    : form === "json"
    ? Json.toArguments(codec, value)
    : Result.succeed(Payload.whole(codec.encode({})))

type Codec = Pool.Pools["Service"]["codec"]

/** A result or an element, in the form of the call's arguments. */
const tell = (call: GatewayCall) => (payload: Uint8Array): Effect.Effect<GatewayValue, Failure.Failure, Pool.Pools> =>
  call.arguments.case !== "json"
    ? Effect.succeed(create(GatewayValueSchema, { value: { case: "payload", value: payload } }))
    : Effect.flatMap(Pool.Pools, ({ codec }) => {
      const json = Json.fromPayload(codec, payload)
      return Result.isSuccess(json)
        ? Effect.succeed(create(GatewayValueSchema, { value: { case: "json", value: json.success } }))
        : Effect.fail(new CallError.InvalidResult({ ...aboutOf(call), executed: "failed", issue: json.failure }))
    })

/** The pool's call may take no longer than the client waits, in the queue as in Python. */
const optionsOf = (call: GatewayCall, deadline: grpc.Deadline): Pool.UntypedOptions => {
  const left = Number(deadline) - Date.now()
  return {
    pool: aboutOf(call).pool,
    session: call.session || undefined,
    tenant: call.tenant || undefined,
    deadline: Number.isFinite(left) ? Math.max(0, left) : undefined
  }
}

const execute = (call: GatewayCall, deadline: grpc.Deadline): Effect.Effect<GatewayValue, Failure.Failure, Pool.Pools> =>
  admit(call, "Execute").pipe(
    Effect.flatMap(({ payload }) => Pool.call(call.tool, payload, optionsOf(call, deadline))),
    Effect.flatMap(tell(call))
  )

const executeStream = (call: GatewayCall, deadline: grpc.Deadline): Stream.Stream<GatewayValue, Failure.Failure, Pool.Pools> =>
  Stream.fromEffect(admit(call, "ExecuteStream")).pipe(
    Stream.flatMap(({ payload }) => Pool.stream(call.tool, payload, optionsOf(call, deadline))),
    Stream.mapEffect(tell(call))
  )

const invalid = (executed: "no" | "unknown", issue: string) => new Failure.InvalidMessage({ executed, issue })

/** The `position`th input in bytes, from 0. */
const inputOf =
  (call: GatewayCall, codec: Codec) => ({ part }: GatewayInput, position: number): Effect.Effect<Uint8Array, Failure.Failure> => {
    const about = aboutOf(call)
    switch (part.case) {
      case "payload":
        return Effect.succeed(part.value)
      case "json": {
        const payload = Json.toInput(codec, part.value)
        return Result.isSuccess(payload)
          ? Effect.succeed(payload.success)
          : Effect.fail(new CallError.InvalidInput({ ...about, executed: "unknown", position, issue: payload.failure }))
      }
      case "failure":
        return Effect.fail(new Failure.InputsFailed({ ...about, executed: "unknown", reason: part.value }))
      case "call":
        return Effect.fail(invalid("unknown", `message ${position + 1} after the first is a call too`))
      case undefined:
        return Effect.fail(invalid("unknown", `message ${position + 1} after the first is empty`))
    }
  }

const executeWithInputs = (
  messages: Stream.Stream<GatewayInput, Failure.Failure>,
  deadline: grpc.Deadline
): Stream.Stream<GatewayValue, Failure.Failure, Pool.Pools> =>
  Stream.unwrap(Effect.gen(function*() {
    const { codec } = yield* Pool.Pools
    const pull = yield* Stream.toPull(messages)
    const [first] = yield* Pull.catchDone(pull, () => Effect.fail(invalid("no", "the client said nothing")))
    if (first.part.case !== "call") return yield* invalid("no", "the first message is not a call")
    const call = first.part.value
    const { payload, streams } = yield* admit(call, "ExecuteWithInputs")
    const inputs = Stream.mapEffect(Stream.fromPull(Effect.succeed(pull)), inputOf(call, codec))
    const options = { ...optionsOf(call, deadline), inputs }
    const values = streams ? Pool.stream(call.tool, payload, options) : Stream.fromEffect(Pool.call(call.tool, payload, options))
    return Stream.mapEffect(values, tell(call))
  }))

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

const listTools = ({ pool }: ListToolsRequest): Effect.Effect<ListToolsResponse, Failure.Failure, Pool.Pools> =>
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
  const fiber = run(logged(method(call.request, call.getDeadline())).pipe(TraceMetadata.within(call.metadata)))
  untilCancelled(call, fiber)
  fiber.addObserver((exit) => Exit.isSuccess(exit) ? answer(null, exit.value) : answer(Failure.toStatus(Failure.ofCause(exit.cause))))
}

/** Asks for no further value while the client has not taken what it was sent: the pool's credit then stops the tool. */
const answerWith = (
  run: Run,
  call: Writable & { readonly metadata: grpc.Metadata },
  values: Stream.Stream<GatewayValue, Failure.Failure, Pool.Pools>
): void => {
  const drained = Effect.callback<void>((resume) => {
    const drain = () => resume(Effect.void)
    call.once("drain", drain)
    return Effect.sync(() => call.off("drain", drain))
  })
  const write = (value: GatewayValue) => Effect.suspend(() => call.write(value) ? Effect.void : drained)
  const fiber = run(logged(Stream.runForEach(values, write)).pipe(TraceMetadata.within(call.metadata)))
  untilCancelled(call, fiber)
  fiber.addObserver((exit) => {
    if (Exit.isSuccess(exit)) call.end()
    else call.emit("error", Failure.toStatus(Failure.ofCause(exit.cause)))
  })
}

const serverStream = (run: Run) => (call: grpc.ServerWritableStream<GatewayCall, GatewayValue>): void =>
  answerWith(run, call, executeStream(call.request, call.getDeadline()))

/** What the client says, as it is asked for: the rest stays with the client, but for the 16 messages that grpc-js reads ahead. */
const messagesOf = (call: Readable): Stream.Stream<GatewayInput, Failure.Failure> =>
  NodeStream.fromReadable({
    evaluate: () => call,
    onError: (error) => invalid("unknown", `it cannot be read: ${error}`),
    chunkSize: 1, // what the tool has not asked for
    closeOnDone: false // the other direction goes on
  })

const bothStream = (run: Run) => (call: grpc.ServerDuplexStream<GatewayInput, GatewayValue>): void =>
  answerWith(run, call, executeWithInputs(messagesOf(call), call.getDeadline()))

/** A defect is a fault of ours: the client is told no more than that, the log has it. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapDefect(effect, (defect) => Effect.logError("a call through the gateway ended with a defect", defect))

/** The handlers, by the local names of the service's methods. */
export const handlers = (run: Run): grpc.UntypedServiceImplementation => ({
  execute: unary(run, execute),
  executeStream: serverStream(run),
  executeWithInputs: bothStream(run),
  listTools: unary(run, listTools)
})
