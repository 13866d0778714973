/**
 * A terminal that shows a screen: its alternate one, redrawn where a line has changed, given back as it was whatever happens.
 *
 * **Details**
 *
 * {@link open} takes the terminal in the current scope. When the scope closes, when the program exits, also by an error that nobody caught, the screen, the cursor and the
 * mode of the keyboard are as before. What is written to standard error meanwhile would be drawn over: send it to a file.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ReadStream, WriteStream } from "node:tty"
import * as Ink from "./Ink.ts"
import type { Size } from "./WatchScreen.ts"

/** Frames a second at most: 10, faster than anybody reads. */
const frameMillis = 100

const enter = "\u001b[?1049h\u001b[?25l" // the alternate screen, no cursor
const leave = "\u001b[?25h\u001b[?1049l"

/** A key that means something here. */
export type Key = "quit" | "up" | "down" | "page up" | "page down" | "filter" | "pause"

const keys: { readonly [typed: string]: Key } = {
  q: "quit",
  k: "up",
  "\u001b[A": "up",
  j: "down",
  "\u001b[B": "down",
  "\u001b[5~": "page up",
  "\u001b[6~": "page down",
  f: "filter",
  p: "pause"
}

/** What one key sends: several that are typed fast come together. */
const oneKey = new RegExp(String.raw`\u001b\[[\d;]*[A-Za-z~]|.`, "gsu")

/** What {@link open} takes. */
export interface Options {
  readonly out: WriteStream
  /** Where keys come from; none when it is no terminal. */
  readonly keyboard: ReadStream | undefined
  readonly color: boolean
  readonly draw: (size: Size) => ReadonlyArray<Ink.Line>
  readonly pressed: (key: Key) => void
}

/** Draws until the scope closes. */
export const open = ({ color, draw, keyboard, out, pressed }: Options): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    let drawn: ReadonlyArray<string> = []
    const frame = (): void => {
      const size = { columns: out.columns, rows: out.rows }
      const lines = draw(size).map((line) => Ink.toAnsi(line, color))
      const changed = lines.map((line, row) => line === drawn[row] ? "" : `\u001b[${row + 1};1H${line}\u001b[K`).join("")
      drawn = lines
      if (changed !== "") out.write(changed)
    }
    const anew = (): void => {
      drawn = []
      out.write("\u001b[2J")
      frame()
    }
    const typed = (data: Buffer): void => {
      for (const [text] of data.toString("utf8").matchAll(oneKey)) {
        if (text === "\u0003") process.kill(process.pid, "SIGINT") // Ctrl-C: a terminal in raw mode sends no signal by itself
        const key = keys[text]
        if (key !== undefined) pressed(key)
      }
      frame()
    }
    let isOpen = true
    const restore = (): void => {
      if (!isOpen) return
      isOpen = false
      keyboard?.setRawMode(false)
      out.write(leave)
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        out.write(enter)
        keyboard?.setRawMode(true)
        keyboard?.on("data", typed).resume()
        out.on("resize", anew)
        process.on("exit", restore)
        anew()
        return setInterval(frame, frameMillis)
      }),
      (timer) =>
        Effect.sync(() => {
          clearInterval(timer)
          keyboard?.off("data", typed).pause()
          out.off("resize", anew)
          process.off("exit", restore)
          restore()
        })
    )
  })
