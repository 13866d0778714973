/**
 * The events of pools, calls and workers. Calls that go well are counted, not told one by one: their figures are in `snakepit.pool.close`
 * and in the pool's ledger.
 */
import { Event, SupervisorEvent } from "@snakepit/core"
import * as Schema from "effect/Schema"

const pool = { pool: Schema.String }
const worker = { ...pool, slot: Schema.Int, generation: Schema.Int }

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
  measurements: { version: Schema.Int, changes: Schema.Int, pending: Schema.Int },
  attributes: { by: Schema.String, plan: Schema.String }
})

export const config_reject = Event.declare({
  name: "snakepit.config.reject",
  layer: "foundation",
  when: "a change of the configuration was refused: the file cannot be read, a key is wrong, or one takes a restart. Version still holds",
  measurements: { version: Schema.Int },
  attributes: { by: Schema.String, cause: Schema.String }
})

export const config_restore = Event.declare({
  name: "snakepit.config.restore",
  layer: "foundation",
  when: "the ConfigServer was restarted and serves the last good configuration again",
  measurements: { version: Schema.Int },
  attributes: {}
})

export const pool_open = Event.declare({
  name: "snakepit.pool.open",
  layer: "control",
  when: "the pool's Roster is up and takes calls; its workers follow",
  measurements: { size: Schema.Int },
  attributes: pool
})

export const pool_close = Event.declare({
  name: "snakepit.pool.close",
  layer: "control",
  when: "the pool's Roster is gone; every open call was ended first. Its ledger since it opened",
  measurements: {
    accepted: Schema.Int,
    completed: Schema.Int,
    failed: Schema.Int,
    cancelled: Schema.Int,
    retried: Schema.Int,
    rejected: Schema.Int,
    twice: Schema.Int
  },
  attributes: pool
})

export const worker_starter_fill = Event.declare({
  name: "snakepit.worker_starter.fill",
  layer: "control",
  when: "the fleet is whole: slots that it had and that were left alone, and slots that it was given, whose workers are up",
  measurements: { present: Schema.Int, given: Schema.Int },
  attributes: pool
})

export const spare_ready = Event.declare({
  name: "snakepit.spare.ready",
  layer: "control",
  when: "a warm process is ready and waits to be taken",
  measurements: {},
  attributes: { ...pool, pid: Schema.Int }
})

export const spare_leave = Event.declare({
  name: "snakepit.spare.leave",
  layer: "control",
  when: "a warm process waits no more: a worker has taken it, or it has died. Another is started",
  measurements: {},
  attributes: { ...pool, pid: Schema.Int, how: Schema.Literals(["taken", "died"]) }
})

export const spare_fail = Event.declare({
  name: "snakepit.spare.fail",
  layer: "control",
  when: "a warm process did not come up; it is tried again after the delay, and workers are launched without it meanwhile",
  measurements: { delayMillis: Schema.Finite },
  attributes: { ...pool, cause: Schema.String }
})

export const worker_attach = Event.declare({
  name: "snakepit.worker.attach",
  layer: "execution",
  when: "a worker has shaken hands and takes calls",
  measurements: { tools: Schema.Int },
  attributes: worker
})

export const worker_detach = Event.declare({
  name: "snakepit.worker.detach",
  layer: "execution",
  when: "a worker takes no calls any more; those it had are tried again or reported",
  measurements: { calls: Schema.Int },
  attributes: { ...worker, cause: Schema.String }
})

export const call_retry = Event.declare({
  name: "snakepit.call.retry",
  layer: "control",
  when: "an idempotent call lost its worker and goes to another one, after the delay",
  measurements: { attempt: Schema.Int, delayMillis: Schema.Finite },
  attributes: { ...pool, slot: Schema.Int, tool: Schema.String, cause: Schema.String }
})

export const call_quarantine = Event.declare({
  name: "snakepit.call.quarantine",
  layer: "control",
  when: "calls of a tool with the same arguments have crashed so many workers that they are refused for a while",
  measurements: { crashes: Schema.Int, forMillis: Schema.Finite },
  attributes: { ...pool, tool: Schema.String, digest: Schema.String, workers: Schema.String, exits: Schema.String }
})

export const call_release = Event.declare({
  name: "snakepit.call.release",
  layer: "control",
  when: "such calls are run again: their time is over, an operator released them, or more others crashed workers than are remembered",
  measurements: {},
  attributes: { ...pool, tool: Schema.String, digest: Schema.String, how: Schema.Literals(["expired", "released", "pushed out"]) }
})

export const worker_taint = Event.declare({
  name: "snakepit.worker.taint",
  layer: "control",
  when: "a crash taints the slot of its worker: it gets no calls for a while, as long as there are others. Once more: its time begins anew",
  measurements: { forMillis: Schema.Finite },
  attributes: { ...pool, slot: Schema.Int, exitClass: Schema.String, cause: Schema.String }
})

export const worker_untaint = Event.declare({
  name: "snakepit.worker.untaint",
  layer: "control",
  when: "a tainted slot gets calls as the others do",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int }
})

export const worker_eject = Event.declare({
  name: "snakepit.worker.eject",
  layer: "control",
  when: "a worker fails calls of a tool where others succeed: it gets none for a while, as long as there are others",
  /** Failures in a row; ejections without a time of success between them. */
  measurements: { failures: Schema.Int, ejections: Schema.Int, forMillis: Schema.Finite },
  attributes: { ...pool, slot: Schema.Int, tool: Schema.String }
})

export const worker_readmit = Event.declare({
  name: "snakepit.worker.readmit",
  layer: "control",
  when: "an ejected worker gets calls as the others do: its time is over, or another one fills its slot",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int, how: Schema.Literals(["expired", "replaced"]) }
})

export const circuit_open = Event.declare({
  name: "snakepit.circuit.open",
  layer: "control",
  when: "calls of a pool, or of a tool, have failed in a row, or the call that was to find out has: calls are refused for a while",
  measurements: { forMillis: Schema.Finite, openings: Schema.Int },
  attributes: { ...pool, tool: Schema.UndefinedOr(Schema.String) }
})

export const circuit_probe = Event.declare({
  name: "snakepit.circuit.probe",
  layer: "control",
  when: "an open circuit lets one call through, to find out",
  measurements: {},
  attributes: { ...pool, tool: Schema.UndefinedOr(Schema.String) }
})

export const circuit_close = Event.declare({
  name: "snakepit.circuit.close",
  layer: "control",
  when: "the call that was to find out has succeeded: calls are made again",
  measurements: {},
  attributes: { ...pool, tool: Schema.UndefinedOr(Schema.String) }
})

export const call_cancel = Event.declare({
  name: "snakepit.call.cancel",
  layer: "control",
  when:
    "a call that nobody waits for any more is over; how: queued (it had not begun), async (its task was cancelled), generator (it was closed), " +
    "cooperative (it saw that it was to stop), finished (it ran to its end), recycled (its worker was replaced after the grace), lost (with its worker)",
  /** From when it was given up. */
  measurements: { afterMillis: Schema.Finite },
  attributes: {
    ...pool,
    slot: Schema.UndefinedOr(Schema.Int),
    tool: Schema.String,
    because: Schema.Literals(["caller", "timeout", "deadline"]),
    how: Schema.String
  }
})

export const session_start = Event.declare({
  name: "snakepit.session.start",
  layer: "control",
  when:
    "a worker begins to serve a session; why: new, moved (affinity hint; the worker before it has ended it), again (what another worker knew of it is gone)",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int, session: Schema.String, why: Schema.Literals(["new", "moved", "again"]) }
})

export const session_end = Event.declare({
  name: "snakepit.session.end",
  layer: "control",
  when: "a session is over; reason: explicit, ttl, lost (with its worker: its next call is told SessionLost), pool_down (likewise)",
  measurements: { starts: Schema.Int, livedMillis: Schema.Finite },
  attributes: { ...pool, session: Schema.String, reason: Schema.Literals(["explicit", "ttl", "lost", "pool_down"]) }
})

export const session_end_fail = Event.declare({
  name: "snakepit.session.end_fail",
  layer: "control",
  when: "a hook on_session_end raised, or goes on beyond sessions.endTimeout, for which its worker is replaced",
  measurements: {},
  attributes: { ...pool, slot: Schema.Int, session: Schema.String, cause: Schema.String }
})

export const session_many = Event.declare({
  name: "snakepit.session.many",
  layer: "control",
  when: "a pool has come to warnAt of its maxSessions; told again after it was a tenth below",
  measurements: { sessions: Schema.Int, limit: Schema.Int },
  attributes: pool
})

export const session_lose = Event.declare({
  name: "snakepit.session.lose",
  layer: "control",
  when:
    "a worker that served sessions is gone or being drained; then: told (the next call of each is told SessionLost), replayed (on_session_start runs " +
    "again elsewhere, by onLoss), elsewhere (affinity hint)",
  measurements: { sessions: Schema.Int },
  attributes: { ...pool, slot: Schema.Int, cause: Schema.String, then: Schema.Literals(["told", "replayed", "elsewhere"]) }
})

export const call_fail = Event.declare({
  name: "snakepit.call.fail",
  layer: "control",
  when: "a call ended with a typed error, or was not accepted",
  measurements: {},
  attributes: { ...pool, tool: Schema.String, reason: Schema.String, executed: Schema.String, cause: Schema.String }
})

export const host_call_fail = Event.declare({
  name: "snakepit.host_call.fail",
  layer: "control",
  when:
    "a call of a host tool was refused or went wrong, which Python was told: unknown, invalid, too_large, timeout, busy, failed (a defect); an error that " +
    "its contract declares is no such failure",
  measurements: {},
  attributes: {
    ...pool,
    slot: Schema.Int,
    tool: Schema.UndefinedOr(Schema.String),
    hostTool: Schema.String,
    reason: Schema.String,
    cause: Schema.String
  }
})

export const heartbeat_miss = Event.declare({
  name: "snakepit.heartbeat.miss",
  layer: "execution",
  when: "a worker did not answer in time",
  measurements: { missed: Schema.Int },
  attributes: { ...pool, slot: Schema.Int }
})

export const heartbeat_recover = Event.declare({
  name: "snakepit.heartbeat.recover",
  layer: "execution",
  when: "a worker answers again after misses",
  measurements: { missed: Schema.Int },
  attributes: { ...pool, slot: Schema.Int }
})

export const watchdog_verdict = Event.declare({
  name: "snakepit.watchdog.verdict",
  layer: "execution",
  when: "the watchdog judges a worker otherwise than before: alive, busy, stopped, traced, hung or unreachable; with what the kernel says",
  measurements: { missed: Schema.Int, cpuMillis: Schema.UndefinedOr(Schema.Finite) },
  attributes: {
    ...pool,
    slot: Schema.Int,
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
  measurements: {},
  attributes: {
    ...pool,
    slot: Schema.Int,
    reason: Schema.String,
    tool: Schema.UndefinedOr(Schema.String),
    cause: Schema.String
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
  worker_starter_fill,
  spare_ready,
  spare_leave,
  spare_fail,
  worker_attach,
  worker_detach,
  call_retry,
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
  watchdog_bite
]
