/** What a pool makes of workers that work, wait, are stopped or are looked at, and of its own host's stalls. */
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@snakepit/core"
import { Clock, Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Roster from "../src/control/Roster.ts"
import { after, begin, errorOf, openPools, scoped } from "./OpenPools.ts"

const pools = { default: { size: 1, heartbeat: { interval: "1 second", timeout: "500 millis", maxMissed: 2 } } }

const verdicts = (events: ReadonlyArray<Event.Event>) =>
  events.filter(({ name }) => name === "snakepit.watchdog.verdict").map(({ attributes }) =>
    `${attributes["was"]} → ${attributes["verdict"]}`
  )

const bites = (events: ReadonlyArray<Event.Event>) =>
  events.filter(({ name }) => name === "snakepit.watchdog.bite").map(({ attributes }) => attributes["reason"])

describe("a silent worker", () => {
  it.effect("that uses CPU is busy, is told once, and is left alone", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools })
      const call = yield* begin(tools.converges().pipe(Effect.ignore))
      yield* scripted.worker("default/0").appears("sleeping", 0.5)
      yield* scripted.worker("default/0").freeze
      yield* after("15 seconds")
      assert.deepStrictEqual(verdicts(recorded.events), ["alive → busy"])
      yield* scripted.worker("default/0").thaw
      yield* after("2 seconds")
      assert.deepStrictEqual(verdicts(recorded.events), ["alive → busy", "busy → alive"])
      assert.deepStrictEqual(bites(recorded.events), [])
      const busy = recorded.events.find(({ name }) => name === "snakepit.watchdog.verdict")!
      assert.deepInclude(busy.attributes, { pool: "default", slot: 0, state: "sleeping", tool: "converges" })
      assert.isAbove(Number(busy.measurements["cpuMillis"]), 0)
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
      yield* Fiber.join(call)
    })))

  it.effect("that uses none, in a call, is hung after two beats, which its caller's error and the restart say", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools })
      const call = yield* begin(tools.stubborn({ n: 1 }))
      yield* after("100 millis")
      yield* scripted.worker("default/0").appears("sleeping", 0.01)
      yield* scripted.worker("default/0").freeze
      yield* after("2399 millis")
      assert.deepStrictEqual(bites(recorded.events), [])
      yield* after("1 millis")
      assert.deepStrictEqual(bites(recorded.events), ["WorkerHung"])
      const bite = recorded.ofVerb("bite")[0]!
      assert.include(bite.attributes["cause"], "hangs in \"stubborn\" (2 heartbeats in a row")
      assert.include(bite.attributes["cause"], "is sleeping")
      yield* after("10 seconds")
      assert.strictEqual(recorded.ofVerb("restart").length, 1)
      assert.include(recorded.ofVerb("restart")[0]!.attributes["cause"], "WorkerHung")
      assert.strictEqual((yield* errorOf(call)).executed, "unknown")
    })))

  it.effect("where the kernel says nothing is lost after as many beats as it may miss", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted } = yield* openPools({ pools: { default: { ...pools.default, heartbeat: { maxMissed: 3 } } } })
      yield* scripted.worker("default/0").appears(undefined)
      yield* scripted.worker("default/0").freeze
      yield* after("3400 millis")
      assert.deepStrictEqual(bites(recorded.events), [])
      yield* after("100 millis")
      assert.deepStrictEqual(bites(recorded.events), ["WorkerUnreachable"])
      assert.include(recorded.ofVerb("bite")[0]!.attributes["cause"], "this system does not tell")
    })))

  it.effect("that was stopped is failed at its first missed beat", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted } = yield* openPools({ pools })
      yield* scripted.worker("default/0").freeze
      yield* after("1500 millis")
      assert.deepStrictEqual(bites(recorded.events), ["WorkerStopped"])
      assert.strictEqual(scripted.worker("default/0").generation(), 1) // at once: no stopGrace for it
    })))

  it.effect("that a debugger holds is never failed, not even for a call beyond its limit", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools })
      const call = yield* begin(tools.endless())
      yield* after("100 millis")
      yield* scripted.worker("default/0").appears("traced")
      yield* scripted.worker("default/0").freeze
      yield* after("30 seconds")
      assert.strictEqual((yield* errorOf(call))._tag, "CallTimeout")
      assert.deepStrictEqual(verdicts(recorded.events), ["alive → traced"])
      assert.deepStrictEqual(bites(recorded.events), [])
      yield* scripted.worker("default/0").appears("sleeping")
      yield* after("10 seconds")
      assert.deepStrictEqual(bites(recorded.events), ["CallOverran"])
    })))

  it.effect("whose tool may block is left alone until the hard limit of its call", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools })
      const call = yield* begin(tools.blocks())
      yield* scripted.worker("default/0").appears("sleeping")
      yield* scripted.worker("default/0").freeze
      yield* after("29 seconds")
      assert.deepStrictEqual(verdicts(recorded.events), ["alive → busy"])
      assert.deepStrictEqual(bites(recorded.events), [])
      yield* after("1100 millis")
      assert.strictEqual((yield* errorOf(call))._tag, "CallTimeout")
      assert.deepStrictEqual(bites(recorded.events), ["CallOverran"])
    })))

  it.effect("whose tool may block and had no time to say that it began is known by what it was sent", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools })
      yield* scripted.worker("default/0").appears("sleeping")
      yield* scripted.worker("default/0").freeze
      yield* begin(tools.blocks().pipe(Effect.ignore))
      yield* after("29 seconds")
      assert.deepStrictEqual(bites(recorded.events), [])
      assert.deepStrictEqual(scripted.journal, [])
    })))
})

describe("a tool with a hard limit", () => {
  it.effect("ends with it: the caller is told, and the worker is replaced at that moment", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted, tools } = yield* openPools({ pools })
      const call = yield* begin(tools.endless())
      yield* after("3990 millis")
      assert.isUndefined(call.pollUnsafe())
      yield* after("20 millis")
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "CallTimeout" && error.replaced && error.timeoutMillis === 4000)
      assert.include(error.message, "is replaced, because that is its hard limit")
      assert.deepStrictEqual(bites(recorded.events), ["CallOverran"])
      assert.include(recorded.ofVerb("bite")[0]!.attributes["cause"], "Tool.HardLimit")
      yield* after("5 seconds")
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
    })))

  it.effect("beyond its call timeout is cancelled first, and its worker has until then", () =>
    scoped(Effect.gen(function*() {
      const { recorded, tools } = yield* openPools({ pools })
      const call = yield* begin(tools.converges())
      yield* after("2010 millis")
      const error = yield* errorOf(call)
      assert.isTrue(error._tag === "CallTimeout" && !error.replaced)
      yield* after("17900 millis") // 5 s of grace are long over
      assert.deepStrictEqual(bites(recorded.events), [])
      yield* after("200 millis")
      assert.deepStrictEqual(bites(recorded.events), ["CallOverran"])
    })))

  it.effect("whose caller goes away has the grace of a cancelled call", () =>
    scoped(Effect.gen(function*() {
      const { recorded, tools } = yield* openPools({ pools })
      const call = yield* begin(tools.blocks())
      yield* after("1 second")
      yield* Fiber.interrupt(call)
      yield* after("4900 millis")
      assert.deepStrictEqual(bites(recorded.events), [])
      yield* after("200 millis")
      assert.deepStrictEqual(bites(recorded.events), ["CallOverran"])
    })))
})

describe("a handshake", () => {
  it.effect("with a process that works is waited for, and spends no restart", () =>
    scoped(Effect.gen(function*() {
      const { node, recorded, scripted, tools } = yield* openPools({ pools })
      yield* scripted.worker("default/0").appears("running", 1)
      yield* scripted.worker("default/0").freeze
      yield* scripted.worker("default/0").loseChannel()
      yield* after("1 minute")
      assert.strictEqual(recorded.ofVerb("restart").length, 1, "the channel's own")
      yield* scripted.worker("default/0").thaw
      yield* after("1 second")
      assert.strictEqual(yield* tools.add({ a: 1, b: 1 }), 2)
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
      assert.strictEqual((yield* node("default/fleet/0/channel")).generation, 1)
    })))

  it.effect("with a process that is stopped is given up at the second look", () =>
    scoped(Effect.gen(function*() {
      const { recorded, scripted } = yield* openPools({ pools })
      yield* scripted.worker("default/0").appears("stopped")
      yield* scripted.worker("default/0").freeze
      yield* scripted.worker("default/0").loseChannel()
      yield* after("1100 millis") // the channel's delay, then half a second each
      const causes = recorded.ofVerb("restart").map(({ attributes }) => String(attributes["cause"]))
      assert.include(causes.at(-1), "HandshakeTimeout")
      assert.include(causes.at(-1), "is stopped")
      yield* after("10 seconds")
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
    })))
})

describe("heartbeat and watchdog", () => {
  it.effect("may end, and neither harms the process; what comes after judges anew", () =>
    scoped(Effect.gen(function*() {
      const { node, recorded, running, scripted } = yield* openPools({ pools })
      const worker = yield* running.at("pools/default/fleet/0")
      for (const child of ["heartbeat", "watchdog"] as const) {
        yield* worker.failChild(child, new Error("a mistake"))
        yield* after("3 seconds")
        assert.isAbove((yield* node(`default/fleet/0/${child}`)).generation, 0)
      }
      assert.strictEqual(scripted.worker("default/0").generation(), 0)
      assert.deepStrictEqual(bites(recorded.events), [])
      yield* scripted.worker("default/0").freeze
      yield* after("10 seconds")
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
    })))
})

/** The clock of the test, and a host in it that can be held up: its wall clock is set, its timers come late. */
const host = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const state = { skew: 0, stall: undefined as Deferred.Deferred<void> | undefined }
  const held: Clock.Clock = Object.create(clock, {
    currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + state.skew },
    sleep: {
      value: (duration: Parameters<Clock.Clock["sleep"]>[0]) =>
        Effect.andThen(clock.sleep(duration), Effect.suspend(() => state.stall === undefined ? Effect.void : Deferred.await(state.stall)))
    }
  })
  return {
    within: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Clock.Clock, held),
    setWallClock: (skew: number) => Effect.sync(() => void (state.skew = skew)),
    /** Nothing of the host runs for so long; `meanwhile` is what arrives in it, and is read after the timers. */
    stalls: (millis: number, meanwhile: Effect.Effect<void> = Effect.void) =>
      Effect.gen(function*() {
        const stall = yield* Deferred.make<void>()
        state.stall = stall
        yield* TestClock.adjust(millis)
        state.stall = undefined
        yield* Deferred.succeed(stall, undefined)
        for (let turn = 0; turn < 3; turn++) yield* Effect.yieldNow
        yield* meanwhile
      })
  }
})

describe("a host", () => {
  /** A test in such a host. */
  const within = <A, E, R>(test: (held: Effect.Success<typeof host>) => Effect.Effect<A, E, R>) =>
    Effect.flatMap(host, (held) => held.within(scoped(test(held))))

  for (const hours of [9, -9]) {
    it.effect(`whose wall clock is set by ${hours} hours changes nothing`, () =>
      within(({ setWallClock }) =>
        Effect.gen(function*() {
          const { ledger, recorded, scripted, tools } = yield* openPools({
            pools: { default: { ...pools.default, queue: { timeout: "5 seconds" } } }
          })
          const running = yield* begin(tools.record({ n: 1 }))
          const waiting = yield* begin(tools.record({ n: 2 }))
          yield* after("100 millis")
          yield* setWallClock(hours * 3_600_000)
          yield* after("3 seconds")
          assert.deepStrictEqual(yield* Effect.all([Fiber.join(running), Fiber.join(waiting)]), [1, 2])
          assert.deepStrictEqual(bites(recorded.events), [])
          assert.include(yield* ledger(), { completed: 2, failed: 0 })
          yield* scripted.worker("default/0").appears("sleeping")
          yield* scripted.worker("default/0").freeze
          const late = yield* begin(tools.again({ n: 3 }))
          yield* after("2500 millis")
          assert.deepStrictEqual(bites(recorded.events), ["WorkerHung"], "found as fast as ever")
          yield* after("10 seconds")
          assert.strictEqual(yield* Fiber.join(late), 3)
        })
      ))
  }

  it.effect("that is held up in the middle of a beat asks again, and fails no worker", () =>
    within(({ stalls }) =>
      Effect.gen(function*() {
        const { recorded, scripted } = yield* openPools({ pools })
        yield* after("900 millis")
        yield* scripted.worker("default/0").appears("sleeping")
        yield* scripted.worker("default/0").freeze
        yield* after("200 millis")
        yield* stalls(10_000)
        yield* after("400 millis")
        yield* scripted.worker("default/0").thaw
        yield* after("5 seconds")
        assert.deepStrictEqual(recorded.ofVerb("miss"), [])
        assert.deepStrictEqual(recorded.ofVerb("restart"), [])
      })
    ))

  it.effect("that is held up reads a result that has arrived before it enforces the deadline", () =>
    within(({ stalls }) =>
      Effect.gen(function*() {
        const { recorded, roster, tools } = yield* openPools({ pools })
        const call = yield* begin(tools.endless())
        yield* after("1 second")
        const id = [...roster().state.calls.keys()][0]!
        const read = Effect.sync(() => Roster.put(roster(), { _tag: "Done", slot: 0, id, payload: new Uint8Array(), micros: 0 }))
        yield* stalls(10_000, read)
        yield* after("1 second")
        yield* Fiber.join(call)
        assert.deepStrictEqual(bites(recorded.events), [])
      })
    ))

  it.effect("that is held up enforces a deadline at its second look", () =>
    within(({ stalls }) =>
      Effect.gen(function*() {
        const { recorded, tools } = yield* openPools({ pools })
        const call = yield* begin(tools.endless())
        yield* after("1 second")
        yield* stalls(10_000)
        yield* after("20 millis")
        assert.strictEqual((yield* errorOf(call))._tag, "CallTimeout")
        assert.deepStrictEqual(bites(recorded.events), ["CallOverran"])
      })
    ))

  it.effect("that is held up again and again still finds a worker that is frozen", () =>
    within(({ stalls }) =>
      Effect.gen(function*() {
        const { recorded, scripted } = yield* openPools({ pools })
        yield* scripted.worker("default/0").appears("sleeping")
        yield* scripted.worker("default/0").freeze
        yield* stalls(3000)
        yield* after("400 millis")
        assert.deepStrictEqual(bites(recorded.events), [])
        yield* stalls(3000)
        assert.deepStrictEqual(bites(recorded.events), [])
        yield* after("4 seconds")
        assert.deepStrictEqual(bites(recorded.events), ["WorkerUnreachable"])
      })
    ))
})
