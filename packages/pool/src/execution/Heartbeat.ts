/**
 * Asks a worker at an interval whether it answers, on the stream that carries its calls, and tells its watchdog what came of it. It judges
 * nothing: without a watchdog, between two generations of it, a beat has no consequence.
 *
 * ```text
 *  ask ──────────── timeout / 2 ──────────── timeout ───────────── interval: ask again
 *    answered ─▶ tell     not yet ─▶ tell, look        missed ─▶ tell, look
 * ```
 */
import { Child, Event, Instrument, RegisteredName } from "@snakepit/core"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Roster } from "../control/Roster.ts"
import * as HostTimer from "../HostTimer.ts"
import * as PoolEvent from "../PoolEvent.ts"
import type { WorkerRuntime, WorkerSeat } from "../WorkerRuntime.ts"
import * as WorkerSeries from "./WorkerSeries.ts"

/** A quarter of the timeout: a beat whose timer came later than that measures the host, not the worker. */
export const lateShare = 0.25

/** 1 s: an interval of minutes that is made shorter applies about at once, and one of a second takes one timer. */
const lookMillis = 1000

/** The heartbeat of one worker. It is started after the channel, so there is a wire to ask. */
export const child = (seat: WorkerSeat, name: RegisteredName.RegisteredName<Roster>, usage: WorkerRuntime["usage"]) =>
  Child.make("heartbeat", {
    plane: "execution",
    start: Effect.gen(function*() {
      const roster = yield* Effect.orDie(RegisteredName.whereis(name))
      const { beats, clock, probes, watchdogs } = roster
      let heardAt = clock.now()
      WorkerSeries.begin(yield* Instrument.series, { seat, roster, usage, heardAt: () => heardAt })
      const about = { pool: seat.pool, slot: seat.slot, generation: seat.generation() }

      const ask = Effect.gen(function*() {
        const timeout = Duration.toMillis(seat.config.heartbeat.timeout)
        const half = HostTimer.wait(clock, timeout / 2).pipe(
          Effect.map((late) => late > timeout * lateShare ? "late" as const : "silent" as const)
        )
        const answer = yield* Deferred.make<void>()
        yield* Effect.forkScoped(
          Effect.andThen(probes.get(seat.slot) ?? Effect.never, Deferred.succeed(answer, undefined)),
          { startImmediately: true }
        )
        const answered = Effect.as(Deferred.await(answer), "answered" as const)
        const first = yield* Effect.raceFirst(answered, half)
        if (first === "answered") return "beat"
        watchdogs.get(seat.slot)?.heard("waiting", first === "late")
        const second = yield* Effect.raceFirst(answered, half)
        if (second === "answered") return "beat"
        return first === "late" || second === "late" ? "late" : "miss"
      }).pipe(Effect.scoped)

      /** Waits until the interval since `from` is over; one that was made shorter meanwhile, within a look. */
      const pause = Effect.fnUntraced(function*(from: number) {
        while (true) {
          const left = Duration.toMillis(seat.config.heartbeat.interval) - (clock.now() - from)
          if (left <= 0) return
          yield* Effect.sleep(Math.min(left, lookMillis))
        }
      })

      /** One beat; `missed` in a row before it, and after it. */
      const beat = Effect.fnUntraced(function*(missed: number) {
        const asked = clock.now()
        const outcome = yield* ask
        if (watchdogs.get(seat.slot)?.condemned === true) return yield* Effect.never
        if (outcome === "beat") {
          heardAt = clock.now()
          beats.latency.record((heardAt - asked) / 1000)
        }
        if (outcome === "miss") {
          beats.misses++
          yield* Event.emit(PoolEvent.heartbeat_miss, { missed: missed + 1 }, about)
        }
        if (outcome === "beat" && missed > 0) yield* Event.emit(PoolEvent.heartbeat_recover, { missed }, about)
        watchdogs.get(seat.slot)?.heard(outcome === "beat" ? "answered" : "missed", outcome === "late")
        if (outcome === "late") return missed // asked again at once: what a late host missed must not cost a frozen worker's calls a second more
        yield* pause(asked) // waiting for an answer is part of the interval
        return outcome === "beat" ? 0 : missed + 1
      })

      return Effect.gen(function*() {
        let missed = 0
        yield* pause(clock.now())
        while (true) missed = yield* beat(missed)
      })
    })
  })
