import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Header, ProcessEntry } from "../src/process/RunJournal.ts"
import * as StaleRun from "../src/process/StaleRun.ts"

const day = 24 * 3600 * 1000
const here: StaleRun.Place = { machine: "m", bootId: "b", pidNamespace: "pid:[1]", bootedAt: 100 * day }
/** This system has been up for ten days. */
const now = here.bootedAt + 10 * day
const header: Header = { runId: "dead-run", machine: "m", bootId: "b", pidNamespace: "pid:[1]", pid: 10, startTicks: 20 }
const owner = { pid: 10, parent: 1, startTicks: 20, zombie: false }

const entry = (pid: number | undefined, startTicks: number | undefined): ProcessEntry => ({
  id: `default/${pid}#0`,
  pool: "default",
  pid,
  startTicks,
  leaked: false
})

/** A system of at most 20 processes: pid 1 is the first, the parent of each has a smaller pid. */
const System = Schema.Array(Schema.Struct({
  parent: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
  run: Schema.Literals(["dead-run", "living-run", "none"]),
  zombie: Schema.Boolean
})).check(Schema.isMinLength(1), Schema.isMaxLength(20))

const Claim = Schema.Struct({
  pid: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 25 })),
  honest: Schema.Boolean
})

const systemOf = (plan: typeof System.Type): ReadonlyArray<StaleRun.MarkedProcess> =>
  plan.map(({ parent, run, zombie }, index) => ({
    pid: index + 1,
    parent: index === 0 ? 0 : 1 + parent % index,
    startTicks: 1000 + index,
    zombie,
    run: run === "none" ? undefined : run
  }))

const lineOf = (processes: ReadonlyArray<StaleRun.MarkedProcess>, pid: number): ReadonlyArray<StaleRun.MarkedProcess> => {
  const at = processes.find((seen) => seen.pid === pid)
  return at === undefined ? [] : [at, ...lineOf(processes, at.parent)]
}

describe("how another run stands", () => {
  const before = here.bootedAt - 1
  const cases: ReadonlyArray<readonly [string, Partial<Header>, typeof owner | undefined, StaleRun.Standing, modified?: number]> = [
    ["its host has its pid and start time", {}, owner, "living"],
    ["nobody has the pid of its host", {}, undefined, "dead"],
    ["another process has the pid of its host", {}, { ...owner, startTicks: 21 }, "dead"],
    ["its host is a zombie", {}, { ...owner, zombie: true }, "dead"],
    ["the system was started anew, and the pid was given again", { bootId: "c" }, owner, "rebooted", before],
    ["another machine of the same image has written it since this one was started", { bootId: "c" }, owner, "foreign", here.bootedAt],
    ["nobody has touched it for 30 days, and it is of another machine", { machine: "n" }, undefined, "forsaken", now - 30 * day - 1],
    ["it is of another machine, and was touched 30 days ago", { machine: "n" }, undefined, "foreign", now - 30 * day],
    ["nobody has touched it for 30 days, and it is of another pid namespace", { pidNamespace: "pid:[2]" }, owner, "forsaken", 0],
    ["nobody has touched it for 30 days, and its host has its pid", {}, owner, "living", 0],
    ["it is of another pid namespace", { pidNamespace: "pid:[2]" }, undefined, "foreign"],
    ["it is of another machine, whose boot id is another", { machine: "n", bootId: "c" }, undefined, "foreign"]
  ]
  for (const [name, change, seen, expected, modified = now] of cases) {
    it(`${expected}: ${name}`, () =>
      assert.strictEqual(StaleRun.standing({ ...header, ...change }, here, seen, { modified, now }), expected))
  }
})

describe("what is left of a dead run", () => {
  it.prop(
    "is exactly what carries its mark, what an entry names truly, and what is below these; never this process or one above",
    {
      plan: System,
      claims: Schema.Array(Claim).check(Schema.isMaxLength(5)),
      at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))
    },
    ({ at, claims, plan }) => {
      const processes = systemOf(plan)
      const self = 1 + at % processes.length
      const entries = claims.map(({ honest, pid }) => entry(pid, 999 + pid + (honest ? 0 : 1)))
      const spared = lineOf(processes, self).map(({ pid }) => pid)
      const isRoot = (seen: StaleRun.MarkedProcess) =>
        seen.run === "dead-run" ||
        seen.run === undefined && entries.some((claim) => claim.pid === seen.pid && claim.startTicks === seen.startTicks)
      const found = StaleRun.remains("dead-run", entries, processes, self).map(({ pid }) => pid).toSorted((a, b) => a - b)
      // model: a process is a victim when some root of which nothing is spared lies on its line, itself included
      const expected = processes.filter((seen) => {
        const line = lineOf(processes, seen.pid)
        const root = line.findIndex((above) => isRoot(above) && !spared.includes(above.pid))
        return root >= 0 && !seen.zombie && !spared.includes(seen.pid)
      }).map(({ pid }) => pid)
      assert.deepStrictEqual(found, expected)
    },
    { arbitrary: { runs: 1000 } }
  )

  const process = { pid: 5, parent: 1, startTicks: 50, zombie: false, run: undefined }

  it("a pid that was given to another process is not touched", () => {
    assert.deepStrictEqual(StaleRun.remains("dead-run", [entry(5, 49)], [process], 99), [])
    assert.deepStrictEqual(StaleRun.remains("dead-run", [entry(5, 50)], [process], 99), [process])
  })

  it("a reservation names nobody", () => {
    assert.deepStrictEqual(StaleRun.remains("dead-run", [entry(undefined, undefined)], [process], 99), [])
  })

  it("what carries the mark of another run is not taken by an entry", () => {
    assert.deepStrictEqual(StaleRun.remains("dead-run", [entry(5, 50)], [{ ...process, run: "living-run" }], 99), [])
  })
})
