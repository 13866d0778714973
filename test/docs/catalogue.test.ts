/** The catalogue is whole, and each of its declarations says what it must. */
import { assert, describe, it } from "@effect/vitest"
import { Contract, type Event, Unit } from "@snakepit/core"
import { Effect } from "effect"
import { globSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { SnakepitEvent } from "snakepit"
import * as AnyPool from "../../scripts/AnyPool.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))
const sources = globSync("packages/*/src/**/*.ts", { cwd: root })

const isDeclaration = (value: unknown): value is Event.Declaration =>
  typeof value === "object" && value !== null && "when" in value && "measurements" in value && "attributes" in value

const declarationsIn = (value: unknown): ReadonlyArray<Event.Declaration> =>
  isDeclaration(value) ? [value] : typeof value === "object" && value !== null ? Object.values(value).flatMap(declarationsIn) : []

describe("the catalogue", () => {
  it("has every event that a package declares", async () => {
    const files = sources.filter((file) => file.endsWith("Event.ts") && !file.startsWith("packages/core/"))
    assert.isAtLeast(files.length, 4)
    for (const file of files) {
      const exported = declarationsIn(Object.values(await import(`${root}${file}`)))
      assert.isNotEmpty(exported, file)
      for (const declaration of exported) {
        assert.strictEqual(SnakepitEvent.catalogue.get(declaration.name), declaration, `${file}: ${declaration.name}`)
      }
    }
  })

  it("has no event that is declared elsewhere than in an XEvent.ts", () => {
    const elsewhere = sources.filter((file) => !file.endsWith("Event.ts") && !file.includes("/testing/")).filter((file) => {
      const code = readFileSync(`${root}${file}`, "utf8").replaceAll(/^ \*.*$/gm, "").replace(".of(\"replayed_supervisor\"", "") // in simulations only
      return /\bEvent\.declare\(|\bSupervisorEvent\.of\(/.test(code)
    })
    assert.deepStrictEqual(elsewhere, [])
  })

  it("says of each event when, in words that go on from a name", () => {
    for (const { name, when } of SnakepitEvent.catalogue.values()) {
      assert.match(when, /^[a-z`].*[^.\s]$/s, name)
      assert.match(name, /^snakepit(\.[a-z][a-z0-9_]*){2,}$/)
    }
  })

  it("has a unit for each measurement", () => {
    const without = [...SnakepitEvent.catalogue.values()].flatMap(({ measurements, name }) =>
      Object.entries(measurements).filter(([field, schema]) => Unit.unitOf(field, schema) === undefined).map(([field]) =>
        `${name} ${field}`
      )
    )
    assert.deepStrictEqual(without, [])
  })

  it.effect("has for each event a path that the tree has", () =>
    Effect.map(AnyPool.contract, (contract) => {
      const paths = new Set(
        Contract.flatten(contract).flatMap(({ contract, path }) => [path, ...contract.children.map(({ id }) => `${path}/${id}`)])
      )
      const strange = [...SnakepitEvent.catalogue.values()].flatMap(({ name, path }) =>
        path === "{path}" || paths.has(path.replaceAll(/\{(pool|slot)\}/g, Contract.templateKey)) ? [] : [`${name}: ${path}`]
      )
      assert.deepStrictEqual(strange, [])
    }))

  it("names the same thing by the same attribute everywhere", () => {
    for (const { attributes, name } of SnakepitEvent.catalogue.values()) {
      for (const other of ["poolName", "worker_id", "workerId", "incidentId", "correlation"]) assert.notProperty(attributes, other, name)
      if ("slot" in attributes) assert.property(attributes, "pool", `${name} has a slot: of which pool?`)
      if ("generation" in attributes && !("child" in attributes)) assert.property(attributes, "slot", name)
    }
  })
})
