/** Prints the declared events that no test has seen, one a line: `unseenEvents.ts <folder>`, with what `test/EventWatch.ts` has written there. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { SnakepitEvent } from "snakepit"

const folder = process.argv[2]!
const seen = new Set(readdirSync(folder).flatMap((file) => readFileSync(join(folder, file), "utf8").split("\n")))
for (const name of SnakepitEvent.catalogue.keys()) if (!seen.has(name)) console.log(name)
