/** Dashboards and alerts name what is declared; each alert fires when it must, and none when all is well, as Prometheus itself evaluates them. */
import { assert, describe, it } from "@effect/vitest"
import { Instrument } from "@snakepit/core"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { SnakepitMetrics } from "snakepit"
import { parse, stringify } from "yaml"
import * as AnyPool from "../../scripts/AnyPool.ts"
import * as AlertRules from "../../scripts/watch/AlertRules.ts"
import * as Dashboards from "../../scripts/watch/Dashboards.ts"
import * as Promql from "../../scripts/watch/Promql.ts"
import { root } from "../e2e/fixtures/Program.ts"

const { declarations } = SnakepitMetrics
const contract = Effect.runSync(Effect.cached(AnyPool.contract))
const alerts = Effect.map(contract, AlertRules.alerts)

const rulesFile = join(root, "dashboards", "alerts.yml")
const has = (program: string): boolean => (process.env["PATH"] ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)))

/** What promtool says, and how it ended. */
const promtool = (...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number; readonly text: string }>((resume) => {
    const child = execFile("promtool", args, { timeout: 60_000 }, (error, stdout, stderr) => {
      resume(Effect.succeed({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, text: stdout + stderr }))
    })
    return Effect.sync(() => child.kill())
  })

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-alerts-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** Notations of Prometheus: `a+bxn` is a, a+b … n more of them; `_xn` is n samples that are not there. */
interface Series {
  readonly [series: string]: string
}

const pool = "instance=\"a\",pool=\"default\""
const supervisor = (kind: string) =>
  `instance="a",supervisor="${kind}",pool="${["root", "foundation", "bridge", "pools", "telemetry"].includes(kind) ? "" : "default"}"`
const gaveUp = (kind: string): Series => ({ [`snakepit_supervisor_give_ups_total{${supervisor(kind)}}`]: "0x10 1x20" })
const restarted = (kind: string): Series => ({ [`snakepit_supervisor_restarts_total{${supervisor(kind)},reason="Failed"}`]: "0x10 1+1x20" })

/** Of each alert: series, a sample a minute, at whose 20th minute it must fire. */
const cases: Readonly<Record<string, Series>> = {
  SnakepitRootGaveUp: gaveUp("root"),
  SnakepitFoundationGaveUp: gaveUp("foundation"),
  SnakepitPoolEscalated: gaveUp("pool"),
  SnakepitControlGaveUp: gaveUp("control"),
  SnakepitLauncherKeepsRestarting: restarted("launcher"),
  SnakepitFleetGaveUp: { [`snakepit_supervisor_give_ups_total{${supervisor("fleet")}}`]: "_x15 1x15" }, // the first that is seen of it
  SnakepitWorkerGaveUp: gaveUp("worker"),
  SnakepitTelemetryKeepsRestarting: restarted("telemetry"),
  SnakepitBridgeKeepsRestarting: restarted("bridge"),
  SnakepitPoolsKeepsRestarting: restarted("pools"),
  SnakepitGone: { "snakepit_build_info{instance=\"a\",version=\"1\",node=\"24\"}": "1x14 stale" },
  SnakepitHostKeepsRestarting: { "process_uptime_seconds{instance=\"a\"}": "60x8 0+60x2 0+60x2 0+60x10" },
  SnakepitEventLoopBlocked: { "nodejs_eventloop_delay_p99_seconds{instance=\"a\"}": "1x30" },
  SnakepitEventsDropped: { "snakepit_telemetry_events_dropped_total{instance=\"a\"}": "0x15 5x15" },
  SnakepitOtlpDropped: { "snakepit_otlp_dropped_total{instance=\"a\",signal=\"traces\",reason=\"full\"}": "0x15 5x15" },
  SnakepitReconnecting: { [`snakepit_bridge_reconnects_total{${pool}}`]: "0+1x30" },
  SnakepitPythonTelemetryDropped: { [`snakepit_python_records_dropped_total{${pool},reason="queue"}`]: "0x15 5x15" },
  SnakepitBudgetNearlySpent: { [`snakepit_supervisor_budget_left_ratio{${supervisor("worker")}}`]: "1x12 0 1x20" }, // spent and back again in a minute
  SnakepitPoolSaturated: { [`snakepit_pool_saturation_ratio{${pool}}`]: "1x30", [`snakepit_pool_queue_depth{${pool}}`]: "3x30" },
  SnakepitQueueNearlyFull: { [`snakepit_pool_queue_depth{${pool}}`]: "90x30", [`snakepit_pool_queue_capacity{${pool}}`]: "100x30" },
  SnakepitCallsRefused: {
    [`snakepit_pool_calls_total{${pool},tool="add",outcome="ok"}`]: "0+90x30",
    [`snakepit_pool_calls_total{${pool},tool="add",outcome="refused"}`]: "0+10x30"
  },
  SnakepitCallsLost: { [`snakepit_pool_calls_total{${pool},tool="add",outcome="lost"}`]: "0+1x30" },
  SnakepitCallRanTwice: { [`snakepit_pool_calls_twice_total{${pool}}`]: "0x15 1x15" },
  SnakepitPoolTooSmall: {
    [`snakepit_pool_workers{${pool},state="ready"}`]: "1x30",
    [`snakepit_pool_workers{${pool},state="starting"}`]: "3x30",
    [`snakepit_pool_size{${pool}}`]: "4x30"
  },
  SnakepitCircuitOpen: { [`snakepit_pool_circuits_open{${pool}}`]: "1x30" },
  SnakepitCallsQuarantined: { [`snakepit_pool_quarantine_size{${pool}}`]: "1x30" },
  SnakepitWorkerFlapping: { [`snakepit_worker_generation{${pool},slot="0"}`]: "0x8 1x3 2x3 3x20" },
  SnakepitWorkerUnreachable: { [`snakepit_worker_heartbeat_age_seconds{${pool},slot="0"}`]: "0+10x30" },
  SnakepitHeartbeatsMissed: { [`snakepit_worker_heartbeat_misses_total{${pool}}`]: "0+5x30" }
}

/** All that is measured of an application that is well: its counters of trouble stand still, also where they have seen some, and calls go on. */
const well = (): Series => {
  const normal: Readonly<Record<string, string>> = {
    "snakepit.build.info": "1x30",
    "snakepit.supervisor.budget.left": "1x30",
    "snakepit.pool.workers": "1x30",
    "snakepit.pool.size": "4x30",
    "snakepit.pool.queue.capacity": "1000x30",
    "snakepit.pool.calls.twice": "0x30",
    "snakepit.pool.saturation": "0.5x30",
    "snakepit.worker.generation": "1x30",
    "snakepit.worker.heartbeat.age": "1x30",
    "process.uptime": "0+60x30",
    "process.memory.usage": "100000000x30",
    "process.cpu.time": "0+10x30"
  }
  return Object.fromEntries(declarations.flatMap((declaration) => {
    const name = Instrument.prometheusName(declaration) + (declaration.kind === "histogram" ? "_count" : "")
    const { values = {} } = declaration
    const sets = declaration.labels.reduce<ReadonlyArray<ReadonlyArray<string>>>(
      (sets, label) => sets.flatMap((set) => (values[label] ?? ["0"]).map((value) => [...set, `${Promql.labelOf(label)}="${value}"`])),
      [["instance=\"a\""]]
    )
    return sets.map((set) => {
      const calls = declaration.name === "snakepit.pool.calls" ? set.includes("outcome=\"ok\"") ? "0+100x30" : "7x30" : undefined
      return [`${name}{${set.join(",")}}`, calls ?? normal[declaration.name] ?? (declaration.kind === "counter" ? "7x30" : "0x30")]
    })
  }))
}

const test = (series: Series, query: string, samples: ReadonlyArray<{ readonly labels: string; readonly value: number }>) => ({
  interval: "1m",
  input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
  promql_expr_test: [{ expr: query, eval_time: "20m", exp_samples: samples }]
})

describe("dashboards and alerts", () => {
  it.effect("name only what is declared", () =>
    Effect.gen(function*() {
      const all = Dashboards.dashboards(yield* contract, declarations)
      const queries = [...all.flatMap(Dashboards.queries), ...(yield* alerts).map(({ query }) => query)]
      assert.deepStrictEqual(queries.flatMap((query) => Promql.undeclared(query, declarations)), [])
      const shown = new Set(
        all.slice(1).flatMap(Dashboards.queries).flatMap((query) => Promql.named(query).metrics).map(({ metric }) => metric)
      )
      const missing = declarations.filter((one) => !shown.has(Instrument.prometheusName(one) + (one.kind === "histogram" ? "_bucket" : "")))
      assert.deepStrictEqual(missing.map(({ name }) => name), [], "every metric has a panel")
    }))

  it("would be told of what is not", () => {
    const [first] = declarations
    const name = Instrument.prometheusName(first!)
    assert.deepStrictEqual(Promql.undeclared("sum by (pool) (rate(nothing_total{pool=\"a\"}[5m]))", declarations).slice(0, 1), [
      "nobody declares nothing_total"
    ])
    assert.deepStrictEqual(Promql.undeclared(`${name}{pid="1"}`, declarations), [`${name} has no label pid`])
    assert.deepStrictEqual(Promql.undeclared(`sum by (pid) (${name})`, declarations), [
      `no metric of sum by (pid) (${name}) has the label pid`
    ])
    assert.deepStrictEqual(Promql.undeclared("vector(1)", declarations), ["vector(1) names no metric"])
    assert.deepStrictEqual(Promql.undeclared(`${name}_bucket`, declarations), [`nobody declares ${name}_bucket`])
  })

  it.effect("say what to do next, where it is written down", () =>
    Effect.gen(function*() {
      const page = readFileSync(join(root, AlertRules.page), "utf8")
      const { groups } = parse(readFileSync(rulesFile, "utf8")) as {
        readonly groups: ReadonlyArray<{ readonly name: string; readonly rules: ReadonlyArray<any> }>
      }
      assert.deepStrictEqual(
        groups.map(({ name }) => name),
        ["root", "foundation", "telemetry", "bridge", "control", "execution"].map((layer) => `snakepit-${layer}`)
      )
      assert.isEmpty(groups.filter(({ rules }) => rules.length === 0))
      const all = groups.flatMap(({ rules }) => rules)
      assert.strictEqual(all.length, (yield* alerts).length)
      for (const { alert, annotations } of all) {
        assert.strictEqual(annotations.docs, `${AlertRules.page}#${alert.toLowerCase()}`)
        assert.include(page, `## ${alert}\n`)
        assert.isAbove(annotations.next_step.length, 20)
      }
    }))

  it.effect("are tried one by one", () => Effect.map(alerts, (all) => assert.sameMembers(Object.keys(cases), all.map(({ name }) => name))))

  it.skipIf(!has("promtool"))(
    "are rules that Prometheus takes (skipped without promtool: Debian's package prometheus)",
    () =>
      Effect.runPromise(
        Effect.map(
          promtool("check", "rules", "--lint=all", "--lint-fatal", rulesFile),
          ({ code, text }) => assert.strictEqual(code, 0, text)
        )
      )
  )

  it.skipIf(!has("promtool"))(
    "see a budget that is spent and back within a scrape or two, and forget it in time (skipped without promtool: Debian's package prometheus)",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporary
        /** A sample each 15 s, the least being held for a minute. Ten minutes after its 20th minute it is no news. */
        const shape = (kind: string, values: string, firesAt20: boolean) => ({
          interval: "15s",
          input_series: [{ series: `snakepit_supervisor_budget_left_ratio{${supervisor(kind)}}`, values }],
          promql_expr_test: [["20m", firesAt20], ["31m", false]].map(([eval_time, fires]) => ({
            expr: "count(ALERTS{alertname=\"SnakepitBudgetNearlySpent\"})",
            eval_time,
            exp_samples: fires === true ? [{ labels: "{}", value: 1 }] : []
          }))
        })
        const tests = [
          shape("worker", "1x75 0 0 0 0 1x60", true), // three crashes in 10 s, and well again
          shape("pool", "1x70 0.67 0.33 0.33 0 0 0 0 1x60", true), // three in 20 s
          shape("worker", "1x70 0.67x4 1x60", false), // one crash
          shape("pool", "_x70 1x60", false) // begins late
        ]
        const file = join(folder, "budgets.test.yml")
        writeFileSync(file, stringify({ rule_files: [rulesFile], evaluation_interval: "15s", tests }))
        const { code, text } = yield* promtool("test", "rules", file)
        assert.strictEqual(code, 0, text)
      }).pipe(Effect.scoped, Effect.runPromise)
  )

  it.skipIf(!has("promtool"))(
    "fire when they must, and none does when all is well (skipped without promtool: Debian's package prometheus)",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporary
        const fires = (name: string) => `count(ALERTS{alertname="${name}",alertstate="firing"})`
        const tests = [
          test(well(), "ALERTS", []),
          ...Object.entries(cases).map(([name, series]) => test(series, fires(name), [{ labels: "{}", value: 1 }]))
        ]
        const file = join(folder, "alerts.test.yml")
        writeFileSync(file, stringify({ rule_files: [rulesFile], evaluation_interval: "1m", tests }))
        const { code, text } = yield* promtool("test", "rules", file)
        assert.strictEqual(code, 0, text)
        writeFileSync(
          file,
          stringify({
            rule_files: [rulesFile],
            evaluation_interval: "1m",
            tests: [test(well(), fires("SnakepitGone"), [{ labels: "{}", value: 1 }])]
          })
        )
        assert.notStrictEqual((yield* promtool("test", "rules", file)).code, 0, "a test that must fail does")
      }).pipe(Effect.scoped, Effect.runPromise)
  )
})
