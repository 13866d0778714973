/**
 * How an application stands and what has just happened, for those who draw it: kept from its first event on, whoever looks.
 *
 * **Example** (Restarts in the last five minutes)
 *
 * ```ts
 * import { LiveView } from "@snakepit/telemetry"
 * import { Effect } from "effect"
 *
 * const restarts = Effect.map(LiveView.LiveView, ({ tree }) => tree.restarts.length)
 * ```
 */
import type { Event } from "@snakepit/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { EventBus } from "../EventBus.ts"
import * as News from "../News.ts"
import * as LiveTree from "./LiveTree.ts"

/** Events kept for whoever comes to look: more than the largest terminal has lines, and enough to scroll back through a restart storm. */
const recentKept = 1000

/** Takes one event into what is shown. */
export const take = (shown: Shown, event: Event.Event): void => {
  LiveTree.apply(shown.tree, event)
  if (!News.isNews(event)) return
  shown.recent.push(event)
  if (shown.recent.length > recentKept) shown.recent.shift()
}

/** What is drawn. */
export interface Shown {
  readonly tree: LiveTree.LiveTree
  /** The last events that are news, oldest first. */
  readonly recent: Array<Event.Event>
}

/** What is drawn of the application that this program is; others only read it. */
export class LiveView extends Context.Service<LiveView, Shown>()("@snakepit/telemetry/LiveView") {
  static readonly layer: Layer.Layer<LiveView, never, EventBus> = Layer.effect(
    LiveView,
    Effect.gen(function*() {
      const shown: Shown = { tree: LiveTree.make(), recent: [] }
      yield* (yield* EventBus).tap("*", (event) => take(shown, event))
      return shown
    })
  )
}
