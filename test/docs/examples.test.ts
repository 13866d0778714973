/** Every example in the pages about core, pool, bridge and telemetry compiles, and prints what the page says; those in the docstrings of core and pool compile. */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../e2e/fixtures/Program.ts"
import { type Block, blocksOf, docstringsOf, inProject } from "./Examples.ts"

interface Example extends Block {
  /** Where it is from, as the path of a file to compile. */
  readonly file: string
}

const isTypeScript = ({ language }: Block): boolean => language === "ts"

const examplesIn = (folder: string, extension: string, markdownOf: (text: string) => string): ReadonlyArray<Example> =>
  readdirSync(join(root, folder)).filter((name) => name.endsWith(extension)).flatMap((name) =>
    blocksOf(markdownOf(readFileSync(join(root, folder, name), "utf8"))).filter(isTypeScript).map((block, index) => ({
      ...block,
      file: `${folder.replaceAll("/", "-")}/${name.replace(extension, "")}-${index + 1}.ts`
    }))
  )

const pages = ["docs/core", "docs/pool", "docs/bridge", "docs/telemetry"].flatMap((folder) => examplesIn(folder, ".md", (text) => text))
const sources = ["core", "pool"].flatMap((name) => [`packages/${name}/src`, `packages/${name}/src/testing`])
const docstrings = sources.flatMap((folder) => examplesIn(folder, ".ts", docstringsOf))

describe("the examples of @snakepit/core, @snakepit/pool and @snakepit/bridge", () => {
  it("compile, and those with an output print it", () =>
    inProject((project) => {
      for (const { file, text } of [...pages, ...docstrings]) project.write(file, text)
      project.compile({ noUnusedLocals: false }) // an example may end with what it has made
      const printing = pages.filter(({ prints }) => prints !== undefined)
      assert.isAtLeast(printing.length, 5)
      for (const { file, prints } of printing) assert.strictEqual(project.run(file).trimEnd(), prints!.trimEnd(), file)
    }))
})
