import { assert, describe, it } from "@effect/vitest"
import { Instrument } from "@snakepit/core"
import { SupervisorMetrics } from "@snakepit/telemetry"
import { SnakepitMetrics } from "snakepit"

/** A large application: 10 pools of 64 workers, 20 tools in each, and calls of what is in no catalogue. */
const large = { pool: 10, slot: 64, tool: 21, version: 1, node: 1 } as const

/** Label sets by which a declaration may be told apart, in that application. */
const labelSets = ({ labels, values = {} }: Instrument.Declaration): number =>
  labels.reduce((product, label) => {
    const count = values[label]?.length ?? (large as Readonly<Record<string, number>>)[label]
    assert.isDefined(count, `nobody knows how many values ${label} has`)
    return product * count!
  }, 1)

/** As labels of kinds and pools go together: kinds above the pools are there once. */
const sets = (declaration: Instrument.Declaration): number => {
  const { labels, values = {} } = declaration
  if (!labels.includes("supervisor") || !labels.includes("pool")) return labelSets(declaration)
  const { kinds, kindsOfPools } = SupervisorMetrics
  const pairs = kindsOfPools.length * large.pool + kinds.length - kindsOfPools.length
  return pairs * (values["reason"]?.length ?? 1)
}

/** As Prometheus counts: each bucket is a series, and so are the last one, sum and count. */
const series = (declaration: Instrument.Declaration): number =>
  sets(declaration) * (declaration.boundaries === undefined ? 1 : declaration.boundaries.length + 3)

describe("the metrics of an application", () => {
  const { declarations } = SnakepitMetrics

  it("are declared once each, also by the names that Prometheus has for them", () => {
    const names = declarations.map(({ name }) => name)
    assert.deepStrictEqual([...new Set(names)], names)
    const printed = declarations.map(Instrument.prometheusName)
    assert.deepStrictEqual([...new Set(printed)], printed)
    for (const name of printed) assert.match(name, /^[a-z][a-z0-9_]*[a-z0-9]$/)
  })

  it("are below 10,000 series in a large application", () => {
    assert.isBelow(declarations.reduce((sum, declaration) => sum + series(declaration), 0), 10_000)
  })

  it("have no label that grows with time: no process, session or call has series of its own", () => {
    const known = new Set([...Object.keys(large), ...declarations.flatMap(({ values = {} }) => Object.keys(values))])
    for (const { labels, name } of declarations) {
      for (const label of labels) {
        assert.isTrue(known.has(label), `${name} has the label ${label}, of which nobody knows how many values it has`)
        assert.notMatch(label, /pid|session|call|generation|incident|tenant|correlation/)
      }
    }
  })
})
