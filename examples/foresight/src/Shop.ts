/**
 * A web shop, as a tree that nothing of it runs for: what it promises is looked at before.
 *
 * ```text
 * shop             rest_for_one
 * ├─ storage       one_for_one    a database and its replica
 * │  ├─ primary
 * │  └─ replica
 * ├─ cache         holds rows of the database
 * └─ web           reads the cache
 * ```
 */
import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { type Duration, Effect } from "effect"

/** What can be chosen. */
export interface Limits {
  /** The window of the root. */
  readonly within: Duration.Input
  /** How long a request may take to end when the shop closes. */
  readonly lastRequest: Duration.Input
}

/** As it was first written: each number looks reasonable by itself. */
export const first: Limits = { within: "5 seconds", lastRequest: "25 seconds" }

/** As it is after the findings. */
export const mended: Limits = { within: "1 minute", lastRequest: "5 seconds" }

const runs = Effect.succeed(Effect.never)

export const make = ({ lastRequest, within }: Limits) =>
  Supervisor.make("shop", {
    plane: "control",
    strategy: "rest_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within } }),
    because: "the cache holds rows of the database, and the web reads the cache",
    limitBecause: "three restarts outlast one failover of the storage",
    events: SupervisorEvent.of("shop_supervisor", "root"),
    children: [
      Supervisor.make("storage", {
        plane: "control",
        strategy: "one_for_one",
        restart: RestartPolicy.make({ intensity: { maxRestarts: 5, within: "10 seconds" } }),
        because: "the replica answers while the primary is being restarted",
        limitBecause: "a failover of the primary takes up to five attempts; more of them in ten seconds is an outage",
        events: SupervisorEvent.of("storage_supervisor", "foundation"),
        children: [Child.make("primary", { start: runs }), Child.make("replica", { start: runs })]
      }),
      Child.make("cache", { start: runs }),
      Child.make("web", { start: runs, shutdown: lastRequest })
    ]
  })
