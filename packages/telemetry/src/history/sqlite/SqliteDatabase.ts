/**
 * The history as a SQLite file. Every call waits for the disk, so it runs in a thread of its own (`SqliteThread`).
 *
 * ```text
 * runs    one row a start: when, until when, whose, with which contract
 * events  one row each, `seq` in the order of commits; path, reason, incident as columns, the whole as JSON
 * ```
 *
 * **Details**
 *
 * WAL with `synchronous = FULL`: what `append` has returned survives the machine, and others read meanwhile. `user_version` is the version
 * of the schema: a file that is older is migrated, one that is newer is refused. Several processes may write the same file; each waits
 * for the other.
 */
import { closeSync, existsSync, openSync, renameSync } from "node:fs"
import { DatabaseSync, type StatementSync } from "node:sqlite"
import type { Query, Recorded, Run } from "../HistoryReader.ts"
import * as HistorySql from "../HistorySql.ts"
import type { Bounds, Entry, PastStart, Start } from "../HistoryStore.ts"

/** A write of another process takes milliseconds; who holds the file for longer than 5 s is stuck. */
const busyMillis = 5000

/** Rows that go at once: a write of some milliseconds, between which events are taken in. */
const pruneRows = 1000

/** From empty to the newest; `user_version` counts those that were done. One that was published is never changed. */
const migrations: ReadonlyArray<string> = [
  `CREATE TABLE runs (
    key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, started_at REAL NOT NULL, ended_at REAL,
    host TEXT NOT NULL, process TEXT NOT NULL, contract TEXT NOT NULL
  ) STRICT;
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, position INTEGER NOT NULL, at REAL NOT NULL, name TEXT NOT NULL,
    path TEXT, reason TEXT, incident TEXT, body TEXT NOT NULL, UNIQUE (run, position)
  ) STRICT;
  CREATE INDEX events_at ON events (at);
  CREATE INDEX events_path ON events (path) WHERE path IS NOT NULL;
  CREATE INDEX events_reason ON events (reason) WHERE reason IS NOT NULL;
  CREATE INDEX events_incident ON events (incident) WHERE incident IS NOT NULL;
  CREATE INDEX events_name ON events (name);
  CREATE INDEX runs_host ON runs (host);`
]

/** The file cannot be used, or not now. */
export class SqliteTrouble extends Error {
  /** Its content is damaged. */
  readonly damaged: boolean
  constructor(message: string, damaged = false) {
    super(message)
    this.damaged = damaged
  }
}

const codes = { busy: 5, readOnly: 8, corrupt: 11, full: 13, cannotOpen: 14, notADatabase: 26 } // SQLite's primary result codes

const next: Record<number, string> = {
  [codes.busy]: `another process has held it for ${busyMillis / 1000} s: see with \`fuser\` which`,
  [codes.readOnly]: "this user may not write it: see the owner and the mode of the file and of its folder",
  [codes.full]: "the disk is full: make room. It is tried again meanwhile",
  [codes.cannotOpen]: "its folder is not there, or this user may not write in it",
  [codes.corrupt]: "the file is damaged; the next attempt checks it, and sets it aside",
  [codes.notADatabase]: "the file is no SQLite database"
}

const troubleOf = (thrown: unknown): SqliteTrouble => {
  if (thrown instanceof SqliteTrouble) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  const code = typeof thrown === "object" && thrown !== null && "errcode" in thrown ? Number(thrown.errcode) & 0xff : 0
  const hint = next[code]
  return new SqliteTrouble(hint === undefined ? message : `${message}; ${hint}`, code === codes.corrupt || code === codes.notADatabase)
}

/** Runs `act`; what it throws is a {@link SqliteTrouble}. */
const attempt = <A>(act: () => A): A => {
  try {
    return act()
  } catch (thrown) {
    throw troubleOf(thrown)
  }
}

/** What {@link SqliteDatabase.open} takes. */
export interface Options {
  readonly file: string
  /** To read only: the file must be there. */
  readonly readOnly: boolean
  /** The whole file is checked first: something in it was found to be damaged. */
  readonly check: boolean
  /** Unix time in milliseconds: what a file that is set aside is named by. */
  readonly now: number
}

export class SqliteDatabase {
  /** Where the file of before was put, because it was damaged. */
  readonly setAside: string | undefined
  private readonly db: DatabaseSync
  private readonly statements = new Map<string, StatementSync>()

  private constructor(db: DatabaseSync, setAside: string | undefined) {
    this.db = db
    this.setAside = setAside
  }

  /** Opens the file, making or migrating it. One that is damaged is set aside, and a new one begun. */
  static open(options: Options): SqliteDatabase {
    try {
      return new SqliteDatabase(connect(options), undefined)
    } catch (thrown) {
      if (options.readOnly || !(thrown instanceof SqliteTrouble) || !thrown.damaged) throw thrown
      const aside = attempt(() => setAside(options))
      return new SqliteDatabase(connect(options), aside)
    }
  }

  close(): void {
    this.db.close()
  }

  begin({ contract, host, id, process, startedAt }: Start): void {
    this.write(() =>
      this.prepare("INSERT OR IGNORE INTO runs (id, started_at, host, process, contract) VALUES (?, ?, ?, ?, ?)")
        .run(id, startedAt, host, process, JSON.stringify(contract))
    )
  }

  append(run: string, entries: ReadonlyArray<Entry>): ReadonlyArray<number> {
    return this.write(() => {
      const found = this.prepare("SELECT key FROM runs WHERE id = ?").get(run)
      if (found === undefined) throw new SqliteTrouble(`there is no run ${run} in it: it was not begun`)
      const key = found["key"] as number
      const insert = this.prepare(
        "INSERT OR IGNORE INTO events (run, position, at, name, path, reason, incident, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
      )
      const known = this.prepare("SELECT seq FROM events WHERE run = ? AND position = ?")
      return entries.map(({ event, position }) => {
        const { changes, lastInsertRowid } = insert.run(key, position, event.at, event.name, ...HistorySql.cells(event))
        return Number(changes === 0 ? known.get(key, position)!["seq"] : lastInsertRowid)
      })
    })
  }

  end(run: string, at: number): void {
    this.write(() => this.prepare("UPDATE runs SET ended_at = ? WHERE id = ?").run(at, run))
  }

  prune(own: string, { maxBytes, oldest }: Bounds): number {
    return attempt(() => {
      const isLarge = this.bytes() > maxBytes
      const old = isLarge ? undefined : this.prepare("SELECT 1 FROM events WHERE at < ? LIMIT 1").get(oldest)
      if (!isLarge && old === undefined) return 0
      const drop = (which: string, ...values: ReadonlyArray<number>) =>
        Number(this.prepare(`DELETE FROM events WHERE seq IN (SELECT seq FROM events ${which} LIMIT ${pruneRows})`).run(...values).changes)
      const dropped = this.write(() => {
        const dropped = isLarge
          ? drop(`WHERE ${HistorySql.ofCalls} ORDER BY seq`) || drop("ORDER BY seq")
          : drop("WHERE at < ? ORDER BY at", oldest)
        // a start without an event that is as old as what goes now: of its own run a host has none yet
        this.prepare(
          "DELETE FROM runs WHERE id <> ? AND started_at < coalesce((SELECT min(at) FROM events), ?) AND " +
            "NOT EXISTS (SELECT 1 FROM events WHERE events.run = runs.key)"
        ).run(own, oldest)
        return dropped
      })
      this.db.exec("PRAGMA incremental_vacuum")
      return dropped
    })
  }

  past(host: string): ReadonlyArray<PastStart> {
    return attempt(() =>
      this.prepare(
        "SELECT id, started_at, ended_at, process, (SELECT max(at) FROM events e WHERE e.run = r.key) AS last_at " +
          "FROM runs r WHERE host = ? ORDER BY key"
      ).all(host).map((row) => ({
        id: row["id"] as string,
        startedAt: row["started_at"] as number,
        endedAt: (row["ended_at"] as number | null) ?? undefined,
        process: row["process"] as string,
        lastAt: (row["last_at"] as number | null) ?? undefined
      }))
    )
  }

  runs(): ReadonlyArray<Run> {
    return attempt(() =>
      this.prepare("SELECT id, host, process, started_at, ended_at, contract FROM runs ORDER BY key").all().map((row) => ({
        id: row["id"] as string,
        host: row["host"] as string,
        process: row["process"] as string,
        startedAt: row["started_at"] as number,
        endedAt: (row["ended_at"] as number | null) ?? undefined,
        contract: JSON.parse(row["contract"] as string) as Run["contract"]
      }))
    )
  }

  /** The `seq` before the last `limit` events that fit; 0 when there are no more than that. */
  before(query: Query): number {
    if (query.limit === undefined) return 0
    if (query.limit === 0) return Number.MAX_SAFE_INTEGER
    return attempt(() => {
      const { values, where } = sqlOf(query)
      const first = this.prepare(`SELECT e.seq FROM ${HistorySql.tables} WHERE ${where} ORDER BY e.seq DESC LIMIT 1 OFFSET ?`)
        .get(...values, query.limit! - 1)
      return first === undefined ? 0 : first["seq"] as number - 1
    })
  }

  /** The next events after a `seq`, oldest first. */
  page(query: Query, after: number): ReadonlyArray<Recorded> {
    return attempt(() => {
      const { values, where } = sqlOf(query)
      return this.prepare(
        `SELECT ${HistorySql.columns} FROM ${HistorySql.tables} WHERE ${where} AND e.seq > ? ORDER BY e.seq LIMIT ${HistorySql.pageSize}`
      ).all(...values, after).map((row) => ({
        seq: row["seq"] as number,
        run: row["run"] as string,
        event: { name: row["name"] as string, at: row["at"] as number, ...JSON.parse(row["body"] as string) } as Recorded["event"]
      }))
    })
  }

  /** What the events take, without the pages that are free again. */
  private bytes(): number {
    const pragma = (name: string) => Object.values(this.prepare(`PRAGMA ${name}`).get()!)[0] as number
    return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")
  }

  private prepare(sql: string): StatementSync {
    let statement = this.statements.get(sql)
    if (statement === undefined) {
      statement = this.db.prepare(sql)
      this.statements.set(sql, statement)
    }
    return statement
  }

  private write<A>(act: () => A): A {
    return attempt(() => transaction(this.db, act))
  }
}

const transaction = <A>(db: DatabaseSync, act: () => A): A => {
  db.exec("BEGIN IMMEDIATE")
  try {
    const result = act()
    db.exec("COMMIT")
    return result
  } catch (thrown) {
    if (db.isTransaction) db.exec("ROLLBACK") // a full disk has rolled back already
    throw thrown
  }
}

const sqlOf = (query: Query): { readonly where: string; readonly values: ReadonlyArray<HistorySql.Bound> } => {
  const values: Array<HistorySql.Bound> = []
  const bind = (value: HistorySql.Bound) => {
    values.push(value)
    return "?"
  }
  const fits = (column: string, pattern: string) => `${column} GLOB ${bind(pattern.replaceAll(/[?[]/g, "[$&]"))}`
  return { where: HistorySql.conditions(query, { bind, fits }), values }
}

const connect = ({ check, file, readOnly }: Options): DatabaseSync => {
  if (readOnly && !existsSync(file)) throw new SqliteTrouble("there is no such file: no application has recorded anything there yet")
  if (!readOnly) attempt(() => closeSync(openSync(file, "a", 0o600))) // the causes of exits stand in it; its companions get its mode
  const db = attempt(() => new DatabaseSync(file, { readOnly, timeout: busyMillis }))
  try {
    attempt(() => prepareFile(db, { check, readOnly }))
    return db
  } catch (thrown) {
    db.close()
    throw thrown
  }
}

const prepareFile = (db: DatabaseSync, { check, readOnly }: Pick<Options, "check" | "readOnly">): void => {
  const pragma = (text: string) => Object.values(db.prepare(`PRAGMA ${text}`).get() ?? {})[0]
  if (check && pragma("quick_check(1)") !== "ok") throw new SqliteTrouble("the file is damaged", true)
  if (!readOnly) {
    db.exec("PRAGMA auto_vacuum = INCREMENTAL") // for a file that is new: what was pruned is given back
    const mode = pragma("journal_mode = WAL")
    if (mode !== "wal") {
      throw new SqliteTrouble(`its folder allows no write-ahead log (journal_mode is ${mode}): it must be on a local disk`)
    }
    db.exec("PRAGMA synchronous = FULL")
  }
  const version = () => pragma("user_version") as number
  if (version() > migrations.length) {
    throw new SqliteTrouble(
      `a newer Snakepit has written it (version ${version()} of its schema, this one knows ${migrations.length}): use that one, or another file`
    )
  }
  if (version() === 0 && db.prepare("SELECT 1 FROM sqlite_master LIMIT 1").get() !== undefined) {
    throw new SqliteTrouble("it is the database of another program: choose another file")
  }
  if (readOnly && version() === 0) throw new SqliteTrouble("nothing has been recorded in it yet")
  if (readOnly || version() === migrations.length) return
  transaction(db, () => {
    for (const migration of migrations.slice(version())) db.exec(migration) // read again: another host may have been first
    db.exec(`PRAGMA user_version = ${migrations.length}`)
  })
}

/** Gives the damaged file, and what SQLite keeps beside it, another name. */
const setAside = ({ file, now }: Options): string => {
  const aside = `${file}.${new Date(now).toISOString().replaceAll(":", "-")}.corrupt`
  for (const companion of ["", "-wal", "-shm"]) if (existsSync(file + companion)) renameSync(file + companion, aside + companion)
  return aside
}
