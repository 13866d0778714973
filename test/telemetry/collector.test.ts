/**
 * A real OpenTelemetry Collector takes what a real application sends, in both encodings. `collector/` is its smallest form: `.ci/run` builds it where Go is,
 * and `SNAKEPIT_OTELCOL` names it; else one named `otelcol` on the PATH is used that has the receiver `otlp` and the exporter `file`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { EventBus, Pool, Snakepit } from "snakepit"
import { stringify } from "yaml"
import { config, until } from "../e2e/fixtures/Program.ts"
import { Tools } from "../e2e/fixtures/Tools.ts"
import * as Server from "./Server.ts"

const program = process.env["SNAKEPIT_OTELCOL"] ?? Server.find("otelcol")

const attributesOf = (attributes: ReadonlyArray<any>): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

/** A collector that writes what it takes into a file of each signal. */
const collector = Effect.gen(function*() {
  const folder = yield* Server.folder
  const port = yield* Server.freePort
  const file = (signal: string) => join(folder, `${signal}.json`)
  const signals = ["traces", "logs", "metrics"]
  const settings = join(folder, "collector.yml")
  writeFileSync(
    settings,
    stringify({
      receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
      exporters: Object.fromEntries(signals.map((signal) => [`file/${signal}`, { path: file(signal), flush_interval: "100ms" }])),
      service: {
        pipelines: Object.fromEntries(signals.map((signal) => [signal, { receivers: ["otlp"], exporters: [`file/${signal}`] }])),
        telemetry: { metrics: { level: "none" } }
      }
    })
  )
  const said = yield* Server.run(program!, [`--config=file:${settings}`])
  const lines = (signal: string): ReadonlyArray<any> =>
    existsSync(file(signal)) ? readFileSync(file(signal), "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line)) : []
  const isUp = () => fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false)
  assert.isTrue(yield* Effect.promise(() => until(isUp, (up) => up, 30_000)), said())
  return { url: `http://127.0.0.1:${port}`, lines }
})

describe("a real OpenTelemetry Collector", () => {
  it.skipIf(program === undefined).each(["http/protobuf", "http/json"] as const)(
    "takes traces, logs and metrics over %s",
    (protocol) =>
      Effect.gen(function*() {
        const { lines, url } = yield* collector
        const telemetry = { otlp: { url, protocol, resource: { "service.name": "shop", "service.version": "1.2.3" } } }
        yield* Effect.gen(function*() {
          const tools = yield* Pool.client(Tools)
          yield* tools.add({ a: 1, b: 2 }).pipe(Effect.withSpan("my work", { attributes: { answer: 42 } }))
          yield* Effect.logInfo("a line of the program")
          ;(yield* EventBus.EventBus).emit({
            name: "snakepit.fleet_supervisor.give_up",
            at: 1_700_000_000_000,
            measurements: { budgetLeft: 0 },
            attributes: { path: "a/b" }
          })
        }).pipe(Effect.provide(Snakepit.layer({ ...config(), telemetry })))

        // the application has ended: what it had to say was sent before
        const has = () => ["traces", "logs", "metrics"].every((signal) => lines(signal).length > 0)
        assert.isTrue(yield* Effect.promise(() => until(has, (all) => all)))
        const resource = attributesOf(lines("traces")[0].resourceSpans[0].resource.attributes)
        assert.strictEqual(resource["service.name"], "shop")
        assert.strictEqual(resource["service.version"], "1.2.3")
        assert.strictEqual(resource["process.pid"], String(process.pid))
        assert.isString(resource["service.instance.id"])

        const spans = lines("traces").flatMap(({ resourceSpans }) => resourceSpans).flatMap(({ scopeSpans }) => scopeSpans).flatMap((
          { spans }
        ) => spans)
        const mine = spans.find(({ name }) => name === "my work")
        assert.strictEqual(attributesOf(mine.attributes)["answer"], "42")
        const records = lines("logs").flatMap(({ resourceLogs }) => resourceLogs).flatMap(({ scopeLogs }) => scopeLogs).flatMap((
          { logRecords }
        ) => logRecords)
        const bodies = records.map(({ body }) => body.stringValue)
        assert.includeMembers(bodies, ["a line of the program", "snakepit.root_supervisor.start", "snakepit.root_supervisor.terminate"])
        const gaveUp = records.find(({ body }) => body.stringValue === "snakepit.fleet_supervisor.give_up")
        assert.strictEqual(gaveUp.severityText, "Error")
        assert.deepInclude(attributesOf(gaveUp.attributes), { path: "a/b", budgetLeft: "0" })
        const metrics = lines("metrics").flatMap(({ resourceMetrics }) => resourceMetrics).flatMap(({ scopeMetrics }) => scopeMetrics)
          .flatMap(({ metrics }) => metrics)
        const sent = metrics.find(({ name }) => name === "snakepit.otlp.sent")
        assert.isTrue(sent.sum.isMonotonic)
        assert.strictEqual(sent.unit, "{item}")
      }).pipe(Effect.scoped, Effect.runPromise)
  )
})
