/**
 * The declared differences between supervisors as a record: one engine reads it, `otp` and `production` are two of its values.
 *
 * **Details**
 *
 * `otp` is trace-equal to Erlang/OTP 25.2.3, traps included (`npm run verify:otp`). `production` is what a supervisor of ours does unless
 * told otherwise. Every field may be chosen by itself.
 *
 * | field             | `otp`                | `production`   | what it decides                                                     |
 * | ----------------- | -------------------- | -------------- | ------------------------------------------------------------------- |
 * | `window`          | `whole seconds`      | `milliseconds` | the restart window: [P, P + 1 s) by phase, or exact                 |
 * | `delay`           | `none`               | `policy`       | restarts at once, or after the policy's delay                       |
 * | `serve`           | `between operations` | `always`       | whether exits and calls are handled while a child starts or stops   |
 * | `coalesce`        | `false`              | `true`         | whether exits that are pending together count as one under a group  |
 * | `revive`          | `true`               | `false`        | whether a group restart starts children that were down              |
 * | `heal`            | `false`              | `true`         | whether the siblings of a child terminated mid-restart come up      |
 * | `autoShutdown`    | `own endings`        | `every change` | when the condition for auto-shutdown is looked at                   |
 * | `giveUp`          | `shutdown`           | `abnormal`     | how giving up looks to the supervisor above                         |
 * | `ignoredInstance` | `keep`               | `drop`         | what becomes of a dynamic child that ignores its restart            |
 *
 * **Example** (OTP to the letter, but with backoff)
 *
 * ```ts
 * import { Semantics } from "@snakepit/core"
 *
 * const semantics: Semantics.Semantics = { ...Semantics.otp, delay: "policy" }
 * ```
 *
 * @see https://www.erlang.org/doc/apps/stdlib/supervisor.html
 */

/** Where supervisors differ. */
export interface Semantics {
  /**
   * `whole seconds`: OTP's clock and inclusive bound, so that the true window depends on the phase (trap T-7). `milliseconds`: any
   * interval `[t, t + within)` holds at most `maxRestarts` restarts.
   */
  readonly window: "milliseconds" | "whole seconds"
  /**
   * `none`: restarts are immediate, and a failed one is tried again, and only then counted, behind whatever is waiting (trap T-8: a whole
   * budget is gone in microseconds). `policy`: the restart policy's delay, each attempt counted when the one before it failed.
   */
  readonly delay: "policy" | "none"
  /** `between operations`: while a child starts or stops, exits and administration calls wait their turn, as in a `gen_server`. */
  readonly serve: "always" | "between operations"
  /**
   * Under a group strategy, exits that are pending together are one decision, whatever their order (trap T-6: in OTP `[c, b, a]` spends
   * three restarts under `rest_for_one`, `[a, b, c]` one). The first of them in start order is the one that is told.
   */
  readonly coalesce: boolean
  /** A group restart also starts children that the operator terminated, that ended for good or that ignored their start (trap T-9). */
  readonly revive: boolean
  /**
   * When the child whose restart failed is terminated before the next attempt, its fellow victims come up all the same. Without it they
   * are `stranded` (trap T-1): down for ever, though permanent and terminated by nobody.
   */
  readonly heal: boolean
  /**
   * `own endings`: only when a significant child ends by itself, so that terminating the last living one leaves a supervisor that can
   * never shut down (trap T-2), and one that ignores its restart is passed over (trap T-4). `every change`: after each of these too.
   */
  readonly autoShutdown: "own endings" | "every change"
  /**
   * `shutdown`: giving up is a clean exit for the supervisor above, so that a transient supervisor that gave up stays down. `abnormal`: it
   * is a failure with the typed error.
   */
  readonly giveUp: "shutdown" | "abnormal"
  /**
   * `keep`: a dynamic child that ignores its restart stays in the list without ever running, until any child that is gone is terminated; if
   * it is still there when the supervisor stops, the supervisor crashes and stops nobody in order (OTP before 28).
   */
  readonly ignoredInstance: "keep" | "drop"
}

/** Erlang/OTP 25.2.3, traps included. */
export const otp: Semantics = {
  window: "whole seconds",
  delay: "none",
  serve: "between operations",
  coalesce: false,
  revive: true,
  heal: false,
  autoShutdown: "own endings",
  giveUp: "shutdown",
  ignoredInstance: "keep"
}

/** The default: exact window, backoff, answers at any time, nobody stranded, nobody resurrected, nothing silent. */
export const production: Semantics = {
  window: "milliseconds",
  delay: "policy",
  serve: "always",
  coalesce: true,
  revive: false,
  heal: true,
  autoShutdown: "every change",
  giveUp: "abnormal",
  ignoredInstance: "drop"
}
