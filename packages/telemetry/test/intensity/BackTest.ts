/**
 * The advisor, put to the test: it sees the first seven tenths of a service under the default, and its advice is held against the default
 * in the rest, which it has not seen.
 */
import { Contract } from "@snakepit/core"
import * as Advisor from "@snakepit/telemetry/intensity/Advisor"
import * as CrashTrain from "@snakepit/telemetry/intensity/CrashTrain"
import * as Policy from "@snakepit/telemetry/intensity/Policy"
import * as RunRecord from "@snakepit/telemetry/intensity/RunRecord"
import * as GeneratedService from "./GeneratedService.ts"

/** What one policy did in the held-out part of a service. */
interface Measured {
  readonly falseEscalations: number
  /**
   * How many of those came at the end of exits of one child alone. Who saw nothing but them could not have told that child from one that is
   * broken: whatever finds each broken child as soon as this policy does escalates over all of these too.
   */
  readonly alike: number
  /** Of each episode in which a child was truly broken: milliseconds until the supervisor gave up, or until it was mended. */
  readonly detections: ReadonlyArray<{ readonly millis: number; readonly found: boolean }>
}

/** One service under the default, and under what was advised with each patience. */
export interface Tested {
  readonly byDefault: Measured
  readonly advised: ReadonlyArray<Measured & { readonly advice: Advisor.Advice }>
}

const trainedShare = 0.7 // F-5: train on the first 70 %

const measure = (service: GeneratedService.Service, policy: Policy.Policy, contract: Contract.Contract, millis: number): Measured => {
  const restart = Policy.toRestartPolicy(policy, contract)
  const withinMillis = policy.limit === "unlimited" ? 0 : policy.limit.withinMillis
  const broken = GeneratedService.brokenIn(service)
  const gaveUp: Array<number> = []
  let falseEscalations = 0
  let alike = 0
  let counted: Array<{ readonly at: number; readonly child: unknown }> = []
  for (const { at, attributes: { child, path }, name } of GeneratedService.live(service, restart, millis)) {
    if (path !== "app/service") continue
    if (name.endsWith(".restart") || name.endsWith(".give_up")) counted.push({ at, child })
    if (!name.endsWith(".give_up")) continue
    gaveUp.push(at)
    const exits = counted.filter((exit) => at - exit.at < withinMillis)
    counted = []
    if (broken.some((episode) => at >= episode.at && at <= episode.until)) continue
    falseEscalations++
    if (new Set(exits.map(({ child }) => child)).size === 1) alike++
  }
  const detections = broken.map(({ at, until }) => {
    const found = gaveUp.find((time) => time >= at && time <= until)
    return { millis: (found ?? until) - at, found: found !== undefined }
  })
  return { falseEscalations, alike, detections }
}

/** Tests the service of a seed and a number with each patience. */
export const test = (
  seed: number,
  index: number,
  patiences: ReadonlyArray<number>,
  family: GeneratedService.Family = GeneratedService.mixed
): Tested => {
  const service = GeneratedService.of(seed, index, family)
  const trained = GeneratedService.horizon * trainedShare
  const seen = GeneratedService.part(service, 0, trained)
  const tree = GeneratedService.treeOf(seen, GeneratedService.defaultPolicy)
  const events = GeneratedService.live(seen, GeneratedService.defaultPolicy, trained)
  const record = RunRecord.of({ contract: tree.contract, startedAt: 0, endedAt: trained }, events.map((event, seq) => ({ seq, event })))
  const trains = CrashTrain.of([{ id: "seen", host: "host", record }]).find(({ path }) => path === "app/service")
  const heldOut = GeneratedService.part(service, trained, GeneratedService.horizon)
  const millis = GeneratedService.horizon - trained
  const contract = Contract.flatten(tree.contract).find(({ path }) => path === "app/service")!.contract
  const byDefault = measure(heldOut, Policy.ofContract(contract), contract, millis)
  const advised = patiences.map((patience) => {
    const advice: Advisor.Advice = trains === undefined
      ? { _tag: "TooFew", trains: 0, needed: Advisor.fewestTrains }
      : Advisor.advise(trains, patience)
    if (advice._tag !== "Change") return { advice, ...byDefault }
    return { advice, ...measure(heldOut, advice.recommended.policy, contract, millis) }
  })
  return { byDefault, advised }
}

/** Of how long detection took, in milliseconds. */
interface Detection {
  readonly episodes: number
  readonly mean: number
  readonly median: number
  readonly p95: number
}

/** What one policy, or one way to advise, came to. */
interface Figure {
  readonly changed: number
  readonly falseEscalations: number
  readonly alike: number
  /** Of all episodes; and of those that the default finds before they are mended. */
  readonly all: Detection
  readonly found: Detection
  readonly missed: number
  /** Episodes found later than by the default, and by more than 10 s. */
  readonly later: number
  readonly muchLater: number
}

export interface Figures {
  readonly services: number
  readonly byDefault: Figure
  /** With each patience. */
  readonly advised: ReadonlyArray<Figure>
}

const detectionOf = (millis: ReadonlyArray<number>): Detection => {
  const sorted = millis.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
  return {
    episodes: sorted.length,
    mean: sorted.reduce((sum, one) => sum + one, 0) / Math.max(1, sorted.length),
    median: at(0.5),
    p95: at(0.95)
  }
}

/** The figures of many services. */
export const figuresOf = (tested: ReadonlyArray<Tested>): Figures => {
  const default_ = tested.flatMap(({ byDefault }) => byDefault.detections)
  const figure = (of: (tested: Tested) => Measured & { readonly advice?: Advisor.Advice }): Figure => {
    const measured = tested.map(of)
    const detections = measured.flatMap(({ detections }) => detections)
    const late = detections.map(({ millis }, index) => millis - default_[index]!.millis)
    return {
      changed: measured.filter(({ advice }) => advice?._tag === "Change").length,
      falseEscalations: measured.reduce((sum, { falseEscalations }) => sum + falseEscalations, 0),
      alike: measured.reduce((sum, { alike }) => sum + alike, 0),
      all: detectionOf(detections.map(({ millis }) => millis)),
      found: detectionOf(detections.filter((_, index) => default_[index]!.found).map(({ millis }) => millis)),
      missed: detections.filter(({ found }) => !found).length,
      later: late.filter((millis) => millis > 0).length,
      muchLater: late.filter((millis) => millis > 10_000).length
    }
  }
  return {
    services: tested.length,
    byDefault: figure(({ byDefault }) => byDefault),
    advised: (tested[0]?.advised ?? []).map((_, index) => figure(({ advised }) => advised[index]!))
  }
}
