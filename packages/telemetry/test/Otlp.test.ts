/** What goes to a collector, and that nobody waits for it: on the virtual clock, with a collector that is a function. */
import { assert, describe, it } from "@effect/vitest"
import { type Event, Supervisor } from "@snakepit/core"
import {
  EventBus,
  EventLog,
  History,
  Otlp,
  OtlpConfig,
  OtlpSender,
  Outboxes,
  TelemetryConfig,
  TelemetrySupervisor
} from "@snakepit/telemetry"
import { ConfigProvider, Context, Effect, Exit, Layer, Metric, Schema, Scope } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

/** What a collector got, and what it answers: a status, or nothing at all. */
interface Collector {
  readonly got: Array<{ readonly url: string; readonly headers: Readonly<Record<string, string | undefined>>; readonly body: any }>
  answer: { readonly status: number; readonly headers?: Record<string, string> } | "never"
}

const clientOf = (collector: Collector): HttpClient.HttpClient =>
  HttpClient.make((request) => {
    const { answer } = collector
    if (answer === "never") return Effect.never
    const { body, headers, url } = request
    if (answer.status === 200 && body._tag === "Uint8Array") {
      collector.got.push({ url, headers, body: JSON.parse(new TextDecoder().decode(body.body)) })
    }
    return Effect.succeed(
      HttpClientResponse.fromWeb(request, new Response(null, { status: answer.status, headers: answer.headers ?? {} }))
    )
  })

const secret = "a key that nobody may see"

const section = Schema.decodeUnknownSync(TelemetryConfig.TelemetryConfig)({
  otlp: {
    url: "http://collector.example:4318/",
    protocol: "http/json",
    headers: { "api-key": secret },
    resource: { "service.name": "shop" }
  }
})

/** An application's telemetry, with its outboxes and its supervisor, and everything that it tells. */
const application = (collector: Collector) =>
  Effect.gen(function*() {
    const told: Array<Event.Event> = []
    yield* (yield* EventBus.EventBus).tap("*", (event) => void told.push(event))
    const services = yield* Otlp.make(section.otlp, "run-1").pipe(Effect.provideService(HttpClient.HttpClient, clientOf(collector)))
    yield* Effect.provideContext(Supervisor.start(TelemetrySupervisor.make(section)), services)
    return { told, services, outboxes: Context.get(services, Outboxes.Outboxes) }
  })

const Live = Layer.merge(EventLog.EventLog.layer, History.History.layer).pipe(Layer.provideMerge(EventBus.EventBus.layer))

const taking = (): Collector => ({ got: [], answer: { status: 200 } })

const spansOf = ({ got }: Collector): ReadonlyArray<any> =>
  got.flatMap(({ body }) => body.resourceSpans ?? []).flatMap(({ scopeSpans }) => scopeSpans).flatMap(({ spans }) => spans)
const recordsOf = ({ got }: Collector): ReadonlyArray<any> =>
  got.flatMap(({ body }) => body.resourceLogs ?? []).flatMap(({ scopeLogs }) => scopeLogs).flatMap(({ logRecords }) => logRecords)
const attributesOf = (attributes: ReadonlyArray<any>): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

const span = (name: string) => Effect.withSpan(Effect.void, name)
const failuresOf = (told: ReadonlyArray<Event.Event>, child: string) =>
  told.filter(({ attributes, name }) => name === "snakepit.telemetry_supervisor.restart" && attributes["child"] === child)

describe("OTLP", () => {
  it.effect("leaves the program's own tracer and loggers alone where it is not configured", () =>
    Effect.gen(function*() {
      const services = yield* Effect.provideService(Otlp.make(undefined, "run-1"), HttpClient.HttpClient, clientOf(taking()))
      assert.deepStrictEqual([...services.mapUnsafe.keys()], [])
    }).pipe(Effect.provide(Live)))

  it.effect("carries spans, log lines, events and metrics of the program, with what it says of itself", () =>
    Effect.gen(function*() {
      const collector = taking()
      const { services } = yield* application(collector)
      const gauge = Metric.gauge("snakepit.test.level", { description: "how high", attributes: { pool: "default", unit: "By" } })
      yield* Effect.provideContext(
        Effect.log("a line").pipe(Effect.annotateLogs("tenant", "blue"), Effect.withSpan("outer"), Effect.andThen(Metric.update(gauge, 7))),
        services
      )
      yield* TestClock.adjust("10 seconds")
      const [first] = collector.got
      assert.strictEqual(first?.headers["api-key"], secret)
      assert.sameMembers([...new Set(collector.got.map(({ url }) => url))], [
        "http://collector.example:4318/v1/traces",
        "http://collector.example:4318/v1/logs",
        "http://collector.example:4318/v1/metrics"
      ])
      const [outer] = spansOf(collector)
      assert.strictEqual(outer.name, "outer")
      const line = recordsOf(collector).find(({ body }) => body.stringValue === "a line")
      assert.strictEqual(line.traceId, outer.traceId)
      assert.strictEqual(attributesOf(line.attributes)["tenant"], "blue")
      const resource = collector.got.map(({ body }) =>
        (body.resourceSpans ?? body.resourceLogs ?? body.resourceMetrics)[0].resource.attributes
      )
      for (const attributes of resource) {
        const { "process.pid": pid, "service.instance.id": instance, "service.name": name } = attributesOf(attributes)
        assert.deepStrictEqual({ pid, instance, name }, { pid: process.pid, instance: "run-1", name: "shop" })
      }
      const level = collector.got.flatMap(({ body }) => body.resourceMetrics ?? []).flatMap(({ scopeMetrics }) => scopeMetrics)
        .flatMap(({ metrics }) => metrics).find(({ name }) => name === "snakepit.test.level")
      assert.strictEqual(level.unit, "By")
      assert.deepStrictEqual(attributesOf(level.gauge.dataPoints[0].attributes), { pool: "default" })
    }).pipe(Effect.provide(Live)))

  it.effect("makes every event a log record: its attributes and measurements are kept, and how much it matters is said", () =>
    Effect.gen(function*() {
      const collector = taking()
      yield* application(collector)
      const bus = yield* EventBus.EventBus
      const at = 1_700_000_000_123
      bus.emit({
        name: "snakepit.root_supervisor.give_up",
        at,
        measurements: { budgetLeft: 0 },
        attributes: { path: "snakepit", "snakepit.layer": "root", cause: "over" }
      })
      bus.emit({ name: "snakepit.pool.sample", at, measurements: { ready: 1 }, attributes: {} })
      bus.emit({ name: "snakepit.python.memory.sampled", at, measurements: { rssBytes: 1 }, attributes: {} })
      bus.emit({ name: "snakepit.process.exit", at, measurements: {}, attributes: { planned: true } })
      bus.emit({ name: "snakepit.process.exit", at, measurements: {}, attributes: { planned: false } })
      bus.emit({ name: "snakepit.python.event", at, measurements: { slot: 9, tokens: 3 }, attributes: { slot: 1 } })
      yield* TestClock.adjust("1 second")
      const records = recordsOf(collector).filter(({ timeUnixNano }) => timeUnixNano === `${at}000000`)
      assert.deepStrictEqual(
        records.map(({ body, severityText }) => [body.stringValue, severityText]),
        [["snakepit.root_supervisor.give_up", "Fatal"], ["snakepit.process.exit", "Info"], ["snakepit.process.exit", "Warn"], [
          "snakepit.python.event",
          "Info"
        ]]
      )
      const { "effect.fiberId": _, ...kept } = attributesOf(records[0].attributes)
      assert.deepStrictEqual(kept, {
        "event.name": "snakepit.root_supervisor.give_up",
        path: "snakepit",
        "snakepit.layer": "root",
        cause: "over",
        budgetLeft: 0
      })
      assert.deepInclude(attributesOf(records[3].attributes), { slot: 1, tokens: 3 }) // a tool's measurement does not say where it ran
    }).pipe(Effect.provide(Live)))

  it.effect("does not hold the program up when the collector does not answer, and loses nothing once it does", () =>
    Effect.gen(function*() {
      const collector: Collector = { got: [], answer: "never" }
      const { services, told } = yield* application(collector)
      for (const name of ["one", "two", "three"]) {
        yield* Effect.provideContext(span(name), services) // no time passes here: the test's clock stands still
        yield* TestClock.adjust("20 seconds")
      }
      const [failure] = failuresOf(told, "otlp_traces")
      assert.include(String(failure?.attributes["cause"]), "no answer within 10s")
      assert.notInclude(JSON.stringify(told), secret)
      collector.answer = { status: 200 }
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(spansOf(collector).map(({ name }) => name), ["one", "two", "three"])
    }).pipe(Effect.provide(Live)))

  it.effect("waits as long as a busy collector asks for, and backs off when it does not say", () =>
    Effect.gen(function*() {
      const collector: Collector = { got: [], answer: { status: 429, headers: { "retry-after": "40" } } }
      const { services, told } = yield* application(collector)
      yield* Effect.provideContext(span("patient"), services)
      yield* TestClock.adjust("20 seconds")
      collector.answer = { status: 503 }
      yield* TestClock.adjust("24 seconds")
      assert.deepStrictEqual(failuresOf(told, "otlp_traces"), [], "it still waits")
      yield* TestClock.adjust("5 seconds")
      assert.include(String(failuresOf(told, "otlp_traces")[0]?.attributes["cause"]), "it answers 503")
      collector.answer = { status: 200 }
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(spansOf(collector).map(({ name }) => name), ["patient"])
    }).pipe(Effect.provide(Live)))

  it.effect("drops what the collector refuses for good, says so, and goes on with the next", () =>
    Effect.gen(function*() {
      const collector: Collector = { got: [], answer: { status: 400 } }
      const { outboxes, services, told } = yield* application(collector)
      yield* Effect.provideContext(Effect.andThen(span("bad"), span("worse")), services)
      yield* TestClock.adjust("5 seconds")
      const dropped = told.filter(({ attributes, name }) => name === "snakepit.otlp.drop" && attributes["signal"] === "traces")
      assert.deepStrictEqual(dropped.map(({ attributes, measurements }) => [measurements, attributes["reason"]]), [[{
        items: 2,
        status: 400
      }, "refused"]])
      assert.strictEqual(outboxes.traces?.refused, 2)
      collector.answer = { status: 200 }
      yield* Effect.provideContext(span("good"), services)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(spansOf(collector).map(({ name }) => name), ["good"])
      assert.strictEqual(outboxes.traces?.sent, 1)
      assert.deepStrictEqual(failuresOf(told, "otlp_traces"), [], "a refusal is the answer to one batch, not a failure of the child")
      assert.isEmpty(
        recordsOf(collector).filter(({ body }) => body.stringValue === "snakepit.otlp.drop"),
        "a record of that would make another"
      )
    }).pipe(Effect.provide(Live)))

  it.effect("keeps so much and no more while nobody sends: the oldest go, counted and told", () =>
    Effect.gen(function*() {
      const collector: Collector = { got: [], answer: "never" }
      const { outboxes, services, told } = yield* application(collector)
      const large = "x".repeat(1024 * 1024)
      for (let n = 0; n < 12; n++) {
        yield* Effect.provideContext(Effect.withSpan(Effect.annotateCurrentSpan("large", large), `span ${n}`), services)
        yield* TestClock.adjust("5 seconds")
      }
      const outbox = outboxes.traces!
      assert.isAtMost(outbox.bytes, 8 * 1024 * 1024)
      const drops = told.filter(({ attributes, name }) => name === "snakepit.otlp.drop" && attributes["reason"] === "full")
      assert.strictEqual(drops.reduce((sum, { measurements }) => sum + measurements["items"]!, 0), outbox.dropped)
      collector.answer = { status: 200 }
      yield* TestClock.adjust("1 minute")
      const names = spansOf(collector).map(({ name }) => name)
      assert.strictEqual(names.length + outbox.dropped, 12)
      assert.deepStrictEqual(names.slice(-5), ["span 7", "span 8", "span 9", "span 10", "span 11"])
    }).pipe(Effect.provide(Live)))

  it.effect("sends at the end what was told up to the last moment", () =>
    Effect.gen(function*() {
      const collector = taking()
      const scope = yield* Scope.make()
      const { services } = yield* Scope.provide(application(collector), scope)
      yield* Effect.provideContext(span("last"), services)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(spansOf(collector).map(({ name }) => name), ["last"])
      assert.include(recordsOf(collector).map(({ body }) => body.stringValue), "snakepit.telemetry_supervisor.terminate")
    }).pipe(Effect.provide(Live)))

  it.effect("lets the application end within 3 s when the collector does not answer", () =>
    Effect.gen(function*() {
      const collector: Collector = { got: [], answer: "never" }
      const scope = yield* Scope.make()
      const { services } = yield* Scope.provide(application(collector), scope)
      yield* Effect.provideContext(span("lost"), services)
      const closed = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.isDefined(closed.pollUnsafe())
    }).pipe(Effect.provide(Live)))
})

describe("the settings of OTLP", () => {
  const resolve = (input: typeof OtlpConfig.OtlpConfig.Encoded, environment: Record<string, string> = {}) =>
    OtlpConfig.settings(Schema.decodeUnknownSync(OtlpConfig.OtlpConfig)(input)).parse(ConfigProvider.fromEnv({ env: environment }))

  it.effect("are those of a collector on this machine when nobody says anything", () =>
    Effect.map(resolve({}), ({ protocol, resource, signals, targets }) => {
      assert.deepStrictEqual(targets.logs, { url: "http://127.0.0.1:4318/v1/logs", headers: {} })
      assert.deepStrictEqual({ protocol, resource, signals }, {
        protocol: "http/protobuf",
        resource: {},
        signals: ["traces", "logs", "metrics"]
      })
    }))

  it.effect("come from the environment where the configuration says nothing", () =>
    Effect.map(
      resolve({ headers: { b: "configured" } }, {
        OTEL_EXPORTER_OTLP_ENDPOINT: "https://otel.example/in",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://traces.example/",
        OTEL_EXPORTER_OTLP_HEADERS: "a=1%202,b=2",
        OTEL_EXPORTER_OTLP_LOGS_HEADERS: "a=3",
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_SERVICE_NAME: "shop",
        OTEL_RESOURCE_ATTRIBUTES: "service.name=other,deployment.environment=test"
      }),
      ({ protocol, resource, targets }) => {
        assert.deepStrictEqual(targets, {
          traces: { url: "https://traces.example/", headers: { a: "1 2", b: "configured" } },
          logs: { url: "https://otel.example/in/v1/logs", headers: { a: "3", b: "configured" } },
          metrics: { url: "https://otel.example/in/v1/metrics", headers: { a: "1 2", b: "configured" } }
        })
        assert.strictEqual(protocol, "http/json")
        assert.deepStrictEqual(resource, { "service.name": "shop", "deployment.environment": "test" })
      }
    ))

  it.effect("send nothing where OpenTelemetry is disabled", () =>
    Effect.map(resolve({}, { OTEL_SDK_DISABLED: "true" }), ({ signals }) => assert.deepStrictEqual(signals, [])))

  it("refuse what is no address, and show no header", () => {
    const decode = Schema.decodeUnknownSync(OtlpConfig.OtlpConfig)
    for (const url of ["collector:4318", "ftp://collector", ""]) assert.throws(() => decode({ url }), /no address of a collector/)
    assert.notInclude(JSON.stringify(decode({ headers: { "api-key": secret } })), secret)
  })
})

describe("a collector's answer", () => {
  it("is what the protocol says it is", () => {
    const statuses = [200, 202, 400, 401, 404, 413, 429, 500, 501, 502, 503, 504]
    assert.deepStrictEqual(
      statuses.filter((status) => OtlpSender.verdict(status) === "busy"),
      [429, 502, 503, 504]
    )
    assert.deepStrictEqual(statuses.filter((status) => OtlpSender.verdict(status) === "taken"), [200, 202])
  })
})
