import { assert, describe, it } from "@effect/vitest"
import { Instrument } from "@snakepit/core"
import { Context, Effect, Layer, Metric } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { OtlpExporter, OtlpMetrics, OtlpSerialization, PrometheusMetrics } from "effect/observability"

const calls = Instrument.declare({
  name: "snakepit.pool.calls",
  layer: "control",
  kind: "counter",
  unit: "{call}",
  description: "calls that are over",
  labels: ["pool"]
})
const duration = Instrument.declare({
  name: "snakepit.pool.call.duration",
  layer: "control",
  kind: "histogram",
  unit: "s",
  description: "from the call to its result",
  labels: ["pool"],
  boundaries: [0.1, 1]
})

const registry = () => Context.make(Metric.MetricRegistry, new Map())

describe("Instrument", () => {
  it("is read when somebody collects, and has no series after its end", () => {
    const context = registry()
    let count = 0
    const remove = Instrument.register(context, calls, { pool: "a" }, () => count)
    Instrument.register(context, calls, { pool: "b" }, () => 7)
    count = 3
    const values = () => Metric.snapshotUnsafe(context).map(({ attributes, state }) => [attributes?.["pool"], state])
    assert.deepStrictEqual(values(), [["a", { count: 3, incremental: true }], ["b", { count: 7, incremental: true }]])
    remove()
    assert.deepStrictEqual(values(), [["b", { count: 7, incremental: true }]])
  })

  it.effect("counts values by bucket, the bound included, as Prometheus prints them", () =>
    Effect.gen(function*() {
      const histogram = new Instrument.Histogram(duration)
      Instrument.registerHistogram(yield* Effect.context<never>(), duration, { pool: "a" }, histogram)
      for (const value of [0.05, 0.1, 0.5, 2, 3]) histogram.record(value)
      const text = yield* PrometheusMetrics.format()
      const bucket = (le: string) =>
        new RegExp(`_bucket\\{pool="a",le="${le.replaceAll(/[.+]/g, String.raw`\$&`)}"\\} (\\d+)`).exec(text)?.[1]
      assert.deepStrictEqual([bucket("0.1"), bucket("1"), bucket("+Inf")], ["2", "3", "5"])
      assert.include(text, "snakepit_pool_call_duration_sum{pool=\"a\"} 5.65")
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("are what OTLP takes them for: sums that only grow, buckets of their own, units in UCUM", () =>
    Effect.gen(function*() {
      let sent: any
      const client = HttpClient.make((request) => {
        sent = JSON.parse(new TextDecoder().decode((request.body as { readonly body: Uint8Array }).body))
        return Effect.succeed(HttpClientResponse.fromWeb(request, new Response()))
      })
      const ready = Instrument.declare({ ...calls, name: "snakepit.pool.saturation", kind: "gauge", unit: "1" })
      const histogram = new Instrument.Histogram(duration)
      for (const value of [0.05, 0.1, 0.5, 2, 3]) histogram.record(value)
      const series = yield* Instrument.series
      series.add(calls, { pool: "a" }, () => 7)
      series.add(ready, { pool: "a" }, () => 0.5)
      series.addHistogram(duration, { pool: "a" }, histogram)
      yield* Effect.provide(
        Effect.flatMap(OtlpExporter.Flusher, ({ flush }) => flush),
        OtlpMetrics.layer({ url: "http://collector", resource: { serviceName: "test" } }).pipe(
          Layer.provide([OtlpSerialization.layerJson, Layer.succeed(HttpClient.HttpClient, client)])
        )
      )
      const [sum, gauge, buckets] = sent.resourceMetrics[0].scopeMetrics[0].metrics
      assert.deepInclude(sum, { name: "snakepit.pool.calls", unit: "{call}" })
      assert.deepInclude(sum.sum, { isMonotonic: true, aggregationTemporality: 2 })
      assert.strictEqual(sum.sum.dataPoints[0].asDouble, 7)
      assert.deepInclude(gauge, { name: "snakepit.pool.saturation", unit: "1" })
      assert.strictEqual(gauge.gauge.dataPoints[0].asDouble, 0.5)
      assert.deepInclude(buckets, { name: "snakepit.pool.call.duration", unit: "s" })
      const point = { count: 5, min: 0.05, max: 3, bucketCounts: [2, 1, 2], explicitBounds: [0.1, 1] }
      assert.deepInclude(buckets.histogram.dataPoints[0], point)
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("end together, with the scope of what they are about", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const series = yield* Instrument.series
        series.add(calls, { pool: "a" }, () => 7)
        series.addHistogram(duration, { pool: "a" }, new Instrument.Histogram(duration))
        assert.strictEqual((yield* Metric.snapshot).length, 2)
      }))
      assert.deepStrictEqual(yield* Metric.snapshot, [])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it("says its extremes, and nothing impossible before the first value", () => {
    const histogram = new Instrument.Histogram(duration)
    assert.deepStrictEqual(histogram.state, { buckets: [[0.1, 0], [1, 0]], count: 0, min: 0, max: 0, sum: 0 })
    histogram.record(4)
    assert.deepInclude(histogram.state, { count: 1, min: 4, max: 4, sum: 4 })
  })

  it("has the unit and the kind in its name for Prometheus", () => {
    assert.strictEqual(Instrument.prometheusName(calls), "snakepit_pool_calls_total")
    assert.strictEqual(Instrument.prometheusName(duration), "snakepit_pool_call_duration_seconds")
    const names = Instrument.prometheusNames([calls, duration])
    assert.deepStrictEqual(["snakepit.pool.calls", "of.others"].map(names), ["snakepit_pool_calls_total", "of.others"])
    const cpu = Instrument.declare({ ...calls, name: "process.cpu.time", unit: "s" })
    assert.strictEqual(Instrument.prometheusName(cpu), "process_cpu_time_seconds_total")
  })

  it("refuses boundaries and values where they mean nothing, and a histogram without boundaries", () => {
    assert.throws(() => Instrument.declare({ ...calls, boundaries: [1] }), /boundaries/)
    const { boundaries: _, ...rest } = duration
    assert.throws(() => Instrument.declare(rest), /boundaries/)
    assert.throws(() => Instrument.declare({ ...calls, values: { tool: ["a"] } }), /tool has values and is no label/)
    assert.throws(() => Instrument.register(registry(), duration, { pool: "a" }, () => 1), /registerHistogram/)
  })
})
