import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Simulation, Supervisor, SupervisorEvent } from "@snakepit/core"
import { Policy, Replay, ReplayPage, Review, ReviewPage, ReviewText } from "@snakepit/telemetry"
import { HistoryInMemory } from "@snakepit/telemetry/testing"
import { Effect, Schedule, Schema } from "effect"
import * as GeneratedRun from "./GeneratedRun.ts"

const { Line } = Simulation
const common = {
  plane: "control",
  strategy: "one_for_one",
  because: "it is a test",
  events: SupervisorEvent.of("app_supervisor", "root")
} as const

/** Two restarts in five seconds; above it somebody who always starts it again. */
const app = Supervisor.make("app", {
  ...common,
  limitBecause: "nobody is above",
  restart: RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced("1 second") }),
  children: [
    Supervisor.make("pool", {
      ...common,
      limitBecause: "two are <enough>",
      restart: RestartPolicy.make({ intensity: { maxRestarts: 2, within: "5 seconds" }, delay: Schedule.spaced("100 millis") }),
      children: ["a", "b", "c"].map((id) => Child.make(id, { start: Effect.succeed(Effect.never) }))
    })
  ]
})

const fail = (id: string) => Line.Exit({ path: `app/pool/${id}`, how: "failed" })
const wait = (millis: number) => Line.Wait({ millis })
const hour = wait(3_600_000)

const historyOf = (script: ReadonlyArray<Simulation.Line>) => {
  const { events, run } = GeneratedRun.recorded(app, script)
  return HistoryInMemory.make([{ id: "one", ...run, events: events.map(({ event }) => event) }])
}
const since = GeneratedRun.bootedAt
const reviewOf = (script: ReadonlyArray<Simulation.Line>) => Review.review(historyOf(script), { since })
const poolOf = (report: Review.ReviewReport) => report.supervisors.find(({ path }) => path === "app/pool")!

/** All three end at once, and come up again: above the limit, and nothing is wrong. */
const hiccup = [fail("a"), fail("b"), fail("c"), hour]
/** One fails at each start, ten times. */
const bad = [Line.FailStarts({ path: "app/pool/a", times: 20, how: "fail" }), fail("a"), hour]

describe("an intensity review", () => {
  it.effect("finds trains, the heaviest window and the headroom", () =>
    Effect.gen(function*() {
      const pool = poolOf(yield* reviewOf([hour, fail("a"), wait(1000), fail("b"), hour, fail("a"), hour]))
      assert.deepStrictEqual(pool.trains.map(({ children, exits, recovered }) => [exits, children, recovered]), [[2, ["a", "b"], true], [
        1,
        ["a"],
        true
      ]])
      assert.deepStrictEqual([pool.exits, pool.longest, pool.headroom], [3, 2, 0])
      assert.deepStrictEqual(pool.heaviest, { exits: 2, at: since + 3_600_000 })
      assert.deepStrictEqual(pool.reasons, [{ reason: "Failed", cause: "failed", times: 3 }])
      assert.deepStrictEqual(pool.gaveUp, { wrongly: 0, rightly: 0, unknown: 0 })
    }))

  it.effect("tells a supervisor that gave up over what passed from one that gave up over what did not", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(poolOf(yield* reviewOf([hour, ...hiccup])).gaveUp, { wrongly: 1, rightly: 0, unknown: 0 })
      const broken = poolOf(yield* reviewOf([hour, ...bad]))
      assert.deepStrictEqual(broken.gaveUp, { wrongly: 0, rightly: 1, unknown: 0 }) // its own boot is refused from then on
      const cut = poolOf(yield* reviewOf([hour, ...hiccup.slice(0, 3), wait(5000)]))
      assert.deepStrictEqual(cut.gaveUp, { wrongly: 0, rightly: 0, unknown: 1 })
    }))

  it.effect("judges the end of a run by the next one", () =>
    Effect.gen(function*() {
      const root = Supervisor.make("root", {
        ...common,
        limitBecause: "one is enough",
        restart: RestartPolicy.make({ intensity: { maxRestarts: 1, within: "5 seconds" }, delay: Schedule.spaced("100 millis") }),
        children: [Child.make("a", { start: Effect.succeed(Effect.never) })]
      })
      const exit = Line.Exit({ path: "root/a", how: "failed" })
      const runOf = (id: string, script: ReadonlyArray<Simulation.Line>, offset: number) => {
        const { events, run } = GeneratedRun.recorded(root, script)
        const later = events.map(({ event }) => ({ ...event, at: event.at + offset }))
        return { id, contract: run.contract, startedAt: run.startedAt + offset, endedAt: run.endedAt + offset, events: later }
      }
      const first = runOf("first", [hour, exit, wait(200), exit], 0)
      const gaveUp = (next: ReadonlyArray<Simulation.Line>) =>
        Effect.map(
          Review.review(HistoryInMemory.make([first, runOf("second", next, 4_000_000)]), { since }),
          ({ supervisors }) => supervisors[0]!.gaveUp
        )
      assert.deepStrictEqual(yield* gaveUp([hour]), { wrongly: 1, rightly: 0, unknown: 0 })
      assert.deepStrictEqual(yield* gaveUp([wait(100), exit, hour]), { wrongly: 0, rightly: 1, unknown: 0 })
      assert.deepStrictEqual(yield* gaveUp([wait(100)]), { wrongly: 0, rightly: 0, unknown: 1 })
    }))

  it.effect("recommends what would have borne the load, with its reason, and replays it", () =>
    Effect.gen(function*() {
      const report = yield* reviewOf([hour, ...hiccup, ...hiccup, ...hiccup, fail("a"), hour, fail("b"), hour, fail("c"), hour])
      const { advice } = poolOf(report)
      assert.strictEqual(advice.verdict, "change")
      assert.isAtLeast(Number(/^\d+/.exec(advice.recommended!.policy)![0]), 3)
      assert.isBelow(advice.recommended!.falseShare, advice.present!.falseShare)
      const [replayed] = report.replayed
      assert.deepStrictEqual(replayed!.trains.map(({ again, judged, outlived, recorded }) => [judged, recorded, outlived, again]), [
        ["wrongly", 1, 0, 0],
        ["wrongly", 1, 0, 0],
        ["wrongly", 1, 0, 0]
      ])
    }))

  it.effect("says when there is too little to say, and how much is missing", () =>
    Effect.gen(function*() {
      const { advice } = poolOf(yield* reviewOf([hour, fail("a"), hour]))
      assert.strictEqual(advice.verdict, "too few")
      assert.match(
        advice.because,
        /^1 crash train that passed by itself says too little: it needs 5, which at this rate takes another 4 days$/
      )
    }))

  it.effect("tells rates of the time that was watched: of no less than a day, and up to now while a run goes on", () =>
    Effect.gen(function*() {
      const { events, run } = GeneratedRun.recorded(app, [fail("a"), hour])
      const killed = { id: "one", ...run, endedAt: undefined, process: "4711", events: events.map(({ event }) => event) }
      const tenDays = 864_000_000
      const poolWhen = (goesOnAt?: number) =>
        Effect.map(
          Review.review(HistoryInMemory.make([killed]), {
            since,
            goesOnAt: ({ host, process }) => host === "host" && process === "4711" ? goesOnAt : undefined
          }),
          poolOf
        )
      assert.deepInclude(yield* poolWhen(), { watchedMillis: 100, trainsPerDay: 1 })
      assert.deepInclude(yield* poolWhen(since + tenDays), { watchedMillis: tenDays, trainsPerDay: 0.1 })
    }))

  it.effect("counts a reason once, whichever process it was of", () =>
    Effect.gen(function*() {
      const causes = [
        "ProcessExited: process 1505 of worker default/0 ended with code 3: whatever\nhint",
        "ProcessExited: process 1622 of worker default/1 ended with code 3: whatever\nhint",
        "ProcessExited: process 1700 of worker default/1 ended with code 4: whatever\nhint",
        "Error: cannot open /tmp/a1b2/socket (ENOENT)",
        "Error: cannot open /tmp/c3/socket (ENOENT)"
      ]
      const { events, run } = GeneratedRun.recorded(app, causes.flatMap(() => [hour, fail("a")]))
      let told = 0
      const named = events.map(({ event }) =>
        event.name.endsWith(".restart") ? { ...event, attributes: { ...event.attributes, cause: causes[told++]! } } : event
      )
      const { reasons } = poolOf(yield* Review.review(HistoryInMemory.make([{ id: "one", ...run, events: named }]), { since }))
      assert.deepStrictEqual(reasons.map(({ cause, times }) => [times, cause]), [
        [2, "ProcessExited: process … of worker default/… ended with code 3"],
        [2, "Error: cannot open /… (ENOENT)"],
        [1, "ProcessExited: process … of worker default/… ended with code 4"]
      ])
    }))

  it.effect("survives its own JSON", () =>
    Effect.gen(function*() {
      const report = yield* reviewOf([hour, ...hiccup, ...bad])
      const file = JSON.stringify(yield* Schema.encodeEffect(Review.ReviewReport)(report))
      const read = yield* Schema.decodeUnknownEffect(Review.ReviewReport)(JSON.parse(file))
      assert.deepStrictEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify(report)))
    }))

  it.effect("is text for a terminal", () =>
    Effect.gen(function*() {
      const text = ReviewText.review(yield* reviewOf([hour, ...hiccup]))
      assert.match(text, /^Intensity review, .*: 1 run, 2 supervisors/)
      assert.match(text, /app\/pool {2}2 in 5 seconds\n {2}trains {3}1 \(3 exits, the longest 3\)/)
      assert.match(text, /gave up {2}1 × wrongly, 0 × rightly, 0 × not known which/)
    }))
})

describe("the page of a review", () => {
  it.effect("shows charts, loads nothing, runs nothing", () =>
    Effect.gen(function*() {
      const page = ReviewPage.render(yield* reviewOf([hour, ...hiccup, ...bad]))
      assert.strictEqual(page.match(/<svg /g)?.length, 3) // two of the pool, one of the supervisor without a limit
      assert.strictEqual(page.match(/<title id=/g)?.length, 3)
      assert.notMatch(page, /<script|<link|<img|\bsrc=|href="(?!#)|url\(|@import/)
      assert.match(page, /default-src 'none'/)
    }))

  it.effect("escapes what comes from events and contracts, and shows what would move a terminal's cursor", () =>
    Effect.gen(function*() {
      const report = yield* reviewOf([hour, ...hiccup])
      const evil = "<img src=x onerror=\"alert('1')\">&\u001b[2J"
      const spoilt = {
        ...report,
        supervisors: report.supervisors.map((one) => ({
          ...one,
          path: evil,
          limitBecause: evil,
          reasons: [{ reason: evil, cause: evil, times: 1 }]
        }))
      }
      const page = ReviewPage.render(spoilt)
      assert.notInclude(page, "<img")
      assert.notInclude(page, "\u001b")
      assert.include(page, "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;")
      assert.notInclude(ReviewText.review(spoilt), "\u001b[2J")
    }))

  it.effect("has something to say when nothing happened", () =>
    Effect.gen(function*() {
      assert.include(ReviewPage.render(yield* reviewOf([hour])), "there is nothing to review")
    }))
})

describe("a replay under another policy", () => {
  const replayOf = (script: ReadonlyArray<Simulation.Line>, options: Replay.Options) => Replay.replay(historyOf(script), options)

  it.effect("tells what would not have escalated", () =>
    Effect.gen(function*() {
      const report = yield* replayOf([hour, ...hiccup], { policy: Policy.parse("5 in 5 seconds") })
      assert.deepStrictEqual(report.incidents.map(({ escalates }) => escalates), ["no", "no", "no"])
      assert.deepStrictEqual(report.incidents.map(({ recorded }) => recorded.gaveUp.map(({ path }) => path)), [[], [], ["app/pool"]])
      assert.deepStrictEqual([report.totals.reproduced, report.totals.escalated, report.totals.wouldNot], [3, 1, 3])
      assert.isAbove(report.assumptions.length, 0)
    }))

  it.effect("tells what would have escalated, and when", () =>
    Effect.gen(function*() {
      const report = yield* replayOf([hour, fail("a"), wait(1000), fail("b"), hour], { policy: Policy.parse("1 in 5 seconds") })
      const [first, second] = report.incidents
      assert.deepStrictEqual([first!.escalates, second!.escalates], ["no", "yes"])
      assert.deepStrictEqual(second!.again!.gaveUp, [{ path: "app/pool", at: since + 3_601_000 }])
    }))

  it.effect("says what cannot be known: whether waiting longer would have cured it", () =>
    Effect.gen(function*() {
      const flaps = [fail("a"), wait(150), fail("a"), wait(150), fail("a"), hour]
      const { incidents } = yield* replayOf([hour, ...flaps], { policy: Policy.parse("1 in 5 seconds, delay 1 second") })
      assert.include(incidents.map(({ escalates }) => escalates), "unknown")
    }))

  it.effect("leaves other supervisors as they are, and takes one incident alone", () =>
    Effect.gen(function*() {
      const policy = Policy.parse("0 in 5 seconds")
      const elsewhere = yield* replayOf([hour, fail("a"), hour], { policy, path: "app" })
      assert.deepStrictEqual(elsewhere.incidents.map(({ escalates }) => escalates), ["no"])
      assert.match(String(yield* Effect.flip(replayOf([hour, fail("a"), hour], { policy, path: "app/pol" }))), /Did you mean "app\/pool"/)
      assert.match(String(yield* Effect.flip(replayOf([hour, fail("a"), hour], { incident: "nope" }))), /no incident "nope"/)
      const all = yield* replayOf([hour, fail("a"), hour, fail("b"), hour], { policy })
      const one = yield* replayOf([hour, fail("a"), hour, fail("b"), hour], { policy, incident: all.incidents[1]!.id })
      assert.deepStrictEqual(one.incidents, [all.incidents[1]!])
    }))

  it.effect("is text for a terminal, and JSON by a schema", () =>
    Effect.gen(function*() {
      const report = yield* replayOf([hour, ...hiccup], { policy: Policy.parse("5 in 5 seconds") })
      const text = ReviewText.replay(report)
      assert.include(text, "With the recorded policy 3 of 3 decide as recorded; 1 escalated.")
      assert.include(text, "Under 5 in 5 seconds 0 would escalate, 3 would not")
      const file = JSON.stringify(yield* Schema.encodeEffect(Replay.ReplayReport)(report))
      const read = yield* Schema.decodeUnknownEffect(Replay.ReplayReport)(JSON.parse(file))
      assert.deepStrictEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify(report)))
    }))

  it.effect("shows both readings where they differ, and is a page with charts that tells nothing raw", () =>
    Effect.gen(function*() {
      const flaps = [fail("a"), wait(150), fail("a"), wait(150), fail("a"), hour]
      const report = yield* replayOf([hour, ...flaps], { policy: Policy.parse("1 in 5 seconds, delay 1 second") })
      assert.match(ReviewText.replay(report), /then, outlived +then, again +escalates/)
      assert.match(ReviewText.replay(report), /does not come +1 restart, gave up: app\/pool/)
      const incidents = report.incidents.map((incident) => ({ ...incident, cause: "<script>alert(1)</script>" }))
      const page = ReplayPage.render({ ...report, incidents })
      assert.notInclude(page, "<script")
      assert.include(page, "&lt;script&gt;")
      assert.strictEqual(page.match(/<svg /g)?.length, 2)
      assert.notMatch(page, /(?:src|href)="?(?:https?:)?\/\//)
    }))

  it.effect("does not know what would have been where the record is of an earlier version", () =>
    Effect.gen(function*() {
      const { events, run } = GeneratedRun.recorded(app, [hour, fail("a"), hour])
      const older = events.map(({ event }) => ({ ...event, attributes: { ...event.attributes, heard: undefined } }))
      const report = yield* Replay.replay(HistoryInMemory.make([{ id: "one", ...run, events: older }]), {
        policy: Policy.parse("0 in 1 second")
      })
      assert.deepStrictEqual(report.incidents.map(({ escalates, reproduced }) => [escalates, reproduced]), [["unknown", undefined]])
    }))

  it.effect("leaves out runs of another form, and says which", () =>
    Effect.gen(function*() {
      const known = historyOf([hour, fail("a"), hour])
      const older = {
        id: "older",
        host: "host",
        process: "",
        startedAt: since,
        endedAt: undefined,
        contract: undefined,
        unreadable: "its contract has another form: backoff"
      }
      const history = { ...known, runs: Effect.map(known.runs, (runs) => [older, ...runs]) }
      const replayed = yield* Replay.replay(history, {})
      assert.deepStrictEqual(replayed.skipped, [{ run: "older", startedAt: since, why: older.unreadable }])
      assert.strictEqual(replayed.totals.reproduced, 1)
      assert.include(ReviewText.replay(replayed), "Left out, because they were recorded in another form: 1 run")
      const reviewed = yield* Review.review(history, { since })
      assert.deepStrictEqual(reviewed.skipped, replayed.skipped)
      assert.include(ReviewText.review(reviewed), "Left out")
    }))
})
