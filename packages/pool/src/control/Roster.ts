/**
 * What of a pool must survive a crash of what works on it: the queue, the calls in flight, the slots and their wires, the ledger.
 *
 * **Details**
 *
 * The Roster is the first child of its pool, above everything that uses it. It decides nothing: the Dispatcher applies events to it, and
 * while there is none (its supervisor is restarting it) events wait in the inbox. When the Roster itself goes, every open call is
 * ended with a typed error first.
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { CallError } from "../CallError.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import * as PoolEvent from "../PoolEvent.ts"
import type { Wire } from "../Wire.ts"
import type { WorkerSeat } from "../WorkerRuntime.ts"
import * as Dispatch from "./Dispatch.ts"

/** The caller's side of one call. All three are synchronous and must not throw. */
export interface Ticket {
  readonly payload: Uint8Array
  readonly item: (payload: Uint8Array) => void
  readonly complete: (payload: Uint8Array) => void
  readonly fail: (error: CallError) => void
}

/** The shared state of one pool. Single-threaded like the rest of the host, and changed by the Dispatcher alone. */
export interface Roster {
  readonly pool: string
  readonly config: PoolConfig
  readonly state: Dispatch.DispatchState
  readonly tickets: Map<number, Ticket>
  readonly wires: Map<number, Wire>
  readonly generations: Map<number, number>
  /** Watchdogs, by slot. */
  readonly overruns: Map<number, (tool: string) => void>
  /** Events that came while there was no Dispatcher. */
  readonly inbox: Array<Dispatch.Event>
  dispatcher: ((event: Dispatch.Event) => void) | undefined
  calls: number
}

export const make = (pool: string, config: PoolConfig): Roster => ({
  pool,
  config,
  state: Dispatch.make(pool, config),
  tickets: new Map(),
  wires: new Map(),
  generations: new Map(),
  overruns: new Map(),
  inbox: [],
  dispatcher: undefined,
  calls: 0
})

/** Hands an event to the Dispatcher, or keeps it for the next one. */
export const put = (roster: Roster, event: Dispatch.Event): void => {
  if (roster.dispatcher === undefined) roster.inbox.push(event)
  else roster.dispatcher(event)
}

/** The seat of one slot. Its sink talks to the current generation of the Roster; when there is none, nobody listens any more. */
export const seat = (
  pool: string,
  config: PoolConfig,
  name: RegisteredName.RegisteredName<Roster>,
  slot: number
): WorkerSeat => {
  const say = (event: Dispatch.Event) => name.current === undefined ? undefined : put(name.current, event)
  return {
    pool,
    slot,
    name: `${pool}/${slot}`,
    config,
    fill: () => {
      const generation = (name.current?.generations.get(slot) ?? -1) + 1
      name.current?.generations.set(slot, generation)
      return generation
    },
    sink: {
      attached: (wire) => {
        name.current?.wires.set(slot, wire)
        say(Dispatch.Event.Attached({ slot, tools: wire.tools }))
      },
      started: (id) => say(Dispatch.Event.Started({ slot, id })),
      item: (id, payload) => say(Dispatch.Event.Item({ slot, id, payload })),
      done: (id, payload) => say(Dispatch.Event.Done({ slot, id, payload })),
      failed: (id, failure) => say(Dispatch.Event.Failed({ slot, id, failure })),
      broken: () => say(Dispatch.Event.Broken({ slot })),
      detached: (reason) => {
        name.current?.wires.delete(slot)
        say(Dispatch.Event.Detached({ slot, reason }))
      }
    }
  }
}

/** Ends every open call; nothing is accepted afterwards. */
const close = (roster: Roster, because: string, now: number): void => {
  roster.dispatcher = undefined
  for (const event of [...roster.inbox.splice(0), Dispatch.Event.Close({ because })]) {
    for (const command of Dispatch.transition(roster.state, event, now)) {
      if (command._tag === "Fail") roster.tickets.get(command.id)?.fail(command.error)
      if (command._tag === "Complete") roster.tickets.get(command.id)?.complete(command.payload)
    }
  }
  roster.tickets.clear()
}

/** The Roster of a pool as a supervised child, registered under `name`. */
export const child = (pool: string, config: PoolConfig, name: RegisteredName.RegisteredName<Roster>) =>
  Child.make("roster", {
    plane: "control",
    start: Effect.gen(function*() {
      const roster = make(pool, config)
      yield* Effect.addFinalizer(() =>
        Effect.gen(function*() {
          close(roster, "the pool is stopping", yield* Clock.currentTimeMillis)
          yield* Event.emit(PoolEvent.pool_close, { ...roster.state.ledger }, { pool })
        })
      )
      yield* RegisteredName.register(name, roster)
      yield* Event.emit(PoolEvent.pool_open, { size: config.size }, { pool })
      return Effect.never
    })
  })
