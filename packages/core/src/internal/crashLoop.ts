/** What one child that dies at once, whenever it is up, does to the supervisors above it. */
import { ExitReason } from "../ExitReason.ts"
import * as Intensity from "../Intensity.ts"
import * as RestartPolicy from "../RestartPolicy.ts"
import * as RestartType from "../RestartType.ts"
import { GaveUp } from "../SupervisorError.ts"
import * as Delays from "./delays.ts"
import type { Plan, PlannedChild } from "./plan.ts"

/** How it ends. `path` is the supervisor at which it ends; for `StaysDown` the child that is left alone. */
export interface Ending {
  readonly _tag: "GivesUp" | "ShutsDown" | "StaysDown" | "Never" | "Unknown"
  readonly path: string
}

/** One life of a child, or of the supervisor that it ends. */
export interface Life {
  readonly starts: number
  readonly millis: number
  readonly ending: Ending
}

/** The life of a child that starts at a given time. */
type LivesFrom = (startedAt: number) => Life

/** A child and its supervisor. */
export interface Place {
  readonly plan: Plan
  readonly child: PlannedChild
}

/** One life of the topmost supervisor of the line; `line` goes from the child up. */
export const crashLoop = (line: ReadonlyArray<Place>, chance: Delays.Chance): Life => {
  let lives: LivesFrom = () => ({ starts: 1, millis: 0, ending: { _tag: "GivesUp", path: line[0]!.child.path } })
  let hasPhases = false
  for (const place of line) {
    if (place.plan.semantics.window === "whole seconds") hasPhases = true
    lives = alike(place, lives, chance, hasPhases)
  }
  return lives(0)
}

/** All lives of a supervisor are alike, except that OTP's whole seconds tell apart those that start in another phase of one. */
const alike = (place: Place, childLives: LivesFrom, chance: Delays.Chance, hasPhases: boolean): LivesFrom => {
  const known = new Map<number, Life>()
  return (startedAt) => {
    const phase = hasPhases ? startedAt % 1000 : 0
    const life = known.get(phase) ?? supervise(place, childLives, chance, phase)
    known.set(phase, life)
    return life
  }
}

/** One life of the supervisor. With `stopMillis` each restart takes at least that long, because its siblings stop so slowly. */
export const supervise = (
  { child, plan }: Place,
  childLives: LivesFrom,
  chance: Delays.Chance,
  startedAt: number,
  stopMillis = 0,
  delays: Array<number> = []
): Life => {
  const { path, semantics, spec } = plan
  const window = Intensity.make(spec.restart.limit, semantics.window)
  const read = Delays.reader(spec.restart, chance)
  const horizon = Delays.horizonOf(spec.restart)
  let now = startedAt
  let starts = 0
  const end = (_tag: Ending["_tag"], at = path): Life => ({ starts, millis: now - startedAt, ending: { _tag, path: at } })
  for (let restarts = 0; restarts <= horizon; restarts++) {
    const life = childLives(now)
    starts += life.starts
    now += life.millis
    if (!endsItself(life.ending)) return { ...end("Never"), ending: life.ending }
    const reason = reasonOf(child, life.ending)
    if (RestartType.decide(child.child.restart, reason, semantics.giveUp) === "leave") {
      return endsSupervisor(plan, child) ? end("ShutsDown") : end("StaysDown", child.path)
    }
    if (!Intensity.decide(window, now).allowed) return end("GivesUp")
    const delay = semantics.delay === "none" ? 0 : read(now, { id: child.child.id, reason })
    if (delay === "refused") return end("GivesUp")
    if (delay === "not known at once") return end("Unknown")
    delays.push(delay)
    now += Math.max(delay, stopMillis)
  }
  return end("Never")
}

const endsItself = ({ _tag }: Ending): boolean => _tag === "GivesUp" || _tag === "ShutsDown"

const reasonOf = ({ path, supervisor }: PlannedChild, ending: Ending): ExitReason => {
  if (ending._tag === "ShutsDown") return ExitReason.Normal()
  if (supervisor === undefined) return Delays.assumed
  const limit = RestartPolicy.intensityExceeded(supervisor.spec.restart)
  const because = { path, error: Delays.assumed }
  return ExitReason.Failed({ error: new GaveUp({ path, because, limit, escalated: [], incident: "" }) })
}

/** Whether the child's ending for good ends the supervisor while its siblings live. */
const endsSupervisor = ({ children, spec: { autoShutdown } }: Plan, { child }: PlannedChild): boolean => {
  if (!child.significant || autoShutdown === "never") return false
  return autoShutdown === "any" || children.filter((other) => other.child.significant).length === 1
}
