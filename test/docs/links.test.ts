/** Links between the documents lead to a file, and to a heading where they name one. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { root } from "../e2e/fixtures/Program.ts"

const documents = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md")).map((name) =>
    join("docs", name)
  )
]

/** The anchors of its headings, as GitHub makes them. */
const anchorsOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(file, "utf8").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-")
  )

const leadsSomewhere = (document: string, link: string): boolean => {
  const [path = "", anchor] = link.split("#")
  const file = path === "" ? join(root, document) : join(root, dirname(document), path)
  return existsSync(file) && (anchor === undefined || anchorsOf(file).includes(anchor))
}

describe("the documents", () => {
  it("have no link that leads nowhere", () => {
    const dead = documents.flatMap((document) =>
      [...readFileSync(join(root, document), "utf8").matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].flatMap(([, link = ""]) =>
        leadsSomewhere(document, link) ? [] : [`${document}: ${link}`]
      )
    )
    assert.deepStrictEqual(dead, [])
  })
})
