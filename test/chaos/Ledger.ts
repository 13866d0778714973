/**
 * The account of the calls of one host: what it says of each, against what the workers noted when a tool really ran.
 *
 * ```text
 * ledger.jsonl   the host's:     {"id":7,"pool":"default","tool":"once"}   before the call is made
 *                                {"id":7,"outcome":"completed"}             when its caller has been told
 * journal.txt    the workers':   7 4711                                     id and pid, the first thing that a tool does
 * ```
 *
 * Both are append-only, one write(2) a line, so that a killed writer leaves whole lines.
 */

/** What a caller was told. `refused`: the tool did not run. `interrupted`: the caller itself went. `wrong`: something that cannot be. */
export type Outcome = "completed" | "failed" | "refused" | "unknown" | "interrupted" | "wrong"

/** One line of the ledger. */
export type Line =
  | { readonly id: number; readonly pool: string; readonly tool: string; readonly idempotent: boolean }
  | { readonly id: number; readonly outcome: Outcome; readonly cause?: string }

/** One execution. */
export interface Execution {
  readonly id: number
  readonly pid: number
}

/** What is compared. */
export interface Evidence {
  readonly ledger: ReadonlyArray<Line>
  readonly journal: ReadonlyArray<Execution>
  /** The host was killed: the callers of calls without outcome died with it. */
  readonly killed: boolean
}

/** The result; `accepted` = `completed` + `failed` + `unknown` + calls that are lost for want of an outcome. */
export interface Account {
  readonly accepted: number
  readonly completed: number
  /** Ended with an error that says what happened, refusals among them. */
  readonly failed: number
  /** Ended with an error that says it may have run, or with its caller. */
  readonly unknown: number
  readonly lost: number
  readonly twice: number
  /** Each thing that must not be, for people. */
  readonly problems: ReadonlyArray<string>
}

/** Pure. */
export const account = ({ journal, killed, ledger }: Evidence): Account => {
  const calls = new Map<number, Extract<Line, { readonly tool: string }>>()
  const outcomes = new Map<number, Array<Extract<Line, { readonly outcome: Outcome }>>>()
  for (const line of ledger) {
    if ("tool" in line) calls.set(line.id, line)
    else outcomes.set(line.id, [...outcomes.get(line.id) ?? [], line])
  }
  const executions = new Map<number, number>()
  for (const { id } of journal) executions.set(id, (executions.get(id) ?? 0) + 1)

  const counts = { accepted: calls.size, completed: 0, failed: 0, unknown: 0, lost: 0, twice: 0 }
  const problems: Array<string> = []
  for (const { id, idempotent, tool } of calls.values()) {
    const ran = executions.get(id) ?? 0
    const ended = outcomes.get(id) ?? []
    const lose = (how: string) => {
      counts.lost++
      problems.push(`lost: call ${id} of ${tool} ${how}`)
    }
    const repeat = (how: string) => {
      counts.twice++
      problems.push(`twice: call ${id} of ${tool} ${how}`)
    }
    if (!idempotent && ran > 1) repeat(`is not idempotent and ran ${ran} times`)
    if (ended.length > 1) lose(`has ${ended.length} outcomes: ${ended.map(({ outcome }) => outcome).join(", ")}`)
    const [first] = ended
    switch (first?.outcome) {
      case undefined:
        if (killed) counts.unknown++
        else lose("has no outcome")
        break
      case "completed":
        counts.completed++
        if (ran === 0) lose("completed and never ran")
        break
      case "failed":
        counts.failed++
        break
      case "refused":
        counts.failed++
        if (ran > 0) repeat(`was told not to have run, and ran ${ran} times: who calls it again runs it once more`)
        break
      case "unknown":
      case "interrupted":
        counts.unknown++
        break
      case "wrong":
        counts.failed++
        problems.push(`wrong: call ${id} of ${tool}: ${first?.cause ?? ""}`)
    }
  }
  for (const id of outcomes.keys()) if (!calls.has(id)) problems.push(`wrong: call ${id} has an outcome and was never made`)
  for (const id of executions.keys()) if (!calls.has(id)) problems.push(`wrong: call ${id} ran and was never made`)
  return { ...counts, problems }
}

const wholeLines = (text: string): ReadonlyArray<string> => text.split("\n").slice(0, -1) // what follows the last newline is no line yet

/** Reads the host's file. */
export const readLedger = (text: string): ReadonlyArray<Line> => wholeLines(text).map((line) => JSON.parse(line) as Line)

/** Reads the workers' file. */
export const readJournal = (text: string): ReadonlyArray<Execution> =>
  wholeLines(text).map((line) => {
    const [id, pid] = line.split(" ").map(Number)
    if (!Number.isInteger(id) || !Number.isInteger(pid)) throw new Error(`"${line}" is no line of a journal: two writes were mixed up`)
    return { id: id!, pid: pid! }
  })
