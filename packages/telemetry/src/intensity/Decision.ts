/** A recorded event of a supervisor, read back as the decision that it told. */
import type { Event, SupervisorState } from "@snakepit/core"

interface Common {
  readonly seq: number
  /** Unix time in milliseconds. */
  readonly at: number
  /** The path of the supervisor. */
  readonly path: string
  /** What it was made by, as `Heard` writes it; `undefined` in records that do not hold it. */
  readonly heard: Event.Value
}

/** All children are up. */
export interface Start extends Common {
  readonly verb: "start"
}

/** A child ended, or its start was refused, and what was decided then. */
export interface Ended extends Common {
  readonly verb: "restart" | "leave" | "give_up"
  readonly child: string
  readonly generation: number
  readonly stage: "starting" | "running"
  /** The tag of the exit reason, and what is said of it. */
  readonly reason: string
  readonly cause: string
  readonly incident: string | undefined
  /** Milliseconds; 0 when there is no restart. */
  readonly delayMillis: number
  /** `undefined` without a limit, and when the child is left. */
  readonly budgetLeft: number | undefined
  /** Siblings that go down with it. */
  readonly victims: number
  readonly refusedBy: "intensity" | "delay" | undefined
}

/** A restarted child and its victims are up again. */
export interface Recover extends Common {
  readonly verb: "recover"
  readonly child: string
  readonly generation: number
  readonly incident: string
  readonly tookMillis: number
}

/** The supervisor begins to stop, or stops one child. */
export interface Terminate extends Common {
  readonly verb: "terminate"
  readonly child: string | undefined
  readonly cause: string
}

/** A child did not stop within its time. */
export interface Abandon extends Common {
  readonly verb: "abandon"
  readonly child: string
  readonly generation: number
}

/** What a supervisor decided. */
export type Decision = Start | Ended | Recover | Terminate | Abandon

const verbs = /^snakepit\.\w+_supervisor\.(start|restart|recover|leave|terminate|abandon|give_up)$/

/** The names of the events that are decisions, and of some that are not: what to ask a history for. */
export const names = "snakepit.*_supervisor.*"

/** Reads an event; `undefined` when it is no supervisor's. */
export const of = ({ at, attributes, measurements, name }: Event.Event, seq: number): Decision | undefined => {
  const verb = verbs.exec(name)?.[1] as Decision["verb"] | undefined
  const { child, path } = attributes
  if (verb === undefined || typeof path !== "string") return undefined
  const common = { seq, at, path, heard: attributes["heard"] }
  if (verb === "start") return { ...common, verb }
  if (verb === "terminate") {
    return { ...common, verb, child: typeof child === "string" ? child : undefined, cause: String(attributes["cause"]) }
  }
  if (typeof child !== "string") return undefined
  const one = { ...common, child, generation: Number(attributes["generation"] ?? 0) }
  const { incident } = attributes
  if (verb === "abandon") return { ...one, verb }
  if (verb === "recover") return { ...one, verb, incident: String(incident), tookMillis: measurements["tookMillis"] ?? 0 }
  return {
    ...one,
    verb,
    stage: attributes["stage"] === "starting" ? "starting" : "running",
    reason: String(attributes["reason"]),
    cause: String(attributes["cause"] ?? ""),
    incident: typeof incident === "string" ? incident : undefined,
    delayMillis: measurements["delayMillis"] ?? 0,
    budgetLeft: verb === "restart" ? measurements["budgetLeft"] : undefined,
    victims: measurements["victims"] ?? 0,
    refusedBy: verb !== "give_up" ? undefined : attributes["refusedBy"] === "delay" ? "delay" : "intensity"
  }
}

/** What was decided, without when and how long it took: two decisions that have it in common are the same. */
export const whatOf = (decision: Decision): string => {
  switch (decision.verb) {
    case "start":
      return "start"
    case "terminate":
      return `terminate ${decision.child ?? `itself: ${decision.cause}`}`
    case "abandon":
      return `abandon ${decision.child} ${decision.generation}`
    case "recover":
      return `recover ${decision.child} ${decision.generation} ${decision.incident}`
    case "leave":
      return `leave ${decision.child} ${decision.generation} ${decision.reason}`
    default: {
      const { budgetLeft, child, delayMillis, generation, incident, reason, refusedBy, stage, verb, victims } = decision
      return [verb, child, generation, stage, reason, incident, delayMillis, budgetLeft, victims, refusedBy].join(" ")
    }
  }
}

/** The same of what a machine decided. */
export const whatOfTold = (told: SupervisorState.Decision): string => {
  switch (told._tag) {
    case "Start":
      return "start"
    case "Terminate":
      return `terminate itself: ${told.why}`
    case "TerminateChild":
      return `terminate ${told.child}`
    case "Abandon":
      return `abandon ${told.child} ${told.generation}`
    case "Recover":
      return `recover ${told.child} ${told.generation} ${told.incident}`
    case "Leave":
      return `leave ${told.child} ${told.generation} ${told.reason._tag}`
    case "Restart": {
      const { budgetLeft, child, delayMillis, generation, incident, reason, stage, victims } = told
      const left = Number.isFinite(budgetLeft) ? budgetLeft : undefined
      return ["restart", child, generation, stage, reason._tag, incident, finite(delayMillis), left, victims.length, undefined].join(" ")
    }
    case "GiveUp": {
      const { child, generation, incident, reason, refusedBy, stage } = told
      return ["give_up", child, generation, stage, reason._tag, incident, 0, undefined, 0, refusedBy].join(" ")
    }
  }
}

const finite = (millis: number): number => Number.isFinite(millis) ? millis : 0 // JSON knows no infinity

/** The incident that it belongs to. */
export const incidentOf = (decision: Decision): string | undefined => "incident" in decision ? decision.incident : undefined
