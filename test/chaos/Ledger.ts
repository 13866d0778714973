/**
 * The account of the calls of one host: what it says of each, against what the workers noted when a tool really ran.
 *
 * ```text
 * ledger.jsonl   the host's:     {"id":7,"pool":"default","tool":"once","at":1764…}   before the call is made
 *                                {"id":7,"outcome":"completed"}                        when its caller has been told
 *                                {"ending":1764…}                                      the program begins to end, callers and all
 * journal.txt    the workers':   7 4711                                                id and pid, the first thing that a tool does
 * ```
 *
 * Both are append-only, one write(2) a line, so that a killed writer leaves whole lines.
 */

/**
 * What a caller was told. `refused`: the tool did not run. `failed`: it ran, and this is what came of it. `unknown`: it may have run.
 * `interrupted`: the caller itself went. `wrong`: something that cannot be.
 */
export type Outcome = "completed" | "failed" | "refused" | "unknown" | "interrupted" | "wrong"

/** A call that is about to be made. `at` in milliseconds since 1970, `bound` how many of them it may take whatever happens. */
export interface Made {
  readonly id: number
  readonly pool: string
  readonly tool: string
  readonly idempotent: boolean
  readonly at: number
  readonly bound?: number
}

/** What its caller was told. */
export interface Told {
  readonly id: number
  readonly outcome: Outcome
  readonly cause?: string
}

/** One line of the ledger. */
export type Line = Made | Told | { readonly ending: number }

export const isMade = (line: Line): line is Made => "tool" in line
export const isTold = (line: Line): line is Told => "outcome" in line

/** One execution. */
export interface Execution {
  readonly id: number
  readonly pid: number
}

/** What is compared. */
export interface Evidence {
  readonly ledger: ReadonlyArray<Line>
  readonly journal: ReadonlyArray<Execution>
  /** When the host was killed, on the clock of the ledger: the callers of calls without outcome died with it. `undefined`: it was not. */
  readonly killedAt: number | undefined
}

/** The result: every call is `refused` or accepted, and `accepted` = `completed` + `failed` + `unknown` + `lost`. */
export interface Account {
  readonly accepted: number
  /** Ended with an error that says that the tool did not run. */
  readonly refused: number
  readonly completed: number
  /** Ended with an error that says what happened. */
  readonly failed: number
  /** Ended with an error that says it may have run, or with its caller. */
  readonly unknown: number
  /** Without an outcome, with several, or with one that cannot be. */
  readonly lost: number
  readonly twice: number
  /** Each thing that must not be, for people. */
  readonly problems: ReadonlyArray<string>
}

/** Calls by whether they have begun on a process and their callers know nothing yet: ids by pid. */
export const running = ({ journal, ledger }: Pick<Evidence, "ledger" | "journal">): ReadonlyMap<number, ReadonlyArray<Made>> => {
  const open = new Map(ledger.filter(isMade).map((call) => [call.id, call]))
  for (const line of ledger) if (isTold(line)) open.delete(line.id)
  const found = new Map<number, Array<Made>>()
  for (const { id, pid } of new Map(journal.map((execution) => [execution.id, execution])).values()) { // the last execution of each
    const call = open.get(id)
    if (call !== undefined) found.set(pid, [...found.get(pid) ?? [], call])
  }
  return found
}

/** Pure. */
export const account = ({ journal, killedAt, ledger }: Evidence): Account => {
  const calls = new Map<number, Made>()
  const outcomes = new Map<number, Array<Told & { readonly ending: boolean }>>()
  let ending = false
  for (const line of ledger) {
    if (isMade(line)) calls.set(line.id, line)
    else if (isTold(line)) outcomes.set(line.id, [...outcomes.get(line.id) ?? [], { ...line, ending }])
    else ending = true
  }
  const executions = new Map<number, number>()
  for (const { id } of journal) executions.set(id, (executions.get(id) ?? 0) + 1)

  const counts = { accepted: 0, refused: 0, completed: 0, failed: 0, unknown: 0, lost: 0, twice: 0 }
  const problems: Array<string> = []
  for (const { at, bound, id, idempotent, tool } of calls.values()) {
    const ran = executions.get(id) ?? 0
    const ended = outcomes.get(id) ?? []
    const [first] = ended
    const lose = (how: string) => {
      problems.push(`lost: call ${id} of ${tool} ${how}`)
      return "lost" as const
    }
    const repeat = (how: string) => {
      counts.twice++
      problems.push(`twice: call ${id} of ${tool} ${how}`)
    }
    const judge = (): Exclude<keyof Account, "accepted" | "twice" | "problems"> => {
      if (ended.length > 1) return lose(`has ${ended.length} outcomes: ${ended.map(({ outcome }) => outcome).join(", ")}`)
      switch (first?.outcome) {
        case undefined: {
          if (killedAt === undefined) return lose("has no outcome")
          const open = killedAt - at
          return bound !== undefined && open > bound
            ? lose(`had no outcome ${open} ms after it was made, when its host was killed, and may take ${bound} ms`)
            : "unknown"
        }
        case "completed":
          return ran === 0 ? lose("completed and never ran") : "completed"
        case "failed":
          return ran === 0 ? lose(`was told to have run and failed, and never ran: ${first?.cause ?? ""}`) : "failed"
        case "refused":
          if (ran > 0) repeat(`was told not to have run, and ran ${ran} times: who calls it again runs it once more`)
          return "refused"
        case "unknown":
          return "unknown"
        case "interrupted":
          return first?.ending === true ? "unknown" : lose("was interrupted, and nothing had asked its host to end")
        case "wrong":
          problems.push(`wrong: call ${id} of ${tool}: ${first?.cause ?? ""}`)
          return "failed"
      }
    }
    if (!idempotent && ran > 1) repeat(`is not idempotent and ran ${ran} times`)
    const verdict = judge()
    counts[verdict]++
    if (verdict !== "refused") counts.accepted++
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
