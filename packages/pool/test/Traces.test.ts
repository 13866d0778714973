/** The spans of calls on scripted workers and virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { IncidentSpan } from "@snakepit/core"
import { RecordedSpans } from "@snakepit/core/testing"
import { Duration, Effect, Exit, Fiber, Schema, Stream, Tracer } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { HostTools, Tool } from "../src/index.ts"
import { ScriptedTool } from "../src/testing/index.ts"
import * as TraceContext from "../src/TraceContext.ts"
import { after, begin, errorOf, scoped } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

const n = { n: Schema.Int }

class Tools extends RpcGroup.make(
  Rpc.make("quick", { payload: n, success: Schema.Int }),
  Rpc.make("lasts", { payload: n, success: Schema.Int }),
  Rpc.make("again", { payload: n, success: Schema.Int }).annotate(Tool.Idempotent, true),
  Rpc.make("raises", { success: Schema.Int }),
  Rpc.make("wrong", { success: Schema.Int }),
  Rpc.make("steps", { payload: n, success: Schema.Int, stream: true }),
  Rpc.make("sum", { payload: { numbers: Tool.InputStream(Schema.Int) }, success: Schema.Int }),
  Rpc.make("asks", { success: Schema.Unknown }),
  Rpc.make("asksWithin", { success: Schema.Unknown }),
  Rpc.make("limited", { payload: n, success: Schema.Int }).annotate(Tool.RateLimit, { calls: 1, per: Duration.seconds(1), beyond: "fail" })
) {}

class Host extends RpcGroup.make(Rpc.make("double", { payload: n, success: Schema.Int }), Rpc.make("fails")) {}

const tools = {
  quick: ({ n }: { readonly n: number }) => n,
  lasts: { run: ({ n }: { readonly n: number }) => n, takes: "1 second" },
  again: { run: ({ n }: { readonly n: number }) => n, takes: "1 second" },
  raises: () => ScriptedTool.raise("ValueError", "no such model"),
  wrong: () => "seven",
  steps: {
    run: function*({ n }: { readonly n: number }) {
      for (let i = 0; i < n; i++) yield i
    },
    takes: "100 millis",
    every: "100 millis"
  },
  sum: {
    input: "numbers",
    run: ({ numbers }: { readonly numbers: ScriptedTool.Inputs<number> }) => Stream.runFold(numbers, () => 0, (sum, n) => sum + n)
  },
  asks: (_: unknown, { call }: ScriptedTool.Current) => call("double", { n: 4 }),
  asksWithin: (_: unknown, { call }: ScriptedTool.Current) => call("double", { n: 4 }, { spanId: "00f067aa0ba902b7" }),
  limited: ({ n }: { readonly n: number }) => n
} satisfies Record<string, ScriptedTool.ScriptedTool>

const open = Effect.fnUntraced(function*(more: Parameters<typeof openTools>[1] = {}) {
  const opened = yield* openTools(tools, { pools: { default: { size: 1, tracing: { ratio: 1 } } }, ...more })
  const spans = RecordedSpans.make()
  return {
    ...opened,
    spans,
    client: yield* opened.clientOf(Tools),
    traced: Effect.withTracer(spans.tracer),
    /** The tree of the spans, checked: each is ended once, and none that the host made outlives its parent. */
    tree: (line?: (span: RecordedSpans.RecordedSpan) => string) => {
      assert.deepStrictEqual(RecordedSpans.violations(spans.all), [])
      return RecordedSpans.render(spans.all, line).split("\n")
    }
  }
})

/** `name slot.generation error.type, after … for …` in milliseconds since the first span. */
const told = (spans: RecordedSpans.RecordedSpans) => (span: RecordedSpans.RecordedSpan) => {
  const millis = (nanos: bigint) => Number((nanos - spans.all[0]!.startTime) / 1_000_000n)
  const { "snakepit.generation": generation, "snakepit.slot": slot, "error.type": type } = Object.fromEntries(span.attributes)
  const where = slot === undefined ? "" : ` ${slot}.${generation}`
  return `${span.name}${where}${type === undefined ? "" : ` ${type}`} ${millis(span.startTime)}-${millis(span.endTime!)}`
}

const wireOf = ({ spanId, traceId }: Tracer.AnySpan) => [...TraceContext.toBinary(Tracer.externalSpan({ spanId, traceId }))!]

describe("the spans of a call", () => {
  it.effect("tell what it waited and what it ran, and Python's is below the attempt", () =>
    scoped(Effect.gen(function*() {
      const { client, scripted, spans, traced, tree } = yield* open()
      const first = yield* begin(client.lasts({ n: 1 }))
      yield* after("400 millis")
      const second = yield* begin(traced(client.lasts({ n: 2 }, { session: "of a person" })))
      yield* after("2 seconds")
      yield* Fiber.joinAll([first, second])
      assert.deepStrictEqual(tree(told(spans)), [
        "pool.call lasts 0.0 0-1600",
        "  pool.queue 0-600",
        "  pool.attempt lasts 0.0 600-1600"
      ])
      const [call, , attempt] = spans.all
      assert.deepStrictEqual(Object.fromEntries(call!.attributes), {
        "snakepit.pool": "default",
        "snakepit.tool": "lasts",
        "snakepit.slot": 0,
        "snakepit.generation": 0
      })
      assert.deepInclude(Object.fromEntries(attempt!.attributes), { "snakepit.attempt": 1, "snakepit.generation": 0 })
      assert.deepStrictEqual([call!.kind, attempt!.kind], ["internal", "client"])
      assert.deepStrictEqual([...scripted.journal.at(-1)!.trace!], wireOf(attempt!))
      assert.strictEqual(scripted.journal[0]!.trace, undefined, "the first had no tracer")
    })))

  it.effect("after a crash link the next attempt to the one that was lost, and to the restart of its worker", () =>
    scoped(Effect.gen(function*() {
      const { client, recorded, scripted, spans, traced, tree } = yield* open()
      const call = yield* begin(traced(client.again({ n: 1 })))
      yield* after("400 millis")
      yield* scripted.worker("default/0").crash("SIGSEGV")
      yield* after("3 seconds")
      assert.strictEqual(yield* Fiber.join(call), 1)
      const lines = tree(told(spans))
      assert.deepStrictEqual(lines.slice(0, 3), [
        "pool.call again 0.1 0-1450",
        "  pool.queue 0-0",
        "  pool.attempt again 0.0 WorkerCrashed 0-400"
      ])
      assert.deepStrictEqual(lines.slice(3), ["  pool.queue 400-450", "  pool.attempt again 0.1 450-1450"])
      const [lost, next] = spans.all.filter(({ name }) => name === "pool.attempt again")
      const restart = recorded.events.find(({ name }) => name === "snakepit.worker_supervisor.restart")!
      assert.deepStrictEqual(
        next!.links.map(({ span: { spanId, traceId } }) => ({ spanId, traceId })),
        [{ spanId: lost!.spanId, traceId: lost!.traceId }, IncidentSpan.of(restart)!]
      )
      assert.deepStrictEqual(lost!.links, [])
      assert.deepStrictEqual(scripted.journal.map(({ trace }) => [...trace!]), [wireOf(lost!), wireOf(next!)])
    })))

  it.effect("end as the call does: with its error, one that a contract maps too", () =>
    scoped(Effect.gen(function*() {
      const { client, spans, traced, tree } = yield* open()
      yield* Effect.flip(traced(client.raises()))
      yield* Effect.flip(traced(client.wrong()))
      yield* Effect.flip(traced(client.quick({ n: 1.5 })))
      assert.deepStrictEqual(tree(told(spans)), [
        ...["pool.call raises 0.0 PythonError 0-0", "  pool.queue 0-0", "  pool.attempt raises 0.0 PythonError 0-0"],
        ...["pool.call wrong 0.0 InvalidResult 0-0", "  pool.queue 0-0", "  pool.attempt wrong 0.0 InvalidResult 0-0"],
        "pool.call quick InvalidPayload 0-0"
      ])
      const { status } = spans.all[0]!
      assert.isTrue(status._tag === "Ended" && Exit.isFailure(status.exit))
    })))

  it.effect("end when its caller goes away, while it waits and while it runs", () =>
    scoped(Effect.gen(function*() {
      const { client, spans, traced, tree } = yield* open()
      const calls = yield* Effect.forEach([1, 2], (n) => begin(traced(client.lasts({ n }))))
      yield* after("300 millis")
      yield* Fiber.interruptAll(calls)
      assert.deepStrictEqual(tree(told(spans)), [
        ...["pool.call lasts 0.0 0-300", "  pool.queue 0-0", "  pool.attempt lasts 0.0 0-300"],
        ...["pool.call lasts 0-300", "  pool.queue 0-300"]
      ])
      for (const { name, status } of spans.all) {
        if (name !== "pool.queue") assert.isTrue(status._tag === "Ended" && Exit.hasInterrupts(status.exit), name)
      }
    })))

  it.effect("are as many when its worker gives it back unbegun, or its time in the queue is over", () =>
    scoped(Effect.gen(function*() {
      const { client, spans, traced, tree } = yield* open()
      const running = yield* begin(client.lasts({ n: 1 }))
      const call = yield* begin(traced(client.quick({ n: 1 }, { queueTimeout: "200 millis" })))
      yield* after("500 millis")
      assert.strictEqual((yield* errorOf(call))._tag, "QueueTimeout")
      assert.deepStrictEqual(tree(told(spans)), ["pool.call quick QueueTimeout 0-200", "  pool.queue QueueTimeout 0-200"])
      yield* Fiber.interrupt(running)
    })))

  it.effect("that streams last until its end, and one that is ended early is no failure", () =>
    scoped(Effect.gen(function*() {
      const { client, scripted, spans, traced, tree } = yield* open()
      const whole = yield* begin(traced(Stream.runCollect(client.steps({ n: 3 }))))
      yield* after("1 second")
      yield* Fiber.join(whole)
      const early = yield* begin(traced(Stream.runCollect(Stream.take(client.steps({ n: 30 }), 2))))
      yield* after("1 second")
      yield* Fiber.join(early)
      assert.deepStrictEqual(tree(told(spans)), [
        ...["pool.call steps 0.0 0-300", "  pool.queue 0-0", "  pool.attempt steps 0.0 0-300"],
        ...["pool.call steps 0.0 1000-1200", "  pool.queue 1000-1000", "  pool.attempt steps 0.0 1000-1200"]
      ])
      for (const { status } of spans.all) assert.isTrue(status._tag === "Ended" && Exit.isSuccess(status.exit))
      assert.deepStrictEqual(scripted.journal.map(({ trace }) => trace?.length), [25, 25])
    })))

  it.effect("that takes a stream of inputs are the same, and fail with the caller's own failure", () =>
    scoped(Effect.gen(function*() {
      const { client, spans, traced, tree } = yield* open()
      assert.strictEqual(yield* traced(client.sum({ numbers: Stream.make(1, 2, 3) })), 6)
      class Mine extends Schema.TaggedError<Mine>()("Mine", {}) {}
      yield* Effect.flip(traced(client.sum({ numbers: Stream.fail(new Mine()) })))
      const lines = tree(told(spans))
      assert.deepStrictEqual(lines.slice(0, 3), ["pool.call sum 0.0 0-0", "  pool.queue 0-0", "  pool.attempt sum 0.0 0-0"])
      assert.strictEqual(lines[3], "pool.call sum 0.0 Mine 0-0")
    })))

  it.effect("of a host tool that calls Python again are of one trace", () =>
    scoped(Effect.gen(function*() {
      const { client, provided, scripted, spans, traced, tree } = yield* open({ pools: { default: { size: 2, tracing: { ratio: 1 } } } })
      yield* HostTools.serve(HostTools.make(Host, {
        double: ({ n }) => Effect.map(Effect.withSpan(client.quick({ n }), "mine"), (n) => 2 * n).pipe(Effect.orDie),
        fails: () => Effect.void
      })).pipe(provided)
      assert.strictEqual(yield* traced(client.asks()), 8)
      assert.deepStrictEqual(tree(), [
        "pool.call asks",
        "  pool.queue",
        "  pool.attempt asks",
        "    host_tool double",
        "      mine",
        "        pool.call quick",
        "          pool.queue",
        "          pool.attempt quick"
      ])
      assert.strictEqual(new Set(spans.all.map(({ traceId }) => traceId)).size, 1)
      assert.deepStrictEqual([...scripted.journal.at(-1)!.trace!], wireOf(spans.all.find(({ name }) => name === "pool.attempt quick")!))
    })))

  it.effect("of a host tool are below the span that is open in Python, with the state of the trace", () =>
    scoped(Effect.gen(function*() {
      const { client, provided, scripted, spans, traced } = yield* open({ pools: { default: { size: 2, tracing: { ratio: 1 } } } })
      yield* HostTools.serve(HostTools.make(Host, {
        double: ({ n }) => Effect.orDie(client.quick({ n })),
        fails: () => Effect.void
      })).pipe(provided)
      const caller = TraceContext.ofText("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")!
      const asked = Effect.withParentSpan(client.asksWithin(), caller)
      const passedOn = scripted.journal.length + 1
      yield* asked // nobody collects spans here: the inner call is Python's child
      assert.deepStrictEqual([...scripted.journal[passedOn]!.trace!], wireOf({ ...caller, spanId: "00f067aa0ba902b7" }))
      yield* traced(asked)
      const host = spans.all.find(({ name }) => name === "host_tool double")
      assert.deepInclude(host, { traceId: caller.traceId, parentSpanId: "00f067aa0ba902b7" })
      assert.deepStrictEqual(scripted.journal.map(({ traceState }) => traceState), Array.from({ length: 4 }, () => "vendor=1"))
    })))

  it.effect("of a host tool end with what Python is told of it, also when that is that it took too long", () =>
    scoped(Effect.gen(function*() {
      const { client, provided, spans, traced } = yield* open({
        pools: { default: { size: 1, tracing: { ratio: 1 }, hostTools: { timeout: "2 seconds" } } }
      })
      yield* HostTools.serve(HostTools.make(Host, { double: () => Effect.never, fails: () => Effect.void })).pipe(provided)
      const call = yield* begin(traced(client.asks()))
      yield* after("3 seconds")
      yield* errorOf(call)
      const host = spans.all.find(({ name }) => name === "host_tool double")!
      assert.deepInclude(Object.fromEntries(host.attributes), { "error.type": "timeout", "snakepit.host_tool": "double" })
      assert.deepStrictEqual(RecordedSpans.violations(spans.all), [])
    })))

  it.effect("that is refused by its rate limit has its own, without a wait for a worker", () =>
    scoped(Effect.gen(function*() {
      const { client, spans, traced, tree } = yield* open()
      yield* traced(client.limited({ n: 1 }))
      yield* Effect.flip(traced(client.limited({ n: 2 })))
      assert.deepStrictEqual(tree(told(spans)).slice(3), ["pool.call limited RateLimited 0-0"])
    })))

  it.effect("of a pool that stops are ended, like its calls", () =>
    Effect.gen(function*() {
      const { spans, tree } = yield* scoped(Effect.gen(function*() {
        const opened = yield* open()
        yield* Effect.forEach([1, 2], (n) => begin(Effect.exit(opened.traced(opened.client.lasts({ n })))))
        return opened
      }))
      assert.deepStrictEqual(tree(({ attributes, name }) => `${name} ${attributes.get("error.type")}`), [
        ...["pool.call lasts PoolDown", "  pool.queue undefined", "  pool.attempt lasts PoolDown"],
        ...["pool.call lasts PoolDown", "  pool.queue PoolDown"]
      ])
      assert.strictEqual(spans.all.length, 5)
    }))
})

describe("whether a call is sampled", () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c"
  const spanId = "b7ad6b7169203331"

  it.effect("is the caller's decision, where there is a caller's span", () =>
    scoped(Effect.gen(function*() {
      const { client, scripted, spans, traced, tree } = yield* open({ pools: { default: { size: 1, tracing: { ratio: 0 } } } })
      for (const sampled of [true, false]) {
        yield* traced(client.quick({ n: 1 }).pipe(Effect.withParentSpan(Tracer.externalSpan({ traceId, spanId, sampled }))))
      }
      yield* traced(client.quick({ n: 1 }))
      assert.deepStrictEqual(tree(), ["pool.call quick", "  pool.queue", "  pool.attempt quick"])
      assert.deepStrictEqual([spans.all[0]!.traceId, spans.all[0]!.parentSpanId], [traceId, spanId])
      assert.deepStrictEqual(scripted.journal.map(({ trace }) => trace?.length), [25, undefined, undefined])
    })))

  it.effect("is nobody's where spans go nowhere, and none is begun", () =>
    scoped(Effect.gen(function*() {
      const { client, scripted, spans, traced } = yield* open()
      yield* client.quick({ n: 1 })
      yield* traced(Effect.withTracerEnabled(client.quick({ n: 1 }), false))
      assert.deepStrictEqual(spans.all, [])
      assert.deepStrictEqual(scripted.journal.map(({ trace }) => trace), [undefined, undefined])
    })))

  it.effect("follows the settings from then on, and a tool may have its own share", () =>
    scoped(Effect.gen(function*() {
      const { client, directory, spans, traced, config } = yield* open({
        pools: { default: { size: 1, tracing: { ratio: 0, tools: { "la*": 0, "*s": 1 } } } }
      })
      const call = traced(Effect.andThen(Effect.ignore(client.raises()), client.quick({ n: 1 })))
      yield* call
      const roots = () => spans.all.filter(({ parentSpanId }) => parentSpanId === undefined).map(({ name }) => name)
      assert.deepStrictEqual(roots(), ["pool.call raises"])
      const { default: present } = config.current!.pools
      directory.configure(2, { pools: { default: { ...present!, tracing: { ratio: 1, session: true } } } })
      yield* traced(client.quick({ n: 1 }, { session: "s" }))
      assert.deepStrictEqual(roots(), ["pool.call raises", "pool.call quick"])
      assert.strictEqual(spans.all.find(({ name }) => name === "pool.call quick")!.attributes.get("snakepit.session"), "s")
    })))

  it.effect("carries tracestate as it came, through spans of the host that know nothing of it", () =>
    scoped(Effect.gen(function*() {
      const { client, scripted, traced } = yield* open()
      const parent = TraceContext.ofText(`00-${traceId}-${spanId}-01`, "vendor=a,other=b")!
      yield* client.quick({ n: 1 }).pipe(Effect.withSpan("mine"), Effect.withParentSpan(parent), traced)
      yield* client.quick({ n: 1 }).pipe(Effect.withParentSpan(parent))
      assert.deepStrictEqual(scripted.journal.map(({ traceState }) => traceState), ["vendor=a,other=b", "vendor=a,other=b"])
    })))
})
