/** The page of failures is of the tree that there is, or it is not made. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Contract, Snakepit } from "snakepit"
import { failuresPage, type Recovery } from "../../scripts/FailuresPage.ts"

const row = (path: string): Recovery["rows"][number] => ({
  path,
  means: "SIGKILL",
  noticedAs: "ProcessExited",
  runs: 5,
  noticed: { median: 12, max: 30 },
  recovered: { median: 120, max: 200 },
  idempotent: ["completed"],
  once: ["OutcomeUnknown", "completed"],
  waiting: ["completed"]
})
const machine = { cpu: "a processor", cores: 2, system: "a system", node: "v0" }

describe("the page of failures", () => {
  it.effect("has a row for each child, and one for each chaos run", () =>
    Effect.map(Snakepit.contract(), (root) => {
      const rows = Contract.children(root).map(({ path }) => row(path))
      const millis = { p50: 40.4, p99: 101.6, max: 120 }
      const chaos = {
        machine: { ...machine, cores: 64 },
        rows: [{ scenario: "host-kill", runs: 300, seed: 7, accepted: 6000, twice: 0, millis }]
      }
      const page = failuresPage("", root, { machine, rows }, ["host-kill"], chaos)
      for (const { path } of rows) {
        assert.include(page, `\n| \`${path}\` | SIGKILL | its Reaper, whose child it is: \`ProcessExited\` | 12 ms (30) | `)
      }
      const calls = "running and idempotent: `completed`; running: `OutcomeUnknown`, `completed`; waiting: `completed`"
      assert.include(page, `${calls} | 120 ms (200) |`)
      assert.include(page, "| `host-kill` | 300 | 7 | 6000 |  |  |  |  |  | 0 |  |  | SIGKILL until all are gone 40 / 102 / 120 |")
      assert.include(page, "Measured on a processor, 64 cores")
    }))

  it.effect("has no time until it is noticed where the suite itself tells the supervisor, and no table of chaos before that has run", () =>
    Effect.map(Snakepit.contract(), (root) => {
      const rows = Contract.children(root).map(({ path }) => ({ ...row(path), means: "failChild" as const, noticedAs: "Error" }))
      const page = failuresPage("", root, { machine, rows }, ["worker-kill"], undefined)
      assert.include(page, "| `snakepit/pools` | `failChild` | its supervisor, by the end of its fiber | — | `snakepit` | ")
      assert.notInclude(page, "worker-kill")
    }))

  it.effect("is not made when a child was never killed, or a row is of no child", () =>
    Effect.map(Snakepit.contract(), (root) => {
      const [first, ...rest] = Contract.children(root).map(({ path }) => row(path))
      const of = (rows: Recovery["rows"]) => () => failuresPage("", root, { machine, rows }, [], undefined)
      assert.throws(of(rest), `never run: ${first!.path}; no longer there: none). Measure again: npm run test:recovery -- --record`)
      assert.throws(of([first!, ...rest, row("snakepit/ghost")]), "never run: none; no longer there: snakepit/ghost")
      assert.throws(of([{ ...first!, noticedAs: "Surprise" }, ...rest]), /nothing says who notices that .* is told Surprise/)
    }))

  it.effect("is not made when a recorded chaos misses a scenario, or has one that there is not", () =>
    Effect.map(Snakepit.contract(), (root) => {
      const rows = Contract.children(root).map(({ path }) => row(path))
      const of = (recorded: string) => () =>
        failuresPage("", root, { machine, rows }, ["worker-kill"], { machine, rows: [{ scenario: recorded, runs: 1 }] })
      assert.throws(of("host-kill"), "never run: worker-kill; no longer there: host-kill). Measure again: npm run chaos -- --record")
      assert.doesNotThrow(of("worker-kill"))
    }))

  it.effect("says of a scenario what it alone counts, and of one that cannot run there why", () =>
    Effect.map(Snakepit.contract(), (root) => {
      const rows = Contract.children(root).map(({ path }) => row(path))
      const chaos = {
        machine,
        rows: [
          { scenario: "oom", runs: 2, seed: 7, ok: true, failures: 0, lost: 0, by: "kill in a memory cgroup" },
          { scenario: "storm", runs: 0, seed: 7, skipped: "there is no /proc" }
        ]
      }
      const page = failuresPage("", root, { machine, rows }, ["oom", "storm"], chaos)
      assert.include(page, "| `oom` | 2 | 7 |  |  |  |  |  | 0 |  |  |  | by kill in a memory cgroup |")
      assert.include(page, " | skipped: there is no /proc |")
    }))
})
