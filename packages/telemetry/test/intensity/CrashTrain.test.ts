import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Simulation, Supervisor, SupervisorEvent } from "@snakepit/core"
import { CrashTrain } from "@snakepit/telemetry"
import * as RunRecord from "@snakepit/telemetry/intensity/RunRecord"
import { Effect, Schedule } from "effect"
import * as GeneratedRun from "./GeneratedRun.ts"

const { Line } = Simulation
const common = {
  plane: "control",
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("app_supervisor", "root")
} as const
const child = (id: string) => Child.make(id, { start: Effect.succeed(Effect.never) })
const always = RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced("1 second") })
const three = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "5 seconds" }, delay: Schedule.spaced("100 millis") })

/** A pool of `a`, `b` and `c`, which somebody always starts again. */
const appOf = (strategy: "one_for_one" | "one_for_all" | "rest_for_one", above = always) =>
  Supervisor.make("app", {
    ...common,
    strategy: "one_for_all",
    restart: above,
    children: [child("x"), Supervisor.make("pool", { ...common, strategy, restart: three, children: ["a", "b", "c"].map(child) })]
  })

type Script = ReadonlyArray<Simulation.Line>
const readOf = (tree: Supervisor.Any, script: Script, id = "one", host = "host", offset = 0): CrashTrain.Read => {
  const { events, run } = GeneratedRun.recorded(tree, script)
  const later = events.map(({ event, seq }) => ({ seq, event: { ...event, at: event.at + offset } }))
  return { id, host, record: RunRecord.of({ ...run, startedAt: run.startedAt + offset, endedAt: run.endedAt + offset }, later) }
}
const poolIn = (reads: ReadonlyArray<CrashTrain.Read>, between?: CrashTrain.Between) =>
  CrashTrain.of(reads, between).find(({ path }) => path === "app/pool")!
const trainsOf = (tree: Supervisor.Any, script: Script) => poolIn([readOf(tree, script)]).trains

const fail = (id: string) => Line.Exit({ path: `app/pool/${id}`, how: "failed" })
const refuse = (id: string, times: number) => Line.FailStarts({ path: `app/pool/${id}`, times, how: "fail" })
const wait = (millis: number) => Line.Wait({ millis })
const hour = wait(3_600_000)
const tenDays = wait(864_000_000)
const quick = [fail("a"), wait(150), fail("a"), wait(150), fail("a"), wait(150), fail("a")]
const kinds = (trains: ReadonlyArray<CrashTrain.CrashTrain>) => trains.map(({ exits, kind }) => [exits.length, kind])

describe("a crash train", () => {
  it("of a group is over when the group is up, whoever called for the restart", () => {
    for (const strategy of ["one_for_all", "rest_for_one"] as const) {
      assert.deepStrictEqual(kinds(trainsOf(appOf(strategy), [hour, refuse("b", 1), fail("a"), hour])), [[2, "transient"]], strategy)
    }
  })

  it("says how long a child had been up: since its group was started again", () => {
    const lives = (strategy: "one_for_one" | "one_for_all" | "rest_for_one", first: string, second: string) =>
      trainsOf(appOf(strategy), [hour, fail(first), wait(10_100), fail(second), hour])[0]!.exits.map(({ upMillis }) => upMillis)
    assert.deepStrictEqual(lives("one_for_all", "b", "a"), [3_600_000, 10_000])
    assert.deepStrictEqual(lives("rest_for_one", "a", "b"), [3_600_000, 10_000])
    assert.deepStrictEqual(lives("rest_for_one", "b", "a"), [3_600_000, 3_610_100])
    assert.deepStrictEqual(lives("one_for_one", "a", "b"), [3_600_000, 3_610_100])
  })

  it("that somebody ended says nothing: terminated by hand, not started again, shut down, cut off", () => {
    const one = appOf("one_for_one")
    const ends: ReadonlyArray<Script> = [
      [fail("a"), wait(10), Line.TerminateChild({ path: "app/pool/a" }), hour],
      [Line.FailStarts({ path: "app/pool/a", times: 1, how: "ignore" }), fail("a"), hour],
      [fail("a"), wait(10), Line.Shutdown()],
      [fail("a"), wait(10)],
      [fail("a"), wait(1000)]
    ]
    for (const end of ends) assert.deepStrictEqual(kinds(trainsOf(one, [hour, ...end])), [[1, "open"]])
  })

  it("passes with the child that is not to be restarted any more", () => {
    const pool = Supervisor.make("pool", {
      ...common,
      strategy: "one_for_one",
      restart: three,
      children: [Child.make("a", { start: Effect.succeed(Effect.never), restart: "transient" })]
    })
    const app = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: always, children: [pool] })
    const normal = Line.Exit({ path: "app/pool/a", how: "normal" })
    assert.deepStrictEqual(kinds(trainsOf(app, [hour, fail("a"), wait(200), normal, hour])), [[1, "transient"]])
  })

  it("is not joined by a boot that is refused long after it had passed", () => {
    const boots = [refuse("a", 13), Line.Exit({ path: "app/x", how: "failed" }), hour]
    const [train, ...others] = trainsOf(appOf("one_for_one"), [hour, ...quick, tenDays, ...boots])
    assert.deepInclude(train, { kind: "transient", refusedBoots: 0 })
    assert.deepStrictEqual(train!.gaveUp.map(({ judged }) => judged), ["wrongly"])
    assert.deepStrictEqual(others, [])
  })

  it("goes on while its supervisor is down, however long the one above waits", () => {
    const patient = RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced("10 minutes") })
    const app = appOf("one_for_one", patient)
    assert.deepStrictEqual(trainsOf(app, [hour, ...quick, hour]).map(({ gaveUp, kind }) => [kind, gaveUp.length]), [["transient", 1]])
    const [broken] = trainsOf(app, [hour, refuse("a", 40), fail("a"), hour, hour, hour])
    assert.isAbove(broken!.refusedBoots, 10)
    assert.deepStrictEqual(broken!.gaveUp.map(({ judged }) => judged), ["rightly"])
  })

  it("is judged by the next run of its own host, begun after it", () => {
    const root = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: three, children: [child("a")] })
    const exit = Line.Exit({ path: "app/a", how: "failed" })
    const crash = [exit, wait(150), exit, wait(150), exit, wait(150), exit]
    const of = (...reads: ReadonlyArray<CrashTrain.Read>) => CrashTrain.of(reads)[0]!.trains[0]!.kind
    const first = readOf(root, [hour, ...crash], "first")
    const later = 2 * 3_600_000
    assert.strictEqual(of(first), "open")
    assert.strictEqual(of(first, readOf(root, [hour], "second", "host", later)), "transient")
    assert.strictEqual(of(first, readOf(root, [wait(100), exit, hour], "second", "host", later)), "hopeless")
    assert.strictEqual(of(first, readOf(root, [wait(100), exit, hour], "second", "other", later)), "open")
    assert.strictEqual(of(first, readOf(root, [hour], "second", "host", 60_000)), "open")
  })

  it("is counted by the time that was asked about, not by that of its run", () => {
    const read = readOf(appOf("one_for_one"), [tenDays, fail("a"), tenDays])
    const { endedAt, startedAt } = read.record
    const last = poolIn([read], { since: endedAt - 86_400_000, until: endedAt })
    assert.deepInclude(last, { watchedMillis: 86_400_000, trains: [] })
    const middle = poolIn([read], { since: startedAt + 800_000_000, until: startedAt + 900_000_000 })
    assert.deepStrictEqual([middle.watchedMillis, middle.trains.length], [100_000_000, 1])
  })
})
