/** Shows what is known of an application until the user has seen enough: in a terminal as a screen, elsewhere as lines. */
import type { Event } from "@snakepit/core"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as EventText from "./EventText.ts"
import * as Ink from "./Ink.ts"
import { LiveView, type Shown } from "./LiveView.ts"
import * as TerminalScreen from "./TerminalScreen.ts"
import * as WatchScreen from "./WatchScreen.ts"

/** Lines that a page key moves by. */
const page = 10

/** What the screen shows beside the tree and the events; its owner keeps it current. */
export type Source = () => { readonly shown: Shown } & Omit<WatchScreen.About, "now">

const after = (controls: WatchScreen.Controls, key: Exclude<TerminalScreen.Key, "quit">): WatchScreen.Controls => {
  const { filter, paused, scroll } = controls
  switch (key) {
    case "up":
      return { ...controls, scroll: Math.max(0, scroll - 1) }
    case "down":
      return { ...controls, scroll: scroll + 1 }
    case "page up":
      return { ...controls, scroll: Math.max(0, scroll - page) }
    case "page down":
      return { ...controls, scroll: scroll + page }
    case "filter":
      return { ...controls, filter: WatchScreen.filters[(WatchScreen.filters.indexOf(filter) + 1) % WatchScreen.filters.length]! }
    case "pause":
      return { ...controls, paused: !paused }
  }
}

/** Whether standard output is a terminal that a screen can be drawn on. */
export const isTerminal = (): boolean => process.stdout.isTTY === true && process.env["TERM"] !== "dumb"

/** Colours, unless `NO_COLOR` says otherwise. */
export const wantsColor = (): boolean => !process.env["NO_COLOR"]

/** Draws the screen in the current scope. Returns an effect that waits until the user quits. */
export const screen = (source: Source): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const quit = yield* Deferred.make<void>()
    let controls = WatchScreen.controls
    let frozen: ReadonlyArray<Ink.Line> = []
    yield* TerminalScreen.open({
      out: process.stdout,
      keyboard: process.stdin.isTTY ? process.stdin : undefined,
      color: wantsColor(),
      draw: (size) => {
        if (controls.paused && frozen.length === size.rows) return frozen
        const { shown, ...about } = source()
        frozen = WatchScreen.render(shown, { ...about, now: Date.now() }, controls, size)
        return frozen
      },
      pressed: (key) => {
        if (key === "quit") return void Deferred.doneUnsafe(quit, Effect.void)
        const { scroll, ...others } = after(controls, key)
        controls = { ...others, scroll: Math.min(scroll, source().shown.tree.nodes.size) }
        frozen = []
      }
    })
    return Deferred.await(quit)
  })

/** The screen of the application that this program is. */
export const own = (title: () => string) => Effect.flatMap(LiveView, (shown) => screen(() => ({ shown, title: title() })))

/** One event as a plain line. */
export const plain = (event: Event.Event): string => Ink.toPlain(EventText.lineOf(event))
