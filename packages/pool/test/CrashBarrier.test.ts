/** What a crash leads to, on scripted workers: taint, delay, quarantine, and a worker that fails where others succeed. */
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@snakepit/core"
import { Effect, Fiber, Schedule, Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { Pool, type PoolConfig, Tool } from "../src/index.ts"
import type { ScriptedRuntime } from "../src/testing/index.ts"
import { ScriptedTool } from "../src/testing/index.ts"
import { after, begin, errorOf } from "./OpenPools.ts"
import { openTools } from "./OpenTools.ts"

const n = { n: Schema.Int }

class Tools extends RpcGroup.make(
  Rpc.make("fit", { payload: n, success: Schema.Int }).annotate(Tool.Idempotent, true),
  Rpc.make("patient", { payload: n, success: Schema.Int })
    .annotate(Tool.Idempotent, true)
    .annotate(Tool.Retry, Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 1 }))),
  Rpc.make("once", { payload: n, success: Schema.Int })
) {}

const second = { run: ({ n }: { readonly n: number }) => n, takes: "1 second" } as const
const tools = { fit: second, patient: second, once: second }

const open = Effect.fnUntraced(function*(pool: PoolConfig.PoolConfigInput = {}) {
  const opened = yield* openTools(tools, { pools: { default: { size: 3, prefetch: 0, ...pool } } })
  return { ...opened, client: yield* opened.clientOf(Tools) }
})

/** Ends the worker that runs the call that was started last, in the middle of it. */
const crash = (scripted: ScriptedRuntime.ScriptedRuntime, signal = "SIGSEGV") =>
  Effect.gen(function*() {
    yield* after("500 millis")
    const running = scripted.journal.at(-1)!
    assert.strictEqual(running.outcome, "running")
    yield* scripted.worker(running.worker).crash(signal)
  })

const told = (events: ReadonlyArray<Event.Event>, name: string) =>
  events.filter((event) => event.name === `snakepit.${name}`).map(({ attributes, measurements }) => ({ ...attributes, ...measurements }))

describe("a call that may have crashed its worker", () => {
  it.effect("waits longer before each attempt, and goes to a worker that it has not crashed", () =>
    Effect.gen(function*() {
      const { client, recorded, scripted } = yield* open({ attempts: 4, barrier: { poisonAfter: 0, taintFor: "0 millis" } })
      const call = yield* begin(client.fit({ n: 1 }))
      for (const pause of [50, 100, 200]) {
        yield* crash(scripted)
        const runs = scripted.journal.length
        yield* after(pause - 1)
        assert.strictEqual(scripted.journal.length, runs, "early")
        yield* after(11) // a tick of the wheel later at most
        assert.strictEqual(scripted.journal.length, runs + 1, "late")
      }
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(call), 1)
      assert.deepStrictEqual(scripted.journal.map(({ worker }) => worker), ["default/0", "default/1", "default/2", "default/0"])
      assert.deepStrictEqual(told(recorded.events, "call.retry").map(({ attempt, delayMillis }) => [attempt, delayMillis]), [
        [2, 50],
        [3, 100],
        [4, 200]
      ])
      const [recovered, ...others] = told(recorded.events, "call.recover")
      assert.deepStrictEqual(others, [])
      assert.deepInclude(recorded.events.find(({ name }) => name === "snakepit.call.recover")!.attributes, {
        pool: "default",
        slot: 0,
        tool: "fit"
      })
      assert.strictEqual(recovered!["attempts"], 4)
      const ids = recorded.events.flatMap(({ attributes, name }) =>
        /call\.(retry|recover)$/.test(name) ? [attributes["correlationId"]] : []
      )
      assert.strictEqual(new Set(ids).size, 1)
    }))

  it.effect("follows the schedule of its tool, and ends with what its attempt ended with where that ends", () =>
    Effect.gen(function*() {
      const { client, ledger, scripted } = yield* open()
      const call = yield* begin(client.patient({ n: 1 }))
      yield* crash(scripted)
      yield* after("990 millis")
      assert.strictEqual(scripted.journal.length, 1)
      yield* after("20 millis")
      assert.strictEqual(scripted.journal.length, 2)
      yield* crash(scripted)
      assert.include(yield* errorOf(call), { _tag: "WorkerCrashed", attempts: 2 })
      assert.include(yield* ledger(), { retried: 1, failed: 1 })
    }))

  it.effect("does not outlive its deadline while it waits, and can be cancelled", () =>
    Effect.gen(function*() {
      const { client, ledger, roster, scripted } = yield* open({ barrier: { backoff: ["1 minute"] } })
      const late = yield* begin(client.fit({ n: 1 }, { deadline: "2 seconds" }))
      yield* crash(scripted)
      const left = yield* begin(client.fit({ n: 2 }))
      yield* crash(scripted)
      yield* Fiber.interrupt(left)
      yield* after("2 seconds")
      assert.include(yield* errorOf(late), { _tag: "DeadlineExceeded", executed: "unknown" })
      assert.include(yield* ledger(), { accepted: 2, failed: 1, cancelled: 1 })
      assert.strictEqual(roster().state.calls.size, 0)
    }))

  it.effect("survives a crash of the Dispatcher while it waits", () =>
    Effect.gen(function*() {
      const { client, kill, scripted } = yield* open()
      const call = yield* begin(client.fit({ n: 1 }))
      yield* crash(scripted)
      yield* kill("default/control/dispatcher")
      yield* after("1200 millis")
      assert.strictEqual(yield* Fiber.join(call), 1)
    }))

  it.effect("goes on at once when it had not begun, or when its worker was not ended by itself", () =>
    Effect.gen(function*() {
      const { client, recorded, scripted } = yield* open({ size: 1 })
      const call = yield* begin(client.fit({ n: 1 }))
      yield* after("500 millis")
      yield* scripted.worker("default/0").loseSession
      yield* after("5 seconds")
      assert.strictEqual(yield* Fiber.join(call), 1)
      assert.deepStrictEqual(told(recorded.events, "call.retry").map(({ delayMillis }) => delayMillis), [0])
    }))
})

describe("calls that crash workers", () => {
  it.effect("are refused after poisonAfter crashes with the same arguments, with what is known of them, and others go on", () =>
    Effect.gen(function*() {
      const { client, ledger, recorded, scripted } = yield* open({ size: 4 })
      const call = yield* begin(client.fit({ n: 13 }))
      yield* crash(scripted)
      yield* after("60 millis")
      yield* crash(scripted, "SIGABRT")
      yield* after("110 millis")
      yield* crash(scripted)
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "CallPoisoned")
      if (error._tag !== "CallPoisoned") return
      assert.deepInclude(error, { executed: "unknown", crashes: 3, exits: ["Segfault", "Abort"] })
      assert.deepStrictEqual(error.workers, ["default/0", "default/1", "default/2"])
      assert.match(error.digest, /^[0-9a-f]{32}$/)
      const again = yield* Effect.flip(client.fit({ n: 13 }))
      assert.deepInclude(again, { _tag: "CallPoisoned", executed: "no", digest: error.digest })
      assert.strictEqual(scripted.journal.length, 3, "and did not run")
      const other = yield* begin(client.fit({ n: 14 }))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(other), 14)
      assert.deepInclude(told(recorded.events, "call.quarantine"), {
        "snakepit.layer": "control",
        path: "snakepit/pools/default",
        pool: "default",
        tool: "fit",
        digest: error.digest,
        workers: "default/0, default/1, default/2",
        exits: "Segfault, Abort",
        crashes: 3,
        forMillis: 900_000
      })
      assert.strictEqual(told(recorded.events, "call.quarantine").length, 1)
      assert.include(yield* ledger(), { failed: 1, rejected: 1, completed: 1, retried: 2 })
    }))

  it.effect("are counted across calls, also of those that are not tried again; a call that waits is refused too", () =>
    Effect.gen(function*() {
      const { client, scripted } = yield* open({ size: 1, barrier: { poisonAfter: 2 } })
      const first = yield* begin(client.once({ n: 1 }))
      yield* crash(scripted)
      assert.include(yield* errorOf(first), { _tag: "WorkerCrashed" })
      yield* after("100 millis")
      const second = yield* begin(client.once({ n: 1 }))
      const third = yield* begin(client.once({ n: 1 }))
      const fourth = yield* begin(client.once({ n: 2 }))
      yield* crash(scripted)
      assert.include(yield* errorOf(second), { _tag: "CallPoisoned", executed: "unknown" })
      yield* after("2 seconds")
      assert.include(yield* errorOf(third), { _tag: "CallPoisoned", executed: "no" })
      assert.strictEqual(yield* Fiber.join(fourth), 2)
      assert.strictEqual(scripted.journal.length, 3)
    }))

  it.effect("are listed, and released by an operator or by time, each told once", () =>
    Effect.gen(function*() {
      const { client, provided, recorded, scripted } = yield* open({ barrier: { poisonAfter: 1, quarantineFor: "1 minute" } })
      for (const n of [1, 2]) {
        const call = yield* begin(client.once({ n }))
        yield* crash(scripted)
        yield* errorOf(call)
      }
      const [one, two] = yield* Pool.quarantine().pipe(provided)
      assert.deepInclude(one, { tool: "once", crashes: 1, workers: ["default/0"], exits: ["Segfault"] })
      yield* Pool.release("once", one!.digest).pipe(provided)
      assert.deepStrictEqual((yield* Pool.quarantine().pipe(provided)).map(({ digest }) => digest), [two!.digest])
      const call = yield* begin(client.once({ n: 1 }))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(call), 1)
      yield* after("1 minute")
      assert.deepStrictEqual(yield* Pool.quarantine().pipe(provided), [])
      assert.deepStrictEqual(told(recorded.events, "call.release").map(({ digest, how }) => [digest, how]), [
        [one!.digest, "released"],
        [two!.digest, "expired"]
      ])
    }))

  it.effect("are not to blame when we ended the worker", () =>
    Effect.gen(function*() {
      const { client, kill, provided } = yield* open({ size: 1, stopGrace: "10 millis", barrier: { poisonAfter: 1 } })
      const call = yield* begin(client.once({ n: 1 }))
      yield* after("100 millis")
      yield* begin(kill("default/fleet/0/process"))
      yield* after("1 second")
      assert.include(yield* errorOf(call), { _tag: "WorkerCrashed" })
      assert.deepStrictEqual(yield* Pool.quarantine().pipe(provided), [])
    }))

  it.effect("are not to blame when somebody ended all workers at once, nor more than once when these crashed at once", () =>
    Effect.gen(function*() {
      const { client, provided, scripted } = yield* open({ barrier: { poisonAfter: 2, taintFor: "0 millis" } })
      for (const [signal, expected] of [["SIGKILL", 0], ["SIGSEGV", 0], ["SIGSEGV", 1]] as const) {
        const calls = yield* Effect.forEach([1, 2, 3], () => begin(client.once({ n: 1 })))
        yield* after("500 millis")
        yield* Effect.forEach([0, 1, 2], (slot) => scripted.worker(`default/${slot}`).crash(signal))
        const ends = yield* Effect.forEach(calls, errorOf)
        assert.strictEqual((yield* Pool.quarantine().pipe(provided)).length, expected, signal)
        if (expected === 0) assert.deepStrictEqual(ends.map(({ _tag }) => _tag), ["WorkerCrashed", "WorkerCrashed", "WorkerCrashed"])
        yield* after("2 seconds")
      }
    }))

  it.effect("stay in quarantine when the pool is started anew, for as long as before", () =>
    Effect.gen(function*() {
      const { client, kill, provided, recorded, scripted } = yield* open({ barrier: { poisonAfter: 1, quarantineFor: "1 minute" } })
      const call = yield* begin(client.once({ n: 1 }))
      yield* crash(scripted)
      yield* errorOf(call)
      const held = yield* Pool.quarantine().pipe(provided)
      yield* kill("default/roster")
      yield* after("5 seconds")
      assert.deepStrictEqual(yield* Pool.quarantine().pipe(provided), held)
      assert.include(yield* Effect.flip(client.once({ n: 1 })), { _tag: "CallPoisoned", executed: "no" })
      yield* after("1 minute")
      assert.deepStrictEqual(yield* Pool.quarantine().pipe(provided), [])
      assert.deepStrictEqual(told(recorded.events, "call.release").map(({ how }) => how), ["expired"])
    }))

  it.effect("are not counted after the window", () =>
    Effect.gen(function*() {
      const { client, provided, scripted } = yield* open({ size: 1, barrier: { poisonAfter: 2, poisonWindow: "2 seconds" } })
      for (const pause of ["3 seconds", "1 second", "1 second"] as const) {
        const call = yield* begin(client.once({ n: 1 }))
        yield* crash(scripted)
        const { _tag } = yield* errorOf(call)
        yield* after(pause)
        assert.strictEqual(_tag, scripted.journal.length < 3 ? "WorkerCrashed" : "CallPoisoned")
      }
      assert.strictEqual((yield* Pool.quarantine().pipe(provided)).length, 1)
    }))
})

describe("the slot of a crash", () => {
  it.effect("gets no calls while others are there, until its time is over; both are told once", () =>
    Effect.gen(function*() {
      const { client, recorded, scripted } = yield* open({ size: 2 })
      const call = yield* begin(client.once({ n: 0 }))
      yield* crash(scripted)
      yield* errorOf(call)
      yield* after("100 millis")
      const calls = yield* Effect.forEach([1, 2], (n) => begin(client.once({ n })))
      yield* after("2 seconds")
      yield* Effect.forEach(calls, Fiber.join)
      assert.deepStrictEqual(scripted.journal.slice(1).map(({ worker }) => worker), ["default/1", "default/1"])
      yield* after("8 seconds")
      const more = yield* Effect.forEach([1, 2], (n) => begin(client.once({ n })))
      yield* after("1 second")
      yield* Effect.forEach(more, Fiber.join)
      assert.deepStrictEqual(scripted.journal.slice(3).map(({ worker }) => worker), ["default/0", "default/1"])
      assert.strictEqual(told(recorded.events, "worker.taint").length, 1)
      assert.strictEqual(told(recorded.events, "worker.untaint").length, 1)
    }))

  it.effect("is used when there is no other", () =>
    Effect.gen(function*() {
      const { client, running, scripted } = yield* open({ size: 2 })
      const call = yield* begin(client.once({ n: 0 }))
      yield* crash(scripted)
      yield* errorOf(call)
      yield* after("100 millis")
      const fleet = yield* running.at("pools/default/fleet")
      yield* fleet.terminateChild("1")
      const other = yield* begin(client.once({ n: 1 }))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(other), 1)
      assert.strictEqual(scripted.journal.at(-1)!.worker, "default/0")
    }))

  it.effect("is not tainted by a signal from outside, nor when half of the pool is", () =>
    Effect.gen(function*() {
      const { client, recorded, scripted } = yield* open({ size: 2 })
      for (const signal of ["SIGKILL", "SIGSEGV", "SIGSEGV"]) {
        const call = yield* begin(client.once({ n: Math.random() * 1e9 | 0 }))
        yield* crash(scripted, signal)
        yield* errorOf(call)
        yield* after("100 millis")
      }
      assert.deepStrictEqual(told(recorded.events, "worker.taint").map(({ slot }) => slot), [0])
    }))
})

describe("a worker that fails every call at once", () => {
  class Models extends RpcGroup.make(Rpc.make("predict", { payload: n, success: Schema.Int })) {}

  /** A thousand calls by `callers` at once, of which those on broken workers fail; gives how many each worker had. */
  const load = (isBroken: (worker: string, n: number) => boolean, pool: PoolConfig.PoolConfigInput = {}) =>
    Effect.gen(function*() {
      const predict = ({ n }: { readonly n: number }, { worker }: ScriptedTool.Current) =>
        isBroken(worker, n) ? ScriptedTool.raise("OSError", "no such device") : Effect.as(Effect.sleep("100 millis"), n)
      const { clientOf, recorded, scripted } = yield* openTools({ predict }, { pools: { default: { size: 4, ...pool } } })
      const client = yield* clientOf(Models)
      const call = (n: number) => Effect.exit(client.predict({ n }))
      const calls = yield* begin(Effect.forEach(Array.from({ length: 1000 }, (_, n) => n), call, { concurrency: 12, discard: true }))
      while (calls.pollUnsafe() === undefined) yield* after("100 millis")
      const shares = new Map<string, number>()
      for (const { worker } of scripted.journal) shares.set(worker, (shares.get(worker) ?? 0) + 1)
      return { shares, events: recorded.events }
    })

  it.effect("does not win the load", () =>
    Effect.gen(function*() {
      const { events, shares } = yield* load((worker) => worker === "default/2")
      // 1000 calls of 100 ms on three workers take 33 s: it is ejected for 10 s, and for 20 s, and tried in between
      assert.isAtMost(shares.get("default/2") ?? 0, 25, "it had more than a fortieth of the calls")
      for (const worker of ["default/0", "default/1", "default/3"]) assert.isAtLeast(shares.get(worker) ?? 0, 300)
      const ejected = told(events, "worker.eject")
      assert.isTrue(ejected.every(({ slot }) => slot === 2))
      assert.deepStrictEqual(ejected.map(({ ejections, forMillis }) => [ejections, forMillis]).slice(0, 2), [[1, 10_000], [2, 20_000]])
    }))

  it.effect("wins it where nobody looks", () =>
    Effect.gen(function*() {
      const { shares } = yield* load((worker) => worker === "default/2", { outlier: { after: 0 } })
      assert.isAtLeast(shares.get("default/2") ?? 0, 900, "what the others are compared with")
    }))

  it.effect("for arguments that fail everywhere is left alone, as all others are", () =>
    Effect.gen(function*() {
      for (const isBad of [() => true, (_: string, n: number) => n * 7919 % 1000 < 500]) {
        assert.deepStrictEqual(told((yield* load(isBad)).events, "worker.eject"), [])
      }
    }))

  it.effect("is never more than maxEjected of them", () =>
    Effect.gen(function*() {
      const { events, shares } = yield* load((worker) => worker !== "default/0")
      const slots = new Set(told(events, "worker.eject").map(({ slot }) => slot))
      assert.isAtMost(slots.size, 2)
      assert.isAtLeast(shares.get("default/0") ?? 0, 1)
    }))
})
