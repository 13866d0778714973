/** How much an event matters, for those who read it as a log record. Pure. */
import type * as LogLevel from "effect/LogLevel"

/** By the last word of an event's name, or by all of it; every other is `Info`: something has happened as planned. */
const severities: Readonly<Record<string, LogLevel.Severity>> = {
  "snakepit.root_supervisor.give_up": "Fatal",
  give_up: "Error",
  abandon: "Error",
  leak: "Error",
  write_failed: "Error",
  restart: "Warn",
  bite: "Warn",
  complain: "Warn",
  drop: "Warn",
  dropped: "Warn",
  eject: "Warn",
  fail: "Warn",
  limit_low: "Warn",
  lose: "Warn",
  many: "Warn",
  memory_unknown: "Warn",
  miss: "Warn",
  quarantine: "Warn",
  reject: "Warn",
  retry: "Warn",
  set_aside: "Warn",
  taint: "Warn",
  unread: "Warn",
  "snakepit.circuit.open": "Warn"
}

/** The severity of an event, by its name. What ended without being asked to is a warning: `planned` says so where it is known. */
export const of = (name: string, planned?: unknown): LogLevel.Severity => {
  const verb = name.slice(name.lastIndexOf(".") + 1)
  if (verb === "exit") return planned === true ? "Info" : "Warn"
  return severities[name] ?? severities[verb] ?? (verb.endsWith("_fail") ? "Warn" : "Info")
}
