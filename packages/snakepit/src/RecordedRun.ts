/** Puts a run into the history before its tree starts, and says what its supervisors are to remember of the runs before. */
import { DataFolder, type ProcessRegistry } from "@snakepit/bridge"
import * as HostPlace from "@snakepit/bridge/process/HostPlace"
import * as ProcessTable from "@snakepit/bridge/process/ProcessTable"
import { type Contract, Event, type RestartMemory, SupervisorError } from "@snakepit/core"
import { History, HistoryPlace, ResumedBudgets, type StartedTooOften, TelemetryEvent } from "@snakepit/telemetry"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { hostname } from "node:os"
import type { SnakepitConfig } from "./SnakepitConfig.ts"

/** By what a process is known again: a pid alone may be another's by now. Empty where the kernel does not say. */
const processOf = (pid: number): string => {
  const place = HostPlace.here()
  const seen = ProcessTable.look(pid)
  if (place === undefined || seen === undefined || seen.zombie) return ""
  return JSON.stringify({ bootId: place.bootId, pidNamespace: place.pidNamespace, pid, startTicks: seen.startTicks })
}

/** Whether the process of a run is still there. One of another boot or pid namespace is taken to be gone: a host's name is of one at a time. */
export const isAlive = (process: string): boolean => {
  if (process === "") return false
  const { pid } = JSON.parse(process) as { readonly pid: number }
  return processOf(pid) === process
}

/** Where the history of a configuration is. */
export const placeOf = (config: Pick<SnakepitConfig, "dataFolder" | "telemetry">): Effect.Effect<HistoryPlace.HistoryPlace> =>
  DataFolder.make(config.dataFolder).pipe(
    Effect.catch((failed) => Effect.succeed({ why: failed.message })),
    Effect.map((folder) => HistoryPlace.of(config.telemetry.history, folder))
  )

/** The start of the root is refused. */
export type Refused = SupervisorError.StartFailed<SupervisorError.Origin<"snakepit", StartedTooOften.StartedTooOften>>

/** Fails when the host has died more often than the budget of its root allows, where budgets are resumed. */
export const begin = (
  config: SnakepitConfig,
  { runId }: ProcessRegistry.Run,
  contract: Contract.Contract
): Effect.Effect<RestartMemory.RestartMemory, Refused, History.History> =>
  Effect.gen(function*() {
    const { history } = config.telemetry
    const place = yield* placeOf(config)
    const none: RestartMemory.RestartMemory = new Map()
    if (place._tag === "Nowhere") {
      if (history.record) yield* Event.emit(TelemetryEvent.history_off, {}, { cause: place.why })
      return none
    }
    const start = {
      id: runId,
      startedAt: yield* Clock.currentTimeMillis,
      host: history.host ?? `${hostname()}:${process.cwd()}`,
      process: processOf(process.pid),
      contract
    }
    const { memory, tell } = history.resumeBudgets
      ? yield* Effect.mapError(ResumedBudgets.resume(place, start, isAlive), (error): Refused =>
        new SupervisorError.StartFailed({ at: { path: "snakepit", error } }))
      : { memory: none, tell: Effect.void }
    yield* (yield* History.History).record({ config: history, place, start })
    yield* tell
    return memory
  })
