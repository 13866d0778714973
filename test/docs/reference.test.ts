/** The generated pages are current, and what they promise is what runs. */
import { assert, describe, it } from "@effect/vitest"
import { Semantics } from "@snakepit/core"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Contract, Snakepit, type Tree } from "snakepit"
import { pages } from "../../scripts/reference.ts"
import { config, root } from "../e2e/fixtures/Program.ts"

/** dprint pads tables; what it pads does not count. */
const plain = (text: string) => text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---").replaceAll(/\s+$/gm, "")

/** The live tree with its pools and slots named as in the contract. */
const shape = (node: Tree.SupervisorNode): ReadonlyArray<string> =>
  [
    `${node.path} ${node.strategy}`,
    ...node.children.flatMap((child) => child.supervisor === undefined ? [child.path] : shape(child.supervisor))
  ].map((line) => line.replace("/pools/default", "/pools/<key>").replace(/\/fleet\/\d+/, "/fleet/<key>"))

const promised = (contract: Contract.Contract): ReadonlyArray<string> =>
  Contract.flatten(contract).flatMap(({ contract, path }) => [
    `${path} ${contract.strategy}`,
    ...contract.children.filter((child) => child.supervisor === undefined).map((child) => `${path}/${child.id}`)
  ])

describe("the reference", () => {
  it.effect("is what `npm run gen` writes", () =>
    Effect.map(pages, (all) => {
      for (const [path, text] of Object.entries(all)) {
        assert.strictEqual(plain(readFileSync(join(root, path), "utf8")), plain(text), `${path}: run npm run gen`)
      }
    }))

  it("has the values of each mode where they are declared", () => {
    const source = plain(readFileSync(join(root, "packages/core/src/Semantics.ts"), "utf8"))
    for (const [field, otp] of Object.entries(Semantics.otp)) {
      const production = Semantics.production[field as keyof Semantics.Semantics]
      assert.include(source, `* | \`${field}\` | \`${otp}\` | \`${production}\` | `)
    }
  })

  it.live("names the supervisors and children of the live tree, each once", () =>
    Effect.gen(function*() {
      const { tree } = yield* Snakepit.Snakepit
      const live = new Set(shape(yield* tree))
      assert.deepStrictEqual([...live].toSorted(), [...promised(yield* Snakepit.contract())].toSorted())
    }).pipe(Effect.provide(Snakepit.layer(config({}, { size: 1 })))))
})
