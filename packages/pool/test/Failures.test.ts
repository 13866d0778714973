import { assert, describe, it } from "@effect/vitest"
import { Tree } from "@snakepit/core"
import type { Event } from "@snakepit/core"
import { Effect, Fiber, Stream } from "effect"
import type { Call } from "../src/control/Dispatch.ts"
import * as Line from "../src/control/Line.ts"
import { ScriptedRuntime } from "../src/testing/index.ts"
import { after, begin, errorOf, openPools, scoped, tools as scriptedTools } from "./OpenPools.ts"

/** Where every process stands: what a failure must not change of others. */
const generations = (tree: Tree.SupervisorNode) =>
  Object.fromEntries(Tree.flatten(tree).filter(({ id }) => id === "process").map(({ generation, path }) => [path, generation]))

/** The events of one slot and its calls, as `subject.verb`. */
const story = (events: ReadonlyArray<Event.Event>, slot: number): ReadonlyArray<string> =>
  events.filter(({ attributes }) => attributes["slot"] === slot).map(({ name }) => name.replace("snakepit.", ""))

describe("a worker that crashes", () => {
  it.effect("with an idempotent call: another worker does it", () =>
    Effect.gen(function*() {
      const { ledger, scripted, tools } = yield* openPools()
      const call = yield* begin(tools.again({ n: 7 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").crash("SIGSEGV")
      yield* after("1050 millis")
      assert.strictEqual(yield* Fiber.join(call), 7)
      assert.deepStrictEqual(scripted.journal.map(({ outcome, worker }) => [worker, outcome]), [["default/0", "lost"], [
        "default/1",
        "done"
      ]])
      assert.include(yield* ledger(), { accepted: 1, completed: 1, retried: 1 })
    }))

  it.effect("with an idempotent call and no other worker: its successor does it", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const call = yield* begin(tools.again({ n: 7 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("2 seconds")
      assert.strictEqual(yield* Fiber.join(call), 7)
      assert.deepStrictEqual(scripted.journal.map(({ generation }) => generation), [0, 1])
    }))

  it.effect("under the same call each time: the call is given up after its attempts", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 3, attempts: 2 } } })
      const call = yield* begin(tools.again({ n: 7 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("500 millis")
      yield* scripted.worker(scripted.journal[1]!.worker).crash()
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "WorkerCrashed" && error.attempts === 2)
      assert.strictEqual(scripted.journal.length, 2)
    }))

  it.effect("with a call that began and is not idempotent: it is reported and not run again", () =>
    Effect.gen(function*() {
      const { ledger, scripted, tools } = yield* openPools()
      const call = yield* begin(tools.record({ n: 7 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").crash("SIGSEGV")
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "WorkerCrashed" && error.executed === "unknown" && error.worker === "default/0")
      assert.include(error._tag === "WorkerCrashed" ? error.reason : "", "SIGSEGV")
      yield* after("10 seconds")
      assert.strictEqual(scripted.journal.length, 1)
      assert.include(yield* ledger(), { failed: 1, retried: 0, twice: 0 })
    }))

  it.effect("with a call that was sent and had not begun: nobody knows", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      yield* scripted.worker("default/0").freeze
      const call = yield* begin(tools.record({ n: 7 }))
      yield* after("100 millis")
      yield* scripted.worker("default/0").crash()
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "OutcomeUnknown" && error.executed === "unknown" && !error.began)
      yield* after("10 seconds")
      assert.deepStrictEqual(scripted.journal, [])
    }))

  it.effect("does not touch the calls that wait", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      yield* begin(tools.record({ n: 1 }).pipe(Effect.ignore))
      const waiting = yield* begin(tools.record({ n: 2 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("2 seconds")
      assert.strictEqual(yield* Fiber.join(waiting), 2)
      assert.deepStrictEqual(scripted.journal.map(({ args, generation }) => [args, generation]), [[{ n: 1 }, 0], [{ n: 2 }, 1]])
    }))

  it.effect("touches no other worker and no other pool", () =>
    Effect.gen(function*() {
      const { running, scripted } = yield* openPools({ pools: { a: { size: 2 }, b: { size: 2 } } })
      yield* scripted.worker("a/1").exit(1)
      yield* after("1 second")
      assert.deepStrictEqual(generations(yield* running.tree), {
        "pools/a/fleet/0/process": 0,
        "pools/a/fleet/1/process": 1,
        "pools/b/fleet/0/process": 0,
        "pools/b/fleet/1/process": 0
      })
    }))

  it.effect("in the middle of a deterministic stream: it goes on without a gap or a repetition", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      const call = yield* begin(Stream.runCollect(tools.stepsResumed({ n: 10 })))
      yield* after("450 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(call), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      assert.deepStrictEqual(scripted.journal.map(({ elements }) => elements), [4, 6])
    }))

  it.effect("in the middle of a stream that is not deterministic: it is reported after what was delivered", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      const seen: Array<number> = []
      const call = yield* begin(tools.stepsAgain({ n: 10 }).pipe(Stream.runForEach((n) => Effect.sync(() => seen.push(n)))))
      yield* after("450 millis")
      yield* scripted.worker("default/0").crash()
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "WorkerCrashed" && error.delivered === 4)
      assert.deepStrictEqual(seen, [0, 1, 2, 3])
    }))

  it.effect("before the first element of an idempotent stream: another worker does it", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      const call = yield* begin(Stream.runCollect(tools.stepsAgain({ n: 3 })))
      yield* after("50 millis")
      yield* scripted.worker("default/0").crash()
      yield* after("1 second")
      assert.deepStrictEqual(yield* Fiber.join(call), [0, 1, 2])
    }))

  it.effect("is told as one sequence of events under one incident", () =>
    Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools()
      yield* begin(tools.again({ n: 7 }))
      yield* after("500 millis")
      recorded.events.length = 0
      yield* scripted.worker("default/0").crash("SIGSEGV")
      yield* after("1050 millis")
      assert.deepStrictEqual(story(recorded.events, 0), [
        "worker.detach",
        "worker.taint",
        "call.retry",
        "worker_supervisor.restart",
        "worker.attach",
        "lifecycle.fill",
        "worker_supervisor.recover"
      ])
      const [detach, taint, retry, restart, attach, , recover] = recorded.events.filter(({ attributes }) => attributes["slot"] === 0)
      assert.deepInclude(detach, { measurements: { calls: 1 } })
      assert.deepInclude(detach!.attributes, { pool: "default", generation: 0, cause: "its process was ended by SIGSEGV" })
      assert.deepInclude(taint, { measurements: { forMillis: 10_000 } })
      assert.deepInclude(taint!.attributes, { exitClass: "Segfault", cause: "its process was ended by SIGSEGV" })
      assert.deepInclude(retry, { measurements: { attempt: 2, delayMillis: 50 } })
      assert.deepInclude(retry!.attributes, { pool: "default", tool: "again" })
      assert.deepInclude(restart, { measurements: { delayMillis: 0, budgetLeft: 2, victims: 4 } })
      assert.deepInclude(restart!.attributes, {
        "snakepit.layer": "execution",
        path: "pools/default/fleet/0",
        pool: "default",
        child: "process",
        generation: 0,
        reason: "Failed"
      })
      assert.deepInclude(attach!.attributes, { pool: "default", generation: 1 })
      assert.deepInclude(recover, { measurements: { tookMillis: 0 } })
      assert.deepInclude(recover!.attributes, { pool: "default", child: "process", generation: 1 })
      assert.isString(restart!.attributes["incident"])
      const ofIncident = [detach, taint, retry, recover].map((event) => event!.attributes["incident"])
      assert.deepStrictEqual(ofIncident, Array.from(ofIncident, () => restart!.attributes["incident"]))
    }))
})

describe("a worker that is stopped", () => {
  it.effect("as planned finishes the call that it runs, and gives back those that it has not begun: another worker does them", () =>
    Effect.gen(function*() {
      const { running, scripted, tools } = yield* openPools({ pools: { default: { size: 2, prefetch: 1 } } })
      const calls = yield* Effect.forEach([1, 2, 3, 4], (n) => begin(tools.record({ n })))
      yield* after("500 millis")
      const fleet = yield* running.at("pools/default/fleet")
      const stopping = yield* begin(fleet.terminateChild("0"))
      const late = yield* begin(tools.record({ n: 5 }))
      yield* after("499 millis")
      assert.isUndefined(stopping.pollUnsafe())
      yield* after("1 millis")
      yield* Fiber.join(stopping)
      yield* after("10 seconds")
      assert.deepStrictEqual(yield* Effect.forEach([...calls, late], Fiber.join), [1, 2, 3, 4, 5])
      assert.deepStrictEqual(scripted.journal.map(({ args, outcome, worker }) => [args, worker, outcome]), [
        [{ n: 1 }, "default/0", "done"],
        ...[2, 4, 3, 5].map((n) => [{ n }, "default/1", "done"])
      ])
    }))

  it.effect("with its whole pool finishes the call that it runs; those that wait are told that the pool is down", () =>
    Effect.gen(function*() {
      const { running, tools } = yield* openPools({ pools: { default: { size: 1, prefetch: 1 } } })
      const [first, second, third] = yield* Effect.forEach([1, 2, 3], (n) => begin(tools.record({ n })))
      yield* after("500 millis")
      const stopping = yield* begin(running.terminateChild("default"))
      yield* after("500 millis")
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* Fiber.join(first!), 1)
      for (const call of [second!, third!]) assert.include(yield* errorOf(call), { _tag: "PoolDown", executed: "no" })
    }))

  it.effect("waits for the call that it runs no longer than stopGrace, once", () =>
    Effect.gen(function*() {
      const { running, tools } = yield* openPools({ pools: { default: { size: 1, stopGrace: "1 second" } } })
      const call = yield* begin(tools.endless())
      yield* after("500 millis")
      const fleet = yield* running.at("pools/default/fleet")
      const stopping = yield* begin(fleet.terminateChild("0"))
      yield* after("999 millis")
      assert.isUndefined(stopping.pollUnsafe())
      yield* after("1 millis")
      yield* Fiber.join(stopping)
      assert.include(yield* errorOf(call), { _tag: "OutcomeUnknown", executed: "unknown" })
    }))

  it.effect("by a restart of its channel alone finishes the call, and takes the next over the new one", () =>
    Effect.gen(function*() {
      const { running, scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const calls = yield* Effect.forEach([1, 2], (n) => begin(tools.record({ n })))
      yield* after("500 millis")
      const slot = yield* running.at("pools/default/fleet/0")
      const restarting = yield* begin(Effect.andThen(slot.terminateChild("channel"), slot.restartChild("channel")))
      yield* after("10 seconds")
      yield* Fiber.join(restarting)
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), [1, 2])
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
    }))
})

describe("a worker that hangs", () => {
  const pools = { default: { size: 2, heartbeat: { interval: "1 second", timeout: "500 millis", maxMissed: 3 } } }

  it.effect("is found after maxMissed intervals, counted, replaced, and serves again", () =>
    Effect.gen(function*() {
      const { node, recorded, scripted, tools } = yield* openPools({ pools })
      yield* after("100 millis")
      yield* scripted.worker("default/0").appears("sleeping")
      yield* scripted.worker("default/0").freeze
      yield* after("3300 millis") // the third beat is at 3 s, its answer due at 3.5 s
      assert.deepStrictEqual(recorded.ofVerb("bite"), [])
      yield* after("100 millis")
      assert.strictEqual(recorded.ofVerb("bite").length, 1)
      yield* after(0) // no stopGrace for it
      const restart = recorded.ofVerb("restart")[0]!
      assert.deepInclude(restart, { measurements: { delayMillis: 0, budgetLeft: 2, victims: 4 } })
      assert.include(restart.attributes["cause"], "WorkerUnreachable")
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
      assert.strictEqual(scripted.worker("default/1").generation(), 0)
      assert.strictEqual((yield* node("default/fleet/0/process")).restarts, 1)
      assert.deepStrictEqual(yield* Effect.all([tools.add({ a: 1, b: 1 }), tools.add({ a: 2, b: 2 })], { concurrency: 2 }), [2, 4])
      assert.deepStrictEqual(scripted.journal.map(({ worker }) => worker).toSorted(), ["default/0", "default/1"])
    }))

  it.effect("with a call: the call is reported when the process has ended", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools })
      const call = yield* begin(tools.record({ n: 1 }))
      yield* after("100 millis")
      yield* scripted.worker("default/0").appears("sleeping")
      yield* scripted.worker("default/0").freeze
      yield* after("10 seconds")
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "WorkerCrashed")
      assert.include(error._tag === "WorkerCrashed" ? error.reason : "", "SIGKILL")
    }))

  it.effect("and comes back before the last beat is left alone", () =>
    Effect.gen(function*() {
      const { recorded, scripted } = yield* openPools({ pools })
      yield* scripted.worker("default/0").appears("sleeping")
      yield* scripted.worker("default/0").freeze
      yield* after("2700 millis")
      yield* scripted.worker("default/0").thaw
      yield* after("10 seconds")
      assert.deepStrictEqual(recorded.ofVerb("miss").map(({ measurements }) => measurements["missed"]), [1, 2])
      assert.deepStrictEqual(recorded.ofVerb("restart"), [])
      assert.strictEqual(recorded.events.filter(({ name }) => name === "snakepit.heartbeat.recover").length, 1)
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
    }))

  it.effect("is told as one sequence of events", () =>
    Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools })
      yield* begin(tools.again({ n: 1 }))
      yield* after("100 millis")
      recorded.events.length = 0
      yield* scripted.worker("default/0").appears("sleeping")
      yield* scripted.worker("default/0").freeze
      yield* after("10 seconds")
      assert.deepStrictEqual(story(recorded.events, 0), [
        "heartbeat.miss",
        "heartbeat.miss",
        "heartbeat.miss",
        "watchdog.verdict",
        "watchdog.bite",
        "worker.detach", // it is killed at once
        "call.retry",
        "worker_supervisor.restart",
        "worker.attach",
        "lifecycle.fill",
        "worker_supervisor.recover"
      ])
      const incidents = new Set(recorded.events.flatMap(({ attributes }) => attributes["incident"] ?? []))
      assert.strictEqual(incidents.size, 1)
    }))
})

describe("a channel that breaks", () => {
  it.effect("is opened anew, and the process stays", () =>
    Effect.gen(function*() {
      const { node, running, scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const before = generations(yield* running.tree)
      yield* scripted.worker("default/0").loseChannel()
      yield* after("1 second")
      assert.deepStrictEqual(generations(yield* running.tree), before)
      assert.strictEqual((yield* node("default/fleet/0/channel")).generation, 1)
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))

  it.effect("loses no call: what runs goes on, and its result comes with the next one", () =>
    Effect.gen(function*() {
      const { ledger, scripted, tools } = yield* openPools({
        pools: { default: { size: 1 } },
        scripted: ScriptedRuntime.make({ tools: scriptedTools, redialTakes: "200 millis" })
      })
      const call = yield* begin(tools.record({ n: 3 }))
      yield* after("990 millis")
      yield* scripted.worker("default/0").loseChannel()
      yield* after("11 millis") // it ends while there is no channel
      assert.deepStrictEqual(scripted.journal.map(({ outcome }) => outcome), ["done"])
      assert.isUndefined(call.pollUnsafe())
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(call), 3)
      assert.strictEqual(scripted.journal.length, 1)
      assert.include(yield* ledger(), { completed: 1, retried: 0 })
    }))

  it.effect("in the middle of a stream costs it no element", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const call = yield* begin(Stream.runCollect(tools.steps({ n: 10 })))
      yield* after("450 millis")
      yield* scripted.worker("default/0").loseChannel()
      yield* after("5 seconds")
      assert.deepStrictEqual(yield* Fiber.join(call), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      assert.deepStrictEqual(scripted.journal.map(({ elements }) => elements), [10])
    }))

  it.effect("takes the caller's cancellation along when it is whole again", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const call = yield* begin(Stream.runDrain(tools.steps({ n: 100 })))
      yield* after("450 millis")
      yield* scripted.worker("default/0").loseChannel()
      yield* Fiber.interrupt(call)
      yield* after("5 seconds")
      assert.deepStrictEqual(scripted.journal.map(({ how, outcome }) => [outcome, how]), [["cancelled", "generator"]])
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))

  it.effect("and a worker that has forgotten its host, with an idempotent call: the same process may be given it again", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const call = yield* begin(tools.again({ n: 3 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").loseSession
      yield* after("5 seconds")
      assert.strictEqual(yield* Fiber.join(call), 3)
      assert.deepStrictEqual(scripted.journal.map(({ generation, outcome }) => [generation, outcome]), [[0, "cancelled"], [0, "done"]])
    }))

  it.effect("and a worker that has forgotten its host, with a call that is not idempotent: nobody knows", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const call = yield* begin(tools.record({ n: 3 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").loseSession
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "OutcomeUnknown" && error.began)
      yield* after("5 seconds")
      assert.strictEqual(scripted.journal.length, 1)
    }))

  it.effect("on a process that does not shake hands any more: the process is replaced", () =>
    Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      yield* scripted.worker("default/0").freeze
      yield* scripted.worker("default/0").loseChannel()
      yield* after("10 seconds") // five intervals, and stopGrace
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
      assert.include(recorded.ofVerb("restart").map(({ attributes }) => attributes["cause"]).join(), "HandshakeTimeout")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))

  it.effect("too often costs its worker the whole subtree, and no other worker", () =>
    Effect.gen(function*() {
      const { node, scripted } = yield* openPools({ pools: { default: { restart: { worker: { maxRestarts: 2 } } } } })
      for (let times = 0; times < 3; times++) {
        yield* scripted.worker("default/0").loseChannel()
        yield* after("1 second")
      }
      assert.strictEqual((yield* node("default/fleet/0")).generation, 1)
      assert.strictEqual((yield* node("default/fleet/1")).generation, 0)
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
    }))
})

describe("a Dispatcher that crashes", () => {
  it.effect("in a command loses no call and touches no worker", () =>
    Effect.gen(function*() {
      const { ledger, node, running, scripted, tools } = yield* openPools()
      const before = generations(yield* running.tree)
      const one = yield* begin(tools.record({ n: 1 }))
      yield* scripted.worker("default/1").throwAtSubmit(new Error("a mistake"))
      const two = yield* begin(tools.record({ n: 2 }))
      const three = yield* begin(tools.record({ n: 3 }))
      yield* after("3 seconds")
      assert.strictEqual(yield* Fiber.join(one), 1)
      const error = yield* errorOf(two)
      assert.isTrue(error._tag === "OutcomeUnknown")
      assert.strictEqual(yield* Fiber.join(three), 3)
      assert.strictEqual((yield* node("default/control/dispatcher")).generation, 1)
      assert.deepStrictEqual(generations(yield* running.tree), before)
      assert.include(yield* ledger(), { accepted: 3, completed: 2, failed: 1 })
      yield* after("30 seconds")
      assert.deepStrictEqual(generations(yield* running.tree), before)
    }))

  it.effect("in the first of several commands carries out the others", () =>
    Effect.gen(function*() {
      const { node, roster, scripted, tools } = yield* openPools({ pools: { default: { size: 1, prefetch: 2 } } })
      const calls = yield* Effect.forEach([1, 2, 3], (n) => begin(tools.record({ n })))
      yield* after("100 millis")
      const ticket = roster().tickets.get(1)!
      roster().tickets.set(1, {
        ...ticket,
        fail: (error) => {
          ticket.fail(error)
          throw new Error("a mistake")
        }
      })
      yield* scripted.worker("default/0").crash()
      yield* after("1 second")
      const errors = yield* Effect.forEach(calls, errorOf)
      assert.deepStrictEqual(errors.map(({ _tag }) => _tag), ["WorkerCrashed", "OutcomeUnknown", "OutcomeUnknown"])
      assert.strictEqual((yield* node("default/control/dispatcher")).generation, 1, "it crashes in the same command again")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))

  it.effect("in the middle of a decision tells every caller it concerned", () =>
    Effect.gen(function*() {
      const { node, roster, scripted, tools } = yield* openPools({ pools: { default: { size: 1, prefetch: 1 } } })
      const running = yield* begin(tools.record({ n: 1 }))
      yield* after("100 millis")
      Line.push(roster().state.slots[0]!.calls, { id: 999 } as Call) // no such call
      const sent = yield* begin(tools.record({ n: 2 }))
      yield* scripted.worker("default/0").crash()
      yield* after("2 seconds")
      assert.strictEqual((yield* node("default/control/dispatcher")).generation, 1)
      assert.include(["WorkerCrashed", "OutcomeUnknown"], (yield* errorOf(running))._tag)
      yield* after("30 seconds")
      assert.isDefined(sent.pollUnsafe(), "a caller waits for ever")
      assert.strictEqual(yield* begin(tools.add({ a: 1, b: 1 })).pipe(Effect.flatMap(Fiber.join)), 2)
    }))

  it.effect("keeps what comes meanwhile, in its order", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      yield* scripted.worker("default/0").throwAtSubmit(new Error("a mistake"))
      yield* begin(tools.add({ a: 0, b: 0 }).pipe(Effect.ignore))
      const calls = yield* Effect.forEach([1, 2, 3], (n) => begin(tools.record({ n })))
      const left = yield* begin(tools.record({ n: 4 }))
      yield* Fiber.interrupt(left)
      yield* after("4 seconds")
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), [1, 2, 3])
      assert.deepStrictEqual(scripted.journal.map(({ args }) => args), [{ n: 1 }, { n: 2 }, { n: 3 }])
    }))

  it.effect("gives a worker that came meanwhile no call for the one before it", () =>
    Effect.gen(function*() {
      const { roster, scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      const dispatcher = roster().dispatcher!
      roster().dispatcher = undefined // as in the moment between two generations
      const call = yield* begin(tools.record({ n: 1 }))
      yield* scripted.worker("default/0").crash()
      yield* after("500 millis")
      roster().dispatcher = dispatcher
      dispatcher()
      yield* after("500 millis")
      assert.strictEqual((yield* errorOf(call))._tag, "OutcomeUnknown")
      assert.deepStrictEqual(scripted.journal, [])
    }))

  it.effect("and leaves a damaged state takes neither the Roster nor a worker along until it is mended", () =>
    Effect.gen(function*() {
      const { node, roster, running } = yield* openPools()
      const before = generations(yield* running.tree)
      const dispatcher = roster().dispatcher!
      roster().dispatcher = undefined // as in the moment between two generations
      roster().state.waiting = 1 // none is
      yield* after("500 millis")
      assert.strictEqual((yield* node("default/roster")).generation, 0)
      roster().dispatcher = dispatcher
      dispatcher()
      yield* after("1 second")
      assert.deepStrictEqual(generations(yield* running.tree), before)
    }))

  it.effect("in what came meanwhile is restarted once more, and serves", () =>
    Effect.gen(function*() {
      const { node, scripted, tools } = yield* openPools({ pools: { default: { size: 2 } } })
      yield* scripted.worker("default/0").throwAtSubmit(new Error("one mistake"))
      yield* scripted.worker("default/1").throwAtSubmit(new Error("another"))
      const calls = yield* Effect.forEach([1, 2, 3, 4], (n) => begin(tools.record({ n }).pipe(Effect.option)))
      yield* after("10 seconds")
      assert.isAtLeast((yield* node("default/control/dispatcher")).generation, 1)
      for (const call of calls) assert.isDefined(call.pollUnsafe(), "a caller waits for ever")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))
})

describe("a Reaper that ends", () => {
  it.effect("takes the workers of its pool, and none of another", () =>
    Effect.gen(function*() {
      const { client, node, scripted } = yield* openPools({ pools: { a: {}, b: {} } })
      const a = yield* client("a")
      const call = yield* begin(a.again({ n: 1 }))
      yield* after("100 millis")
      yield* scripted.endReaper("a")
      assert.deepStrictEqual(scripted.alive(), ["b/0", "b/1"])
      yield* after("3 seconds")
      assert.deepStrictEqual(scripted.alive(), ["a/0", "a/1", "b/0", "b/1"])
      assert.strictEqual((yield* node("a/reaper")).generation, 1)
      assert.strictEqual((yield* node("a/roster")).generation, 0)
      assert.strictEqual((yield* node("b")).restarts, 0)
      assert.strictEqual(scripted.worker("b/0").generation(), 0)
      assert.strictEqual(yield* Fiber.join(call), 1)
    }))
})

describe("a Roster that is replaced", () => {
  it.effect("ends every call with a typed error that says whether it ran", () =>
    Effect.gen(function*() {
      const { recorded, running, scripted, tools } = yield* openPools({ pools: { default: { size: 1, prefetch: 1 } } })
      const calls = yield* Effect.forEach([1, 2, 3], (n) => begin(tools.record({ n })))
      const retried = yield* begin(tools.again({ n: 4 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").freeze // so that nothing more is heard of it
      yield* begin(running.terminateChild("default"))
      yield* after("10 seconds")
      const errors = yield* Effect.forEach([...calls, retried], errorOf)
      assert.deepStrictEqual(errors.map((error) => [error._tag, error._tag === "OutcomeUnknown" ? error.began : error.executed]), [
        ["OutcomeUnknown", true],
        ["OutcomeUnknown", false],
        ["PoolDown", "no"],
        ["PoolDown", "no"]
      ])
      assert.strictEqual(recorded.ofVerb("fail").length, 4)
      const close = recorded.events.find(({ name }) => name === "snakepit.pool.close")!
      assert.deepInclude(close.measurements, { accepted: 4, completed: 0, failed: 4, cancelled: 0 })
      const refused = yield* Effect.flip(tools.add({ a: 1, b: 1 }))
      assert.strictEqual(refused._tag, "PoolDown")
    }))

  it.effect("refuses who holds it still", () =>
    Effect.gen(function*() {
      const { directory, roster, running, tools } = yield* openPools()
      const old = roster()
      yield* running.terminateChild("default")
      directory.entry("default").roster.current = old // as seen by a caller who looked it up just before
      const call = yield* begin(tools.add({ a: 1, b: 1 }))
      assert.strictEqual((yield* errorOf(call))._tag, "PoolDown")
    }))

  it.effect("by its pool's restart serves again from an empty ledger", () =>
    Effect.gen(function*() {
      const { ledger, running, tools } = yield* openPools()
      yield* tools.add({ a: 1, b: 1 })
      yield* running.terminateChild("default")
      assert.isUndefined(yield* ledger())
      yield* running.startChild("default")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      assert.include(yield* ledger(), { accepted: 1, completed: 1 })
    }))

  it.effect("hands out the elements and results that came while there was no Dispatcher", () =>
    Effect.gen(function*() {
      const { roster, running, scripted, tools } = yield* openPools({ pools: { default: { size: 2 } } })
      const stream = yield* begin(Stream.runCollect(tools.steps({ n: 3 })))
      yield* after("50 millis")
      yield* scripted.worker("default/1").throwAtSubmit(new Error("a mistake"))
      roster().dispatcher = undefined // as in the moment between two generations
      yield* after("1 second")
      yield* running.terminateChild("default")
      assert.deepStrictEqual(yield* Fiber.join(stream), [0, 1, 2])
    }))
})

describe("a pool that gives up", () => {
  it.effect("is down with its reason, and the others serve", () =>
    Effect.gen(function*() {
      const { client, recorded, scripted, tools } = yield* openPools({ pools: { a: {}, b: {} } })
      const b = yield* client("b")
      yield* scripted.worker("a/0").refuseBoots(Number.POSITIVE_INFINITY, "exit")
      yield* scripted.worker("a/0").crash()
      yield* after("60 seconds")
      const error = yield* Effect.flip(tools.add({ a: 1, b: 1 }))
      assert.strictEqual(error._tag, "PoolDown")
      assert.include(error.message, "worker a/0 did not come up")
      assert.strictEqual(yield* b.add({ a: 1, b: 1 }), 2)
      assert.strictEqual(scripted.worker("b/0").generation(), 0)
      const gaveUp = recorded.ofVerb("give_up").slice(0, 3)
      assert.deepStrictEqual(gaveUp.map(({ attributes }) => attributes["path"]), ["pools/a/fleet/0", "pools/a/fleet", "pools/a"])
      assert.strictEqual(new Set(gaveUp.map(({ attributes }) => attributes["incident"])).size, 1, "one chain, one incident")

      yield* scripted.worker("a/0").refuseBoots(0)
      yield* after("10 seconds")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))

  it.effect("because its adapter does not import is down at once, tells the chain, and comes back by itself", () =>
    scoped(Effect.gen(function*() {
      const { client, recorded, scripted, tools } = yield* openPools({ pools: { a: { size: 1 }, b: {} } })
      const b = yield* client("b")
      const other = yield* begin(b.record({ n: 1 }))
      yield* scripted.worker("a/0").refuseBoots(1, "import")
      yield* scripted.worker("a/0").crash()
      yield* after("30 millis") // Pools waits 50 ms before it tries again
      const error = yield* Effect.flip(tools.add({ a: 1, b: 1 }))
      assert.isTrue(error._tag === "PoolDown")
      assert.include(error.message, "pools/a/fleet/0/process")
      assert.include(error.message, "pools/a/fleet/0, pools/a/fleet")
      assert.include(error.message, "does not import")
      assert.include(error.message, "starting worker a/0 again does not cure")
      const incidents = recorded.ofVerb("give_up").map(({ attributes }) => [attributes["path"], attributes["incident"]])
      assert.deepStrictEqual(incidents.map(([path]) => path), ["pools/a/fleet/0", "pools/a/fleet", "pools/a"])
      assert.strictEqual(new Set(incidents.map(([, incident]) => incident)).size, 1, "one chain, one incident")
      assert.strictEqual(
        recorded.ofVerb("restart").filter(({ attributes }) => attributes["pool"] === "a").length,
        1,
        "the crash's own alone"
      )

      yield* after("1 second")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      assert.strictEqual(yield* Fiber.join(other), 1)
      assert.deepStrictEqual([0, 1].map((slot) => scripted.worker(`b/${slot}`).generation()), [0, 0])
    })))

  it.effect("does so for no slot alone: what does not import any more is tried again each window, and the others serve on", () =>
    Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools: { default: { size: 3, restart: { worker: { maxRestarts: 1 } } } } })
      yield* scripted.deploy({ broken: "import" })
      yield* scripted.endForkserver("default") // what is spawned, or forked by the next, imports anew
      yield* scripted.worker("default/1").crash()
      yield* after("10 minutes")
      assert.strictEqual(yield* tools.add({ a: 1, b: 2 }), 3)
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/2"])
      assert.deepStrictEqual(recorded.ofVerb("give_up").filter(({ attributes }) => attributes["path"] !== "pools/default/fleet/1"), [])
      yield* scripted.deploy({ tools: scriptedTools })
      yield* after("1 minute")
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1", "default/2"])
      yield* scripted.deploy({ broken: "import" })
      for (const slot of [0, 1, 2]) yield* scripted.worker(`default/${slot}`).crash()
      yield* after("20 millis")
      assert.strictEqual((yield* Effect.flip(tools.add({ a: 1, b: 2 })))._tag, "PoolDown")
    }))

  it.effect("because its tools cannot be served, found when its Reaper was replaced, is down until a later attempt", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      yield* scripted.worker("default/1").refuseBoots(2, "catalogue")
      yield* scripted.endReaper("default")
      yield* after("50 millis") // the pool's own delay
      assert.strictEqual((yield* Effect.flip(tools.add({ a: 1, b: 1 })))._tag, "PoolDown")
      yield* after("1 second")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1"])
    }))

  it.effect("ends the calls that wait in it", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools({ pools: { default: { size: 1, queue: { timeout: "1 hour" } } } })
      yield* scripted.worker("default/0").refuseBoots(Number.POSITIVE_INFINITY)
      yield* scripted.worker("default/0").crash()
      const waiting = yield* begin(tools.add({ a: 1, b: 1 }))
      yield* after("60 seconds")
      assert.strictEqual((yield* errorOf(waiting))._tag, "PoolDown")
    }))
})

describe("a worker that does not boot", () => {
  it.effect("at the start fails the start, with its path and its reason", () =>
    Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools })
      yield* scripted.worker("default/1").refuseBoots(1)
      const error = yield* Effect.flip(openPools({ scripted }))
      assert.isTrue(error._tag === "StartFailed")
      if (error._tag !== "StartFailed") return
      assert.strictEqual(error.at.path, "pools/default/control/launcher/worker_starter")
      assert.isTrue(error.at.error._tag === "BootFailed" && error.at.error.worker === "default/1")
      assert.deepStrictEqual(scripted.alive(), [])
    }))

  it.effect("beside another that does not fails the start too", () =>
    Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools })
      yield* Effect.forEach(["default/0", "default/1"], (name) => scripted.worker(name).refuseBoots(1))
      const start = yield* begin(Effect.flip(openPools({ scripted })))
      yield* after("1 minute")
      assert.isDefined(start.pollUnsafe(), "the fleet hangs")
      assert.strictEqual((yield* Fiber.join(start))._tag, "StartFailed")
    }))

  it.effect("beside another, after their Reaper ended, is tried again", () =>
    Effect.gen(function*() {
      const { scripted, tools } = yield* openPools()
      yield* Effect.forEach(["default/0", "default/1"], (name) => scripted.worker(name).refuseBoots(1, "exit"))
      yield* scripted.endReaper("default")
      yield* after("10 seconds")
      const call = yield* begin(tools.add({ a: 1, b: 1 }))
      yield* after("1 second")
      assert.isDefined(call.pollUnsafe(), "the fleet hangs")
      assert.strictEqual(yield* Fiber.join(call), 2)
    }))

  it.effect("once more after a crash is tried again within the budget", () =>
    Effect.gen(function*() {
      const { node, scripted, tools } = yield* openPools({ pools: { default: { size: 1 } } })
      yield* scripted.worker("default/0").refuseBoots(2, "exit")
      yield* scripted.worker("default/0").crash()
      yield* after("1 second")
      assert.strictEqual((yield* node("default/fleet/0/process")).restarts, 3)
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    }))
})

describe("the end of the application", () => {
  it.effect("leaves no process and no caller behind", () =>
    Effect.gen(function*() {
      const scripted = ScriptedRuntime.make({ tools: scriptedTools })
      const call = yield* Effect.scoped(Effect.gen(function*() {
        const { tools } = yield* openPools({ scripted, pools: { default: { size: 3 } } })
        const call = yield* Effect.forkDetach(tools.stubborn({ n: 1 }), { startImmediately: true })
        yield* after("1 second")
        yield* Effect.forkDetach(after("1 minute"))
        return call
      }))
      assert.deepStrictEqual(scripted.alive(), [])
      const error = yield* errorOf(call)
      assert.strictEqual(error.executed, "unknown")
    }))
})
