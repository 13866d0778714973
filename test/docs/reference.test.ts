/** The generated pages are current, and what they promise is what runs. */
import { assert, describe, it } from "@effect/vitest"
import { Semantics } from "@snakepit/core"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Contract, Snakepit, Tree } from "snakepit"
import { pages } from "../../scripts/reference.ts"
import { config, root } from "../e2e/fixtures/Program.ts"

/** dprint pads tables; what it pads does not count. */
const plain = (text: string) => text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---").replaceAll(/\s+$/gm, "")

const twoPools = { pools: { ...config().pools, other: config({}, { size: 1 }).pools["default"]! } }

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

  it.live("is of the tree that runs: its contract is that of the configuration, and the live tree is what it promises", () =>
    Effect.gen(function*() {
      const { contract, tree } = yield* Snakepit.Snakepit
      const live = yield* tree
      assert.deepStrictEqual(contract, yield* Snakepit.contract(twoPools))
      assert.deepStrictEqual(Contract.compare(contract, live), [])
      assert.includeMembers(Tree.flatten(live).map(({ path }) => path), ["snakepit/pools/default/fleet/1", "snakepit/pools/other/fleet/0"])
    }).pipe(Effect.provide(Snakepit.layer(twoPools))))
})
