/** What is let in of the records that workers tell, and where it goes. */
import { create, fromBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Event, Instrument, RestartPolicy, Supervisor } from "@snakepit/core"
import { RecordedEvents, RecordedSpans } from "@snakepit/core/testing"
import type { WireTelemetry } from "@snakepit/pool"
import { Cause, Duration, Effect, Exit, Logger, Metric, References, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ConnectRequestSchema, TelemetrySchema } from "../gen/snakepit/v1/worker_pb.ts"
import * as BridgeEvent from "../src/BridgeEvent.ts"
import * as BridgeMetrics from "../src/BridgeMetrics.ts"
import * as Frames from "../src/channel/Frames.ts"
import * as Telemetry from "../src/channel/Telemetry.ts"
import { Traffic } from "../src/channel/Traffic.ts"
import * as Edge from "../src/ingest/Edge.ts"
import * as Inbox from "../src/ingest/Inbox.ts"
import * as Ingest from "../src/ingest/Ingest.ts"

const teller = { pool: "default", slot: 1, generation: 2 }

const record = (said: WireTelemetry.Told["said"], more: Partial<WireTelemetry.Told> = {}): WireTelemetry.Told => ({
  at: 1_000,
  correlationId: "default-k-7",
  tool: "infer",
  attributes: [],
  said,
  ...more
})

const event = (name: string, measurements: WireTelemetry.Pairs<number> = []) => ({ _tag: "Event", name, measurements }) as const
const log = (level: number, message: string, logger = "app.db") => ({ _tag: "Log", logger, level, message, span: undefined }) as const
const bytes = (length: number, from: number) => Uint8Array.from({ length }, (_, index) => from + index)
const span = (more: Partial<WireTelemetry.WireSpan> = {}): WireTelemetry.WireSpan => ({
  _tag: "Span",
  name: "tokenize",
  traceId: bytes(16, 1),
  spanId: bytes(8, 2),
  parentId: bytes(8, 3),
  tookMicros: 1500,
  server: false,
  error: undefined,
  ...more
})

interface Line {
  readonly at: number
  readonly span: string | undefined
  readonly level: string
  readonly message: unknown
  readonly annotations: unknown
}

/** An ingest under a supervisor, with what it hands on. */
const open = Effect.gen(function*() {
  const inbox = new Inbox.Inbox()
  const recorded = RecordedEvents.make()
  const spans = RecordedSpans.make()
  const lines: Array<Line> = []
  let isThrowing = false
  const logger = Logger.make<unknown, void>(({ date, fiber, logLevel, message }) => {
    if (isThrowing) throw new Error("a logger that is broken")
    lines.push({
      at: date.getTime(),
      span: fiber.cache.span && `${fiber.cache.span.traceId}/${fiber.cache.span.spanId}`,
      level: logLevel,
      message: Array.isArray(message) ? message[0] : message,
      annotations: fiber.getRef(References.CurrentLogAnnotations)
    })
  })
  const supervisor = Supervisor.make("bridge", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: "unlimited" }),
    because: "a test",
    limitBecause: "a test",
    events: BridgeEvent.bridge_supervisor,
    children: [Ingest.child(inbox)]
  })
  const running = yield* Supervisor.start(supervisor).pipe(
    Effect.provideService(Event.EventSink, recorded.sink),
    Effect.withTracer(spans.tracer),
    Effect.provide(Logger.layer([logger]))
  )
  const own = (name: string) => recorded.events.filter((told) => told.name === `snakepit.python.${name}`)
  const take = (...records: ReadonlyArray<WireTelemetry.Told>) =>
    Effect.andThen(Effect.sync(() => inbox.take(teller, records, [])), TestClock.adjust(0))
  return { inbox, running, own, lines, spans, take, throwing: (is: boolean) => Effect.sync(() => void (isThrowing = is)) }
})

describe("the ingest", () => {
  it.effect("hands custom events on as generic ones, with their worker and their call", () =>
    Effect.scoped(Effect.gen(function*() {
      const { own, take } = yield* open
      yield* take(record(event("model.inference", [["tokens", 12]]), { attributes: [["model", "small"], ["pool", "mine"], ["hot", true]] }))
      assert.deepStrictEqual(own("event"), [{
        name: "snakepit.python.event",
        at: 1_000,
        measurements: { tokens: 12 },
        attributes: {
          "snakepit.layer": "execution",
          path: "snakepit/pools/default/fleet/1",
          pool: "default",
          slot: 1,
          generation: 2,
          correlationId: "default-k-7",
          tool: "infer",
          event: "model.inference",
          "python.model": "small",
          "python.pool": "mine",
          "python.hot": true
        }
      }])
    })))

  it.effect("hands samples on as they are declared, and drops those that are not", () =>
    Effect.scoped(Effect.gen(function*() {
      const { own, take } = yield* open
      yield* take(
        record(event("python.memory.sampled", [["rss_bytes", 1e6], ["vms_bytes", 2e6]]), { correlationId: undefined, tool: "" }),
        record(event("python.gc.completed", [["count", 1], ["collected", 5], ["uncollectable", 0]]), {
          attributes: [["gc_generation", 2]]
        }),
        record(
          event("python.gpu.sampled", [["used_bytes", 1], ["total_bytes", 2], ["gpu_percent", 50], ["celsius", 60], ["watts", 70]]),
          { attributes: [["device", 0], ["serial", "not declared"]] }
        ),
        record(event("python.gpu.sampled", [["gpu_percent", 5]]), { attributes: [["device", 1]] }), // it does not say more
        record(event("python.memory.sampled", [["pages", 7]]))
      )
      assert.deepInclude(own("memory.sampled")[0]?.measurements, { rssBytes: 1e6, vmsBytes: 2e6 })
      assert.deepInclude(own("gc.completed")[0]?.attributes, { gcGeneration: 2, generation: 2, slot: 1 })
      assert.deepInclude(own("gpu.sampled")[0]?.measurements, { usedBytes: 1, watts: 70 })
      assert.notProperty(own("gpu.sampled")[0]!.attributes, "serial")
      assert.strictEqual(own("gpu.sampled")[1]?.measurements["gpuPercent"], 5)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(own("drop")[0]?.attributes, { reason: "shape", slot: 1 })
    })))

  it.effect("hands spans to the tracer with the ids that Python gave them, and how they ended", () =>
    Effect.scoped(Effect.gen(function*() {
      const { spans, take } = yield* open
      const error = { type: "ValueError", message: "no such token", stack: "Traceback …" }
      yield* take(
        record(span({ error }), { attributes: [["tokens", 3], ["slot", 9], ["snakepit.slot", 9], ["snakepit.session", "forged"]] }),
        record(span({ server: true, error: { ...error, type: "snakepit.Cancelled" } }))
      )
      const [raised, cancelled] = spans.all
      assert.deepInclude(raised, {
        name: "tokenize",
        traceId: "0102030405060708090a0b0c0d0e0f10",
        spanId: "0203040506070809",
        kind: "internal"
      })
      assert.strictEqual(raised?.parentSpanId, "030405060708090a")
      assert.deepStrictEqual([raised?.startTime, raised?.endTime], [1_000_000_000n, 1_001_500_000n])
      assert.deepStrictEqual(Object.fromEntries(raised!.attributes), {
        "snakepit.pool": "default",
        "snakepit.slot": 1,
        "snakepit.generation": 2,
        "snakepit.tool": "infer",
        "snakepit.correlation_id": "default-k-7",
        "error.type": "ValueError",
        tokens: 3,
        slot: 9
      })
      const causeOf = (span: RecordedSpans.RecordedSpan | undefined) =>
        span?.status._tag === "Ended" && Exit.isFailure(span.status.exit) ? span.status.exit.cause : Cause.empty
      assert.deepInclude(Cause.squash(causeOf(raised)), { name: "ValueError", message: "no such token" })
      assert.strictEqual(cancelled?.kind, "server")
      assert.isTrue(Cause.hasInterruptsOnly(causeOf(cancelled)))
      assert.isFalse(cancelled?.attributes.has("error.type"))
    })))

  it.effect("hands lines to the logger, at their level and with what they belong to", () =>
    Effect.scoped(Effect.gen(function*() {
      const { lines, take } = yield* open
      yield* take(
        record(log(30, "slow query")),
        record(log(50, "gone")),
        record(log(0, "printed", "stdout"), { correlationId: undefined, tool: "" })
      )
      assert.deepStrictEqual(lines.map(({ level, message }) => [level, message]), [["Warn", "slow query"], ["Fatal", "gone"], [
        "Info",
        "printed"
      ]])
      assert.deepInclude(lines[0]?.annotations, {
        pool: "default",
        slot: 1,
        generation: 2,
        correlationId: "default-k-7",
        tool: "infer",
        logger: "app.db"
      })
      assert.deepStrictEqual(Object.keys(lines[2]?.annotations as object).toSorted(), ["generation", "logger", "pool", "slot"])
    })))

  it.effect("hands lines on at the time at which they were said, within the span that was open there", () =>
    Effect.scoped(Effect.gen(function*() {
      const { lines, take } = yield* open
      const within = { traceId: bytes(16, 1), spanId: bytes(8, 2) }
      yield* TestClock.adjust("1 minute")
      yield* take(record({ ...log(30, "slow query"), span: within }, { at: 2_500 }), record(log(30, "of no span"), { at: 2_501 }))
      assert.deepStrictEqual(lines.map(({ at, span }) => [at, span]), [
        [2_500, "0102030405060708090a0b0c0d0e0f10/0203040506070809"],
        [2_501, undefined]
      ])
    })))

  it.effect("leaves out lines below the level that the application logs from", () =>
    Effect.scoped(Effect.gen(function*() {
      const { lines, take } = yield* open
      yield* take(record(log(10, "a detail")), record(log(20, "a fact")))
      assert.deepStrictEqual(lines.map(({ message }) => message), ["a fact"])
    })))

  it.effect("has room for the spans of calls, and for events, whatever spans tools name", () =>
    Effect.scoped(Effect.gen(function*() {
      const { own, spans, take } = yield* open
      for (let number = 0; number <= Edge.most.spans; number++) yield* take(record(span({ name: `page.${number}` })))
      yield* take(record(span({ name: "python.call", server: true })), record(event("page.read")))
      assert.strictEqual(spans.all.at(-1)?.name, "python.call")
      assert.strictEqual(own("event").length, 1)
      assert.deepStrictEqual(own("limit").map(({ attributes }) => [attributes["what"], attributes["event"]]), [
        ["spans", `page.${Edge.most.spans - 1}`]
      ])
      yield* TestClock.adjust("1 second")
      assert.deepInclude(own("drop")[0]?.attributes, { reason: "spans" })
    })))

  it.effect("loses the record that a logger throws at, and no other", () =>
    Effect.scoped(Effect.gen(function*() {
      const { lines, own, running, take, throwing } = yield* open
      yield* throwing(true)
      yield* take(record(log(40, "boom")))
      yield* throwing(false)
      yield* take(record(event("next")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([own("event").length, lines.filter(({ message }) => message === "boom").length], [1, 0])
      assert.strictEqual((yield* running.tree).children[0]?.generation, 0)
    })))

  it.effect("takes in what waited while it was away", () =>
    Effect.scoped(Effect.gen(function*() {
      const { inbox, own, running } = yield* open
      yield* running.failChild("ingest", new Error("the test ends it"))
      inbox.take(teller, [record(event("kept"))], [{ reason: "queue", records: 3 }, { reason: "x".repeat(1000), records: 1 }])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(own("event").map(({ attributes }) => attributes["event"]), ["kept"])
      assert.deepStrictEqual(own("drop").map(({ attributes, measurements }) => [attributes["reason"], measurements["records"]]), [
        ["queue", 3],
        ["other", 1]
      ])
    })))

  it.effect("tells once of a pool that names too many things, and how many were left out", () =>
    Effect.scoped(Effect.gen(function*() {
      const { own, take } = yield* open
      for (let number = 0; number < Edge.most.names + 5; number++) yield* take(record(event(`job.n${number}`)))
      for (let number = 0; number < Edge.most.values + 3; number++) {
        yield* take(record(event("job.n0"), { attributes: [["id", `${number}`], ["n", number]] }))
      }
      assert.strictEqual(own("event").length, Edge.most.names + Edge.most.values + 3)
      assert.notProperty(own("event").at(-1)!.attributes, "python.id")
      assert.strictEqual(own("event").at(-1)!.attributes["python.n"], Edge.most.values + 2)
      assert.deepStrictEqual(own("limit").map(({ attributes }) => [attributes["what"], attributes["event"]]), [
        ["names", `job.n${Edge.most.names}`],
        ["values", "job.n0"]
      ])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(own("drop").map(({ attributes, measurements }) => [attributes["reason"], measurements["records"]]), [
        ["names", 5],
        ["values", 3]
      ])
    })))
})

describe("the inbox", () => {
  it.effect("counts what was left out of a pool by why, whoever has left it out and whoever has asked", () =>
    Effect.gen(function*() {
      const inbox = new Inbox.Inbox()
      yield* Effect.scoped(Effect.gen(function*() {
        const traffic = new Traffic()
        traffic.begin(yield* Instrument.series, "default", inbox.droppedOf("default"))
        const value = (reason: BridgeMetrics.DropReason) =>
          Effect.map(Metric.snapshot, (all) => {
            const found = all.find(({ attributes, id }) => id === BridgeMetrics.recordsDropped.name && attributes?.["reason"] === reason)
            return (found?.state as { readonly count: number } | undefined)?.count
          })
        inbox.take(teller, [], [{ reason: "queue", records: 5 }, { reason: "made up", records: 1 }])
        inbox.take({ ...teller, slot: 2 }, [], [{ reason: "queue", records: 2 }, { reason: "also made up", records: 1 }])
        inbox.take({ ...teller, pool: "another" }, [], [{ reason: "queue", records: 100 }])
        inbox.lose(teller, "shape", 1)
        inbox.lost()
        assert.deepStrictEqual(yield* Effect.forEach(["queue", "other", "shape", "tap"] as const, value), [7, 2, 1, 0])
        assert.strictEqual(
          (yield* Metric.snapshot).filter(({ id }) => id === BridgeMetrics.recordsDropped.name).length,
          BridgeMetrics.dropReasons.length
        )
      }))
      assert.deepStrictEqual(yield* Metric.snapshot, [])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it("gives no credit above half, and drops above its whole", () => {
    const inbox = new Inbox.Inbox()
    const many = (count: number) => Array.from({ length: count }, () => record(event("a")))
    const hasRoom = () => Effect.runSyncExit(inbox.room)._tag === "Success"
    inbox.take(teller, many(Inbox.capacity / 2), [])
    assert.isTrue(hasRoom())
    inbox.take(teller, many(Inbox.capacity), [])
    assert.isFalse(hasRoom())
    assert.strictEqual(inbox.size, Inbox.capacity)
    assert.deepStrictEqual(inbox.lost(), [{ teller, reason: "ingest", records: Inbox.capacity / 2 }])
    assert.deepStrictEqual(inbox.lost(), [])
    for (let left = Inbox.capacity; left > 0; left--) assert.isDefined(inbox.shift())
    assert.isUndefined(inbox.shift())
    assert.isTrue(hasRoom())
  })
})

const anyText = Schema.Union([
  Schema.String,
  Schema.Literals(["__proto__", "constructor", "a.b", "", "x".repeat(5000), "python.memory.sampled"])
])
const anyNumber = Schema.Union([Schema.Number, Schema.Literals([-1, 2 ** 60])]) // Schema.Number has NaN and the infinities
const anyValue = Schema.Union([anyText, anyNumber, Schema.Boolean])
const pairs = <S extends Schema.Top>(value: S) => Schema.Array(Schema.Tuple([anyText, value]))
const anyBytes = Schema.Uint8Array
const Hostile = Schema.Struct({
  at: anyNumber,
  correlationId: Schema.UndefinedOr(anyText),
  tool: anyText,
  attributes: pairs(anyValue),
  said: Schema.Union([
    Schema.Struct({ _tag: Schema.tag("Event"), name: anyText, measurements: pairs(anyNumber) }),
    Schema.Struct({
      _tag: Schema.tag("Span"),
      name: anyText,
      traceId: anyBytes,
      spanId: anyBytes,
      parentId: anyBytes,
      tookMicros: anyNumber,
      server: Schema.Boolean,
      error: Schema.UndefinedOr(Schema.Struct({ type: anyText, message: anyText, stack: anyText }))
    }),
    Schema.Struct({
      _tag: Schema.tag("Log"),
      logger: anyText,
      level: anyNumber,
      message: anyText,
      span: Schema.UndefinedOr(Schema.Struct({ traceId: anyBytes, spanId: anyBytes }))
    })
  ])
})

describe("hostile records", () => {
  it.effect.prop(
    "harm nothing: each is handed on within bounds, or dropped and counted, and the next is taken in",
    { records: Schema.Array(Hostile) },
    ({ records }) =>
      Effect.scoped(Effect.gen(function*() {
        const { inbox, own, running, take } = yield* open
        yield* take(...records, record(event("the.next")))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(own("event").at(-1)?.attributes["event"], "the.next")
        assert.strictEqual(inbox.size, 0)
        assert.strictEqual((yield* running.tree).children[0]?.generation, 0)
        assert.isEmpty(own("drop").filter(({ attributes }) => attributes["reason"] === "defect"))
        for (const told of own("event")) {
          assert.isAtMost(JSON.stringify(told).length, 100_000)
          assert.strictEqual(Object.getPrototypeOf(told.attributes), Object.prototype)
        }
      }))
  )
})

describe("the frames of telemetry", () => {
  it("of the host say what the section says, in Python's numbers", () => {
    const batch = new Frames.Batch()
    const settings = {
      on: true,
      allow: ["a.*"],
      deny: ["b"],
      sampling: [{ pattern: "*", rate: 0.25 }],
      logs: "error",
      output: true
    } as const
    batch.telemetryControl({ ...settings, samples: Duration.seconds(2) }, 300)
    batch.telemetryControl(undefined, 0)
    const { frames: [first, second] } = fromBinary(ConnectRequestSchema, batch.sealed(1, 0))
    assert.deepInclude(first?.frame.value, { credit: 300 })
    const said = first?.frame.case === "telemetryControl" ? first.frame.value.settings : undefined
    assert.deepInclude(said, { on: true, allow: ["a.*"], deny: ["b"], logLevel: 40, output: true, sampleMs: 2000 })
    assert.deepInclude(said?.sampling[0], { pattern: "*", rate: 0.25 })
    assert.deepInclude(second?.frame, { case: "telemetryControl" })
  })

  it("of a worker are read as they are, without what a newer one may add", () => {
    const micros = process.hrtime.bigint() / 1000n - 5_000_000n
    const { dropped, records } = Telemetry.heard(create(TelemetrySchema, {
      records: [
        {
          atMicros: micros,
          call: 5n,
          tool: "infer",
          attributes: [{ key: "a", value: { case: "flag", value: false } }, { key: "newer" }],
          record: { case: "event", value: { name: "x", measurements: [{ key: "m", value: 1.5 }] } }
        },
        { atMicros: micros }
      ],
      dropped: [{ reason: "queue", records: 4n }]
    }))
    assert.deepStrictEqual(dropped, [{ reason: "queue", records: 4 }])
    assert.lengthOf(records, 1)
    assert.isAtLeast(records[0]!.ageMillis, 5000)
    assert.deepInclude(records[0], { call: 5, tool: "infer", attributes: [["a", false]] })
    assert.deepInclude(records[0]?.said, { _tag: "Event", name: "x", measurements: [["m", 1.5]] })
  })
})
