/**
 * The advisor, put to the test: it sees the first seven tenths of a service under the default, and its advice is held against the default
 * in the rest, which it has not seen.
 */
import { Contract, type RestartPolicy } from "@snakepit/core"
import * as Advisor from "@snakepit/telemetry/intensity/Advisor"
import * as CrashTrain from "@snakepit/telemetry/intensity/CrashTrain"
import * as Policy from "@snakepit/telemetry/intensity/Policy"
import * as RunRecord from "@snakepit/telemetry/intensity/RunRecord"
import * as GeneratedService from "./GeneratedService.ts"

/** What one policy did in the held-out part of a service. */
interface Measured {
  readonly falseEscalations: number
  /** Of each episode in which a child was truly broken: milliseconds until the supervisor gave up, or until it was mended. */
  readonly detections: ReadonlyArray<number>
  readonly missed: number
}

export interface Tested {
  readonly advice: Advisor.Advice
  readonly policy: string
  readonly default: Measured
  readonly advised: Measured
}

const trainedShare = 0.7 // F-5: train on the first 70 %

const measure = (service: GeneratedService.Service, restart: RestartPolicy.Any, millis: number): Measured => {
  const gaveUp = GeneratedService.live(service, restart, millis).flatMap(({ at, attributes, name }) =>
    name.endsWith(".give_up") && attributes["path"] === "app/service" ? at : []
  )
  const broken = GeneratedService.brokenIn(service)
  const within = (at: number) => broken.some((episode) => at >= episode.at && at <= episode.until)
  const found = broken.map(({ at, until }) => gaveUp.find((time) => time >= at && time <= until))
  return {
    falseEscalations: gaveUp.filter((at) => !within(at)).length,
    detections: broken.map(({ at, until }, index) => (found[index] ?? until) - at),
    missed: found.filter((time) => time === undefined).length
  }
}

/** Tests the service of a seed and a number. */
export const test = (seed: number, index: number, patienceMillis: number = Advisor.defaultPatienceMillis): Tested => {
  const service = GeneratedService.of(seed, index)
  const trained = GeneratedService.horizon * trainedShare
  const seen = GeneratedService.part(service, 0, trained)
  const tree = GeneratedService.treeOf(seen, GeneratedService.defaultPolicy)
  const events = GeneratedService.live(seen, GeneratedService.defaultPolicy, trained)
  const record = RunRecord.of({ contract: tree.contract, startedAt: 0, endedAt: trained }, events.map((event, seq) => ({ seq, event })))
  const trains = CrashTrain.of([{ id: "seen", host: "host", record }]).find(({ path }) => path === "app/service")
  const advice: Advisor.Advice = trains === undefined
    ? { _tag: "TooFew", trains: 0, needed: Advisor.fewestTrains }
    : Advisor.advise(trains, patienceMillis)
  const heldOut = GeneratedService.part(service, trained, GeneratedService.horizon)
  const millis = GeneratedService.horizon - trained
  const contract = Contract.flatten(tree.contract).find(({ path }) => path === "app/service")!.contract
  const byDefault = measure(heldOut, GeneratedService.defaultPolicy, millis)
  if (advice._tag !== "Change") return { advice, policy: advice._tag, default: byDefault, advised: byDefault }
  const { policy } = advice.recommended
  return {
    advice,
    policy: Policy.describe(policy),
    default: byDefault,
    advised: measure(heldOut, Policy.toRestartPolicy(policy, contract), millis)
  }
}

export interface Figures {
  readonly services: number
  readonly changed: number
  readonly falseByDefault: number
  readonly falseAdvised: number
  /** Less false escalations, as a share of those of the default. */
  readonly less: number
  readonly episodes: number
  readonly meanByDefault: number
  readonly meanAdvised: number
  readonly medianByDefault: number
  readonly medianAdvised: number
  readonly p95ByDefault: number
  readonly p95Advised: number
  readonly missedByDefault: number
  readonly missedAdvised: number
  /** Episodes found later than by the default, as a share; and how much later those were, in the middle and at most. */
  readonly laterShare: number
  readonly laterMedian: number
  readonly laterMost: number
}

const at = (numbers: ReadonlyArray<number>, share: number): number =>
  numbers.length === 0 ? 0 : numbers.toSorted((a, b) => a - b)[Math.min(numbers.length - 1, Math.ceil(numbers.length * share) - 1)]!

const meanOf = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, number) => sum + number, 0) / Math.max(1, numbers.length)

/** The figures of many services. */
export const figuresOf = (tested: ReadonlyArray<Tested>): Figures => {
  const sum = (of: (tested: Tested) => number) => tested.reduce((sum, one) => sum + of(one), 0)
  const byDefault = tested.flatMap((one) => one.default.detections)
  const advised = tested.flatMap((one) => one.advised.detections)
  const later = advised.flatMap((millis, index) => millis > byDefault[index]! ? millis - byDefault[index]! : [])
  const [falseByDefault, falseAdvised] = [sum((one) => one.default.falseEscalations), sum((one) => one.advised.falseEscalations)]
  return {
    services: tested.length,
    changed: tested.filter(({ advice }) => advice._tag === "Change").length,
    falseByDefault,
    falseAdvised,
    less: falseByDefault === 0 ? 0 : 1 - falseAdvised / falseByDefault,
    episodes: byDefault.length,
    meanByDefault: meanOf(byDefault),
    meanAdvised: meanOf(advised),
    medianByDefault: at(byDefault, 0.5),
    medianAdvised: at(advised, 0.5),
    p95ByDefault: at(byDefault, 0.95),
    p95Advised: at(advised, 0.95),
    missedByDefault: sum((one) => one.default.missed),
    missedAdvised: sum((one) => one.advised.missed),
    laterShare: later.length / Math.max(1, byDefault.length),
    laterMedian: at(later, 0.5),
    laterMost: at(later, 1)
  }
}
