/** Each defect on the page names tests that there are, by file and title. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../e2e/fixtures/Program.ts"

const page = readFileSync(join(root, "docs/reference/defects.md"), "utf8")

/** The cells of its rows, without the heads. */
const rows = page.split("\n").filter((line) => line.startsWith("| ")).slice(2).map((line) =>
  line.slice(2, -2).split(" | ").map((cell) => cell.trim())
)

const references = /`([^`]+)`: "([^"]+)"/g

/** Whether `file` has a test of that title: a function of pytest, or what vitest is given as a title. */
const hasTest = (file: string, title: string): boolean => {
  if (!existsSync(join(root, file))) return false
  const source = readFileSync(join(root, file), "utf8")
  const quoted = title.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  const definition = file.endsWith(".py")
    ? new RegExp(`^def ${quoted}\\(`, "m")
    : new RegExp(`\\(\\s*"${quoted}",\\s*(?:\\(|\\{)`)
  return definition.test(source)
}

describe("the page of defects", () => {
  it("names for each defect a test that exists", () => {
    assert.isAtLeast(rows.length, 10)
    for (const [defect = "", tests = ""] of rows) {
      const named = [...tests.matchAll(references)]
      assert.isNotEmpty(named, defect)
      assert.strictEqual(tests.split("<br>").length, named.length, `${defect}: a test is not written as \`file\`: "title"`)
      for (const [, file = "", title = ""] of named) assert.isTrue(hasTest(file, title), `${defect} There is no test "${title}" in ${file}`)
    }
  })

  it("does not take the words of a title for a test of that title", () => {
    assert.isTrue(hasTest("test/docs/defects.test.ts", "names for each defect a test that exists"))
    assert.isFalse(hasTest("test/docs/defects.test.ts", "names for each defect"))
    assert.isFalse(hasTest("test/docs/nowhere.test.ts", "names for each defect a test that exists"))
  })
})
