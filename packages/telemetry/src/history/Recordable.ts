/** Which events the history keeps. */
import { NamePattern, SupervisorEvent } from "@snakepit/core"

/**
 * What supervision decides, and what explains it to who reads it months later. Left out: what comes at intervals (samples, the depth of the
 * queue), what calls do that succeed (sessions that begin and end, cancelled calls), and what Python tells of its own work.
 */
export const defaults: ReadonlyArray<string> = [
  "snakepit.*_supervisor.*",
  "snakepit.call.fail",
  "snakepit.call.quarantine",
  "snakepit.call.retry",
  "snakepit.call.recover",
  "snakepit.circuit.*",
  "snakepit.config.*",
  "snakepit.containment.*",
  "snakepit.forkserver.*",
  "snakepit.gateway.*",
  "snakepit.heartbeat.*",
  "snakepit.history.*",
  "snakepit.lifecycle.*",
  "snakepit.pool.close",
  "snakepit.pool.drain",
  "snakepit.pool.drained",
  "snakepit.pool.open",
  "snakepit.pool.pause",
  "snakepit.pool.resume",
  "snakepit.pool.scale",
  "snakepit.pool.undrain",
  "snakepit.process.*",
  "snakepit.process_registry.*",
  "snakepit.reaper.*",
  "snakepit.rollout.*",
  "snakepit.session.lose",
  "snakepit.session.many",
  "snakepit.spare.exit",
  "snakepit.spare.fail",
  "snakepit.watchdog.*",
  "snakepit.worker.*"
]

/** Says by its name whether an event is kept; never one that only tells how a tree stands. Each name is matched once: names are few. */
export const recordable = (patterns: ReadonlyArray<string>): (name: string) => boolean => {
  const matchers = patterns.map(NamePattern.matcher)
  const known = new Map<string, boolean>()
  return (name) => {
    let fits = known.get(name)
    if (fits === undefined) {
      fits = !SupervisorEvent.isObservation(name) && matchers.some((matches) => matches(name))
      known.set(name, fits)
    }
    return fits
  }
}
