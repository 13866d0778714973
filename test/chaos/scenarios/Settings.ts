/** Settings that scenarios share, and what they look up in a host. */
import { check } from "../Check.ts"
import { type Host, type PoolSettings, until } from "../Host.ts"
import * as Observer from "../Observer.ts"

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

/** How a restart is told. */
export interface Restart {
  readonly at: number
  /** The tag of the error of its cause. */
  readonly tag: string
  readonly cause: string
}

/** The first decision since then to replace the process of this worker. */
export const replaced = async (
  host: Host,
  { pool, slot }: Observer.Worker,
  since: number,
  withinMillis: number
): Promise<Restart | undefined> => {
  const event = await until(
    () =>
      host.events().find(({ at, attributes, name }) =>
        at >= since && name === "snakepit.worker_supervisor.restart" && attributes["pool"] === pool && attributes["slot"] === slot &&
        attributes["child"] === "process"
      ),
    (event) => event !== undefined,
    withinMillis,
    20
  )
  const cause = String(event?.attributes["cause"])
  return event && { at: event.at, tag: cause.split(/[:\n]/)[0]!, cause }
}

/** Another process in the slot of this worker, and itself gone; both must be so within twenty seconds. */
export const successor = async (host: Host, worker: Observer.Worker): Promise<Observer.Worker> => {
  const alive = await until(() => Observer.isAlive(worker), (alive) => !alive, 20_000)
  check(!alive, () => `${worker.worker} was to be replaced, and its process ${worker.pid} is still there 20 s later`)
  const find = () => host.workers().find(({ pool, slot }) => pool === worker.pool && slot === worker.slot)
  const found = await until(find, (found) => found !== undefined && Observer.key(found) !== Observer.key(worker), 20_000)
  check(found !== undefined, () => `${worker.worker} has ended, and 20 s later no other process is in its slot`)
  return found
}
