/** Tells each decision of the machine as one declared event. */
import * as Event from "../Event.ts"
import { describe } from "../ExitReason.ts"
import type { SupervisorEvents } from "../SupervisorEvent.ts"
import type { Decision } from "../SupervisorState.ts"

interface About {
  readonly path: string
  readonly pool: string | undefined
  readonly slot: number | undefined
  /** That the supervisor itself is started after, or stopped in. */
  readonly incident: (moment: "start" | "end") => string | undefined
}

export const teller = (events: SupervisorEvents, sink: Event.EventSink, about: About) => (decision: Decision, now: number): void =>
  Event.tell(sink, eventOf(events, about, decision, now))

/** Attributes are written out: an object of a known shape is made several times as fast as one that is spread together. */
const eventOf = (events: SupervisorEvents, about: About, decision: Decision, now: number): Event.Event => {
  const { path, pool, slot } = about
  switch (decision._tag) {
    case "Start":
      return Event.make(events.start, now, { children: decision.children }, { path, pool, slot, incident: about.incident("start") })
    case "Restart": {
      const { budgetLeft, child, delayMillis, generation, incident, reason, victims } = decision
      return Event.make(
        events.restart,
        now,
        { delayMillis, budgetLeft: Number.isFinite(budgetLeft) ? budgetLeft : undefined, victims: victims.length },
        { path, pool, slot, child, generation, reason: reason._tag, cause: describe(reason), incident }
      )
    }
    case "Recover": {
      const { child, generation, incident, tookMillis } = decision
      return Event.make(events.recover, now, { tookMillis }, { path, pool, slot, child, generation, incident })
    }
    case "Leave":
    case "Abandon": {
      const { child, generation, reason } = decision
      const declaration = decision._tag === "Leave" ? events.leave : events.abandon
      return Event.make(declaration, now, {}, { path, pool, slot, child, generation, reason: reason._tag, cause: describe(reason) })
    }
    case "TerminateChild":
      return Event.make(events.terminate, now, {}, { path, pool, slot, child: decision.child, cause: "asked for", incident: undefined })
    case "Terminate":
      return Event.make(
        events.terminate,
        now,
        {},
        { path, pool, slot, child: undefined, cause: decision.why, incident: about.incident("end") }
      )
    case "GiveUp": {
      const { child, generation, incident, reason } = decision
      return Event.make(
        events.give_up,
        now,
        { budgetLeft: 0 },
        { path, pool, slot, child, generation, reason: reason._tag, cause: describe(reason), incident }
      )
    }
  }
}
