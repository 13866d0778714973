/** What the events tell is what the tree is: a fold of them against the real engine under generated harm. */
import { assert, describe, it } from "@effect/vitest"
import { Simulation, type Tree } from "@snakepit/core"
import { Generate, TreePlan } from "@snakepit/core/testing"
import { LiveTree } from "@snakepit/telemetry"

interface Shown {
  readonly path: string
  readonly status: string
  readonly generation: number
  readonly because: string | undefined
  readonly strategy: string | undefined
  readonly budgetLeft: number | undefined
}

const byPath = (shown: ReadonlyArray<Shown>) => shown.toSorted((a, b) => a.path < b.path ? -1 : 1)

const real = (root: Tree.SupervisorNode): ReadonlyArray<Shown> => {
  const below = (node: Tree.SupervisorNode): ReadonlyArray<Shown> =>
    node.children.flatMap(({ because, generation, path, status, supervisor }) => [
      { path, status, generation, because, strategy: supervisor?.strategy, budgetLeft: supervisor?.budgetLeft },
      ...(supervisor === undefined ? [] : below(supervisor))
    ])
  return byPath([
    { path: root.path, status: "running", generation: 0, because: undefined, strategy: root.strategy, budgetLeft: root.budgetLeft },
    ...below(root)
  ])
}

/** It has ended, and the news of it waits until its own supervisor serves again: until then it is shown with what it last had. */
const hasEnded = (tree: LiveTree.LiveTree, { path, supervisor }: LiveTree.LiveNode, shown: ReadonlyMap<string, Shown>): boolean =>
  supervisor !== undefined && shown.get(path)?.strategy === undefined &&
  [...tree.nodes.values()].every((node) => !node.path.startsWith(`${path}/`) || node.status === "down")

const told = (tree: LiveTree.LiveTree, now: number, shown: ReadonlyArray<Shown>): ReadonlyArray<Shown> => {
  const shownAt = new Map(shown.map((node) => [node.path, node]))
  const ended = [...tree.nodes.values()].filter((node) => hasEnded(tree, node, shownAt)).map(({ path }) => path)
  return byPath(
    [...tree.nodes.values()].filter(({ path }) => !ended.some((above) => path.startsWith(`${above}/`))).map((
      { because, generation, path, status, supervisor }
    ) => ({
      path,
      status,
      generation,
      because,
      strategy: ended.includes(path) ? undefined : supervisor?.strategy,
      // one that stops may have decided a restart that it did not come to
      budgetLeft: ended.includes(path) || supervisor?.gaveUp !== undefined || status === "stopping"
        ? shownAt.get(path)?.budgetLeft
        : LiveTree.budgetLeft(tree, path, now)
    }))
  )
}

describe("the live tree", () => {
  it("is the real one after every line of any script", () => {
    let compared = 0
    for (let index = 0; index < 200; index++) { // 200: a second or two
      const planned = Generate.bySeed(8, index)
      let tree = LiveTree.make()
      const simulated = Simulation.watched(TreePlan.make(planned.tree), (event) => LiveTree.apply(tree, event))
      const compare = (after: string) => {
        if (simulated.tree === undefined) return
        compared++
        const shown = real(simulated.tree)
        assert.deepStrictEqual(told(tree, simulated.now, shown), shown, `case ${index} of seed 8, after ${after}`)
      }
      simulated.boot()
      compare("the boot")
      for (const line of planned.script) {
        simulated.play(TreePlan.line(line))
        compare(JSON.stringify(line))
        tree = LiveTree.restore(JSON.parse(JSON.stringify(LiveTree.snapshot(tree)))) // who comes now goes on as who was there
      }
      simulated.discard()
    }
    assert.isAbove(compared, 1000)
  })
})
