/** The guide to events speaks of events and metrics that there are, and of everything that the original's list has. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { SnakepitEvent, SnakepitMetrics } from "snakepit"
import { root } from "../e2e/fixtures/Program.ts"

const page = readFileSync(join(root, "docs/telemetry/events.md"), "utf8")

const rows = page.slice(page.indexOf("| `[:snakepit, …]`")).split("\n").slice(2).flatMap((line) => {
  const [, theirs, here, why] = line.split(" | ").join("|").split("|").map((cell) => cell.trim())
  return theirs === undefined ? [] : [{ theirs, here: here ?? "", why: why ?? "" }]
})

const namesIn = (text: string): ReadonlyArray<string> => [...text.matchAll(/`(snakepit(?:\.[a-z_]+){2,})`/g)].map(([, name = ""]) => name)

describe("the guide to events", () => {
  it("names events and metrics that are declared", () => {
    const metrics = new Set(SnakepitMetrics.declarations.map(({ name }) => name as string))
    const unknown = namesIn(page).filter((name) => name !== "snakepit.layer" && !SnakepitEvent.catalogue.has(name) && !metrics.has(name))
    assert.isAtLeast(namesIn(page).length, 50)
    assert.deepStrictEqual(unknown, [])
  })

  it("has for each event of the original a counterpart, or a reason why there is none", () => {
    assert.isAtLeast(rows.length, 40)
    for (const { here, theirs, why } of rows) {
      const isEvent = namesIn(here).some((name) => SnakepitEvent.catalogue.has(name))
      assert.isTrue(isEvent || why !== "", `${theirs}: neither a counterpart nor a reason`)
    }
  })
})
