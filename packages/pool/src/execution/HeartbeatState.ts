/**
 * The decision of a heartbeat: how many misses in a row mean lost.
 *
 * ```text
 *  Beating ──miss──▶ Missing(n) ──miss, n + 1 = maxMissed──▶ Lost
 *     ▲                  │
 *     └──────beat────────┘
 * ```
 */
export type HeartbeatState =
  | { readonly _tag: "Beating" }
  /** Invariant: 1 ≤ missed < maxMissed. */
  | { readonly _tag: "Missing"; readonly missed: number }
  | { readonly _tag: "Lost"; readonly missed: number }

export const initial: HeartbeatState = { _tag: "Beating" }

/** Misses in a row so far. */
export const missed = (state: HeartbeatState): number => state._tag === "Beating" ? 0 : state.missed

/** Total; `Lost` is final. */
export const transition = (state: HeartbeatState, event: "beat" | "miss", maxMissed: number): HeartbeatState => {
  if (state._tag === "Lost") return state
  if (event === "beat") return initial
  const count = missed(state) + 1
  return count >= maxMissed ? { _tag: "Lost", missed: count } : { _tag: "Missing", missed: count }
}
