import { assert, describe, it } from "@effect/vitest"
import { ExitReason, RestartPolicy, SupervisorError } from "@snakepit/core"
import { Effect } from "effect"
import * as ExitClass from "../src/ExitClass.ts"
import * as RestartDelay from "../src/RestartDelay.ts"
import { BootFailed, HandshakeFailed, ProcessExited } from "../src/WorkerError.ts"

const exited = new ProcessExited({
  worker: "default/0",
  pid: 1,
  code: 1,
  signal: null,
  exitClass: ExitClass.ofEnd({ code: 1, signal: null }),
  output: []
})
const boot = (stage: BootFailed["stage"]) => new BootFailed({ worker: "default/0", stage, adapter: "tools", detail: "no", output: [] })
const failed = (error: unknown) => ({ id: "process", reason: ExitReason.ExitReason.Failed({ error }) })
const stepOf = (delay: ReturnType<typeof RestartDelay.worker>) =>
  RestartPolicy.delayStep(RestartPolicy.make({ intensity: { maxRestarts: 100, within: "30 seconds" }, delay }))

describe("the delay of a restart", () => {
  it.effect("of a worker's children is none at first, then 50 ms doubling to 5 s, and none again after a quiet time", () =>
    Effect.gen(function*() {
      const step = stepOf(RestartDelay.worker())
      const delays = yield* Effect.forEach([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], (now) => step(now, failed(exited)))
      assert.deepStrictEqual(delays, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000])
      assert.strictEqual(yield* step(30_009, failed(exited)), 5000)
      assert.strictEqual(yield* step(60_009, failed(exited)), 0)
    }))

  it.effect("of a subtree is 50 ms doubling to 5 s", () =>
    Effect.gen(function*() {
      const step = stepOf(RestartDelay.subtree())
      assert.deepStrictEqual(yield* Effect.forEach([0, 1, 2], (now) => step(now, failed(exited))), [50, 100, 200])
    }))

  it.effect("is refused to a boot or a handshake that would fail again, however deep it lies", () =>
    Effect.gen(function*() {
      const started = (error: unknown) => new SupervisorError.StartFailed({ at: { path: "default/fleet/0/process", error } })
      const gaveUp = (error: unknown) =>
        new SupervisorError.GaveUp({
          path: "default/fleet/0",
          because: { path: "default/fleet/0/process", error },
          limit: undefined,
          escalated: [],
          incident: "1"
        })
      for (const delay of [RestartDelay.worker(), RestartDelay.subtree()]) {
        for (const stage of ["import", "catalogue"] as const) {
          for (const error of [boot(stage), started(boot(stage)), gaveUp(boot(stage)), gaveUp(started(boot(stage)))]) {
            const refusal = yield* Effect.flip(stepOf(delay)(0, failed(error)))
            assert.include(refusal, { _tag: "DeterministicBootFailure", worker: "default/0", stage, adapter: "tools" })
          }
        }
        const refused = new HandshakeFailed({ worker: "default/0", field: "protocol", expected: "1", received: "2" })
        const refusal = yield* Effect.flip(stepOf(delay)(0, failed(gaveUp(started(refused)))))
        assert.include(refusal, { _tag: "DeterministicBootFailure", worker: "default/0", stage: "handshake", adapter: undefined })
        assert.include(String(refusal), "Install matching versions")
        for (
          const error of [
            boot("exit"),
            boot("spawn"),
            boot("timeout"),
            boot("bind"),
            boot("start"),
            started(exited),
            gaveUp(boot("exit")),
            "no"
          ]
        ) {
          assert.isAtMost(yield* stepOf(delay)(0, failed(error)), 50)
        }
        assert.isAtMost(yield* stepOf(delay)(0, { id: "process", reason: ExitReason.ExitReason.Defect({ defect: boot("import") }) }), 50)
      }
    }))
})
