/**
 * The sessions of one pool: which there are, and which worker serves each. Plain data that outlives the pool's Roster, so that a session whose
 * worker went down with its pool is told so.
 */

/** One session. It is bound while `slot` is one and `lost` says nothing. */
export interface Session {
  readonly id: string
  /** What its hooks get, encoded. */
  readonly data: Uint8Array | undefined
  /** `undefined`: the pool's. */
  readonly ttlMillis: number | undefined
  /** Somebody holds it open: its time to live ends what its worker has of it, not the session. */
  readonly opened: boolean
  /** This and `usedAt` on the Roster's clock. */
  readonly createdAt: number
  usedAt: number
  /** Calls that are not over. */
  calls: number
  /** Where it is served; -1: nowhere yet. */
  slot: number
  /** Why its worker is gone, when its next call is to be told so. */
  lost: string | undefined
  /** The number of the end that its worker, which is to go as planned, has still to confirm: until then it goes nowhere else, and its calls wait. */
  moves: number | undefined
  /** A call of it was told that its worker is to go. */
  told: boolean
  /** How often it has begun on a worker. */
  starts: number
  /** It has ended: calls that it still has are not tried again. */
  over: boolean
}

/** The end of a session on a worker that has not confirmed it yet. */
export interface Ending {
  readonly slot: number
  readonly session: string
  /** Who waits for it. */
  readonly told: (() => void) | undefined
}

export interface Sessions {
  readonly byId: Map<string, Session>
  /** By number. */
  readonly endings: Map<number, Ending>
  /** Counts them. */
  ends: number
  /** It was told that there are many, and there still are. */
  warned: boolean
}

export const make = (): Sessions => ({ byId: new Map(), endings: new Map(), ends: 0, warned: false })

/** What `maxSessions` bounds: those that are, and those that a worker still has something of. */
export const count = ({ byId, endings }: Sessions): number => byId.size + endings.size

/** What {@link add} takes. */
export interface Begin extends Pick<Session, "id" | "data" | "ttlMillis" | "opened"> {
  readonly at: number
}

export const add = ({ byId }: Sessions, { at, data, id, opened, ttlMillis }: Begin): Session => {
  const session: Session = {
    id,
    data,
    ttlMillis,
    opened,
    createdAt: at,
    usedAt: at,
    calls: 0,
    slot: -1,
    lost: undefined,
    moves: undefined,
    told: false,
    starts: 0,
    over: false
  }
  byId.set(id, session)
  return session
}

/** Whether it has not been used for its time to live, `ttlMillis` being the pool's. A session with a call is in use. */
export const isExpired = (session: Session, now: number, ttlMillis: number): boolean =>
  session.calls === 0 && now - session.usedAt >= (session.ttlMillis ?? ttlMillis)

/** Whether some worker serves it. */
export const isBound = ({ lost, slot }: Session): boolean => slot >= 0 && lost === undefined

/** It is served nowhere, and nobody is to be told why. */
export const unbind = (session: Session): void => {
  session.slot = -1
  session.lost = undefined
  session.moves = undefined
  session.told = false
}
