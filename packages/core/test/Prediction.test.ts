/** What a contract promises of an exit, held to the engine: every child of a tree with every strategy, ended and failed in turn. */
import { assert, describe, it } from "@effect/vitest"
import { Child, Contract, DynamicSupervisor, Event, RegisteredName, RestartPolicy, Supervisor, SupervisorEvent, Tree } from "@snakepit/core"
import { Order, Prediction } from "@snakepit/core/testing"
import { Deferred, Effect, Layer, Schedule } from "effect"
import { TestClock } from "effect/testing"

const restart = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" }, delay: Schedule.spaced("1 second") })
const common = { plane: "control", because: "it is a test", limitBecause: "it is a test", restart } as const

/** The tree, what happened in it in order, and how to end its children. */
const world = () => {
  const seen: Array<string> = []
  const lives = new Map<string, Deferred.Deferred<void, string>>()
  const leaf = <const Id extends string>(
    id: Id,
    restart: "permanent" | "temporary" = "permanent",
    before: Effect.Effect<void> = Effect.void
  ) =>
    Child.make(id, {
      restart,
      start: Effect.gen(function*() {
        const { path } = yield* Child.CurrentChild
        const life = yield* Deferred.make<void, string>()
        yield* before
        lives.set(path, life)
        yield* Effect.acquireRelease(
          Effect.sync(() => seen.push(`Up ${path}`)),
          () =>
            Effect.gen(function*() {
              if (id === "process") yield* Effect.yieldNow // not at once: its supervisor may decide before it is down
              seen.push(`Down ${path}`)
            })
        )
        return Deferred.await(life)
      })
    })
  const worker = <const Id extends string>(id: Id) =>
    Supervisor.make(id, {
      ...common,
      strategy: "rest_for_one",
      events: SupervisorEvent.of("worker_supervisor", "execution"),
      children: [leaf("process"), leaf("channel"), leaf("tap", "temporary")]
    })
  const fleet = DynamicSupervisor.make("fleet", {
    ...common,
    events: SupervisorEvent.of("fleet_supervisor", "execution"),
    startedBy: "control/starter",
    child: worker
  })
  const fleetName = RegisteredName.make<Supervisor.RunningOf<typeof fleet>>("fleet")
  const fill = Effect.gen(function*() {
    const { count, startChild } = yield* RegisteredName.whereis(fleetName)
    if ((yield* count).specs > 0) return
    yield* Effect.forEach(["7", "2"], (key) => startChild(key), { concurrency: "unbounded" })
  }).pipe(Effect.orDie)
  const app = Supervisor.make("app", {
    ...common,
    strategy: "one_for_one",
    events: SupervisorEvent.of("app_supervisor", "root"),
    children: [
      Supervisor.make("pool", {
        ...common,
        strategy: "rest_for_one",
        events: SupervisorEvent.of("pool_supervisor", "control"),
        children: [
          leaf("roster"),
          Supervisor.registered(fleet, fleetName),
          Supervisor.make("control", {
            ...common,
            strategy: "one_for_all",
            events: SupervisorEvent.of("control_supervisor", "control"),
            children: [leaf("dispatcher"), leaf("starter", "permanent", fill)]
          })
        ]
      }),
      DynamicSupervisor.make("plain", {
        ...common,
        events: SupervisorEvent.of("plain_supervisor", "root"),
        initial: Effect.succeed(["a", "b"]),
        child: (key) => leaf(key)
      })
    ]
  })
  const sink = Layer.succeed(Event.EventSink, {
    emit: ({ attributes: { child, path }, name }) => void seen.push(`${name} ${path}${child === undefined ? "" : ` ${child}`}`)
  })
  return { app, lives, seen, sink }
}

const told = (step: Prediction.Step): string => {
  if (step._tag !== "Tell") return `${step._tag} ${step.path}`
  return `${step.event} ${step.path}${step.child === undefined ? "" : ` ${step.child.slice(step.child.lastIndexOf("/") + 1)}`}`
}

const generations = (tree: Tree.SupervisorNode) => new Map(Tree.flatten(tree).map(({ generation, path }) => [path, generation]))

const harm = (path: string, how: Prediction.How) =>
  Effect.gen(function*() {
    const { app, lives, seen, sink } = world()
    const running = yield* Effect.provide(Supervisor.start(app), sink)
    const before = yield* running.tree
    assert.deepStrictEqual(Contract.compare(app.contract, before), [])
    const promise = Prediction.of(Contract.bind(app.contract, before), path, how)
    const supervisor = yield* running.at(promise.by)
    seen.length = 0
    if (how === "ends") yield* Deferred.fail(lives.get(path)!, "harmed")
    else yield* supervisor.failChild(path.slice(promise.by.length + 1), "harmed")
    yield* TestClock.adjust("30 seconds")
    assert.isUndefined(Order.difference(Order.flatMap(promise.steps, (step) => [told(step)]), seen), `${how} ${path}: ${seen.join("\n")}`)
    const was = generations(before)
    const is = generations(yield* running.tree)
    for (const [at, generation] of was) {
      if (!promise.victims.includes(at)) assert.strictEqual(is.get(at), generation, at)
      else if (promise.group.includes(at)) assert.strictEqual(is.get(at), generation + 1, at)
      else if (!at.endsWith("/tap") || is.has(at)) assert.strictEqual(is.get(at), 0, at)
    }
  }).pipe(Effect.scoped)

describe("what a contract promises", () => {
  const workers = (key: string) => [`app/pool/fleet/${key}`, ...["process", "channel", "tap"].map((id) => `app/pool/fleet/${key}/${id}`)]
  const paths = [
    ...["app/pool", "app/pool/roster", "app/pool/fleet", "app/pool/control", "app/pool/control/dispatcher", "app/pool/control/starter"],
    ...[...workers("7"), ...workers("2"), "app/plain", "app/plain/a", "app/plain/b"]
  ]

  it.effect("covers every child of the tree", () =>
    Effect.gen(function*() {
      const { app } = world()
      const running = yield* Supervisor.start(app)
      const bound = Contract.bind(app.contract, yield* running.tree)
      assert.sameMembers(Contract.children(bound).map(({ path }) => path), paths)
    }).pipe(Effect.scoped))

  it.effect.each(paths)("holds when %s is failed", (path) => harm(path, "failed"))

  it.effect.each(paths.filter((path) => !/(pool|fleet|control|plain|fleet\/\d)$/.test(path)))(
    "holds when %s ends",
    (path) => harm(path, "ends")
  )

  it("names who decides, who is started anew and who goes down", () => {
    const { by, group, victims } = Prediction.of(world().app.contract, "app/pool/fleet", "failed")
    assert.strictEqual(by, "app/pool")
    assert.deepStrictEqual(group, ["app/pool/fleet", "app/pool/control"])
    assert.deepStrictEqual(victims, [
      "app/pool/fleet",
      ...workers("<key>"),
      "app/pool/control",
      "app/pool/control/dispatcher",
      "app/pool/control/starter"
    ])
  })

  it("says so when there is no entry, or when the end of its supervisor would have to be foretold", () => {
    assert.throws(() => Prediction.of(world().app.contract, "app/poll", "ends"), /no contract has an entry for app\/poll/)
    const batch = Supervisor.make("batch", {
      ...common,
      strategy: "one_for_one",
      autoShutdown: "any",
      events: SupervisorEvent.of("batch_supervisor", "root"),
      children: [Child.make("job", { start: Effect.succeed(Effect.never), restart: "temporary", significant: true })]
    })
    assert.throws(() => Prediction.of(batch.contract, "batch/job", "ends"), /may end its supervisor/)
  })
})

describe("an order", () => {
  const order: Order.Order<string> = ["a", Order.atOnce(["b", "c"], ["d"]), Order.atOnce(), "e"]

  it("is kept by every interleaving of what happens at once, and by nothing else", () => {
    for (const seen of ["abcde", "abdce", "adbce"]) assert.isUndefined(Order.difference(order, [...seen]), seen)
    assert.strictEqual(Order.difference(order, [..."acbde"]), "2nd: got c, expected b or d")
    assert.strictEqual(Order.difference(order, [..."abce"]), "4th: got e, expected d")
    assert.strictEqual(Order.difference(order, [..."abcd"]), "then nothing more, expected e")
    assert.strictEqual(Order.difference(order, [..."abcdef"]), "6th: got f, expected nothing more")
  })
})
