/**
 * The events of the crash barrier, from what the machine has decided.
 */
import { Event } from "@snakepit/core"
import * as PoolEvent from "../PoolEvent.ts"
import type { Command } from "./Dispatch.ts"

/** What the crash barrier decides. */
export type Decision = Extract<
  Command,
  { readonly _tag: "Tainted" | "Untainted" | "Ejected" | "Readmitted" | "Quarantined" | "Released" }
>

/** `now` on the clock of the pool, `at` for people. */
export const of = (pool: string, decision: Decision, now: number, at: number): Event.Event => {
  switch (decision._tag) {
    case "Tainted": {
      const { exitClass, forMillis, incident, reason, slot } = decision
      return Event.make(PoolEvent.worker_taint, at, { forMillis }, { pool, slot, exitClass, cause: reason, incident })
    }
    case "Untainted":
      return Event.make(PoolEvent.worker_untaint, at, {}, { pool, slot: decision.slot })
    case "Ejected": {
      const { ejections, failures, forMillis, slot, tool } = decision
      return Event.make(PoolEvent.worker_eject, at, { failures, ejections, forMillis }, { pool, slot, tool })
    }
    case "Readmitted":
      return Event.make(PoolEvent.worker_readmit, at, {}, { pool, slot: decision.slot, how: decision.how })
    case "Quarantined": {
      const { crashes, digest, exits, tool, until, workers } = decision
      const about = { pool, tool, digest, workers: workers.join(", "), exits: exits.join(", ") }
      return Event.make(PoolEvent.call_quarantine, at, { crashes, forMillis: until - now }, about)
    }
    case "Released": {
      const { digest, how, tool } = decision
      return Event.make(PoolEvent.call_release, at, {}, { pool, tool, digest, how })
    }
  }
}
