import { assert, describe, it } from "@effect/vitest"
import { Event } from "@snakepit/core"
import { Catalogue } from "@snakepit/telemetry"
import { Schema } from "effect"

const opened = Event.declare({
  name: "snakepit.door.open",
  layer: "bridge",
  when: "a door opens",
  path: "house/{door}",
  measurements: { tookMillis: Schema.Finite },
  attributes: { door: Schema.String }
})

describe("a catalogue", () => {
  it("finds a declaration by its name", () => {
    assert.strictEqual(Catalogue.make([[opened]]).get("snakepit.door.open"), opened)
  })

  it("refuses two declarations of one name", () => {
    assert.throws(() => Catalogue.make([[opened], [opened]]), RangeError, "snakepit.door.open is declared twice")
  })

  it("prints one row an event", () => {
    const [, , row] = Catalogue.toMarkdown(Catalogue.make([[opened]])).split("\n")
    assert.strictEqual(row, "| `snakepit.door.open` | bridge | a door opens | `tookMillis` | `door` |")
  })
})
