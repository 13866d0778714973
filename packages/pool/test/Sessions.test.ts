/** Sessions of a pool on scripted workers: their time to live, quota, end, loss, and what a crash of the session_store harms. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import * as Roster from "../src/control/Roster.ts"
import { type PoolConfig, Session } from "../src/index.ts"
import { ScriptedRuntime, ScriptedTool } from "../src/testing/index.ts"
import { after, begin, errorOf, openPools, scoped, tools } from "./OpenPools.ts"

const open = Effect.fnUntraced(function*(pool: PoolConfig.PoolConfigInput = {}, sessions: ScriptedRuntime.Hooks = {}) {
  const scripted = ScriptedRuntime.make({ tools, sessions })
  const opened = yield* openPools({ pools: { default: { size: 2, prefetch: 0, affinity: "strict_queue", ...pool } }, scripted })
  const { provided, recorded } = opened
  const use = (session: string) => opened.tools.add({ a: 1, b: 1 }, { session })
  return {
    ...opened,
    use,
    open: (options?: Session.Options) => provided(Session.open("default", options)),
    end: (id: string) => provided(Session.end("default", id)),
    get: (id: string) => provided(Session.get("default", id)),
    list: provided(Session.list("default")),
    /** Where sessions have begun, and how they have ended. */
    starts: () => scripted.sessions.map(({ how, session, worker }) => `${session} on ${worker}: ${how}`),
    events: (name: string) => recorded.events.filter((event) => event.name === `snakepit.session.${name}`),
    killStore: opened.foundation.failChild("session_store", new Error("the test ends it"))
  }
})

const ttl = { sessions: { ttl: "10 seconds", sweep: "1 second" } } as const

describe("a session", () => {
  it.effect("ends when it has had no call for its time to live, and its worker is told", () =>
    scoped(Effect.gen(function*() {
      const { events, get, starts, use } = yield* open(ttl)
      yield* use("s")
      yield* after("9 seconds")
      yield* use("s")
      yield* after("9 seconds")
      assert.include(yield* get("s"), { id: "s", calls: 0, opened: false, worker: "default/0", ttlMillis: 10_000 })
      yield* after("2 seconds")
      assert.isUndefined(yield* get("s"))
      assert.deepStrictEqual(starts(), ["s on default/0: ended"])
      const [end] = events("end")
      assert.include(end!.attributes, { session: "s", reason: "ttl" })
      assert.strictEqual(end!.measurements["starts"], 1)
      assert.deepStrictEqual(events("start").map(({ attributes }) => attributes["why"]), ["new"])
    })))

  it.effect("whose time is over is served no more, swept or not (6b-16)", () =>
    scoped(Effect.gen(function*() {
      const { get, starts, use } = yield* open({ sessions: { ttl: "10 seconds", sweep: "1 hour" } })
      yield* use("s")
      yield* after("10 seconds")
      assert.isUndefined(yield* get("s"))
      yield* use("s")
      assert.deepStrictEqual(starts(), ["s on default/0: ended", "s on default/0: open"])
    })))

  it.effect("with a call that waits or runs is in use", () =>
    scoped(Effect.gen(function*() {
      const { events, tools } = yield* open({ sessions: { ttl: "2 seconds", sweep: "1 second" } })
      const calls = yield* begin(Effect.all([0, 1, 2, 3].map((n) => tools.record({ n }, { session: "s" })), { concurrency: 4 }))
      yield* after("4 seconds")
      assert.deepStrictEqual(yield* Fiber.join(calls), [0, 1, 2, 3])
      assert.deepStrictEqual(events("end"), [])
      yield* after("3 seconds")
      assert.strictEqual(events("end").length, 1)
    })))

  it.effect("beyond the quota is refused, and so is a bad id", () =>
    scoped(Effect.gen(function*() {
      const { end, open: openSession, use } = yield* open({ sessions: { maxSessions: 2 } })
      yield* use("a")
      yield* use("b")
      const error = yield* Effect.flip(use("c"))
      assert.isTrue(error._tag === "SessionsFull" && error.executed === "no" && error.limit === 2 && error.session === "c")
      assert.include(yield* Effect.flip(openSession()), { _tag: "SessionNotOpened", reason: "full" })
      assert.isTrue(yield* end("a"))
      assert.isFalse(yield* end("a"))
      yield* use("c")
      yield* end("c")
      assert.include(yield* Effect.flip(use("ä".repeat(129))), { _tag: "InvalidPayload" })
      assert.include(yield* Effect.flip(openSession({ id: "" })), { reason: "invalid" })
    })))

  it.effect("is told once when there are many, and again when there were fewer", () =>
    Effect.gen(function*() {
      const { end, events, use } = yield* open({ sessions: { maxSessions: 10, warnAt: 0.5 } })
      for (const id of ["a", "b", "c", "d"]) yield* use(id)
      assert.deepStrictEqual(events("many"), [])
      yield* use("e")
      yield* use("f")
      yield* end("a")
      yield* end("b")
      yield* use("a") // 5 again, after 4: about the threshold
      assert.deepStrictEqual(events("many").map(({ measurements }) => measurements), [{ sessions: 5, limit: 10 }])
      for (const id of ["a", "c", "d"]) yield* end(id)
      for (const id of ["g", "h", "i"]) yield* use(id)
      assert.strictEqual(events("many").length, 2)
    }))

  it.effect("that is opened gives its data to each worker that it begins on, and ends with its scope", () =>
    scoped(Effect.gen(function*() {
      const seen: Array<unknown> = []
      const hooks = { start: ({ data }: ScriptedRuntime.HookSession) => void seen.push(data) }
      const { events, get, open: openSession, starts, use } = yield* open(ttl, hooks)
      const scope = yield* Scope.make()
      const session = yield* Scope.provide(openSession({ id: "s", data: { user: "ada" }, ttl: "5 seconds" }), scope)
      assert.deepStrictEqual(starts(), [])
      assert.include(yield* Effect.flip(openSession({ id: "s" })), { reason: "taken", session: "s" })
      yield* use("s")
      yield* after("7 seconds")
      assert.include(yield* get("s"), { opened: true, ttlMillis: 5000 })
      assert.notProperty(yield* get("s"), "worker")
      yield* use("s")
      assert.deepStrictEqual(seen, [{ user: "ada" }, { user: "ada" }])
      yield* Scope.close(scope, Exit.void)
      yield* session.end
      assert.isUndefined(yield* get("s"))
      assert.deepStrictEqual(starts(), ["s on default/0: ended", "s on default/0: ended"])
      assert.deepStrictEqual(events("end").map(({ attributes }) => attributes["reason"]), ["ttl", "explicit"])
      assert.deepStrictEqual(events("start").map(({ attributes }) => attributes["why"]), ["new", "again"])
    })))

  it.effect("that was ended and begun by another is not ended by the scope of the first", () =>
    Effect.gen(function*() {
      const { end, get, open: openSession, use } = yield* open()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* openSession({ id: "s" })
        yield* end("s")
        yield* use("s")
      }))
      assert.include(yield* get("s"), { opened: false })
    }))

  it.effect("that is ended fails the calls that wait, lets those that run come to their end, and is over then", () =>
    scoped(Effect.gen(function*() {
      const { end, starts, tools } = yield* open()
      const running = yield* begin(tools.record({ n: 1 }, { session: "s" }))
      const waiting = yield* begin(tools.record({ n: 2 }, { session: "s" }))
      const ending = yield* begin(end("s"))
      assert.include(yield* errorOf(waiting), { _tag: "SessionEnded", executed: "no", session: "s" })
      assert.isUndefined(ending.pollUnsafe())
      const next = yield* begin(tools.add({ a: 1, b: 1 }, { session: "s" }))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(running), 1)
      assert.isTrue(yield* Fiber.join(ending))
      assert.strictEqual(yield* Fiber.join(next), 2)
      assert.deepStrictEqual(starts(), ["s on default/0: ended", "s on default/1: open"])
    })))

  it.effect("whose start raises fails its call, and begins with the next", () =>
    Effect.gen(function*() {
      let attempts = 0
      const start = () => attempts++ === 0 ? ScriptedTool.raise("LookupError", "no such model") : undefined
      const { starts, use } = yield* open({}, { start: () => void start() })
      const error = yield* Effect.flip(use("s"))
      assert.isTrue(error._tag === "PythonError" && error.exception.type === "LookupError")
      yield* use("s")
      assert.deepStrictEqual(starts(), ["s on default/0: open"])
    }))

  it.effect("whose end raises is told", () =>
    Effect.gen(function*() {
      const { end, events, use } = yield* open({}, { end: () => ScriptedTool.raise("OSError", "disk full") })
      yield* use("s")
      assert.isTrue(yield* end("s"))
      assert.include(events("end_fail")[0]!.attributes, { session: "s", slot: 0, cause: "OSError: disk full" })
    }))

  it.effect("whose end goes on beyond its limit costs its worker", () =>
    scoped(Effect.gen(function*() {
      const { events, roster, scripted, use } = yield* open()
      yield* use("s")
      const { sessions } = roster().state
      sessions.endings.set(++sessions.ends, { slot: 0, session: "s", told: undefined })
      Roster.put(roster(), { _tag: "SessionEnded", slot: 0, number: sessions.ends, failure: "it goes on", overran: true })
      yield* after("1 second")
      assert.strictEqual(events("end_fail").length, 1)
      assert.strictEqual(scripted.worker("default/0").generation(), 1)
    })))
})

describe("a session whose worker is gone", () => {
  const harm = (onLoss: "fail" | "replay", affinity: "hint" | "strict_queue" | "strict_fail_fast" = "strict_queue") =>
    Effect.gen(function*() {
      const opened = yield* open({ affinity, sessions: { onLoss } })
      yield* opened.open({ id: "s", data: 7 })
      yield* opened.use("s")
      yield* opened.scripted.worker("default/0").crash()
      yield* after("1 millis")
      return opened
    })

  it.effect("by onLoss fail is told so once, and begins anew, with its data", () =>
    scoped(Effect.gen(function*() {
      const { events, get, scripted, use } = yield* harm("fail")
      assert.include(yield* get("s"), { worker: "default/0", lost: "its process was ended by SIGKILL" })
      const error = yield* Effect.flip(use("s"))
      assert.include(error, { _tag: "SessionLost", worker: "default/0" })
      yield* use("s")
      assert.deepStrictEqual(scripted.sessions.map(({ data, how }) => [data, how]), [[7, "lost"], [7, "open"]])
      assert.include(events("lose")[0]!.attributes, { then: "told" })
      assert.deepStrictEqual(events("end").map(({ attributes }) => attributes["reason"]), ["lost"])
    })))

  it.effect("by onLoss replay begins on another worker, with its data, and those that wait with it", () =>
    scoped(Effect.gen(function*() {
      const { events, scripted, tools, use } = yield* harm("replay")
      yield* use("s")
      assert.deepStrictEqual(scripted.sessions.map(({ data, how }) => [data, how]), [[7, "lost"], [7, "open"]])
      assert.include(events("lose")[0]!.attributes, { then: "replayed" })
      assert.deepStrictEqual(events("start").map(({ attributes }) => attributes["why"]), ["new", "again"])
      const again = yield* begin(tools.again({ n: 1 }, { session: "s" }))
      const waiting = yield* begin(tools.record({ n: 2 }, { session: "s" }))
      yield* after("500 millis")
      yield* scripted.worker(scripted.sessions.at(-1)!.worker).crash()
      yield* after("3 seconds")
      assert.deepStrictEqual([yield* Fiber.join(again), yield* Fiber.join(waiting)], [1, 2]) // the one that ran is idempotent
    })))

  it.effect("by hint goes on elsewhere, and its start runs there", () =>
    scoped(Effect.gen(function*() {
      const { events, scripted, use } = yield* harm("fail", "hint")
      yield* use("s")
      assert.deepStrictEqual(scripted.sessions.map(({ how }) => how), ["lost", "open"])
      assert.include(events("lose")[0]!.attributes, { then: "elsewhere" })
    })))

  it.effect("because the pool is down is told so when that is up again", () =>
    scoped(Effect.gen(function*() {
      const { events, kill, list, use } = yield* open()
      yield* use("s")
      yield* kill("default/roster")
      yield* after("1 second")
      assert.deepStrictEqual((yield* list).map(({ id }) => id), ["s"])
      assert.include(yield* Effect.flip(use("s")), { _tag: "SessionLost" })
      yield* use("s")
      assert.deepStrictEqual(events("end").map(({ attributes }) => attributes["reason"]), ["pool_down"])
    })))

  it.effect("because it is drained: the worker ends it first, and it goes on as after a loss", () =>
    scoped(Effect.gen(function*() {
      const { roster, starts, tools, use } = yield* open({ sessions: { onLoss: "replay" } })
      yield* use("s")
      yield* begin(tools.record({ n: 1 }, { session: "s" }))
      const waiting = yield* begin(tools.record({ n: 2 }, { session: "s" }))
      Roster.put(roster(), { _tag: "Drain", slot: 0 })
      yield* after("999 millis")
      assert.deepStrictEqual(starts(), ["s on default/0: open"]) // one worker at a time
      yield* after("1100 millis")
      assert.strictEqual(yield* Fiber.join(waiting), 2)
      assert.deepStrictEqual(starts(), ["s on default/0: ended", "s on default/1: open"])
    })))

  it.effect("by hint moves to a freer one: the worker before it ends it", () =>
    scoped(Effect.gen(function*() {
      const { events, starts, tools, use } = yield* open({ affinity: "hint" })
      yield* use("s")
      yield* begin(Effect.all([tools.record({ n: 1 }), tools.record({ n: 2 }, { session: "s" })], { concurrency: 2 }))
      yield* after("1 second")
      assert.deepStrictEqual(starts(), ["s on default/0: ended", "s on default/1: open"])
      assert.deepStrictEqual(events("start").map(({ attributes }) => attributes["why"]), ["new", "moved"])
    })))
})

describe("a crash of the session_store", () => {
  it.effect("loses no session, touches no worker and no call, and sessions end in time after it (6b-3)", () =>
    scoped(Effect.gen(function*() {
      const { foundation, killStore, list, scripted, starts, tools, use } = yield* open(ttl)
      yield* use("s")
      yield* use("t")
      const running = yield* begin(tools.record({ n: 5 }, { session: "t" }))
      const before = yield* list
      yield* killStore
      assert.deepStrictEqual(yield* list, before)
      const waiting = yield* begin(use("s"))
      yield* after("1 second")
      assert.strictEqual(yield* Fiber.join(waiting), 2)
      assert.strictEqual(yield* Fiber.join(running), 5)
      const [store] = (yield* foundation.tree).children
      assert.include(store!, { status: "running", generation: 1 })
      assert.deepStrictEqual([0, 1].map((slot) => scripted.worker(`default/${slot}`).generation()), [0, 0])
      yield* after("12 seconds")
      assert.deepStrictEqual(yield* list, [])
      assert.isTrue(starts().every((start) => start.endsWith("ended")))
    })))

  it.effect("leaves nothing unended when the pool has a Dispatcher crash at the same time", () =>
    scoped(Effect.gen(function*() {
      const { end, kill, killStore, starts, use } = yield* open(ttl)
      yield* use("s")
      yield* killStore
      yield* kill("default/control/dispatcher")
      const ending = yield* begin(end("s"))
      yield* after("1 second")
      assert.isTrue(yield* Fiber.join(ending))
      assert.deepStrictEqual(starts(), ["s on default/0: ended"])
    })))
})
