/**
 * Runs beside every test file. An event that is not as its declaration says fails the test that made it. The names of all events that were seen go into
 * a file of the folder `SNAKEPIT_EVENTS_SEEN`, if there is one: `npm test` names those that no test has seen.
 */
import * as DeclaredEvents from "@snakepit/core/testing/DeclaredEvents"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach } from "vitest"

const seen = new Set<string>()
const faults = new Set<string>()

DeclaredEvents.watch((declaration, event) => {
  seen.add(event.name)
  for (const fault of DeclaredEvents.faults(declaration, event)) faults.add(fault)
})

afterEach(() => {
  if (faults.size === 0) return
  const found = [...faults].join("\n")
  faults.clear()
  throw new Error(found)
})

const folder = process.env["SNAKEPIT_EVENTS_SEEN"]
if (folder !== undefined) {
  afterAll(() => writeFileSync(join(folder, `${crypto.randomUUID()}.txt`), [...seen].join("\n")))
}
