/**
 * Sessions: something of a caller's that one worker remembers between calls.
 *
 * **When to use**
 *
 * A call that names a session in its options begins one, and that is enough for a warm cache. {@link open} one to begin it with data, to give it a
 * time to live of its own, or to end it when its work is done. {@link list}, {@link get} and {@link end} are for operators.
 *
 * **Details**
 *
 * A session belongs to one pool and ends when it has had no call for its time to live (`sessions.ttl`), when it is ended, or, with strict
 * affinity, with its worker. Python runs `on_session_start` before its first call on a worker and `on_session_end` at its end there; between the
 * two `snakepit.current().state` is its own. `docs/pool/sessions.md` tells the whole.
 *
 * **Example** (A notebook that ends with its scope)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 * import { Pool, Session } from "snakepit"
 *
 * class Notebook extends RpcGroup.make(Rpc.make("run", { payload: { cell: Schema.String }, success: Schema.String })) {}
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const session = yield* Session.open("default", { ttl: "10 minutes", data: { user: "ada" } })
 *   const notebook = yield* Pool.client(Notebook, { session: session.id })
 *   yield* notebook.run({ cell: "x = 1" })
 *   return yield* notebook.run({ cell: "x + 1" })
 * }))
 * ```
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Roster from "./control/Roster.ts"
import type { Refused } from "./control/SessionLife.ts"
import * as Sessions from "./control/Sessions.ts"
import * as Payload from "./Payload.ts"
import { entryOf, type PoolNotFound, Pools } from "./Pool.ts"
import type { PoolEntry } from "./PoolDirectory.ts"

/** A session could not be opened: its id is taken, there are too many, something of it does not fit, or its pool is down. */
export class SessionNotOpened extends Schema.TaggedError<SessionNotOpened>()("SessionNotOpened", {
  pool: Schema.String,
  session: Schema.String,
  reason: Schema.Literals(["taken", "full", "invalid", "down"]),
  detail: Schema.String
}) {
  override get message(): string {
    const next = {
      taken: "Open it under another id, or end that one first",
      full: "End sessions when they are over, shorten sessions.ttl, or raise sessions.maxSessions",
      invalid: "Correct its id or its data",
      down: "Open it when the pool is up again"
    }
    return `session "${this.session}" of pool "${this.pool}" was not opened: ${this.detail}. ${next[this.reason]}`
  }
}

/** 2^53: of ten thousand open at a time two are the same once in a hundred million times, and the second is then refused. */
const idSpace = 2 ** 53

/** What {@link open} may be given. */
export interface Options {
  /** At most 256 bytes. A random one by default. */
  readonly id?: string | undefined
  /** How long what a worker has of it stays without a call; by default the pool's `sessions.ttl`. */
  readonly ttl?: Duration.Input | undefined
  /** What `on_session_start` gets, on each worker that the session begins on: any value that a payload may hold, at most `maxPayload`. */
  readonly data?: unknown
}

/** A session that somebody holds open. */
export interface Session {
  readonly pool: string
  /** For `CallOptions.session`. */
  readonly id: string
  /**
   * Ends it, once: calls that wait fail with `SessionEnded`, those that run go on. Returns when its worker has run `on_session_end`, or after
   * `sessions.endTimeout`; the worker ends it in any case.
   */
  readonly end: Effect.Effect<void>
}

/**
 * Opens a session in a pool, which ends with the scope. No worker hears of it before its first call. It stays while it is held: when its time to live
 * is over, or its worker is gone, its next call begins it again on some worker, with the same data.
 */
export const open = (pool: string, options: Options = {}): Effect.Effect<
  Session,
  SessionNotOpened | PoolNotFound,
  Pools | Scope.Scope
> =>
  Effect.gen(function*() {
    const { codec } = yield* Pools
    const entry = yield* entryOf(pool)
    const id = options.id ?? `session-${Math.floor(idSpace * (yield* Random.next)).toString(36)}`
    const refused = ({ detail, reason }: Refused) => new SessionNotOpened({ pool, session: id, reason, detail })
    const encoded = yield* Effect.try({
      try: () => options.data === undefined ? undefined : Payload.whole(codec.encode(options.data)),
      catch: (thrown) => refused({ reason: "invalid", detail: `its data cannot be sent: ${String(thrown)}` })
    })
    const ttlMillis = options.ttl === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(options.ttl))
    const opening = Effect.callback<Sessions.Session, SessionNotOpened>((resume) => {
      const roster = entry.roster.current
      if (roster === undefined) return resume(Effect.fail(refused({ reason: "down", detail: entry.because() })))
      const told = (outcome: Sessions.Session | Refused) =>
        resume("reason" in outcome ? Effect.fail(refused(outcome)) : Effect.succeed(outcome))
      Roster.put(roster, { _tag: "OpenSession", session: { id, data: encoded, ttlMillis }, told })
    })
    const ended = Deferred.makeUnsafe<void>()
    let ending = false
    const endOf = (session: Sessions.Session) =>
      Effect.suspend(() => {
        if (!ending) {
          ending = true
          tell(entry, session, () => Deferred.doneUnsafe(ended, Exit.void))
        }
        return wait(entry, Deferred.await(ended))
      })
    const session = yield* Effect.acquireRelease(opening, endOf)
    return { pool, id, end: endOf(session) }
  })

/** A session, for operators. */
export const Info = Schema.Struct({
  pool: Schema.String,
  id: Schema.String,
  /** This and `usedAt` in Unix milliseconds. */
  createdAt: Schema.Finite,
  usedAt: Schema.Finite,
  /** How long it stays without a call. */
  ttlMillis: Schema.Finite,
  /** Calls that are not over. */
  calls: Schema.Int,
  /** Somebody holds it open. */
  opened: Schema.Boolean,
  /** The worker that serves it, `default/3`, or has served it last when it is lost. */
  worker: Schema.optionalKey(Schema.String),
  /** Why its worker is gone, when its next call is told so. */
  lost: Schema.optionalKey(Schema.String)
})
export type Info = typeof Info.Type

/** The sessions of a pool, in the order in which they began. */
export const list = (pool: string): Effect.Effect<ReadonlyArray<Info>, PoolNotFound, Pools> =>
  Effect.map(entryOf(pool), (entry) => {
    const roster = rosterOf(entry)
    return roster === undefined ? [] : [...roster.state.sessions.byId.values()].flatMap((session) => info(roster, session) ?? [])
  })

/** One session; `undefined` when there is none, or its time is over. */
export const get = (pool: string, id: string): Effect.Effect<Info | undefined, PoolNotFound, Pools> =>
  Effect.map(entryOf(pool), (entry) => {
    const roster = rosterOf(entry)
    const session = roster?.state.sessions.byId.get(id)
    return session && info(roster!, session)
  })

/** Ends a session, whoever holds it. Says whether there was one, when its worker has run `on_session_end`, or after `sessions.endTimeout`. */
export const end = (pool: string, id: string): Effect.Effect<boolean, PoolNotFound, Pools> =>
  Effect.flatMap(entryOf(pool), (entry) =>
    Effect.suspend(() => {
      const session = rosterOf(entry)?.state.sessions.byId.get(id)
      if (session === undefined) return Effect.succeed(false)
      const ended = Effect.callback<void>((resume) => tell(entry, session, () => resume(Effect.void)))
      return Effect.as(wait(entry, ended), true)
    }))

/** Also of a pool that is down: its sessions are known still. */
const rosterOf = ({ roster }: PoolEntry): Roster.Roster | undefined => roster.current ?? roster.latest

const tell = (entry: PoolEntry, session: Sessions.Session, told: () => void): void =>
  Roster.put(rosterOf(entry)!, { _tag: "EndSession", session, told })

const wait = (entry: PoolEntry, ended: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.asVoid(Effect.timeoutOption(ended, entry.config().sessions.endTimeout))

const info = ({ clock, pool, state }: Roster.Roster, session: Sessions.Session): Info | undefined => {
  const { calls, createdAt, id, lost, opened, slot, ttlMillis = state.limits.sessionTtl, usedAt } = session
  if (!opened && Sessions.isExpired(session, clock.now(), state.limits.sessionTtl)) return undefined
  return {
    pool,
    id,
    createdAt,
    usedAt,
    ttlMillis,
    calls,
    opened,
    ...(slot >= 0 && { worker: `${pool}/${slot}` }),
    ...(lost !== undefined && { lost })
  }
}
