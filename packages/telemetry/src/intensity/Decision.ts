/** A recorded event of a supervisor, read back as the decision that it told. */
import type { Event } from "@snakepit/core"

interface Common {
  readonly seq: number
  /** Unix time in milliseconds. */
  readonly at: number
  /** The path of the supervisor. */
  readonly path: string
}

/** All children are up. */
export interface Start extends Common {
  readonly verb: "start"
}

/** A child ended, or its start was refused, and what was decided then. */
export interface Ended extends Common {
  readonly verb: "restart" | "leave" | "give_up"
  readonly child: string
  readonly stage: "starting" | "running"
  /** The tag of the exit reason, and what is said of it. */
  readonly reason: string
  readonly cause: string
  readonly incident: string | undefined
  /** Milliseconds; 0 when there is no restart. */
  readonly delayMillis: number
  /** `undefined` without a limit, and when the child is left. */
  readonly budgetLeft: number | undefined
  readonly refusedBy: "intensity" | "delay" | undefined
}

/** A restarted child and its victims are up again. */
export interface Recover extends Common {
  readonly verb: "recover"
  readonly child: string
  readonly incident: string
  readonly tookMillis: number
}

/** The supervisor begins to stop, or stops one child. */
export interface Terminate extends Common {
  readonly verb: "terminate"
  readonly child: string | undefined
  readonly cause: string
}

/** What a supervisor decided. */
export type Decision = Start | Ended | Recover | Terminate

const verbs = /^snakepit\.\w+_supervisor\.(start|restart|recover|leave|terminate|give_up)$/

/** Reads an event; `undefined` when it is no supervisor's. */
export const of = ({ at, attributes, measurements, name }: Event.Event, seq: number): Decision | undefined => {
  const verb = verbs.exec(name)?.[1] as Decision["verb"] | undefined
  const { child, incident, path } = attributes
  if (verb === undefined || typeof path !== "string") return undefined
  const common = { seq, at, path }
  switch (verb) {
    case "start":
      return { ...common, verb }
    case "terminate":
      return { ...common, verb, child: typeof child === "string" ? child : undefined, cause: String(attributes["cause"]) }
    case "recover":
      return typeof child !== "string"
        ? undefined
        : { ...common, verb, child, incident: String(incident), tookMillis: measurements["tookMillis"] ?? 0 }
    default:
      return typeof child !== "string" ? undefined : {
        ...common,
        verb,
        child,
        stage: attributes["stage"] === "starting" ? "starting" : "running",
        reason: String(attributes["reason"]),
        cause: String(attributes["cause"] ?? ""),
        incident: typeof incident === "string" ? incident : undefined,
        delayMillis: measurements["delayMillis"] ?? 0,
        budgetLeft: measurements["budgetLeft"],
        refusedBy: verb !== "give_up" ? undefined : attributes["refusedBy"] === "delay" ? "delay" : "intensity"
      }
  }
}
