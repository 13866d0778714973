/** What differs between two modules of a contract: by tool and by type, with the lines that do. Pure. */

export interface Change {
  readonly how: "added" | "removed" | "changed"
  /** `tool fit`, `type Point`, `the rest`. */
  readonly what: string
  /** The lines that differ, `-` before what is in the file and `+` before what belongs there. */
  readonly lines: ReadonlyArray<string>
}

/** Lines of one change that are shown: enough to see what it is about. */
const shown = 12

/** Where a part of a module begins, and what it is. */
const partOf = (line: string): string | undefined => {
  const [, tool] = /^ {2}Rpc\.make\(("(?:[^"\\]|\\.)*")/.exec(line) ?? []
  if (tool !== undefined) return `tool ${JSON.parse(tool)}`
  const [, type] = /^export (?:const|interface|type) ([\w$]+)/.exec(line) ?? []
  return type === undefined ? undefined : `type ${type}`
}

/** The parts of a module; a comment belongs to what it stands above. */
const partsOf = (source: string): ReadonlyMap<string, ReadonlyArray<string>> => {
  const parts = new Map<string, Array<string>>()
  let part = "the rest"
  let comment: Array<string> = []
  for (const line of source.split("\n")) {
    if (/^ {0,2}\/\*\* .*\*\/$/.test(line)) {
      comment.push(line)
      continue
    }
    part = partOf(line) ?? (/^(?:export|\)|$)/.test(line) ? "the rest" : part)
    const lines = parts.get(part) ?? []
    lines.push(...comment, line.replace(/,$/, "")) // the last tool has none, whichever that is
    parts.set(part, lines)
    comment = []
  }
  return parts
}

/** The lines of two texts that are not in their longest common part. */
const lineChanges = (before: ReadonlyArray<string>, after: ReadonlyArray<string>): ReadonlyArray<string> => {
  const common = Array.from({ length: before.length + 1 }, () => Array.from({ length: after.length + 1 }, () => 0))
  for (let b = before.length - 1; b >= 0; b--) {
    for (let a = after.length - 1; a >= 0; a--) {
      common[b]![a] = before[b] === after[a] ? common[b + 1]![a + 1]! + 1 : Math.max(common[b + 1]![a]!, common[b]![a + 1]!)
    }
  }
  const changes: Array<string> = []
  let [b, a] = [0, 0]
  while (b < before.length || a < after.length) {
    if (b < before.length && a < after.length && before[b] === after[a]) {
      b++
      a++
    } else if (a === after.length || b < before.length && common[b + 1]![a]! >= common[b]![a + 1]!) changes.push(`- ${before[b++]}`)
    else changes.push(`+ ${after[a++]}`)
  }
  return changes
}

/** `found` is in the file, `made` belongs there. */
export const between = (found: string, made: string): ReadonlyArray<Change> => {
  const [before, after] = [partsOf(found), partsOf(made)]
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((what): ReadonlyArray<Change> => {
    const lines = lineChanges(before.get(what) ?? [], after.get(what) ?? [])
    if (lines.length === 0) return []
    return [{ what, lines, how: !before.has(what) ? "added" : !after.has(what) ? "removed" : "changed" }]
  })
}

/** The changes for people. */
export const render = (changes: ReadonlyArray<Change>): string =>
  changes.flatMap(({ how, lines, what }) => [
    `  ${how.padEnd(7)}  ${what}`,
    ...how === "changed" ? lines.slice(0, shown).map((line) => `    ${line}`) : [],
    ...how === "changed" && lines.length > shown ? [`    … ${lines.length - shown} more lines`] : []
  ]).join("\n")
