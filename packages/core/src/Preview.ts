/**
 * What a supervision tree will do before it runs: how often a crash-looping child is started, when the root gives up, who goes down with whom.
 *
 * **When to use**
 *
 * In a test or a review of a tree, to see what its limits multiply to. {@link ./Lint.ts} points at what is likely to be wrong.
 *
 * **Details**
 *
 * *Starts* and *times* are of a child that acknowledges its start and then dies at once, each time, while all others live: with the same
 * limit `m` at each of `d` levels and no delays it is started `(m + 1)^d` times before the root gives up, because a supervisor that is
 * started anew begins with an empty window. Delays are read from the policy's own schedule. `Infinity` starts: the delays let some window
 * drain, or the intensity is unlimited, so that the root never gives up; it means not within 300 restarts more than the limit.
 *
 * *Victims* are the children that lose their process, the child itself included, whatever its exit reason: the worst case.
 *
 * **Gotchas**
 *
 * Children are taken to start and stop at once. A delay schedule is stepped from time 0, so effects in it run, and one that reads the
 * calendar (`Schedule.cron`) is read for the first of January 1970; one that looks at the exit sees an assumed failure. A dynamic
 * supervisor is taken to have one child, `<key>`, that its `initial` names.
 *
 * **Example** (Limits multiply)
 *
 * ```ts
 * import { Preview, Supervisor } from "@snakepit/core"
 *
 * declare const tree: Supervisor.Any
 *
 * console.log(Preview.render(Preview.of(tree)))
 * // app  rest_for_one, 3 restarts in 5000 ms
 * // ├─ db  permanent · 4 starts, then app gives up after 350 ms · takes along app/cache
 * // └─ cache  permanent · 4 starts, then app gives up after 350 ms
 * ```
 *
 * @see {@link ./GiveUpAt.ts} for the same question about a tree that runs.
 */
import { crashLoop, type Ending, type Life, type Place } from "./internal/crashLoop.ts"
import * as Delays from "./internal/delays.ts"
import { groupOf, pathsOf, type Plan, planOf } from "./internal/plan.ts"
import type { RestartType } from "./RestartType.ts"
import type * as Supervisor from "./Supervisor.ts"

/** The whole tree, and what a crash does to it. */
export interface Preview {
  readonly path: string
  /** The strategy and the limit, for people. */
  readonly policy: string
  /** In start order. */
  readonly children: ReadonlyArray<ChildPreview>
}

/** One child. */
export interface ChildPreview {
  readonly id: string
  readonly path: string
  readonly restart: RestartType
  /** The paths that lose their process when it ends, its own included; for a supervisor, when it gives up. */
  readonly victims: ReadonlyArray<string>
  /** Its crash loop, unless it is a supervisor. */
  readonly crashLoop: CrashLoop | undefined
  /** Its own children, when it is a supervisor. */
  readonly supervisor: Preview | undefined
}

/** What comes of a child that dies at once, whenever it is up. */
export interface CrashLoop {
  /** At most, until it ends; `Infinity` when it does not. */
  readonly starts: number
  /** Milliseconds until it ends: the same twice unless the delays are random, `Infinity` for never. */
  readonly earliest: number
  readonly latest: number
  readonly ending: CrashLoopEnding
}

/**
 * `GivesUp` and `ShutsDown`: the root does. `StaysDown`: the child at `path` is not restarted. `Never`: the supervisor at `path` restarts
 * for ever. `Unknown`: the delays of the supervisor at `path` do not answer at once, or are random and begin anew.
 */
export type CrashLoopEnding = Ending

/** Foretells the tree. */
export const of = (supervisor: Supervisor.Any): Preview => previewOf(planOf(supervisor["~snakepit/core/Supervisor"]), [])

const previewOf = (plan: Plan, above: ReadonlyArray<Place>): Preview => ({
  path: plan.path,
  policy: policyOf(plan),
  children: plan.children.map((child): ChildPreview => {
    const line = [{ plan, child }, ...above]
    return {
      id: child.child.id,
      path: child.path,
      restart: child.child.restart,
      victims: victimsOf(line),
      crashLoop: child.supervisor === undefined ? loopOf(line) : undefined,
      supervisor: child.supervisor && previewOf(child.supervisor, line)
    }
  })
})

const policyOf = ({ spec: { restart: { limit }, strategy, template } }: Plan): string =>
  `${template === undefined ? strategy : "dynamic"}, ${
    limit === "unlimited" ? "unlimited restarts" : `${limit.maxRestarts} restarts in ${limit.withinMillis} ms`
  }`

const victimsOf = ([place, ...above]: ReadonlyArray<Place>): ReadonlyArray<string> => {
  const { child, plan } = place!
  const { significant } = child.child
  if (significant && plan.spec.autoShutdown !== "never") return above.length === 0 ? allOf(plan) : victimsOf(above)
  return (child.child.restart === "temporary" ? [child] : groupOf(plan, child)).flatMap(pathsOf)
}

const allOf = ({ children, path }: Plan): ReadonlyArray<string> => [path, ...children.flatMap(pathsOf)]

const loopOf = (line: ReadonlyArray<Place>): CrashLoop => {
  const low = Delays.chance("lowest")
  const soonest = crashLoop(line, low)
  if (!low.used) return answer(soonest, soonest)
  const high = Delays.chance("highest")
  const last = crashLoop(line, high)
  return answer(soonest, high.beganAnew ? { ...last, ending: { _tag: "Unknown", path: last.ending.path } } : last)
}

const answer = (soonest: Life, last: Life): CrashLoop => ({
  starts: ends(last) ? last.starts : Number.POSITIVE_INFINITY,
  earliest: last.ending._tag === "Unknown" ? 0 : ends(soonest) ? soonest.millis : Number.POSITIVE_INFINITY,
  latest: ends(last) ? last.millis : Number.POSITIVE_INFINITY,
  ending: last.ending
})

const ends = ({ ending: { _tag } }: Life): boolean => _tag !== "Never" && _tag !== "Unknown"

/** Draws the tree with one child a line: its crash loop and its victims. */
export const render = (preview: Preview): string => [`${preview.path}  ${preview.policy}`, ...lines(preview, "")].join("\n")

const lines = ({ children }: Preview, indent: string): ReadonlyArray<string> =>
  children.flatMap((child, index) => {
    const last = index === children.length - 1
    const others = child.victims.filter((path) => path !== child.path && !path.startsWith(`${child.path}/`))
    const facts = [
      `${child.restart}${child.supervisor === undefined ? "" : ` ${child.supervisor.policy}`}`,
      ...(child.crashLoop === undefined ? [] : [describeLoop(child.crashLoop)]),
      ...(others.length === 0 ? [] : [`takes along ${others.join(", ")}`])
    ]
    const line = `${indent}${last ? "└─" : "├─"} ${child.id}  ${facts.join(" · ")}`
    return [line, ...(child.supervisor === undefined ? [] : lines(child.supervisor, `${indent}${last ? "  " : "│ "}`))]
  })

const describeLoop = ({ earliest, ending, latest, starts }: CrashLoop): string => {
  const when = earliest === latest ? `${earliest} ms` : `${earliest} to ${latest} ms`
  const count = starts === 1 ? "1 start" : `${starts} starts`
  switch (ending._tag) {
    case "GivesUp":
      return `${count}, then ${ending.path} gives up after ${when}`
    case "ShutsDown":
      return `${count}, then ${ending.path} shuts down after ${when}`
    case "StaysDown":
      return `${count}, then ${ending.path} stays down after ${when}`
    case "Never":
      return `started for ever: ${ending.path} never gives up`
    case "Unknown":
      return `not known: the delays of ${ending.path} do not answer at once, or are random and begin anew`
  }
}
