/**
 * Every event of an application, gathered from the declarations that stand beside the emitters.
 *
 * **Example** (A catalogue of two packages)
 *
 * ```ts
 * import { Catalogue } from "@snakepit/telemetry"
 *
 * declare const poolEvents: Catalogue.Declarations
 * declare const bridgeEvents: Catalogue.Declarations
 *
 * const catalogue = Catalogue.make([poolEvents, bridgeEvents])
 * catalogue.get("snakepit.call.retry")?.when // => "an idempotent call lost its worker and goes to another one, after the delay"
 * ```
 */
import type { Event } from "@snakepit/core"

/** What a package declares. */
export type Declarations = ReadonlyArray<Event.Declaration>

/** Declarations by event name. */
export type Catalogue = ReadonlyMap<string, Event.Declaration>

/** Gathers declarations. Throws a `RangeError` when two declare the same name: one event has one meaning. */
export const make = (packages: ReadonlyArray<Declarations>): Catalogue => {
  const catalogue = new Map<string, Event.Declaration>()
  for (const declaration of packages.flat()) {
    if (catalogue.has(declaration.name)) throw new RangeError(`the event ${declaration.name} is declared twice`)
    catalogue.set(declaration.name, declaration)
  }
  return catalogue
}

/** The catalogue as a Markdown table: event, layer, when, measurements, attributes. */
export const toMarkdown = (catalogue: Catalogue): string => {
  const names = (fields: Event.Fields) => Object.keys(fields).map((name) => `\`${name}\``).join(" ")
  const rows = [...catalogue.values()].toSorted((a, b) => a.name.localeCompare(b.name)).map((
    { attributes, layer, measurements, name, when }
  ) => `| \`${name}\` | ${layer} | ${when} | ${names(measurements)} | ${names(attributes)} |`)
  return ["| event | layer | when | measurements | attributes |", "| --- | --- | --- | --- | --- |", ...rows].join("\n")
}
