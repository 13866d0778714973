/**
 * `npm run example -- foresight`: a tree is previewed, linted and put through a storm before anything of it runs. Takes no time: the hour
 * that it simulates is virtual. Ends with 0 only if the simulation bears out what was foretold.
 */
import { Lint, Preview } from "@snakepit/core"
import * as Shop from "./Shop.ts"
import * as Storm from "./Storm.ts"

const path = "shop/storage/primary"

const loopOf = (preview: Preview.Preview): Preview.CrashLoop | undefined => preview.children[0]?.supervisor?.children[0]?.crashLoop

for (const [name, limits] of [["As it was first written", Shop.first], ["Mended", Shop.mended]] as const) {
  const shop = Shop.make(limits)
  const preview = Preview.of(shop)
  console.log(`\n${name}\n`)
  console.log(Preview.render(preview))
  const findings = Lint.of(shop, { stopWithin: "30 seconds" })
  for (const { message, path, rule } of findings) console.log(`\nlint: ${rule} at ${path}\n  ${message}`)
  if (findings.length === 0) console.log("\nlint: nothing to find")

  const foretold = loopOf(preview)
  const { gaveUpAfter, starts } = Storm.crashLoop(shop, path)
  const bornOut = gaveUpAfter === undefined ? foretold?.starts === Infinity : foretold?.starts === starts && foretold.latest === gaveUpAfter
  const ending = gaveUpAfter === undefined ? "the shop still tries after an hour" : `the shop gives up after ${gaveUpAfter} ms`
  console.log(
    `\nsimulated: ${path} crashes whenever it is up: ${starts} starts, ${ending} (${bornOut ? "as foretold" : "NOT as foretold"})`
  )
  if (!bornOut) process.exitCode = 1
}

console.log("\nA storm\n")
for (const line of Storm.timeline(Shop.make(Shop.mended))) console.log(line)
