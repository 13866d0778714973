/** What Prometheus is given of an application that runs: every declared metric, read of real workers. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Metric, Schedule, Stream } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { Instrument, Pool, PoolControl, Snakepit, SnakepitMetrics } from "snakepit"
import * as GatewayClient from "./fixtures/GatewayClient.ts"
import { connect, token, withGateway } from "./fixtures/GatewayProgram.ts"
import { Tools } from "./fixtures/Tools.ts"

const { declarations } = SnakepitMetrics

const format = PrometheusMetrics.format({ metricNameMapper: Instrument.prometheusNames(declarations) })

/** The sum over all series of a metric whose labels fit. */
const value = (text: string, name: string, labels = ""): number =>
  text.split("\n").reduce(
    (sum, line) =>
      (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(labels)
        ? sum + Number(line.slice(line.lastIndexOf(" ")))
        : sum,
    0
  )

describe.skipIf(process.platform !== "linux")("the metrics of real workers", () => {
  /** Nobody takes what is sent there: discard. */
  const telemetry = { otlp: { url: "http://127.0.0.1:9" } }
  layer(Snakepit.layer({ ...withGateway({ listen: "127.0.0.1:0", token }, { size: 2 }), telemetry }), {
    excludeTestServices: true,
    timeout: "30 seconds"
  })((it) => {
    it.effect("are all there, with what has happened in them", () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        const { execute } = yield* connect
        yield* Effect.forEach([1, 2, 3, 4], (n) => tools.add({ a: n, b: 1 }), { concurrency: 4 })
        yield* tools.echo({ data: new Uint8Array(100_000) })
        yield* Stream.runDrain(tools.count({ n: 10 }))
        yield* Effect.ignore(tools.fail({ token: "no" }))
        yield* execute(GatewayClient.json("add", { a: 1, b: 2 }))
        yield* tools.hold_and_work({ seconds: 0.1 }) // several of the kernel's ticks of 10 ms
        const cpu = "snakepit_worker_cpu_time_seconds_total"
        const text = yield* Effect.repeat(format, { until: (text) => value(text, cpu) > 0, schedule: Schedule.spaced("20 millis") })
        for (const declaration of declarations) {
          const name = Instrument.prometheusName(declaration)
          assert.include(text, `# TYPE ${name} ${declaration.kind}\n`, `${declaration.name} is declared, and has no series`)
        }
        assert.strictEqual(value(text, "snakepit_pool_calls_total", "tool=\"add\",outcome=\"ok\""), 5)
        assert.strictEqual(value(text, "snakepit_pool_calls_total", "tool=\"fail\",outcome=\"failed\""), 1)
        assert.strictEqual(value(text, "snakepit_pool_workers", "state=\"ready\""), 2)
        assert.strictEqual(value(text, "snakepit_bridge_connections"), 2)
        assert.strictEqual(value(text, "snakepit_gateway_calls_total", "outcome=\"ok\""), 1)
        assert.isAtLeast(value(text, "snakepit_bridge_payload_size_bytes_sum", "direction=\"out\""), 100_000)
        for (const slot of [0, 1]) {
          const labels = `slot="${slot}"`
          assert.isAbove(value(text, "snakepit_worker_memory_usage_bytes", labels), 1_000_000)
          assert.isAbove(value(text, "snakepit_worker_unix_file_descriptor_count", labels), 2)
          assert.isAtLeast(value(text, "snakepit_worker_thread_count", labels), 1)
        }
        assert.isAbove(value(text, "snakepit_bridge_messages_total", "direction=\"in\""), 4)
        assert.strictEqual(value(text, "snakepit_supervisor_budget_left_ratio", "supervisor=\"worker\""), 1)
        assert.isAbove(value(text, "snakepit_telemetry_events_total"), 5)
      }))

    it.effect("have a series of every declared metric only, and none of a worker that is gone", () =>
      Effect.gen(function*() {
        const names = new Set<string>(declarations.map(({ name }) => name))
        const undeclared = (yield* Metric.snapshot).filter(({ id }) => !names.has(id)).map(({ id }) => id)
        assert.deepStrictEqual(undeclared, [])
        const control = yield* PoolControl.of("default")
        yield* control.scale(1)
        yield* Effect.repeat(control.status, { until: ({ workers }) => workers.length === 1 })
        const slots = (yield* Metric.snapshot).flatMap(({ attributes }) => attributes?.["slot"] ?? [])
        assert.strictEqual(new Set(slots).size, 1)
      }))
  })
})
