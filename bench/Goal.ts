/** What a ratio must be, what is aimed at, and which of the two was reached. */

/** `better` says which way is good: `"more"` wants at least the bounds, `"less"` at most. */
export interface Goal {
  readonly better: "more" | "less"
  readonly must?: number
  readonly aim?: number
}

/** How far a ratio got. What was not measured has reached nothing. */
export type Reached = "aim" | "must" | "missed" | "not measured"

/** What a goal says, with what became of it. */
export interface Judged extends Goal {
  readonly reached: Reached
}

export const atLeast = (bounds: Omit<Goal, "better">): Goal => ({ better: "more", ...bounds })

export const atMost = (bounds: Omit<Goal, "better">): Goal => ({ better: "less", ...bounds })

/** What became of the goal; the ratio is `null` when it was not measured. */
export const judge = (goal: Goal, ratio: number | null): Judged => ({ ...goal, reached: reached(goal, ratio) })

const reached = ({ aim, better, must }: Goal, ratio: number | null): Reached => {
  if (ratio === null) return "not measured"
  const fits = (bound: number) => better === "more" ? ratio >= bound : ratio <= bound
  if (must !== undefined && !fits(must)) return "missed"
  return aim !== undefined && fits(aim) ? "aim" : "must"
}

const said: { readonly [_ in Reached]: string } = {
  aim: "aim reached",
  must: "must reached",
  missed: "MISSED",
  "not measured": "NOT MEASURED"
}

/** For people: `must ≥ 15, aim ≥ 30: MISSED`. */
export const render = ({ aim, better, must, reached }: Judged): string => {
  const sign = better === "more" ? "≥" : "≤"
  const bounds = Object.entries({ must, aim }).flatMap(([name, bound]) => bound === undefined ? [] : [`${name} ${sign} ${bound}`])
  return `${bounds.join(", ")}: ${must === undefined && reached === "must" ? "not reached" : said[reached]}`
}

/** The keys that have not reached `bound`, with what they are instead. One that was not measured is among them: nothing passes unseen. */
export const under = (bound: "must" | "aim", judged: { readonly [key: string]: Judged }): ReadonlyArray<string> =>
  Object.entries(judged).flatMap(([key, goal]) => {
    const isReached = goal[bound] === undefined || goal.reached === "aim" || goal.reached === bound
    return isReached ? [] : [`${key}: ${goal.reached}`]
  })
