/** Predictions are read off contracts that are written here by hand, and differences off trees. */
import { assert, describe, it } from "@effect/vitest"
import type { Contract, Tree } from "snakepit"
import * as Victims from "./Victims.ts"

const plain = { plane: "control", restart: "permanent", significant: false, shutdown: 5000, failedBy: [], supervisor: undefined } as const

type Strategy = Contract.Contract["strategy"]

const contract = (
  id: string,
  strategy: Strategy,
  children: ReadonlyArray<string | Contract.Contract | Contract.ContractChild>,
  more: Partial<Contract.Contract> = {}
): Contract.Contract => ({
  id,
  plane: "control",
  layer: "control",
  strategy,
  intensity: { maxRestarts: 3, withinMillis: 60_000 },
  backoff: { lowestMillis: [0], highestMillis: [0], resetAfterMillis: 60_000 },
  because: "it is a test",
  limitBecause: "it is a test",
  stoppedBy: [],
  autoShutdown: "never",
  startedBy: "itself",
  events: [],
  children: children.map((child) => {
    if (typeof child !== "string" && "restart" in child) return child
    const supervisor = typeof child === "string" ? undefined : child
    return { ...plain, id: supervisor?.id ?? String(child), plane: supervisor?.plane ?? "control", supervisor }
  }),
  ...more
})

interface Branch {
  readonly [id: string]: number | Branch
}

/** A live tree: a number is the generation of a child, a branch a supervisor of generation `at`. */
const tree = (
  root: Contract.Contract,
  branch: Branch,
  path = root.id,
  budgets: Readonly<Record<string, number>> = {}
): Tree.SupervisorNode => ({
  path,
  strategy: root.strategy,
  intensity: root.intensity,
  budgetLeft: budgets[path] ?? 3,
  children: Object.entries(branch).filter(([id]) => id !== "at").map(([id, value]) => {
    const below = `${path}/${id}`
    const entry = root.strategy === "dynamic" ? root.children[0] : root.children.find((child) => child.id === id)
    return {
      id,
      path: below,
      status: "running",
      restart: entry!.restart,
      shutdown: entry!.shutdown,
      because: undefined,
      generation: typeof value === "number" ? value : Number(value["at"] ?? 0),
      restarts: 0,
      supervisor: typeof value === "number" ? undefined : tree(entry!.supervisor!, value, below, budgets)
    }
  })
})

const worker = contract("<slot>", "rest_for_one", ["process", "channel"], { plane: "execution" })
const fleet = contract("fleet", "dynamic", [worker], { plane: "execution" })
const control = contract("control", "one_for_one", ["dispatcher", "clerk"])
const pool = contract("<pool>", "rest_for_one", ["roster", fleet, control])
const pools = contract("pools", "dynamic", [pool], { intensity: "unlimited" })
const root = contract("app", "one_for_one", [contract("base", "one_for_all", ["a", "b"]), pools])

const slot = { process: 0, channel: 0 }
const branch = {
  base: { a: 0, b: 0 },
  pools: {
    p: { roster: 0, fleet: { 0: slot, 1: slot }, control: { dispatcher: 0, clerk: 0 } },
    q: { roster: 0, fleet: { 0: slot }, control: { dispatcher: 0, clerk: 0 } }
  }
}
const live = tree(root, branch)
const ofP = ["p/control", "p/control/clerk", "p/control/dispatcher"].map((path) => `app/pools/${path}`)

const paths = (prediction: Victims.Prediction): ReadonlyArray<string> =>
  prediction._tag === "End" ? ["the end"] : [...prediction.paths].sort()
const below = (path: string) => [...Victims.identities(live).keys()].filter((own) => own === path || own.startsWith(`${path}/`)).sort()

describe("the victims of one exit", () => {
  it("are the child alone under one_for_one", () => {
    assert.deepStrictEqual(paths(Victims.ofExit(root, live, "app/pools/p/control/clerk")), ["app/pools/p/control/clerk"])
  })

  it("are the child and those after it under rest_for_one, each with all below", () => {
    assert.deepStrictEqual(paths(Victims.ofExit(root, live, "app/pools/p/control")), ofP)
    assert.deepStrictEqual(paths(Victims.ofExit(root, live, "app/pools/p/fleet")), [...below("app/pools/p/fleet"), ...ofP].sort())
    assert.deepStrictEqual(paths(Victims.ofExit(root, live, "app/pools/p/fleet/1/channel")), ["app/pools/p/fleet/1/channel"])
  })

  it("are all under one_for_all, and one under a dynamic supervisor", () => {
    assert.deepStrictEqual(paths(Victims.ofExit(root, live, "app/base/b")), ["app/base/a", "app/base/b"])
    assert.deepStrictEqual(paths(Victims.ofExit(root, live, "app/pools/p/fleet/0")), below("app/pools/p/fleet/0"))
  })

  it("are those of the supervisor above when it has no restart left, up to the end of the program", () => {
    const spent = tree(root, branch, "app", { "app/pools/p/control": 0 })
    assert.deepStrictEqual(paths(Victims.ofExit(root, spent, "app/pools/p/control/clerk")), ofP)
    const all = tree(root, branch, "app", { "app/base": 0, app: 0 })
    assert.deepStrictEqual(paths(Victims.ofExit(root, all, "app/base/a")), ["the end"])
  })

  it("are nobody else when the child is temporary", () => {
    const app = contract("app", "one_for_all", [{ ...plain, id: "a", restart: "temporary" }, "b"])
    assert.deepStrictEqual(paths(Victims.ofExit(app, tree(app, { a: 0, b: 0 }), "app/a")), ["app/a"])
  })
})

describe("the victims of a spent budget", () => {
  it("are those of its supervisor's end", () => {
    assert.deepStrictEqual(paths(Victims.ofSpending(root, live, "app/pools/p/control/clerk")), ofP)
    assert.deepStrictEqual(paths(Victims.ofSpending(root, live, "app/base")), ["the end"])
  })

  it("are those of the child where the budget has no end", () => {
    assert.deepStrictEqual(paths(Victims.ofSpending(root, live, "app/pools/q")), below("app/pools/q"))
  })
})

describe("the victims that are seen", () => {
  const before = Victims.identities(live)
  const seen = (after: Branch) => [...Victims.observed(before, Victims.identities(tree(root, after)))].sort()

  it("are nobody when nothing happened", () => assert.deepStrictEqual(seen(branch), []))

  it("are all below a supervisor of another generation, though their own is the same", () => {
    const { p, q } = branch.pools
    assert.deepStrictEqual(seen({ ...branch, pools: { p: { ...p, control: { ...p.control, at: 1 } }, q } }), ofP)
  })

  it("are those that are gone", () => {
    const { p, q } = branch.pools
    assert.deepStrictEqual(seen({ ...branch, pools: { p: { ...p, fleet: { 0: slot } }, q } }), below("app/pools/p/fleet/1"))
  })
})

describe("the pools that must not notice", () => {
  const unharmed = (path: string) => {
    const prediction = Victims.ofExit(root, live, path)
    return Victims.unharmed(root, live, prediction._tag === "End" ? new Set(Victims.identities(live).keys()) : prediction.paths)
  }

  it("are the others, and its own when only its control plane goes", () => {
    assert.deepStrictEqual(unharmed("app/pools/p/control"), ["p", "q"])
    assert.deepStrictEqual(unharmed("app/base"), ["p", "q"])
    assert.deepStrictEqual(unharmed("app/pools/p/fleet/0/channel"), ["q"])
    assert.deepStrictEqual(unharmed("app/pools/p/roster"), ["q"])
    assert.deepStrictEqual(unharmed("app/pools/p"), ["q"])
    assert.deepStrictEqual(unharmed("app/pools"), [])
  })
})

describe("a contract by the path of a live tree", () => {
  it("is found through dynamic supervisors, and missed aloud", () => {
    assert.strictEqual(Victims.contractAt(root, "app/pools/q/fleet/0"), worker)
    assert.throws(() => Victims.contractAt(root, "app/pools/q/roster"), "names no supervisor")
    assert.throws(() => Victims.contractAt(root, "other"), "is not below app")
  })
})
