import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { apply, mutants } from "./mutants/Mutants.ts"

describe("the mutants of the engine", () => { // planted by `npm run test:mutants`
  it("are forty or more, each with its own id and its own change", () => {
    assert.isAtLeast(mutants.length, 40)
    assert.strictEqual(new Set(mutants.map(({ id }) => id)).size, mutants.length)
    assert.strictEqual(new Set(mutants.map(({ after, before, file }) => `${file}\n${before}\n${after}`)).size, mutants.length)
  })

  it("fit the engine as it is", () => {
    for (const mutant of mutants) {
      const source = readFileSync(new URL(`../../../${mutant.file}`, import.meta.url), "utf8")
      assert.notStrictEqual(apply(mutant, source), source, mutant.id)
    }
  })

  it("are refused with the next step when the engine has changed under them", () => {
    assert.throws(() => apply(mutants[0]!, ""), /is stale: what it replaces occurs 0 times .* write the mutant anew/)
  })
})
