import { describe, expect, test, vi } from "vitest"
import * as Bench from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Profile from "../Profile.ts"

describe("Goal", () => {
  const fast = Goal.atLeast({ must: 15, aim: 30 })
  const short = Goal.atMost({ must: 0.55, aim: 0.35 })

  test.each([[14.99, "missed"], [15, "must"], [29.99, "must"], [30, "aim"], [null, "not measured"]] as const)(
    "%s of at least 15, better 30: %s",
    (ratio, reached) => expect(Goal.judge(fast, ratio).reached).toBe(reached)
  )
  test.each([[0.56, "missed"], [0.55, "must"], [0.36, "must"], [0.35, "aim"]] as const)(
    "%s of at most 0.55, better 0.35: %s",
    (ratio, reached) => expect(Goal.judge(short, ratio).reached).toBe(reached)
  )

  test("a figure is printed with what it must be", () => {
    expect(Goal.render(Goal.judge(fast, 12))).toBe("must ≥ 15, aim ≥ 30: MISSED")
    expect(Goal.render(Goal.judge(short, 0.5))).toBe("must ≤ 0.55, aim ≤ 0.35: must reached")
    expect(Goal.render(Goal.judge(Goal.atMost({ aim: 3 }), 6))).toBe("aim ≤ 3: not reached")
  })

  test("what was missed and what was not measured is under the must, what has none is not", () => {
    const judged = {
      good: Goal.judge(fast, 20),
      bad: Goal.judge(fast, 10),
      absent: Goal.judge(fast, null),
      hoped: Goal.judge(Goal.atMost({ aim: 3 }), 6)
    }
    expect(Goal.under("must", judged)).toEqual(["bad: missed", "absent: not measured"])
    expect(Goal.under("aim", judged)).toEqual(["good: must", "bad: missed", "absent: not measured", "hoped: must"])
  })
})

describe("Bench.run", () => {
  const silent = () => {}

  test("every other round runs backwards, the first is thrown away, and what was opened is closed last first", async () => {
    const said: Array<string> = []
    let round = 0
    const measured = Bench.measurement({
      figures: { a: { unit: "ms", what: "a" }, b: { unit: "ms", what: "b" } },
      sides: async (closing) => {
        said.push("open")
        closing(async () => void said.push("close 1"))
        closing(async () => void said.push("close 2"))
        return [
          async () => {
            said.push("a")
            return { a: ++round * 10 }
          },
          async () => {
            said.push("b")
            return { b: 5 }
          }
        ]
      },
      ratios: { "a.vs_b": { of: ({ a, b }) => Bench.divide(a, b), goal: Goal.atLeast({ must: 5 }) } }
    })
    const report = await Bench.run([measured], 2, {}, silent)
    expect(said).toEqual(["open", "a", "b", "b", "a", "a", "b", "close 2", "close 1"])
    expect(report.ratios).toEqual({ "a.vs_b": 5 }) // (20 + 30) / 2 / 5
    expect(report.goals["a.vs_b"]?.reached).toBe("must")
    expect(Bench.render(report)).toMatch(/a\.vs_b +5 {2}must ≥ 5: must reached/)
  })

  test("what was opened is closed when a side fails", async () => {
    const close = vi.fn(async () => {})
    const failing = Bench.measurement({
      figures: {},
      sides: async (closing) => {
        closing(close)
        return [() => Promise.reject(new Error("the worker is gone"))]
      },
      ratios: {}
    })
    await expect(Bench.run([failing], 1, {}, silent)).rejects.toThrow("the worker is gone")
    expect(close).toHaveBeenCalledOnce()
  })

  test("a figure and a ratio may have one name", async () => {
    const both = Bench.measurement({
      figures: { same: { unit: "ms", what: "a figure" } },
      sides: [async () => ({ same: 8 })],
      ratios: { same: { of: ({ same }) => Bench.divide(same, 2) } }
    })
    const { figures, ratios } = await Bench.run([both], 1, {}, silent)
    expect([figures["same"]?.median, ratios["same"]]).toEqual([8, 4])
  })

  test("a side that is not there leaves its ratio out, visibly", async () => {
    const absent = Bench.measurement({
      figures: { ours: { unit: "ms", what: "ours" }, "peers.peer": { unit: "ms", what: "a peer" } },
      sides: [async () => ({ ours: 1 }), async () => ({ "peers.peer": null })],
      ratios: { "peers.peer": { of: (round) => Bench.divide(round.ours, round["peers.peer"]), goal: Goal.atLeast({ must: 1 }) } }
    })
    const report = await Bench.run([absent], 1, {}, silent)
    expect(report.ratios).toEqual({ "peers.peer": null })
    expect(Bench.render(report)).toMatch(/peers\.peer +not measured {2}must ≥ 1: NOT MEASURED/)
  })
})

describe("Profile.sum", () => {
  const node = (id: number, functionName: string, url: string) => ({
    id,
    callFrame: { functionName, url, scriptId: "0", lineNumber: 6, columnNumber: 0 }
  })

  test("self time goes to the package that the code is of; idle time and the profiler's own are no part of it", () => {
    const { busy, functions, packages } = Profile.sum({
      nodes: [
        node(1, "(idle)", ""),
        node(2, "(garbage collector)", ""),
        node(3, "offer", "file:///checkout/packages/pool/src/control/Roster.ts"),
        node(4, "", "file:///checkout/node_modules/@grpc/grpc-js/build/src/call.js"),
        node(5, "writev", "node:internal/stream_base_commons"),
        node(6, "loop", "file:///checkout/bench/call/Load.ts"),
        node(7, "post", "node:inspector")
      ],
      startTime: 0,
      endTime: 1000,
      samples: [7, 1, 2, 3, 4, 5, 6],
      timeDeltas: [900, 200, 100, 300, 200, 100, 100]
    })
    expect(busy).toBe(0.8)
    expect(packages[0]).toEqual(["packages/pool", 300 / 800])
    expect(Object.fromEntries(packages)).toEqual({
      "packages/pool": 0.375,
      "@grpc/grpc-js": 0.25,
      "(garbage collector)": 0.125,
      node: 0.125,
      bench: 0.125
    })
    expect(functions[0]?.[0]).toBe("offer (packages/pool, Roster.ts:7)")
  })
})
