/** Two things that go wrong in production, done on purpose to workers that are at work. */
import { Effect, type Latch } from "effect"
import { EventLog } from "snakepit"

/** The pids of the workers that live, by slot, as telemetry tells them. */
const pids = Effect.gen(function*() {
  const log = yield* EventLog.EventLog
  const living = new Map<number, number>()
  for (const event of yield* log.recent("snakepit.process.*")) {
    const slot = Number(event.attributes["slot"])
    if (event.name === "snakepit.process.start") living.set(slot, Number(event.attributes["pid"]))
    else living.delete(slot)
  }
  return living
})

/** Sends `signal` to the worker of a slot once the latch opens. */
export const harm = Effect.fn("harm")(function*(when: Latch.Latch, slot: number, signal: "SIGKILL" | "SIGSTOP") {
  yield* when.await
  yield* Effect.sleep("100 millis") // into the middle of a fit
  const pid = (yield* pids).get(slot)
  if (pid !== undefined) yield* Effect.sync(() => process.kill(pid, signal))
  return pid
})
