/**
 * What a scripted pool needs of an application's Foundation: its session_store, supervised as there.
 */
import { RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import * as SessionStore from "../control/SessionStore.ts"
import type { PoolDirectory } from "../PoolDirectory.ts"

export const events = SupervisorEvent.of("foundation_supervisor", "foundation")

/** Starts it; it stops with the scope. */
export const start = (directory: PoolDirectory) =>
  Supervisor.start(Supervisor.make("foundation", {
    plane: "control",
    strategy: "rest_for_one",
    restart: RestartPolicy.make({ intensity: "unlimited" }),
    because: "as in an application, without what real processes need",
    limitBecause: "a test may kill its child as often as it likes",
    events,
    children: [SessionStore.child(directory)]
  }))
