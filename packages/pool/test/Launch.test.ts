import { assert, describe, it } from "@effect/vitest"
import { Tree } from "@snakepit/core"
import { Effect, Fiber, Schema } from "effect"
import { ScriptedRuntime } from "../src/testing/index.ts"
import { after, begin, errorOf, openPools, scoped, tools as scriptedTools } from "./OpenPools.ts"

type Open = Effect.Success<ReturnType<typeof openPools<never>>>

/** Everything of the fleets: what a crash outside them must not change. */
const fleets = ({ running, scripted }: Open) =>
  Effect.map(running.tree, (tree) => ({
    nodes: Tree.flatten(tree).filter(({ path }) => path.includes("/fleet/")).map(({ generation, path, restarts, status }) =>
      `${path} ${status} ${generation} ${restarts}`
    ),
    pids: scripted.alive().map((name) => scripted.worker(name).pid())
  }))

const filled = ({ recorded }: Open) =>
  recorded.events.filter(({ name }) => name === "snakepit.worker_starter.fill").map(({ measurements }) => measurements)

describe("a pool that starts", () => {
  it.effect("is up when all its workers are, as many launched at a time as it may", () =>
    scoped(Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "1 second" })
      const start = yield* begin(openPools({ scripted, pools: { default: { size: 7, launch: { concurrency: 3 } } } }))
      yield* after("500 millis")
      assert.deepStrictEqual(scripted.launching("default"), { now: 3, most: 3 })
      yield* after("2 seconds")
      assert.isUndefined(start.pollUnsafe())
      yield* after("500 millis")
      const pools = yield* Fiber.join(start)
      assert.strictEqual(scripted.alive().length, 7)
      assert.deepStrictEqual(filled(pools), [{ present: 0, given: 7 }])
    })))

  it.effect("without its first worker does not start: the first typed failure, and nothing is left", () =>
    scoped(Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "1 second" })
      yield* scripted.worker("default/3").refuseBoots(1, "exit")
      yield* scripted.worker("default/4").refuseBoots(1, "bind")
      const start = yield* begin(Effect.flip(openPools({ scripted, pools: { default: { size: 5, launch: { concurrency: 2 } } } })))
      yield* after("2 seconds")
      const error = yield* Fiber.join(start)
      assert.isTrue(error._tag === "StartFailed")
      if (error._tag !== "StartFailed") return
      assert.strictEqual(error.at.path, "pools/default/control/launcher/worker_starter")
      assert.include(error.at.error, { _tag: "BootFailed", worker: "default/3", stage: "exit" })
      assert.deepStrictEqual(scripted.alive(), [])
      assert.strictEqual(scripted.launching("default").now, 0)
    })))

  it.effect("without its Forkserver does not start, and launches no worker", () =>
    Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools })
      yield* scripted.refuseForkserver("default", 1, "import")
      const error = yield* Effect.flip(openPools({ scripted }))
      assert.isTrue(error._tag === "StartFailed" && error.at.path === "pools/default/control/launcher/forkserver")
      assert.strictEqual(scripted.launching("default").most, 0)
    }))

  it.effect("gives the permit of a launch that failed to the next one when the process has ended", () =>
    scoped(Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "1 second", failedBootTakes: "3 seconds" })
      const start = yield* begin(openPools({ scripted, pools: { default: { size: 2, launch: { concurrency: 1 } } } }))
      yield* after("2 seconds")
      yield* Fiber.join(start)
      yield* scripted.worker("default/0").refuseBoots(1, "exit")
      yield* scripted.worker("default/0").crash()
      yield* scripted.worker("default/1").crash()
      yield* after("3900 millis")
      assert.deepStrictEqual([scripted.alive(), scripted.launching("default")], [[], { now: 1, most: 1 }])
      yield* after("200 millis")
      assert.deepStrictEqual(scripted.launching("default"), { now: 1, most: 1 })
      yield* after("1 second")
      assert.include(scripted.alive(), "default/1")
      yield* after("5 seconds")
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1"])
    })))

  it.effect("and is stopped meanwhile leaves nothing starting", () =>
    Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "1 minute" })
      const start = yield* begin(Effect.scoped(openPools({ scripted, pools: { default: { size: 3, launch: { concurrency: 2 } } } })))
      yield* after("1 second")
      yield* begin(Fiber.interrupt(start))
      yield* after("1 second")
      assert.isDefined(start.pollUnsafe(), "the pools do not stop")
      assert.strictEqual(scripted.launching("default").now, 0)
      yield* after("5 minutes")
      assert.deepStrictEqual(scripted.alive(), [])
    }))
})

describe("no worker is touched by a crash of", () => {
  it.effect.each(
    [
      ["the dispatcher", "default/control/dispatcher"],
      ["the forkserver", "default/control/launcher/forkserver"],
      ["the worker_starter", "default/control/launcher/worker_starter"],
      ["the launcher", "default/control/launcher"],
      ["the control supervisor", "default/control"]
    ] as const
  )("%s: its successor adopts them, and calls keep their outcome", ([, path]) =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { default: { size: 2, launch: { spares: 1 } }, other: { size: 1 } } })
      const { kill, ledger, node, scripted, tools } = pools
      const before = yield* fleets(pools)
      const calls = yield* Effect.forEach([0, 1, 2, 3, 4], (n) => begin(tools.record({ n }))) // two run, three wait
      yield* after("500 millis")
      yield* kill(path)
      yield* after("4 seconds")
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), [0, 1, 2, 3, 4])
      assert.deepStrictEqual(scripted.journal.map(({ outcome }) => outcome), ["done", "done", "done", "done", "done"])
      assert.include(yield* ledger(), { accepted: 5, completed: 5, failed: 0, retried: 0 })
      assert.deepStrictEqual(yield* fleets(pools), before)
      assert.strictEqual((yield* node(path)).status, "running")
      assert.strictEqual((yield* node(path)).generation, 1)
      assert.strictEqual(scripted.spares("default").waiting().length, 1)
      const starts = filled(pools)
      assert.deepStrictEqual(starts.slice(0, 2).map((start) => start["given"]).toSorted(), [1, 2])
      assert.deepStrictEqual(starts.slice(2), path === "default/control/dispatcher" ? [] : [{ present: 2, given: 0 }])
    })))

  it.effect("the forkserver, again and again: new workers start without it", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools()
      const { node, scripted, tools } = pools
      yield* scripted.refuseForkserver("default", Number.POSITIVE_INFINITY, "exit")
      yield* scripted.endForkserver("default")
      yield* after("10 minutes")
      assert.strictEqual((yield* node("default/control/launcher/forkserver")).status, "waiting")
      assert.deepStrictEqual((yield* fleets(pools)).pids, [1001, 1002])
      yield* scripted.worker("default/0").crash()
      yield* after("1 millis")
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      yield* scripted.refuseForkserver("default", 0)
      yield* after("5 seconds")
      assert.strictEqual((yield* node("default/control/launcher/worker_starter")).status, "running")
      assert.strictEqual((yield* node("default/control")).restarts, 0)
    })))
})

describe("the workers of its pool, and of no other, are taken by a crash of", () => {
  it.effect.each([["the roster", "a/roster"], ["the reaper", "a/reaper"]] as const)(
    "%s: its calls end as typed failures, and the pool serves again",
    ([, path]) =>
      scoped(Effect.gen(function*() {
        const pools = yield* openPools({ pools: { a: { size: 2 }, b: { size: 2 } } })
        const { client, kill, scripted } = pools
        const [a, b] = [yield* client("a"), yield* client("b")]
        const other = (yield* fleets(pools)).nodes.filter((line) => line.startsWith("pools/b/"))
        const [running, sent] = [yield* begin(a.stubborn({ n: 1 })), yield* begin(a.record({ n: 2 }))]
        const elsewhere = yield* begin(b.record({ n: 3 }))
        yield* after("100 millis")
        yield* kill(path)
        yield* after("8 seconds") // the grace of what runs
        for (const call of [running, sent]) {
          const error = yield* errorOf(call)
          assert.include(["WorkerCrashed", "OutcomeUnknown", "CallTimeout"], error._tag)
          assert.strictEqual(error.executed, "unknown")
        }
        assert.strictEqual(yield* Fiber.join(elsewhere), 3)
        assert.deepStrictEqual(scripted.alive(), ["a/0", "a/1", "b/0", "b/1"])
        assert.deepStrictEqual((yield* fleets(pools)).nodes.filter((line) => line.startsWith("pools/b/")), other)
        assert.isAbove(scripted.worker("a/0").pid()!, 1004, "a new process")
        assert.strictEqual(yield* a.add({ a: 1, b: 1 }), 2)
      }))
  )

  it.effect("the fleet: it is filled again", () =>
    scoped(Effect.gen(function*() {
      const pools = yield* openPools({ pools: { a: { size: 3 }, b: { size: 1 } } })
      yield* pools.kill("a/fleet")
      yield* after("5 seconds")
      assert.deepStrictEqual(pools.scripted.alive(), ["a/0", "a/1", "a/2", "b/0"])
      assert.strictEqual((yield* pools.node("a/roster")).generation, 0)
      assert.strictEqual((yield* pools.node("a/reaper")).generation, 0)
      assert.deepStrictEqual(filled(pools).map((start) => start["given"]), [3, 1, 3])
      assert.strictEqual(yield* pools.tools.add({ a: 1, b: 1 }), 2)
    })))
})

/** Another control supervisor in the middle of a start of the present one. */
const interrupt = ({ running }: Open) =>
  Effect.gen(function*() {
    const pool = yield* running.at("pools/default")
    yield* pool.terminateChild("control")
    yield* begin(pool.restartChild("control"))
  })

describe("a fleet that is being filled", () => {
  it.effect("is filled by the next worker_starter when the first one is stopped over it, none of its workers twice", () =>
    scoped(Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "1 second" })
      const start = yield* begin(openPools({ scripted, pools: { default: { size: 4, launch: { concurrency: 2 } } } }))
      yield* after("3 seconds")
      const pools = yield* Fiber.join(start)
      yield* scripted.endReaper("default")
      yield* after("1500 millis") // two are up again, two are starting
      yield* interrupt(pools)
      yield* after("5 seconds")
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1", "default/2", "default/3"])
      assert.deepStrictEqual((yield* fleets(pools)).pids.toSorted(), [1005, 1006, 1007, 1008])
      assert.strictEqual((yield* pools.node("default/control/launcher/worker_starter")).status, "running")
    })))

  it.effect("gets a slot again that its first worker_starter has given and that did not come up", () =>
    scoped(Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "1 second" })
      const start = yield* begin(openPools({ scripted, pools: { default: { size: 2 } } }))
      yield* after("2 seconds")
      const pools = yield* Fiber.join(start)
      yield* scripted.worker("default/1").refuseBoots(1, "exit")
      yield* scripted.endReaper("default")
      yield* after("500 millis")
      yield* interrupt(pools) // the launch of both goes on, and the second of them fails
      yield* after("10 seconds")
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1"])
      assert.strictEqual((yield* pools.node("default")).restarts, 0)
    })))

  it.effect("and gives up meanwhile ends the start of the pool", () =>
    scoped(Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "1 second" })
      const settings = { size: 2, launch: { concurrency: 1 }, restart: { worker: { maxRestarts: 0 }, fleet: { maxRestarts: 0 } } }
      const start = yield* begin(openPools({ scripted, pools: { default: settings } }))
      yield* after("1500 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("10 seconds")
      assert.isDefined(start.pollUnsafe(), "the start hangs")
      const error = yield* Effect.flip(Fiber.join(start))
      assert.isTrue(error._tag === "StartFailed" && error.at.error._tag === "FleetLost")
      assert.include(error.message, "pools/default/fleet/0/process")
      assert.deepStrictEqual(scripted.alive(), [])
    })))
})

describe("warm spares", () => {
  const pools = { default: { size: 2, launch: { spares: 2, concurrency: 1 } } }

  it.effect("are started after the workers, taken by the next ones, and replaced", () =>
    scoped(Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "1 second" })
      const start = yield* begin(openPools({ scripted, pools }))
      yield* after("2 seconds")
      const { recorded, tools } = yield* Fiber.join(start)
      assert.deepStrictEqual(scripted.spares("default").waiting(), [])
      yield* after("2 seconds")
      assert.deepStrictEqual(scripted.spares("default").waiting(), [1003, 1004])
      yield* scripted.worker("default/0").crash()
      yield* after("1 millis")
      assert.strictEqual(scripted.worker("default/0").pid(), 1003, "no launch")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      assert.deepStrictEqual(scripted.spares("default").waiting(), [1004])
      yield* after("1 second")
      assert.deepStrictEqual(scripted.spares("default").waiting(), [1004], "its successor leaves the first 50 ms to it")
      yield* after("50 millis")
      assert.deepStrictEqual(scripted.spares("default").waiting(), [1004, 1005])
      assert.strictEqual(scripted.launching("default").most, 1)
      assert.deepStrictEqual(
        recorded.events.filter(({ name }) => name.startsWith("snakepit.spare.")).map(({ attributes, name }) => [
          name.slice("snakepit.spare.".length),
          attributes["pid"]
        ]),
        [["ready", 1003], ["ready", 1004], ["leave", 1003], ["ready", 1005]]
      )
    })))

  it.effect("that die are replaced, those that keep dying ever more slowly", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted } = yield* openPools({ pools: { default: { size: 1, launch: { spares: 1 } } } })
      const died = () => recorded.events.filter(({ attributes }) => attributes["how"] === "died").length
      yield* after("1 second")
      assert.deepStrictEqual(scripted.spares("default").waiting(), [1002])
      yield* scripted.spares("default").crash
      yield* after("50 millis")
      assert.deepStrictEqual(scripted.spares("default").waiting(), [1003])
      yield* scripted.spares("default").crash
      yield* after("50 millis")
      assert.deepStrictEqual(scripted.spares("default").waiting(), [], "the second delay is longer")
      yield* after("50 millis")
      assert.deepStrictEqual(scripted.spares("default").waiting(), [1004])
      assert.strictEqual(died(), 2)
    })))

  it.effect("that do not boot take nothing down, and are tried no more often than every five seconds", () =>
    scoped(Effect.gen(function*() {
      const open = yield* openPools({ pools: { default: { size: 2 }, other: { launch: { spares: 1 } } } })
      yield* open.scripted.spares("other").refuseBoots(Number.POSITIVE_INFINITY)
      const before = yield* fleets(open)
      yield* after("1 second")
      yield* open.scripted.spares("other").crash
      yield* after("10 minutes")
      const tried = open.recorded.events.filter(({ name }) => name === "snakepit.spare.fail")
      assert.isAtLeast(tried.length, 100)
      assert.isAtMost(tried.length, 130) // 600 s at 5 s, and some at first
      assert.include(tried.at(-1)!.attributes["cause"], "does not import")
      assert.strictEqual(tried.at(-1)!.measurements["delayMillis"], 5000)
      assert.deepStrictEqual(yield* fleets(open), before)
      assert.strictEqual((yield* open.node("other/control/spares")).generation, 0)
      yield* open.scripted.spares("other").refuseBoots(0)
      yield* after("5 seconds")
      assert.strictEqual(open.scripted.spares("other").waiting().length, 1)
    })))

  it.effect.each(["forkserver", "worker_starter"] as const)(
    "outlive the %s: they wait, and are taken while it is away",
    (child) =>
      scoped(Effect.gen(function*() {
        const { kill, node, recorded, scripted } = yield* openPools({ pools: { default: { size: 2, launch: { spares: 2 } } } })
        yield* after("1 second")
        assert.deepStrictEqual(scripted.spares("default").waiting(), [1003, 1004])
        yield* scripted.refuseForkserver("default", Number.POSITIVE_INFINITY, "exit")
        yield* kill(`default/control/launcher/${child}`)
        yield* after("1 minute")
        assert.deepStrictEqual(scripted.spares("default").waiting(), [1003, 1004])
        assert.strictEqual((yield* node("default/control/spares")).generation, 0)
        yield* scripted.worker("default/1").crash()
        yield* after("1 millis")
        assert.strictEqual(scripted.worker("default/1").pid(), 1003)
        assert.deepStrictEqual(recorded.events.filter(({ attributes }) => attributes["how"] === "died"), [])
        yield* after("1 second")
        assert.deepStrictEqual(scripted.spares("default").waiting(), [1004, 1005])
      }))
  )

  it.effect("end with their Reaper and with the application; one that was taken lives on", () =>
    scoped(Effect.gen(function*() {
      const open = yield* openPools({ pools: { default: { size: 1, launch: { spares: 1 } } } })
      yield* after("1 second")
      yield* open.scripted.worker("default/0").crash()
      yield* after("1 second")
      assert.strictEqual(open.scripted.worker("default/0").pid(), 1002)
      yield* open.kill("default/control/spares") // its scope held the spare once
      yield* after("1 second")
      assert.strictEqual(open.scripted.worker("default/0").pid(), 1002)
      assert.strictEqual(open.scripted.spares("default").waiting().length, 1)
      yield* begin(open.running.terminateChild("default"))
      yield* after("5 seconds")
      assert.deepStrictEqual(open.scripted.spares("default").waiting(), [])
      assert.deepStrictEqual(open.scripted.alive(), [])
    })))
})

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const Storm = Schema.Struct({
  concurrency: int(1, 4),
  spares: int(0, 2),
  boot: Schema.Literals([10, 300, 1000]),
  end: Schema.Literals([0, 700]),
  steps: Schema.Array(Schema.Union([
    Schema.TaggedStruct("Crash", { slots: Schema.Array(int(0, 5)).check(Schema.isMaxLength(6)) }),
    Schema.TaggedStruct("Refuse", { slot: int(0, 5), times: int(1, 3) }),
    Schema.TaggedStruct("End", {
      what: Schema.Literals(["reaper", "forkserver", "worker_starter", "launcher", "spares", "control", "fleet", "spare"])
    }),
    Schema.TaggedStruct("Wait", { ms: Schema.Literals([0, 10, 100, 900]) })
  ])).check(Schema.isMaxLength(40))
})

describe("a storm of crashes", () => {
  it.effect.prop(
    "never has more processes starting than launch.concurrency, and ends with every slot filled",
    { storm: Storm },
    ({ storm: { boot, concurrency, end, spares, steps } }) =>
      scoped(Effect.gen(function*() {
        const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: boot, failedBootTakes: end })
        const start = yield* begin(
          openPools({ scripted, pools: { default: { size: 6, stopGrace: "1 second", launch: { concurrency, spares } } } })
        )
        yield* after("10 seconds")
        const { kill } = yield* Fiber.join(start)
        const harm = (effect: Effect.Effect<void, unknown>) => Effect.ignoreCause(effect) // there may be nothing to harm now
        for (const step of steps) {
          switch (step._tag) {
            case "Crash":
              for (const slot of step.slots) yield* harm(scripted.worker(`default/${slot}`).crash())
              break
            case "Refuse":
              yield* scripted.worker(`default/${step.slot}`).refuseBoots(step.times, "exit")
              break
            case "Wait":
              yield* after(step.ms)
              break
            case "End":
              if (step.what === "reaper") yield* harm(scripted.endReaper("default"))
              else if (step.what === "forkserver") yield* harm(scripted.endForkserver("default"))
              else if (step.what === "spare") yield* harm(scripted.spares("default").crash)
              else if (step.what === "fleet" || step.what === "control") yield* harm(kill(`default/${step.what}`))
              else if (step.what === "worker_starter") yield* harm(kill("default/control/launcher/worker_starter"))
              else yield* harm(kill(`default/control/${step.what}`))
          }
        }
        yield* after("2 minutes")
        assert.isAtMost(scripted.launching("default").most, concurrency)
        assert.strictEqual(scripted.launching("default").now, 0)
        assert.strictEqual(scripted.alive().length, 6)
        assert.strictEqual(scripted.spares("default").waiting().length, spares)
      })),
    { arbitrary: { runs: 30, size: 40 } }
  )
})
