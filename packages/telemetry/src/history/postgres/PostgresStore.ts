/**
 * The history in PostgreSQL, for hosts on several machines: the same tables as the file has, in a schema of their own.
 *
 * **Details**
 *
 * Hosts that start together make the tables once: they wait for each other on an advisory lock. The password is in no error and no event.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { HistoryFailed, type HistoryReader, type Query, type Recorded, type Run } from "../HistoryReader.ts"
import * as HistorySql from "../HistorySql.ts"
import type { HistoryStore, PastStart } from "../HistoryStore.ts"

const schema = "snakepit_history"

/** How long a connection may take: a server that is there answers in milliseconds, also across a continent. */
const connectMillis = 5000

/** Rows that go at once, as in the file. */
const pruneRows = 1000

/** "snakepit" as a number: nobody else locks it. */
const lock = 8_313_471_023

/** From empty to the newest; the table `version` counts those that were done. One that was published is never changed. */
const migrations: ReadonlyArray<ReadonlyArray<string>> = [[
  `CREATE TABLE runs (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, started_at double precision NOT NULL,
    ended_at double precision, host text NOT NULL, process text NOT NULL, contract text NOT NULL
  )`,
  `CREATE TABLE events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run bigint NOT NULL, position bigint NOT NULL, at double precision NOT NULL,
    name text COLLATE "C" NOT NULL, path text COLLATE "C", reason text, incident text, body text NOT NULL, UNIQUE (run, position)
  )`,
  "CREATE INDEX events_at ON events (at)",
  "CREATE INDEX events_path ON events (path) WHERE path IS NOT NULL",
  "CREATE INDEX events_reason ON events (reason) WHERE reason IS NOT NULL",
  "CREATE INDEX events_incident ON events (incident) WHERE incident IS NOT NULL",
  "CREATE INDEX events_name ON events (name)",
  "CREATE INDEX runs_host ON runs (host)"
]]

/** The database for people, without its user and password. */
export const nameOf = (url: Redacted.Redacted): string => {
  const parsed = URL.parse(Redacted.value(url))
  return parsed === null ? "PostgreSQL, whose url is none" : `postgresql://${parsed.host}${parsed.pathname}`
}

/** An open connection. */
interface Connection {
  readonly run: (doing: string, sql: string, values?: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<Row>, HistoryFailed>
  readonly together: <A>(doing: string, effect: Effect.Effect<A, HistoryFailed>) => Effect.Effect<A, HistoryFailed>
}
type Row = { readonly [column: string]: unknown }

const failure = (url: Redacted.Redacted, doing: string) => (error: SqlError | HistoryFailed): HistoryFailed => {
  if (error instanceof HistoryFailed) return error
  const cause = error.reason.cause instanceof Error ? `: ${error.reason.cause.message}` : ""
  const password = decodeURIComponent(URL.parse(Redacted.value(url))?.password ?? "")
  const said = `${error.message}${cause}`
  return new HistoryFailed({
    store: nameOf(url),
    doing,
    detail: password === "" ? said : said.replaceAll(password, "(secret)")
  })
}

const connect = (url: Redacted.Redacted): Effect.Effect<Connection, HistoryFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const { makeClient } = yield* Effect.promise(() => import("@effect/sql-pg/PgClient")) // only who uses it waits until it is loaded
    const client: PgClient = yield* makeClient({
      url,
      connectTimeout: connectMillis,
      applicationName: "snakepit-history",
      startupParameters: { search_path: schema }
    }).pipe(Effect.provide(Reactivity.layer), Effect.mapError(failure(url, "opened")))
    const untraced = Effect.withTracerEnabled(false) // the history's own queries are no part of what is traced
    return {
      run: (doing, sql, values = []) => client.unsafe<Row>(sql, values).pipe(Effect.mapError(failure(url, doing)), untraced),
      together: (doing, effect) => client.withTransaction(effect).pipe(Effect.mapError(failure(url, doing)), untraced)
    }
  })

const migrate = (url: Redacted.Redacted, { run, together }: Connection): Effect.Effect<void, HistoryFailed> => {
  const doing = "opened"
  return together(
    doing,
    Effect.gen(function*() {
      yield* run(doing, "SELECT pg_advisory_xact_lock($1)", [lock])
      yield* run(doing, `CREATE SCHEMA IF NOT EXISTS ${schema}`)
      yield* run(doing, "CREATE TABLE IF NOT EXISTS version (version integer NOT NULL)")
      const [row] = yield* run(doing, "SELECT version FROM version")
      const version = Number(row?.["version"] ?? 0)
      if (version > migrations.length) {
        const detail =
          `a newer Snakepit has written it (version ${version} of its schema, this one knows ${migrations.length}): use that one`
        return yield* Effect.fail(new HistoryFailed({ store: nameOf(url), doing, detail }))
      }
      if (version === migrations.length) return
      for (const statement of migrations.slice(version).flat()) yield* run(doing, statement)
      yield* run(doing, "DELETE FROM version")
      yield* run(doing, "INSERT INTO version VALUES ($1)", [migrations.length])
    })
  )
}

const sqlOf = (query: Query): { readonly where: string; readonly values: Array<HistorySql.Bound> } => {
  const values: Array<HistorySql.Bound> = []
  const bind = (value: HistorySql.Bound) => `$${values.push(value)}`
  const fits = (column: string, pattern: string) =>
    `${column} LIKE ${bind(pattern.replaceAll(/[%_\\]/g, String.raw`\$&`).replaceAll("*", "%"))}`
  return { where: HistorySql.conditions(query, { bind, fits }), values }
}

const millisOf = (value: unknown): number | undefined => value === null ? undefined : Number(value)

const recordedOf = (row: Row): Recorded => ({
  seq: Number(row["seq"]),
  run: row["run"] as string,
  event: { name: row["name"] as string, at: Number(row["at"]), ...JSON.parse(row["body"] as string) } as Recorded["event"]
})

/** The `seq` before the last `limit` events that fit; 0 when there are no more than that. */
const before = ({ run }: Connection, query: Query): Effect.Effect<number, HistoryFailed> => {
  if (query.limit === undefined) return Effect.succeed(0)
  if (query.limit === 0) return Effect.succeed(Number.MAX_SAFE_INTEGER)
  const { values, where } = sqlOf(query)
  const sql = `SELECT e.seq FROM ${HistorySql.tables} WHERE ${where} ORDER BY e.seq DESC LIMIT 1 OFFSET $${values.length + 1}`
  return Effect.map(run("read", sql, [...values, query.limit - 1]), ([row]) => row === undefined ? 0 : Number(row["seq"]) - 1)
}

const pages = (connection: Connection, query: Query): Stream.Stream<Recorded, HistoryFailed> => {
  const { values, where } = sqlOf(query)
  const sql = `SELECT ${HistorySql.columns} FROM ${HistorySql.tables} WHERE ${where} AND e.seq > $${values.length + 1} ` +
    `ORDER BY e.seq LIMIT ${HistorySql.pageSize}`
  return Stream.unwrap(
    Effect.map(
      before(connection, query),
      (first) =>
        Stream.paginate(
          first,
          (after) =>
            Effect.map(
              connection.run("read", sql, [...values, after]),
              (rows): readonly [ReadonlyArray<Recorded>, Option.Option<number>] => {
                const page = rows.map(recordedOf)
                return [page, page.length < HistorySql.pageSize ? Option.none() : Option.some(page.at(-1)!.seq)]
              }
            )
        )
    )
  )
}

const readerOf = (connection: Effect.Effect<Connection, HistoryFailed, Scope.Scope>): HistoryReader => ({
  runs: Effect.scoped(Effect.gen(function*() {
    const { run } = yield* connection
    const rows = yield* run("read", "SELECT id, host, process, started_at, ended_at, contract FROM runs ORDER BY key")
    return rows.map((row): Run => ({
      id: row["id"] as string,
      host: row["host"] as string,
      process: row["process"] as string,
      startedAt: Number(row["started_at"]),
      endedAt: millisOf(row["ended_at"]),
      contract: JSON.parse(row["contract"] as string) as Run["contract"]
    }))
  })),
  events: (query) => Stream.unwrap(Effect.map(connection, (open) => pages(open, query)))
})

/** Reads the database, also while applications write it. It is connected to for each question. */
export const reader = (url: Redacted.Redacted): HistoryReader => readerOf(connect(url))

/** Connects to the database to write, until the scope closes, and makes or migrates its tables. */
export const open = (url: Redacted.Redacted): Effect.Effect<HistoryStore, HistoryFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const connection = yield* connect(url)
    const { run, together } = connection
    yield* migrate(url, connection)
    return {
      begin: ({ contract, host, id, process, startedAt }) =>
        Effect.asVoid(run(
          "written",
          "INSERT INTO runs (id, started_at, host, process, contract) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING",
          [id, startedAt, host, process, JSON.stringify(contract)]
        )),
      append: (id, entries) =>
        Effect.gen(function*() {
          const rows = entries.map(({ event, position }) => {
            const [path, reason, incident, body] = HistorySql.cells(event)
            return { position, at: event.at, name: event.name, path, reason, incident, body }
          })
          const positions = entries.map(({ position }) => position)
          yield* run(
            "written",
            "INSERT INTO events (run, position, at, name, path, reason, incident, body) " +
              "SELECT r.key, t.position, t.at, t.name, t.path, t.reason, t.incident, t.body FROM runs r, json_to_recordset($2::json) " +
              "AS t (position bigint, at double precision, name text, path text, reason text, incident text, body text) " +
              "WHERE r.id = $1 ORDER BY t.position ON CONFLICT (run, position) DO NOTHING",
            [id, JSON.stringify(rows)]
          )
          const found = yield* run(
            "written",
            "SELECT seq FROM events e JOIN runs r ON r.key = e.run WHERE r.id = $1 AND position BETWEEN $2 AND $3 ORDER BY position",
            [id, Math.min(...positions), Math.max(...positions)]
          )
          if (found.length === entries.length) return found.map((row) => Number(row["seq"]))
          const detail = `of ${entries.length} events ${found.length} are there: its run was not begun, or was taken out`
          return yield* Effect.fail(new HistoryFailed({ store: nameOf(url), doing: "written", detail }))
        }),
      end: (id, at) => Effect.asVoid(run("written", "UPDATE runs SET ended_at = $1 WHERE id = $2", [at, id])),
      prune: (own, { maxBytes, oldest }) =>
        together(
          "pruned",
          Effect.gen(function*() {
            // a table does not shrink when rows go: how many there are, times what the last ones take
            const [size] = yield* run(
              "pruned",
              "SELECT count(*) * coalesce((SELECT avg(pg_column_size(t.*)) FROM (SELECT * FROM events ORDER BY seq DESC LIMIT 1000) t), 0) AS bytes " +
                "FROM events"
            )
            const isLarge = Number(size!["bytes"]) > maxBytes
            const drop = (which: string, values: ReadonlyArray<unknown> = []) =>
              Effect.map(
                run("pruned", `DELETE FROM events WHERE seq IN (SELECT seq FROM events ${which} LIMIT ${pruneRows}) RETURNING 1`, values),
                ({ length }) => length
              )
            const dropped = isLarge
              ? (yield* drop(`WHERE ${HistorySql.ofCalls} ORDER BY seq`)) || (yield* drop("ORDER BY seq"))
              : yield* drop("WHERE at < $1 ORDER BY at", [oldest])
            if (dropped === 0) return 0
            yield* run(
              "pruned",
              "DELETE FROM runs WHERE id <> $1 AND started_at < coalesce((SELECT min(at) FROM events), $2) AND " +
                "NOT EXISTS (SELECT 1 FROM events WHERE events.run = runs.key)",
              [own, oldest]
            )
            return dropped
          })
        ),
      past: (host) =>
        Effect.map(
          run(
            "read",
            "SELECT id, started_at, ended_at, process, (SELECT max(at) FROM events e WHERE e.run = r.key) AS last_at FROM runs r " +
              "WHERE host = $1 ORDER BY key",
            [host]
          ),
          (rows) =>
            rows.map((row): PastStart => ({
              id: row["id"] as string,
              startedAt: Number(row["started_at"]),
              endedAt: millisOf(row["ended_at"]),
              process: row["process"] as string,
              lastAt: millisOf(row["last_at"])
            }))
        ),
      reader: readerOf(Effect.succeed(connection)),
      setAside: undefined
    }
  })
