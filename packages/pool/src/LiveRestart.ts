/** Restart limits that follow the configuration while a supervisor stands. */
import { Supervisor } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type { PoolConfig } from "./PoolConfig.ts"
import type { PoolEntry } from "./PoolDirectory.ts"

type Limits = PoolConfig["restart"][keyof PoolConfig["restart"]]

/**
 * The same supervisor, whose limits are those that `limitsOf` takes from the settings of its pool, whenever they change: the restarts that it has
 * counted stay counted.
 */
export const following = <T extends Supervisor.Any>(supervisor: T, entry: PoolEntry, limitsOf: (config: PoolConfig) => Limits): T => {
  const made: T = Supervisor.steered(supervisor, (running) =>
    entry.follow(Effect.gen(function*() {
      const { maxRestarts, within } = limitsOf(entry.config())
      const { intensity } = yield* running.tree
      if (Equal.equals(intensity, { maxRestarts, withinMillis: Duration.toMillis(within) })) return
      yield* running.change(Supervisor.withIntensity(made, { maxRestarts, within }) as never) // what runs, with another budget
    })))
  return made
}
