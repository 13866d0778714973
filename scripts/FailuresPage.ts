/** `docs/failures.md`: what dies, who notices, what restarts, what the caller sees, how long it takes; measured by real runs. */
import { Prediction } from "@snakepit/core/testing"
import { Contract } from "snakepit"

/** One child that the recovery suite killed. */
export interface RecoveryRow {
  readonly path: string
  readonly means: "SIGKILL" | "socket cut" | "failChild"
  /** The tag of the error that its supervisor was told. */
  readonly noticedAs: string
  readonly noticedMillis: number
  readonly recoveredMillis: number
  readonly idempotent: ReadonlyArray<string>
  readonly once: ReadonlyArray<string>
}

/** What `npm run test:recovery -- --record` writes. */
export interface Recovery {
  readonly machine: { readonly [fact: string]: string | number }
  readonly rows: ReadonlyArray<RecoveryRow>
}

/** The last line of one `npm run chaos -- --json`. */
export interface ChaosLine {
  readonly scenario: string
  readonly runs: number
  readonly millis?: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly [figure: string]: unknown
}

/** What `npm run chaos -- --record` writes. */
export interface Chaos {
  readonly machine: Recovery["machine"]
  readonly rows: ReadonlyArray<ChaosLine>
}

const code = (text: string): string => `\`${text}\``

/** The supervised children that go down with it, the upmost ones. */
const taken = ({ group, victims }: Prediction.Prediction, path: string): string => {
  const others = group.filter((at) => at !== path).map((at) => code(at.slice(at.lastIndexOf("/") + 1)))
  const below = victims.filter((at) => at.startsWith(`${path}/`)).length
  const parts = [...(below > 0 ? ["all below it"] : []), ...others]
  return parts.join(", ") || "nothing else"
}

const outcome = (row: RecoveryRow): string => {
  if (row.idempotent.length === 0) return "nothing: no pool is touched"
  const all = new Set([...row.idempotent, ...row.once])
  if (all.size === 1 && all.has("completed")) return "the results of all calls"
  return `idempotent: ${row.idempotent.map(code).join(", ")}; others: ${row.once.map(code).join(", ")}`
}

const recoveryLine = (root: Contract.Contract, row: RecoveryRow): string => {
  const promise = Prediction.of(root, row.path, row.means === "failChild" ? "failed" : "ends")
  const cells = [
    code(row.path),
    row.means === "failChild" ? "`failChild`" : `${row.means}, noticed as ${code(row.noticedAs)}`,
    code(promise.by),
    taken(promise, row.path),
    outcome(row),
    `${row.noticedMillis} ms`,
    `${row.recoveredMillis} ms`
  ]
  return `| ${cells.join(" | ")} |`
}

const figures = ["accepted", "completed", "failed", "unknown", "refused", "lost", "twice", "survivors", "escalations"]

const machineLine = (machine: Recovery["machine"]): string =>
  `Measured on ${machine["cpu"]}, ${machine["cores"]} cores, ${machine["system"]}, Node ${machine["node"]}.`

/** What the times of a scenario are, in its own words: `test/chaos/scenarios`. */
const times: { readonly [scenario: string]: string } = {
  "worker-freeze": "SIGSTOP until found",
  "gil-hog": "call until its result",
  "ignore-sigterm": "stop of the program",
  grandchildren: "SIGKILL until all are gone",
  "host-kill": "SIGKILL until all are gone",
  "host-kill-during-shutdown": "SIGKILL until all are gone",
  hang: "hang, or limit, until found"
}

const spread = ({ millis, scenario }: ChaosLine): string =>
  millis === undefined
    ? ""
    : `${times[scenario] ?? ""} ${Math.round(millis.p50)} / ${Math.round(millis.p99)} / ${Math.round(millis.max)}`.trim()

const chaosTable = ({ machine, rows }: Chaos): ReadonlyArray<string> =>
  rows.length === 0 ? [] : [
    "## Under load, by chaos",
    "",
    "`npm run chaos -- --scenario <name> --runs N --seed S`: choices from the seed, watched from outside. `lost` and `twice` are calls without an",
    "outcome and calls executed more than once though not idempotent; `survivors` are processes that outlived their host by two seconds;",
    "`refused` calls were told that they did not run, and are not among the accepted. Times in milliseconds: median / 99th percentile / longest.",
    "",
    machineLine(machine),
    "",
    `| scenario | runs | seed | ${figures.join(" | ")} | times |`,
    `| --- | ${"--- | ".repeat(figures.length + 2)}--- |`,
    ...rows.map((row) =>
      `| ${[code(row.scenario), row.runs, row["seed"], ...figures.map((name) => row[name] ?? ""), spread(row)].join(" | ")} |`
    ),
    ""
  ]

/** The page. Throws when a contract's child has no measured row, or a row no child. */
export const failuresPage = (
  note: string,
  root: Contract.Contract,
  { machine, rows }: Recovery,
  chaos: Chaos
): string => {
  const paths = Contract.children(root).map(({ path }) => path)
  const measured = new Map(rows.map((row) => [row.path, row]))
  const missing = paths.filter((path) => !measured.has(path))
  const gone = rows.map(({ path }) => path).filter((path) => !paths.includes(path))
  if (missing.length + gone.length > 0) {
    throw new Error(
      `bench/results/recovery.json is of another tree (never killed: ${missing.join(", ") || "none"}; in no contract: ${
        gone.join(", ") || "none"
      }). ` +
        "Measure again: npm run test:recovery -- --record"
    )
  }
  return [
    note,
    "",
    "# What a failure costs",
    "",
    "Every child of the tree, killed in a running application with two pools of two Python workers, each with one idempotent call and one that is",
    "not: who decides, what goes down with it, what the callers of the pools it touches see, and how long until its supervisor has decided",
    "and until everything is up again. Who notices is always the supervisor: of a process it hears through the Reaper, of a stream by its end, of all",
    "else by the end of a fiber. What may escalate from there is in [the supervision tree](architecture/supervision.md).",
    "",
    "Calls to other pools complete in every case. A call that is not idempotent runs at most once in every case.",
    "",
    machineLine(machine),
    "",
    "| what dies | by | who decides | what else restarts | what the caller sees | decided after | whole after |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...paths.map((path) => recoveryLine(root, measured.get(path)!)),
    "",
    ...chaosTable(chaos)
  ].join("\n")
}
