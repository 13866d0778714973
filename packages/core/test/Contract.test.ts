import { assert, describe, it } from "@effect/vitest"
import { Child, Contract, DynamicSupervisor, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { Effect } from "effect"

const limited = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } })
const never = Effect.succeed(Effect.never)

const worker = (slot: string) =>
  Supervisor.make(slot, {
    plane: "execution",
    strategy: "rest_for_one",
    autoShutdown: "any",
    restart: limited,
    because: "a channel is of no use without its process",
    events: SupervisorEvent.of("worker_supervisor", "execution"),
    children: [
      Child.make("process", { start: never, shutdown: "brutal" }),
      Child.make("watchdog", { start: never, restart: "transient", significant: true })
    ]
  })

const app = Supervisor.make("app", {
  plane: "control",
  strategy: "one_for_one",
  restart: RestartPolicy.make({ intensity: "unlimited" }),
  because: "workers are independent",
  events: SupervisorEvent.of("app_supervisor", "root"),
  children: [
    DynamicSupervisor.make("fleet", {
      plane: "execution",
      mountOn: "control",
      restart: limited,
      because: "one supervisor for each slot",
      stoppedBy: ["the lifecycle, by terminateChild"],
      events: SupervisorEvent.of("fleet_supervisor", "control"),
      child: worker
    })
  ]
})

describe("a contract", () => {
  it("lists itself and all supervisors below, each with its path", () => {
    assert.deepStrictEqual(Contract.flatten(app.contract).map(({ contract, path }) => [path, contract.strategy]), [
      ["app", "one_for_one"],
      ["app/fleet", "dynamic"],
      ["app/fleet/<key>", "rest_for_one"]
    ])
  })

  it("says of each child how it restarts, how long it may stop and whether it is significant", () => {
    assert.deepStrictEqual(worker("0").contract.children, [
      { id: "process", restart: "permanent", significant: false, shutdown: "brutal", supervisor: undefined },
      { id: "watchdog", restart: "transient", significant: true, shutdown: 5_000, supervisor: undefined }
    ])
    assert.strictEqual(app.contract.children[0]!.shutdown, "infinity")
  })

  it("keeps what only its author knows", () => {
    const { because, intensity, layer, plane, stoppedBy } = app.contract.children[0]!.supervisor!
    assert.deepStrictEqual(
      { because, intensity, layer, plane, stoppedBy },
      {
        because: "one supervisor for each slot",
        intensity: { maxRestarts: 3, withinMillis: 60_000 },
        layer: "control",
        plane: "execution",
        stoppedBy: ["the lifecycle, by terminateChild"]
      }
    )
    assert.strictEqual(app.contract.intensity, "unlimited")
  })

  it("names the events of its decisions", () => {
    const verbs = ["start", "restart", "recover", "leave", "abandon", "terminate", "give_up"]
    assert.deepStrictEqual(app.contract.events, verbs.map((verb) => `snakepit.app_supervisor.${verb}`))
  })
})
