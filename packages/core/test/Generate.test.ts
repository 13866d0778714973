import { assert, describe, it } from "@effect/vitest"
import { Generate, Invariants, TreePlan } from "@snakepit/core/testing"
import * as Arbitrary from "effect/Arbitrary"
import type * as Simulation from "../src/Simulation.ts"
import * as Laws from "./laws/Laws.ts"

const nodes = (plan: TreePlan.NodePlan): ReadonlyArray<TreePlan.NodePlan> => {
  if (!TreePlan.isSupervisor(plan)) return [plan]
  const below = TreePlan.isDynamic(plan) ? plan.initial.map(() => plan.template) : plan.children
  return [plan, ...below.flatMap(nodes)]
}
const depth = (plan: TreePlan.NodePlan): number => {
  if (!TreePlan.isSupervisor(plan)) return 0
  return 1 + Math.max(0, ...(TreePlan.isDynamic(plan) ? [plan.template] : plan.children).map(depth))
}

const cases = Array.from({ length: 400 }, (_, index) => Generate.bySeed(1, index))
const all = cases.flatMap(({ tree }) => nodes(tree))

describe("generated cases", () => {
  it("are valid trees within the bounds", () => {
    for (const { tree } of cases) {
      assert.isAtMost(depth(tree), Generate.maxDepth)
      assert.isAtMost(nodes(tree).length - 1, Generate.maxChildren)
    }
    assert.strictEqual(Math.max(...cases.map(({ tree }) => depth(tree))), Generate.maxDepth)
    for (const plan of all) {
      if (TreePlan.isSupervisor(plan)) continue
      assert.isFalse(plan.significant && plan.restart === "permanent", "a permanent child never ends for good")
      assert.isFalse(plan.shutdown === "infinity" && plan.stopMillis === "forever", "its supervisor could never end")
    }
  })

  it("are of every kind", () => {
    const supervisors = all.filter(TreePlan.isSupervisor)
    const fixed = supervisors.flatMap((plan) => TreePlan.isDynamic(plan) ? [] : [plan])
    const children = all.flatMap((plan) => TreePlan.isSupervisor(plan) ? [] : [plan])
    const kinds = (values: ReadonlyArray<unknown>): number => new Set(values.map((value) => JSON.stringify(value))).size
    assert.strictEqual(kinds(fixed.map(({ strategy }) => strategy)), 3)
    assert.strictEqual(kinds(fixed.map(({ autoShutdown }) => autoShutdown)), 3)
    assert.strictEqual(kinds(supervisors.map((plan) => TreePlan.isDynamic(plan) && plan.maxChildren !== undefined)), 2)
    assert.strictEqual(kinds(supervisors.map(({ limit }) => limit)), 8)
    assert.strictEqual(kinds(supervisors.map(({ delay }) => delay)), 4)
    assert.strictEqual(kinds(children.map(({ restart }) => restart)), 3)
    assert.strictEqual(kinds(children.map(({ shutdown }) => shutdown)), 4)
    assert.strictEqual(kinds(children.map(({ significant }) => significant)), 2)
    assert.strictEqual(kinds(cases.flatMap(({ script }) => script.map(({ _tag }) => _tag))), 11, "every line but Shutdown")
  })

  it("are the same for the same seed, on either side of JSON", () => {
    const planned = Generate.bySeed(5, 17)
    assert.deepStrictEqual(Generate.bySeed(5, 17), planned)
    assert.notDeepEqual(Generate.bySeed(5, 18), planned)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(planned)), planned)
  })

  it("shrink to what matters", () => {
    const found = cases.find(({ script }) => script.filter(({ _tag }) => _tag === "Together").length > 1)!
    const smallest = Generate.smallest(found, ({ script }) => script.some(({ _tag }) => _tag === "Together"))
    assert.deepStrictEqual(smallest.script.map(({ _tag }) => _tag), ["Together"])
    assert.lengthOf(nodes(smallest.tree), 1)
  })

  it.prop("come as arbitraries too", { planned: Generate.cases, how: Generate.exits }, ({ how, planned }) => {
    assert.deepStrictEqual(Laws.hold(planned), [])
    assert.include(["failed", "normal", "shutdown", "defect"], how)
  }, { arbitrary: { runs: 60, size: 300 } })

  it.prop(
    "address the tree that they are made for",
    { planned: Arbitrary.flatMap(Generate.trees, (tree) => Arbitrary.map(Generate.scripts(tree), (script) => ({ tree, script }))) },
    ({ planned }) => {
      const known = new Set(paths(planned.tree, planned.tree.id))
      for (const line of planned.script) {
        if (!("path" in line) || line._tag === "StartChild") continue
        const parent = line.path.slice(0, line.path.lastIndexOf("/"))
        assert.isTrue(known.has(line.path) || known.has(`${parent}/+`), `${line.path} is nowhere in the tree`)
      }
    },
    { arbitrary: { runs: 60, size: 200 } }
  )
})

/** Of all nodes; `+` is any child of a dynamic supervisor. */
const paths = (plan: TreePlan.NodePlan, path: string): ReadonlyArray<string> => {
  if (!TreePlan.isSupervisor(plan)) return [path]
  if (!TreePlan.isDynamic(plan)) return [path, ...plan.children.flatMap((child) => paths(child, `${path}/${child.id}`))]
  const keys = [...plan.initial, `k${plan.initial.length}`]
  return [path, `${path}/+`, ...keys.flatMap((key) => paths(plan.template, `${path}/${key}`))]
}

describe("the laws of supervision, in production mode", () => {
  it("hold for generated trees under generated harm", () => { // 100,000 and more: npm run verify:laws
    const { breaches, tally } = Laws.run(20_260_101, 600)
    assert.strictEqual(breaches.map(Laws.report).join("\n"), "")
    assert.strictEqual(tally.trees, 600)
    assert.isAbove(tally.decisions, 5000)
    assert.strictEqual(tally.untold, 0)
  })

  it("are not held where a decision has no event, two, or one without its attributes", () => {
    const { script, tree } = Generate.toTheEnd(Generate.bySeed(20_260_101, 0))
    const timeline = TreePlan.simulate({ script, tree })
    const place = timeline.entries.findIndex((entry) => entry._tag === "Event" && entry.event.name.endsWith(".restart"))
    const entry = timeline.entries[place]!
    if (entry._tag !== "Event") return assert.fail("the first tree of the seed has no restart: take another seed")
    const broken = (instead: ReadonlyArray<Simulation.Entry>) => {
      const told = { ...timeline, entries: timeline.entries.toSpliced(place, 1, ...instead) }
      return [...Invariants.check(TreePlan.make(tree), told), ...Laws.undeclared(told)].map(({ message, rule }) => `${rule}: ${message}`)
    }
    assert.deepStrictEqual(broken([entry]), [])
    assert.match(broken([]).join("\n"), /^event: decided Restart, and no event tells it$/)
    assert.match(broken([entry, entry]).join("\n"), /^event: .* and nothing was decided$/)
    for (const attribute of ["path", "child", "generation", "reason", "cause", "incident"]) {
      const { [attribute]: _, ...attributes } = entry.event.attributes
      assert.match(broken([{ ...entry, event: { ...entry.event, attributes } }]).join("\n"), /^event: /, attribute)
    }
  })

  it("are not held by a tree that does not end", () => {
    const never = {
      id: "a",
      restart: "permanent",
      significant: false,
      shutdown: "infinity",
      startMillis: 0,
      stopMillis: "forever"
    } as const
    const tree: TreePlan.SupervisorPlan = {
      id: "app",
      strategy: "one_for_one",
      autoShutdown: "never",
      limit: "unlimited",
      delay: 0,
      restart: "permanent",
      shutdown: "infinity",
      children: [never]
    }
    assert.deepStrictEqual(Laws.hold({ tree, script: [] }).map(Invariants.describe), [
      "120000 ms, leak: app does not end after its shutdown"
    ])
  })
})
