/** What chaos runs have come to, for `docs/failures.md`: one line a scenario, of the machine that ran it. */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { cpus, release, type } from "node:os"
import { fileURLToPath } from "node:url"
import type { Report } from "./Session.ts"

const file = fileURLToPath(new URL("../../bench/results/chaos.json", import.meta.url))

export interface Recorded {
  readonly machine: { readonly [fact: string]: string | number }
  readonly rows: ReadonlyArray<Report>
}

/** The row in its place, after `order`. Rows of another machine go: figures of two machines do not stand in one table. */
export const merge = (before: Recorded | undefined, machine: Recorded["machine"], row: Report, order: ReadonlyArray<string>): Recorded => {
  const isSame = before !== undefined && JSON.stringify(before.machine) === JSON.stringify(machine)
  const others = isSame ? before.rows.filter(({ scenario }) => scenario !== row.scenario) : []
  return { machine, rows: [...others, row].toSorted((a, b) => order.indexOf(a.scenario) - order.indexOf(b.scenario)) }
}

/** Writes the row of a scenario that passed as a whole. Returns what became of the file. */
export const write = (row: Report, order: ReadonlyArray<string>): string => {
  const machine = { cpu: cpus()[0]!.model, cores: cpus().length, system: `${type()} ${release()}`, node: process.version }
  const before = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) as Recorded : undefined
  const after = merge(before, machine, row, order)
  writeFileSync(file, `${JSON.stringify(after, undefined, 2)}\n`)
  const dropped = (before?.rows ?? []).filter(({ scenario }) => !after.rows.some((row) => row.scenario === scenario))
  return `${row.scenario} is recorded in bench/results/chaos.json; npm run gen makes docs/failures.md of it${
    dropped.length === 0 ? "" : `. Rows of another machine were dropped: ${dropped.map(({ scenario }) => scenario).join(", ")}`
  }`
}
