import { assert, describe, it } from "@effect/vitest"
import { Event } from "@snakepit/core"
import { type HistoryReader, type HistoryStore, ResumedBudgets } from "@snakepit/telemetry"
import { Clock, Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as SqliteStore from "../../src/history/sqlite/SqliteStore.ts"
import { contract, entries, eventOf, startOf } from "./StoreLaws.ts"

const pool = "snakepit/pools/default"
const start = (id: string, startedAt: number, endedAt?: number, lastAt?: number): HistoryStore.PastStart => ({
  ...{ id, startedAt, endedAt, lastAt },
  process: ""
})
const told = (run: string, at: number, what: string, path = pool): HistoryReader.Recorded => ({
  ...{ seq: at, run },
  event: eventOf(at, `snakepit.${path === "snakepit" ? "root" : "pool"}_supervisor.${what}`, { path })
})
const spent = (starts: ReadonlyArray<HistoryStore.PastStart>, events: ReadonlyArray<HistoryReader.Recorded>) =>
  ResumedBudgets.spent({ starts, events, since: 0, root: "snakepit" })

describe("what was spent of budgets", () => {
  it("is what the last generation of each supervisor counted, through runs", () => {
    const { deaths, memory } = spent([start("one", 0, 50), start("two", 60, 90)], [
      told("one", 1, "start"),
      told("one", 10, "restart"),
      told("one", 11, "give_up"),
      told("one", 12, "start"), // a new generation: a whole budget
      told("one", 20, "restart"),
      told("two", 61, "start"), // the next run: goes on with what was left
      told("two", 70, "restart"),
      told("living", 71, "restart")
    ])
    assert.deepStrictEqual([...memory], [[pool, [20, 70]]])
    assert.deepStrictEqual(deaths, [])
  })

  it("of the root also the ends of the host that were not in order, each once", () => {
    const { deaths, memory } = spent([start("one", 0, undefined, 40), start("two", 50), start("three", 60, 70)], [
      told("one", 30, "restart", "snakepit"),
      told("one", 40, "give_up", "snakepit")
    ])
    assert.deepStrictEqual(deaths, [40, 50])
    assert.deepStrictEqual([...memory], [["snakepit", [30, 40, 50]]])
  })

  it("refuses a start until the root's window holds no more than its budget", () => {
    const limit = { maxRestarts: 2, withinMillis: 100 }
    assert.isUndefined(ResumedBudgets.refusedUntil([10, 20], limit, 50))
    assert.strictEqual(ResumedBudgets.refusedUntil([10, 20, 30], limit, 50), 110)
    assert.isUndefined(ResumedBudgets.refusedUntil([10, 20, 30], limit, 110))
    assert.strictEqual(ResumedBudgets.refusedUntil([10, 20, 30, 40], limit, 50), 120)
    assert.isUndefined(ResumedBudgets.refusedUntil([10, 20, 30], "unlimited", 50))
    assert.strictEqual(ResumedBudgets.refusedUntil([9_000, 9_000, 9_000], limit, 50), 150) // the clock was set back
  })
})

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "history-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)
const dead = () => false

describe("budgets resumed from a history", () => {
  it.live("are read before the start, told, and the start itself is in the history then", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "history.sqlite")
      const now = yield* Clock.currentTimeMillis
      const store = yield* SqliteStore.open(file, false)
      yield* store.begin(startOf("one", now - 5000))
      yield* store.append("one", entries([told("one", now - 2000, "restart").event]))
      const events: Array<Event.Event> = []
      const { memory, tell } = yield* ResumedBudgets.resume({ _tag: "File", file }, startOf("two", now), dead)
      yield* Effect.provideService(tell, Event.EventSink, { emit: (event) => void events.push(event) })
      assert.deepStrictEqual([...memory], [[pool, [now - 2000]], ["snakepit", [now - 2000]]])
      assert.deepStrictEqual(events.map(({ measurements, name }) => [name, measurements]), [
        ["snakepit.history.resume", { supervisors: 2, restarts: 1, deaths: 1 }]
      ])
      assert.deepStrictEqual((yield* store.past("here")).map(({ id }) => id), ["one", "two"])
    }), 60_000)

  it.live("refuse the start of a host that has died too often, which is then not counted itself", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "history.sqlite")
      const now = yield* Clock.currentTimeMillis
      const store = yield* SqliteStore.open(file, false)
      for (const id of ["one", "two", "three", "four"]) yield* store.begin(startOf(id, now - 1000))
      const place = { _tag: "File", file } as const
      const refused = yield* Effect.flip(ResumedBudgets.resume(place, startOf("five", now), dead))
      assert.strictEqual(refused.allowedAt, now - 1000 + 60_000)
      assert.match(
        refused.message,
        /the host here was not started: within 60 s 4 of its runs ended without order .* allows 3\. It may start again at/
      )
      assert.strictEqual((yield* store.past("here")).length, 4)
      const others = yield* ResumedBudgets.resume(place, { ...startOf("six", now), host: "there" }, dead)
      assert.strictEqual(others.memory.size, 0)
      const living = yield* ResumedBudgets.resume(place, startOf("seven", now), () => true)
      assert.strictEqual(living.memory.size, 0)
    }), 60_000)

  it.live("begin whole where the history cannot be read, which is told", () =>
    Effect.gen(function*() {
      const blocker = join(yield* folder, "file")
      writeFileSync(blocker, "")
      const events: Array<Event.Event> = []
      const start = { ...startOf("one"), contract }
      const { memory, tell } = yield* ResumedBudgets.resume({ _tag: "File", file: join(blocker, "history.sqlite") }, start, dead)
      yield* Effect.provideService(tell, Event.EventSink, { emit: (event) => void events.push(event) })
      assert.strictEqual(memory.size, 0)
      assert.deepStrictEqual(events.map(({ name }) => name), ["snakepit.history.unread"])
      assert.match(String(events[0]!.attributes["cause"]), /could not be opened/)
    }), 60_000)
})
