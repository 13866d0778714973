/** What ties the events of one call together, whatever becomes of it: made only where one is told. */

/** How the ids of a Roster's calls begin: no other Roster has the same. `now` in Unix milliseconds. */
export const markOf = (pool: string, now: number): string => `${pool}-${now.toString(36)}`

/** Of a call, by its number in the Roster: `default-mf3k2a9q-1c`. */
export const of = ({ mark }: { readonly mark: string }, call: number): string => `${mark}-${call.toString(36)}`
