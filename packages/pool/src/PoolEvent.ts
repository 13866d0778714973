/**
 * The events of pools, calls and workers. Calls that go well are counted, not told one by one: their figures are in `snakepit.pool.close`
 * and in the pool's ledger.
 */
import { Event, SupervisorEvent, Unit } from "@snakepit/core"
import * as Schema from "effect/Schema"

const pool = { pool: Schema.String }
const worker = { ...pool, slot: Schema.Int, generation: Schema.Int }
/** The same on every event of one call, and on no other call's. */
const correlationId = Schema.String
/** Of the supervisors that decide about the loss of a worker which this belongs to; `undefined`: it was planned, or none was lost. */
const incident = Schema.UndefinedOr(Schema.String)

export const pools_supervisor = SupervisorEvent.of("pools_supervisor", "control")
export const pool_supervisor = SupervisorEvent.of("pool_supervisor", "control")
export const control_supervisor = SupervisorEvent.of("control_supervisor", "control")
export const launcher_supervisor = SupervisorEvent.of("launcher_supervisor", "control")
export const fleet_supervisor = SupervisorEvent.of("fleet_supervisor", "execution")
export const worker_supervisor = SupervisorEvent.of("worker_supervisor", "execution")

export const config_apply = Event.declare({
  name: "snakepit.config.apply",
  layer: "foundation",
  when:
    "a configuration has taken effect: the first one, or a change; what the plan said, and how many keys wait for the next start of the program",
  path: "snakepit/foundation/config_server",
  measurements: { version: Unit.of(Schema.Int, "1"), changes: Unit.count("change"), pending: Unit.count("key") },
  attributes: { by: Schema.String, plan: Schema.String }
})

export const config_reject = Event.declare({
  name: "snakepit.config.reject",
  layer: "foundation",
  when: "a change of the configuration was refused: the file cannot be read, a key is wrong, or one takes a restart. Version still holds",
  path: "snakepit/foundation/config_server",
  measurements: { version: Unit.of(Schema.Int, "1") },
  attributes: { by: Schema.String, cause: Schema.String }
})

export const config_restore = Event.declare({
  name: "snakepit.config.restore",
  layer: "foundation",
  when: "the ConfigServer was restarted and serves the last good configuration again",
  path: "snakepit/foundation/config_server",
  measurements: { version: Unit.of(Schema.Int, "1") },
  attributes: {}
})

export const pool_open = Event.declare({
  name: "snakepit.pool.open",
  layer: "control",
  when: "the pool's Roster is up and takes calls; its workers follow",
  path: "snakepit/pools/{pool}",
  measurements: { size: Unit.count("worker") },
  attributes: pool
})

export const pool_close = Event.declare({
  name: "snakepit.pool.close",
  layer: "control",
  when: "the pool's Roster is gone; every open call was ended first. Its ledger since it opened",
  path: "snakepit/pools/{pool}",
  measurements: {
    accepted: Unit.count("call"),
    completed: Unit.count("call"),
    failed: Unit.count("call"),
    cancelled: Unit.count("call"),
    retried: Unit.count("call"),
    rejected: Unit.count("call"),
    twice: Unit.count("call")
  },
  attributes: pool
})

export const pool_sample = Event.declare({
  name: "snakepit.pool.sample",
  layer: "control",
  when:
    "once a second, or as sampleEvery says: how the pool is. Rates and times are of the calls that were over since the sample before, and times " +
    "are absent when there was none",
  path: "snakepit/pools/{pool}",
  measurements: {
    size: Unit.count("worker"),
    ready: Unit.count("worker"),
    busy: Unit.count("worker"),
    queued: Unit.count("call"),
    callsPerSecond: Unit.of(Schema.Finite, "{call}/s"),
    failuresPerSecond: Unit.of(Schema.Finite, "{call}/s"),
    p50Millis: Schema.UndefinedOr(Schema.Finite),
    p99Millis: Schema.UndefinedOr(Schema.Finite)
  },
  attributes: pool
})

export const pool_saturate = Event.declare({
  name: "snakepit.pool.saturate",
  layer: "control",
  when: "a call was refused because the queue of its pool is full; told again after the queue was half empty",
  path: "snakepit/pools/{pool}",
  measurements: { queued: Unit.count("call"), capacity: Unit.count("call") },
  attributes: pool
})

export const worker_starter_fill = Event.declare({
  name: "snakepit.worker_starter.fill",
  layer: "control",
  when: "the fleet is whole: slots that it had and that were left alone, and slots that it was given, whose workers are up",
  path: "snakepit/pools/{pool}/control/launcher/worker_starter",
  measurements: { present: Unit.count("worker"), given: Unit.count("worker") },
  attributes: pool
})

export const spare_ready = Event.declare({
  name: "snakepit.spare.ready",
  layer: "control",
  when: "a warm process is ready and waits to be taken",
  path: "snakepit/pools/{pool}/control/spares",
  measurements: {},
  attributes: { ...pool, pid: Schema.Int }
})

export const spare_leave = Event.declare({
  name: "snakepit.spare.leave",
  layer: "control",
  when: "a warm process waits no more: a worker has taken it, or it has died. Another is started",
  path: "snakepit/pools/{pool}/control/spares",
  measurements: {},
  attributes: { ...pool, pid: Schema.Int, how: Schema.Literals(["taken", "died"]) }
})

export const spare_fail = Event.declare({
  name: "snakepit.spare.fail",
  layer: "control",
  when: "a warm process did not come up; it is tried again after the delay, and workers are launched without it meanwhile",
  path: "snakepit/pools/{pool}/control/spares",
  measurements: { delayMillis: Schema.Finite },
  attributes: { ...pool, cause: Schema.String }
})

const because = Schema.Literals(["calls", "age", "memory", "version", "operator", "size"])
const replaces = Schema.UndefinedOr(Schema.Int)
const version = { ...pool, version: Schema.String }

export const lifecycle_fill = Event.declare({
  name: "snakepit.lifecycle.fill",
  layer: "control",
  when: "a new process of a worker was seen. How much of the jitter it is replaced before its limits, from 0 to 1, drawn at random",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { draw: Unit.of(Schema.Finite, "1") },
  attributes: { ...worker, version: Schema.String }
})

export const lifecycle_start = Event.declare({
  name: "snakepit.lifecycle.start",
  layer: "control",
  when: "a worker is to come, as planned: beside the others (size), or for one that goes when it is up",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int, because, replaces }
})

export const lifecycle_start_fail = Event.declare({
  name: "snakepit.lifecycle.start_fail",
  layer: "control",
  when: "a worker that was to come did not come up; the one that it was to replace serves on, and another is tried after the delay",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { delayMillis: Schema.Finite },
  attributes: { ...pool, slot: Schema.Int, because, replaces, cause: Schema.String }
})

export const lifecycle_ready = Event.declare({
  name: "snakepit.lifecycle.ready",
  layer: "control",
  when: "a worker that was to come is up and serves; the one that it replaces, if any, gets no further call",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int, because, replaces }
})

export const lifecycle_drain = Event.declare({
  name: "snakepit.lifecycle.drain",
  layer: "control",
  when: "a worker that is to go gets no further call; it is stopped when the calls that it has are over",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { calls: Unit.count("call") },
  attributes: { ...pool, slot: Schema.Int, because }
})

export const lifecycle_stop = Event.declare({
  name: "snakepit.lifecycle.stop",
  layer: "control",
  when: "a worker is gone as planned; its place is free. What it had served, how old it was, and its memory when it was last measured",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { served: Unit.count("call"), ageMillis: Schema.Finite, memory: Unit.of(Schema.UndefinedOr(Schema.Int), "By") },
  attributes: { ...pool, slot: Schema.Int, because }
})

export const lifecycle_renew_fail = Event.declare({
  name: "snakepit.lifecycle.renew_fail",
  layer: "control",
  when: "forkserver or spares could not be replaced by those of a new version: workers are spawned, and it is tried again after the delay",
  path: "snakepit/pools/{pool}/control/launcher",
  measurements: { delayMillis: Schema.Finite },
  attributes: { ...pool, cause: Schema.String }
})

export const lifecycle_cordon = Event.declare({
  name: "snakepit.lifecycle.cordon",
  layer: "control",
  when: "a worker gets no new calls: an operator has asked for it, or it is at its memory limit and waits for its replacement",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { memory: Unit.of(Schema.UndefinedOr(Schema.Int), "By") },
  attributes: { ...pool, slot: Schema.Int, by: Schema.Literals(["operator", "memory"]) }
})

export const lifecycle_limit_low = Event.declare({
  name: "snakepit.lifecycle.limit_low",
  layer: "control",
  when:
    "a new worker is beyond its memory limit already: the limit is below what its adapter needs. Such workers serve on and are replaced " +
    "after a delay that grows to a minute. Told once, and again after one that was within it",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { memory: Unit.of(Schema.UndefinedOr(Schema.Int), "By"), limit: Unit.of(Schema.UndefinedOr(Schema.Int), "By") },
  attributes: { ...pool, slot: Schema.Int }
})

export const lifecycle_memory_unknown = Event.declare({
  name: "snakepit.lifecycle.memory_unknown",
  layer: "control",
  when: "no memory of any worker can be measured here, which needs /proc: recycle.rss and recycle.pss do nothing. Told once",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: pool
})

export const lifecycle_uncordon = Event.declare({
  name: "snakepit.lifecycle.uncordon",
  layer: "control",
  when: "a worker gets calls again as others do",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int }
})

export const pool_pause = Event.declare({
  name: "snakepit.pool.pause",
  layer: "control",
  when: "an operator paused the pool: calls are accepted and wait",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: pool
})

export const pool_resume = Event.declare({
  name: "snakepit.pool.resume",
  layer: "control",
  when: "a paused pool sends calls again",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: pool
})

export const pool_drain = Event.declare({
  name: "snakepit.pool.drain",
  layer: "control",
  when: "an operator drains the pool: new calls are refused, those that were accepted go on",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: pool
})

export const pool_drained = Event.declare({
  name: "snakepit.pool.drained",
  layer: "control",
  when: "the last call of a pool that is drained is over",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: pool
})

export const pool_undrain = Event.declare({
  name: "snakepit.pool.undrain",
  layer: "control",
  when: "a pool that was drained accepts calls again",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: pool
})

export const pool_scale = Event.declare({
  name: "snakepit.pool.scale",
  layer: "control",
  when: "the pool is to have another number of workers: by an operator, by its configuration, or because of how long calls wait (delay)",
  path: "snakepit/pools/{pool}",
  measurements: { size: Unit.count("worker"), was: Unit.count("worker") },
  attributes: { ...pool, because: Schema.Literals(["operator", "config", "delay"]) }
})

export const rollout_begin = Event.declare({
  name: "snakepit.rollout.begin",
  layer: "control",
  when: "a new version of a pool, of its code or its settings, is to be rolled out",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: version
})

export const rollout_try = Event.declare({
  name: "snakepit.rollout.try",
  layer: "control",
  when: "the first worker of a new version, its canary, is started beside the others",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: { ...version, slot: Schema.Int }
})

export const rollout_promote = Event.declare({
  name: "snakepit.rollout.promote",
  layer: "control",
  when: "the canary has proved itself: new workers are of its version, and the others are replaced one by one",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: { ...version, slot: Schema.Int }
})

export const rollout_finish = Event.declare({
  name: "snakepit.rollout.finish",
  layer: "control",
  when: "every worker is of the new version",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: version
})

export const rollout_fail = Event.declare({
  name: "snakepit.rollout.fail",
  layer: "control",
  when: "a new version has not proved itself and is rolled back: its canary goes, nothing else has changed",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: { ...version, stage: Schema.Literals(["boot", "catalogue", "probe", "hold"]), cause: Schema.String }
})

export const worker_attach = Event.declare({
  name: "snakepit.worker.attach",
  layer: "execution",
  when: "a worker has shaken hands and takes calls",
  path: "snakepit/pools/{pool}/fleet/{slot}/channel",
  measurements: { tools: Unit.count("tool") },
  attributes: worker
})

export const worker_detach = Event.declare({
  name: "snakepit.worker.detach",
  layer: "execution",
  when: "a worker takes no calls any more; those it had are tried again or reported",
  path: "snakepit/pools/{pool}/fleet/{slot}/channel",
  measurements: { calls: Unit.count("call") },
  attributes: { ...worker, cause: Schema.String, incident }
})

export const call_retry = Event.declare({
  name: "snakepit.call.retry",
  layer: "control",
  when: "an idempotent call lost its worker and goes to another one, after the delay",
  path: "snakepit/pools/{pool}",
  measurements: { attempt: Unit.of(Schema.Int, "1"), delayMillis: Schema.Finite },
  attributes: { ...pool, slot: Schema.Int, tool: Schema.String, correlationId, cause: Schema.String, incident }
})

export const call_recover = Event.declare({
  name: "snakepit.call.recover",
  layer: "control",
  when: "a call that had lost a worker has completed on another one; its correlationId joins it to what it had lost",
  path: "snakepit/pools/{pool}",
  measurements: { attempts: Unit.count("attempt"), durationMillis: Schema.Finite },
  attributes: { ...pool, slot: Schema.Int, tool: Schema.String, correlationId }
})

export const call_quarantine = Event.declare({
  name: "snakepit.call.quarantine",
  layer: "control",
  when: "calls of a tool with the same arguments have crashed so many workers that they are refused for a while",
  path: "snakepit/pools/{pool}",
  measurements: { crashes: Unit.count("crash"), forMillis: Schema.Finite },
  attributes: { ...pool, tool: Schema.String, digest: Schema.String, workers: Schema.String, exits: Schema.String }
})

export const call_release = Event.declare({
  name: "snakepit.call.release",
  layer: "control",
  when: "such calls are run again: their time is over, an operator released them, or more others crashed workers than are remembered",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: { ...pool, tool: Schema.String, digest: Schema.String, how: Schema.Literals(["expired", "released", "pushed out"]) }
})

export const worker_taint = Event.declare({
  name: "snakepit.worker.taint",
  layer: "control",
  when: "a crash taints the slot of its worker: it gets no calls for a while, as long as there are others. Once more: its time begins anew",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { forMillis: Schema.Finite },
  attributes: { ...pool, slot: Schema.Int, exitClass: Schema.String, cause: Schema.String, incident }
})

export const worker_untaint = Event.declare({
  name: "snakepit.worker.untaint",
  layer: "control",
  when: "a tainted slot gets calls as the others do",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int }
})

export const worker_eject = Event.declare({
  name: "snakepit.worker.eject",
  layer: "control",
  when: "a worker fails calls of a tool where others succeed: it gets none for a while, as long as there are others",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  /** Failures in a row; ejections without a time of success between them. */
  measurements: { failures: Unit.count("failure"), ejections: Unit.count("ejection"), forMillis: Schema.Finite },
  attributes: { ...pool, slot: Schema.Int, tool: Schema.String }
})

export const worker_readmit = Event.declare({
  name: "snakepit.worker.readmit",
  layer: "control",
  when: "an ejected worker gets calls as the others do: its time is over, or another one fills its slot",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int, how: Schema.Literals(["expired", "replaced"]) }
})

export const circuit_open = Event.declare({
  name: "snakepit.circuit.open",
  layer: "control",
  when: "calls of a pool, or of a tool, have failed in a row, or the call that was to find out has: calls are refused for a while",
  path: "snakepit/pools/{pool}",
  measurements: { forMillis: Schema.Finite, openings: Unit.count("opening") },
  attributes: { ...pool, tool: Schema.UndefinedOr(Schema.String) }
})

export const circuit_probe = Event.declare({
  name: "snakepit.circuit.probe",
  layer: "control",
  when: "an open circuit lets one call through, to find out",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: { ...pool, tool: Schema.UndefinedOr(Schema.String) }
})

export const circuit_close = Event.declare({
  name: "snakepit.circuit.close",
  layer: "control",
  when: "the call that was to find out has succeeded: calls are made again",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: { ...pool, tool: Schema.UndefinedOr(Schema.String) }
})

export const call_cancel = Event.declare({
  name: "snakepit.call.cancel",
  layer: "control",
  when:
    "a call that nobody waits for any more is over; how: queued (it had not begun), async (its task was cancelled), generator (it was closed), " +
    "cooperative (it saw that it was to stop), finished (it ran to its end), recycled (its worker was replaced after the grace), lost (with its worker)",
  path: "snakepit/pools/{pool}",
  /** From when it was given up. */
  measurements: { afterMillis: Schema.Finite },
  attributes: {
    ...pool,
    slot: Schema.UndefinedOr(Schema.Int),
    tool: Schema.String,
    correlationId,
    because: Schema.Literals(["caller", "timeout", "deadline"]),
    how: Schema.String,
    incident
  }
})

export const session_start = Event.declare({
  name: "snakepit.session.start",
  layer: "control",
  when:
    "a worker begins to serve a session; why: new, moved (affinity hint; the worker before it has ended it), again (what another worker knew of it is gone)",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int, session: Schema.String, why: Schema.Literals(["new", "moved", "again"]) }
})

export const session_end = Event.declare({
  name: "snakepit.session.end",
  layer: "control",
  when: "a session is over; reason: explicit, ttl, lost (with its worker: its next call is told SessionLost), pool_down (likewise)",
  path: "snakepit/pools/{pool}",
  measurements: { starts: Unit.count("start"), livedMillis: Schema.Finite },
  attributes: { ...pool, session: Schema.String, reason: Schema.Literals(["explicit", "ttl", "lost", "pool_down"]) }
})

export const session_end_fail = Event.declare({
  name: "snakepit.session.end_fail",
  layer: "control",
  when: "a hook on_session_end raised, or goes on beyond sessions.endTimeout, for which its worker is replaced",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int, session: Schema.String, cause: Schema.String }
})

export const session_many = Event.declare({
  name: "snakepit.session.many",
  layer: "control",
  when: "a pool has come to warnAt of its maxSessions; told again after it was a tenth below",
  path: "snakepit/pools/{pool}",
  measurements: { sessions: Unit.count("session"), limit: Unit.count("session") },
  attributes: pool
})

export const session_lose = Event.declare({
  name: "snakepit.session.lose",
  layer: "control",
  when:
    "a worker that served sessions is gone or being drained; then: told (the next call of each is told SessionLost), replayed (on_session_start runs " +
    "again elsewhere, by onLoss), elsewhere (affinity hint)",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { sessions: Unit.count("session") },
  attributes: { ...pool, slot: Schema.Int, cause: Schema.String, then: Schema.Literals(["told", "replayed", "elsewhere"]), incident }
})

export const call_fail = Event.declare({
  name: "snakepit.call.fail",
  layer: "control",
  when: "a call ended with a typed error, or was not accepted",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: {
    ...pool,
    tool: Schema.String,
    correlationId,
    reason: Schema.String,
    executed: Schema.String,
    cause: Schema.String,
    incident
  }
})

export const host_call_fail = Event.declare({
  name: "snakepit.host_call.fail",
  layer: "control",
  when:
    "a call of a host tool was refused or went wrong, which Python was told: unknown, invalid, too_large, timeout, busy, failed (a defect); an error that " +
    "its contract declares is no such failure",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: {
    ...pool,
    slot: Schema.Int,
    tool: Schema.UndefinedOr(Schema.String),
    correlationId: Schema.UndefinedOr(correlationId),
    hostTool: Schema.String,
    reason: Schema.String,
    cause: Schema.String
  }
})

export const heartbeat_miss = Event.declare({
  name: "snakepit.heartbeat.miss",
  layer: "execution",
  when: "a worker did not answer in time",
  path: "snakepit/pools/{pool}/fleet/{slot}/heartbeat",
  measurements: { missed: Unit.count("beat") },
  attributes: worker
})

export const heartbeat_recover = Event.declare({
  name: "snakepit.heartbeat.recover",
  layer: "execution",
  when: "a worker answers again after misses",
  path: "snakepit/pools/{pool}/fleet/{slot}/heartbeat",
  measurements: { missed: Unit.count("beat") },
  attributes: worker
})

export const telemetry_control = Event.declare({
  name: "snakepit.telemetry.control",
  layer: "control",
  when: "an operator has changed what the pool's workers tell, or the one in `slot`; or has set it back to what the configuration says",
  path: "snakepit/pools/{pool}",
  measurements: {},
  attributes: { ...pool, slot: Schema.UndefinedOr(Schema.Int), change: Schema.String }
})

export const watchdog_verdict = Event.declare({
  name: "snakepit.watchdog.verdict",
  layer: "execution",
  when: "the watchdog judges a worker otherwise than before: alive, busy, stopped, traced, hung or unreachable; with what the kernel says",
  path: "snakepit/pools/{pool}/fleet/{slot}/watchdog",
  measurements: { missed: Unit.count("beat"), cpuMillis: Schema.UndefinedOr(Schema.Finite) },
  attributes: {
    ...worker,
    verdict: Schema.String,
    was: Schema.String,
    pid: Schema.UndefinedOr(Schema.Int),
    state: Schema.UndefinedOr(Schema.String),
    tool: Schema.UndefinedOr(Schema.String)
  }
})

export const watchdog_bite = Event.declare({
  name: "snakepit.watchdog.bite",
  layer: "execution",
  when: "a worker is stopped, hung, unreachable, or runs a call beyond its limit: its process is failed through its supervisor",
  path: "snakepit/pools/{pool}/fleet/{slot}/watchdog",
  measurements: {},
  attributes: {
    ...worker,
    reason: Schema.String,
    tool: Schema.UndefinedOr(Schema.String),
    correlationId: Schema.UndefinedOr(correlationId),
    cause: Schema.String,
    incident
  }
})

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [
  ...[pools_supervisor, pool_supervisor, control_supervisor, launcher_supervisor, fleet_supervisor, worker_supervisor].flatMap((events) =>
    Object.values(events)
  ),
  config_apply,
  config_reject,
  config_restore,
  pool_open,
  pool_close,
  pool_sample,
  pool_saturate,
  worker_starter_fill,
  spare_ready,
  spare_leave,
  spare_fail,
  lifecycle_fill,
  lifecycle_start,
  lifecycle_start_fail,
  lifecycle_ready,
  lifecycle_drain,
  lifecycle_stop,
  lifecycle_renew_fail,
  lifecycle_cordon,
  lifecycle_limit_low,
  lifecycle_memory_unknown,
  lifecycle_uncordon,
  pool_pause,
  pool_resume,
  pool_drain,
  pool_drained,
  pool_undrain,
  pool_scale,
  rollout_begin,
  rollout_try,
  rollout_promote,
  rollout_finish,
  rollout_fail,
  worker_attach,
  worker_detach,
  call_retry,
  call_recover,
  call_fail,
  call_cancel,
  host_call_fail,
  call_quarantine,
  call_release,
  worker_taint,
  worker_untaint,
  worker_eject,
  worker_readmit,
  circuit_open,
  circuit_probe,
  circuit_close,
  session_start,
  session_end,
  session_end_fail,
  session_many,
  session_lose,
  heartbeat_miss,
  heartbeat_recover,
  watchdog_verdict,
  watchdog_bite,
  telemetry_control
]
