/** When a Reaper is given up, with the clock of the test and what a script lets the kernel say. */
import { assert, describe, it } from "@effect/vitest"
import { MonotonicClock } from "@snakepit/core"
import type { WorkerRuntime } from "@snakepit/pool"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as ReaperPulse from "../src/process/ReaperPulse.ts"

const evidence = (more: Partial<WorkerRuntime.Evidence> = {}): WorkerRuntime.Evidence => ({
  pid: 7,
  state: "sleeping",
  cpuMillis: 40,
  threads: new Map([[7, 40]]),
  majorFaults: 0,
  ...more
})

/** A pulse of a Reaper that answers while `script.answers`. */
const pulse = Effect.fnUntraced(function*(script: { answers: boolean; evidence: WorkerRuntime.Evidence | undefined }, lateMillis = 0) {
  let answers = 0
  let pings = 0
  const monotonic = new MonotonicClock.MonotonicClock(yield* Clock.Clock)
  let looks = 0
  const clock = Object.assign(Object.create(monotonic), { now: () => monotonic.now() + lateMillis * looks++ })
  const fiber = yield* Effect.forkChild(
    ReaperPulse.untilStill({
      clock,
      ping: () => {
        pings++
        if (script.answers) answers++
      },
      answers: () => answers,
      evidence: () => script.evidence
    }),
    { startImmediately: true }
  )
  /** Half a beat after half a beat, as an awake host does. */
  const pass = (seconds: number) =>
    Effect.gen(function*() {
      for (let half = 0; half < seconds * 2; half++) yield* TestClock.adjust("500 millis")
      return fiber.pollUnsafe() !== undefined
    })
  return { fiber, pass, pings: () => pings }
})

describe("the pulse of a Reaper", () => {
  it.effect("is asked for every second, and one that answers is never given up", () =>
    Effect.gen(function*() {
      const { pass, pings } = yield* pulse({ answers: true, evidence: evidence({ state: "stopped" }) })
      assert.isFalse(yield* pass(60))
      assert.isAtLeast(pings(), 60)
    }))

  it.effect("of one that was stopped: given up at the second look, within two seconds", () =>
    Effect.gen(function*() {
      const { fiber, pass } = yield* pulse({ answers: false, evidence: evidence({ state: "stopped" }) })
      assert.isFalse(yield* pass(0.5))
      assert.isTrue(yield* pass(1.5))
      assert.match(yield* Fiber.join(fiber), /stands still: somebody sent SIGSTOP to process 7$/)
    }))

  it.effect("of one that is still: given up after three beats", () =>
    Effect.gen(function*() {
      const { fiber, pass } = yield* pulse({ answers: false, evidence: evidence() })
      assert.isFalse(yield* pass(2.5))
      assert.isTrue(yield* pass(1))
      assert.match(yield* Fiber.join(fiber), /stands still: it has not answered for 3000 ms, and its process 7 is sleeping \(40 ms of CPU/)
    }))

  it.effect("of one of which the system says nothing: given up after three beats", () =>
    Effect.gen(function*() {
      const { fiber, pass } = yield* pulse({ answers: false, evidence: undefined })
      assert.isFalse(yield* pass(2.5))
      assert.isTrue(yield* pass(1))
      assert.match(yield* Fiber.join(fiber), /stands still: it has not answered for 3000 ms$/)
    }))

  it.effect("of one that works: waited for, half a minute long", () =>
    Effect.gen(function*() {
      const { pass } = yield* pulse({ answers: false, evidence: evidence({ state: "running" }) })
      assert.isFalse(yield* pass(28))
      assert.isTrue(yield* pass(5))
    }))

  it.effect("of one in a debugger: waited for", () =>
    Effect.gen(function*() {
      const { pass } = yield* pulse({ answers: false, evidence: evidence({ state: "traced" }) })
      assert.isFalse(yield* pass(600))
    }))

  it.effect("says nothing while the host itself is held up", () =>
    Effect.gen(function*() {
      const { pass } = yield* pulse({ answers: false, evidence: evidence() }, 200) // ms that pass between two looks at the clock
      assert.isFalse(yield* pass(20))
    }))

  it.effect("counts anew after an answer", () =>
    Effect.gen(function*() {
      const script = { answers: false, evidence: evidence() }
      const { pass } = yield* pulse(script)
      yield* pass(1.5)
      script.answers = true
      yield* pass(1)
      script.answers = false
      assert.isFalse(yield* pass(3)) // the first beat was answered still
      assert.isTrue(yield* pass(1))
    }))
})
