/**
 * Holds events to their declarations: each has the measurements and attributes that are declared, of the declared types, and no others, unless it is open.
 *
 * **When to use**
 *
 * {@link faults} says of one event what is wrong with it. {@link watch} sees every event that is made in this process, whoever emits it and whether or
 * not anybody listens: a test run that watches finds what no single test asks for, and which declared events it never saw.
 *
 * **Example** (A whole test file holds its events to their declarations)
 *
 * ```ts
 * import { DeclaredEvents } from "@snakepit/core/testing"
 *
 * const found: Array<string> = []
 * const stop = DeclaredEvents.watch((declaration, event) => found.push(...DeclaredEvents.faults(declaration, event)))
 * stop()
 * found // => []
 * ```
 */
import * as Schema from "effect/Schema"
import type * as Event from "../Event.ts"
import * as Witness from "../internal/Witness.ts"

type Check = (value: unknown) => boolean

const checks = new WeakMap<Event.Fields, ReadonlyMap<string, Check>>()

const checksOf = (fields: Event.Fields): ReadonlyMap<string, Check> => {
  const known = checks.get(fields)
  if (known !== undefined) return known
  const made = new Map(Object.entries(fields).map(([name, schema]) => [name, Schema.is(schema as Schema.Codec<unknown>) as Check]))
  checks.set(fields, made)
  return made
}

/** What every event has, whatever its declaration lists. */
const always = new Set(["path", "snakepit.layer"])

/** What is wrong with an event, in words; empty when it is as declared. */
export const faults = (declaration: Event.Declaration, event: Event.Event): ReadonlyArray<string> => {
  const { attributes, measurements, name } = event
  const found: Array<string> = []
  const compare = (what: string, fields: Event.Fields, values: Readonly<Record<string, unknown>>) => {
    const checks = checksOf(fields)
    for (const [field, check] of checks) {
      if (!check(values[field])) found.push(`${name}: its ${what} ${field} is ${JSON.stringify(values[field])}, which is not as declared`)
    }
    for (const field in values) {
      if (!checks.has(field) && !always.has(field) && declaration.isOpen !== true) {
        found.push(`${name}: its ${what} ${field} is not declared`)
      }
    }
  }
  if (name !== declaration.name) found.push(`${name}: it is declared as ${declaration.name}`)
  if (attributes["snakepit.layer"] !== declaration.layer) found.push(`${name}: its layer is not ${declaration.layer}`)
  const { path } = attributes
  if (typeof path !== "string" || path === "" || path.includes("undefined")) found.push(`${name}: its path is ${path}`)
  compare("measurement", declaration.measurements, measurements)
  compare("attribute", declaration.attributes, attributes)
  return found
}

/** Has `seen` see every event from now on, in place of who did before. Returns what gives that one its place back. */
export const watch = (seen: Witness.Witness): () => void => {
  const before = Witness.current
  Witness.set(seen)
  return () => Witness.set(before)
}
