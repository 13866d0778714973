/** One trace from a caller through the pool into real Python, and back into the host; and the incident that a crash is. */
import { assert, describe, layer } from "@effect/vitest"
import { IncidentSpan } from "@snakepit/core"
import { RecordedSpans } from "@snakepit/core/testing"
import { Effect, Layer, Schema, Tracer } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { EventLog, HostTools, Pool, Snakepit, Tool, TraceContext } from "snakepit"
import * as GatewayClient from "./fixtures/GatewayClient.ts"
import { addressOf, started, token, valueOf } from "./fixtures/GatewayProgram.ts"
import { journal } from "./fixtures/Journal.ts"
import { config, until } from "./fixtures/Program.ts"

const Where = Schema.Struct({ traceparent: Schema.NullOr(Schema.String), tracestate: Schema.NullOr(Schema.String) })

class Tools extends RpcGroup.make(
  Rpc.make("where", { success: Where }),
  Rpc.make("ask", { payload: { name: Schema.String }, success: Schema.Unknown }),
  Rpc.make("second_time", { payload: { journal: Schema.String }, success: Where }).annotate(Tool.Idempotent, true)
) {}

class Host extends RpcGroup.make(Rpc.make("again", { success: Where })) {}

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"

const spans = RecordedSpans.make()
const application = Snakepit.layer({
  ...config({ adapter: "traced" }, { size: 2, tracing: { ratio: 0 } }),
  gateway: { listen: "127.0.0.1:0", token }
}).pipe(Layer.provideMerge(Layer.succeed(Tracer.Tracer, spans.tracer)))

/** Those of one trace, from where `run` begins it. */
const traceOf = <A, E, R>(name: string, run: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const [result, root] = yield* Effect.all([run, Effect.currentSpan]).pipe(Effect.withSpan(name, { root: true }))
    return { result, all: spans.all.filter(({ traceId }) => traceId === root.traceId) }
  })

const parentOf = (span: RecordedSpans.RecordedSpan | undefined) => `00-${span?.traceId}-${span?.spanId}-01`

describe("a trace", () => {
  layer(application, { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    it.effect("goes from the caller into Python, which is below the attempt", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const { all, result } = yield* traceOf("mine", tools.where())
        assert.strictEqual(RecordedSpans.render(all), "mine\n  pool.call where\n    pool.queue\n    pool.attempt where")
        assert.deepStrictEqual(RecordedSpans.violations(all), [])
        const attempt = all.find(({ name }) => name === "pool.attempt where")
        assert.deepStrictEqual(result, { traceparent: parentOf(attempt), tracestate: null })
        assert.deepInclude(Object.fromEntries(attempt!.attributes), { "rpc.system.name": "grpc", "network.transport": "unix" })
        assert.match(String(attempt!.attributes.get("server.address")), /^\//)
      }))

    it.effect("goes on in a host tool that Python calls, below Python's own span, and in the Python that it calls", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        yield* HostTools.serve(HostTools.make(Host, { again: () => Effect.orDie(tools.where()) }))
        const { all, result } = yield* traceOf("mine", tools.ask({ name: "again" }))
        assert.strictEqual(
          RecordedSpans.render(all.filter(({ name }) => name !== "pool.queue")),
          [
            "mine",
            "  pool.call ask",
            "    pool.attempt ask",
            "host_tool again", // its parent is the span of Python, which comes on a way of its own (pythonTelemetry.test.ts)
            "  pool.call where",
            "    pool.attempt where"
          ].join("\n")
        )
        assert.strictEqual(new Set(all.map(({ traceId }) => traceId)).size, 1)
        const traceparent = parentOf(all.find(({ name }) => name === "pool.attempt where"))
        assert.deepStrictEqual(result, { traceparent, tracestate: null })
      }))

    it.effect("has a call that is tried again after a crash, linked to the restart, which is a trace of its own", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const log = yield* EventLog.EventLog
        const { all, result } = yield* traceOf("mine", tools.second_time({ journal: yield* journal }))
        const [lost, next] = all.filter(({ name }) => name === "pool.attempt second_time")
        assert.strictEqual(result.traceparent, parentOf(next))
        assert.include(
          ["WorkerCrashed", "OutcomeUnknown"],
          lost!.attributes.get("error.type"),
          "whether it was heard that it began is chance"
        )
        const [restart] = yield* Effect.promise(() =>
          until(() => Effect.runPromise(log.recent("snakepit.worker_supervisor.restart")), (told) => told.length > 0)
        )
        const id = IncidentSpan.of(restart!)!
        const [toLost, ...toRestart] = next!.links.map(({ span }) => span.spanId)
        assert.strictEqual(toLost, lost!.spanId)
        for (const linked of toRestart) assert.strictEqual(linked, id.spanId) // there is none if the restart was decided on later than the retry
        yield* Effect.promise(() => until(() => Promise.resolve(spans.all.some(({ spanId }) => spanId === id.spanId)), (ended) => ended))
        const incident = spans.all.filter(({ traceId }) => traceId === id.traceId)
        assert.deepStrictEqual(RecordedSpans.render(incident).split("\n").map((line) => line.trimEnd()), [
          `incident ${String(restart!.attributes["path"])}/process`,
          "  restart process"
        ])
      }))

    it.effect("of a client of the gateway is the pool's, with its state, and so is the client's decision", () =>
      Effect.gen(function*() {
        const traceparent = (flags: string) => `00-${traceId}-${spanId}-${flags}`
        const where = (metadata: Readonly<Record<string, string>>) =>
          Effect.gen(function*() {
            const { execute } = yield* GatewayClient.connect(addressOf(yield* started), { token, metadata })
            return valueOf((yield* execute(GatewayClient.json("where", {}))).value)
          })
        const told = yield* where({ traceparent: traceparent("01"), tracestate: "vendor=a" })
        const call = spans.all.find((span) => span.parentSpanId === spanId)
        const attempt = spans.all.find((span) => span.name === "pool.attempt where" && span.traceId === traceId)
        assert.strictEqual(call?.name, "pool.call where")
        assert.deepStrictEqual(told, { traceparent: parentOf(attempt), tracestate: "vendor=a" })
        assert.deepStrictEqual(yield* where({ traceparent: traceparent("00") }), { traceparent: null, tracestate: null })
        assert.deepStrictEqual(yield* where({}), { traceparent: null, tracestate: null }, "of these none begins a trace")
      }))

    it.effect("that is taken in from text goes to Python with its state", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const parent = TraceContext.ofText(`00-${traceId}-${spanId}-01`, "vendor=b")!
        const told = yield* Effect.withParentSpan(tools.where(), parent)
        assert.strictEqual(told.tracestate, "vendor=b")
        assert.match(told.traceparent!, new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
      }))
  })
})
