/**
 * Waiting in a host that may itself be held up: by a long computation on its event loop, by SIGSTOP, by a laptop that was closed.
 *
 * After such a stall timers fire before anything that arrived meanwhile is read. A limit that was enforced then would punish others for
 * the host's own absence, so a wait here lets the event loop read once before it ends, and says how late it was woken: who judges by it
 * judges nothing when it was late, and looks again.
 */
import type { MonotonicClock } from "@snakepit/core"
import * as Effect from "effect/Effect"

/** 50 ms: more than a loaded machine delays a timer by, and less than anybody notices at the end of a limit. */
const lateMillis = 50

/** 8: a host that is late every time must still enforce its limits. */
const looks = 8

/** Ends after `millis`, once what has arrived by then is read; gives the milliseconds by which the host woke it late. */
export const wait = (clock: MonotonicClock.MonotonicClock, millis: number): Effect.Effect<number> =>
  Effect.suspend(() => {
    const due = clock.now() + millis
    return Effect.flatMap(Effect.sleep(millis), () => {
      const late = Math.max(0, clock.now() - due)
      return Effect.as(Effect.yieldNow, late) // by setImmediate: after the event loop has polled its sockets
    })
  })

/** Ends after `millis` of a host that was awake: woken late it waits again, so that what has arrived can be taken in first. */
export const punctual = (clock: MonotonicClock.MonotonicClock, millis: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let look = 0; look < looks; look++) if ((yield* wait(clock, millis)) < lateMillis) return
  })
