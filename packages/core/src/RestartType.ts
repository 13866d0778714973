/**
 * Which endings of a child call for another one. OTP's table, restart type × class of the exit reason:
 *
 * | restart     | clean (`Normal`, `Shutdown`) | abnormal |
 * | ----------- | ---------------------------- | -------- |
 * | `permanent` | restart                      | restart  |
 * | `transient` | leave                        | restart  |
 * | `temporary` | leave                        | leave    |
 *
 * @see https://www.erlang.org/doc/apps/stdlib/supervisor.html (child specification, `restart`)
 */
import { type ExitReason, isAbnormal } from "./ExitReason.ts"
import type { Semantics } from "./Semantics.ts"
import { GaveUp } from "./SupervisorError.ts"

/** When a child that ended is started again. `permanent` is the default. */
export type RestartType = "permanent" | "transient" | "temporary"

/**
 * What the table says for a child that ended by itself. With `giveUp: "shutdown"` a supervisor that gave up counts as clean, as in OTP
 * (`Semantics.giveUp`).
 */
export const decide = (
  restart: RestartType,
  reason: ExitReason,
  giveUp: Semantics["giveUp"] = "abnormal"
): "restart" | "leave" => {
  switch (restart) {
    case "permanent":
      return "restart"
    case "transient":
      return isAbnormal(reason) && !(giveUp === "shutdown" && isGaveUp(reason)) ? "restart" : "leave"
    case "temporary":
      return "leave"
  }
}

const isGaveUp = (reason: ExitReason): boolean => reason._tag === "Failed" && reason.error instanceof GaveUp
