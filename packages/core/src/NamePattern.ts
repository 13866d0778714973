/**
 * Patterns of names, in which `*` stands for any characters: of events, tools and what Python tells.
 *
 * **Example** (The restarts of every kind of supervisor)
 *
 * ```ts
 * import { NamePattern } from "@snakepit/core"
 *
 * const isRestart = NamePattern.matcher("snakepit.*_supervisor.restart")
 * isRestart("snakepit.worker_supervisor.restart") // => true
 * isRestart("snakepit.worker_supervisor.restarted") // => false
 * ```
 */

/** Says whether a name, whole, fits the pattern. */
export const matcher = (pattern: string): (name: string) => boolean => {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
  const expression = new RegExp(`^${parts.join(".*")}$`, "s")
  return (name) => expression.test(name)
}
