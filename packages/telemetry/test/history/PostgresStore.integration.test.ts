import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Scope } from "effect"
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import * as PostgresStore from "../../src/history/postgres/PostgresStore.ts"
import * as PostgresServer from "./PostgresServer.ts"
import { entries, eventOf, laws, startOf } from "./StoreLaws.ts"

const here = PostgresServer.found === undefined ? describe.skip : describe
if (PostgresServer.found === undefined) console.warn("PostgreSQL is not installed here (Debian: postgresql): its tests are skipped")

here("the history in PostgreSQL", () => {
  const scope = Scope.makeUnsafe()
  let server = ""
  let databases = 0
  beforeAll(async () => {
    server = await Effect.runPromise(Scope.provide(PostgresServer.start, scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  const psql = (sql: string, url = server) =>
    execFileSync(join(PostgresServer.found!, "psql"), [url, "-Atc", sql], { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } }).trim()
  /** A database of its own. */
  const fresh = Effect.sync(() => {
    const name = `history_${databases++}`
    psql(`CREATE DATABASE ${name}`)
    return Redacted.make(server.replace(/postgres$/, name))
  })

  laws(Effect.map(fresh, (url) => ({ open: PostgresStore.open(url), reader: PostgresStore.reader(url) })))

  it.live("is made once by hosts that start together", () =>
    Effect.gen(function*() {
      const url = yield* fresh
      yield* Effect.all(Array.from({ length: 5 }, () => PostgresStore.open(url)), { concurrency: "unbounded" })
      assert.strictEqual(psql("SELECT count(*) FROM snakepit_history.version", Redacted.value(url)), "1")
    }))

  it.live("refuses what a newer Snakepit has written", () =>
    Effect.gen(function*() {
      const url = yield* fresh
      yield* Effect.scoped(PostgresStore.open(url))
      psql("UPDATE snakepit_history.version SET version = 99", Redacted.value(url))
      assert.match((yield* Effect.flip(PostgresStore.open(url))).message, /a newer Snakepit has written it \(version 99/)
    }))

  it.live("fails in words without the password: a wrong one, nobody there, no url, a connection that was cut", () =>
    Effect.gen(function*() {
      const url = yield* fresh
      const seen: Array<string> = []
      const failing = (text: string) =>
        Effect.map(Effect.flip(PostgresStore.open(Redacted.make(text))), (failed) => {
          seen.push(failed.message, JSON.stringify(failed))
          return failed.message
        })
      assert.match(
        yield* failing(server.replace("a%20password", "another%20password")),
        /could not be opened: .*password authentication failed/s
      )
      assert.match(
        yield* failing("postgresql://tester:hush-hush@127.0.0.1:1/x"),
        /^the history in postgresql:\/\/127\.0\.0\.1:1\/x could not be opened/
      )
      assert.match(yield* failing("hush-hush"), /could not be opened/)
      const store = yield* PostgresStore.open(url)
      yield* store.begin(startOf("one"))
      psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'snakepit-history'")
      const cut = yield* Effect.flip(store.append("one", entries([eventOf(1, "snakepit.pool.open")])))
      seen.push(cut.message, JSON.stringify(cut))
      for (const text of seen) for (const secret of ["that nobody", "that%20nobody", "hush-hush"]) assert.notInclude(text, secret)
    }))
})
