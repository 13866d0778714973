/** What every peer is made of: so many workers, a call that gives its 32 bytes back. */
import type { Closing } from "../Bench.ts"

/** Opens its workers; returns a call of the one with the fewest calls, or of whichever the peer's own dispatch takes. */
export type Peer = (closing: Closing, workers: number) => Promise<() => Promise<unknown>>

/** 32 bytes as text, for peers that carry text. */
export const text = "x".repeat(32)
