import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Verdict from "../src/execution/Verdict.ts"
import type { Evidence } from "../src/WorkerRuntime.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const interval = 1000
const timeout = 500
/** How much CPU of each 100 ms the thread that works uses; where work begins is between 5 and 10. */
const share = Schema.Literals([0, 0, 0, 0, 0, 4, 5, 10, 100, 400])
/** 5 % of the time between two looks, and a tick that the count may be off. */
const works = (share: number, millis: number): boolean => millis * share / 100 >= 0.05 * millis + 10

/** What a worker does during one beat, and what the host did meanwhile. */
const Beat = Schema.Struct({
  answers: Schema.Literals([false, false, false, false, true]),
  /** Until the look half-way, and from there to the end. */
  first: share,
  second: share,
  faults: Schema.Literals([0, 0, 0, 0, 0, 0, 0, 1]),
  state: Schema.Literals(["sleeping", "sleeping", "sleeping", "disk", "running", "stopped", "traced", "traced"]),
  host: Schema.Literals(["awake", "awake", "awake", "awake", "late at first", "late at last"])
})
type Beat = typeof Beat.Type
const Beats = Schema.Array(Beat).check(Schema.isMaxLength(14))
const Call = Schema.Struct({ blocking: Schema.Boolean, hardLimitMillis: Schema.Literals([1500, 5500, 60_000]) })
const Setting = Schema.Struct({
  call: Schema.UndefinedOr(Call),
  maxMissed: int(1, 4),
  idleLimitMillis: Schema.Literals([2000, 60_000]),
  /** Threads that ask for the interpreter lock all the time: 4 of each 100 ms each. They prove nothing, however many there are. */
  askers: Schema.Literals([0, 0, 1, 30]),
  /** Which thread works: the first, or another. */
  worker: Schema.Literals([7, 8]),
  proc: Schema.Literals([true, true, true, false])
})
type Setting = typeof Setting.Type

/** What a call's limits may be, beyond those that are generated. */
interface Setup extends Omit<Setting, "call"> {
  readonly call: { readonly blocking: boolean; readonly hardLimitMillis: number } | undefined
}

interface Seen {
  readonly beat: Beat
  readonly now: number
  readonly verdict: Verdict.Verdict
  readonly failed: Verdict.Reason | undefined
  readonly told: Verdict.Verdict | undefined
}

/** Lets a worker live through the beats, until it is failed. */
const live = (beats: ReadonlyArray<Beat>, { askers, call, idleLimitMillis, maxMissed, proc, worker }: Setup): ReadonlyArray<Seen> => {
  const out: Array<Seen> = []
  const running = call === undefined ? undefined : { tool: "t", since: 0, cancelled: false, ...call }
  let state = Verdict.initial
  let now = 0
  let cpuMillis = 0
  let majorFaults = 0
  for (const beat of beats) {
    const pass = (millis: number, share: number) => {
      now += millis
      cpuMillis += millis * share / 100
    }
    const kernel = (): Evidence | undefined => {
      if (!proc) return undefined
      const threads = new Map([[7, 0], [worker, cpuMillis]])
      const each = now * 4 / 100
      for (let nth = 0; nth < askers; nth++) threads.set(100 + nth, each)
      return { pid: 7, state: beat.state, cpuMillis: cpuMillis + askers * each, threads, majorFaults }
    }
    const orders: Array<Verdict.Order> = []
    const look = (kind: "answered" | "waiting" | "missed", hostLate: boolean) => {
      const evidence = kind === "answered" || hostLate ? undefined : kernel()
      const outcome = Verdict.transition(state, { now, beat: kind, evidence, call: running, hostLate }, { maxMissed, idleLimitMillis })
      state = outcome.state
      orders.push(...outcome.orders)
    }
    pass(interval - timeout, beat.first)
    if (beat.answers) look("answered", false)
    else {
      pass(timeout / 2, beat.first)
      look("waiting", beat.host === "late at first")
      pass(timeout / 2, beat.second)
      majorFaults += beat.faults
      if (!orders.some(({ _tag }) => _tag === "Fail")) look("missed", beat.host !== "awake")
    }
    const fail = orders.find((order) => order._tag === "Fail")
    const tell = orders.findLast((order) => order._tag === "Tell")
    out.push({ beat, now, verdict: state.verdict, failed: fail?.reason, told: tell?.verdict })
    if (fail !== undefined) break
    if (beat.answers) pass(timeout, beat.second)
  }
  return out
}

/** The beats since the last answer, those of a host that was awake. */
const silence = (history: ReadonlyArray<Seen>): ReadonlyArray<Seen> => {
  const answered = history.findLastIndex(({ beat }) => beat.answers)
  return history.slice(answered + 1).filter(({ beat }) => beat.host === "awake")
}

/** By the rules alone, beat by beat: what a worker did in a beat that it missed. */
const did = ({ beat }: Seen, first: boolean, proc: boolean): "nothing" | "work" | "held" | "stop" => {
  if (!proc) return "nothing"
  if (beat.state === "traced") return "held"
  if (beat.state === "stopped") return "stop"
  // before the first look there is nothing to compare with: only the second half counts then
  const computes = works(beat.second, timeout / 2) || (!first && works(beat.first, interval - timeout / 2))
  return beat.state === "running" || beat.faults > 0 || computes ? "work" : "nothing"
}

const calm: Beat = { answers: false, first: 0, second: 0, faults: 0, state: "sleeping", host: "awake" }

const check = (property: (setting: Setting, beats: ReadonlyArray<Beat>) => void) =>
({ beats, setting }: {
  readonly beats: ReadonlyArray<Beat>
  readonly setting: Setting
}) => property(setting, beats)

const generated = { setting: Setting, beats: Beats }
const much = { arbitrary: { runs: 1000, size: 14 } }

describe("Verdict", () => {
  it.prop(
    "a worker that works is never failed before its call's limit",
    generated,
    check((setting, beats) => {
      const working = beats.map((beat) => ({ ...beat, second: beat.second < 10 ? 10 as const : beat.second, state: "sleeping" as const }))
      for (const { failed, now } of live(working, { ...setting, proc: true })) {
        const limit = setting.call?.hardLimitMillis ?? setting.idleLimitMillis
        if (failed !== undefined) assert.isAtLeast(now, limit, failed._tag)
      }
    }),
    much
  )

  it.prop(
    "a frozen one is failed at the maxMissed-th missed beat, not before and not after",
    generated,
    check((setting, beats) => {
      const frozen = Array.from(
        { length: 5 },
        (_, nth) => ({ ...calm, state: beats[nth]?.state === "disk" ? "disk" as const : "sleeping" as const })
      )
      const call = setting.call === undefined ? undefined : { blocking: false, hardLimitMillis: 60_000 }
      const lived = live(frozen, { ...setting, call })
      assert.strictEqual(lived.length, setting.maxMissed)
      const { failed, now } = lived.at(-1)!
      assert.strictEqual(failed?._tag, call === undefined ? "Unreachable" : "Hung")
      assert.isAtMost(now, setting.maxMissed * interval + timeout)
    }),
    much
  )

  it.prop(
    "each verdict and each death is what the rules say of the history",
    generated,
    check((setting, beats) => {
      const { call, idleLimitMillis, maxMissed, proc } = setting
      const history: Array<Seen> = []
      let was: Verdict.Verdict = "alive"
      for (const seen of live(beats, setting)) {
        history.push(seen)
        const { beat, failed, now, told, verdict } = seen
        assert.strictEqual(told, verdict === was ? undefined : verdict, "a change is told once, and nothing else")
        was = verdict
        if (beat.answers) {
          assert.strictEqual(verdict, "alive")
          assert.isUndefined(failed)
          continue
        }
        const quiet = silence(history)
        const what = did(seen, quiet.length === 1, proc)
        if (failed?._tag === "Stopped") {
          assert.strictEqual(beat.state, "stopped")
          assert.strictEqual(verdict, "stopped")
          continue
        }
        if (beat.host !== "awake") {
          assert.isUndefined(failed, "judged by what a late host saw")
          continue
        }
        if (what === "held") {
          assert.strictEqual(verdict, "traced")
          assert.isUndefined(failed)
          continue
        }
        assert.notStrictEqual(what, "stop", "a worker that was stopped all the beat is not failed")
        if (call !== undefined && now >= call.hardLimitMillis) {
          assert.strictEqual(failed?._tag, "Overran")
          continue
        }
        const looked = history.slice(history.length - quiet.length).every((one) => one.beat.host === "awake")
        if (!looked) continue // after a stall of the host looks are compared anew: by the other properties
        if (what === "work") {
          const patient = call !== undefined || now - quiet[0]!.now < idleLimitMillis
          assert.strictEqual(failed?._tag, patient ? undefined : "Unreachable")
          assert.strictEqual(verdict, patient ? "busy" : "unreachable")
          continue
        }
        if (call?.blocking === true) {
          assert.isUndefined(failed)
          assert.strictEqual(verdict, "busy")
          continue
        }
        const last = quiet.findLastIndex((one, nth) => did(one, nth === 0, proc) === "work" || did(one, nth === 0, proc) === "held")
        const still = quiet.length - (last + 1)
        const expected = still < maxMissed ? undefined : call === undefined ? "Unreachable" : "Hung"
        assert.strictEqual(failed?._tag, expected, `${still} still beats of ${maxMissed}`)
      }
    }),
    much
  )

  it.prop(
    "nothing that a late host saw fails a worker, and the next full beats do",
    generated,
    check((setting, beats) => {
      const late = beats.map((beat) => ({
        ...beat,
        answers: false,
        host: beat.host === "awake" ? "late at first" as const : beat.host,
        state: "sleeping" as const
      }))
      const lived = live([...late, ...Array.from({ length: setting.maxMissed }, () => calm)], { ...setting, call: undefined })
      assert.deepStrictEqual(lived.map(({ failed }) => failed?._tag), [
        ...late.map(() => undefined),
        ...Array.from({ length: setting.maxMissed - 1 }, () => undefined),
        "Unreachable"
      ])
    }),
    much
  )

  it.prop(
    "without /proc each missed beat counts, and nothing else",
    generated,
    check((setting, beats) => {
      const { call, maxMissed } = setting
      for (const [nth, { failed, now }] of live(beats, { ...setting, proc: false }).entries()) {
        const quiet = silence(live(beats.slice(0, nth + 1), { ...setting, proc: false }))
        const over = call !== undefined && now >= call.hardLimitMillis
        const counts = beats[nth]!.host === "awake" && !beats[nth]!.answers
        const lost = counts && (over || (call?.blocking !== true && quiet.length >= maxMissed))
        assert.strictEqual(failed !== undefined, lost)
      }
    }),
    much
  )
})

const judge = (beats: ReadonlyArray<Partial<Beat>>, setting: Partial<Setup> = {}) =>
  live(beats.map((beat) => ({ ...calm, ...beat })), {
    call: undefined,
    maxMissed: 2,
    idleLimitMillis: 60_000,
    askers: 0,
    worker: 7,
    proc: true,
    ...setting
  })
    .map(({ failed, verdict }) => failed === undefined ? verdict : `${verdict}: ${failed._tag}`)

describe("Verdict, by example", () => {
  const call = { blocking: false, hardLimitMillis: 60_000 }

  it("a worker that answers again is alive, and has its whole patience back", () => {
    assert.deepStrictEqual(judge([{}, { answers: true }, {}, { answers: true }, {}, {}]), [
      "alive",
      "alive",
      "alive",
      "alive",
      "alive",
      "unreachable: Unreachable"
    ])
  })

  it("a computation that then deadlocks is given maxMissed still beats", () => {
    assert.deepStrictEqual(judge([{ second: 100 }, { first: 100, second: 100 }, {}, {}], { call }), ["busy", "busy", "busy", "hung: Hung"])
  })

  it("a stopped process is failed at the end of the beat that it was stopped in all along", () => {
    assert.deepStrictEqual(judge([{ state: "stopped" }], { call, maxMissed: 9 }), ["stopped: Stopped"])
  })

  it("a traced one is never failed, not even at its limit", () => {
    const traced = Array.from({ length: 12 }, () => ({ state: "traced" as const }))
    assert.deepStrictEqual(judge(traced, { call: { ...call, hardLimitMillis: 1500 } }), traced.map(() => "traced"))
  })

  it("a blocking tool may be still until its limit", () => {
    const blocking = { blocking: true, hardLimitMillis: 3500 }
    assert.deepStrictEqual(judge([{}, {}, {}, {}], { call: blocking }), ["busy", "busy", "busy", "hung: Overran"])
  })

  it("an overrun that the Dispatcher reports fails the worker, unless a debugger holds it", () => {
    const running = { tool: "t", since: 0, cancelled: true, blocking: false, hardLimitMillis: 100 }
    const limits = { maxMissed: 2, idleLimitMillis: 1000 }
    const kernel: Evidence = { pid: 7, state: "sleeping", cpuMillis: 0, threads: new Map([[7, 0]]), majorFaults: 0 }
    const seen = { now: 100, beat: "none", evidence: kernel, call: running, hostLate: false } as const
    assert.deepStrictEqual(Verdict.transition(Verdict.initial, seen, limits).orders, [
      Verdict.Order.Fail({ reason: Verdict.Reason.Overran({ call: running }) })
    ])
    assert.deepStrictEqual(Verdict.transition(Verdict.initial, { ...seen, now: 99 }, limits).orders, [])
    assert.deepStrictEqual(Verdict.transition(Verdict.initial, { ...seen, evidence: { ...kernel, state: "traced" } }, limits).orders, [
      Verdict.Order.Tell({ verdict: "traced", was: "alive" })
    ])
  })

  it("a process that has taken the place of another is not compared with it", () => {
    const limits = { maxMissed: 1, idleLimitMillis: 1000 }
    const kernel: Evidence = { pid: 7, state: "sleeping", cpuMillis: 0, threads: new Map([[7, 0]]), majorFaults: 0 }
    const at = (now: number, beat: "waiting" | "missed", evidence: Evidence) => ({ now, beat, evidence, call: undefined, hostLate: false })
    const { state } = Verdict.transition(Verdict.initial, at(1250, "waiting", kernel), limits)
    assert.deepStrictEqual(Verdict.transition(state, at(1500, "missed", { ...kernel, pid: 8 }), limits).orders, [])
  })
})
