/**
 * What a heartbeat knows of its worker: how many beats it has missed in a row. What that means is the watchdog's to say.
 *
 * ```text
 *  Beating ──miss──▶ Missing(1) ──miss──▶ Missing(2) ──miss──▶ …
 *     ▲                  │                    │
 *     └──────beat────────┴────────────────────┘            late, the host was held up: the beat says nothing
 * ```
 */
export type HeartbeatState =
  | { readonly _tag: "Beating" }
  /** Invariant: missed ≥ 1. */
  | { readonly _tag: "Missing"; readonly missed: number }

export const initial: HeartbeatState = { _tag: "Beating" }

/** Misses in a row so far. */
export const missed = (state: HeartbeatState): number => state._tag === "Beating" ? 0 : state.missed

/** Total. */
export const transition = (state: HeartbeatState, event: "beat" | "miss" | "late"): HeartbeatState => {
  switch (event) {
    case "beat":
      return initial
    case "miss":
      return { _tag: "Missing", missed: missed(state) + 1 }
    case "late":
      return state
  }
}
