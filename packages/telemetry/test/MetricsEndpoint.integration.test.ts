/** `/metrics` over real connections of this machine: what a scraper gets, and what becomes of a port that is taken. */
import { assert, describe, it } from "@effect/vitest"
import { type Event, Instrument, Supervisor } from "@snakepit/core"
import { EventBus, EventLog, History, PrometheusConfig, TelemetrySupervisor } from "@snakepit/telemetry"
import { Effect, Layer, Metric, Queue, Schema } from "effect"
import { chmodSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { request } from "node:http"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

const token = "0123456789abcdef0123456789abcdef"
const waits = Instrument.declare({
  name: "snakepit.test.waits",
  layer: "control",
  kind: "histogram",
  unit: "s",
  description: "how long \\ is waited\nfor",
  labels: ["pool"],
  boundaries: [0.1, 1]
})
const calls = Instrument.declare({
  name: "snakepit.test.calls",
  layer: "control",
  kind: "counter",
  unit: "{call}",
  description: "calls",
  labels: ["pool"]
})

const Live = Layer.merge(EventLog.EventLog.layer, History.History.layer).pipe(Layer.provideMerge(EventBus.EventBus.layer))

/** Events of one name, from now on. */
const heard = (name: string) =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<Event.Event>()
    yield* (yield* EventBus.EventBus).tap(name, (event) => Queue.offerUnsafe(queue, event))
    return queue
  })

const start = (input: typeof PrometheusConfig.PrometheusConfig.Encoded) =>
  Effect.gen(function*() {
    const prometheus = Schema.decodeUnknownSync(PrometheusConfig.PrometheusConfig)(input)
    const up = yield* heard("snakepit.metrics_endpoint.start")
    const handle = yield* Supervisor.start(TelemetrySupervisor.make({ prometheus }, [waits, calls]))
    return { up, handle }
  })

const addressOf = (queue: Queue.Queue<Event.Event>) => Effect.map(Queue.take(queue), ({ attributes }) => String(attributes["address"]))

const get = (address: string, path = "/metrics", init: RequestInit = {}) =>
  Effect.promise(async () => {
    const response = await fetch(`http://${address}${path}`, init)
    return { status: response.status, type: response.headers.get("content-type"), text: await response.text() }
  })

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "metrics-endpoint-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

describe("/metrics", () => {
  it.live("says every metric by its name for Prometheus, with its help and type, escaped; the application's own too", () =>
    Effect.gen(function*() {
      const context = yield* Effect.context<never>()
      const histogram = new Instrument.Histogram(waits)
      histogram.record(0.5)
      const ends = [
        Instrument.registerHistogram(context, waits, { pool: "a\"b\\c\nd" }, histogram),
        Instrument.register(context, calls, { pool: "default" }, () => 7)
      ]
      yield* Effect.addFinalizer(() => Effect.sync(() => ends.forEach((end) => end())))
      yield* Metric.update(Metric.gauge("my_own_gauge", { description: "of the application" }), 3)
      const { up } = yield* start({ listen: "127.0.0.1:0" })
      const { status, text, type } = yield* get(yield* addressOf(up))
      assert.strictEqual(status, 200)
      assert.strictEqual(type, "text/plain; version=0.0.4; charset=utf-8")
      for (
        const lines of [
          "# HELP snakepit_test_waits_seconds how long \\\\ is waited\\nfor\n# TYPE snakepit_test_waits_seconds histogram\n",
          "snakepit_test_waits_seconds_bucket{pool=\"a\\\"b\\\\c\\nd\",le=\"1\"} 1\n",
          "# HELP snakepit_test_calls_total calls\n# TYPE snakepit_test_calls_total counter\nsnakepit_test_calls_total{pool=\"default\"} 7\n",
          "# HELP my_own_gauge of the application\n# TYPE my_own_gauge gauge\nmy_own_gauge 3\n"
        ]
      ) assert.include(text, lines)
    }).pipe(Effect.provide(Live)))

  it.live("answers who says the token, and tells nobody else what runs here", () =>
    Effect.gen(function*() {
      const { up } = yield* start({ listen: "127.0.0.1:0", token, path: "/scrape" })
      const address = yield* addressOf(up)
      const say = (authorization: string) => get(address, "/scrape", { headers: { authorization } })
      assert.strictEqual((yield* say(`Bearer ${token}`)).status, 200)
      for (const wrong of [`Bearer ${token}x`, `Bearer ${token.slice(1)}`, `Basic ${token}`, token, "Bearer "]) {
        const { status, text } = yield* say(wrong)
        assert.strictEqual(status, 401)
        assert.notInclude(text, "snakepit_")
      }
      assert.strictEqual((yield* get(address, "/scrape")).status, 401)
      assert.strictEqual((yield* get(address, "/metrics")).status, 404)
      assert.strictEqual((yield* get(address, "/scrape", { method: "POST", body: "x" })).status, 405)
    }).pipe(Effect.provide(Live)))

  it.live("listens on a socket of this user alone, and takes the place of one that a killed host has left", () =>
    Effect.gen(function*() {
      const path = join(yield* folder, "own", "metrics.sock")
      const scrape = Effect.callback<number>((resume) => {
        request({ socketPath: path, path: "/metrics" }, (response) => {
          response.resume()
          resume(Effect.succeed(response.statusCode!))
        }).end()
      })
      const { up } = yield* start({ listen: `unix:${path}` })
      assert.strictEqual(yield* addressOf(up), `unix:${path}`)
      assert.strictEqual(statSync(path).mode & 0o777, 0o600)
      assert.strictEqual(yield* scrape, 200)
    }).pipe(Effect.scoped, Effect.provide(Live)))

  it.live("keeps out of a folder that others reach into, and says so", () =>
    Effect.gen(function*() {
      const open = yield* folder
      chmodSync(open, 0o777)
      const failed = yield* heard("snakepit.telemetry_supervisor.restart")
      yield* start({ listen: `unix:${join(open, "metrics.sock")}` })
      const { attributes } = yield* Queue.take(failed)
      assert.strictEqual(attributes["child"], "metrics_endpoint")
      assert.include(String(attributes["cause"]), "EXPOSED")
    }).pipe(Effect.provide(Live)))

  it.live("waits for a port that is taken without keeping telemetry from coming up, and listens when it is free", () =>
    Effect.gen(function*() {
      const door = createServer()
      yield* Effect.callback<void>((resume) => {
        door.listen(0, "127.0.0.1", () => resume(Effect.void))
      })
      const listen = `127.0.0.1:${(door.address() as AddressInfo).port}`
      const failed = yield* heard("snakepit.telemetry_supervisor.restart")
      const { handle, up } = yield* start({ listen })
      const { attributes, measurements } = yield* Queue.take(failed)
      assert.include(String(attributes["cause"]), "EADDRINUSE")
      assert.isUndefined(measurements["budgetLeft"], "it is tried for ever")
      assert.strictEqual((yield* handle.tree).children.find(({ id }) => id === "event_log")?.status, "running")
      yield* Effect.callback<void>((resume) => {
        door.close(() => resume(Effect.void))
      })
      assert.strictEqual(yield* addressOf(up), listen)
      assert.strictEqual((yield* get(listen)).status, 200)
    }).pipe(Effect.provide(Live)))

  it.live("takes so many connections at a time, and is not held up at its stop by those that ask for nothing", () =>
    Effect.gen(function*() {
      const { held, last } = yield* Effect.scoped(Effect.gen(function*() {
        const { up } = yield* start({ listen: "127.0.0.1:0" })
        const port = Number((yield* addressOf(up)).split(":")[1])
        const ended = (socket: Socket) =>
          new Promise<boolean>((resolve) => socket.once("close", () => resolve(true)).on("error", () => {}).resume())
        const held = Array.from({ length: 16 }, () => connect(port, "127.0.0.1"))
        yield* Effect.promise(() => Promise.all(held.map((socket) => new Promise((resolve) => socket.once("connect", resolve)))))
        return { held: held.map(ended), last: yield* Effect.promise(() => ended(connect(port, "127.0.0.1"))) }
      }))
      assert.isTrue(last, "the one too many is closed at once")
      assert.lengthOf(yield* Effect.promise(() => Promise.all(held)), 16, "the others with the endpoint")
    }).pipe(Effect.provide(Live)))
})
