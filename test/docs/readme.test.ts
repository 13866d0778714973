/** The README's example is a program that compiles and runs. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../e2e/fixtures/Program.ts"
import { blocksOf, inProject } from "./Examples.ts"

const readme = readFileSync(join(root, "README.md"), "utf8")

/** The only fenced block of a language. */
const block = (language: string): string => {
  const blocks = blocksOf(readme).filter((block) => block.language === language)
  assert.strictEqual(blocks.length, 1, `one ${language} block`)
  return blocks[0]!.text
}

describe("the README", () => {
  it("has an example of about thirty lines that compiles and prints what it says", () =>
    inProject((project) => {
      project.write("python/tools.py", block("python"))
      project.write("main.ts", block("ts"))
      project.compile()
      const output = project.run("main.ts")
      assert.deepStrictEqual(output.trim().split("\n"), ["mean 3", ...[2, 3, 5, 7, 11, 13, 17, 19].map((n) => `prime ${n}`)])
      assert.isAtMost(block("ts").trimEnd().split("\n").length, 32)
    }))
})
