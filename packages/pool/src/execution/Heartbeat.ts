/**
 * Asks a worker at an interval whether it answers, on the stream that carries its calls. A worker that misses too many beats in a row is
 * ended through its supervisor, which counts it and replaces the process.
 */
import { Child, Event, RegisteredName, Supervisor } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Roster } from "../control/Roster.ts"
import * as PoolEvent from "../PoolEvent.ts"
import { HeartbeatLost } from "../WorkerError.ts"
import type { WorkerSeat } from "../WorkerRuntime.ts"
import * as HeartbeatState from "./HeartbeatState.ts"

/** The heartbeat of one worker. It is started after the channel, so there is a wire to ask. */
export const child = (seat: WorkerSeat, roster: RegisteredName.RegisteredName<Roster>) =>
  Child.make("heartbeat", {
    plane: "execution",
    start: Effect.gen(function*() {
      const supervisor = yield* Supervisor.CurrentSupervisor
      const { probes } = yield* Effect.orDie(RegisteredName.whereis(roster))
      const { interval, maxMissed, timeout } = seat.config.heartbeat
      const about = { pool: seat.pool, slot: seat.slot }

      const beat = Effect.fnUntraced(function*(state: HeartbeatState.HeartbeatState) {
        const asked = yield* Clock.currentTimeMillis
        const probe = probes.get(seat.slot)
        const answer = probe === undefined ? Option.none() : yield* Effect.timeoutOption(probe, timeout)
        const next = HeartbeatState.transition(state, Option.isSome(answer) ? "beat" : "miss", maxMissed)
        const rest = Duration.toMillis(interval) - ((yield* Clock.currentTimeMillis) - asked)
        switch (next._tag) {
          case "Beating":
            if (state._tag === "Missing") yield* Event.emit(PoolEvent.heartbeat_recover, { missed: state.missed }, about)
            break
          case "Missing":
            yield* Event.emit(PoolEvent.heartbeat_miss, { missed: next.missed }, about)
            break
          case "Lost":
            yield* Event.emit(PoolEvent.heartbeat_lose, { missed: next.missed }, about)
            seat.sink.broken() // no further call for it while it is being stopped
            yield* supervisor.failChild(
              "process",
              new HeartbeatLost({ worker: seat.name, missed: next.missed, intervalMillis: Duration.toMillis(interval) })
            ).pipe(Effect.orDie)
            return yield* Effect.never
        }
        yield* Effect.sleep(Math.max(0, rest)) // waiting for an answer is part of the interval
        return next
      })

      return Effect.gen(function*() {
        let state = HeartbeatState.initial
        yield* Effect.sleep(interval)
        while (true) state = yield* beat(state)
      })
    })
  })
