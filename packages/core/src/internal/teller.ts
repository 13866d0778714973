/** Tells each decision of the machine as one declared event, and how its children stand to who watches. */
import * as Event from "../Event.ts"
import { describe } from "../ExitReason.ts"
import type { Limit } from "../Intensity.ts"
import type { SupervisorEvents } from "../SupervisorEvent.ts"
import type { ChildState, Decision, Strategy } from "../SupervisorState.ts"
import type { NodeStatus } from "../Tree.ts"

interface About {
  readonly path: string
  readonly pool?: string | undefined
  readonly slot?: number | undefined
}

interface AboutDecisions extends About {
  /** That the supervisor itself is started after, or stopped in. */
  readonly incident: (moment: "start" | "end") => string | undefined
}

export const teller = (events: SupervisorEvents, sink: Event.EventSink, about: AboutDecisions) =>
(
  decision: Decision,
  now: number,
  heard: string | undefined
): void => Event.tell(sink, eventOf(events, about, decision, now, heard))

/** Attributes are written out: an object of a known shape is made several times as fast as one that is spread together. */
const eventOf = (
  events: SupervisorEvents,
  about: AboutDecisions,
  decision: Decision,
  now: number,
  heard: string | undefined
): Event.Event => {
  const { path, pool, slot } = about
  switch (decision._tag) {
    case "Start":
      return Event.make(events.start, now, { children: decision.children }, { path, pool, slot, heard, incident: about.incident("start") })
    case "Restart": {
      const { budgetLeft, child, delayMillis, generation, incident, reason, stage, victims } = decision
      return Event.make(
        events.restart,
        now,
        { delayMillis, budgetLeft: Number.isFinite(budgetLeft) ? budgetLeft : undefined, victims: victims.length },
        { path, pool, slot, heard, child, generation, reason: reason._tag, cause: describe(reason), stage, incident }
      )
    }
    case "Recover": {
      const { child, generation, incident, tookMillis } = decision
      return Event.make(events.recover, now, { tookMillis }, { path, pool, slot, heard, child, generation, incident })
    }
    case "Leave":
    case "Abandon": {
      const { child, generation, reason } = decision
      const declaration = decision._tag === "Leave" ? events.leave : events.abandon
      return Event.make(declaration, now, {}, { path, pool, slot, heard, child, generation, reason: reason._tag, cause: describe(reason) })
    }
    case "TerminateChild":
      return Event.make(events.terminate, now, {}, {
        path,
        pool,
        slot,
        heard,
        child: decision.child,
        cause: "asked for",
        incident: undefined
      })
    case "Terminate":
      return Event.make(
        events.terminate,
        now,
        {},
        { path, pool, slot, heard, child: undefined, cause: decision.why, incident: about.incident("end") }
      )
    case "GiveUp": {
      const { child, generation, incident, reason, refusedBy, stage } = decision
      return Event.make(
        events.give_up,
        now,
        { budgetLeft: 0 },
        { path, pool, slot, heard, child, generation, reason: reason._tag, cause: describe(reason), stage, refusedBy, incident }
      )
    }
  }
}

/** The flags of a supervisor. */
export const beginning = (
  events: SupervisorEvents,
  now: number,
  strategy: Strategy | "dynamic",
  limit: Limit | "unlimited",
  budgetLeft: number,
  { path, pool, slot }: About
): Event.Event => {
  const about = { path, pool, slot, strategy }
  return limit === "unlimited"
    ? Event.make(events.begin, now, { maxRestarts: undefined, withinMillis: undefined, budgetLeft: undefined }, about)
    : Event.make(events.begin, now, { maxRestarts: limit.maxRestarts, withinMillis: limit.withinMillis, budgetLeft }, about)
}

/** Why a child is not running, for people. */
export const because = ({ status }: ChildState): string | undefined =>
  status._tag === "Down" ? status.why : status._tag === "Waiting" ? describe(status.reason) : undefined

/** How a child stands. */
export const standing = (events: SupervisorEvents, now: number, child: ChildState, isGone: boolean, about: About): Event.Event => {
  const { generation, id, status } = child
  const { path, pool, slot } = about
  return Event.make(
    events.stand,
    now,
    {},
    { path, pool, slot, child: id, generation, status: isGone ? "gone" : statusOf(status._tag), because: because(child) }
  )
}

/** A status in one small word, as in `Tree`. */
export const statusOf = (tag: ChildState["status"]["_tag"]): NodeStatus => tag.toLowerCase() as NodeStatus
