import { assert, describe, it } from "@effect/vitest"
import { Tree } from "@snakepit/core"

const child = (id: string, more: Partial<Tree.ChildNode> = {}): Tree.ChildNode => ({
  id,
  path: `app/${id}`,
  status: "running",
  restart: "permanent",
  shutdown: 5_000,
  because: undefined,
  generation: 0,
  restarts: 0,
  supervisor: undefined,
  ...more
})

const tree: Tree.SupervisorNode = {
  path: "app",
  strategy: "rest_for_one",
  intensity: { maxRestarts: 3, withinMillis: 5_000 },
  budgetLeft: 3,
  children: [
    child("db", { status: "waiting", because: "Error: disk full", generation: 2, restarts: 2 }),
    child("fleet", {
      supervisor: {
        path: "app/fleet",
        strategy: "dynamic",
        intensity: "unlimited",
        budgetLeft: Number.POSITIVE_INFINITY,
        children: [child("0"), child("1", { status: "down", because: "terminated" })]
      }
    }),
    child("cache", {
      supervisor: {
        path: "app/cache",
        strategy: "one_for_all",
        intensity: { maxRestarts: 1, withinMillis: 5_000 },
        budgetLeft: 0,
        children: [child("rows")]
      }
    })
  ]
}

describe("a tree", () => {
  it("is drawn with one child a line, and says why a child is not running", () => {
    assert.strictEqual(
      Tree.render(tree),
      [
        "app  rest_for_one, budget left 3",
        "├─ db  waiting (Error: disk full)  generation 2, restarts 2",
        "├─ fleet  running  generation 0, restarts 0  dynamic",
        "│ ├─ 0  running  generation 0, restarts 0",
        "│ └─ 1  down (terminated)  generation 0, restarts 0",
        "└─ cache  running  generation 0, restarts 0  one_for_all, budget left 0",
        "  └─ rows  running  generation 0, restarts 0"
      ].join("\n")
    )
  })

  it("without children is its own line", () => {
    assert.strictEqual(Tree.render({ ...tree, children: [] }), "app  rest_for_one, budget left 3")
  })

  it("is flattened depth first", () => {
    assert.deepStrictEqual(Tree.flatten(tree).map(({ id }) => id), ["db", "fleet", "0", "1", "cache", "rows"])
  })
})
