/**
 * Runs measurements in interleaved rounds and reports medians.
 *
 * A measurement has *sides*, run one after the other in each round, so that both sides of a ratio meet the same machine. Reported is
 * the median over the rounds of what each round gave, for ratios too. One round before the first is thrown away: it warms the compilers up.
 */
import { cpus, loadavg, release, type } from "node:os"

/** One figure of a report. */
export interface Figure {
  readonly unit: "per second" | "ms" | "µs" | "MB"
  /** What is measured, for people. */
  readonly what: string
}

/** What one round gave; `null` for what cannot be measured here. */
export type Values<Name extends string = string> = { readonly [_ in Name]: number | null }

/** Its figures by name, the sides that give them, and what follows from one round. */
export interface Measurement<Name extends string = string> {
  readonly figures: { readonly [_ in Name]: Figure }
  readonly sides: ReadonlyArray<() => Promise<Partial<Values<Name>>>>
  readonly ratios: { readonly [key: string]: (round: Values<Name>) => number | null }
}

/** The measurement itself, its names inferred. */
export const measurement = <const Name extends string>(made: Measurement<Name>): Measurement => made as Measurement<string>

/** `null` when one of the two is. */
export const divide = (a: number | null, b: number | null): number | null => a === null || b === null ? null : a / b

/** What was measured, and on what. */
export interface Report {
  readonly machine: { readonly [fact: string]: string | number | null }
  readonly rounds: number
  readonly ratios: { readonly [key: string]: number | null }
  readonly figures: { readonly [name: string]: Figure & Values<"median" | "least" | "most"> }
}

/** Measures everything `rounds` times. `say` hears of the progress. */
export const run = async (
  measurements: ReadonlyArray<Measurement>,
  rounds: number,
  facts: Report["machine"],
  say: (line: string) => void
): Promise<Report> => {
  const load = Number(loadavg()[0]!.toFixed(2))
  const samples: Record<string, Array<number | null>> = {}
  const note = (values: Values) => {
    for (const [name, value] of Object.entries(values)) (samples[name] ??= []).push(value)
  }
  for (let round = 0; round <= rounds; round++) {
    say(round === 0 ? "warming up …" : `round ${round} of ${rounds} …`)
    for (const { ratios, sides } of measurements) {
      const values: Record<string, number | null> = {}
      for (const side of sides) {
        globalThis.gc!() // nobody pays for the garbage of the one before
        Object.assign(values, await side())
      }
      if (round === 0) continue
      note(values)
      note(mapValues(ratios, (ratio) => ratio(values)))
    }
  }
  const all = <V>(records: ReadonlyArray<{ readonly [name: string]: V }>): { readonly [name: string]: V } => Object.assign({}, ...records)
  return {
    machine: { cpu: cpus()[0]!.model, cores: cpus().length, system: `${type()} ${release()}`, load, node: process.version, ...facts },
    rounds,
    ratios: mapValues(all(measurements.map(({ ratios }) => ratios)), (_, key) => quantile(samples[key]!, 0.5)),
    figures: mapValues(all(measurements.map(({ figures }) => figures)), (figure, name) => {
      const values = samples[name]!
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
export const render = ({ figures, machine, ratios, rounds }: Report): string =>
  [
    Object.entries(machine).map(([fact, value]) => `${fact}: ${value ?? "not there"}`).join(" · "),
    "",
    ...Object.entries(figures).map(([name, { least, median, most, unit, what }]) =>
      median === null
        ? `${name.padEnd(28)} not measured (${what})`
        : `${name.padEnd(28)} ${digits(median).padStart(10)} ${unit.padEnd(10)} [${digits(least!)} … ${digits(most!)}]  ${what}`
    ),
    "",
    ...Object.entries(ratios).map(([key, value]) => `${key.padEnd(28)} ${value === null ? "not measured" : digits(value)}`),
    "",
    `medians of ${rounds} interleaved rounds`
  ].join("\n")

const digits = (value: number): string => value >= 1000 ? Math.round(value).toLocaleString("en") : String(value)
