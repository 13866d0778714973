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
