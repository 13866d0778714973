/**
 * A restart policy as people write it on a command line, and as a review recommends it.
 *
 * **Example** (Reading and writing)
 *
 * ```ts
 * import { Policy } from "@snakepit/telemetry"
 *
 * const policy = Policy.parse("5 in 10 seconds, delay 20 millis doubling to 1 second")
 * Policy.describe(policy) // => "5 in 10 seconds, delay 20 millis doubling to 1 second"
 * ```
 */
import { type Contract, RestartPolicy } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

/** At most `maxRestarts` restarts within any `withinMillis`. */
export const Limit = Schema.Struct({ maxRestarts: Schema.Int, withinMillis: Schema.Finite })

/** The delay before the first restart, doubling up to the cap; constant when both are the same. Milliseconds. */
export const Delay = Schema.Struct({ firstMillis: Schema.Finite, capMillis: Schema.Finite })

/** A policy; without a `delay` it keeps the one that the supervisor has. */
export const Policy = Schema.Struct({
  limit: Schema.Union([Limit, Schema.Literal("unlimited")]),
  delay: Schema.UndefinedOr(Delay)
})
export type Policy = typeof Policy.Type
export type Delay = typeof Delay.Type

/** The text is no policy. */
export class PolicyUnreadable extends Schema.TaggedError<PolicyUnreadable>()("PolicyUnreadable", { text: Schema.String }) {
  override get message(): string {
    return `"${this.text}" is no restart policy. Say how often in what time, as "5 in 10 seconds", or "unlimited"; ` +
      `and the delays if they shall change too: "5 in 10 seconds, delay 50 millis doubling to 5 seconds", "…, delay 1 second"`
  }
}

const shape = /^\s*(?:(unlimited)|(\d+)\s+in\s+([^,]+?))\s*(?:,\s*delay\s+([^,]+?)(?:\s+doubling\s+to\s+([^,]+?))?)?\s*$/

/** Reads a policy. Throws a {@link PolicyUnreadable}. */
export const parse = (text: string): Policy => {
  const [, unlimited, count, within, first, cap] = shape.exec(text) ?? refuse(text)
  const millis = (duration: string | undefined): number => {
    const read = Option.map(Duration.fromInput(duration as Duration.Input), Duration.toMillis)
    return Option.isSome(read) && Number.isFinite(read.value) && read.value >= 0 ? read.value : refuse(text)
  }
  const withinMillis = unlimited === undefined ? millis(within) : 0
  if (unlimited === undefined && withinMillis === 0) refuse(text)
  return {
    limit: unlimited === undefined ? { maxRestarts: Number(count), withinMillis } : "unlimited",
    delay: first === undefined ? undefined : { firstMillis: millis(first), capMillis: millis(cap ?? first) }
  }
}

const refuse = (text: string): never => {
  throw new PolicyUnreadable({ text })
}

/** The text that {@link parse} reads. */
export const describe = ({ delay, limit }: Policy): string => {
  const often = limit === "unlimited" ? "unlimited" : `${limit.maxRestarts} in ${durationText(limit.withinMillis)}`
  if (delay === undefined) return often
  const doubling = delay.capMillis === delay.firstMillis ? "" : ` doubling to ${durationText(delay.capMillis)}`
  return `${often}, delay ${durationText(delay.firstMillis)}${doubling}`
}

const units = [[3_600_000, "hour"], [60_000, "minute"], [1000, "second"]] as const

/** Milliseconds in the greatest unit that divides them: `"10 seconds"`, `"1 minute"`, `"350 millis"`. */
export const durationText = (millis: number): string => {
  const [size, unit] = units.find(([size]) => millis >= size && millis % size === 0) ?? [1, "milli"]
  return `${millis / size} ${unit}${millis === size ? "" : "s"}`
}

/** What the supervisor of a contract has: its limit; its delays in the middle of what chance allows. */
export const ofContract = ({ intensity }: Contract.Contract): Policy => ({ limit: intensity, delay: undefined })

/** The delay before each restart in a row, in milliseconds; the last one goes on. */
export const delaysOf = (policy: Policy, { lowestMillis, highestMillis }: Contract.Backoff): ReadonlyArray<number> => {
  const { delay } = policy
  if (delay === undefined) {
    const middle = lowestMillis.map((lowest, index) => (lowest + (highestMillis[index] ?? lowest)) / 2)
    return middle.length === 0 ? [0] : middle
  }
  const delays = [delay.firstMillis]
  while (delays.at(-1)! > 0 && delays.at(-1)! < delay.capMillis) delays.push(Math.min(delay.capMillis, delays.at(-1)! * 2))
  return delays
}

/** The policy for a simulation, in the place of the one that a contract tells. */
export const toRestartPolicy = (policy: Policy, contract: Contract.Contract): RestartPolicy.Any => {
  const { limit } = policy
  const delays = delaysOf(policy, contract.backoff)
  return RestartPolicy.make({
    intensity: limit === "unlimited" ? limit : { maxRestarts: limit.maxRestarts, within: Duration.millis(limit.withinMillis) },
    delay: Schedule.fromStep(Effect.sync(() => {
      let asked = 0
      return () => Exit.succeed<[void, Duration.Duration]>([undefined, Duration.millis(delays[Math.min(asked++, delays.length - 1)]!)])
    })),
    resetAfter: Duration.millis(contract.backoff.resetAfterMillis)
  })
}
