import { assert, describe, it } from "@effect/vitest"
import { Child, Contract, DynamicSupervisor, Preview, RestartPolicy, Supervisor, SupervisorEvent, type Tree } from "@snakepit/core"
import { Effect, Schedule } from "effect"
import { common } from "./AppContract.ts"

const limited = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } })
const never = Effect.succeed(Effect.never)

const worker = (slot: string) =>
  Supervisor.make(slot, {
    plane: "execution",
    strategy: "rest_for_one",
    autoShutdown: "any",
    restart: limited,
    because: "a channel is of no use without its process",
    limitBecause: "three crashes in a minute are bad luck",
    failedBy: { process: ["watchdog"] },
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
  limitBecause: "nobody is above",
  events: SupervisorEvent.of("app_supervisor", "root"),
  children: [
    DynamicSupervisor.make("fleet", {
      plane: "execution",
      mountOn: "control",
      restart: limited,
      because: "one supervisor for each slot",
      limitBecause: "three slots in a minute are bad luck",
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
      {
        id: "process",
        plane: "execution",
        restart: "permanent",
        significant: false,
        shutdown: "brutal",
        failedBy: ["watchdog"],
        supervisor: undefined
      },
      {
        id: "watchdog",
        plane: "execution",
        restart: "transient",
        significant: true,
        shutdown: 5_000,
        failedBy: [],
        supervisor: undefined
      }
    ])
    assert.strictEqual(app.contract.children[0]!.shutdown, "infinity")
    assert.strictEqual(app.contract.children[0]!.plane, "execution")
  })

  it("keeps what only its author knows", () => {
    const { because, intensity, layer, limitBecause, plane, stoppedBy } = app.contract.children[0]!.supervisor!
    assert.deepStrictEqual(
      { because, intensity, layer, limitBecause, plane, stoppedBy },
      {
        because: "one supervisor for each slot",
        limitBecause: "three slots in a minute are bad luck",
        intensity: { maxRestarts: 3, withinMillis: 60_000 },
        layer: "control",
        plane: "execution",
        stoppedBy: ["the lifecycle, by terminateChild"]
      }
    )
    assert.strictEqual(app.contract.intensity, "unlimited")
    assert.strictEqual(app.contract.children[0]!.supervisor!.startedBy, "callers")
    assert.deepStrictEqual([worker("0").contract.startedBy, worker("0").contract.autoShutdown], ["itself", "any"])
  })

  it("names the events of its decisions", () => {
    const verbs = ["start", "restart", "recover", "leave", "abandon", "terminate", "give_up"]
    assert.deepStrictEqual(app.contract.events, verbs.map((verb) => `snakepit.app_supervisor.${verb}`))
  })

  it("says its delays in figures, up to where they stay as they are", () => {
    const doubling = [50, 100, 200, 400, 800, 1600, 3200, 5000]
    assert.deepStrictEqual(app.contract.backoff, { lowestMillis: doubling, highestMillis: doubling, resetAfterMillis: 60_000 })
    const jittered = RestartPolicy.make({
      intensity: { maxRestarts: 3, within: "1 minute" },
      delay: Schedule.jittered(Schedule.spaced("1 second")),
      resetAfter: "1 hour"
    })
    const { backoff } = Supervisor.make("app", { ...common, strategy: "one_for_one", restart: jittered, children: [] }).contract
    assert.deepStrictEqual(backoff.lowestMillis, [800])
    assert.closeTo(backoff.highestMillis[0]!, 1200, 1)
    assert.strictEqual(backoff.resetAfterMillis, 3_600_000)
  })

  it("lists every child below with its path and its supervisor", () => {
    assert.deepStrictEqual(Contract.children(app.contract).map(({ by, path }) => [path, by.id]), [
      ["app/fleet", "app"],
      ["app/fleet/<key>", "fleet"],
      ["app/fleet/<key>/process", "<key>"],
      ["app/fleet/<key>/watchdog", "<key>"]
    ])
  })
})

const id = (path: string): string => path.slice(path.lastIndexOf("/") + 1)
const limit = { maxRestarts: 3, withinMillis: 60_000 }

/** The app's tree as it would run, changed. */
const live = (change: {
  readonly fleet?: string
  readonly strategy?: Tree.SupervisorNode["strategy"]
  readonly worker?: ReadonlyArray<string>
  readonly process?: Tree.SupervisorNode
  readonly intensity?: Tree.SupervisorNode["intensity"]
  readonly restart?: Tree.ChildNode["restart"]
  readonly shutdown?: Tree.ChildNode["shutdown"]
}): Tree.SupervisorNode => {
  const child = (path: string, supervisor?: Tree.SupervisorNode): Tree.ChildNode => ({
    id: id(path),
    path,
    status: "running",
    restart: id(path) === "watchdog" ? "transient" : change.restart ?? "permanent",
    shutdown: supervisor !== undefined ? "infinity" : id(path) === "process" ? "brutal" : change.shutdown ?? 5_000,
    because: undefined,
    generation: 0,
    restarts: 0,
    supervisor
  })
  const worker = (path: string) =>
    child(path, {
      path,
      strategy: change.strategy ?? "rest_for_one",
      intensity: change.intensity ?? limit,
      budgetLeft: 3,
      children: (change.worker ?? ["process", "watchdog"]).map((id) =>
        child(`${path}/${id}`, id === "process" ? change.process : undefined)
      )
    })
  const fleet = `app/${change.fleet ?? "fleet"}`
  const children = [worker(`${fleet}/7`), worker(`${fleet}/2`)]
  return {
    path: "app",
    strategy: "one_for_one",
    intensity: "unlimited",
    budgetLeft: Infinity,
    children: [child(fleet, { path: fleet, strategy: "dynamic", intensity: limit, budgetLeft: 3, children })]
  }
}

describe("a contract and the tree that runs", () => {
  const differences = (change: Parameters<typeof live>[0]) => Contract.compare(app.contract, live(change))

  it("agree, whatever the keys of the dynamic children", () => {
    assert.deepStrictEqual(differences({}), [])
  })

  it("do not when a child has no entry, or an entry no child", () => {
    assert.deepStrictEqual(differences({ fleet: "flotilla" }), [
      "app has no \"fleet\", which its contract promises",
      "app/flotilla is in no contract: nothing says what becomes of it"
    ])
    assert.include(
      differences({ worker: ["process", "watchdog", "tap"] }),
      "app/fleet/7/tap is in no contract: nothing says what becomes of it"
    )
  })

  it("do not when order, strategy or kind is another", () => {
    assert.include(
      differences({ worker: ["watchdog", "process"] }),
      "app/fleet/2 starts watchdog, process, its contract says process, watchdog"
    )
    assert.include(differences({ strategy: "one_for_all" }), "app/fleet/7 is one_for_all, its contract says rest_for_one")
    assert.include(differences({ process: live({}) }), "app/fleet/7/process is a supervisor, its contract says not")
  })

  it("do not when a limit, a restart type or the time of a stop is another", () => {
    assert.deepStrictEqual(differences({ intensity: { ...limit, maxRestarts: 4 } }), [
      "app/fleet/7 may restart 4 times in 60000 ms, its contract says 3 times in 60000 ms",
      "app/fleet/2 may restart 4 times in 60000 ms, its contract says 3 times in 60000 ms"
    ])
    assert.include(
      differences({ intensity: "unlimited" }),
      "app/fleet/7 may restart without limit, its contract says 3 times in 60000 ms"
    )
    assert.include(differences({ restart: "temporary" }), "app/fleet is temporary, its contract says permanent")
    assert.deepStrictEqual(differences({ shutdown: "infinity" }), [
      "app/fleet/7/watchdog may take any time, its contract says 5000 ms",
      "app/fleet/2/watchdog may take any time, its contract says 5000 ms"
    ])
  })

  it("make the contract of that tree, with its keys in their order", () => {
    const bound = Contract.bind(app.contract, live({}))
    assert.deepStrictEqual(Contract.flatten(bound).map(({ path }) => path), ["app", "app/fleet", "app/fleet/7", "app/fleet/2"])
    assert.deepStrictEqual(bound.children[0]!.supervisor!.children[1]!.supervisor!.children, worker("2").contract.children)
  })
})

describe("the contract of a dynamic supervisor whose children differ by their key", () => {
  const leaf = (id: string) => Child.make(id, { plane: "execution", start: never })
  const shards = DynamicSupervisor.make("shards", {
    plane: "control",
    restart: limited,
    because: "shards are independent",
    limitBecause: "three in a minute are bad luck",
    events: SupervisorEvent.of("shards_supervisor", "control"),
    initial: Effect.succeed(["eu", "us"]),
    shown: ["eu", "us"],
    child: (key) =>
      Supervisor.make(key, {
        plane: "execution",
        mountOn: "control",
        strategy: "one_for_one",
        restart: RestartPolicy.make({ intensity: { maxRestarts: key === "eu" ? 1 : 2, within: "1 minute" } }),
        because: "its children are independent",
        limitBecause: "each region knows its own",
        events: SupervisorEvent.of("shard_supervisor", "execution"),
        children: key === "eu" ? [leaf("store"), leaf("audit")] : [leaf("store")]
      })
  })

  it("has an entry for each, and no template", () => {
    assert.deepStrictEqual(Contract.children(shards.contract).map(({ path }) => path), [
      "shards/eu",
      "shards/us",
      "shards/eu/store",
      "shards/eu/audit",
      "shards/us/store"
    ])
  })

  it.effect("agrees with the tree that runs, and tells a key too few or too many", () =>
    Effect.scoped(Effect.gen(function*() {
      const running = yield* DynamicSupervisor.start(shards)
      assert.deepStrictEqual(Contract.compare(shards.contract, yield* running.tree), [])
      yield* running.terminateChild("us")
      yield* running.startChild("asia")
      assert.deepStrictEqual(Contract.compare(shards.contract, yield* running.tree), [
        "shards has no \"us\", which its contract promises",
        "shards/asia is in no contract: nothing says what becomes of it"
      ])
    })))

  it("is what a preview shows too", () => {
    assert.deepStrictEqual(Preview.of(shards).children.map(({ path }) => path), ["shards/eu", "shards/us"])
  })
})
