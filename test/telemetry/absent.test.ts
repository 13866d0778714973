/** Neither a collector that is not there nor a port that is taken keeps an application from its calls. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { type AddressInfo, createServer } from "node:net"
import { EventLog, Pool, Snakepit } from "snakepit"
import { config } from "../e2e/fixtures/Program.ts"
import { Tools } from "../e2e/fixtures/Tools.ts"
import * as Server from "./Server.ts"

it("an application serves, and ends, without the collector and the port that it was promised", () =>
  Effect.gen(function*() {
    const taken = createServer()
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        taken.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () => Effect.sync(() => taken.close())
    )
    const telemetry = {
      prometheus: { listen: `127.0.0.1:${(taken.address() as AddressInfo).port}` },
      otlp: {
        url: `http://127.0.0.1:${yield* Server.freePort}`,
        interval: { traces: "10 millis", logs: "10 millis", metrics: "10 millis" }
      }
    }
    yield* Effect.gen(function*() {
      const tools = yield* Pool.client(Tools)
      const log = yield* EventLog.EventLog
      const failed = log.recent("snakepit.telemetry_supervisor.restart").pipe(
        Effect.map((told) => new Set(told.map(({ attributes }) => attributes["child"])))
      )
      let n = 0
      while ((yield* failed).size < 4) {
        assert.strictEqual(yield* Effect.withSpan(tools.add({ a: n, b: 1 }), "call"), n + 1)
        n++
      }
      const restarts = yield* log.recent("snakepit.*_supervisor.restart")
      assert.sameMembers([...new Set(restarts.map(({ attributes }) => attributes["child"]))], [
        "metrics_endpoint",
        "otlp_traces",
        "otlp_logs",
        "otlp_metrics"
      ])
    }).pipe(Effect.provide(Snakepit.layer({ ...config(), telemetry })))
  }).pipe(Effect.scoped, Effect.runPromise))
