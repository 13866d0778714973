import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Exit, Option, Schema } from "effect"
import { PoolConfig } from "../src/PoolConfig.ts"

const decode = (input: unknown) => Schema.decodeUnknownExit(PoolConfig)(input, { onExcessProperty: "error", errors: "all" })

const issueOf = (input: unknown): string => {
  const exit = decode(input)
  assert.isTrue(Exit.isFailure(exit), "the configuration was taken")
  const error = Exit.isFailure(exit) ? Cause.findErrorOption(exit.cause) : Option.none()
  return Option.isSome(error) ? error.value.message : ""
}

describe("PoolConfig", () => {
  it("every key has a default", () => {
    const config = Schema.decodeUnknownSync(PoolConfig)({})
    const millis = (duration: Duration.Duration) => Duration.toMillis(duration)
    assert.deepStrictEqual(
      {
        size: config.size,
        capacity: config.queue.capacity,
        queueTimeout: millis(config.queue.timeout),
        callTimeout: millis(config.callTimeout),
        cancelGrace: millis(config.cancelGrace),
        attempts: config.attempts,
        barrier: { ...config.barrier, backoff: config.barrier.backoff.map(millis) },
        outlier: config.outlier,
        guards: [config.breaker, config.rateLimit],
        concurrency: config.concurrency,
        prefetch: config.prefetch,
        affinity: config.affinity,
        perTenant: config.queue.perTenant,
        credit: config.credit,
        maxPayload: config.maxPayload,
        interval: millis(config.heartbeat.interval),
        timeout: millis(config.heartbeat.timeout),
        maxMissed: config.heartbeat.maxMissed,
        launch: config.launch,
        startTimeout: millis(config.startTimeout),
        stopGrace: millis(config.stopGrace),
        restarts: [config.restart.worker, config.restart.fleet, config.restart.pool].map(({ maxRestarts, within }) => [
          maxRestarts,
          millis(within)
        ])
      },
      {
        size: 2,
        capacity: 1000,
        queueTimeout: 30_000,
        callTimeout: 300_000,
        cancelGrace: 5000,
        attempts: 3,
        barrier: {
          taintOn: ["Segfault", "Abort", "OutOfMemory", "GpuFault"],
          taintFor: Duration.seconds(10),
          maxTainted: 0.5,
          backoff: [50, 100, 200],
          poisonAfter: 3,
          poisonWindow: Duration.minutes(10),
          quarantineFor: Duration.minutes(15)
        },
        outlier: { after: 5, ejectFor: Duration.seconds(10), maxEjectFor: Duration.minutes(5), maxEjected: 0.5 },
        guards: [undefined, undefined],
        concurrency: 1,
        prefetch: "auto",
        affinity: "hint",
        perTenant: undefined,
        credit: 64,
        maxPayload: 16_777_216,
        interval: 1000,
        timeout: 500,
        maxMissed: 2,
        launch: { concurrency: 8, spares: 0 },
        startTimeout: 60_000,
        stopGrace: 3000,
        restarts: [[3, 30_000], [4, 30_000], [3, 60_000]]
      }
    )
  })

  it("a key inside a section keeps the defaults of its neighbours", () => {
    const config = Schema.decodeUnknownSync(PoolConfig)({ heartbeat: { maxMissed: 9 }, restart: { worker: { maxRestarts: 1 } } })
    assert.strictEqual(config.heartbeat.maxMissed, 9)
    assert.strictEqual(Duration.toMillis(config.heartbeat.interval), 1000)
    assert.strictEqual(config.restart.worker.maxRestarts, 1)
    assert.strictEqual(Duration.toMillis(config.restart.worker.within), 30_000)
    assert.strictEqual(config.restart.fleet.maxRestarts, 4)
  })

  it.for(
    [
      ["a pool without workers", { size: 0 }, ["size"]],
      ["half a worker", { size: 1.5 }, ["size"]],
      ["a number for a duration", { callTimeout: 5 }, ["callTimeout"]],
      ["words for a duration", { queue: { timeout: "a while" } }, ["queue", "timeout"]],
      ["fewer calls ahead than none", { prefetch: -1 }, ["prefetch"]],
      ["an affinity that there is not", { affinity: "strict" }, ["affinity"]],
      ["no credit", { credit: 0 }, ["credit"]],
      ["a threshold of nothing", { heartbeat: { maxMissed: 0 } }, ["heartbeat", "maxMissed"]],
      ["no launch at a time", { launch: { concurrency: 0 } }, ["launch", "concurrency"]],
      ["fewer spares than none", { launch: { spares: -1 } }, ["launch", "spares"]],
      ["a class of exits that there is not", { barrier: { taintOn: ["Segfalt"] } }, ["barrier", "taintOn"]],
      ["no delay at all", { barrier: { backoff: [] } }, ["barrier", "backoff"]],
      ["more than all slots", { outlier: { maxEjected: 1.5 } }, ["outlier", "maxEjected"]],
      ["a breaker that is always open", { breaker: { after: 0 } }, ["breaker", "after"]],
      ["a rate of no calls", { rateLimit: { calls: 0 } }, ["rateLimit", "calls"]],
      ["a misspelt key", { queue: { capcity: 3 } }, ["queue", "capcity"]],
      ["a misspelt section", { hartbeat: {} }, ["hartbeat"]],
      ["a negative budget", { restart: { fleet: { maxRestarts: -1 } } }, ["restart", "fleet", "maxRestarts"]]
    ] as const
  )("%s is refused by the name of its key", ([, input, keys]) => {
    const issue = issueOf(input)
    for (const key of keys) assert.include(issue, `"${key}"`)
  })

  it("all mistakes are named at once", () => {
    const issue = issueOf({ size: 0, concurrency: 0, heartbeat: { maxMissed: 0 } })
    for (const key of ["size", "concurrency", "maxMissed"]) assert.include(issue, `"${key}"`)
  })

  it("what was decoded encodes to the same settings", () => {
    const config = Schema.decodeUnknownSync(PoolConfig)({ size: 3, callTimeout: "90 seconds" })
    const again = Schema.decodeUnknownSync(PoolConfig)(Schema.encodeUnknownSync(PoolConfig)(config))
    assert.deepStrictEqual(again, config)
  })
})
