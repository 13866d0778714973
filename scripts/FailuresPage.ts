/** `docs/failures.md`: what dies, who notices, what restarts, what the caller sees, how long it takes; measured by real runs. */
import { Prediction } from "@snakepit/core/testing"
import { Contract } from "snakepit"

/** Whole milliseconds, of several kills. */
export interface Spread {
  readonly median: number
  readonly max: number
}

/** One child that the recovery suite killed, several times. */
export interface RecoveryRow {
  readonly path: string
  readonly means: "SIGKILL" | "socket cut" | "failChild"
  /** The tag of the error that its supervisor was told. */
  readonly noticedAs: string
  readonly runs: number
  readonly noticed: Spread
  readonly recovered: Spread
  /** How the calls of the pools that it touches ended: those that ran, and those that waited. */
  readonly idempotent: ReadonlyArray<string>
  readonly once: ReadonlyArray<string>
  readonly waiting: ReadonlyArray<string>
}

/** What `npm run test:recovery -- --record` writes. */
export interface Recovery {
  readonly machine: { readonly [fact: string]: string | number }
  readonly rows: ReadonlyArray<RecoveryRow>
}

/** What one scenario of `npm run chaos` has come to. */
export interface ChaosRow {
  readonly scenario: string
  readonly runs: number
  readonly skipped?: string
  readonly millis?: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly [figure: string]: unknown
}

/** What `npm run chaos -- --record` writes. */
export interface Chaos {
  readonly machine: Recovery["machine"]
  readonly rows: ReadonlyArray<ChaosRow>
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
  const all = new Set([...row.idempotent, ...row.once, ...row.waiting])
  if (all.size === 1 && all.has("completed")) return "the results of all calls"
  return `running and idempotent: ${row.idempotent.map(code).join(", ")}; running: ${row.once.map(code).join(", ")}; waiting: ${
    row.waiting.map(code).join(", ")
  }`
}

/** Who sees the end of a child that is no fiber, by the error that its supervisor is told. */
const noticing: Readonly<Record<string, string>> = {
  ProcessExited: "its Reaper, whose child it is",
  ForkserverLost: "its Reaper, whose child it is",
  ReaperLost: "the host, whose child it is",
  ChannelLost: "the host, by the end of the stream"
}

const whoNotices = ({ means, noticedAs, path }: RecoveryRow): string => {
  if (means === "failChild") return "its supervisor, by the end of its fiber"
  const who = noticing[noticedAs]
  if (who !== undefined) return `${who}: ${code(noticedAs)}`
  throw new Error(
    `nothing says who notices that ${path} has ended, when its supervisor is told ${noticedAs}: say it in scripts/FailuresPage.ts`
  )
}

const millis = ({ max, median }: Spread): string => `${median} ms (${max})`

const recoveryLine = (root: Contract.Contract, row: RecoveryRow): string => {
  const promise = Prediction.of(root, row.path, row.means === "failChild" ? "failed" : "ends")
  const cells = [
    code(row.path),
    row.means === "failChild" ? "`failChild`" : row.means,
    whoNotices(row),
    row.means === "failChild" ? "—" : millis(row.noticed),
    code(promise.by),
    taken(promise, row.path),
    outcome(row),
    millis(row.recovered)
  ]
  return `| ${cells.join(" | ")} |`
}

const figures = ["accepted", "completed", "failed", "unknown", "refused", "lost", "twice", "survivors", "escalations"]

const measuredOn = (machine: Recovery["machine"]): string =>
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

const spread = ({ millis, scenario }: ChaosRow): string =>
  millis === undefined
    ? ""
    : `${times[scenario] ?? ""} ${Math.round(millis.p50)} / ${Math.round(millis.p99)} / ${Math.round(millis.max)}`.trim()

/** What stands elsewhere in the table. */
const elsewhere: ReadonlySet<string> = new Set(["scenario", "runs", "seed", "failures", "ok", "skipped", "millis", ...figures])

/** What a scenario counts beside what all do, in its own words. */
const beside = (row: ChaosRow): string => {
  if (row.skipped !== undefined) return `skipped: ${row.skipped}`
  const own = Object.entries(row).filter(([name]) => !elsewhere.has(name)).map(([name, figure]) => `${name} ${String(figure)}`)
  return [spread(row), ...own].filter((text) => text !== "").join("; ")
}

const chaosTable = ({ machine, rows }: Chaos): ReadonlyArray<string> => [
  "## Under load, by chaos",
  "",
  "`npm run chaos -- --scenario <name> --runs N --seed S`: choices from the seed, watched from outside. `lost` and `twice` are calls without an",
  "outcome and calls executed more than once though not idempotent; `survivors` are processes that outlived their host by two seconds;",
  "`refused` calls were told that they did not run, and are not among the accepted. Times in milliseconds: median / 99th percentile / longest.",
  "What each does, and what its own figures are, is in [the playbook](qa/chaos-playbook.md).",
  "",
  measuredOn(machine),
  "",
  `| scenario | runs | seed | ${figures.join(" | ")} | times, and what it alone counts |`,
  `| --- | ${"--- | ".repeat(figures.length + 2)}--- |`,
  ...rows.map((row) =>
    `| ${[code(row.scenario), row.runs, row["seed"], ...figures.map((name) => row[name] ?? ""), beside(row)].join(" | ")} |`
  ),
  ""
]

/** Throws when what was measured is not what there is. */
const demandAll = (
  { again, file, measured, there, what }: {
    readonly file: string
    readonly what: string
    readonly there: ReadonlyArray<string>
    readonly measured: ReadonlyArray<string>
    readonly again: string
  }
): void => {
  const missing = there.filter((name) => !measured.includes(name))
  const gone = measured.filter((name) => !there.includes(name))
  if (missing.length + gone.length === 0) return
  throw new Error(
    `bench/results/${file} is not of the ${what} that there are (never run: ${missing.join(", ") || "none"}; no longer there: ${
      gone.join(", ") || "none"
    }). Measure again: ${again}`
  )
}

/** The page. Throws when a contract's child has no measured row, or a row no child; and the same of scenarios once chaos is recorded. */
export const failuresPage = (
  note: string,
  root: Contract.Contract,
  { machine, rows }: Recovery,
  scenarios: ReadonlyArray<string>,
  chaos: Chaos | undefined
): string => {
  const paths = Contract.children(root).map(({ path }) => path)
  const measured = new Map(rows.map((row) => [row.path, row]))
  demandAll({
    file: "recovery.json",
    what: "children",
    there: paths,
    measured: [...measured.keys()],
    again: "npm run test:recovery -- --record"
  })
  if (chaos !== undefined) {
    demandAll({
      file: "chaos.json",
      what: "scenarios",
      there: scenarios,
      measured: chaos.rows.map(({ scenario }) => scenario),
      again: "npm run chaos -- --record"
    })
  }
  return [
    note,
    "",
    "# What a failure costs",
    "",
    "Every child of the tree, killed in a running application with two pools of two Python workers. On each pool one idempotent call and one that is",
    "not are running, and one of each waits behind them. Who notices, who decides, what goes down with it, what the callers of the pools it touches",
    "see, and how long until its supervisor has been told and until everything is up again: the median, and the longest in brackets. What may",
    "escalate from there is in [the supervision tree](architecture/supervision.md).",
    "",
    "Processes and streams are ended from outside. What is a fiber of the host cannot be: there the suite itself tells the supervisor (`failChild`),",
    "as an operator or a monitor would, so there is no time until it is noticed.",
    "",
    "Calls to other pools complete in every case. A call that is not idempotent runs at most once in every case. One that only waits completes",
    "unless the Roster goes down; then it never ran, and its caller is told so (`PoolDown`).",
    "",
    `${measuredOn(machine)} Each child was killed ${Math.min(...rows.map(({ runs }) => runs))} times.`,
    "",
    "| what dies | by | who notices | after | who decides | what else restarts | what the caller sees | whole after |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...paths.map((path) => recoveryLine(root, measured.get(path)!)),
    "",
    ...(chaos === undefined ? [] : chaosTable(chaos))
  ].join("\n")
}
