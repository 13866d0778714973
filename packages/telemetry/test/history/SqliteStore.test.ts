import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { SqliteDatabase } from "../../src/history/sqlite/SqliteDatabase.ts"
import * as SqliteStore from "../../src/history/sqlite/SqliteStore.ts"
import { entries, eventOf, laws, startOf } from "./StoreLaws.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "history-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)
const file = Effect.map(folder, (path) => join(path, "history.sqlite"))
const opens = (path: string, check = false) => Effect.scoped(Effect.map(SqliteStore.open(path, check), ({ setAside }) => setAside))
const detailOf = (path: string) => Effect.map(Effect.flip(opens(path)), ({ detail }) => detail)

/** A file with some hundred events. */
const filled = Effect.tap(file, (path) =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* SqliteStore.open(path, false)
    yield* store.begin(startOf("one"))
    yield* store.append("one", entries(Array.from({ length: 500 }, (_, at) => eventOf(at, "snakepit.pool.open", { path: `a/${at}` }))))
  })))

describe("the history in a SQLite file", () => {
  laws(Effect.map(file, (path) => ({ open: SqliteStore.open(path, false), reader: SqliteStore.reader(path) })))

  it.live("is there after it was closed, and its files are for their user alone", () =>
    Effect.gen(function*() {
      const path = yield* file
      yield* Effect.gen(function*() {
        const store = yield* SqliteStore.open(path, false)
        yield* store.begin(startOf("one"))
        yield* store.append("one", entries([eventOf(1, "snakepit.pool.open")]))
        for (const name of readdirSync(join(path, ".."))) assert.strictEqual(statSync(join(path, "..", name)).mode & 0o777, 0o600, name)
      }).pipe(Effect.scoped)
      const found = yield* Stream.runCollect(SqliteStore.reader(path).events({}))
      assert.strictEqual(found.length, 1)
      assert.isUndefined(yield* opens(path))
    }))

  it.live("finds by an index what is asked for by path, time, reason and incident", () =>
    Effect.gen(function*() {
      const path = yield* filled
      const db = new DatabaseSync(path, { readOnly: true })
      const plan = (where: string) =>
        db.prepare(`EXPLAIN QUERY PLAN SELECT e.seq FROM events e JOIN runs r ON r.key = e.run WHERE ${where}`).all().map((row) =>
          row["detail"]
        ).join("; ")
      for (
        const [index, where] of [["path", "e.path = 'a'"], ["at", "e.at >= 5 AND e.at < 6"], ["reason", "e.reason = 'a'"], [
          "incident",
          "e.incident = 'a'"
        ]]
      ) {
        assert.include(plan(where!), `USING INDEX events_${index}`)
      }
      db.close()
    }))

  it.live("sets aside what is no database, and begins anew", () =>
    Effect.gen(function*() {
      const path = yield* file
      writeFileSync(path, Buffer.alloc(8192, "x"))
      const aside = yield* opens(path)
      assert.match(aside!, /history\.sqlite\.[-\dTZ.]+\.corrupt$/)
      assert.strictEqual(statSync(aside!).size, 8192)
      assert.isUndefined(yield* opens(path))
    }))

  it.live("sets aside a file that is damaged within, once it is checked", () =>
    Effect.gen(function*() {
      const path = yield* filled
      const { size } = statSync(path)
      const descriptor = openSync(path, "r+")
      for (let page = 3; page * 4096 < size; page++) writeSync(descriptor, Buffer.alloc(2000, "z"), 0, 2000, page * 4096)
      closeSync(descriptor)
      const failed = yield* Effect.scoped(
        Effect.flatMap(SqliteStore.open(path, false), (store) => Effect.flip(Stream.runCollect(store.reader.events({}))))
      )
      assert.isTrue(failed.damaged)
      assert.isTrue(existsSync((yield* opens(path, true))!))
    }))

  it.live("refuses what a newer Snakepit has written, and leaves it as it is", () =>
    Effect.gen(function*() {
      const path = yield* filled
      const db = new DatabaseSync(path)
      db.exec("PRAGMA user_version = 99")
      db.close()
      assert.match(yield* detailOf(path), /a newer Snakepit has written it \(version 99 of its schema, this one knows 1\)/)
      assert.match((yield* Effect.flip(SqliteStore.reader(path).runs)).message, /a newer Snakepit/)
    }))

  it.live("refuses the database of another program", () =>
    Effect.gen(function*() {
      const path = yield* file
      const db = new DatabaseSync(path)
      db.exec("CREATE TABLE theirs (x)")
      db.close()
      assert.match(yield* detailOf(path), /another program/)
    }))

  it.live("says what is wrong where it cannot be: no folder, no file to read, no right to write", () =>
    Effect.gen(function*() {
      const path = yield* file
      assert.match(yield* detailOf(join(path, "deeper.sqlite")), /ENOENT/)
      assert.match((yield* Effect.flip(SqliteStore.reader(path).runs)).message, /could not be opened: there is no such file/)
      const filledPath = yield* filled
      chmodSync(join(filledPath, ".."), 0o500)
      chmodSync(filledPath, 0o400)
      if (process.getuid?.() !== 0) assert.match(yield* detailOf(filledPath), /EACCES|may not write/) // root may write anything
      chmodSync(join(filledPath, ".."), 0o700)
    }))

  it.effect("a full disk fails the write, nothing of it is there, and it goes on when there is room", () =>
    Effect.gen(function*() {
      const path = yield* filled
      const database = SqliteDatabase.open({ file: path, readOnly: false, check: false, now: 0 })
      const db = Reflect.get(database, "db") as DatabaseSync // the limit is of a connection, and must be of this one
      const large = entries([eventOf(1, "snakepit.pool.open"), eventOf(2, "snakepit.pool.open", { cause: "x".repeat(1 << 20) })], 500)
      const { page_count: pages } = db.prepare("PRAGMA page_count").get() as { readonly page_count: number }
      db.exec(`PRAGMA max_page_count = ${pages + 3}`)
      assert.throws(() => database.append("one", large), /disk is full: make room/)
      assert.strictEqual(database.page({}, 0).length, 500)
      db.exec("PRAGMA max_page_count = 1000000")
      assert.strictEqual(database.append("one", large).length, 2)
      assert.strictEqual(database.page({}, 0).length, 502)
      database.close()
    }))
})
