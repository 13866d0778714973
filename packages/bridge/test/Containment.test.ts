import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Containment from "../src/process/Containment.ts"

const all: Containment.Probe = {
  platform: "linux",
  proc: true,
  containment: "namespace",
  reaper: { subreaper: true, pdeathsig: true, pidfd: true },
  cgroup: { folder: "/sys/fs/cgroup/snakepit-1" },
  journal: { path: "/data/runs/1.jsonl" }
}
const usual: Containment.Probe = { ...all, containment: "process", cgroup: { why: "not delegated" } }

const active = (probe: Containment.Probe) => Containment.report(probe).layers.filter((layer) => layer.active).map(({ name }) => name)

const Flags = Schema.Struct({
  linux: Schema.Boolean,
  proc: Schema.Boolean,
  namespace: Schema.Boolean,
  subreaper: Schema.Boolean,
  pdeathsig: Schema.Boolean,
  pidfd: Schema.Boolean,
  cgroup: Schema.Boolean,
  journal: Schema.Boolean
})

describe("Containment", () => {
  it("with every layer, nothing can leak", () => {
    assert.deepStrictEqual(active(all), [
      "reaper",
      "process_group",
      "parent_death_signal",
      "subreaper",
      "pid_namespace",
      "cgroup",
      "registry_sweep"
    ])
    assert.deepStrictEqual(Containment.report(all).leaks, [])
  })

  it("as it comes on Linux, it says what the next start sweeps and what it cannot", () => {
    const { leaks } = Containment.report(usual)
    assert.lengthOf(leaks, 2)
    assert.include(leaks[0], "live until the next start")
    assert.include(leaks[0], "cleared its environment")
  })

  it("a cgroup lets nobody hide from the next start", () => {
    assert.deepStrictEqual(Containment.report({ ...usual, cgroup: all.cgroup }).leaks, [
      "When host and Reaper are killed in the same instant, processes that workers started in sessions of their own live until the next start."
    ])
  })

  it("on macOS it says that sessions of their own are not found", () => {
    const report = Containment.report({
      platform: "darwin",
      proc: false,
      containment: "process",
      reaper: { subreaper: false, pdeathsig: false, pidfd: false },
      cgroup: { why: "no cgroups" },
      journal: { why: "no /proc" }
    })
    assert.deepStrictEqual(report.layers.filter((layer) => layer.active).map(({ name }) => name), ["reaper", "process_group"])
    assert.lengthOf(report.leaks, 2)
  })

  it.prop(
    "without a pid namespace something can leak, and a layer that is there never makes it more",
    { flags: Flags, more: Schema.Literals(["proc", "subreaper", "pdeathsig", "pidfd", "cgroup", "journal", "namespace"]) },
    ({ flags, more }) => {
      const probe = (of: typeof Flags.Type): Containment.Probe => ({
        platform: of.linux ? "linux" : "darwin",
        proc: of.proc,
        containment: of.namespace ? "namespace" : "process",
        reaper: { subreaper: of.subreaper, pdeathsig: of.pdeathsig, pidfd: of.pidfd },
        cgroup: of.cgroup ? all.cgroup : { why: "w" },
        journal: of.journal ? all.journal : { why: "w" }
      })
      const report = Containment.report(probe(flags))
      const better = Containment.report(probe({ ...flags, [more]: true }))
      assert.strictEqual(report.leaks.length === 0, flags.namespace)
      assert.isAtMost(better.layers.filter((layer) => !layer.active).length, report.layers.filter((layer) => !layer.active).length)
      for (const leak of report.leaks) assert.match(leak, /^[A-Z].*\.$/)
      for (const layer of report.layers) assert.isNotEmpty(layer.because)
    },
    { arbitrary: { runs: 300 } }
  )
})
