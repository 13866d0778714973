/**
 * What going over from one configuration to another will do. Pure: it is shown before anything is done, and it is what is then done.
 *
 * ```text
 * 3 keys live; pool a rolls 4 workers; pool b grows from 2 to 6 workers; pool c starts with 2 workers; pool d ends;
 * 1 key waits for the next start of the program: gateway.listen
 * ```
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { PoolConfig } from "../PoolConfig.ts"
import type * as ConfigLayer from "./ConfigLayer.ts"
import * as ConfigShape from "./ConfigShape.ts"
import type { ReloadClass } from "./ReloadClass.ts"

/** One key that changes. */
export interface Change {
  readonly key: string
  /** As people write them. Of a secret: that it is one. `undefined`: it is not there. */
  readonly from: string | undefined
  readonly to: string | undefined
  /** Who says so. */
  readonly source: ConfigLayer.Source
  readonly class: ReloadClass
  /** Of a key that takes a restart of the program: why. */
  readonly because: string | undefined
}

/** What becomes of one pool. */
export type PoolChange =
  | { readonly _tag: "Starts"; readonly pool: string; readonly size: number }
  | { readonly _tag: "Ends"; readonly pool: string }
  /** `rolls`: workers that are replaced one by one. */
  | { readonly _tag: "Changes"; readonly pool: string; readonly rolls: number; readonly from: number; readonly to: number }

export interface ConfigPlan {
  /** Not those of pools that start or end. */
  readonly changes: ReadonlyArray<Change>
  readonly pools: ReadonlyArray<PoolChange>
  /** Those of `changes` that wait for the next start of the program. */
  readonly needsRestart: ReadonlyArray<string>
}

/** What a plan looks at. */
export interface Side {
  readonly config: unknown
  readonly provenance: ReadonlyMap<string, ConfigLayer.Source>
}

const none: ConfigLayer.Source = { _tag: "Default" }

/** What going over from one side to the other will do. */
export const of = (shape: ConfigShape.ConfigShape, from: Side, to: Side): ConfigPlan => {
  const [before, after] = [from, to].map(({ config }) => poolsOf(config)) as [Pools, Pools]
  const moves = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((pool) => !(pool in before && pool in after))
  const changes = differences(shape, from.config, to.config)
    .filter(({ path: [top, pool] }) => top !== "pools" || !moves.includes(pool!))
    .map(({ from, key, path, to: next }): Change => {
      const name = ConfigShape.render(path)
      const { reload } = key
      const show = (value: unknown) => value === undefined ? undefined : reload.secret === true ? "(secret)" : render(value)
      const source = to.provenance.get(name) ?? none
      return { key: name, from: show(from), to: show(next), source, class: reload.class ?? "roll", because: reload.because }
    })
  const pools = [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((pool): ReadonlyArray<PoolChange> => {
    const [one, other] = [before[pool], after[pool]]
    if (one === undefined) return [{ _tag: "Starts", pool, size: other!.size }]
    if (other === undefined) return [{ _tag: "Ends", pool }]
    const rolls = changes.some((change) => change.class === "roll" && isOf(pool, change)) ? Math.min(one.size, other.size) : 0
    return rolls === 0 && one.size === other.size ? [] : [{ _tag: "Changes", pool, rolls, from: one.size, to: other.size }]
  })
  return { changes, pools, needsRestart: changes.filter((change) => change.class === "restart").map(({ key }) => key) }
}

type Pools = { readonly [pool: string]: PoolConfig }

const poolsOf = (config: unknown): Pools => (config as { readonly pools?: Pools }).pools ?? {}

const isOf = (pool: string, { key }: Change): boolean => key.startsWith(`${ConfigShape.render(["pools", pool])}.`)

/** The keys in which two configurations differ. */
const differences = (shape: ConfigShape.ConfigShape, from: unknown, to: unknown) => {
  const found = new Map<string, { readonly path: ConfigShape.Path; readonly key: ConfigShape.Key; from?: unknown; to?: unknown }>()
  for (const [path, key, value] of ConfigShape.values(shape, from)) found.set(ConfigShape.render(path), { path, key, from: value })
  for (const [path, key, value] of ConfigShape.values(shape, to)) {
    const name = ConfigShape.render(path)
    found.set(name, { ...found.get(name) ?? { path, key }, to: value })
  }
  return [...found.values()].filter(({ from, to }) => !ConfigShape.isSame(from, to))
}

/** A value as people write it in a configuration. */
export const render = (value: unknown): string => Duration.isDuration(value) ? renderDuration(value) : JSON.stringify(value)

const units = [["hour", 3_600_000], ["minute", 60_000], ["second", 1000], ["milli", 1]] as const

const renderDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  const [unit, size] = units.find(([, size]) => millis !== 0 && millis % size === 0) ?? ["milli", 1]
  return counted(millis / size, unit)
}

/** Whether nothing is to be done. */
export const isEmpty = ({ changes, pools }: ConfigPlan): boolean => changes.length === 0 && pools.length === 0

/** A plan in one line. */
export const describe = (plan: ConfigPlan): string => {
  const live = plan.changes.filter((change) => change.class === "live" || isSpares(change)).length
  const parts = [
    ...live === 0 ? [] : [`${counted(live, "key")} live`],
    ...plan.pools.flatMap(describePool),
    ...plan.needsRestart.length === 0 ? [] : [
      `${counted(plan.needsRestart.length, "key")} ${
        plan.needsRestart.length === 1 ? "waits" : "wait"
      } for the next start of the program: ${plan.needsRestart.join(", ")}`
    ]
  ]
  return parts.join("; ") || "nothing changes"
}

/** What scales is told by pool, but for what is no worker. */
const isSpares = (change: Change): boolean => change.class === "scale" && !change.key.endsWith(".size")

const describePool = (change: PoolChange): ReadonlyArray<string> => {
  const { pool } = change
  switch (change._tag) {
    case "Starts":
      return [`pool ${pool} starts with ${counted(change.size, "worker")}`]
    case "Ends":
      return [`pool ${pool} ends`]
    case "Changes": {
      const { from, rolls, to } = change
      return [
        ...rolls === 0 ? [] : [`pool ${pool} rolls ${counted(rolls, "worker")}`],
        ...from === to ? [] : [`pool ${pool} ${to > from ? "grows" : "shrinks"} from ${from} to ${counted(to, "worker")}`]
      ]
    }
  }
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

/** A patch has keys that take a new start of the program, after which it is not there any more. Nothing was applied. */
export class RestartNeeded extends Schema.TaggedError<RestartNeeded>()("RestartNeeded", {
  keys: Schema.Array(Schema.Struct({ key: Schema.String, because: Schema.String }))
}) {
  override get message(): string {
    const keys = this.keys.map(({ because, key }) => `${key} (${because})`).join(", ")
    return `nothing was applied: ${keys} can change only with the next start of the program, and patches do not outlive this one. ` +
      "Leave it out of the patch, and write it in the file"
  }
}
