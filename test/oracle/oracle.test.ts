import { describe, expect, it } from "vitest"
import * as Corpus from "./Corpus.ts"
import { ErlangSupervisor, ErlangUnavailable } from "./ErlangSupervisor.ts"
import * as Schedule from "./Schedule.ts"
import { generate, shrink } from "./ScheduleGenerator.ts"
import { normalise } from "./Trace.ts"
import { compare, live, smallest } from "./Verification.ts"
import type { Comparison } from "./Verification.ts"

const erl = await ErlangSupervisor.start().catch((thrown: unknown) => {
  if (thrown instanceof ErlangUnavailable) return thrown
  throw thrown
})

/** A failure shows the schedule in words, both lines, and what `npm run verify:otp -- --replay` takes. */
const complaint = ({ difference, schedule }: Comparison): string =>
  `${Schedule.describe(schedule)}\nstep ${difference?.step}\nOTP    ${difference?.expected}\nengine ${difference?.got}\n${
    JSON.stringify(schedule)
  }`

describe("the engine in OTP's own terms", () => {
  it("does 2,000 recorded schedules as OTP did", () => {
    const differing: Array<string> = []
    let count = 0
    for (const recorded of Corpus.read()) {
      const comparison = compare(recorded)
      if (comparison.difference !== undefined) differing.push(complaint(comparison))
      if (++count === 2000 || differing.length === 3) break
    }
    expect(differing).toEqual([])
    expect(count).toBe(2000)
  })

  it("does 500 new schedules as OTP does", async ({ skip }) => {
    if (erl instanceof ErlangUnavailable) return skip(erl.message)
    const seed = Math.floor(Math.random() * 2 ** 32)
    try {
      for await (const recorded of live(erl, seed, 500)) {
        const comparison = compare(recorded)
        if (comparison.difference !== undefined) expect.fail(`seed ${seed}: ${complaint(await smallest(erl, comparison))}`)
      }
    } finally {
      await erl.close()
    }
  })
})

describe("the oracle itself", () => {
  it("gives the same schedule for the same seed and index", () => {
    expect(generate(1, 0)).toEqual(generate(1, 0))
    expect(generate(1, 0)).not.toEqual(generate(1, 1))
    expect(generate(1, 0)).not.toEqual(generate(2, 0))
  })

  it("has a corpus of the OTP that *otp* follows", () => {
    const { otp, schedules } = Corpus.header()
    expect(otp).toBe("25.2.3")
    expect(schedules).toBeGreaterThanOrEqual(20_000)
  })

  it("shrinks to an end, to smaller schedules that replay from their JSON", () => {
    let schedule = generate(3, 7)
    let steps = 0
    for (let next = first(shrink(schedule)); next !== undefined; next = first(shrink(schedule))) {
      expect(JSON.parse(JSON.stringify(next))).toEqual(next)
      schedule = next
      steps++
    }
    expect(steps).toBeLessThan(200)
    expect(schedule.operations).toEqual([])
  })

  it("puts only what OTP leaves open in a fixed order", () => {
    const leaf = { kind: "leaf", restart: "temporary", significant: false, shutdown: "brutal", obeys: true } as const
    const limits = { restart: "permanent", significant: false, intensity: 5, period: 5 } as const
    const schedule: Schedule.Schedule = {
      root: {
        kind: "static",
        id: 1,
        ...limits,
        shutdown: "infinity",
        strategy: "one_for_one",
        autoShutdown: "never",
        children: [
          { kind: "dynamic", id: 2, ...limits, shutdown: "infinity", template: { ...leaf, id: 3 } },
          {
            kind: "static",
            id: 4,
            ...limits,
            shutdown: 100,
            strategy: "one_for_one",
            autoShutdown: "never",
            children: [{ ...leaf, id: 9 }, { ...leaf, id: 5 }]
          },
          { ...leaf, id: 6 }
        ]
      },
      before: [],
      operations: [{ op: "StartInstance", sup: 2, key: 8 }, { op: "StartInstance", sup: 2, key: 7 }]
    }
    expect(normalise(schedule)(["+8 +7||", "-6 -8 -7 )2 +8||", "-8 +6 -7||", "-5 )4 -6 -9 (4 -5 -9|x|y", "-9 -5 )1||", "|a b|"]))
      .toEqual(["+8 +7||", "-6 )2 -7 -8 +8||", "-8 +6 -7||", ")4 -5 -9 -6 (4 -5 -9|x|y", "-9 -5 )1||", "|a b|"])
  })
})

const first = <A>(values: Iterable<A>): A | undefined => {
  for (const value of values) return value
  return undefined
}
