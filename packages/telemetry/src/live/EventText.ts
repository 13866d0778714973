/** One event as one line for people. */
import type { Event } from "@snakepit/core"
import * as Ink from "./Ink.ts"

/** Named before the rest, or in another form. */
const said = new Set(["path", "pool", "slot", "child", "generation", "reason", "cause", "snakepit.layer", "incident", "output", "heard"])

const bad = /\.(give_up|abandon|bite|leak|quarantine)$/
const soon = /\.(restart|fail|start_fail|renew_fail|exit|miss|taint|eject|cordon|retry|open|reject|complain|dropped|cancel)$/
const good = /\.(recover|attach|ready|finish|promote|close|untaint|readmit)$/

/** How grave it is, by its name. A planned exit is none. */
export const styleOf = ({ attributes, name }: Event.Event): Ink.Style => {
  if (name.endsWith(".exit") && attributes["planned"] === true) return "dim"
  return bad.test(name) ? "bad" : soon.test(name) ? "soon" : good.test(name) ? "good" : "plain"
}

/** Whether something went wrong: what the filter `failures` of the screen lets pass. */
export const isFailure = (event: Event.Event): boolean => {
  const style = styleOf(event)
  return style === "bad" || style === "soon"
}

/** `12:03:04.123`, in UTC. */
export const timeOf = (at: number): string => new Date(at).toISOString().slice(11, 23)

/** Where it happened, as short as it can be said: `default/3`, `snakepit/foundation config_server`. */
export const placeOf = ({ attributes }: Event.Event): string => {
  const { child, generation, path, pool, slot } = attributes
  const place = pool === undefined ? path : slot === undefined ? pool : `${pool}/${slot}`
  return [
    place,
    child === undefined || child === String(slot) ? undefined : child,
    generation === undefined || generation === 0 ? undefined : `gen ${generation}`
  ].filter((part) => part !== undefined).join(" ")
}

const firstLine = (text: string): string => text.split("\n", 1)[0]!

/** Three decimals of a number, and the first line of a text. */
const shown = (value: Event.Value): string => typeof value === "number" ? String(Math.round(value * 1000) / 1000) : firstLine(String(value))

/** What it measured and says, the reason first. */
export const detailOf = ({ attributes, measurements }: Event.Event): string => {
  const { cause, reason } = attributes
  const why = cause === undefined ? reason : firstLine(String(cause))
  const rest = [...Object.entries(attributes), ...Object.entries(measurements)]
    .filter(([name, value]) => !said.has(name) && value !== undefined && value !== "")
    .map(([name, value]) => name.endsWith("Millis") ? `${name.slice(0, -6)} ${shown(value)} ms` : `${name} ${shown(value)}`)
  return [...(why === undefined ? [] : [why]), ...rest].join(", ")
}

/** The event as a line. */
export const lineOf = (event: Event.Event): Ink.Line =>
  [
    Ink.piece(timeOf(event.at), "dim"),
    Ink.piece(event.name.replace(/^snakepit\./, "").replace("_supervisor.", "."), styleOf(event)),
    Ink.piece(placeOf(event), "bold"),
    Ink.piece(detailOf(event))
  ].filter(({ text }) => text !== "").flatMap((part, index) => index === 0 ? [part] : [Ink.piece(" "), part])
