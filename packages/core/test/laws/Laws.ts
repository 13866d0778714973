/** Generated trees under generated harm, in production mode, held to every law. */
import type * as Event from "../../src/Event.ts"
import type * as Simulation from "../../src/Simulation.ts"
import * as DeclaredEvents from "../../src/testing/DeclaredEvents.ts"
import * as Generate from "../../src/testing/Generate.ts"
import * as Invariants from "../../src/testing/Invariants.ts"
import * as TreePlan from "../../src/testing/TreePlan.ts"

/** What a run of cases came to. */
export interface Tally {
  trees: number
  /** Starts of children and of supervisors. */
  lives: number
  /** That a machine made. */
  decisions: number
  /** Decisions without exactly one event that says all that is declared of it, and events without a decision. */
  untold: number
  violations: number
}

/** A case that broke a law, and the smallest that still breaks the same one. */
export interface Breach {
  readonly seed: number
  readonly index: number
  readonly violations: ReadonlyArray<Invariants.Violation>
  readonly smallest: TreePlan.Case
}

export const noTally = (): Tally => ({ trees: 0, lives: 0, decisions: 0, untold: 0, violations: 0 })

const declarations = new Map<string, Event.Declaration>(
  Object.values(TreePlan.events).map((declaration) => [declaration.name, declaration])
)

/** Events that are not as they are declared: each must have all its attributes. */
export const undeclared = ({ entries }: Simulation.Timeline): ReadonlyArray<Invariants.Violation> =>
  entries.flatMap((entry) => {
    if (entry._tag !== "Event") return []
    const { at, event } = entry
    const declaration = declarations.get(event.name)
    const faults = declaration === undefined ? [`${event.name}: it is not declared`] : DeclaredEvents.faults(declaration, event)
    return faults.map((message) => ({
      rule: "event" as const,
      path: String(event.attributes["path"]),
      at,
      message: `is told by ${message}`
    }))
  })

/** Plays a case to the end of its tree and returns what it broke. */
export const hold = (planned: TreePlan.Case, tally = noTally()): ReadonlyArray<Invariants.Violation> => {
  const whole = Generate.toTheEnd(planned)
  const timeline = TreePlan.simulate(whole)
  tally.trees++
  for (const entry of timeline.entries) {
    if (entry._tag === "Child" && entry.moment === "starting") tally.lives++
    else if (entry._tag === "Step") { for (const { _tag } of entry.commands) if (_tag === "Tell") tally.decisions++ }
  }
  const broken = [...Invariants.check(TreePlan.make(whole.tree), timeline), ...undeclared(timeline)]
  const violations = timeline.outcome._tag === "Running" || timeline.outcome._tag === "Booting"
    ? [...broken, { rule: "leak" as const, path: whole.tree.id, at: timeline.millis, message: "does not end after its shutdown" }]
    : broken
  tally.violations += violations.length
  for (const { rule } of violations) if (rule === "event") tally.untold++
  return violations
}

/** Plays the cases `first`, `first + stride` … below `trees`. */
export const run = (
  seed: number,
  trees: number,
  first = 0,
  stride = 1
): { readonly tally: Tally; readonly breaches: ReadonlyArray<Breach> } => {
  const tally = noTally()
  const breaches: Array<Breach> = []
  for (let index = first; index < trees; index += stride) {
    const violations = hold(Generate.bySeed(seed, index), tally)
    if (violations.length > 0 && breaches.length < 5) breaches.push(breachOf(seed, index, violations)) // 5 to look at; all are counted
  }
  return { tally, breaches }
}

const breachOf = (seed: number, index: number, violations: ReadonlyArray<Invariants.Violation>): Breach => {
  const { rule } = violations[0]!
  const smallest = Generate.smallest(Generate.bySeed(seed, index), (tried) => hold(tried)[0]?.rule === rule)
  return { seed, index, violations, smallest }
}

/** For people: what was broken, and how to see it again. */
export const report = ({ index, seed, smallest, violations }: Breach): string =>
  [
    `tree ${index} of seed ${seed} breaks ${violations.length} laws:`,
    ...violations.slice(0, 5).map((violation) => `  ${Invariants.describe(violation)}`),
    `the smallest found, which breaks:`,
    ...hold(smallest).slice(0, 5).map((violation) => `  ${Invariants.describe(violation)}`),
    `  ${JSON.stringify(smallest)}`,
    `see it again: npm run verify:laws -- --seed ${seed} --tree ${index}`
  ].join("\n")
