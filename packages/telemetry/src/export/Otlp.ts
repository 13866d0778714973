/**
 * Traces, logs and metrics to a collector, over OTLP/HTTP, by Effect's own exporters.
 *
 * ```text
 *  program, tree ──▶ Effect's exporter ──▶ outbox ──▶ otlp_traces, otlp_logs, otlp_metrics ──▶ collector
 *                    batches, encodes      bounded     children of Telemetry: send, and are restarted
 *  └─────── for the application's life ─────────┘
 * ```
 *
 * **Details**
 *
 * What the program uses, the tracer and the logger, lives as long as the application, and so does what waits to be sent. What may fail is the sending: a
 * supervised child (`OtlpSender`). While there is none, or the collector is away, batches wait, and the oldest go, counted, when there are too many. Nobody
 * who ends a span or writes a log line meets any of that.
 *
 * When the application has stopped, what was told up to its last moment is sent, within {@link farewell}.
 *
 * Every event that is news is a log record too: its name is the body, its attributes and measurements are attributes, and {@link Severity.of} says how much
 * it matters. What is no news ({@link News.isNews}), as the samples of pools and workers, is left to the metrics.
 */
import { Event, Instrument } from "@snakepit/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Logger from "effect/Logger"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpLogger from "effect/observability/OtlpLogger"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { EventBus } from "../EventBus.ts"
import * as News from "../News.ts"
import * as TelemetryEvent from "../TelemetryEvent.ts"
import * as ExportMetrics from "./ExportMetrics.ts"
import * as OtlpConfig from "./OtlpConfig.ts"
import * as OtlpSender from "./OtlpSender.ts"
import { Outbox } from "./Outbox.ts"
import { Outboxes } from "./Outboxes.ts"
import * as Severity from "./Severity.ts"

/** How long the end of an application may wait for its collector. 3 s: less than orchestrators give before they kill. */
export const farewell = "3 seconds"

/** Not what is told about the sending of records itself: a record of that would make another. */
const isLogged = (event: Event.Event): boolean => News.isNews(event) && event.name !== TelemetryEvent.otlp_drop.name

type Encoding = OtlpSerialization.OtlpSerialization["Service"]

const encodings = { "http/json": OtlpSerialization.layerJson, "http/protobuf": OtlpSerialization.layerProtobuf }

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((sum, count) => sum + count, 0)

/**
 * Effect's encoding, in which the number of items of each body is known, and a metric's unit stands where OTLP has it, not among its labels too.
 */
const encoding = (encode: Encoding, items: WeakMap<HttpBody.HttpBody, number>): Encoding => {
  const counted = (body: HttpBody.HttpBody, count: number): HttpBody.HttpBody => {
    items.set(body, count)
    return body
  }
  return {
    traces: (data) =>
      counted(encode.traces(data), sum(data.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.map(({ spans }) => spans.length)))),
    logs: (data) =>
      counted(
        encode.logs(data),
        sum(data.resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.map(({ logRecords = [] }) => logRecords.length)))
      ),
    metrics: (data) => {
      const metrics = data.resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics).flatMap(({ metrics }) => metrics)
      const points = metrics.flatMap(({ gauge, histogram, sum, summary }) => (sum ?? gauge ?? histogram ?? summary)?.dataPoints ?? [])
      for (const point of points) point.attributes = (point.attributes ?? []).filter(({ key }) => key !== "unit" && key !== "time_unit")
      return counted(encode.metrics(data), points.length)
    }
  }
}

/** What Effect's exporter takes for the network: each request goes into the outbox, and is answered at once. */
const intoOutbox = (outbox: Outbox, items: WeakMap<HttpBody.HttpBody, number>): HttpClient.HttpClient =>
  HttpClient.make((request) =>
    Effect.sync(() => {
      const { body } = request
      outbox.put({ request, items: items.get(body) ?? 0, bytes: body._tag === "Uint8Array" ? body.contentLength : 0 })
      return HttpClientResponse.fromWeb(request, new Response(null, { status: 202 }))
    })
  )

/** The event as a log record, through the exporter's own logger. */
const record = (
  logger: Logger.Logger<unknown, unknown>,
  { at, attributes: { heard: _, ...attributes }, measurements, name }: Event.Event // what was heard is for a replay, and long
): Effect.Effect<void> =>
  Effect.withFiber<void>((fiber) => {
    const logLevel = Severity.of(name, attributes["planned"])
    logger.log({ message: name, logLevel, cause: Cause.empty, fiber, date: new Date(at) })
    return Effect.void
  }).pipe(Effect.annotateLogs({ ...measurements, ...attributes, "event.name": name })) // a tool names what it measures as it likes

/**
 * The exporters of an application, with the tracer and the logger among them for what is built and run in the context that this returns. Without a
 * configuration there is none of it, and the program's own stay as they are.
 *
 * @param instance identifies this run
 */
export const make = (
  config: OtlpConfig.OtlpConfig | undefined,
  instance: string
): Effect.Effect<Context.Context<never>, never, EventBus | HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    if (config === undefined) return Context.empty()
    const settings = yield* OtlpConfig.settings(config).pipe(
      Effect.tapError((error) =>
        Effect.logWarning("a variable OTEL_… cannot be read, and those of OpenTelemetry count for nothing", error)
      ),
      Effect.orElseSucceed(() => OtlpConfig.withoutEnvironment(config))
    )
    const client = yield* HttpClient.HttpClient
    const bus = yield* EventBus
    const context = yield* Effect.context<never>()
    const clock = yield* Clock.Clock

    const outboxes: Partial<Record<OtlpConfig.Signal, Outbox>> = {}
    for (const signal of settings.signals) {
      const full = { signal, reason: "full" } as const
      const outbox = new Outbox(
        client,
        (items) =>
          Event.tell(bus, Event.make(TelemetryEvent.otlp_drop, clock.currentTimeMillisUnsafe(), { items, status: undefined }, full))
      )
      const series = [
        Instrument.register(context, ExportMetrics.sent, { signal }, () => outbox.sent),
        Instrument.register(context, ExportMetrics.dropped, { signal, reason: "refused" }, () => outbox.refused),
        Instrument.register(context, ExportMetrics.dropped, full, () => outbox.dropped),
        Instrument.register(context, ExportMetrics.waiting, { signal }, () => outbox.bytes)
      ]
      yield* Effect.addFinalizer(() => Effect.sync(() => series.forEach((remove) => remove())))
      outboxes[signal] = outbox
    }
    yield* Effect.addFinalizer(() =>
      // runs after the exporters have given what they had
      Effect.forEach(settings.signals, (signal) => OtlpSender.drain(outboxes[signal]!, signal), { concurrency: "unbounded", discard: true })
        .pipe(
          Effect.timeoutOption(farewell),
          Effect.ignore({ log: "Debug" })
        )
    )

    const items = new WeakMap<HttpBody.HttpBody, number>()
    const resource = {
      serviceName: settings.resource["service.name"] ?? "snakepit",
      attributes: {
        "service.instance.id": instance,
        "process.pid": process.pid,
        "process.runtime.name": "nodejs",
        "process.runtime.version": process.versions.node,
        ...settings.resource
      }
    }
    const encode = yield* Effect.provide(OtlpSerialization.OtlpSerialization, encodings[settings.protocol])
    const exporter = <A, R>(
      signal: OtlpConfig.Signal,
      make: (options: typeof common & OtlpConfig.Target) => Effect.Effect<A, never, R>
    ) => {
      const outbox = outboxes[signal]
      return outbox === undefined ? Effect.succeed(undefined) : make({ ...common, ...settings.targets[signal] }).pipe(
        Effect.provideService(HttpClient.HttpClient, intoOutbox(outbox, items))
      )
    }
    const common = { resource, shutdownTimeout: farewell } as const
    const { interval, temporality } = config
    const made = Effect.gen(function*() {
      const logger = yield* exporter("logs", (options) => OtlpLogger.make({ ...options, exportInterval: interval.logs }))
      const tracer = yield* exporter("traces", (options) => OtlpTracer.make({ ...options, exportInterval: interval.traces }))
      yield* exporter("metrics", (options) => OtlpMetrics.make({ ...options, exportInterval: interval.metrics, temporality }))
      return { logger, tracer }
    }).pipe(
      Effect.provide(OtlpExporter.layerFlusher),
      Effect.provideService(OtlpSerialization.OtlpSerialization, encoding(encode, items)),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({})) // what the environment says is in the settings
    )
    const { logger, tracer } = yield* made
    let services: Context.Context<never> = Context.make(Outboxes, outboxes)
    if (tracer !== undefined) services = Context.add(services, Tracer.Tracer, tracer)
    if (logger !== undefined) {
      const others = yield* Logger.CurrentLoggers
      services = Context.add(services, Logger.CurrentLoggers, new Set([...others, logger]))
      yield* bus.tap("*", (event) => { // the logger only appends, and what is told at the very end counts too
        if (isLogged(event)) Effect.runForkWith(context)(record(logger, event))
      })
    }
    return services
  })
