/** What the supervisors of tests have in common, and children for them. */
import { SupervisorEvent } from "@snakepit/core"
import { ScriptedChild } from "@snakepit/core/testing"

/** All of a supervisor but its children and how they are restarted. */
export const common = {
  plane: "control",
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("app_supervisor", "root")
} as const

/** Three children of one journal. */
export const three = (options: ScriptedChild.Options = {}) => {
  const journal = ScriptedChild.journal()
  return {
    journal,
    a: ScriptedChild.make("a", { ...options, journal }),
    b: ScriptedChild.make("b", { ...options, journal }),
    c: ScriptedChild.make("c", { ...options, journal })
  }
}
