/** What real Python workers tell beside their results: events, spans, lines and samples, each where it belongs. */
import { assert, describe, it } from "@effect/vitest"
import { RecordedSpans } from "@snakepit/core/testing"
import { Duration, Effect, Layer, Logger, References, Schema, Tracer } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { mkdtempSync, rmSync } from "node:fs"
import type { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Event, EventBus, HostTools, Pool, type PoolConfig, PoolControl, Snakepit } from "snakepit"
import { config, until } from "./fixtures/Program.ts"
import { pidOf, recorder } from "./fixtures/Recorder.ts"

class Tools extends RpcGroup.make(
  Rpc.make("emit", {
    payload: { name: Schema.String, times: Schema.optionalKey(Schema.Int), attributes: Schema.optionalKey(Schema.Unknown) }
  }),
  Rpc.make("work", { payload: { text: Schema.String }, success: Schema.Int }),
  Rpc.make("consult", { payload: { text: Schema.String }, success: Schema.Int }),
  Rpc.make("break_down", { payload: { text: Schema.String }, success: Schema.Int }),
  Rpc.make("say", { payload: { text: Schema.String, together: Schema.String } }),
  Rpc.make("say_async", { payload: { text: Schema.String, together: Schema.String } })
) {}

class Host extends RpcGroup.make(Rpc.make("length", { payload: { text: Schema.String }, success: Schema.Int })) {}

interface Line {
  readonly at: number
  readonly spanId: string | undefined
  readonly level: string
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/** An application whose tracer and logger keep what they are given. */
const application = (pool: PoolConfig.PoolConfigInput = {}) => {
  const spans = RecordedSpans.make()
  const lines: Array<Line> = []
  const logger = Logger.make<unknown, void>(({ date, fiber, logLevel, message }) => {
    const annotations = fiber.getRef(References.CurrentLogAnnotations)
    const spanId = fiber.cache.span?.spanId
    lines.push({ at: date.getTime(), spanId, level: logLevel, message: String(Array.isArray(message) ? message[0] : message), annotations })
  })
  const layer = Snakepit.layer(config({ adapter: "telling" }, { size: 1, ...pool })).pipe(
    Layer.provide(Layer.merge(Logger.layer([logger]), Layer.succeed(Tracer.Tracer, spans.tracer)))
  )
  const started = Effect.gen(function*() {
    const events: Array<Event.Event> = []
    yield* (yield* EventBus.EventBus).tap("snakepit.python.*", (event) => void events.push(event)) // a queue of a handler would drop some
    const named = () => events.filter(({ name }) => name === "snakepit.python.event").map(({ attributes }) => attributes["event"])
    return { events, named, tools: yield* Pool.client(Tools), control: yield* PoolControl.of("default") }
  })
  return { spans, lines, layer, started }
}

const awaited = <A>(look: () => A, done: (value: A) => boolean) => Effect.promise(() => until(look, done))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-telling-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

describe("telemetry from Python", () => {
  it.live("custom events come as generic ones with their call; samples as they are declared", () => {
    const { layer, started } = application({ telemetry: { samples: "50 millis" } })
    return Effect.gen(function*() {
      const { events, named, tools } = yield* started
      const began = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      yield* tools.emit({ name: "model.inference", attributes: { model: "small" } })
      yield* awaited(named, (names) => names.length > 0)
      const event = events.find(({ name }) => name === "snakepit.python.event")
      assert.deepInclude(event?.attributes, { pool: "default", slot: 0, generation: 0, tool: "emit", "python.model": "small" })
      assert.deepStrictEqual(event?.measurements, { time: 0 })
      assert.closeTo(event!.at, began, 60_000) // a time of the host's clock, whatever Python's counts from
      const samples = yield* awaited(
        () => events.filter(({ name }) => name === "snakepit.python.memory.sampled"),
        ({ length }) => length > 1
      )
      assert.isAbove(samples[0]!.measurements["rssBytes"]!, 1e6)
      assert.isTrue(events.some(({ name }) => name === "snakepit.python.cpu.sampled"))
    }).pipe(Effect.scoped, Effect.provide(layer))
  }, 30_000)

  it.live("spans of a sampled call lie within the trace of its caller, with how they ended; others have none", () => {
    const { layer, spans, started } = application()
    return Effect.gen(function*() {
      const { tools } = yield* started
      const traced = Effect.withTracer(spans.tracer)
      assert.strictEqual(yield* tools.work({ text: "a b c" }).pipe(Effect.withSpan("caller"), traced), 3)
      yield* Effect.exit(tools.break_down({ text: "no" }).pipe(Effect.withSpan("caller"), traced))
      yield* tools.work({ text: "unsampled" }).pipe(Effect.withSpan("unsampled", { sampled: false }), traced)
      yield* awaited(() => spans.all.filter(({ name }) => name === "python.call"), ({ length }) => length >= 2)
      const python = spans.all.filter(({ name }) => name === "python.call" || name === "tokenize")
      assert.strictEqual(python.length, 4)
      for (const caller of spans.all.filter(({ name }) => name === "caller")) {
        const own = spans.all.filter(({ traceId }) => traceId === caller.traceId)
        const call = own.find(({ name }) => name === "python.call")
        const tokenize = own.find(({ name }) => name === "tokenize")
        assert.isTrue(own.some(({ spanId }) => spanId === call?.parentSpanId))
        assert.strictEqual(tokenize?.parentSpanId, call?.spanId)
        assert.strictEqual(call?.kind, "server")
        assert.deepInclude(Object.fromEntries(tokenize!.attributes), { "snakepit.pool": "default", "snakepit.slot": 0 })
        assert.match(String(call?.attributes.get("snakepit.correlation_id")), /^default-/)
        assert.strictEqual(tokenize?.attributes.get("snakepit.correlation_id"), call?.attributes.get("snakepit.correlation_id"))
        assert.match(String(call?.attributes.get("code.function.name")), /^telling\.(work|break_down)$/)
      }
      const ends = python.map(({ name, status }) => [name, status._tag === "Ended" && status.exit._tag])
      assert.sameDeepMembers(ends, [
        ["python.call", "Success"],
        ["tokenize", "Success"],
        ["python.call", "Failure"],
        ["tokenize", "Failure"]
      ])
    }).pipe(Effect.scoped, Effect.provide(layer))
  }, 30_000)

  it.live("a call is one trace from its caller over Python's spans and lines to a host tool and what that calls", () => {
    const { layer, lines, spans, started } = application({ size: 2, telemetry: { output: true } })
    return Effect.gen(function*() {
      const { events, tools } = yield* started
      const began = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      yield* HostTools.serve(HostTools.make(Host, { length: ({ text }) => Effect.orDie(Effect.as(tools.work({ text }), text.length)) }))
      assert.strictEqual(yield* tools.consult({ text: "a b c" }).pipe(Effect.withSpan("caller"), Effect.withTracer(spans.tracer)), 5)
      const told = () => lines.filter(({ message }) => message.endsWith("a b c"))
      yield* awaited(told, ({ length }) => length === 2)
      yield* awaited(() => spans.all.filter(({ name }) => name === "python.call"), ({ length }) => length === 2)
      assert.strictEqual(new Set(spans.all.map(({ traceId }) => traceId)).size, 1)
      assert.deepStrictEqual(RecordedSpans.render(spans.all.filter(({ name }) => name !== "pool.queue")).split("\n"), [
        "caller",
        "  pool.call consult",
        "    pool.attempt consult",
        "      python.call",
        "        consult",
        "          host_tool length",
        "            pool.call work",
        "              pool.attempt work",
        "                python.call",
        "                  tokenize"
      ])
      const consult = spans.all.find(({ name }) => name === "consult")
      const own = spans.all.find(({ spanId }) => spanId === consult?.parentSpanId)
      assert.deepInclude(Object.fromEntries(consult!.attributes), { slot: 7, "snakepit.tool": "consult" })
      const [before, after] = told()
      assert.deepStrictEqual([before?.spanId, after?.spanId], [consult?.spanId, own?.spanId])
      assert.strictEqual(before?.annotations["correlationId"], own?.attributes.get("snakepit.correlation_id"))
      assert.closeTo(before!.at, began, 60_000) // a time of the host's clock, whatever Python's counts from
      assert.isEmpty(events.filter(({ name }) => name === "snakepit.python.drop"))
    }).pipe(Effect.scoped, Effect.provide(layer))
  }, 30_000)

  for (const tool of ["say", "say_async"] as const) {
    it.live(`what calls of ${tool} that run at once log and print is told with each its own`, () => {
      const { layer, lines, started } = application({ concurrency: 4, telemetry: { output: true } })
      return Effect.gen(function*() {
        const { tools } = yield* started
        const together = yield* folder
        const texts = ["one", "two", "three", "four"]
        yield* Effect.forEach(texts, (text) => tools[tool]({ text, together }), { concurrency: "unbounded" })
        const own = () => lines.filter(({ annotations }) => annotations["tool"] === tool)
        yield* awaited(own, ({ length }) => length >= 8)
        const calls = texts.map((text) => {
          const logged = own().find(({ message }) => message === `logged ${text}`)
          const printed = own().find(({ message }) => message === `printed ${text}`)
          assert.deepInclude(logged, { level: "Warn" })
          assert.deepInclude(logged?.annotations, { logger: "telling", pool: "default", slot: 0 })
          assert.deepInclude(printed, { level: "Info" })
          assert.strictEqual(printed?.annotations["logger"], "stdout")
          assert.strictEqual(logged?.annotations["correlationId"], printed?.annotations["correlationId"])
          return logged?.annotations["correlationId"]
        })
        assert.strictEqual(new Set(calls).size, 4)
      }).pipe(Effect.scoped, Effect.provide(layer))
    }, 30_000)
  }

  it.live("an operator changes what a worker tells while it runs, and a restart keeps it", () => {
    const { layer, started } = application()
    return Effect.gen(function*() {
      const { awaitEvent } = yield* recorder(0)
      const { control, named, tools } = yield* started
      yield* control.telemetry({ deny: ["noisy"] }, 0)
      yield* tools.emit({ name: "noisy" })
      yield* tools.emit({ name: "one" })
      yield* awaited(named, (names) => names.includes("one"))
      process.kill(yield* pidOf(0), "SIGKILL")
      yield* awaitEvent("snakepit.worker_supervisor.recover")
      yield* tools.emit({ name: "noisy" })
      yield* tools.emit({ name: "two" })
      yield* awaited(named, (names) => names.includes("two"))
      yield* control.resetTelemetry()
      yield* control.telemetry({ samples: Duration.seconds(1) })
      yield* tools.emit({ name: "noisy" })
      yield* awaited(named, (names) => names.includes("noisy"))
      assert.deepStrictEqual(named(), ["one", "two", "noisy"])
    }).pipe(Effect.scoped, Effect.provide(layer))
  }, 60_000)

  it.live("a stream that is cut loses nothing of it, and says nothing twice; more than there is credit for comes bit by bit", () => {
    const { layer, started } = application()
    const dialled: Array<Socket> = []
    const note = (message: unknown) => void dialled.push((message as { readonly socket: Socket }).socket)
    return Effect.acquireUseRelease(
      Effect.sync(() => subscribe("net.client.socket", note)),
      () =>
        Effect.gen(function*() {
          const { awaitEvent } = yield* recorder(0)
          const { events, named, tools } = yield* started
          yield* tools.emit({ name: "before", times: 300 })
          dialled.at(-1)!.destroy()
          yield* awaitEvent("snakepit.worker_supervisor.recover")
          yield* tools.emit({ name: "after", times: 300 })
          yield* awaited(named, ({ length }) => length >= 600)
          const times = (name: string) =>
            events.flatMap(({ attributes, measurements }) => attributes["event"] === name ? [measurements["time"]] : [])
          for (const name of ["before", "after"]) assert.deepStrictEqual(times(name), Array.from({ length: 300 }, (_, index) => index))
        }).pipe(Effect.scoped, Effect.provide(layer)),
      () => Effect.sync(() => unsubscribe("net.client.socket", note))
    )
  }, 30_000)

  it.live("what a worker drops is told, not its calls", () => {
    const { layer, started } = application()
    return Effect.gen(function*() {
      const { events, named, tools } = yield* started
      yield* tools.emit({ name: "flood", times: 20_000 })
      const drops = () => events.filter(({ name }) => name === "snakepit.python.drop")
      const count = () => named().length + drops().reduce((sum, { measurements }) => sum + (measurements["records"] ?? 0), 0)
      assert.strictEqual(yield* awaited(count, (told) => told >= 20_000), 20_000)
      assert.isTrue(drops().every(({ attributes }) => attributes["reason"] === "queue"))
      assert.strictEqual(yield* tools.work({ text: "a b" }), 2)
    }).pipe(Effect.scoped, Effect.provide(layer))
  }, 30_000)
})
