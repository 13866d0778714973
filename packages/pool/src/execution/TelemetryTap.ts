/**
 * What one worker tells beside its results, on its way to whoever takes it in: says what it is to tell, and how much it may say.
 *
 * ```text
 *  settings, 256 records of credit ─▶ worker ─▶ records, what it dropped ─▶ stamped, with the ids of calls ─▶ the port
 *         ▲ half of it is used, and the port has room ─────────────────────────┘
 * ```
 *
 * Without it a worker uses up its credit, keeps what it has room for, and counts the rest: no call is touched.
 */
import { Child, RegisteredName } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as CorrelationId from "../control/CorrelationId.ts"
import * as Roster from "../control/Roster.ts"
import type { PoolEntry } from "../PoolDirectory.ts"
import type { Wire } from "../Wire.ts"
import type { Dropped, TelemetryPort, Told, WireRecord, WireTelemetry } from "../WireTelemetry.ts"
import type { WorkerSeat } from "../WorkerRuntime.ts"

/** Records that a worker may send ahead. 256: four of its batches, so that it need not wait for one to be taken in. */
export const window = 256

/** The telemetry of the worker that is attached in a place. */
export interface Line {
  readonly control: Wire["telemetry"]
  /** Its tap, while there is one. */
  hear: ((telemetry: WireTelemetry) => void) | undefined
  /** Records that came while there was none. */
  missed: number
}

/** The tap of one worker. It is started after the channel, so there is a line. */
export const child = (seat: WorkerSeat, entry: PoolEntry, port: TelemetryPort) =>
  Child.make("telemetry_tap", {
    plane: "execution",
    start: Effect.gen(function*() {
      const roster = yield* Effect.orDie(RegisteredName.whereis(entry.roster))
      const { generations, telemetry } = roster
      const clock = yield* Clock.Clock
      const { pool, slot } = seat
      const line = telemetry.get(slot)
      if (line === undefined) return Effect.never // its channel has gone meanwhile, and takes this one along
      const low = Latch.makeUnsafe(true)
      let left = 0

      const hear = ({ dropped, records }: WireTelemetry) => {
        // what was under way when credit was given anew came on top of that
        const taken = records.slice(0, Math.max(0, left + window))
        const teller = { pool, slot, generation: generations.get(slot) ?? 0 }
        port.take(teller, stamped(taken, clock, roster), [...dropped, ...lost("credit", records.length - taken.length)])
        left -= taken.length
        if (left <= window / 2) low.openUnsafe()
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          line.hear = hear
        }),
        () =>
          Effect.sync(() => {
            if (line.hear === hear) line.hear = undefined
          })
      )
      hear({ records: [], dropped: lost("tap", line.missed) })
      line.missed = 0

      const apply = () => line.control(entry.telemetry.of(slot, seat.config.telemetry), Math.max(0, left))
      yield* Effect.acquireRelease(Effect.sync(() => entry.telemetry.listen(apply)), (leave) => Effect.sync(leave))
      apply()

      return Effect.forever(Effect.gen(function*() {
        yield* low.await
        yield* port.room
        low.closeUnsafe()
        left = window
        line.control(undefined, window)
      }))
    })
  })

const lost = (reason: string, records: number): ReadonlyArray<Dropped> => records > 0 ? [{ reason, records }] : []

const stamped = (records: ReadonlyArray<WireRecord>, clock: Clock.Clock, roster: Roster.Roster): ReadonlyArray<Told> => {
  const now = Number(clock.currentTimeNanosUnsafe() / 1000n) / 1000
  return records.map(({ ageMillis, call, ...record }) => ({
    ...record,
    at: now - ageMillis,
    correlationId: call === 0 ? undefined : CorrelationId.of(roster, Roster.callOf(call))
  }))
}
