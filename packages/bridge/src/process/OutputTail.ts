/** The last lines that a process wrote, and when each came: what it said long before its end does not explain it. */

/** A line, and how long before the end of its process it came. */
export interface Line {
  readonly text: string
  readonly ageMillis: number
}

/** The last lines kept. 200: the stacks of a dozen threads, which follow a crash, and what came before them. */
const keptLines = 200

/** Of each line. 500: beyond it is data, not a message. With the above, at most 100 kB a process. */
const keptCharacters = 500

/** Iterated, it gives the texts, oldest first. */
export class OutputTail implements Iterable<string> {
  private readonly lines: Array<{ readonly text: string; readonly at: number }> = []

  /** `at`: milliseconds of any clock, the same for all. */
  push(text: string, at: number): void {
    this.lines.push({ text: text.slice(0, keptCharacters), at })
    if (this.lines.length > keptLines) this.lines.shift()
  }

  get isEmpty(): boolean {
    return this.lines.length === 0
  }

  *[Symbol.iterator](): Iterator<string> {
    for (const { text } of this.lines) yield text
  }

  /** The lines as they look from the end of the process. */
  before(end: number): ReadonlyArray<Line> {
    return this.lines.map(({ at, text }) => ({ text, ageMillis: Math.max(0, end - at) }))
  }
}
