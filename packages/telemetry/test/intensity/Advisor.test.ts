import { assert, describe, it } from "@effect/vitest"
import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { Advisor, type CrashTrain, Policy } from "@snakepit/telemetry"
import { Effect } from "effect"
import * as BackTest from "./BackTest.ts"
import * as GeneratedService from "./GeneratedService.ts"

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

  it("bears what passes by itself at the price of a patience, and finds what does not no later without one", () => {
    const trains = [...times(20, lone), ...times(5, together), broken]
    const strict = Advisor.advise({ contract, trains }, 0)
    assert.strictEqual(strict._tag, "Change")
    if (strict._tag !== "Change") return
    assert.isAtMost(strict.recommended.detectionMeanMillis, strict.present.detectionMeanMillis)
    assert.isAtMost(strict.recommended.detectionWorstMillis, strict.present.detectionWorstMillis)
    const patient = Advisor.advise({ contract, trains }, 10_000)
    if (patient._tag !== "Change") return assert.fail("it has advice")
    assert.deepStrictEqual([patient.present.falseSeen, patient.recommended.falseSeen], [5, 0])
    assert.match(Advisor.reasonOf(patient), /above the present limit.*on average$/)
  })

  it("learns nothing from a train that says nothing: one that was cut off before it was up again", () => {
    const bursts = [...times(20, lone), ...times(10, train(times(8, 20), true))]
    const cut: CrashTrain.CrashTrain = { ...lone, kind: "open", recovered: false }
    for (const patience of [0, 30_000]) {
      const advice = Advisor.advise({ contract, trains: bursts }, patience)
      assert.deepStrictEqual(Advisor.advise({ contract, trains: [...bursts, cut] }, patience), advice)
    }
  })

  it("does not take the end of a train that was told of for its detection", () => {
    const bursts = [...times(20, lone), ...times(10, train(times(8, 20), true))]
    const short = train(times(3, 100), true) // somebody was told after 300 ms, and mended it
    const told: CrashTrain.CrashTrain = { ...short, kind: "hopeless", gaveUp: [{ at: 300, judged: "rightly" }], recovered: false }
    const strict = Advisor.advise({ contract, trains: [...bursts, told] }, 0)
    if (strict._tag === "Change") assert.isAtMost(strict.recommended.detectionMeanMillis, strict.present.detectionMeanMillis)
    const patient = Advisor.advise({ contract, trains: [...bursts, told] }, 20_000)
    if (patient._tag !== "Change") return assert.fail("nine quick restarts may be spared")
    assert.isAbove(patient.recommended.detectionMeanMillis, 300) // it needs more exits than the train had
  })

  it("imagines other hopeless children beside those that it has seen", () => {
    const seen = train(times(40, 10), true) // each dies after 10 ms: 40 in a second would find it
    const bursts = [...times(20, lone), ...times(20, train(times(11, 10), false)), seen]
    const advice = Advisor.advise({ contract, trains: bursts }, 0)
    const found = advice._tag === "Change" ? advice.recommended : advice._tag === "Keep" ? advice.present : undefined
    const { maxRestarts, withinMillis } = found!.policy.limit as { maxRestarts: number; withinMillis: number }
    assert.isAtLeast(withinMillis, maxRestarts * 300) // so that it finds one that lives 300 ms as well
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
    const six = Array.from({ length: 6 }, (_, index) => BackTest.test(4, index, [0, Advisor.defaultPatienceMillis]))
    const { advised: [strict, patient], byDefault } = BackTest.figuresOf(six) // 200 of them: npm run verify:intensity
    assert.isAbove(byDefault.falseEscalations, 20)
    assert.isAtMost(strict!.found.mean, byDefault.found.mean)
    assert.isAtMost(strict!.all.mean, byDefault.all.mean)
    assert.isAtMost(strict!.falseEscalations, byDefault.falseEscalations)
    assert.isAtMost(patient!.falseEscalations, byDefault.falseEscalations / 2)
    assert.isAtMost(byDefault.alike, byDefault.falseEscalations)
  })

  it("is tested on services of families that differ, and are the same each time", () => {
    const ten = (family: GeneratedService.Family) =>
      JSON.stringify(Array.from({ length: 10 }, (_, index) => GeneratedService.of(4, index, family).children))
    assert.strictEqual(new Set(GeneratedService.families.map(ten)).size, GeneratedService.families.length)
    for (const family of GeneratedService.families) assert.strictEqual(ten(family), ten(family), family.name)
  })
})
