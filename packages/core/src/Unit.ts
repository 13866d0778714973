/**
 * What a measurement of an event counts, as data: a table, a metric or a chart needs no guess.
 *
 * **Details**
 *
 * Units are in UCUM, as OpenTelemetry has them: `ms`, `By`, `1` for a plain number, `{call}` for a count of calls. {@link unitOf} reads the unit of a
 * field from its schema, where {@link of} and {@link count} have put it, and else from the name's suffix: `tookMillis` is `ms`, `freeBytes` is `By`,
 * `cpuRatio` is `1`.
 *
 * **Example** (A count, a time, a size)
 *
 * ```ts
 * import { Unit } from "@snakepit/core"
 * import { Schema } from "effect"
 *
 * Unit.unitOf("children", Unit.count("child")) // => "{child}"
 * Unit.unitOf("tookMillis", Schema.Finite) // => "ms"
 * Unit.unitOf("memory", Unit.of(Schema.Int, "By")) // => "By"
 * ```
 *
 * @see https://ucum.org/ucum for what units there are
 */
import * as Schema from "effect/Schema"

/** In UCUM. */
export type Unit = "ms" | "s" | "By" | "%" | "1" | "Cel" | "W" | `{${string}}` | `{${string}}/s`

const key = "@snakepit/core/Unit"

/** The same schema, in a unit. */
export const of = <S extends Schema.Top>(schema: S, unit: Unit): S["Rebuild"] => schema.annotate({ [key]: unit })

/** A whole number of things: `count("call")` is in `{call}`. */
export const count = (thing: string): typeof Schema.Int["Rebuild"] => of(Schema.Int, `{${thing}}`)

const suffixes: ReadonlyArray<readonly [RegExp, Unit]> = [[/(^m|M)illis$/, "ms"], [/(^b|B)ytes$/, "By"], [/(^r|R)atio$/, "1"]]

/** The unit of a field; `undefined` where neither its schema nor its name says one. */
export const unitOf = (name: string, schema: Schema.Top): Unit | undefined =>
  (Schema.resolveAnnotations(schema)?.[key] as Unit | undefined) ?? suffixes.find(([suffix]) => suffix.test(name))?.[1]
