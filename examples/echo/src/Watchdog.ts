/** Tries the door from outside. A listener that is closed does not notice it: it is failed, through its supervisor, which counts it. */
import { Child, Supervisor } from "@snakepit/core"
import { Data, Effect, Schedule } from "effect"
import * as Client from "./Client.ts"

/** The listener runs, and nobody can connect. */
export class DoorClosed extends Data.TaggedError("DoorClosed") {
  override readonly message = "the listener runs, and nobody can connect"
}

export const child = Child.make("watchdog", {
  start: Effect.gen(function*() {
    const supervisor = yield* Supervisor.CurrentSupervisor
    const tried = Effect.scoped(Client.connect).pipe(
      Effect.catchTag("NobodyListens", () => supervisor.failChild("listener", new DoorClosed())),
      Effect.catchTag("NotRegistered", () => Effect.void), // it is being restarted
      Effect.orDie // the supervisor has a listener
    )
    return Effect.repeat(tried, Schedule.spaced("100 millis"))
  }),
  shutdown: "1 second"
})
