/**
 * The settings of one pool: a Schema that holds every default and its reason.
 *
 * **Details**
 *
 * Durations are written as people write them: `"2 seconds"`. Three limits are separate on purpose: `queue.timeout` bounds the wait for a
 * worker, `callTimeout` one attempt on a worker, `heartbeat` the silence of a worker that does not work. A silent worker whose CPU time
 * advances is busy, not lost: the limit of its call decides. One tool's own limits are annotations of its procedure: see `Tool`.
 *
 * **Example** (A small pool of a slow model)
 *
 * ```ts
 * import { PoolConfig } from "@snakepit/pool"
 * import { Schema } from "effect"
 *
 * const config = Schema.decodeUnknownSync(PoolConfig.PoolConfig)({ size: 4, callTimeout: "2 minutes" })
 * config.queue.capacity // => 1000
 * ```
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ReloadClass from "./config/ReloadClass.ts"

const { live, roll, scale } = ReloadClass
const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const duration = (value: string) => Schema.DurationFromString.pipe(Schema.withDecodingDefault(Effect.succeed(value)))
const count = (minimum: number, maximum: number, value: number) =>
  int(minimum, maximum).pipe(Schema.withDecodingDefault(Effect.succeed(value)))
const section = <F extends Schema.Struct.Fields>(fields: F, defaults: Schema.Struct<F>["Encoded"]) =>
  Schema.Struct(fields).pipe(Schema.withDecodingDefault(Effect.succeed(defaults)))

const share = (value: number) =>
  Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })).pipe(Schema.withDecodingDefault(Effect.succeed(value)))

/** 16 levels: no arguments of a probe need more, and what is nested without an end cannot be worked on. */
const mostLevels = 16

const isWithin = (levels: number, value: unknown): boolean =>
  typeof value !== "object" || value === null || levels > 0 && Object.values(value).every((inner) => isWithin(levels - 1, inner))

const flat = Schema.makeFilter((value: { readonly [name: string]: unknown }) =>
  isWithin(mostLevels, value) || `they may be nested ${mostLevels} levels deep, and are deeper`
)

/** What workers tell of themselves and their tools. */
const Telemetry = {
  /** Whether they tell anything. true: samples, warnings and what tools tell by themselves cost a call next to nothing. */
  on: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(true))),
  /**
   * Names that are told; in a pattern `*` stands for any characters. They are those of events and spans, `python.log.<logger>`,
   * `python.output.stdout`, `python.output.stderr`, and those of samples, as `python.memory.sampled`. By default all of them.
   */
  allow: Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** Names that are not told, whatever `allow` says. By default none. */
  deny: Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** Which share of them is told: the first pattern that fits holds. By default each one is: it was asked for. */
  sampling: Schema.Array(Schema.Struct({
    pattern: Schema.NonEmptyString,
    rate: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
  })).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** The lowest level of Python's `logging` that is told, to the logger of the host. `"warning"`: Python's own default. */
  logs: Schema.Literals(["none", "debug", "info", "warning", "error", "critical"]).pipe(
    Schema.withDecodingDefault(Effect.succeed("warning" as const))
  ),
  /**
   * Whether lines that tools write to stdout and stderr are told as logs, each with its call. false: they may be anything. The last of them are kept
   * for when the process ends in any case.
   */
  output: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(false))),
  /** Between two samples of memory, CPU, garbage collection and GPUs; 0: none. 10 s: as often as a dashboard looks. */
  samples: duration("10 seconds")
}

/** 100 ms: nobody sees more, and each sample goes to whoever listens. */
const leastSampleMillis = 100

/** The ends of a process that are a crash. */
const crash = Schema.Literals([
  "Clean",
  "Exception",
  "Segfault",
  "Abort",
  "OutOfMemory",
  "KilledBySomeone",
  "GpuFault"
])

/** When calls are refused because those before them failed. */
export const Breaker = Schema.Struct({
  /** Failures in a row that open it; a success begins the count anew. 5: a lost worker fails one call, a broken tool all of them. */
  after: count(1, 10_000, 5),
  /** How long it stays open the first time, twice as long each further time; then one call finds out. 10 s: longer than a worker's restart. */
  openFor: duration("10 seconds"),
  /** At most. 5 minutes: a tool that was repaired is noticed within that. */
  maxOpenFor: duration("5 minutes"),
  /**
   * Exceptions of Python that are failures, by class: `TimeoutError`, `torch.cuda.OutOfMemoryError`; those derived from them too. By default none:
   * who raises works. Crashes, unknown outcomes and call timeouts always are.
   */
  failures: Schema.Array(Schema.String).pipe(Schema.withDecodingDefault(Effect.succeed([])))
})

/** When calls are refused because those before them failed, decoded. */
export type Breaker = typeof Breaker.Type

/** How many calls may begin in a time. */
export const RateLimit = Schema.Struct({
  /** So many within `per`: at once, or one after the other. */
  calls: int(1, 1_000_000_000),
  per: duration("1 second"),
  /** What becomes of a call beyond: it waits, within its `queueTimeout` and `deadline`, or it fails at once. In the end it is `RateLimited`. */
  beyond: Schema.Literals(["wait", "fail"]).pipe(Schema.withDecodingDefault(Effect.succeed("wait" as const)))
})

/** How many calls may begin in a time, decoded. */
export type RateLimit = typeof RateLimit.Type

export const PoolConfig = Schema.Struct({
  /** Workers, one process each. 2: the smallest number that survives the loss of one. */
  size: scale(count(1, 1024, 2)),
  queue: live(section({
    /** Calls that may wait; the next is refused with `QueueFull`. 1000: seconds of work, not minutes, for calls of a few milliseconds. */
    capacity: count(0, 1_000_000, 1000),
    /**
     * Calls of one tenant that may wait, so that it cannot fill the queue for all; with strict affinity counted for each worker's own queue
     * apart. By default only `capacity` bounds it: a pool whose callers name no tenant has one.
     */
    perTenant: Schema.optionalKey(int(0, 1_000_000)),
    /** How long a call may wait. 30 s: longer than a restart, shorter than a user's patience. */
    timeout: duration("30 seconds")
  }, {})),
  /** How long one attempt may run once it was sent. 5 minutes: a model's worst case, not its mean. */
  callTimeout: live(duration("5 minutes")),
  /** How long a cancelled tool may go on before its worker is replaced. `Tool.HardLimit` sets another time for one that timed out. */
  cancelGrace: live(duration("5 seconds")),
  /** Attempts at an idempotent call, the first included. 3: a call that crashed three workers is the cause, not the victim. */
  attempts: live(count(1, 100, 3)),
  /** What a crash of a worker's process costs the slot that it was in, and the calls that it ran. */
  barrier: live(section({
    /**
     * Ends of a process that taint its slot. By default those that native code, memory or a device is behind: they may come again in the same place.
     * An exception, an exit code and a signal from outside say nothing about the place.
     */
    taintOn: Schema.Array(crash).pipe(
      Schema.withDecodingDefault(Effect.succeed(["Segfault", "Abort", "OutOfMemory", "GpuFault"] as const))
    ),
    /**
     * How long a tainted slot is passed over. 10 s: longer than a restart, and shorter than `queue.timeout`, so that no call that waits because
     * of it is lost by it.
     */
    taintFor: duration("10 seconds"),
    /** Share of the slots that may be tainted at a time. 0.5: calls that crash workers everywhere must not take more than half of the pool. */
    maxTainted: share(0.5),
    /**
     * How long an idempotent call waits before its second attempt, its third, …; the last one holds for all further. Only after a crash that it
     * may have caused: it must not take down one worker after the other within milliseconds. `Tool.Retry` for one tool.
     */
    backoff: Schema.NonEmptyArray(Schema.DurationFromString).pipe(
      Schema.withDecodingDefault(Effect.succeed(["50 millis", "100 millis", "200 millis"] as const))
    ),
    /**
     * Crashes after which a call is quarantined, all calls of the same tool with the same arguments taken together. 3: as `attempts`; two workers
     * may die by chance. 0: never.
     */
    poisonAfter: count(0, 1000, 3),
    /** Within how long these count. 10 minutes: a caller that tries again by hand counts, a bad night does not. */
    poisonWindow: duration("10 minutes"),
    /** How long such calls are refused. 15 minutes: long enough to be noticed, short enough that a new version of the model is not refused for it. */
    quarantineFor: duration("15 minutes")
  }, {})),
  /** How a worker is found that fails where others succeed: failing is quick, so it would get most of the calls. */
  outlier: live(section({
    /** Failures in a row, of one tool, from which on it is compared with the others. 5: a few bad arguments come in a row every day. 0: never. */
    after: count(0, 10_000, 5),
    /** How long it is passed over the first time, twice as long each further time. 10 s: it may have been a service that the tool needs. */
    ejectFor: duration("10 seconds"),
    /** At most. 5 minutes: one call in so long finds out whether it is well again. */
    maxEjectFor: duration("5 minutes"),
    /** Share of the slots that may be passed over for it at a time; one other stays in any case. 0.5: beyond, the cause is not the worker. */
    maxEjected: share(0.5)
  }, {})),
  /**
   * Refuses calls of the pool at once, with `CircuitOpen`, while they fail one after the other. By default there is none: a crash is retried and a
   * poisonous call refused without it. `Tool.Breaker` for one tool.
   */
  breaker: live(Schema.optionalKey(Breaker)),
  /** How many calls of the pool may begin in a time. By default as many as its workers take. `Tool.RateLimit` for one tool. */
  rateLimit: live(Schema.optionalKey(RateLimit)),
  /**
   * Calls that one worker runs at once: plain tools in threads, async ones on its event loop. 1: a tool need not be safe for threads, and the
   * workers are the parallelism.
   */
  concurrency: roll(count(1, 256, 1)),
  /**
   * Calls sent to a worker beyond `concurrency`, so that it need not wait for the next. `"auto"`: as much work as covers the way back and forth,
   * by measurement, and none behind a tool that is slow or not known yet. A number: always so many; 0 leaves each waiting call free to go to
   * whichever worker is free first.
   */
  prefetch: live(
    Schema.Union([Schema.Literal("auto"), int(0, 1024)]).pipe(Schema.withDecodingDefault(Effect.succeed("auto" as const)))
  ),
  /**
   * Where calls of a session go. `"hint"`: to the worker that served it last, unless that one has more than one call more than another: a warm
   * cache is worth one call, not a queue. `"strict_queue"`: to that worker alone; they wait for it, and end as `SessionLost` when it is
   * replaced. `"strict_fail_fast"`: to that worker alone and at once, else `SessionBusy`.
   */
  affinity: live(
    Schema.Literals(["hint", "strict_queue", "strict_fail_fast"]).pipe(Schema.withDecodingDefault(Effect.succeed("hint" as const)))
  ),
  /** Sessions: what a call names in its options, or somebody opens. */
  sessions: live(section({
    /** How long a session that has no call stays. 30 minutes: a person's pause, after which nobody counts on what a worker still knows. */
    ttl: duration("30 minutes"),
    /** Sessions at a time; a call that would begin one more fails with `SessionsFull`. 10,000: some 3 MB of the host, and far more than one pool serves. */
    maxSessions: count(1, 1_000_000, 10_000),
    /** The share of `maxSessions` that is told when it is reached. 0.8: early enough to do something about it. */
    warnAt: Schema.Finite.check(Schema.isBetween({ minimum: 0.2, maximum: 1 })).pipe(Schema.withDecodingDefault(Effect.succeed(0.8))),
    /** Between two looks for sessions whose time is over. 10 s: what they hold is freed soon against `ttl`, and a look costs nothing to speak of. */
    sweep: duration("10 seconds"),
    /**
     * With strict affinity, when the worker of a session is gone. `"fail"`: the next call of the session is told so, with `SessionLost`, because
     * what the worker knew cannot be made again by itself. `"replay"`: it goes to another worker, where `on_session_start` runs again.
     */
    onLoss: Schema.Literals(["fail", "replay"]).pipe(Schema.withDecodingDefault(Effect.succeed("fail" as const))),
    /** How long `on_session_end` may take before its worker is replaced. 5 s: as a cancelled tool. */
    endTimeout: duration("5 seconds")
  }, {})),
  /** Elements of a stream on the way to a slow consumer before Python waits. */
  credit: live(count(1, 65_536, 64)),
  /** The largest arguments, result or element in bytes. 16 MiB. */
  maxPayload: roll(count(1024, 1_073_741_824, 16_777_216)),
  hostTools: live(section({
    /**
     * How long one call of a host tool may run; `Tool.CallTimeout` sets another limit for one. 1 minute: longer than a look-up takes that is worth
     * waiting for, shorter than `callTimeout`, so that the tool is told before its own caller is.
     */
    timeout: duration("1 minute"),
    /**
     * Host tools that one worker may have running at once; it is told `HostBusy` beyond that, as a queue here could deadlock. 64: what async tools
     * gather at once, and a bound for what a worker that went wild costs the host.
     */
    concurrency: count(1, 65_536, 64)
  }, {})),
  /** What its workers tell of themselves and their tools. `PoolControl.telemetry` changes it for a time, also of one worker. */
  telemetry: live(section(Telemetry, {})),
  heartbeat: live(section({
    /** Between two questions. 1 s: a hang is found within 2.5 s, and the questions of 250 workers cost the host next to nothing. */
    interval: duration("1 second"),
    /** How long one answer may take. 500 ms: a thousand times what it takes, and half the interval, so that two looks fit into it. */
    timeout: duration("500 millis"),
    /**
     * Misses in a row that mean lost, of a worker whose CPU time stands still. 2: the kernel's evidence keeps busy workers safe, so the
     * second miss only guards against chance. Where there is no `/proc` every miss counts: raise it there above the longest that a tool
     * holds the interpreter lock.
     */
    maxMissed: count(1, 1000, 2)
  }, {})),
  /**
   * When a worker is replaced although nothing is wrong with it: its replacement is up before it gets no more calls, those it has come to their end,
   * and no restart is spent. None by default: only the adapter's author knows what it needs. One at a time, the worst first.
   */
  recycle: live(section({
    /** After so many calls. */
    calls: Schema.optionalKey(int(1, Number.MAX_SAFE_INTEGER)),
    /** So long after its start. */
    age: Schema.optionalKey(Schema.DurationFromString),
    /**
     * At so many bytes of resident memory, its descendants' with it. What workers share, above all what the forkserver had imported, counts in each.
     * A worker that has reached it gets no further call, unless it is the only one left, and ends when its replacement is up.
     */
    rss: Schema.optionalKey(int(1 << 20, Number.MAX_SAFE_INTEGER)), // 1 MiB: less than any interpreter has
    /** The same of memory that is shared divided by those who share it (PSS): dearer to measure, so only when it is asked for. It goes before `rss`. */
    pss: Schema.optionalKey(int(1 << 20, Number.MAX_SAFE_INTEGER)),
    /** Up to which share before its limits a worker is replaced, drawn for each. 10 %: so that those that started together do not end together. */
    jitter: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })).pipe(Schema.withDecodingDefault(Effect.succeed(0.1))),
    /** How often that is looked at. 1 s: what a worker can leak meanwhile is what it may be above its limit. */
    every: duration("1 second")
  }, {})),
  /**
   * The number of workers follows the time that calls wait: one more when the longest wait is above `targetDelay`, one fewer when the others could do
   * what runs, never two changes within `cooldown`. `size` is where it begins. When left out the pool has `size` workers.
   */
  autoscale: live(Schema.optionalKey(
    Schema.Struct({
      min: int(1, 1024),
      max: int(1, 1024),
      /** 100 ms: a user notices more. */
      targetDelay: duration("100 millis"),
      /** 10 s: what a new worker changes is seen by then. */
      cooldown: duration("10 seconds")
    }).check(Schema.makeFilter(({ max, min }) => min <= max || `autoscale.min is ${min} and max ${max}: min must not be above max`))
  )),
  /**
   * How often `snakepit.pool.sample` tells how the pool is. 1 s: what a person sees as at once. `"off"`: never; metrics and all other events are as before.
   */
  sampleEvery: live(
    Schema.Union([
      Schema.Literal("off"),
      Schema.DurationFromString.check(Schema.makeFilter((every) => Duration.toMillis(every) >= leastSampleMillis || "at least 100 millis"))
    ]).pipe(Schema.withDecodingDefault(Effect.succeed("1 second" as const)))
  ),
  /** How a new version, of the code or of settings that need new processes, proves itself: on one worker, the canary, before the rest gets it. */
  reload: live(section({
    /** A tool that must succeed on the canary before it gets other calls. When left out it is enough that it comes up. */
    probe: Schema.optionalKey(Schema.Struct({
      tool: Schema.NonEmptyString,
      arguments: Schema.Record(Schema.String, Schema.Unknown).check(flat).pipe(Schema.withDecodingDefault(Effect.succeed({}))),
      /** 10 s: a first call that loads a model. */
      timeout: duration("10 seconds")
    })),
    /** How long the canary then serves as others do, without a crash. 5 s: what breaks at once breaks by then. */
    hold: duration("5 seconds"),
    /** `"keep"`: a version is bad that lacks a tool which the one before has, or has it with another contract. `"any"`: tools may go and change. */
    tools: Schema.Literals(["keep", "any"]).pipe(Schema.withDecodingDefault(Effect.succeed("keep" as const)))
  }, {})),
  /** Which calls begin a trace where no span of their caller has decided it, and what its spans say. Only where a tracer collects spans. */
  tracing: live(section({
    /** Share of those calls. 0.01: it shows what a call's time is made of, at a hundredth of what spans cost. */
    ratio: share(0.01),
    /** Another share for some tools, by name, in which `*` stands for any characters: the first that fits holds. By default all have `ratio`. */
    tools: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })))),
    /** Spans name the call's session. `false`: applications make sessions of names of people. */
    session: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(false)))
  }, {})),
  /** How long a process may take from its start to its ready line. 60 s: importing a large framework from a cold disk. */
  startTimeout: live(duration("60 seconds")),
  launch: live(section({
    /** Processes that may be starting at a time, warm spares included. 8: a storm of restarts must leave the living workers their cores. */
    concurrency: count(1, 1024, 8),
    /**
     * Warm processes kept ready to fill a slot whose worker has died. 0: each holds its memory all the time, and a fork takes only some ten
     * milliseconds; one makes a restart all but free.
     */
    spares: scale(count(0, 64, 0))
  }, {})),
  /** Between SIGTERM and SIGKILL. A running worker keeps its own: how long its supervisor waits for it was settled when it was started. */
  stopGrace: roll(duration("3 seconds")),
  restart: live(section({
    /** Restarts that a worker may need within `within` before its whole subtree is replaced. */
    worker: section({ maxRestarts: count(0, 1000, 3), within: duration("30 seconds") }, {}),
    /** Restarts that all slots together may need before the pool gives up. Twice the default size in half a minute. */
    fleet: section({ maxRestarts: count(0, 100_000, 4), within: duration("30 seconds") }, {}),
    /** Restarts of the pool's own parts before the pool gives up and is down until its next attempt. */
    pool: section({ maxRestarts: count(0, 1000, 3), within: duration("1 minute") }, {})
  }, {}))
})

/** The settings of one pool, decoded. */
export type PoolConfig = typeof PoolConfig.Type

/** The settings of one pool as a user writes them: every key may be left out. */
export type PoolConfigInput = typeof PoolConfig.Encoded
