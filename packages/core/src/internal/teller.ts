/** Tells each decision of the machine as one declared event. */
import * as Event from "../Event.ts"
import { describe, type ExitReason } from "../ExitReason.ts"
import type { SupervisorEvents } from "../SupervisorEvent.ts"
import type { Decision } from "../SupervisorState.ts"

interface About {
  readonly path: string
  readonly pool: string | undefined
  readonly slot: number | undefined
}

const exit = (reason: ExitReason) => ({ reason: reason._tag, cause: describe(reason) })

export const teller = (events: SupervisorEvents, sink: Event.EventSink, about: About) => (decision: Decision, now: number): void =>
  Event.tell(sink, eventOf(events, about, decision, now))

const eventOf = (events: SupervisorEvents, about: About, decision: Decision, now: number): Event.Event => {
  switch (decision._tag) {
    case "Start":
      return Event.make(events.start, now, { children: decision.children }, about)
    case "Restart": {
      const { budgetLeft, child, delayMillis, generation, incident, reason, victims } = decision
      const attributes = { ...about, child, generation, ...exit(reason), incident }
      const left = Number.isFinite(budgetLeft) ? budgetLeft : undefined
      return Event.make(events.restart, now, { delayMillis, budgetLeft: left, victims: victims.length }, attributes)
    }
    case "Recover": {
      const { child, generation, incident, tookMillis } = decision
      return Event.make(events.recover, now, { tookMillis }, { ...about, child, generation, incident })
    }
    case "Leave": {
      const { child, generation, reason } = decision
      return Event.make(events.leave, now, {}, { ...about, child, generation, ...exit(reason) })
    }
    case "Abandon": {
      const { child, generation, reason } = decision
      return Event.make(events.abandon, now, {}, { ...about, child, generation, ...exit(reason) })
    }
    case "TerminateChild":
      return Event.make(events.terminate, now, {}, { ...about, child: decision.child, cause: "asked for" })
    case "Terminate":
      return Event.make(events.terminate, now, {}, { ...about, child: undefined, cause: decision.why })
    case "GiveUp": {
      const { child, generation, incident, reason } = decision
      return Event.make(events.give_up, now, { budgetLeft: 0 }, { ...about, child, generation, ...exit(reason), incident })
    }
  }
}
