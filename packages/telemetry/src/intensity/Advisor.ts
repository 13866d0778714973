/**
 * Which limit and which delays fit the load that a supervisor has really seen.
 *
 * **Details**
 *
 * Of a supervisor's crash trains the *transient* passed by themselves: giving up over one would be a false escalation. The *hopeless* did not:
 * giving up is right, and the sooner the better. Open ones say nothing (`CrashTrain.Kind`).
 *
 * A policy is estimated by going through the trains under it. A child that ended waits for the policy's delay. Its next life lasts as long as
 * its next recorded one; starts that were refused go on being refused for as long as they were recorded to be. Of a transient train that
 * gives the most exits that any window holds, its *load*: above `maxRestarts` it is a false escalation. Of a hopeless one, whose lives go on
 * as they were, again and again, it gives the time from the first exit until the policy gives up. One that does not give up finds it when
 * somebody mends it unasked: at the end of the train, but not before ten minutes if the record shows only when somebody was told.
 *
 * The share of trains that escalate falsely is the mean of two estimates, so that a limit is not fitted to the very trains that were seen:
 * the share of them whose load is above the limit, and what that share would be if the loads of more than one exit were geometric, as they
 * are when each restart fails with the same chance.
 *
 * The hopeless trains are those that were seen, and as if they had lived a quarter as long or four times; and, beside them, as much as one
 * more, imagined: a child that dies at once, or after 20 ms up to 3 s, each time, until it is mended ten minutes later.
 *
 * Recommended is, among {@link candidates}, the policy that costs least: the time by which it finds all these later than the present one does,
 * and for each expected false escalation the *patience*, which is how much later a hopeless child may be found to spare one. Sooner is no
 * credit: what one child gains does not pay for another. With a patience of 0 none of them is found later than now.
 *
 * A burst that will pass and the beginning of a hopeless train look the same for some seconds. What it costs to tell them apart is in each
 * {@link Estimate}.
 *
 * Sources: https://www.erlang.org/doc/system/sup_princ.html ("Tuning the Intensity and Period") plans for bursts and for a sustained rate
 * apart; that a limit is chosen as the quantile of an observed load with a smoothed tail is the practice of extreme values: the excess over
 * a threshold is taken to be geometric, the discrete form of the exponential.
 */
import type { Contract } from "@snakepit/core"
import type * as Intensity from "@snakepit/core/Intensity"
import type { CrashTrain, Trains } from "./CrashTrain.ts"
import * as Policy from "./Policy.ts"
import * as Words from "./Words.ts"

/** Fewer transient trains say nothing: with 5, one more changes the share of false escalations by less than a fifth. */
export const fewestTrains = 5

/** What a policy would have come to. */
export interface Estimate {
  readonly policy: Policy.Policy
  /** Of one transient train, from 0 to 1, smoothed; and how many of those that were seen. */
  readonly falseShare: number
  readonly falseSeen: number
  /** Milliseconds from the first exit of a hopeless train to giving up, or to being mended: on average and in the slowest case. */
  readonly detectionMeanMillis: number
  readonly detectionWorstMillis: number
}

/** How much later a hopeless child may be found to spare one false escalation: 20 s, sooner than anybody comes whom it calls. */
export const defaultPatienceMillis = 20_000

/** What is advised for one supervisor. */
export type Advice =
  | { readonly _tag: "TooFew"; readonly trains: number; readonly needed: number }
  | { readonly _tag: "Keep"; readonly present: Estimate }
  | { readonly _tag: "Change"; readonly present: Estimate; readonly recommended: Estimate }
  | { readonly _tag: "Unlimited" }

/** One child's part in a train: when it ended first, in milliseconds from the train's beginning, and what its next starts met. */
interface Part {
  readonly firstAt: number
  readonly meets: ReadonlyArray<Meets>
}

/** A life of so many milliseconds, or starts that were refused, for so many milliseconds from the end before them on. */
type Meets = { readonly lives: number } | { readonly refusedFor: number }

/** A train, ready to be gone through under any policy. */
interface Case {
  readonly parts: ReadonlyArray<Part>
  readonly lastsMillis: number
}

const mendedMillis = 600_000 // ten minutes until somebody mends what nobody was told of

/** Of a train that was told of, nobody knows how long it would have lasted otherwise. */
const caseOf = ({ endedAt, exits, gaveUp, recovered, startedAt }: CrashTrain): Case => {
  const wasTold = gaveUp.length > 0 || !recovered
  const parts = new Map<string, { firstAt: number; lastAt: number; refusedSince: number | undefined; meets: Array<Meets> }>()
  for (const { at, child, stage, upMillis } of exits) {
    const known = parts.get(child)
    if (known === undefined) {
      parts.set(child, { firstAt: at - startedAt, lastAt: at, refusedSince: undefined, meets: [] })
      continue
    }
    if (stage === "running") {
      known.meets.push({ lives: upMillis })
      known.refusedSince = undefined
    } else {
      if (known.refusedSince !== undefined) known.meets.pop() // the same refusal, longer
      known.refusedSince ??= known.lastAt
      known.meets.push({ refusedFor: at - known.refusedSince })
    }
    known.lastAt = at
  }
  return { parts: [...parts.values()], lastsMillis: Math.max(endedAt - startedAt, wasTold ? mendedMillis : 0) }
}

/** A hopeless train, and for how many it stands. */
interface Weighed {
  readonly train: Case
  readonly weight: number
}

const mostHopeless = 8 // the last ones: more of a kind add time, and nothing to learn
const paces = [0.25, 1, 4] // the next hopeless child may live otherwise
const imaginedLives = [0, 20, 100, 300, 1000, 3000] // milliseconds: from a bad configuration to a program that loads and then meets it
const imagined: ReadonlyArray<Case> = imaginedLives.map((lives) => ({
  parts: [{ firstAt: 0, meets: [{ lives }] }],
  lastsMillis: mendedMillis
}))

const atPace = ({ lastsMillis, parts }: Case, pace: number): Case => ({
  parts: parts.map(({ firstAt, meets }) => ({
    firstAt,
    meets: meets.map((met) => "lives" in met ? { lives: met.lives * pace } : met)
  })),
  lastsMillis
})

const second = 1000
const limits = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40]
const windows = [1, 2, 5, 10, 15, 30, 60, 120, 300].map((seconds) => seconds * second)
const delays: ReadonlyArray<Policy.Delay | undefined> = [
  undefined, // as it is
  ...[10, 20, 50, 100].flatMap((firstMillis) => [firstMillis, second].map((capMillis) => ({ firstMillis, capMillis })))
]

/** The policies that are looked at: 1 to 40 restarts in 1 second to 5 minutes, with the present delays, constant ones and doubling ones. */
export const candidates: ReadonlyArray<Policy.Policy> = delays.flatMap((delay) =>
  limits.flatMap((maxRestarts) => windows.map((withinMillis) => ({ limit: { maxRestarts, withinMillis }, delay })))
)

/** Advises on the trains of one supervisor. */
export const advise = (
  { contract, trains }: Pick<Trains, "contract" | "trains">,
  patienceMillis: number = defaultPatienceMillis
): Advice => {
  if (contract.intensity === "unlimited") return { _tag: "Unlimited" }
  const transient = trains.filter(({ kind }) => kind === "transient").map(caseOf)
  if (transient.length < fewestTrains) return { _tag: "TooFew", trains: transient.length, needed: fewestTrains }
  const known = trains.filter(({ kind }) => kind === "hopeless")
  const seen = known.slice(-mostHopeless).map(caseOf).filter(({ parts }) => parts.some(({ meets }) => meets.length > 0))
  const hopeless: ReadonlyArray<Weighed> = [
    ...seen.flatMap((train) => paces.map((pace) => ({ train: atPace(train, pace), weight: known.length / seen.length / paces.length }))),
    ...imagined.map((train) => ({ train, weight: 1 / imagined.length }))
  ]
  const estimate = estimator(contract, transient, hopeless)
  const present = estimate(Policy.ofContract(contract))
  const costOf = ({ detected, estimate }: Tried): number =>
    estimate.falseShare * transient.length * patienceMillis +
    hopeless.reduce((sum, { weight }, index) => sum + weight * Math.max(0, detected[index]! - present.detected[index]!), 0)
  const { estimate: recommended } = candidates.map(estimate).map((tried) => ({ ...tried, cost: costOf(tried) }))
    .reduce(better, { ...present, cost: costOf(present) })
  const finds = recommended.detectionMeanMillis < present.estimate.detectionMeanMillis / 2
  return finds || present.estimate.falseShare - recommended.falseShare > indistinct
    ? { _tag: "Change", present: present.estimate, recommended }
    : { _tag: "Keep", present: present.estimate }
}

const indistinct = 0.01 // of the trains: a hundred of them cannot show a smaller difference

interface Tried {
  readonly estimate: Estimate
  /** Milliseconds until it gave up over each hopeless train. */
  readonly detected: ReadonlyArray<number>
}

interface Costed extends Tried {
  readonly cost: number
}

/** The cheaper; else the one with fewer false escalations; else the sooner. */
const better = (best: Costed, tried: Costed): Costed => {
  const less = best.cost - tried.cost || best.estimate.falseShare - tried.estimate.falseShare ||
    best.estimate.detectionMeanMillis - tried.estimate.detectionMeanMillis
  return less > 0 ? tried : best
}

const estimator = (contract: Contract.Contract, transient: ReadonlyArray<Case>, hopeless: ReadonlyArray<Weighed>) => {
  const weights = hopeless.reduce((sum, { weight }) => sum + weight, 0)
  const { resetAfterMillis } = contract.backoff
  const exits = remembering((_: string, delays: ReadonlyArray<number>) => ({
    transient: transient.map((train) => exitsOf(train, delays, resetAfterMillis, false)),
    hopeless: hopeless.map(({ train }) => exitsOf(train, delays, resetAfterMillis, true))
  }))
  const loads = remembering((_: string, trains: ReadonlyArray<ReadonlyArray<number>>, withinMillis: number) =>
    trains.map((times) => loadOf(times, withinMillis))
  )
  return (policy: Policy.Policy): Tried => {
    const { maxRestarts, withinMillis } = policy.limit as Intensity.Limit // candidates have one, and so has who is advised
    const delays = Policy.delaysOf(policy, contract.backoff)
    const key = delays.join(" ")
    const times = exits(key, delays)
    const detected = times.hopeless.map((times, index) =>
      detectionOf(times, hopeless[index]!.train.lastsMillis, { maxRestarts, withinMillis })
    )
    const loaded = loads(`${withinMillis} ${key}`, times.transient, withinMillis)
    const falseSeen = loaded.filter((load) => load > maxRestarts).length
    return {
      detected,
      estimate: {
        policy,
        falseShare: (falseSeen / loaded.length + tailOf(loaded, maxRestarts)) / 2,
        falseSeen,
        detectionMeanMillis: detected.reduce((sum, millis, index) => sum + millis * hopeless[index]!.weight, 0) / weights,
        detectionWorstMillis: Math.max(...detected)
      }
    }
  }
}

/** Many candidates have the same delays, and many of those the same window. */
const remembering = <Args extends ReadonlyArray<unknown>, A>(make: (key: string, ...args: Args) => A) => {
  const known = new Map<string, A>()
  return (key: string, ...args: Args): A => {
    const made = known.get(key) ?? make(key, ...args)
    known.set(key, made)
    return made
  }
}

/** The share of loads above a limit, if those above 1 are geometric. */
const tailOf = (loads: ReadonlyArray<number>, maxRestarts: number): number => {
  const bursts = loads.filter((load) => load > 1)
  if (bursts.length === 0) return 0
  const mean = bursts.reduce((sum, load) => sum + load, 0) / bursts.length
  return (bursts.length / loads.length) * ((mean - 2) / (mean - 1)) ** Math.max(0, maxRestarts - 1)
}

/** The most of some exits that any window holds: if the supervisor never gives up. */
const loadOf = (times: ReadonlyArray<number>, withinMillis: number): number => {
  let oldest = 0
  let most = 0
  for (const [index, at] of times.entries()) {
    while (at - times[oldest]! >= withinMillis) oldest++
    most = Math.max(most, index - oldest + 1)
  }
  return most
}

/** The first exit at which a window holds one more than is allowed, or when it is over. */
const detectionOf = (times: ReadonlyArray<number>, lastsMillis: number, { maxRestarts, withinMillis }: Intensity.Limit): number => {
  const at = times.find((at, index) => index >= maxRestarts && at - times[index - maxRestarts]! < withinMillis)
  return at === undefined ? lastsMillis : Math.min(at, lastsMillis)
}

const mostExits = 400 // of a train: ten times the widest limit

/** When exits come under some delays, in order; with `forEver` what each child's starts meet begins anew when it is over. */
const exitsOf = ({ parts }: Case, delays: ReadonlyArray<number>, resetAfterMillis: number, forEver: boolean): ReadonlyArray<number> => {
  const children = parts.map(({ firstAt, meets }) => ({ at: firstAt, meets, met: 0, refusedUntil: firstAt, restarts: 0, last: -Infinity }))
  const times: Array<number> = []
  while (times.length < mostExits) {
    let child = children[0]!
    for (const other of children) if (other.at < child.at) child = other
    if (!Number.isFinite(child.at)) break
    times.push(child.at)
    if (child.at - child.last >= resetAfterMillis) child.restarts = 0
    child.last = child.at
    const startsAt = child.at + delays[Math.min(child.restarts++, delays.length - 1)]!
    child.at = child.refusedUntil > startsAt ? startsAt : nextEnd(child, startsAt, forEver)
  }
  return times
}

interface Going {
  at: number
  readonly meets: ReadonlyArray<Meets>
  met: number
  refusedUntil: number
}

/** When a start that is not refused any more ends, or is refused for another reason; `Infinity` when it stays up. */
const nextEnd = (child: Going, startsAt: number, forEver: boolean): number => {
  for (;;) {
    if (forEver && child.met === child.meets.length) child.met = 0
    const met = child.meets[child.met++]
    if (met === undefined) return Number.POSITIVE_INFINITY
    if ("lives" in met) return startsAt + met.lives
    child.refusedUntil = forEver ? Number.POSITIVE_INFINITY : child.at + met.refusedFor
    if (child.refusedUntil > startsAt) return startsAt
  }
}

/** Why a change is recommended, in a sentence. */
export const reasonOf = ({ present, recommended }: Extract<Advice, { _tag: "Change" }>): string => {
  const fewer = present.falseShare - recommended.falseShare > indistinct
    ? `${Words.share(present.falseShare)} of the trains that pass by themselves are above the present limit, ${
      Words.share(recommended.falseShare)
    } above this one`
    : ""
  const later = recommended.detectionMeanMillis - present.detectionMeanMillis
  const finds = `hopeless children are found ${Words.took(Math.abs(later))} ${later > 0 ? "later" : "sooner"} on average`
  return fewer === "" ? finds : `${fewer}; ${finds}`
}
