import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { Advisor, type CrashTrain, Policy } from "@snakepit/telemetry"
import { Effect } from "effect"
import * as BackTest from "./BackTest.ts"

const { contract } = Supervisor.make("pool", {
  plane: "control",
  strategy: "one_for_one",
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("pool_supervisor", "root"),
  restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "5 seconds" } }),
  children: [Child.make("a", { start: Effect.succeed(Effect.never) })]
})

/** A train of exits so many milliseconds after each other: of as many children, or of one that lives so long each time. */
const train = (gaps: ReadonlyArray<number>, ofOne: boolean): CrashTrain.CrashTrain => {
  let at = 0
  const exits = [0, ...gaps].map((gap, index) => ({
    at: at += gap,
    child: ofOne ? "a" : String(index),
    stage: "running" as const,
    reason: "Failed",
    cause: "failed",
    upMillis: gap,
    gaveUp: false
  }))
  const kind = ofOne && exits.length > 12 ? "hopeless" : "transient"
  return { run: "one", path: "pool", startedAt: 0, endedAt: at, exits, gaveUp: [], refusedBoots: 0, recovered: true, kind }
}
const times = <A>(count: number, value: A): ReadonlyArray<A> => Array.from({ length: count }, () => value)
const lone = train([], true)
const together = train([10, 10, 10, 10], false)
const broken = train(times(40, 10), true)

describe("the advisor", () => {
  it("says so when it has seen too little", () => {
    const advice = Advisor.advise({ contract, trains: times(4, lone) })
    assert.deepStrictEqual(advice, { _tag: "TooFew", trains: 4, needed: 5 })
  })

  it("has no advice for a supervisor without a limit", () => {
    assert.deepStrictEqual(Advisor.advise({ contract: { ...contract, intensity: "unlimited" }, trains: times(9, together) }), {
      _tag: "Unlimited"
    })
  })

  it("bears what passes by itself, and finds what does not no later, when it must not be patient", () => {
    const advice = Advisor.advise({ contract, trains: [...times(20, lone), ...times(5, together), broken] }, 0)
    assert.strictEqual(advice._tag, "Change")
    if (advice._tag !== "Change") return
    const { present, recommended } = advice
    assert.strictEqual(present.falseSeen, 5)
    assert.strictEqual(recommended.falseSeen, 0)
    assert.isAtMost(recommended.detectionMeanMillis, present.detectionMeanMillis)
    assert.isAtMost(recommended.detectionWorstMillis, present.detectionWorstMillis)
    assert.match(Advisor.reasonOf(advice), /above the present limit.*sooner on average$/)
  })

  it("bears a longer burst of one child only with patience: at first it looks like a child that is broken", () => {
    const slow = train(times(5, 800), true)
    const trains = [...times(20, lone), ...times(10, slow), train(times(40, 800), true)]
    const [strict, patient] = [0, 30_000].map((patience) => Advisor.advise({ contract, trains }, patience))
    const seen = (advice: Advisor.Advice | undefined) =>
      advice?._tag === "Change" ? advice.recommended.falseSeen : advice?._tag === "Keep" ? advice.present.falseSeen : undefined
    assert.strictEqual(seen(strict), 10)
    assert.strictEqual(seen(patient), 0)
    if (patient?._tag !== "Change") return assert.fail("it has advice")
    assert.isAtMost(patient.recommended.detectionWorstMillis, patient.present.detectionWorstMillis + 30_000)
  })

  it("gives advice that is a policy", () => {
    for (const policy of Advisor.candidates) assert.deepStrictEqual(Policy.parse(Policy.describe(policy)), policy)
  })

  it("escalates less than 3 in 5 seconds in what it has not seen; without patience it finds broken children no later", () => {
    const six = (patienceMillis: number) =>
      BackTest.figuresOf(Array.from({ length: 6 }, (_, index) => BackTest.test(4, index, patienceMillis))) // 200: npm run verify:intensity
    const [strict, patient] = [six(0), six(30_000)]
    assert.isAbove(strict.falseByDefault, 20)
    assert.isAtMost(strict.meanAdvised, strict.meanByDefault)
    assert.isAtMost(strict.p95Advised, strict.p95ByDefault)
    assert.isBelow(strict.falseAdvised, strict.falseByDefault)
    assert.isAtLeast(patient.less, 0.6) // of six services; what must be reached is measured on 200
  })
})
