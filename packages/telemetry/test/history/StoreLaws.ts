/** What holds of a history whichever database has it. */
import { assert, it } from "@effect/vitest"
import type { Contract, Event } from "@snakepit/core"
import type { HistoryReader, HistoryStore } from "@snakepit/telemetry"
import { Effect, type Scope, Stream } from "effect"

export const contract: Contract.Contract = {
  id: "snakepit",
  plane: "control",
  layer: "root",
  strategy: "one_for_one",
  intensity: { maxRestarts: 3, withinMillis: 60_000 },
  backoff: { lowestMillis: [0], highestMillis: [0], resetAfterMillis: 60_000 },
  because: "a test",
  limitBecause: "a test",
  stoppedBy: [],
  autoShutdown: "never",
  children: [],
  startedBy: "itself",
  events: []
}

export const startOf = (id: string, startedAt = 1000, host = "here"): HistoryStore.Start => ({
  id,
  startedAt,
  host,
  process: "4711",
  contract
})

export const eventOf = (at: number, name: string, attributes: Event.Event["attributes"] = {}): Event.Event => ({
  name,
  at,
  measurements: { budgetLeft: 2 },
  attributes
})

export const entries = (events: ReadonlyArray<Event.Event>, from = 0): ReadonlyArray<HistoryStore.Entry> =>
  events.map((event, index) => ({ position: from + index, event }))

/** A history of its own for each test. */
export interface Place {
  readonly open: Effect.Effect<HistoryStore.HistoryStore, HistoryReader.HistoryFailed, Scope.Scope>
  readonly reader: HistoryReader.HistoryReader
}

const restart = "snakepit.worker_supervisor.restart"
const events = [
  eventOf(10, "snakepit.process.exit", { path: "a/b", reason: "Failed", cause: "it \u0000 ended" }),
  eventOf(20, restart, { path: "a/b", reason: "Failed", incident: "i-1", slot: 3 }),
  eventOf(30, restart, { path: "a/b/c", reason: "Defect", incident: "i-1" }),
  eventOf(40, "snakepit.pool_supervisor.restart", { path: "a", reason: "Failed", incident: "i-2" }),
  eventOf(50, "snakepit.pool_supervisor.start", { path: "a/bc" })
]

const collected = (reader: HistoryReader.HistoryReader, query: HistoryReader.Query) =>
  Effect.map(Stream.runCollect(reader.events(query)), (found) => found.map(({ event }) => event.at))

/** Runs them all against the place that `make` makes. */
export const laws = (make: Effect.Effect<Place, unknown, Scope.Scope>): void => {
  it.live("gives back what was written, with the run that it is of", () =>
    Effect.gen(function*() {
      const { open, reader } = yield* make
      const store = yield* open
      yield* store.begin(startOf("one"))
      yield* store.begin(startOf("one"))
      const seqs = yield* store.append("one", entries(events))
      assert.deepStrictEqual(seqs, seqs.toSorted((a, b) => a - b))
      const found = yield* Stream.runCollect(reader.events({}))
      assert.deepStrictEqual(found, events.map((event, index) => ({ seq: seqs[index]!, run: "one", event })))
      assert.deepStrictEqual(yield* reader.runs, [
        { id: "one", host: "here", process: "4711", startedAt: 1000, endedAt: undefined, contract }
      ])
      yield* store.end("one", 2000)
      assert.deepStrictEqual((yield* store.reader.runs).map(({ endedAt }) => endedAt), [2000])
    }), 60_000)

  it.live("stores once what is written twice, and says the same of it", () =>
    Effect.gen(function*() {
      const { open, reader } = yield* make
      const store = yield* open
      yield* store.begin(startOf("one"))
      const first = yield* store.append("one", entries(events.slice(0, 3)))
      const again = yield* store.append("one", entries(events))
      assert.deepStrictEqual(again.slice(0, 3), first)
      assert.deepStrictEqual(yield* collected(reader, {}), [10, 20, 30, 40, 50])
    }), 60_000)

  it.live("answers by path, name, reason, incident, run and time, and gives the last of what fits", () =>
    Effect.gen(function*() {
      const { open, reader } = yield* make
      const store = yield* open
      yield* store.begin(startOf("one"))
      yield* store.begin(startOf("two"))
      yield* store.append("one", entries(events))
      yield* store.append("two", entries([eventOf(60, restart, { path: "a/b" })]))
      const cases: ReadonlyArray<readonly [HistoryReader.Query, ReadonlyArray<number>]> = [
        [{ path: "a/b" }, [10, 20, 60]],
        [{ path: "a/*" }, [10, 20, 30, 50, 60]],
        [{ path: "a/b/*" }, [30]],
        [{ name: restart }, [20, 30, 60]],
        [{ name: "snakepit.*_supervisor.restart" }, [20, 30, 40, 60]],
        [{ name: "snakepit.%" }, []],
        [{ name: "snakepit?process.*" }, []],
        [{ reason: "Defect" }, [30]],
        [{ incident: "i-1" }, [20, 30]],
        [{ run: "two" }, [60]],
        [{ run: "three" }, []],
        [{ since: 20, until: 50 }, [20, 30, 40]],
        [{ limit: 2 }, [50, 60]],
        [{ limit: 0 }, []],
        [{ limit: 100 }, [10, 20, 30, 40, 50, 60]],
        [{ path: "a/b", name: restart, limit: 1, until: 60 }, [20]]
      ]
      for (const [query, expected] of cases) assert.deepStrictEqual(yield* collected(reader, query), expected, JSON.stringify(query))
    }), 60_000)

  it.live("reads more than a page, in order", () =>
    Effect.gen(function*() {
      const { open, reader } = yield* make
      const store = yield* open
      yield* store.begin(startOf("one"))
      const many = Array.from({ length: 2500 }, (_, at) => eventOf(at, restart))
      yield* store.append("one", entries(many))
      assert.deepStrictEqual(yield* collected(reader, {}), many.map(({ at }) => at))
      assert.deepStrictEqual(yield* collected(reader, { limit: 1500 }), many.slice(1000).map(({ at }) => at))
    }), 60_000)

  it.live("refuses events of a run that has not begun, all of them", () =>
    Effect.gen(function*() {
      const { open, reader } = yield* make
      const store = yield* open
      const failed = yield* Effect.flip(store.append("none", entries(events)))
      assert.strictEqual(failed._tag, "HistoryFailed")
      assert.deepStrictEqual(yield* collected(reader, {}), [])
    }), 60_000)

  it.live("drops what is too old in small steps, and the runs of which nothing is left", () =>
    Effect.gen(function*() {
      const { open, reader } = yield* make
      const store = yield* open
      yield* store.begin(startOf("old", 0))
      yield* store.append("old", entries(Array.from({ length: 1500 }, (_, at) => eventOf(at, restart))))
      yield* store.begin(startOf("own", 1))
      yield* store.append("own", entries([eventOf(5000, restart)]))
      const prune = store.prune("own", { oldest: 4000, maxBytes: 1e9 })
      assert.deepStrictEqual([yield* prune, yield* prune, yield* prune], [1000, 500, 0])
      assert.deepStrictEqual(yield* collected(reader, {}), [5000])
      assert.deepStrictEqual((yield* reader.runs).map(({ id }) => id), ["own"])
    }), 60_000)

  it.live("when there is too much, events of calls go first and then the oldest", () =>
    Effect.gen(function*() {
      const { open, reader } = yield* make
      const store = yield* open
      yield* store.begin(startOf("one"))
      const calls = Array.from({ length: 700 }, (_, at) => eventOf(5000 + at, "snakepit.call.fail", { cause: "x".repeat(100) }))
      const restarts = Array.from({ length: 1200 }, (_, at) => eventOf(at, restart))
      yield* store.append("one", entries([...restarts, ...calls]))
      const prune = store.prune("one", { oldest: 0, maxBytes: 1 })
      assert.strictEqual(yield* prune, 700)
      assert.strictEqual((yield* collected(reader, {})).length, 1200)
      assert.strictEqual(yield* prune, 1000)
      assert.deepStrictEqual(yield* collected(reader, {}), restarts.slice(1000).map(({ at }) => at))
    }), 60_000)

  it.live("knows the starts of a host", () =>
    Effect.gen(function*() {
      const { open } = yield* make
      const store = yield* open
      yield* store.begin(startOf("one", 1000))
      yield* store.append("one", entries(events))
      yield* store.begin(startOf("two", 2000))
      yield* store.end("two", 2500)
      yield* store.begin(startOf("else", 3000, "there"))
      assert.deepStrictEqual(yield* store.past("here"), [
        { id: "one", startedAt: 1000, process: "4711", endedAt: undefined, lastAt: 50 },
        { id: "two", startedAt: 2000, process: "4711", endedAt: 2500, lastAt: undefined }
      ])
    }), 60_000)

  it.live("takes the writes of two hosts at once, each in its order", () =>
    Effect.gen(function*() {
      const { open, reader } = yield* make
      const stores = yield* Effect.all([open, open], { concurrency: 2 })
      yield* Effect.forEach(["one", "two"], (run, index) =>
        Effect.gen(function*() {
          yield* stores[index]!.begin(startOf(run))
          for (let at = 0; at < 20; at++) yield* stores[index]!.append(run, entries([eventOf(at, restart)], at))
        }), { concurrency: 2 })
      for (const run of ["one", "two"]) {
        assert.deepStrictEqual(yield* collected(reader, { run }), Array.from({ length: 20 }, (_, at) => at))
      }
    }), 60_000)
}
