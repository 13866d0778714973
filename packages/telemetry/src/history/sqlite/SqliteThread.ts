/** The thread that waits for the disk: it owns one `SqliteDatabase` and does what it is asked to, one request after the other. */
import { parentPort, workerData } from "node:worker_threads"
import { type Options, SqliteDatabase, SqliteTrouble } from "./SqliteDatabase.ts"

/** What can be asked of the thread: the methods of the database. */
export type Operation = Exclude<keyof SqliteDatabase, "setAside">

/** A request by number. */
export interface Request {
  readonly id: number
  readonly operation: Operation
  readonly args: ReadonlyArray<unknown>
}

/** The answer to the request of that number. The answer to `0`, which nobody asks, is what became of opening the file. */
export interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly trouble?: { readonly detail: string; readonly damaged: boolean }
}

const answerOf = (id: number, act: () => unknown): Answer => {
  try {
    return { id, value: act() }
  } catch (thrown) {
    const detail = thrown instanceof Error ? thrown.message : String(thrown)
    return { id, trouble: { detail, damaged: thrown instanceof SqliteTrouble && thrown.damaged } }
  }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread of Node has no origin
const answer = (id: number, act: () => unknown): void => parentPort!.postMessage(answerOf(id, act))

let database: SqliteDatabase | undefined
answer(0, () => {
  database = SqliteDatabase.open(workerData as Options)
  return database.setAside
})
parentPort!.on(
  "message",
  ({ args, id, operation }: Request) =>
    answer(id, () => (database![operation] as (...args: ReadonlyArray<unknown>) => unknown).apply(database, args as Array<unknown>))
)
