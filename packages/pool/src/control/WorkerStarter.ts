/**
 * Brings a pool's workers into being: gives the fleet the places that the Roster wants and it lacks.
 *
 * ```text
 *  start   look at the fleet ─▶ give it what it lacks, all at once ─▶ all up: acknowledge
 *                                       │                              one that does not come up: fail with its error
 * ```
 *
 * **Details**
 *
 * A slot that the fleet has is left alone, whatever state it is in: its supervisor minds it. So a WorkerStarter that was restarted adopts
 * the workers as they are. Workers that come and go by plan are the Lifecycle's: this fills the places that serve. How many processes start at a time is the launch governor's matter (`WorkerSeat.governed`), not this file's.
 *
 * **Gotchas**
 *
 * A slot that was given and did not come up is forgotten by the fleet. One that an interrupted WorkerStarter has left starting is waited for,
 * and given again if it is forgotten.
 */
import { Child, Event, RegisteredName, SupervisorError, type Tree } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Fleet } from "../execution/FleetSupervisor.ts"
import type * as PerWorker from "../PerWorker.ts"
import * as PoolEvent from "../PoolEvent.ts"
import { BootFailed, ChannelLost, FleetLost, HandshakeFailed, PerWorkerFailed } from "../WorkerError.ts"
import * as Places from "./Places.ts"
import type { Roster } from "./Roster.ts"

/** What {@link child} takes. */
export interface Options {
  readonly pool: string
  readonly roster: RegisteredName.RegisteredName<Roster>
  readonly fleet: RegisteredName.RegisteredName<Fleet>
}

/** How a worker can fail to come up, `C` being the application's own children of it. */
export type Failure<C extends Child.Any> = BootFailed | HandshakeFailed | ChannelLost | FleetLost | PerWorker.StartErrorOf<C>

/** The starter of workers that have the children `C` beside their own. */
export type WorkerStarter<C extends Child.Any> = ReturnType<typeof child<C>>

export const child = <C extends Child.Any>({ fleet: fleetName, pool, roster: rosterName }: Options) =>
  Child.make("worker_starter", {
    plane: "control",
    start: Effect.gen(function*() {
      const fleet = yield* Effect.orDie(RegisteredName.whereis(fleetName))
      const { lifecycle } = yield* Effect.orDie(RegisteredName.whereis(rosterName))
      const wanted = () => lifecycle.places.filter(Places.isActive).map(({ slot }) => String(slot))
      const present = new Set((yield* fleet.tree).children.map(({ id }) => id))
      const failed = (error: unknown) => error as Failure<C> // the fleet's template has no other
      yield* Effect.mapError(fill(fleet, pool, wanted), failed)
      const given = wanted().filter((slot) => !present.has(slot)).length
      yield* Event.emit(PoolEvent.worker_starter_fill, { present: present.size, given }, { pool })
      return Effect.never
    })
  })

/** Returns when the fleet has every slot that is wanted, and those that were given to it have come up. */
const fill = Effect.fnUntraced(function*(fleet: Fleet, pool: string, wanted: () => ReadonlyArray<string>) {
  while (true) {
    const { children } = yield* fleet.tree
    const lacking = wanted().filter((slot) => !children.some(({ id }) => id === slot))
    yield* Effect.forEach(lacking, (slot) => give(fleet, pool, slot), { concurrency: "unbounded", discard: true })
    const isSettled = ({ children }: Tree.SupervisorNode) => !children.some((child) => isFirstStart(child) && wanted().includes(child.id))
    const settled = yield* Stream.runHead(Stream.filter(fleet.changes, isSettled))
    if (settled._tag === "None") return yield* lost(fleet, pool)
    if (wanted().every((slot) => settled.value.children.some(({ id }) => id === slot))) return
  }
})

/** It was given, and has not come up yet: it may still be forgotten. */
const isFirstStart = ({ generation, restarts, status }: Tree.ChildNode): boolean =>
  status === "starting" && generation === 0 && restarts === 0

/** Fails with what kept the worker from coming up, where it happened. */
const give = (fleet: Fleet, pool: string, slot: string): Effect.Effect<void, unknown> =>
  Effect.catchTags(fleet.startChild(slot), {
    ChildPresent: () => Effect.void, // somebody else has given it
    SupervisorStopping: () => lost(fleet, pool),
    MaxChildren: Effect.die,
    ChildStartFailed: ({ child, reason, supervisor }) => {
      if (reason._tag === "Defect") return Effect.die(reason.defect)
      if (reason._tag !== "Failed") return Effect.void // it was stopped on request
      if (!(reason.error instanceof SupervisorError.StartFailed)) return Effect.fail(reason.error)
      const { error, path }: SupervisorError.Origin<string, unknown> = reason.error.at
      const below = path.slice(`${supervisor}/${child}/`.length)
      return Effect.fail(isOwn(error) ? error : new PerWorkerFailed({ worker: `${pool}/${slot}`, child: below, error }))
    }
  }).pipe(Effect.asVoid)

/** Why there is no fleet any more. The pool replaces it, and this child with it, once this start is over. */
const lost = (fleet: Fleet, pool: string): Effect.Effect<never, FleetLost> =>
  Effect.matchEffect(fleet.life, {
    onFailure: ({ message }) => Effect.fail(new FleetLost({ pool, detail: message })),
    onSuccess: () => Effect.fail(new FleetLost({ pool, detail: "it was stopped" }))
  })

const isOwn = (error: unknown): boolean => error instanceof BootFailed || error instanceof HandshakeFailed || error instanceof ChannelLost
