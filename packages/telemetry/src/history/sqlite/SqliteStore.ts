/**
 * The history in a SQLite file, through a thread: the host's event loop never waits for the disk.
 *
 * ```text
 *  host                          thread
 *  append(batch)  ──message──▶   BEGIN IMMEDIATE … COMMIT (the disk has it)
 *  seqs           ◀──message──
 * ```
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { HistoryFailed, type HistoryReader, type Query, type Recorded } from "../HistoryReader.ts"
import { pageSize } from "../HistorySql.ts"
import type { HistoryStore } from "../HistoryStore.ts"
import * as RecordedContract from "../RecordedContract.ts"
import type { Options, SqliteDatabase } from "./SqliteDatabase.ts"
import type { Answer, Operation, Request } from "./SqliteThread.ts"

/** It is loaded as this module was: from its source, or compiled. */
const program = new URL(`./SqliteThread${extname(import.meta.url)}`, import.meta.url)

/** A last write of a batch takes milliseconds; who waits for a disk longer than 5 s keeps the host from ending. */
const closeMillis = 5000

interface Thread {
  /** Runs a method of the database there. */
  readonly ask: <O extends Operation>(
    doing: string,
    operation: O,
    ...args: Parameters<SqliteDatabase[O]>
  ) => Effect.Effect<ReturnType<SqliteDatabase[O]>, HistoryFailed>
  readonly setAside: string | undefined
}

const startThread = Effect.fnUntraced(function*(options: Omit<Options, "now">) {
  const { file } = options
  const now = yield* Clock.currentTimeMillis
  const waiting = new Map<number, (answer: Answer) => void>()
  let requests = 0
  let ended: string | undefined
  let opened: Answer | undefined
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const workerData: Options = { ...options, now }
      const worker = new Worker(program, { workerData, execArgv: ["--disable-warning=ExperimentalWarning"], name: "snakepit-history" })
      const fail = (detail: string) => {
        ended = detail
        for (const settle of waiting.values()) settle({ id: 0, trouble: { detail, damaged: false } })
        waiting.clear()
      }
      worker.on("message", (answer: Answer) => {
        if (answer.id === 0) opened = answer
        waiting.get(answer.id)?.(answer)
        waiting.delete(answer.id)
      })
      worker.on("error", (error) => fail(`its thread failed: ${error instanceof Error ? error.message : String(error)}`))
      worker.on("exit", () => fail(ended ?? "its thread has ended"))
      return worker
    }),
    (worker) =>
      Effect.ignore(ask("closed", "close")).pipe(
        Effect.timeoutOption(closeMillis),
        Effect.andThen(Effect.promise(() => worker.terminate()))
      )
  )
  const answered = (doing: string, id: number, send: () => void) =>
    Effect.callback<unknown, HistoryFailed>((resume) => {
      const settle = ({ trouble, value }: Answer) =>
        resume(
          trouble === undefined
            ? Effect.succeed(value)
            : Effect.fail(new HistoryFailed({ store: file, doing, detail: trouble.detail, damaged: trouble.damaged }))
        )
      if (id === 0 && opened !== undefined) return settle(opened)
      if (ended !== undefined) return settle({ id, trouble: { detail: ended, damaged: false } })
      waiting.set(id, settle)
      send()
    })
  function ask(doing: string, operation: Operation, ...args: ReadonlyArray<unknown>): Effect.Effect<unknown, HistoryFailed> {
    return Effect.suspend(() => {
      const id = ++requests
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread of Node has no origin
      return answered(doing, id, () => worker.postMessage({ id, operation, args } satisfies Request))
    })
  }
  const setAside = (yield* answered("opened", 0, () => {})) as string | undefined
  return { ask: ask as Thread["ask"], setAside }
})

const readerOf = (thread: Effect.Effect<Thread, HistoryFailed, Scope.Scope>): HistoryReader => ({
  runs: Effect.scoped(
    Effect.flatMap(
      thread,
      ({ ask }) =>
        Effect.map(ask("read", "runs"), (runs) => runs.map(({ contract, ...span }) => ({ ...span, ...RecordedContract.read(contract) })))
    )
  ),
  events: (query) => Stream.unwrap(Effect.map(thread, (opened) => pagesOf(opened, query)))
})

const pagesOf = ({ ask }: Thread, query: Query): Stream.Stream<Recorded, HistoryFailed> =>
  Stream.unwrap(Effect.map(
    ask("read", "before", query),
    (before) =>
      Stream.paginate(before, (after) =>
        Effect.map(ask("read", "page", query, after), (page): readonly [ReadonlyArray<Recorded>, Option.Option<number>] => [
          page,
          page.length < pageSize ? Option.none() : Option.some(page.at(-1)!.seq)
        ]))
  ))

const toRead = (file: string) => startThread({ file, readOnly: true, check: false })

/** Reads the file, also while an application writes it. It is opened for each question. */
export const reader = (file: string): HistoryReader => readerOf(toRead(file))

/** Reads the file, which stays open until the scope closes: for many questions. */
export const openReader = (file: string): Effect.Effect<HistoryReader, HistoryFailed, Scope.Scope> =>
  Effect.map(toRead(file), (thread) => readerOf(Effect.succeed(thread)))

/**
 * Opens the file to write, until the scope closes. With `check` the whole of it is looked through first; a file that is damaged is set aside
 * under another name and a new one begun.
 */
export const open = (file: string, check: boolean): Effect.Effect<HistoryStore, HistoryFailed, Scope.Scope> =>
  Effect.map(startThread({ file, readOnly: false, check }), (thread): HistoryStore => {
    const { ask, setAside } = thread
    return {
      begin: (start) => ask("written", "begin", start),
      append: (run, entries) => ask("written", "append", run, entries),
      end: (run, at) => ask("written", "end", run, at),
      prune: (own, bounds) => ask("pruned", "prune", own, bounds),
      past: (host) => ask("read", "past", host),
      reader: readerOf(Effect.succeed(thread)),
      setAside
    }
  })
