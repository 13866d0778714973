/**
 * Which slot serves a session. Bounded: of the sessions that were used least recently the older half is forgotten at once, so that remembering
 * one costs a look-up and no reordering.
 */

/** 16,384, twice: the last so many sessions are known for certain; some 100 bytes each. */
const half = 16_384

export interface Binding {
  readonly slot: number
  /** Why its worker is gone, when it is. */
  lost: string | undefined
}

export interface Sessions {
  recent: Map<string, Binding>
  older: Map<string, Binding>
}

export const make = (): Sessions => ({ recent: new Map(), older: new Map() })

export const get = (sessions: Sessions, session: string): Binding | undefined => {
  const recent = sessions.recent.get(session)
  if (recent !== undefined) return recent
  const older = sessions.older.get(session)
  if (older !== undefined) set(sessions, session, older)
  return older
}

/** Binds a session to a slot. */
export const bind = (sessions: Sessions, session: string, slot: number): void => {
  const present = get(sessions, session)
  if (present?.slot !== slot || present.lost !== undefined) set(sessions, session, { slot, lost: undefined })
}

const set = (sessions: Sessions, session: string, binding: Binding): void => {
  sessions.older.delete(session)
  if (sessions.recent.size >= half && !sessions.recent.has(session)) {
    sessions.older = sessions.recent
    sessions.recent = new Map()
  }
  sessions.recent.set(session, binding)
}

export const forget = ({ older, recent }: Sessions, session: string): void => {
  recent.delete(session)
  older.delete(session)
}

/** The worker in `slot` is gone: forgets its sessions, or with `isTold` remembers why for their next calls. Gives how many they were. */
export const lose = (sessions: Sessions, slot: number, reason: string, isTold: boolean): number => {
  let count = 0
  for (const map of [sessions.recent, sessions.older]) {
    for (const [session, binding] of map) {
      if (binding.slot !== slot || binding.lost !== undefined) continue
      count++
      if (isTold) binding.lost = reason
      else map.delete(session)
    }
  }
  return count
}
