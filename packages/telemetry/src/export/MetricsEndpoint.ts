/**
 * `/metrics`: what the application measures, in the text format of Prometheus, as a supervised child.
 *
 * ```text
 *  start ─▶ listen ─▶ each scrape reads every metric in that moment
 *                └▶ cannot: MetricsEndpointFailed, and Telemetry tries again with backoff. The first start is acknowledged all the same,
 *                   because the application comes up without it
 * ```
 *
 * A metric that is declared (`Instrument`) has its name for Prometheus: base unit and `_total`. The application's own metrics of Effect appear too, under
 * the names that they have.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/ version 0.0.4
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Child, Event, Instrument, ListenAddress } from "@snakepit/core"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHash, timingSafeEqual } from "node:crypto"
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { type AddressInfo, createConnection } from "node:net"
import { dirname, resolve } from "node:path"
import * as TelemetryEvent from "../TelemetryEvent.ts"
import type { PrometheusConfig } from "./PrometheusConfig.ts"

/** `/metrics` could not listen. It is tried again by itself. */
export class MetricsEndpointFailed extends Schema.TaggedError<MetricsEndpointFailed>()("MetricsEndpointFailed", {
  listen: Schema.String,
  /** The system's name for what was wrong, `EADDRINUSE`; or `EXPOSED`: the socket would be in reach of other users; or `OTHER`. */
  code: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `/metrics cannot listen on ${this.listen} (${this.code}): ${this.detail}. ${
      next(this.code)
    }. It is tried again by itself, and no pool is touched`
  }
}

const next = (code: string): string => {
  switch (code) {
    case "EADDRINUSE":
      return "Another program, or another application, listens there: end it, or choose another address (telemetry.prometheus.listen)"
    case "EXPOSED":
      return "Choose a folder for the socket that is yours alone (mode 0700), or one that does not exist yet: it is made so"
    default:
      return "Check telemetry.prometheus.listen"
  }
}

const failed = (listen: string, cause: unknown): MetricsEndpointFailed => {
  if (cause instanceof MetricsEndpointFailed) return cause
  const { code = "OTHER" } = cause as { readonly code?: string }
  return new MetricsEndpointFailed({ listen, code, detail: cause instanceof Error ? cause.message : String(cause) })
}

/** Two Prometheus servers, a person, and room for some more; the next connection is closed at once. */
const maxConnections = 16

/** A scraper says what it wants in one line and some headers. */
const server = () => {
  const made = createServer({ maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 5000 })
  made.maxConnections = maxConnections
  return made
}

/** 16 MiB: some 100,000 series. More is a label without bounds, and neither side should pay for it every few seconds. */
const largestBody = 16 * 1024 * 1024

/** The metrics that the context's registry holds, as Prometheus reads them. */
export const render = (context: Context.Context<never>, declared: ReadonlyArray<Instrument.Declaration>): string =>
  PrometheusMetrics.formatUnsafe(context, { metricNameMapper: Instrument.prometheusNames(declared) })

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

const isAllowed = (token: PrometheusConfig["token"]): (said: string | undefined) => boolean => {
  if (token === undefined) return () => true
  const expected = digest(`Bearer ${Redacted.value(token)}`)
  return (said) => said !== undefined && timingSafeEqual(digest(said), expected) // digests are as long as each other
}

/** What a request is answered. */
const answer = (
  { path, token }: PrometheusConfig,
  context: Context.Context<never>,
  declared: ReadonlyArray<Instrument.Declaration>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest> => {
  const allowed = isAllowed(token)
  const plain = (status: number, text: string, headers = {}) => HttpServerResponse.text(`${text}\n`, { status, headers })
  return Effect.map(HttpServerRequest, ({ headers, method, url }) => {
    if (url.split("?")[0] !== path) return plain(404, `the metrics are at ${path}`)
    if (method !== "GET" && method !== "HEAD") return plain(405, "ask with GET", { allow: "GET, HEAD" })
    if (!allowed(headers["authorization"])) {
      return plain(401, "say the token of telemetry.prometheus: Authorization: Bearer <token>", { "www-authenticate": "Bearer" })
    }
    const body = render(context, declared)
    return Buffer.byteLength(body) > largestBody
      ? plain(503, `the metrics take more than ${largestBody} bytes: a label of the application's own has too many values`)
      : HttpServerResponse.text(body, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
  })
}

/** Makes the folder of a socket if it is not there. Throws when others may reach into it. */
const prepareFolder = (listen: string, path: string): void => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const { mode, uid } = lstatSync(dirname(path))
  if (uid !== (process.getuid?.() ?? uid) || (mode & 0o077) !== 0) {
    throw new MetricsEndpointFailed({ listen, code: "EXPOSED", detail: `others can reach into ${dirname(path)}` })
  }
}

/** Takes away the socket that a killed host has left: nobody accepts connections on it. */
const clear = (path: string): Effect.Effect<void> =>
  lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true ? Effect.void : Effect.callback((resume) => {
    const socket = createConnection(path)
    socket.once("connect", () => resume(Effect.void))
    socket.once("error", () => resume(Effect.sync(() => rmSync(path, { force: true }))))
    return Effect.sync(() => socket.destroy())
  })

/** Listens and answers; returns the address, with the port that was chosen. */
const serve = (config: PrometheusConfig, declared: ReadonlyArray<Instrument.Declaration>) =>
  Effect.gen(function*() {
    const { listen } = config
    const asked = ListenAddress.parse(listen)!
    const address: ListenAddress.ListenAddress = asked._tag === "Unix" ? { ...asked, path: resolve(asked.path) } : asked
    if (address._tag === "Unix") {
      yield* Effect.try({ try: () => prepareFolder(listen, address.path), catch: (cause) => failed(listen, cause) })
      yield* clear(address.path)
    }
    const node = server()
    const options = address._tag === "Unix"
      ? { path: address.path }
      : { port: address.port, host: address.host === "localhost" ? "127.0.0.1" : address.host }
    const http = yield* Effect.mapError(
      NodeHttpServer.make(() => node, { ...options, disablePreemptiveShutdown: true }),
      ({ cause }) => failed(listen, cause)
    )
    if (address._tag === "Unix") yield* Effect.sync(() => chmodSync(address.path, 0o600))
    yield* http.serve(answer(config, yield* Effect.context<never>(), declared))
    yield* Effect.addFinalizer(() => Effect.sync(() => node.closeAllConnections())) // a scraper that reads slowly must not hold the stop
    return ListenAddress.render(address._tag === "Unix" ? address : { ...address, port: (node.address() as AddressInfo).port })
  })

const begin = (config: PrometheusConfig, declared: ReadonlyArray<Instrument.Declaration>) =>
  Effect.gen(function*() {
    const address = yield* serve(config, declared)
    yield* Event.emit(TelemetryEvent.metrics_endpoint_start, {}, { address, resource: config.path })
    return Effect.never
  }).pipe(Effect.withTracerEnabled(false)) // scrapes are no part of what the application does

/** `declared`: the metrics whose names it knows. */
export const child = (config: PrometheusConfig, declared: ReadonlyArray<Instrument.Declaration>) =>
  Child.make("metrics_endpoint", {
    start: Effect.gen(function*() {
      const { generation } = yield* Child.CurrentChild
      const served = yield* Effect.exit(begin(config, declared))
      if (Exit.isSuccess(served)) return served.value as Effect.Effect<never, MetricsEndpointFailed>
      // the first start is acknowledged: its failure is the first failure of the child's life
      return generation === 0 ? served : yield* served as Exit.Exit<never>
    })
  })
