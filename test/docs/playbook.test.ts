/** The playbook is of the scenarios and contracts that there are, or it is not made. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync } from "node:fs"
import { SnakepitEvent } from "snakepit"
import * as AnyPool from "../../scripts/AnyPool.ts"
import { playbookPage, type Played } from "../../scripts/PlaybookPage.ts"
import * as Scenarios from "../chaos/Scenarios.ts"

const events = new Set(SnakepitEvent.catalogue.keys())

const more = (played: Partial<Played>): ReadonlyArray<Played> => [...Scenarios.all, { ...Scenarios.all[0]!, name: "more", ...played }]

const isScenario = (value: unknown): value is Played => typeof value === "object" && value !== null && "byHand" in value

describe("the chaos playbook", () => {
  it.effect("has of each scenario what is done, what must be seen, how it is done by hand and what its contract says", () =>
    Effect.map(AnyPool.contract, (root) => {
      const [first] = Scenarios.all
      const page = playbookPage("", root, Scenarios.all, events)
      for (const { byHand, mustSee, name } of Scenarios.all) {
        assert.include(page, `\n## \`${name}\`\n`)
        for (const text of [...byHand, ...mustSee.holds, ...mustSee.events]) assert.include(page, text)
      }
      assert.strictEqual(first?.name, "worker-kill")
      const worker = "snakepit/pools/<key>/fleet/<key>"
      const others = "`channel`, `heartbeat`, `watchdog`, `telemetry_tap`, `yours`"
      assert.include(page, `| \`${worker}/process\` | \`${worker}\` | rest_for_one | 3 in 30 s | ${others} |`)
      assert.match(page, /\n\| \[`worker-kill`\]\(#worker-kill\) \|( +\|){7} `process` \|/)
    }))

  it.effect("is not made of an event that nobody declares, of a path that is in no contract, or of contracts that nothing touches", () =>
    Effect.map(AnyPool.contract, (root) => {
      const of = (scenarios: ReadonlyArray<Played>) => () => playbookPage("", root, scenarios, events)
      assert.throws(of(more({ mustSee: { events: ["snakepit.ghost.walk"], holds: ["it walks"] } })), "nobody declares: snakepit.ghost.walk")
      assert.throws(of(more({ touches: { ends: ["snakepit/ghost"], tries: [] } })), "in no contract: snakepit/ghost")
      assert.throws(of(Scenarios.all.slice(0, 1)), "no scenario touches a child of these contracts: snakepit, snakepit/foundation")
    }))

  it("has every scenario that there is", async () => {
    const folder = new URL("../chaos/scenarios/", import.meta.url)
    const found: Array<string> = []
    for (const file of readdirSync(folder)) {
      found.push(...Object.values(await import(new URL(file, folder).href)).filter(isScenario).map(({ name }) => name))
    }
    assert.sameMembers(Scenarios.all.map(({ name }) => name), found)
  })
})
