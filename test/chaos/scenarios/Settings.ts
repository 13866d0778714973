/** Settings that scenarios share, and what they look up in a host. */
import { check } from "../Check.ts"
import { type Host, type PoolSettings, until } from "../Host.ts"
import * as Ledger from "../Ledger.ts"
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

/** Of these workers the one that has begun the call of this id first, whether it lives or not. */
export const beganOn = (host: Host, id: number, workers: ReadonlyArray<Observer.Worker>): Observer.Worker => {
  const execution = host.journal().find((execution) => execution.id === id)
  const found = workers.find(({ pid }) => pid === execution?.pid)
  check(
    found !== undefined,
    () => `call ${id} ran on ${execution === undefined ? "no worker" : `pid ${execution.pid}`}, which is none of those that there were`
  )
  return found
}

/** How that call ended, and what its caller was told. */
export const outcomeOf = async (host: Host, id: number): Promise<{ readonly outcome: Ledger.Outcome; readonly cause: string }> => {
  const outcome = await host.ask("outcome", { id })
  const told = host.ledger().findLast((line) => Ledger.isTold(line) && line.id === id) as Ledger.Told
  return { outcome, cause: told.cause ?? "" }
}

/** How the host tells of the end of this worker; it must within ten seconds. */
export const exitOf = async (host: Host, { pid, worker }: Observer.Worker): Promise<{ readonly [attribute: string]: unknown }> => {
  const find = () => host.events().find(({ attributes, name }) => name === "snakepit.process.exit" && attributes["pid"] === pid)
  const event = await until(find, (event) => event !== undefined, 10_000)
  check(event !== undefined, () => `nothing was told of the end of ${worker}, pid ${pid}, within 10 s`)
  return event.attributes
}

/** The workers of a pool, when all of them are ready: one that is stopped while it starts is found by its startTimeout alone. */
export const allUp = async (host: Host, pool: string, size: number): Promise<ReadonlyArray<Observer.Worker>> => {
  const look = () => {
    const workers = host.workers().filter((worker) => worker.pool === pool)
    return { workers, starting: Observer.starting(workers, Observer.listening()) }
  }
  const { starting, workers } = await until(look, (now) => now.workers.length === size && now.starting.length === 0, 30_000, 20)
  check(
    workers.length === size && starting.length === 0,
    () => `after 30 s pool ${pool} has ${workers.length} workers of ${size}, and ${starting.length} of them are starting`
  )
  return workers
}

/** Workers by what cannot be another process. */
export const identities = (workers: ReadonlyArray<Observer.Worker>): string =>
  workers.map((worker) => `${worker.worker} ${Observer.key(worker)}`).toSorted().join(", ")

/** The calls of this pool, made after so many lines of the ledger, whose callers were not told of a result. */
export const notCompleted = (host: Host, pool: string, lines = 0): ReadonlyArray<Ledger.Told> => {
  const ledger = host.ledger()
  const ids = new Set(ledger.filter((line) => Ledger.isMade(line) && line.pool === pool).map((line) => (line as Ledger.Made).id))
  return ledger.slice(lines).filter(Ledger.isTold).filter(({ id, outcome }) => ids.has(id) && outcome !== "completed")
}

/** How a restart is told. */
export interface Restart {
  readonly at: number
  /** The tag of the error of its cause. */
  readonly tag: string
  readonly cause: string
}

/** The first decision since then to replace the process of this worker, for the reason of this tag if one is given. */
export const replaced = async (
  host: Host,
  { pool, slot }: Observer.Worker,
  since: number,
  withinMillis: number,
  tag = ""
): Promise<Restart | undefined> => {
  const event = await until(
    () =>
      host.events().find(({ at, attributes, name }) =>
        at >= since && name === "snakepit.worker_supervisor.restart" && attributes["pool"] === pool && attributes["slot"] === slot &&
        attributes["child"] === "process" && String(attributes["cause"]).startsWith(tag)
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
