/**
 * What the terminal shows: the live tree while the search runs, and then the lines; a progress bar that stays below the lines, when the tree
 * was closed with `q`; or plain lines where there is no terminal.
 */
import { Effect } from "effect"
import { type Event, type EventLog, Watch } from "snakepit"

const barWidth = 30
const plainEvery = 10

export interface Progress {
  fits: number
  folds: number
  readonly total: number
  best: string
}

const bar = ({ best, fits, folds, total }: Progress): string => {
  const full = Math.round((fits / total) * barWidth)
  return `[${"█".repeat(full)}${"░".repeat(barWidth - full)}] ${fits}/${total} fits, ${folds} folds${best === "" ? "" : `  best ${best}`}`
}

const clip = (text: string, width: number): string => text.length <= width ? text : `${text.slice(0, width - 1)}…`

/** The screen of one run. With `json`, everything for people goes to standard error. */
export const make = (progress: Progress, json: boolean) => {
  const out = json ? process.stderr : process.stdout
  const terminal = out.isTTY
  let held: Array<string> | undefined // lines that wait until the tree is closed
  const draw = () => {
    if (terminal && held === undefined) out.write(`\r\u001b[2K${clip(bar(progress), (out.columns ?? 80) - 1)}`)
  }
  const line = (text: string) =>
    Effect.sync(() => {
      if (held !== undefined) held.push(text)
      else out.write(terminal ? `\r\u001b[2K${text}\n` : `${text}\n`)
    })
  const release = Effect.suspend(() => {
    const lines = held ?? []
    held = undefined
    return Effect.forEach(lines, line)
  })
  /** The live tree, until the scope closes or the user presses q. */
  const watch = Effect.suspend(() => {
    if (json || !Watch.isTerminal()) return Effect.void
    held = []
    const tree = Effect.scoped(Effect.flatten(Watch.own(() => bar(progress))))
    return Effect.forkScoped(Effect.ensuring(tree, release), { startImmediately: true })
  })
  return {
    line,
    watch,
    /** A line above the bar, which is drawn again. */
    note: (text: string) => Effect.tap(line(text), () => Effect.sync(draw)),
    advanced: Effect.suspend(() => {
      draw()
      return !terminal && progress.fits > 0 && progress.fits % plainEvery === 0 ? line(bar(progress)) : Effect.void
    }),
    redraw: Effect.sync(draw)
  }
}

/** One line for each decision to recover, and one when it is done, from what telemetry tells. */
export const recovery = (event: Event.Event): string | undefined => {
  const { attributes, measurements } = event
  const where = `${String(attributes["path"])}/${String(attributes["child"])}`
  if (event.name.endsWith("_supervisor.restart")) {
    const along = measurements["victims"] === 0 ? "" : ` with ${measurements["victims"]} siblings`
    return `✗ ${where} (generation ${attributes["generation"]}) died: ${firstLine(String(attributes["cause"]))} ` +
      `→ restart${along} after ${measurements["delayMillis"]} ms, budget left ${measurements["budgetLeft"]}, incident ${
        attributes["incident"]
      }`
  }
  if (event.name.endsWith("_supervisor.recover")) {
    return `✓ ${where} is up again (generation ${attributes["generation"]}) after ${measurements["tookMillis"]} ms, incident ${
      attributes["incident"]
    }`
  }
  return undefined
}

const firstLine = (text: string): string => text.split("\n")[0] ?? text

/** Any log: who the lines come from. */
export type Log = EventLog.EventLog["Service"]
