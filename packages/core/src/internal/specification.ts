/** What a spec must be, in OTP's order; the first failure is thrown. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Child from "../Child.ts"
import { templateKey } from "../Contract.ts"
import type * as DynamicSupervisor from "../DynamicSupervisor.ts"
import { InvalidSpec, type Rule } from "../InvalidSpec.ts"
import type * as RestartPolicy from "../RestartPolicy.ts"
import type * as Supervisor from "../Supervisor.ts"

type Fields = Readonly<Record<string, unknown>>

interface Demand {
  readonly field: string
  readonly rule: Rule
  readonly holds: (got: unknown, all: Fields) => boolean
}

interface Where {
  readonly supervisor?: string | undefined
  readonly child?: string | undefined
}

const oneOf = (...values: ReadonlyArray<unknown>) => (got: unknown): boolean => values.includes(got)
const optional = (holds: (got: unknown) => boolean) => (got: unknown): boolean => got === undefined || holds(got)
const isRecord = (got: unknown): got is Fields => typeof got === "object" && got !== null
const isWhole = (got: unknown): boolean => Number.isInteger(got) && (got as number) >= 0
const isText = (got: unknown): boolean => typeof got === "string" && got !== ""
/** Not a number counts as nothing, which is neither above nor below. */
const millisOf = (got: unknown): number =>
  typeof got === "number" ? got : Option.match(Duration.fromInput(got as Duration.Input), { onNone: () => NaN, onSome: Duration.toMillis })

type Keys<Options> = Readonly<Record<keyof Options, true>>

const childKeys: Keys<Child.Options> = { start: true, restart: true, shutdown: true, significant: true, plane: true }
const policyKeys: Keys<RestartPolicy.Options> = { intensity: true, delay: true, resetAfter: true }
const supervisorKeys: Keys<Supervisor.CommonOptions> = {
  plane: true,
  because: true,
  limitBecause: true,
  stoppedBy: true,
  restart: true,
  events: true,
  labels: true,
  mountOn: true,
  restartType: true,
  significant: true,
  shutdown: true,
  semantics: true
}
const staticKeys: Keys<Supervisor.Options> = {
  ...supervisorKeys,
  strategy: true,
  autoShutdown: true,
  children: true,
  added: true,
  failedBy: true
}
const dynamicKeys: Keys<DynamicSupervisor.Options> = {
  ...supervisorKeys,
  child: true,
  initial: true,
  shown: true,
  startedBy: true,
  maxChildren: true
}

const plane = optional(oneOf("control", "execution"))

const policyDemands: ReadonlyArray<Demand> = [
  {
    field: "intensity",
    rule: "invalid_intensity",
    holds: (got) => got === "unlimited" || isRecord(got) && isWhole(got["maxRestarts"])
  },
  {
    field: "intensity",
    rule: "invalid_period",
    holds: (got) => got === "unlimited" || isRecord(got) && millisOf(got["within"]) > 0 && millisOf(got["within"]) < Infinity
  },
  { field: "delay", rule: "invalid_delay", holds: optional(Schedule.isSchedule) },
  { field: "resetAfter", rule: "invalid_reset_after", holds: optional((got) => millisOf(got) >= 0) }
]

const policy: Demand = {
  field: "restart",
  rule: "invalid_restart_policy",
  holds: (got) => isRecord(got) && "~snakepit/core/RestartPolicy" in got
}

const staticDemands: ReadonlyArray<Demand> = [
  { field: "strategy", rule: "invalid_strategy", holds: oneOf("one_for_one", "one_for_all", "rest_for_one") },
  policy,
  { field: "autoShutdown", rule: "invalid_auto_shutdown", holds: optional(oneOf("never", "any", "all")) },
  { field: "children", rule: "invalid_children", holds: Array.isArray }
]

const namesChildren: Demand = {
  field: "failedBy",
  rule: "unknown_child",
  holds: (got, { children }) => {
    const ids = new Set((children as ReadonlyArray<Child.Any>).map(({ id }) => id))
    return Object.entries((got ?? {}) as Readonly<Record<string, ReadonlyArray<string>>>).flat(2).every((id) => ids.has(id))
  }
}

const dynamicDemands: ReadonlyArray<Demand> = [
  policy,
  { field: "maxChildren", rule: "invalid_max_children", holds: optional((got) => got === Infinity || isWhole(got)) },
  { field: "child", rule: "invalid_template", holds: (got) => typeof got === "function" },
  { field: "shown", rule: "invalid_shown", holds: optional((got) => Array.isArray(got) && got.every(isText)) }
]

const contractDemands: ReadonlyArray<Demand> = [
  { field: "plane", rule: "invalid_plane", holds: oneOf("control", "execution") },
  { field: "mountOn", rule: "invalid_plane", holds: plane },
  { field: "because", rule: "invalid_contract", holds: isText },
  { field: "limitBecause", rule: "invalid_contract", holds: isText },
  { field: "events", rule: "invalid_contract", holds: isRecord }
]

/** The demands on a child, whose restart type stands in `restart`. */
const childDemands = (restart: string): ReadonlyArray<Demand> => [
  { field: restart, rule: "invalid_restart_type", holds: optional(oneOf("permanent", "transient", "temporary")) },
  {
    field: "significant",
    rule: "bad_combination",
    holds: (got, all) => got !== true || oneOf("transient", "temporary")(all[restart])
  },
  { field: "significant", rule: "invalid_significant", holds: optional(oneOf(true, false)) },
  {
    field: "shutdown",
    rule: "invalid_shutdown",
    holds: optional((got) => got === "infinity" || got === "brutal" || millisOf(got) >= 0 && millisOf(got) < Infinity)
  }
]

const ownDemands: ReadonlyArray<Demand> = [
  { field: "start", rule: "missing_start", holds: (got) => got !== undefined },
  { field: "start", rule: "invalid_start", holds: Effect.isEffect },
  ...childDemands("restart"),
  { field: "plane", rule: "invalid_plane", holds: plane }
]

const placeDemands = childDemands("restartType")

const refuse = ({ child, supervisor }: Where, field: string, got: unknown, rule: Rule): never => {
  throw new InvalidSpec({ supervisor, child, field, got, rule })
}

const recordOf = (where: Where, options: unknown, known: Readonly<Record<string, true>>): Fields => {
  if (!isRecord(options)) return refuse(where, "options", options, "invalid_type")
  for (const key of Object.keys(options)) if (!Object.hasOwn(known, key)) refuse(where, key, options[key], "unknown_option")
  return options
}

const meet = (where: Where, all: Fields, demands: ReadonlyArray<Demand>): void => {
  for (const { field, holds, rule } of demands) if (!holds(all[field], all)) refuse(where, field, all[field], rule)
}

const identified = (where: Where, id: unknown): void => {
  if (!isText(id)) refuse(where, "id", id, "missing_id")
}

export const checkPolicy = (options: unknown): void => meet({}, recordOf({}, options, policyKeys), policyDemands)

export const checkChild = (id: unknown, options: unknown): void => {
  const where = { child: String(id) }
  identified(where, id)
  meet(where, recordOf(where, options, childKeys), ownDemands)
}

const checkListed = (supervisor: string, child: Child.Any, autoShutdown: unknown): void => {
  if (!isRecord(child) || !("~snakepit/core/Child" in child)) return refuse({ supervisor }, "each child", child, "invalid_child_spec")
  if (child.significant && (child.restart === "permanent" || autoShutdown === "never")) {
    refuse({ supervisor, child: child.id }, "significant", true, "bad_combination")
  }
}

const checkPlace = (supervisor: string, options: Fields): void => {
  meet({ supervisor }, options, placeDemands)
  meet({ supervisor }, options, contractDemands)
}

export const checkSupervisor = (id: unknown, given: unknown): void => {
  const supervisor = String(id)
  identified({ supervisor }, id)
  const options = recordOf({ supervisor }, given, staticKeys)
  meet({ supervisor }, options, staticDemands)
  const seen = new Set<string>()
  for (const child of options["children"] as ReadonlyArray<Child.Any>) {
    checkListed(supervisor, child, options["autoShutdown"] ?? "never")
    if (seen.has(child.id)) refuse({ supervisor, child: child.id }, "id", child.id, "duplicate_child_name")
    seen.add(child.id)
  }
  checkPlace(supervisor, options)
  meet({ supervisor }, options, [namesChildren])
}

/** Returns the children that the contract lists, which it has made to look at. */
export const checkDynamic = (id: unknown, given: unknown): ReadonlyArray<Child.Any> => {
  const supervisor = String(id)
  identified({ supervisor }, id)
  const options = recordOf({ supervisor }, given, dynamicKeys)
  meet({ supervisor }, options, dynamicDemands)
  const { child, shown } = options as unknown as DynamicSupervisor.Options
  const keys = shown ?? [templateKey]
  checkKeys(supervisor, keys)
  const children = keys.map((key) => child(key))
  for (const child of children) checkListed(supervisor, child, "never")
  checkPlace(supervisor, options)
  return children
}

/** The keys that a dynamic supervisor begins with, which an effect has told. */
export const checkInitial = (supervisor: string, keys: ReadonlyArray<string>, maxChildren: number): void => {
  if (keys.length > maxChildren) refuse({ supervisor }, "initial", keys.length, "too_many_children")
  checkKeys(supervisor, keys)
}

const checkKeys = (supervisor: string, keys: ReadonlyArray<string>): void => {
  const seen = new Set<string>()
  for (const key of keys) {
    if (seen.has(key)) refuse({ supervisor, child: key }, "id", key, "duplicate_child_name")
    seen.add(key)
  }
}
