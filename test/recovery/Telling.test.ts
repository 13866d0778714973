/** What the recovery suite expects, where it follows from more than one child's table. */
import { assert, describe, it } from "@effect/vitest"
import { Order, type Prediction } from "@snakepit/core/testing"
import * as Telling from "./Telling.ts"

const pool = "snakepit/pools/default"
const up = (path: string): Prediction.Step => ({ _tag: "Up", path: `${pool}/${path}` })
const down = (path: string): Prediction.Step => ({ _tag: "Down", path: `${pool}/${path}` })

const holds = (steps: ReadonlyArray<Prediction.Step>, told: ReadonlyArray<string>) =>
  assert.isUndefined(Order.difference(Telling.of(steps, ["0", "1"]), told))

describe("what is expected to be told", () => {
  it("fails for a child of which nothing is said", () => {
    assert.throws(() => Telling.of([up("fleet/0/tap")], []), /nothing says what "tap" tells/)
  })

  it("is that a worker went, once, when its process ends; nothing when its channel does", () => {
    holds([down("fleet/0/process"), down("fleet/0/channel")], ["snakepit.process.exit default/0", "snakepit.worker.detach default/0"])
    holds([down("fleet/0/channel"), up("fleet/0/channel")], [])
  })

  it("is told by the next Dispatcher when there was none, slot by slot in order", () => {
    const steps = [
      down("control/dispatcher"),
      down("fleet/0/process"),
      up("fleet/0/channel"),
      down("fleet/1/process"),
      up("control/dispatcher")
    ]
    const exits = ["snakepit.process.exit default/0", "snakepit.process.exit default/1"]
    const of0 = ["snakepit.worker.detach default/0", "snakepit.worker.attach default/0"]
    holds(steps, [...exits, ...of0, "snakepit.worker.detach default/1"])
    holds(steps, [...exits, "snakepit.worker.detach default/1", ...of0])
  })

  it("is nothing of workers that end when the Roster is gone", () => {
    holds(
      [down("roster"), down("fleet/0/channel"), up("roster"), up("fleet/0/channel")],
      ["snakepit.pool.close default", "snakepit.pool.open default", "snakepit.worker.attach default/0"]
    )
  })
})
