/** The page of failures is of the tree that there is, or it is not made. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Contract, Snakepit } from "snakepit"
import { failuresPage, type Recovery } from "../../scripts/FailuresPage.ts"

const row = (path: string): Recovery["rows"][number] => ({
  path,
  means: "SIGKILL",
  noticedAs: "ProcessExited",
  noticedMillis: 12,
  recoveredMillis: 120,
  idempotent: ["completed"],
  once: ["OutcomeUnknown", "completed"]
})
const machine = { cpu: "a processor", cores: 2, system: "a system", node: "v0" }

const none = { machine: {}, rows: [] }

describe("the page of failures", () => {
  it.effect("has a row for each child, and one for each chaos run", () =>
    Effect.map(Snakepit.contract(), (root) => {
      const rows = Contract.children(root).map(({ path }) => row(path))
      const millis = { p50: 40.4, p99: 101.6, max: 120 }
      const chaos = { scenario: "host-kill", runs: 300, seed: 7, accepted: 6000, twice: 0, millis }
      const page = failuresPage("", root, { machine, rows }, { machine: { ...machine, cores: 64 }, rows: [chaos] })
      for (const { path } of rows) assert.include(page, `\n| \`${path}\` | SIGKILL, noticed as \`ProcessExited\` | `)
      assert.include(page, "idempotent: `completed`; others: `OutcomeUnknown`, `completed` | 12 ms | 120 ms |")
      assert.include(page, "| `host-kill` | 300 | 7 | 6000 |  |  |  |  |  | 0 |  |  | SIGKILL until all are gone 40 / 102 / 120 |")
      assert.include(page, "Measured on a processor, 64 cores")
    }))

  it.effect("is not made when a child was never killed, or a row is of no child", () =>
    Effect.map(Snakepit.contract(), (root) => {
      const [first, ...rest] = Contract.children(root).map(({ path }) => row(path))
      assert.throws(() => failuresPage("", root, { machine, rows: rest }, none), `never killed: ${first!.path}`)
      assert.throws(
        () => failuresPage("", root, { machine, rows: [first!, ...rest, row("snakepit/ghost")] }, none),
        "in no contract: snakepit/ghost"
      )
    }))
})
