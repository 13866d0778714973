/** The settings of OTLP/HTTP, and what the environment says where they say nothing, as OpenTelemetry has it. */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

export const signals = ["traces", "logs", "metrics"] as const
export type Signal = typeof signals[number]

const interval = (value: string) => Schema.DurationFromString.pipe(Schema.withDecodingDefault(Effect.succeed(value)))

const Url = Schema.String.check(
  Schema.makeFilter((text) =>
    /^https?:$/.test(URL.parse(text)?.protocol ?? "") || "it is no address of a collector: write one as http://127.0.0.1:4318"
  )
)

export const OtlpConfig = Schema.Struct({
  /**
   * The collector; `/v1/traces`, `/v1/logs` and `/v1/metrics` are added. When left out: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT` and so on,
   * taken as they are), else `http://127.0.0.1:4318`, where a collector listens by itself.
   */
  url: Schema.optional(Url),
  /** Sent with each request, as a collector's key. Never shown: not in errors, not in logs. They come over those of `OTEL_EXPORTER_OTLP_HEADERS`. */
  headers: Schema.Record(Schema.String, Schema.RedactedFromValue(Schema.String)).pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  /** When left out: `OTEL_EXPORTER_OTLP_PROTOCOL`, else `http/protobuf`, which every collector takes. */
  protocol: Schema.optional(Schema.Literals(["http/protobuf", "http/json"])),
  /** What is sent. A program that has a tracer of its own leaves `traces` out. */
  signals: Schema.Array(Schema.Literals(signals)).pipe(Schema.withDecodingDefault(Effect.succeed(signals))),
  interval: Schema.Struct({
    traces: interval("5 seconds"), // what OpenTelemetry's batches wait
    logs: interval("1 second"), // somebody may be reading along
    metrics: interval("10 seconds") // a question of what the collector is to keep; Prometheus scrapes about as often
  }).pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  /** `cumulative`: counts since the start, what Prometheus and most collectors expect. `delta`: since the last time; what is lost on the way is lost. */
  temporality: Schema.Literals(["cumulative", "delta"]).pipe(Schema.withDecodingDefault(Effect.succeed("cumulative" as const))),
  /**
   * What is said of this program: `service.name` and `service.version` among others, over `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`. `service.name`
   * is `snakepit` when nobody says, `service.instance.id` the id of the run.
   */
  resource: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefault(Effect.succeed({})))
})

/** The settings, decoded. */
export type OtlpConfig = typeof OtlpConfig.Type

/** Where one signal goes. */
export interface Target {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/** What holds, after the environment. */
export interface Settings {
  readonly targets: Readonly<Record<Signal, Target>>
  readonly signals: ReadonlyArray<Signal>
  readonly protocol: "http/protobuf" | "http/json"
  readonly resource: Readonly<Record<string, string>>
}

const text = (name: string) =>
  Config.option(Config.String(name)).pipe(Config.map((found) => found._tag === "Some" ? found.value : undefined))

/** `a=1,b=2`, percent-encoded. */
const record = (name: string) =>
  Config.Record(Schema.StringFromUriComponent, Schema.StringFromUriComponent, name, { trim: true, keepEmptyValues: true }).pipe(
    Config.withDefault<Readonly<Record<string, string>>>({})
  )

const specific = (signal: Signal, name: string): string => `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${name}`

const target = (config: OtlpConfig, signal: Signal) =>
  Config.all({
    own: text(specific(signal, "ENDPOINT")),
    base: text("OTEL_EXPORTER_OTLP_ENDPOINT"),
    headers: record("OTEL_EXPORTER_OTLP_HEADERS"),
    ownHeaders: record(specific(signal, "HEADERS"))
  }).pipe(Config.map(({ base, headers, own, ownHeaders }): Target => ({
    url: config.url === undefined && own !== undefined
      ? own
      : `${(config.url ?? base ?? "http://127.0.0.1:4318").replace(/\/+$/, "")}/v1/${signal}`,
    headers: {
      ...headers,
      ...ownHeaders,
      ...Object.fromEntries(Object.entries(config.headers).map(([name, value]) => [name, Redacted.value(value)]))
    }
  })))

/**
 * The settings of a configuration, completed by the environment. Fails with a `ConfigError` where a variable cannot be read.
 *
 * @see https://opentelemetry.io/docs/specs/otel/protocol/exporter/
 */
export const settings = (config: OtlpConfig): Config.Config<Settings> =>
  Config.all({
    disabled: Config.Boolean("OTEL_SDK_DISABLED").pipe(Config.withDefault(false)),
    protocol: text("OTEL_EXPORTER_OTLP_PROTOCOL"),
    name: text("OTEL_SERVICE_NAME"),
    resource: record("OTEL_RESOURCE_ATTRIBUTES"),
    traces: target(config, "traces"),
    logs: target(config, "logs"),
    metrics: target(config, "metrics")
  }).pipe(Config.map(({ disabled, name, protocol, resource, ...targets }) => ({
    targets,
    signals: disabled ? [] : config.signals,
    protocol: config.protocol ?? (protocol === "http/json" ? protocol : "http/protobuf"),
    resource: { ...resource, ...(name === undefined ? {} : { "service.name": name }), ...config.resource }
  })))

/** The settings without what the environment says. */
export const withoutEnvironment = (config: OtlpConfig): Settings => Effect.runSync(settings(config).parse(ConfigProvider.fromUnknown({})))
