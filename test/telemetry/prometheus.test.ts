/** A real Prometheus scrapes a real application, and takes every metric of it. */
import { assert, describe, it } from "@effect/vitest"
import { Instrument } from "@snakepit/core"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { EventLog, Pool, Snakepit, SnakepitMetrics } from "snakepit"
import { stringify } from "yaml"
import { config, root, until } from "../e2e/fixtures/Program.ts"
import { Tools } from "../e2e/fixtures/Tools.ts"
import * as Server from "./Server.ts"

const token = "0123456789abcdef0123456789abcdef"
const program = Server.find("prometheus")

const application = Snakepit.layer({ ...config({}, { size: 2 }), telemetry: { prometheus: { listen: "127.0.0.1:0", token } } })

/** A series of each metric that there may be, whatever this application happens to do. */
const everything = Effect.gen(function*() {
  const context = yield* Effect.context<never>()
  for (const declaration of SnakepitMetrics.declarations) {
    const labels = Object.fromEntries(declaration.labels.map((label) => [label, "of \\ \"the test\"\n"]))
    const end = declaration.kind === "histogram"
      ? Instrument.registerHistogram(context, declaration, labels, new Instrument.Histogram(declaration))
      : Instrument.register(context, declaration, labels, () => 1)
    yield* Effect.addFinalizer(() => Effect.sync(end))
  }
})

describe("a real Prometheus", () => {
  it.skipIf(program === undefined)(
    "scrapes an application at work without an error, and knows each metric by its type and help (skipped without Debian's package prometheus)",
    () =>
      Effect.gen(function*() {
        const tools = yield* Pool.client(Tools)
        yield* Effect.forEach(Array.from({ length: 20 }, (_, n) => n), (n) => tools.add({ a: n, b: 1 }))
        yield* everything
        const [started] = yield* (yield* EventLog.EventLog).recent("snakepit.metrics_endpoint.start")
        const address = String(started!.attributes["address"])

        const folder = yield* Server.folder
        const port = yield* Server.freePort
        const file = join(folder, "prometheus.yml")
        writeFileSync(
          file,
          stringify({
            global: { scrape_interval: "250ms", evaluation_interval: "250ms" },
            rule_files: [join(root, "dashboards", "alerts.yml")],
            scrape_configs: [{ job_name: "snakepit", authorization: { credentials: token }, static_configs: [{ targets: [address] }] }]
          })
        )
        const said = yield* Server.run(program!, [
          `--config.file=${file}`,
          `--storage.tsdb.path=${join(folder, "data")}`,
          `--web.listen-address=127.0.0.1:${port}`
        ])
        const ask = async (path: string): Promise<any> => {
          try {
            return (await (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json() as { readonly data: unknown }).data
          } catch {
            return undefined // it is not up yet
          }
        }
        const target = yield* Effect.promise(() =>
          until(async () => (await ask("targets"))?.activeTargets[0], (found) => found !== undefined && found.health !== "unknown", 30_000)
        )
        assert.deepStrictEqual({ health: target?.health, lastError: target?.lastError }, { health: "up", lastError: "" }, said())

        const metadata = yield* Effect.promise(() => ask("metadata"))
        for (const declaration of SnakepitMetrics.declarations) {
          const [{ help, type }] = metadata[Instrument.prometheusName(declaration)]
          assert.deepStrictEqual({ help, type }, { help: declaration.description, type: declaration.kind })
        }
        const { groups } = yield* Effect.promise(() =>
          until(
            () => ask("rules"),
            (found) => found?.groups.every(({ rules }: any) => rules.every(({ health }: any) => health !== "unknown")),
            30_000
          )
        )
        assert.deepStrictEqual(groups.flatMap(({ rules }: any) => rules).filter(({ health }: any) => health !== "ok"), [])
      }).pipe(Effect.scoped, Effect.provide(application), Effect.runPromise)
  )
})
