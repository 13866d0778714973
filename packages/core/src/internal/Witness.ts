/** Who sees every event that is made, in tests: see `testing/DeclaredEvents.ts`. Nobody, else. */
import type * as Event from "../Event.ts"

export type Witness = (declaration: Event.Declaration, event: Event.Event) => void

export let current: Witness | undefined

export const set = (witness: Witness | undefined): void => {
  current = witness
}
