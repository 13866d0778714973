/**
 * `npm start`: a model search over real data on a pool of Python workers, one of which is killed and one frozen on the way.
 *
 * In a terminal it draws the live tree while the search runs. Arguments: `--json` ends with one line that holds the ledger. Ends with 0 only if the ledger balances.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Effect, Fiber, Latch, Stream } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { EventLog, Pool, Snakepit, Survivors, Tree } from "snakepit"
import { Digits } from "./Digits.ts"
import * as Grid from "./Grid.ts"
import { harm } from "./Harm.ts"
import * as Journal from "./Journal.ts"
import * as Ledger from "./Ledger.ts"
import * as Screen from "./Screen.ts"
import { type Result, search } from "./Search.ts"

const json = process.argv.includes("--json")
const folds = 5
const workers = 3
const progress: Screen.Progress = { fits: 0, folds: 0, total: Grid.candidates.length, best: "" }
const screen = Screen.make(progress, json)

const SnakepitLive = Snakepit.layer({
  pools: {
    default: {
      size: workers,
      python: { adapter: "digits", path: [fileURLToPath(new URL("../python", import.meta.url))] },
      heartbeat: { interval: "500 millis", timeout: "250 millis" },
      stopGrace: "1 second"
    }
  }
})

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "digits-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const percent = (accuracy: number) => `${(accuracy * 100).toFixed(2)} %`

const table = (results: ReadonlyArray<Result>): string => {
  const rows = results.slice(0, 10).map(({ accuracy, candidate, scores }) =>
    `  ${percent(accuracy)}  ${Grid.describe(candidate).padEnd(48)}  folds ${scores.map((score) => score.toFixed(3)).join(" ")}`
  )
  return ["Best parameters, mean accuracy over 5 folds:", ...rows].join("\n")
}

/** The search under supervision, with two workers harmed on the way. */
const run = Effect.gen(function*() {
  const log = yield* EventLog.EventLog
  const snakepit = yield* Snakepit.Snakepit
  const journal = join(yield* temporaryFolder, "journal.ndjson")
  yield* screen.watch
  const { classes, scans } = yield* (yield* Pool.client(Digits)).dataset()
  yield* screen.line(`${Grid.candidates.length} fits of ${folds} folds over ${scans} handwritten digits in ${classes} classes`)
  let restarts = 0
  const recoveries = log.follow("snakepit.*_supervisor.*").pipe(Stream.runForEach((event) => {
    if (event.name.endsWith(".restart")) restarts++
    const text = Screen.recovery(event)
    return text === undefined ? Effect.void : screen.note(text)
  }))
  yield* Effect.forkScoped(recoveries, { startImmediately: true })

  const quarter = Latch.makeUnsafe(false)
  const half = Latch.makeUnsafe(false)
  const killed = yield* Effect.forkScoped(harm(quarter, 0, "SIGKILL"))
  const frozen = yield* Effect.forkScoped(harm(half, 1, "SIGSTOP"))

  let best = 0
  const results = yield* search({
    candidates: Grid.candidates,
    folds,
    concurrency: 2 * workers,
    journal,
    onFold: () =>
      Effect.suspend(() => {
        progress.folds++
        return screen.redraw
      }),
    onFit: ({ accuracy, candidate }) =>
      Effect.suspend(() => {
        progress.fits++
        if (accuracy > best) {
          best = accuracy
          progress.best = `${percent(accuracy)} ${Grid.describe(candidate)}`
        }
        if (progress.fits * 4 >= progress.total) quarter.openUnsafe()
        if (progress.fits * 2 >= progress.total) half.openUnsafe()
        return screen.advanced
      })
  })
  yield* screen.line(`killed pid ${yield* Fiber.join(killed)}, froze pid ${yield* Fiber.join(frozen)}`)
  yield* recovered(log)
  yield* screen.line(`\n${table(results)}\n\n${Tree.render(yield* snakepit.tree)}`)
  const ledger = yield* Pool.ledger()
  return { runId: snakepit.runId, pool: ledger!, journal: Journal.read(journal), restarts }
})

/** Waits until both harms have led to a restart that is over: the search may be done before a frozen worker is even found. */
const recovered = (log: Screen.Log) =>
  Effect.gen(function*() {
    const incidents = (yield* log.recent("snakepit.*_supervisor.restart")).map((event) => event.attributes["incident"])
    const over = new Set((yield* log.recent("snakepit.*_supervisor.recover")).map((event) => event.attributes["incident"]))
    return incidents.length >= 2 && incidents.every((incident) => over.has(incident))
  }).pipe(
    Effect.delay("50 millis"),
    Effect.repeat({ until: (done) => done }),
    Effect.timeoutOption("30 seconds") // then the ledger says what is missing
  )

const main = Effect.gen(function*() {
  const began = yield* Clock.currentTimeMillis
  yield* screen.line(`Starting ${workers} Python workers …`)
  const { runId, ...outcome } = yield* Effect.scoped(run).pipe(Snakepit.supervised, Effect.provide(SnakepitLive))
  const survivors = yield* Survivors.of(runId) // the tree is down by now
  const evidence = { ...outcome, survivors, seconds: ((yield* Clock.currentTimeMillis) - began) / 1000 }
  const ledger = Ledger.balance(evidence)
  const { accepted, completed, lost, reported, restarts, retried, seconds, twice } = ledger
  yield* screen.line(
    `\nLedger: ${accepted} calls accepted, ${completed} completed, ${retried} retried, ${reported} reported, ${lost} lost, ` +
      `${twice} executed twice when not allowed, ${ledger.survivors} processes left behind, ${restarts} restarts, ${seconds} s`
  )
  if (json) process.stdout.write(`${JSON.stringify(ledger)}\n`)
  if (!Ledger.isSound(ledger, evidence, Grid.candidates.length)) {
    yield* screen.line("The ledger does not balance.")
    process.exitCode = 1
  }
})

NodeRuntime.runMain(main)
