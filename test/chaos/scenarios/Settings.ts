/** Settings that scenarios share, and what they look up in a host. */
import type { Event } from "snakepit"
import { type Host, type PoolSettings, until } from "../Host.ts"
import type * as Observer from "../Observer.ts"

/** A budget that no scenario spends: what dies is replaced, and nothing escalates. */
export const plenty: NonNullable<PoolSettings["restart"]> = {
  worker: { maxRestarts: 1000, within: "1 second" },
  fleet: { maxRestarts: 1000, within: "1 second" },
  pool: { maxRestarts: 1000, within: "1 second" }
}

/** Short enough that a stop which ends by SIGKILL takes little of a run. */
export const stopGrace = "300 millis"

/** The worker that runs the call of this id, by the journal; it must be there within ten seconds. */
export const workerOf = async (host: Host, id: number): Promise<Observer.Worker> => {
  const find = () => {
    const execution = host.journal().findLast((execution) => execution.id === id)
    return execution === undefined ? undefined : host.workers().find(({ pid }) => pid === execution.pid)
  }
  const found = await until(find, (worker) => worker !== undefined, 10_000)
  if (found === undefined) throw new Error(`no worker has begun call ${id} within 10 s`)
  return found
}

/** The first decision to replace something of this worker since then. */
export const replaced = async (
  host: Host,
  { pool, slot }: Observer.Worker,
  since: number,
  withinMillis: number
): Promise<Event.Event | undefined> =>
  until(
    () =>
      host.events().find(({ at, attributes, name }) =>
        at >= since && name.endsWith("_supervisor.restart") && attributes["pool"] === pool && attributes["slot"] === slot
      ),
    (event) => event !== undefined,
    withinMillis,
    20
  )
