/**
 * Which limit and which delays fit the load that a supervisor has really seen.
 *
 * **Details**
 *
 * A supervisor's crash trains are of two kinds. One that passed by itself is *transient*: giving up over it would be a false escalation. One
 * that is *hopeless* (`CrashTrain.isHopeless`) did not: giving up is right, and the sooner the better.
 *
 * A policy is estimated by going through the trains under it. A child that ended waits for the policy's delay. Its next life lasts as long as
 * its next recorded one; starts that were refused go on being refused for as long as they were recorded to be. Of a transient train that
 * gives the most exits that any window holds, its *load*: above `maxRestarts` it is a false escalation. Of a hopeless one, whose lives go on
 * as they were, again and again, it gives the time from the first exit until the policy gives up; one that does not give up counts with the
 * whole length of the train.
 *
 * The share of trains that escalate falsely is the mean of two estimates, so that a limit is not fitted to the very trains that were seen:
 * the share of them whose load is above the limit, and what that share would be if the loads of more than one exit were geometric, as they
 * are when each restart fails with the same chance.
 *
 * Recommended is, among {@link candidates}, the policy with the smallest such share of those that give up over hopeless children no later than
 * the present one; over those that were seen, and as if they had lived half or twice as long. When that share stays above {@link target}, a
 * second of lateness is allowed, then two, and so on up to the *patience*. Where no hopeless train was seen, children are imagined that die
 * at once, or after 20 ms up to 3 s, each time, until they are mended ten minutes later.
 *
 * With a patience of 0 no hopeless child is found later than now. Patience buys much: a burst that will pass and the beginning of a hopeless
 * train look the same for some seconds. What it costs is in each {@link Estimate}.
 *
 * Sources: https://www.erlang.org/doc/system/sup_princ.html ("Tuning the Intensity and Period") plans for bursts and for a sustained rate
 * apart; that a limit is chosen as the quantile of an observed load with a smoothed tail is the practice of extreme values: the excess over
 * a threshold is taken to be geometric, the discrete form of the exponential.
 */
import type { Contract } from "@snakepit/core"
import * as Intensity from "@snakepit/core/Intensity"
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
  /** Milliseconds from the first exit of a hopeless train to giving up: on average and in the slowest case. */
  readonly detectionMeanMillis: number
  readonly detectionWorstMillis: number
}

/** The share of trains that may escalate falsely before lateness is allowed: 3 in 1000. */
export const target = 0.003

/** How much later than now a hopeless child may be found, when it must be: half a minute, sooner than anybody comes whom it calls. */
export const defaultPatienceMillis = 30_000

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

const caseOf = ({ endedAt, exits, startedAt }: CrashTrain): Case => {
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
  return { parts: [...parts.values()], lastsMillis: endedAt - startedAt }
}

const mostHopeless = 8 // the last ones: more of a kind add time, and nothing to learn
const paces = [0.5, 1, 2] // the next hopeless child may live half or twice as long
const mendedMillis = 600_000 // ten minutes until somebody mends what nobody was told of
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
  const seen = trains.filter(({ kind }) => kind === "hopeless").slice(-mostHopeless).map(caseOf)
  const hopeless = seen.length === 0 ? imagined : seen.flatMap((train) => paces.map((pace) => atPace(train, pace)))
  const estimate = estimator(contract, transient, hopeless)
  const present = estimate(Policy.ofContract(contract))
  const recommended = choose(present, candidates.map(estimate), patienceMillis).estimate
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

const latenesses = [0, 1, 2, 5, 10, 20, 30, 60, 120].map((seconds) => seconds * second)

const choose = (present: Tried, tried: ReadonlyArray<Tried>, patienceMillis: number): Tried => {
  let best = present
  for (const late of latenesses) {
    if (late > patienceMillis) break
    best = tried.filter(({ detected }) => detected.every((millis, index) => millis <= present.detected[index]! + late)).reduce(better, best)
    if (best.estimate.falseShare <= target) break
  }
  return best
}

/** Fewer false escalations, in tenths of the target; else the sooner. */
const better = (best: Tried, tried: Tried): Tried => {
  const steps = ({ estimate }: Tried) => Math.floor(estimate.falseShare / (target / 10))
  const fewer = steps(best) - steps(tried)
  return fewer > 0 || (fewer === 0 && tried.estimate.detectionMeanMillis < best.estimate.detectionMeanMillis) ? tried : best
}

const estimator = (contract: Contract.Contract, transient: ReadonlyArray<Case>, hopeless: ReadonlyArray<Case>) => {
  const known = new Map<string, ReadonlyArray<number>>() // a load depends on the window and the delays alone
  return (policy: Policy.Policy): Tried => {
    const limit = policy.limit as Intensity.Limit // candidates have one, and so has who is advised
    const delays = Policy.delaysOf(policy, contract.backoff)
    const under = { limit, delays, resetAfterMillis: contract.backoff.resetAfterMillis }
    const detected = hopeless.map((train) => detectionOf(train, under))
    const key = `${limit.withinMillis} ${delays.join(" ")}`
    const loads = known.get(key) ?? transient.map((train) => loadOf(train, under))
    known.set(key, loads)
    const falseSeen = loads.filter((load) => load > limit.maxRestarts).length
    return {
      detected,
      estimate: {
        policy,
        falseShare: (falseSeen / loads.length + tailOf(loads, limit.maxRestarts)) / 2,
        falseSeen,
        detectionMeanMillis: detected.reduce((sum, millis) => sum + millis, 0) / detected.length,
        detectionWorstMillis: Math.max(...detected)
      }
    }
  }
}

/** The share of loads above a limit, if those above 1 are geometric. */
const tailOf = (loads: ReadonlyArray<number>, maxRestarts: number): number => {
  const bursts = loads.filter((load) => load > 1)
  if (bursts.length === 0) return 0
  const mean = bursts.reduce((sum, load) => sum + load, 0) / bursts.length
  return (bursts.length / loads.length) * ((mean - 2) / (mean - 1)) ** Math.max(0, maxRestarts - 1)
}

interface Under {
  readonly limit: Intensity.Limit
  readonly delays: ReadonlyArray<number>
  readonly resetAfterMillis: number
}

/** The most counted exits that any window holds, if the supervisor never gives up. */
const loadOf = (train: Case, under: Under): number => {
  const { withinMillis } = under.limit
  const times: Array<number> = []
  for (const at of exitsOf(train, under, false)) times.push(at)
  let oldest = 0
  let most = 0
  for (const [index, at] of times.entries()) {
    while (at - times[oldest]! >= withinMillis) oldest++
    most = Math.max(most, index - oldest + 1)
  }
  return most
}

const detectionOf = (train: Case, under: Under): number => {
  const window = Intensity.make(under.limit)
  for (const at of exitsOf(train, under, true)) {
    if (at > train.lastsMillis) break
    if (!Intensity.decide(window, at).allowed) return at
  }
  return train.lastsMillis
}

const mostExits = 400 // of a hopeless train: a limit that is not reached by then is not reached

/** When exits come under a policy, in order; with `forEver` what each child's starts meet begins anew when it is over. */
function* exitsOf({ parts }: Case, { delays, resetAfterMillis }: Under, forEver: boolean): Generator<number> {
  const children = parts.map(({ firstAt, meets }) => ({ at: firstAt, meets, met: 0, refusedUntil: firstAt, restarts: 0, last: -Infinity }))
  for (let exits = 0; exits < mostExits; exits++) {
    let child = children[0]!
    for (const other of children) if (other.at < child.at) child = other
    if (!Number.isFinite(child.at)) return
    yield child.at
    if (child.at - child.last >= resetAfterMillis) child.restarts = 0
    child.last = child.at
    const startsAt = child.at + delays[Math.min(child.restarts++, delays.length - 1)]!
    child.at = child.refusedUntil > startsAt ? startsAt : nextEnd(child, startsAt, forEver)
  }
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
