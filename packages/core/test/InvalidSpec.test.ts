/** What a maker refuses at run time, compared with OTP's rules row by row (its `child_specs_map` and `sup_flags`). */
import { assert, describe, it } from "@effect/vitest"
import { Child, DynamicSupervisor, InvalidSpec, RestartPolicy, Supervisor } from "@snakepit/core"
import { Effect } from "effect"
import { common } from "./AppContract.ts"

type Maker = (...given: ReadonlyArray<unknown>) => unknown

// as a caller in JavaScript sees them
const makeChild = Child.make as Maker
const makeSupervisor = Supervisor.make as Maker
const makeDynamic = DynamicSupervisor.make as Maker
const makePolicy = RestartPolicy.make as Maker

const start = Effect.succeed(Effect.never)
const restart = RestartPolicy.make({ intensity: "unlimited" })
const flags = { ...common, strategy: "one_for_one", restart, children: [] }
const dynamicFlags = { ...common, restart, child: (key: string) => Child.make(key, { start }) }

const refusal = (make: () => unknown): InvalidSpec.InvalidSpec | undefined => {
  try {
    make()
    return undefined
  } catch (error) {
    assert.instanceOf(error, InvalidSpec.InvalidSpec)
    return error
  }
}
const ruleOf = (make: () => unknown) => refusal(make)?.rule

/** Each try breaks the rule of its row and, where the fields allow it, those of all rows after it. */
const inOrder = (
  make: (broken: Record<string, unknown>) => unknown,
  rows: ReadonlyArray<readonly [InvalidSpec.Rule, Record<string, unknown>]>
) => {
  const told = rows.map((_, first) => ruleOf(() => make(Object.assign({}, ...rows.slice(first).map(([, broken]) => broken).toReversed()))))
  assert.deepStrictEqual(told, rows.map(([rule]) => rule))
}

const omitUndefined = (options: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))

describe("the spec of a child", () => {
  it("is judged as OTP judges each of the combinations of child_specs_map that exist here", () => {
    const modes = [undefined, "never", "any", "all"]
    const restarts = [undefined, "permanent", "transient", "temporary"]
    const shutdowns = [undefined, "brutal", 0, 1000, "infinity"]
    const kinds = ["worker", "supervisor", "dynamic"]
    const significances = [undefined, false, true]
    let rows = 0
    for (const mode of modes) {
      for (const restartType of restarts) {
        for (const shutdown of shutdowns) {
          for (const kind of kinds) {
            for (const significant of significances) {
              for (const extra of [undefined, "dummy"]) {
                rows++
                const options = omitUndefined({ shutdown, significant, extra })
                const child = () =>
                  (kind === "worker"
                    ? makeChild("child", { start, ...options, ...omitUndefined({ restart: restartType }) })
                    : kind === "supervisor"
                    ? makeSupervisor("child", { ...flags, ...options, ...omitUndefined({ restartType }) })
                    : makeDynamic("child", { ...dynamicFlags, ...options, ...omitUndefined({ restartType }) })) as Child.Any
                const bad = significant === true && (mode === "never" || restartType === undefined || restartType === "permanent")
                const told = ruleOf(() => {
                  const made = child()
                  assert.deepStrictEqual(
                    { restart: made.restart, shutdown: made.shutdown, significant: made.significant },
                    {
                      restart: restartType ?? "permanent",
                      shutdown: shutdown ?? (kind === "worker" ? 5000 : "infinity"),
                      significant: significant ?? false
                    }
                  )
                  if (mode !== undefined) makeSupervisor("app", { ...flags, autoShutdown: mode, children: [made] })
                })
                assert.strictEqual(
                  told,
                  extra !== undefined ? "unknown_option" : bad ? "bad_combination" : undefined,
                  JSON.stringify({ mode, restartType, shutdown, kind, significant, extra })
                )
              }
            }
          }
        }
      }
    }
    assert.strictEqual(rows, 4 * 4 * 5 * 3 * 3 * 2)
  })

  it("is judged in OTP's order, and the first failure wins (V-8)", () => {
    inOrder(({ id = "child", ...broken }) => makeChild(id, { start, ...broken }), [
      ["missing_id", { id: "" }],
      ["missing_start", { start: undefined }],
      ["invalid_start", { start: () => {} }],
      ["invalid_restart_type", { restart: "sometimes" }],
      ["bad_combination", { significant: true }],
      ["invalid_significant", { significant: "very" }],
      ["invalid_shutdown", { shutdown: -1 }],
      ["invalid_plane", { plane: "astral" }]
    ])
  })

  it("takes no shutdown but a finite duration of 0 or more, infinity or brutal", () => {
    for (const shutdown of [-1, Number.NaN, Infinity, "Infinity", "kill", "-1 second", null]) {
      assert.strictEqual(ruleOf(() => makeChild("child", { start, shutdown })), "invalid_shutdown", String(shutdown))
    }
    for (const shutdown of [0, 5_000, "1 minute", "infinity", "brutal"]) {
      assert.isUndefined(refusal(() => makeChild("child", { start, shutdown })), shutdown as string)
    }
  })

  it("is a record", () => {
    for (const options of [undefined, null, "child", 1]) assert.strictEqual(ruleOf(() => makeChild("child", options)), "invalid_type")
    for (const id of [undefined, null, 1, ""]) assert.strictEqual(ruleOf(() => makeChild(id, { start })), "missing_id")
  })

  it("is judged likewise when its start comes from a layer", () => {
    assert.strictEqual(ruleOf(() => (Child.fromLayer as Maker)("child", { restart: "sometimes" })), "invalid_restart_type")
  })
})

describe("the flags of a supervisor", () => {
  it("are judged in OTP's order, before the children, and these before its own place (V-4, V-8)", () => {
    inOrder(({ id = "app", ...broken }) => makeSupervisor(id, { ...flags, ...broken }), [
      ["missing_id", { id: "" }],
      ["invalid_strategy", { strategy: "one_for_none" }],
      ["invalid_restart_policy", { restart: { maxRestarts: 1 } }],
      ["invalid_auto_shutdown", { autoShutdown: "some" }],
      ["invalid_children", { children: {} }],
      ["invalid_child_spec", { children: ["child"] }],
      ["invalid_restart_type", { restartType: "sometimes" }],
      ["bad_combination", { significant: true }],
      ["invalid_significant", { significant: 1 }],
      ["invalid_shutdown", { shutdown: "long" }],
      ["invalid_plane", { mountOn: "astral" }],
      ["invalid_contract", { because: "" }],
      ["unknown_child", { failedBy: { process: ["watchdog"] } }]
    ])
    inOrder(({ id = "app", ...broken }) => makeDynamic(id, { ...dynamicFlags, ...broken }), [
      ["missing_id", { id: "" }],
      ["invalid_restart_policy", { restart: undefined }],
      ["invalid_max_children", { maxChildren: 1.5 }],
      ["invalid_template", { child: {} }],
      ["invalid_shown", { shown: "eu" }],
      ["duplicate_child_name", { shown: ["eu", "eu"] }],
      ["invalid_child_spec", { child: () => "child" }]
    ])
  })

  it("are a record without options that do not exist", () => {
    assert.strictEqual(ruleOf(() => makeSupervisor("app", undefined)), "invalid_type")
    assert.strictEqual(ruleOf(() => makeSupervisor("app", { ...flags, stratgey: "one_for_one" })), "unknown_option")
    assert.strictEqual(ruleOf(() => makeDynamic("app", { ...dynamicFlags, strategy: "one_for_one" })), "unknown_option")
    assert.strictEqual(ruleOf(() => makeSupervisor("app", { ...flags, events: undefined })), "invalid_contract")
    assert.strictEqual(ruleOf(() => makeSupervisor("app", { ...flags, limitBecause: undefined })), "invalid_contract")
  })

  it("are judged child by child: what a child is, then its significance, then its id (V-9, V-10, V-11)", () => {
    const child = (id: string, options: Record<string, unknown> = {}) => makeChild(id, { start, ...options })
    const significant = { restart: "transient", significant: true }
    const told = (children: ReadonlyArray<unknown>, autoShutdown = "never") => {
      const error = refusal(() => makeSupervisor("app", { ...flags, autoShutdown, children }))
      return [error?.rule, error?.child]
    }
    assert.deepStrictEqual(told([child("a"), child("b"), child("a")]), ["duplicate_child_name", "a"])
    assert.deepStrictEqual(told([child("a"), child("a", significant)]), ["bad_combination", "a"])
    assert.deepStrictEqual(told([child("a"), child("a"), child("b", significant)]), ["duplicate_child_name", "a"])
    assert.deepStrictEqual(told([child("a"), child("b", significant)], "all"), [undefined, undefined])
    const template = () => child("<key>", significant)
    assert.strictEqual(ruleOf(() => makeDynamic("app", { ...dynamicFlags, child: template })), "bad_combination")
  })
})

describe("the limits of a restart policy", () => {
  const intensity = { maxRestarts: 1, within: "1 second" }

  it("are judged in OTP's order (V-4)", () => {
    inOrder((broken) => makePolicy({ intensity, ...broken }), [
      ["invalid_intensity", { intensity: { maxRestarts: -1, within: 0 } }],
      ["invalid_period", { intensity: { maxRestarts: 0, within: 0 } }],
      ["invalid_delay", { delay: 50 }],
      ["invalid_reset_after", { resetAfter: -1 }]
    ])
    assert.strictEqual(ruleOf(() => makePolicy(undefined)), "invalid_type")
    assert.strictEqual(ruleOf(() => makePolicy({ intensity, resetsAfter: 1 })), "unknown_option")
  })

  it("are a whole number of 0 or more, and a finite duration above 0", () => {
    for (const maxRestarts of [-1, 1.5, Number.NaN, Infinity, "1", undefined]) {
      assert.strictEqual(ruleOf(() => makePolicy({ intensity: { ...intensity, maxRestarts } })), "invalid_intensity")
    }
    for (const within of [0, -1, Number.NaN, Infinity, "Infinity", "soon", undefined]) {
      assert.strictEqual(ruleOf(() => makePolicy({ intensity: { ...intensity, within } })), "invalid_period")
    }
    for (const wrong of [undefined, "infinity", 3]) assert.strictEqual(ruleOf(() => makePolicy({ intensity: wrong })), "invalid_intensity")
  })
})

describe("a refusal", () => {
  it("says what is wrong, where, what it got, and what to do", () => {
    assert.strictEqual(
      refusal(() => makeChild("db", { start, restart: "always" }))?.message,
      `child "db" is not valid: restart must be "permanent", "transient" or "temporary"; got "always". ` +
        "Correct it where it is made: nothing was started"
    )
    assert.strictEqual(
      refusal(() => makePolicy({ intensity: { maxRestarts: -1, within: 1 } }))?.message,
      `the restart policy is not valid: intensity must be "unlimited", or a record whose maxRestarts is a whole number of 0 or more; ` +
        "got an object. Correct it where it is made: nothing was started"
    )
    assert.include(refusal(() => makeChild("db", { start, significant: true }))?.message ?? "", "its ending could end nothing")
    assert.include(
      refusal(() => makeSupervisor("app", { ...flags, childern: [] }))?.message ?? "",
      `supervisor "app" is not valid: childern`
    )
  })
})
