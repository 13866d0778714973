/** The file that the workers append to: one line of JSON for each recorded fit. */
import { existsSync, readFileSync } from "node:fs"

/** The ids of the recorded fits, in the order in which they were written. */
export const read = (journal: string): ReadonlyArray<number> =>
  existsSync(journal)
    ? readFileSync(journal, "utf8").split("\n").filter((line) => line !== "").map((line) => Number(JSON.parse(line).fit))
    : []
