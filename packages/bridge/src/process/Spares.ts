/**
 * Processes that are ready, connected and without a slot: what a worker that died is replaced by without waiting.
 *
 * ```text
 *  start ─▶ launch ─▶ hands shaken ─▶ on the shelf ──┬─ taken: it ends with whoever took it
 *                                                    ├─ died:  off the shelf; its caller starts another
 *                                                    └─ its caller's scope closes: it is stopped
 * ```
 */
import { Event } from "@snakepit/core"
import type { WorkerError, WorkerRuntime } from "@snakepit/pool"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as BridgeEvent from "../BridgeEvent.ts"
import * as Connection from "../channel/Connection.ts"
import * as Session from "../channel/Session.ts"
import * as KernelEvidence from "./KernelEvidence.ts"
import * as Launch from "./Launch.ts"
import * as ReapedProcess from "./ReapedProcess.ts"

type Owner = ReapedProcess.Owner

/** One that waits. */
interface Waiting {
  /** Of the version that it was launched as. */
  readonly roll: number
  readonly launched: Launch.LaunchedProcess
  readonly session: Session.Session
  /** Its caller ends it. */
  readonly discard: () => void
  readonly taken: (worker: string, owner: Owner) => Scope.Closeable
}

/** The spares of one pool. */
export interface Spares {
  readonly shelf: Array<Waiting>
  readonly state: typeof KernelEvidence.state
}

export const make = (state: Spares["state"] = KernelEvidence.state): Spares => ({ shelf: [], state })

/** A spare that was taken. Whoever took it closes the scope. */
export interface Taken {
  readonly launched: Launch.LaunchedProcess
  readonly session: Session.Session
  readonly scope: Scope.Closeable
}

/** What cannot serve although nobody has told of its end. */
const useless: ReadonlySet<WorkerRuntime.Evidence["state"]> = new Set(["stopped", "zombie"])

const isGood = ({ launched, session }: Waiting, state: Spares["state"]): boolean => {
  if (launched.reaped.known.exit !== undefined || !session.isWhole) return false
  const seen = state(launched.pid)
  return seen === undefined || !useless.has(seen)
}

/**
 * Takes one that lives, oldest first, for a worker. Synchronous: two slots never get the same. It is `owner`'s from now on. One that was
 * stopped is no use: it is ended. Those of another version are left for others.
 */
export const take = ({ shelf, state }: Spares, roll: number, worker: string, owner: Owner): Taken | undefined => {
  for (let at = shelf.findIndex((spare) => spare.roll === roll); at >= 0; at = shelf.findIndex((spare) => spare.roll === roll)) {
    const [spare] = shelf.splice(at, 1) as [Waiting]
    if (isGood(spare, state)) return { launched: spare.launched, session: spare.session, scope: spare.taken(worker, owner) }
    spare.discard()
  }
  return undefined
}

/** Starts one and puts it on the shelf. */
export const start = Effect.fnUntraced(function*(spares: Spares, launcher: Launch.Launcher, open: Session.Open = Connection.open) {
  const { config, pool, python, roll } = launcher
  const worker = `${pool}/spare`
  const over = yield* Deferred.make<"taken" | "died">()
  let silent: WorkerError.HandshakeTimeout | undefined
  const caller: Owner = {
    told: ({ pid, ...end }) => Event.emit(BridgeEvent.spare_exit, {}, { pool, pid, ...ReapedProcess.facts(end) }),
    verdict: () => silent
  }
  let owner = caller
  const scope = yield* Effect.acquireRelease(
    Scope.make(),
    (scope) => owner === caller ? Scope.close(scope, Exit.void) : Effect.void
  )

  const launched = yield* Launch.launch(launcher, {
    worker,
    slot: "s",
    told: (end) => Effect.suspend(() => owner.told(end)),
    verdict: () => owner.verdict()
  }).pipe(Scope.provide(scope))
  const session = new Session.Session({ process: launched, config: () => config }, open)
  const stream = yield* session.prepare().pipe(
    Effect.tapErrorTag("HandshakeTimeout", (error) => Effect.sync(() => silent = error)),
    Effect.mapError((error) => ReapedProcess.bootFailed(worker, python.adapter, () => launched.reaped)("handshake", error.message)),
    Scope.provide(scope)
  )
  const spare: Waiting = {
    roll,
    launched,
    session,
    discard: () => void Deferred.doneUnsafe(over, Exit.succeed("died")),
    taken: (worker, taker) => {
      launched.reaped.fill(worker)
      session.outbox.say().rename(worker)
      owner = taker
      Deferred.doneUnsafe(over, Exit.succeed("taken"))
      return scope
    }
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => void spares.shelf.push(spare)),
    () =>
      Effect.sync(() => {
        const at = spares.shelf.indexOf(spare)
        if (at >= 0) spares.shelf.splice(at, 1)
      })
  )
  const ended = Effect.raceFirst(Deferred.await(launched.reaped.exited), Deferred.await(stream.broken))
  yield* Effect.forkScoped(Effect.tap(ended, () => Deferred.succeed(over, "died")))
  return { pid: launched.pid, gone: Deferred.await(over) } satisfies WorkerRuntime.Spare
})
