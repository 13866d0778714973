/** Reads a policy's delays ahead of time: at once, outside of any supervisor, and with chance as a parameter. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { Backoff } from "../Contract.ts"
import type { ExitReason } from "../ExitReason.ts"
import * as RestartPolicy from "../RestartPolicy.ts"

/** The draws of one reading: all the lowest or all the highest there can be. `used` tells whether any delay depended on them. */
export interface Chance {
  readonly side: "lowest" | "highest"
  used: boolean
  /** After a delay that chance decided the schedule began anew: from there on a longer delay may lead to shorter ones. */
  beganAnew: boolean
}

export const chance = (side: Chance["side"]): Chance => ({ side, used: false, beganAnew: false })

/** Milliseconds, or that the schedule refuses, or that it does not answer at once. */
export type Reading = number | "refused" | "not known at once"

export type Reader = (now: number, exit: RestartPolicy.ChildExit) => Reading

export const reader = (policy: RestartPolicy.Any, chance: Chance): Reader => {
  const step = RestartPolicy.delayStep(policy)
  const random = randomOf(chance)
  let last = Number.NEGATIVE_INFINITY
  return (now, exit) => {
    if (chance.used && now - last >= policy.resetAfterMillis) chance.beganAnew = true
    last = now
    const answer = Effect.runSyncExit(Effect.provideService(step(now, exit), Random.Random, random))
    if (Exit.isSuccess(answer)) return answer.value
    return Option.isSome(Cause.findErrorOption(answer.cause)) ? "refused" : "not known at once"
  }
}

const randomOf = (chance: Chance): typeof Random.Random.Service => {
  const draw = (lowest: number, highest: number) => () => {
    chance.used = true
    return chance.side === "lowest" ? lowest : highest
  }
  return {
    nextIntUnsafe: draw(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    nextDoubleUnsafe: draw(0, 1 - Number.EPSILON / 2)
  }
}

/** How many restarts are looked ahead before "never" is the answer, beyond those that the limit allows. */
const lookAhead = 300 // twenty minutes and more of the default delay, read in a few milliseconds

export const horizonOf = ({ limit }: RestartPolicy.Any): number => lookAhead + (limit === "unlimited" ? 0 : limit.maxRestarts)

/** What is assumed to go wrong. */
export const assumed: ExitReason = { _tag: "Failed", error: new Error("it is assumed to fail") }

const shownDelays = 16 // 50 ms doubling to 5 s is steady at its eighth

/** What a contract says of the delays. A schedule that refuses, or does not answer at once, ends the list. */
export const backoffOf = (policy: RestartPolicy.Any): Backoff => ({
  lowestMillis: steps(policy, chance("lowest")),
  highestMillis: steps(policy, chance("highest")),
  resetAfterMillis: policy.resetAfterMillis
})

const steps = (policy: RestartPolicy.Any, chance: Chance): ReadonlyArray<number> => {
  const read = reader(policy, chance)
  const delays: Array<number> = []
  for (let now = 0; delays.length < shownDelays;) {
    const delay = read(now, { id: "", reason: assumed })
    if (typeof delay === "string") break
    delays.push(delay)
    now += Math.min(delay, policy.resetAfterMillis - 1) // a longer one would begin anew
  }
  const steady = delays.findLastIndex((delay, index) => delay !== delays[index - 1])
  return delays.slice(0, steady + 1)
}
