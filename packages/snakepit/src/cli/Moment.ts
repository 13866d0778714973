/** A moment as people write it on a command line: so long ago, or a date. Pure. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

const units: Record<string, string> = { s: "seconds", m: "minutes", h: "hours", d: "days", w: "weeks" }

/** `90d`, `2 hours`, `2026-11-26`, `2026-11-26T08:00:00Z`; Unix time in milliseconds, `undefined` for anything else. A date alone is in UTC. */
export const parse = (text: string, now: number): number | undefined => {
  const short = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text)
  const ago = Duration.fromInput((short === null ? text : `${short[1]} ${units[short[2]!]}`) as Duration.Input)
  if (Option.isSome(ago)) return now - Duration.toMillis(ago.value)
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : date
}
