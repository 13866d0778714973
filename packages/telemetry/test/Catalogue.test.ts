import { assert, describe, it } from "@effect/vitest"
import { Event, SupervisorEvent, Unit } from "@snakepit/core"
import { Catalogue } from "@snakepit/telemetry"
import { Schema } from "effect"

const opened = Event.declare({
  name: "snakepit.door.open",
  layer: "bridge",
  when: "a door opens",
  path: "house/{door}",
  measurements: { tookMillis: Schema.Finite, guests: Unit.count("guest") },
  attributes: { door: Schema.String }
})

describe("a catalogue", () => {
  it("finds a declaration by its name", () => {
    assert.strictEqual(Catalogue.make([[opened]]).get("snakepit.door.open"), opened)
  })

  it("refuses two declarations of one name", () => {
    assert.throws(() => Catalogue.make([[opened], [opened]]), RangeError, "snakepit.door.open is declared twice")
  })

  it("prints a section for each layer, with units, and the events of supervisors once", () => {
    const supervisors = [SupervisorEvent.of("hall_supervisor", "root"), SupervisorEvent.of("room_supervisor", "control")]
    const page = Catalogue.toMarkdown(Catalogue.make([[opened], ...supervisors.map((events) => Object.values(events))])).split("\n")
    assert.deepStrictEqual(page.filter((line) => line.startsWith("## ")), ["## Supervisors", "## bridge"])
    assert.strictEqual(
      page.at(-1),
      "| `snakepit.door.open` | a door opens | `house/{door}` | `tookMillis` (ms) `guests` ({guest}) | `door` |"
    )
    assert.includeMembers(page, ["| `hall_supervisor` | root |", "| `room_supervisor` | control |"])
    assert.strictEqual(page.filter((line) => line.includes("`snakepit.<supervisor>.restart`")).length, 1)
    assert.isFalse(page.some((line) => line.includes("snakepit.room_supervisor")))
  })
})
