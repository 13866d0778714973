/**
 * Sessions under whatever callers, operators, time and broken workers do: on every process a session begins before its calls and ends once, in
 * order, where the process lives; what has ended is used no more.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, type Fiber, Option, Schema, Scope } from "effect"
import { PoolControl, Session } from "../src/index.ts"
import { ScriptedRuntime } from "../src/testing/index.ts"
import { after, begin, openPools, scoped } from "./OpenPools.ts"

const ids = ["a", "b", "c"] as const
const id = Schema.Literals(ids)
const worker = Schema.Literals(["default/0", "default/1"])

const Step = Schema.Union([
  Schema.TaggedStruct("Call", { id, tool: Schema.Literals(["add", "again", "record"]) }),
  Schema.TaggedStruct("Call", { id, tool: Schema.Literals(["add", "again", "record"]) }),
  Schema.TaggedStruct("Call", { id, tool: Schema.Literals(["add", "again", "record"]) }),
  Schema.TaggedStruct("Open", { id }),
  Schema.TaggedStruct("Close", { id }),
  Schema.TaggedStruct("End", { id }),
  Schema.TaggedStruct("Wait", { millis: Schema.Literals([1, 300, 1000, 4000]) }),
  Schema.TaggedStruct("Wait", { millis: Schema.Literals([1, 300, 1000, 4000]) }),
  Schema.TaggedStruct("Crash", { worker }),
  Schema.TaggedStruct("LoseSession", { worker }),
  Schema.TaggedStruct("LoseChannel", { worker }),
  Schema.TaggedStruct("Recycle", { slot: Schema.Literals([0, 1, 2]) }),
  Schema.TaggedStruct("KillStore", {}),
  Schema.TaggedStruct("KillDispatcher", {})
])

const Settings = Schema.Struct({
  affinity: Schema.Literals(["hint", "strict_queue", "strict_fail_fast"]),
  onLoss: Schema.Literals(["fail", "replay"]),
  concurrency: Schema.Literals([1, 2]),
  maxSessions: Schema.Literals([2, 100])
})

/** A session on one process, as its hooks and tools see it. */
interface Visit {
  calls: number
  ends: number
}

const play = Effect.fnUntraced(
  function*({ affinity, concurrency, maxSessions, onLoss }: typeof Settings.Type, script: ReadonlyArray<typeof Step.Type>) {
    const visits = new Map<object, Visit>()
    const wrong: Array<string> = []
    const note = (what: keyof Visit, state: object) => {
      const visit = visits.get(state)
      if (visit === undefined) return void wrong.push(`${what} of a session that was never started there`)
      if (visit.ends > 0) wrong.push(`${what} of a session that has ended there`)
      visit[what]++
    }
    const scripted = ScriptedRuntime.make({
      tools: {
        add: (_: unknown, { state }) => (note("calls", state!), 2),
        again: { run: (_: unknown, { state }) => (note("calls", state!), 1), takes: "1 second" },
        record: { run: (_: unknown, { state }) => (note("calls", state!), 1), takes: "500 millis" }
      },
      sessions: {
        start: ({ state }) => {
          if (visits.has(state)) wrong.push("started twice")
          visits.set(state, { calls: 0, ends: 0 })
        },
        end: ({ state }) => note("ends", state)
      }
    })
    const { foundation, kill, provided, roster, tools } = yield* openPools({
      pools: {
        default: {
          affinity,
          concurrency,
          stopGrace: "2 seconds",
          sessions: { onLoss, maxSessions, ttl: "3 seconds", sweep: "1 second" },
          restart: { worker: { maxRestarts: 1000 }, fleet: { maxRestarts: 1000 }, pool: { maxRestarts: 1000 } }
        }
      },
      scripted
    })
    const control = yield* PoolControl.of("default").pipe(provided)
    const calls: Array<Fiber.Fiber<unknown, unknown>> = []
    const open = new Map<string, Scope.Closeable>()
    const lives = (name: string) => scripted.alive().includes(name)
    for (const step of script) {
      switch (step._tag) {
        case "Call": {
          const options = { session: step.id }
          calls.push(
            yield* begin<unknown, unknown, never>(
              step.tool === "add" ? tools.add({ a: 1, b: 1 }, options) : tools[step.tool]({ n: 1 }, options)
            )
          )
          break
        }
        case "Open": {
          if (open.has(step.id)) break
          const scope = yield* Scope.make()
          const opening = provided(Scope.provide(Session.open("default", { id: step.id, data: step.id }), scope))
          yield* begin(Effect.map(Effect.option(opening), (opened) => Option.isSome(opened) && open.set(step.id, scope))) // the Dispatcher may be away
          break
        }
        case "Close": {
          const scope = open.get(step.id)
          open.delete(step.id)
          if (scope !== undefined) yield* begin(Scope.close(scope, Exit.void))
          break
        }
        case "End":
          yield* begin(provided(Session.end("default", step.id)))
          break
        case "Wait":
          yield* after(step.millis)
          break
        case "Crash":
          if (lives(step.worker)) yield* scripted.worker(step.worker).crash()
          break
        case "LoseSession":
          if (lives(step.worker)) yield* Effect.exit(scripted.worker(step.worker).loseSession)
          break
        case "LoseChannel":
          if (lives(step.worker)) yield* Effect.exit(scripted.worker(step.worker).loseChannel())
          break
        case "Recycle":
          yield* begin(Effect.ignore(control.recycle(step.slot)))
          break
        case "KillStore":
          yield* Effect.exit(foundation.failChild("session_store", new Error("the script ends it")))
          break
        case "KillDispatcher":
          yield* Effect.exit(kill("default/control/dispatcher"))
      }
      yield* after(0)
      const { sessions } = roster().state
      assert.isAtMost(sessions.byId.size, maxSessions)
    }
    yield* after("1 minute")
    for (const call of calls) assert.isDefined(call.pollUnsafe(), "a call has no end")
    for (const scope of open.values()) yield* begin(Scope.close(scope, Exit.void))
    yield* after("10 seconds")
    const { sessions } = roster().state
    assert.strictEqual(sessions.byId.size, 0, "a session has no end")
    assert.strictEqual(sessions.endings.size, 0, "an end is not confirmed, and its worker lives")
    assert.deepStrictEqual(wrong, [])
    assert.strictEqual(scripted.sessions.length, visits.size)
    for (const [position, { ends }] of [...visits.values()].entries()) {
      const { how, session, worker } = scripted.sessions[position]!
      assert.notStrictEqual(how, "open", `session ${session} on ${worker} has no end`)
      assert.strictEqual(ends, how === "lost" ? 0 : 1, `session ${session} on ${worker}, ${how}`)
    }
  }
)

describe("sessions", () => {
  it.effect.prop(
    "begin before their calls and end once where their worker lives, and are never used after their end",
    { settings: Settings, script: Schema.Array(Step).check(Schema.isMaxLength(40)) },
    ({ script, settings }) => scoped(play(settings, script)),
    { arbitrary: { runs: 60, size: 40 }, timeout: 120_000 }
  )
})
