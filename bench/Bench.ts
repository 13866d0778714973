/**
 * Runs measurements in interleaved rounds and reports medians.
 *
 * A measurement has *sides*, run one after the other in each round and backwards in every other round, so that both sides of a ratio
 * meet the same machine. Reported is the median over the rounds of what each round gave, for ratios too. One round before the first is
 * thrown away: it warms the compilers up.
 */
import { cpus, loadavg, release, type } from "node:os"
import * as Goal from "./Goal.ts"
import type { Profiled } from "./Profile.ts"

/** One figure of a report. */
export interface Figure {
  readonly unit: "per second" | "ms" | "µs" | "MB"
  /** What is measured, for people. */
  readonly what: string
}

/** What one round gave; `null` for what cannot be measured here. */
export type Values<Name extends string = string> = { readonly [_ in Name]: number | null }

/** Measures once. */
export type Side<Name extends string = string> = () => Promise<Partial<Values<Name>>>

/** Says what is to be closed after the last round. The last that was opened is closed first. */
export type Closing = (close: () => Promise<void>) => void

/** What follows from one round, and what it must be. */
export interface Ratio<Name extends string = string> {
  readonly of: (round: Values<Name>) => number | null
  readonly goal?: Goal.Goal
}

/** Its figures by name, the sides that give them, and what follows from one round. */
export interface Measurement<Name extends string = string> {
  readonly figures: { readonly [_ in Name]: Figure }
  /** Sides that are servers or pools are opened once, before the first round, and are idle while others are measured. */
  readonly sides: ReadonlyArray<Side<Name>> | ((closing: Closing) => Promise<ReadonlyArray<Side<Name>>>)
  readonly ratios: { readonly [key: string]: Ratio<Name> }
}

/** The measurement itself, its names inferred. */
export const measurement = <const Name extends string>(made: Measurement<Name>): Measurement => made as Measurement<string>

/** What `npm run bench` runs by name. */
export interface Suite {
  readonly measurements: ReadonlyArray<Measurement>
  readonly facts: Report["machine"]
  /** What `--profile` looks at. */
  readonly profiled?: Profiled
}

/** `null` when one of the two is. */
export const divide = (a: number | null, b: number | null): number | null => a === null || b === null ? null : a / b

/** What was measured, and on what. */
export interface Report {
  readonly machine: { readonly [fact: string]: string | number | null }
  readonly rounds: number
  readonly ratios: { readonly [key: string]: number | null }
  readonly goals: { readonly [key: string]: Goal.Judged }
  readonly figures: { readonly [name: string]: Figure & Values<"median" | "least" | "most"> }
}

/** What each round gave, by name. */
interface Samples {
  [name: string]: Array<number | null>
}

/** Measures everything `rounds` times. `say` hears of the progress. */
export const run = async (
  measurements: ReadonlyArray<Measurement>,
  rounds: number,
  facts: Report["machine"],
  say: (line: string) => void
): Promise<Report> => {
  const load = Number(loadavg()[0]!.toFixed(2))
  const samples: { readonly figures: Samples; readonly ratios: Samples } = { figures: {}, ratios: {} }
  const note = (to: Samples, values: Values) => {
    for (const [name, value] of Object.entries(values)) (to[name] ??= []).push(value)
  }
  const closes: Array<() => Promise<void>> = []
  try {
    const opened: Array<Pick<Measurement, "ratios"> & { readonly sides: ReadonlyArray<Side> }> = []
    for (const { ratios, sides } of measurements) {
      opened.push({ ratios, sides: typeof sides === "function" ? await sides((close) => closes.unshift(close)) : sides })
    }
    for (let round = 0; round <= rounds; round++) {
      say(round === 0 ? "warming up …" : `round ${round} of ${rounds} …`)
      for (const { ratios, sides } of opened) {
        const values: Record<string, number | null> = {}
        for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
          globalThis.gc?.() // nobody pays for the garbage of the one before
          Object.assign(values, await side())
        }
        if (round === 0) continue
        note(samples.figures, values)
        note(samples.ratios, mapValues(ratios, ({ of }) => of(values)))
      }
    }
  } finally {
    for (const close of closes) await close()
  }
  const all = <V>(records: ReadonlyArray<{ readonly [name: string]: V }>): { readonly [name: string]: V } => Object.assign({}, ...records)
  const declared = all(measurements.map(({ ratios }) => ratios))
  const ratios = mapValues(declared, (_, key) => quantile(samples.ratios[key]!, 0.5))
  return {
    machine: { cpu: cpus()[0]!.model, cores: cpus().length, system: `${type()} ${release()}`, load, node: process.version, ...facts },
    rounds,
    ratios,
    goals: Object.fromEntries(
      Object.entries(declared).flatMap(([key, { goal }]) => goal === undefined ? [] : [[key, Goal.judge(goal, ratios[key] ?? null)]])
    ),
    figures: mapValues(all(measurements.map(({ figures }) => figures)), (figure, name) => {
      const values = samples.figures[name]!
      return { ...figure, median: quantile(values, 0.5), least: quantile(values, 0), most: quantile(values, 1) }
    })
  }
}

const mapValues = <A, B>(record: { readonly [name: string]: A }, map: (value: A, name: string) => B): { readonly [name: string]: B } =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value, name)]))

const quantile = (values: ReadonlyArray<number | null>, q: number): number | null => {
  const numbers = values.filter((value) => value !== null).toSorted((a, b) => a - b)
  if (numbers.length === 0) return null
  const at = (numbers.length - 1) * q
  const low = numbers[Math.floor(at)]!
  return rounded(low + (numbers[Math.ceil(at)]! - low) * (at % 1))
}

const rounded = (value: number): number => Number(value.toPrecision(4)) // more digits than a machine repeats

/** The report for people. */
export const render = ({ figures, goals, machine, ratios, rounds }: Report): string =>
  [
    Object.entries(machine).map(([fact, value]) => `${fact}: ${value ?? "not there"}`).join(" · "),
    "",
    ...Object.entries(figures).map(([name, { least, median, most, unit, what }]) =>
      median === null
        ? `${name.padEnd(28)} not measured (${what})`
        : `${name.padEnd(28)} ${digits(median).padStart(10)} ${unit.padEnd(10)} [${digits(least!)} … ${digits(most!)}]  ${what}`
    ),
    "",
    ...Object.entries(ratios).map(([key, value]) => {
      const goal = goals[key]
      const figure = value === null ? "not measured" : digits(value)
      return goal === undefined ? `${key.padEnd(28)} ${figure}` : `${key.padEnd(28)} ${figure.padStart(12)}  ${Goal.render(goal)}`
    }),
    "",
    `medians of ${rounds} interleaved rounds`
  ].join("\n")

const digits = (value: number): string => value >= 1000 ? Math.round(value).toLocaleString("en") : String(value)
