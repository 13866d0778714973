/**
 * Ends the sessions of all pools whose time is over.
 *
 * ```text
 *  each pool, every `sessions.sweep`:  its sessions ─▶ not used for their time to live? ─▶ ended, and their workers told
 * ```
 *
 * **Details**
 *
 * A child of Foundation that holds nothing: the sessions stand with their pools' Rosters, where a call finds them without a hop, and outlive those. So a
 * crash of this child loses no session, and touches no worker and no call: for its moment sessions live longer. A call never meets one whose
 * time is over: it begins a new one, swept or not.
 */
import { Child } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { PoolDirectory } from "../PoolDirectory.ts"
import * as Roster from "./Roster.ts"

/** 1 s: how soon a changed `sweep` is noticed. */
const lookMillis = 1000

export const child = (directory: PoolDirectory) =>
  Child.make("session_store", {
    start: Effect.map(Clock.Clock, (clock) => {
      const swept = new Map<string, number>()
      const look = Effect.suspend(() => {
        const now = clock.currentTimeMillisUnsafe()
        let wait = lookMillis
        for (const pool of directory.names()) {
          const { config, roster } = directory.entry(pool)
          const every = Duration.toMillis(config().sessions.sweep)
          wait = Math.min(wait, every)
          if (Math.abs(now - (swept.get(pool) ?? 0)) < every) continue // whichever way the clock was set
          swept.set(pool, now)
          const { current = roster.latest } = roster
          if (current !== undefined) Roster.put(current, { _tag: "SweepSessions" })
        }
        return Effect.sleep(wait)
      })
      return Effect.forever(look)
    })
  })
