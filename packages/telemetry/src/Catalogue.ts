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
import { type Event, Unit } from "@snakepit/core"

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

const layers: ReadonlyArray<Event.Layer> = ["root", "foundation", "telemetry", "bridge", "control", "execution"]

const subjectOf = ({ name }: Event.Declaration): string => name.split(".")[1]!

const isOfSupervisor = (declaration: Event.Declaration): boolean => subjectOf(declaration).endsWith("_supervisor")

const cell = (lines: ReadonlyArray<string>): string => lines.join(" ")

const row = (declaration: Event.Declaration, name: string, path: string): string => {
  const measurements = Object.entries(declaration.measurements).map(([field, schema]) => `\`${field}\` (${Unit.unitOf(field, schema)})`)
  const attributes = Object.keys(declaration.attributes).filter((field) => field !== "path").map((field) => `\`${field}\``)
  return `| \`${name}\` | ${declaration.when} | ${path} | ${cell(measurements)} | ${cell(attributes)} |`
}

const header = ["| event | when | path | measurements | attributes |", "| --- | --- | --- | --- | --- |"]

/**
 * The catalogue as Markdown: a section for each layer, and one for the events that all supervisors have. Each event with when it is emitted, the path of
 * what it is about, its measurements with their units, and its attributes.
 */
export const toMarkdown = (catalogue: Catalogue): string => {
  const all = [...catalogue.values()].toSorted((a, b) => a.name.localeCompare(b.name))
  const sections = layers.flatMap((layer) => {
    const own = all.filter((declaration) => declaration.layer === layer && !isOfSupervisor(declaration))
    return own.length === 0 ? [] : ["", `## ${layer}`, "", ...header, ...own.map((one) => row(one, one.name, `\`${one.path}\``))]
  })
  const ofSupervisors = all.filter(isOfSupervisor)
  if (ofSupervisors.length === 0) return sections.slice(1).join("\n")
  const subjects = new Map(ofSupervisors.map((declaration) => [subjectOf(declaration), declaration]))
  const [[first]] = [...subjects] as [[string, Event.Declaration]]
  return [
    "## Supervisors",
    "",
    "Every supervisor has these, under its own subject:",
    "",
    "| `<supervisor>` | layer |",
    "| --- | --- |",
    ...[...subjects].map(([subject, { layer }]) => `| \`${subject}\` | ${layer} |`),
    "",
    ...header,
    ...ofSupervisors.filter((one) => subjectOf(one) === first).map((one) => row(one, one.name.replace(first, "<supervisor>"), "its own")),
    ...sections
  ].join("\n")
}
