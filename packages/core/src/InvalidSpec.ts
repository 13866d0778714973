/**
 * A spec that a maker refused: `Child.make`, `Supervisor.make`, `DynamicSupervisor.make` or `RestartPolicy.make` threw it.
 *
 * **Details**
 *
 * Most mistakes do not compile. This is for what types cannot see: callers in JavaScript, and specs that are made of data. It is thrown,
 * not returned: a mistake in the program, not in its input. As every child is checked when it is made and the whole list when its
 * supervisor is made, a bad last child means that nothing was started. The first failure wins, in OTP's order:
 *
 * | what           | rules, in order                                                                                              |
 * | -------------- | ------------------------------------------------------------------------------------------------------------ |
 * | restart policy | `invalid_intensity`, `invalid_period`, `invalid_delay`, `invalid_reset_after`                                |
 * | static flags   | `invalid_strategy`, `invalid_restart_policy`, `invalid_auto_shutdown`, `invalid_children`                    |
 * | dynamic flags  | `invalid_restart_policy`, `invalid_max_children`, `invalid_template`, `invalid_shown`                        |
 * | child of list  | `invalid_child_spec`, `bad_combination`, `duplicate_child_name`                                              |
 * | child          | `missing_id`, `missing_start`, `invalid_start`, `invalid_restart_type`, `bad_combination`,                   |
 * |                | `invalid_significant`, `invalid_shutdown`, `invalid_plane`                                                   |
 *
 * A supervisor is checked as a child too, after its own children. `invalid_type` (no record of options) and `unknown_option` come before
 * all others of their kind; what a contract must say (`invalid_contract`, `unknown_child`) comes last.
 *
 * **Gotchas**
 *
 * Differs from OTP: unknown options are refused, not ignored, and no limit is `"unlimited"`, as OTP has no word for it.
 *
 * @see https://www.erlang.org/doc/apps/stdlib/supervisor.html
 */
import * as Data from "effect/Data"

/** What each rule asks for, to complete "must be". */
const demands = {
  invalid_type: "a record of options",
  unknown_option: "absent: there is no such option, and it is probably misspelt",
  invalid_strategy: `"one_for_one", "one_for_all" or "rest_for_one"`,
  invalid_restart_policy: "a policy of RestartPolicy.make",
  invalid_intensity: `"unlimited", or a record whose maxRestarts is a whole number of 0 or more`,
  invalid_period: `a finite duration above 0; for no limit use intensity: "unlimited"`,
  invalid_delay: "a Schedule",
  invalid_reset_after: "a duration of 0 or more",
  too_many_children: "no more keys than maxChildren allows",
  invalid_max_children: "a whole number of 0 or more; leave it out for no limit",
  invalid_auto_shutdown: `"never", "any" or "all"`,
  invalid_children: "an array of children",
  invalid_template: "a function that makes the child of a key",
  invalid_shown: "an array of keys",
  invalid_child_spec: "a child of Child.make, Child.fromLayer, Supervisor.make or DynamicSupervisor.make",
  duplicate_child_name: "different from the ids of the children before it",
  missing_id: "a string that is not empty",
  missing_start: "given",
  invalid_start: "an Effect, whose success is the child's life",
  invalid_restart_type: `"permanent", "transient" or "temporary"`,
  bad_combination: `false, as the child is permanent or its supervisor's autoShutdown is "never", so that its ending could end nothing`,
  invalid_significant: "true or false",
  invalid_shutdown: `a finite duration of 0 or more, "infinity" or "brutal"`,
  invalid_plane: `"control" or "execution"`,
  invalid_contract: "given, as the contract of a supervisor is made of it",
  unknown_child: "ids of its own children: who of them ends whom with failChild"
} as const

/** The rule that was broken. Where OTP has the rule, its name. */
export type Rule = keyof typeof demands

/** The facts of a refusal; the sentence follows from them. */
export class InvalidSpec extends Data.TaggedError("InvalidSpec")<{
  /** The supervisor that was being made, or that has the child. */
  readonly supervisor: string | undefined
  readonly child: string | undefined
  readonly field: string
  readonly got: unknown
  readonly rule: Rule
}> {
  override get message(): string {
    const child = this.child === undefined ? undefined : `child "${this.child}"`
    const supervisor = this.supervisor === undefined ? undefined : `supervisor "${this.supervisor}"`
    const where = [child, supervisor].filter((part) => part !== undefined).join(" of ") || "the restart policy"
    return `${where} is not valid: ${this.field} must be ${demands[this.rule]}; got ${shown(this.got)}. ` +
      "Correct it where it is made: nothing was started"
  }
}

const shown = (got: unknown): string => {
  switch (typeof got) {
    case "undefined":
      return "nothing"
    case "string":
      return `"${got}"`
    case "object":
      return got === null ? "null" : Array.isArray(got) ? "an array" : "an object"
    case "function":
      return "a function"
    default:
      return String(got)
  }
}
