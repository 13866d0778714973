import { assert, describe, it } from "@effect/vitest"
import { RecordedSpans } from "@snakepit/core/testing"
import { Cause, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import type { CallError } from "../src/index.ts"
import { ScriptedRuntime } from "../src/testing/index.ts"
import { after, begin, openPools, scoped, tools as scriptedTools } from "./OpenPools.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const slot = int(0, 1)

const call = Schema.TaggedStruct("Call", {
  tool: Schema.Literals(["record", "again", "steps", "stepsAgain", "stepsResumed", "stubborn"])
})
const wait = Schema.TaggedStruct("Wait", { ms: Schema.Literals([10, 90, 300, 700, 1500]) })
const Step = Schema.Union([
  call,
  call,
  call,
  call,
  wait,
  wait,
  wait,
  Schema.TaggedStruct("Leave", { nth: int(0, 5) }),
  Schema.TaggedStruct("Crash", { slot }),
  Schema.TaggedStruct("Freeze", { slot }),
  Schema.TaggedStruct("LoseChannel", { slot }),
  Schema.TaggedStruct("RefuseBoots", { slot, times: int(1, 3), stage: Schema.Literals(["import", "exit"]) }),
  Schema.TaggedStruct("ThrowAtSubmit", { slot }),
  Schema.TaggedStruct("EndReaper", {}),
  Schema.TaggedStruct("EndForkserver", {}),
  Schema.TaggedStruct("CrashSpare", {}),
  Schema.TaggedStruct("RefuseSpares", { times: int(1, 3) }),
  Schema.TaggedStruct("Kill", {
    path: Schema.Literals([
      "control/dispatcher",
      "control/launcher/worker_starter",
      "control/launcher",
      "control/lifecycle",
      "control/spares",
      "control/sampler"
    ])
  })
])
const Script = Schema.Array(Step).check(Schema.isMaxLength(60))

/** Short limits, so that a script of seconds meets all of them. */
const pools = {
  default: {
    size: 2,
    prefetch: 1,
    credit: 2,
    queue: { timeout: "3 seconds", capacity: 6 },
    callTimeout: "3 seconds",
    startTimeout: "1 second",
    cancelGrace: "500 millis",
    stopGrace: "500 millis",
    launch: { concurrency: 1, spares: 1 },
    heartbeat: { interval: "500 millis", timeout: "200 millis", maxMissed: 2 },
    tracing: { ratio: 1 }
  },
  other: { size: 1 }
}

const elements = 5

const errorOf = (exit: Exit.Exit<unknown, CallError.CallError>): CallError.CallError | undefined =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined

describe("a pool under harm of every kind", () => {
  it.effect.prop(
    "ends every call once, and each of its spans, runs none twice that must not be, says nothing wrong, and serves again",
    { script: Script },
    ({ script }) =>
      scoped(Effect.gen(function*() {
        const scripted = ScriptedRuntime.make({ tools: scriptedTools, bootTakes: "50 millis" })
        const start = yield* begin(openPools({ pools, scripted }))
        yield* after("200 millis")
        const { kill, ledger, recorded, tools } = yield* Fiber.join(start)
        const spans = RecordedSpans.make()
        const calls: Array<{
          readonly tool: (typeof call.Type)["tool"]
          readonly n: number
          readonly got: Array<number>
          readonly fiber: Fiber.Fiber<unknown, CallError.CallError>
        }> = []
        const harm = (effect: Effect.Effect<void, unknown>) => Effect.ignoreCause(effect) // there may be nothing to harm now
        for (const step of script) {
          switch (step._tag) {
            case "Call": {
              // the number tells the calls apart, and for a stream also says how long it is
              const n = calls.length * 1000 + elements
              const got: Array<number> = []
              const run: Effect.Effect<unknown, CallError.CallError> =
                step.tool === "record" || step.tool === "again" || step.tool === "stubborn"
                  ? tools[step.tool]({ n })
                  : tools[step.tool]({ n }).pipe(
                    Stream.take(elements),
                    Stream.runForEach((element) => Effect.sync(() => got.push(element)))
                  )
              calls.push({ tool: step.tool, n, got, fiber: yield* begin(Effect.withTracer(run, spans.tracer)) })
              break
            }
            case "Leave": {
              const left = calls[calls.length - 1 - step.nth]
              if (left !== undefined) yield* Fiber.interrupt(left.fiber)
              break
            }
            case "Crash":
              yield* harm(scripted.worker(`default/${step.slot}`).crash())
              break
            case "Freeze":
              yield* harm(scripted.worker(`default/${step.slot}`).freeze)
              break
            case "LoseChannel":
              yield* harm(scripted.worker(`default/${step.slot}`).loseChannel())
              break
            case "RefuseBoots":
              yield* scripted.worker(`default/${step.slot}`).refuseBoots(step.times, step.stage)
              break
            case "ThrowAtSubmit":
              yield* harm(scripted.worker(`default/${step.slot}`).throwAtSubmit(new Error("a mistake")))
              break
            case "EndReaper":
              yield* harm(scripted.endReaper("default"))
              break
            case "EndForkserver":
              yield* harm(scripted.endForkserver("default"))
              break
            case "CrashSpare":
              yield* harm(scripted.spares("default").crash)
              break
            case "RefuseSpares":
              yield* scripted.spares("default").refuseBoots(step.times)
              break
            case "Kill":
              yield* harm(kill(`default/${step.path}`))
              break
            case "Wait":
              yield* after(step.ms)
          }
        }
        for (const slot of [0, 1]) {
          yield* harm(scripted.worker(`default/${slot}`).throwAtSubmit(undefined))
          yield* scripted.worker(`default/${slot}`).refuseBoots(0)
        }
        yield* after("40 seconds") // the longest chain: a queue, three attempts, the grace of each; or the window of a slot that did not import

        for (const { fiber, got, n, tool } of calls) {
          const runs = scripted.journal.filter(({ args }) => (args as { readonly n: number }).n === n)
          const exit = fiber.pollUnsafe()
          assert.isDefined(exit, `${tool} has no outcome`)
          if (tool === "record" || tool === "steps" || tool === "stubborn") assert.isAtMost(runs.length, 1, `${tool} ran twice`)
          assert.isAtMost(runs.length, 3, `${tool} has more than its attempts`)
          assert.deepStrictEqual(got, got.map((_, index) => index), `${tool} has a gap or a repetition`)
          const error = errorOf(exit!)
          if (error === undefined) {
            if (Exit.isSuccess(exit!) && got.length === 0) assert.strictEqual(exit.value, n)
            else if (Exit.isSuccess(exit!)) assert.strictEqual(got.length, elements)
          } else if (error.executed === "no") assert.isEmpty(runs, `${tool} ran, and ${error._tag} says that it did not`)
          else if (error.executed === "failed") assert.isNotEmpty(runs, `${tool} did not run, and ${error._tag} says that it did`)
        }
        assert.deepStrictEqual(RecordedSpans.violations(spans.all), [])
        const idsOf = (name: string) => spans.all.filter((span) => span.name.startsWith(name)).map(({ spanId }) => spanId)
        assert.strictEqual(idsOf("pool.call").length, calls.length)
        const ran = scripted.journal.map(({ trace }) => Buffer.from(trace!.subarray(16, 24)).toString("hex"))
        assert.strictEqual(new Set(ran).size, ran.length, "two runs in Python are below one attempt")
        const attempts = new Set(idsOf("pool.attempt"))
        assert.isTrue(ran.every((id) => attempts.has(id)), "a run in Python is below no attempt")
        assert.deepStrictEqual(scripted.alive(), ["default/0", "default/1", "other/0"])
        assert.strictEqual(scripted.spares("default").waiting().length, 1)
        assert.isAtMost(scripted.launching("default").most, 1)
        const both = yield* begin(Effect.all([1, 2].map((a) => tools.add({ a, b: 0 })), { concurrency: "unbounded" }))
        yield* after("1 second")
        assert.isDefined(both.pollUnsafe(), "the pool does not serve")
        assert.deepStrictEqual(yield* Fiber.join(both), [1, 2])
        const { accepted, cancelled, completed, failed, twice } = (yield* ledger())!
        assert.strictEqual(accepted, completed + failed + cancelled)
        assert.strictEqual(twice, 0)
        assert.strictEqual(scripted.worker("other/0").generation(), 0)
        assert.isFalse(recorded.events.some(({ attributes, name }) => attributes["pool"] === "other" && name.endsWith("restart")))
      })),
    { arbitrary: { runs: 50, size: 60 } }
  )
})
