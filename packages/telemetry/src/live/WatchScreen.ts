/**
 * The screen of `snakepit watch`: what is known, and a size, to lines. Pure.
 *
 * ```text
 * ┌ header: uptime, calls/s, restarts in 5 minutes, open incidents ┐
 * │ the tree                      │ the last events               │   one above the other below 100 columns
 * └ keys ──────────────────────────────────────────────────────────┘
 * ```
 */
import type { Event } from "@snakepit/core"
import * as EventText from "./EventText.ts"
import * as Ink from "./Ink.ts"
import * as LiveTree from "./LiveTree.ts"
import type { Shown } from "./LiveView.ts"

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** Which events are listed. */
export const filters = ["all", "failures", "supervision", "calls"] as const
export type Filter = typeof filters[number]

/** What the keys have changed. */
export interface Controls {
  /** Lines of the tree above the first that is shown. */
  readonly scroll: number
  readonly filter: Filter
  readonly paused: boolean
}

export const controls: Controls = { scroll: 0, filter: "all", paused: false }

/** What else is shown. */
export interface About {
  /** Names the application: its run. */
  readonly title: string
  readonly now: number
  /** Of the feed: events that did not come. */
  readonly dropped?: number | undefined
  /** Why nothing comes any more. */
  readonly ended?: string | undefined
}

const sideBySide = 100 // columns: a tree takes about 45, and an event says nothing in fewer than 50

/** The lines of the screen, as many as it has rows. */
export const render = (
  shown: Shown,
  about: About,
  { filter, paused, scroll }: Controls,
  { columns, rows }: Size
): ReadonlyArray<Ink.Line> => {
  const body = Math.max(0, rows - 2)
  const tree = treeLines(shown.tree, about.now, columns >= sideBySide ? leftOf(columns) : columns)
  const events = shown.recent.filter((event) => passes(filter, event))
  const footer: Ink.Line = [
    Ink.piece(" q", "bold"),
    Ink.piece(" quit  ", "dim"),
    Ink.piece("↑↓", "bold"),
    Ink.piece(" scroll  ", "dim"),
    Ink.piece("f", "bold"),
    Ink.piece(` events: ${filter}  `, "dim"),
    Ink.piece("p", "bold"),
    Ink.piece(paused ? " go on  " : " pause  ", "dim"),
    ...(paused ? [Ink.piece("PAUSED  ", "soon")] : []),
    ...(about.dropped ? [Ink.piece(`${about.dropped} events dropped  `, "bad")] : []),
    ...(about.ended === undefined ? [] : [Ink.piece(about.ended, "bad")])
  ]
  const lines = columns >= sideBySide
    ? beside(windowOf(tree, scroll, body), tail(events, body), leftOf(columns))
    : above(tree, scroll, events, body)
  return [header(shown.tree, about), ...lines, footer].slice(0, rows).map((line) => Ink.fit(line, columns))
}

const leftOf = (columns: number): number => Math.max(48, Math.floor(columns * 0.46))

const passes = (filter: Filter, event: Event.Event): boolean => {
  switch (filter) {
    case "all":
      return true
    case "failures":
      return EventText.isFailure(event)
    case "supervision":
      return event.name.includes("_supervisor.")
    case "calls":
      return event.name.startsWith("snakepit.call.") || event.name.startsWith("snakepit.host_call.")
  }
}

const beside = (tree: ReadonlyArray<Ink.Line>, events: ReadonlyArray<Ink.Line>, left: number): ReadonlyArray<Ink.Line> =>
  tree.map((line, row) => [...Ink.fit(line, left), Ink.piece(" │ ", "dim"), ...(events[row] ?? [])])

/** The tree has what it needs, but leaves a third to the events. */
const above = (
  tree: ReadonlyArray<Ink.Line>,
  scroll: number,
  events: ReadonlyArray<Event.Event>,
  body: number
): ReadonlyArray<Ink.Line> => {
  const below = Math.max(Math.floor(body / 3), body - 1 - tree.length)
  return [
    ...windowOf(tree, scroll, Math.max(0, body - 1 - below)),
    [Ink.piece("─ events ".padEnd(200, "─"), "dim")], // 200: cut to the width
    ...tail(events, below)
  ]
}

/** So many lines from the scrolled one on; the last says how many there are below. */
const windowOf = (lines: ReadonlyArray<Ink.Line>, scroll: number, rows: number): ReadonlyArray<Ink.Line> => {
  if (rows <= 0) return []
  const first = Math.min(scroll, Math.max(0, lines.length - rows))
  const shown = lines.slice(first, first + rows)
  const hidden = lines.length - first - rows
  const filled = hidden > 0 ? [...shown.slice(0, -1), [Ink.piece(`  … ${hidden + 1} more below`, "dim")]] : shown
  return [...filled, ...Array.from({ length: rows - filled.length }, () => [])]
}

const tail = (events: ReadonlyArray<Event.Event>, rows: number): ReadonlyArray<Ink.Line> => {
  const lines = rows <= 0 ? [] : events.slice(-rows).map(EventText.lineOf)
  return [...lines, ...Array.from({ length: Math.max(0, rows) - lines.length }, () => [])]
}

// ── header ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const header = (tree: LiveTree.LiveTree, { now, title }: About): Ink.Line => {
  const rates = [...tree.pools.values()].flatMap(({ samples }) => samples.at(-1)?.["callsPerSecond"] ?? [])
  const restarts = tree.restarts.filter((at) => at > now - LiveTree.recentMillis).length
  const open = tree.incidents.size
  return [
    Ink.piece(` ${title}`, "bold"),
    Ink.piece(`  up ${durationOf(now - (tree.since ?? now))}`),
    ...(rates.length === 0 ? [] : [Ink.piece(`  ${figure(rates.reduce((sum, rate) => sum + rate, 0))} calls/s`)]),
    Ink.piece(`  ${restarts} ${restarts === 1 ? "restart" : "restarts"} in 5 min`, restarts > 0 ? "soon" : "plain"),
    Ink.piece(`  ${open} open ${open === 1 ? "incident" : "incidents"}`, open > 0 ? "bad" : "plain"),
    ...[...tree.incidents.keys()].slice(0, 1).map((id) => Ink.piece(` (${id})`, "dim"))
  ]
}

/** `2:03:04`, `3:04`, `4 s`. */
const durationOf = (millis: number): string => {
  const seconds = Math.max(0, Math.floor(millis / 1000))
  if (seconds < 60) return `${seconds} s`
  const two = (value: number) => String(value).padStart(2, "0")
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes}:${two(seconds % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`
}

/** Three digits say enough. */
const figure = (value: number): string =>
  value >= 100 ? String(Math.round(value)) : value >= 10 ? value.toFixed(1) : value.toFixed(2).replace(/\.?0+$/, "")

const millis = (value: number): string => value < 1000 ? `${figure(value)} ms` : `${figure(value / 1000)} s`

// ── tree ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const marks: { readonly [status in LiveTree.LiveNode["status"]]: Ink.Piece } = {
  starting: Ink.piece("◐", "soon"),
  running: Ink.piece("●", "good"),
  waiting: Ink.piece("↻", "soon"),
  stopping: Ink.piece("◌", "soon"),
  down: Ink.piece("○", "dim")
}

/** The tree, one line a child. Children of a worker are only shown while they are not up, those of other supervisors unless all are as at the start. */
const treeLines = (tree: LiveTree.LiveTree, now: number, columns: number): ReadonlyArray<Ink.Line> => {
  const root = tree.root === undefined ? undefined : tree.nodes.get(tree.root)
  if (root === undefined) return [[Ink.piece(" nothing is known of the tree yet", "dim")]]
  const lines: Array<Ink.Line> = []
  const draw = (node: LiveTree.LiveNode, indent: string, branch: string): void => {
    const children = childrenOf(tree, node)
    const isWorker = node.slot !== undefined
    const folded = children.length > 0 && (isWorker ? children.every(isUp) : isLeafSupervisor(tree, children) && children.every(isAtRest))
    lines.push([Ink.piece(` ${indent}${branch}`, "dim"), ...nodeLine(tree, node, now, folded && !isWorker ? children.length : 0)])
    const pool = poolOf(tree, node)
    const below = `${indent}${branch === "" ? "" : branch === "└─ " ? "   " : "│  "}`
    if (pool !== undefined) {
      lines.push([Ink.piece(` ${below}${children.length > 0 ? "│  " : "   "}`, "dim"), ...poolLine(pool, columns - below.length - 5)])
    }
    if (folded) return
    const visible = isWorker ? children.filter((child) => !isUp(child)) : children
    for (const [index, child] of visible.entries()) draw(child, below, index === visible.length - 1 ? "└─ " : "├─ ")
  }
  draw(root, "", "")
  return lines
}

const childrenOf = (tree: LiveTree.LiveTree, { children, path }: LiveTree.LiveNode): ReadonlyArray<LiveTree.LiveNode> =>
  children.flatMap((id) => tree.nodes.get(`${path}/${id}`) ?? [])

const isUp = ({ abandoned, status }: LiveTree.LiveNode): boolean => status === "running" && abandoned === undefined

const isAtRest = (node: LiveTree.LiveNode): boolean => isUp(node) && node.generation === 0

const isLeafSupervisor = (tree: LiveTree.LiveTree, children: ReadonlyArray<LiveTree.LiveNode>): boolean =>
  children.every((child) => child.supervisor === undefined || childrenOf(tree, child).length === 0)

/** The pool whose own supervisor this is. */
const poolOf = (tree: LiveTree.LiveTree, { id, path, pool }: LiveTree.LiveNode): LiveTree.LivePool | undefined =>
  pool === id && path.endsWith(`/pools/${id}`) ? tree.pools.get(id) : undefined

const nodeLine = (tree: LiveTree.LiveTree, node: LiveTree.LiveNode, now: number, folded: number): Ink.Line => {
  const { abandoned, generation, id, status, supervisor } = node
  const worker = node.slot === undefined || node.pool === undefined ? undefined : tree.workers.get(`${node.pool}/${node.slot}`)
  const shownGeneration = worker?.generation ?? generation
  return [
    supervisor?.gaveUp !== undefined && status !== "running" ? Ink.piece("✗", "bad") : marks[status],
    Ink.piece(` ${id}`, supervisor === undefined ? "plain" : "bold"),
    ...(folded > 0 ? [Ink.piece(` +${folded}`, "dim")] : []),
    ...(shownGeneration > 0 ? [Ink.piece(` gen ${shownGeneration}`, "soon")] : []),
    ...budget(tree, node, now),
    ...(worker === undefined ? [] : workerPieces(worker)),
    ...(abandoned === undefined ? [] : [Ink.piece(` ${abandoned} left behind`, "bad")]),
    ...standing(node, now)
  ]
}

const budget = (tree: LiveTree.LiveTree, { path, supervisor }: LiveTree.LiveNode, now: number): Ink.Line => {
  if (supervisor === undefined || supervisor.limit === "unlimited") return []
  const left = LiveTree.budgetLeft(tree, path, now)!
  const of = supervisor.limit.maxRestarts
  return [Ink.piece(` ${Ink.gauge(left, of)}`, left === of ? "dim" : left === 0 ? "bad" : "soon")]
}

const workerPieces = ({ attached, marks, pid, verdict }: LiveTree.LiveWorker): Ink.Line => [
  ...(attached ? [Ink.piece(" ready", "good")] : [Ink.piece(" not ready", "soon")]),
  ...(pid === undefined ? [] : [Ink.piece(` pid ${pid}`, "dim")]),
  ...marks.map((mark) => Ink.piece(` ${mark}`, "soon")),
  ...(verdict === undefined ? [] : [Ink.piece(` ${verdict}`, verdict === "busy" ? "soon" : "bad")])
]

const standing = ({ because, dueAt, lastEnd, status }: LiveTree.LiveNode, now: number): Ink.Line => {
  switch (status) {
    case "running":
      return []
    case "waiting":
      return [
        Ink.piece(` restarting${dueAt === undefined || dueAt <= now ? "" : ` in ${((dueAt - now) / 1000).toFixed(1)} s`}`, "soon"),
        ...(because === undefined ? [] : [Ink.piece(`: ${because.split("\n", 1)[0]}`, "dim")])
      ]
    case "down":
      return [
        Ink.piece(` down: ${because ?? "unknown"}`, "dim"),
        ...(lastEnd === undefined ? [] : [Ink.piece(`, ${lastEnd.cause.split("\n", 1)[0]}`, "dim")])
      ]
    default:
      return [Ink.piece(` ${status}`, "soon")]
  }
}

/** Readiness, rate and latency of a pool, as its last samples say; what there is no room for is left out, the sparkline first. */
const poolLine = ({ marks, samples, size }: LiveTree.LivePool, columns: number): Ink.Line => {
  const last = samples.at(-1)
  const flags = marks.map((mark) => Ink.piece(`${mark} `, "bad"))
  if (last === undefined) return [...flags, Ink.piece(size === undefined ? "no sample yet" : `${size} workers, no sample yet`, "dim")]
  const { busy = 0, callsPerSecond = 0, failuresPerSecond = 0, p50Millis, p99Millis, queued = 0, ready = 0 } = last
  const up = ready + busy // a sample counts one that is busy as not ready
  const parts: Ink.Line = [
    Ink.piece(`up ${up}/${size ?? "?"}`, size !== undefined && up < size ? "soon" : "good"),
    Ink.piece(` busy ${busy}`),
    Ink.piece(` queued ${queued}`, queued > 0 ? "soon" : "plain"),
    Ink.piece(` ${figure(callsPerSecond)}/s`, "bold"),
    ...(failuresPerSecond > 0 ? [Ink.piece(` failed ${figure(failuresPerSecond)}/s`, "bad")] : []),
    ...(p50Millis === undefined || p99Millis === undefined ? [] : [Ink.piece(` p50 ${millis(p50Millis)} p99 ${millis(p99Millis)}`)])
  ]
  const room = columns - [...flags, ...parts].reduce((sum, { text }) => sum + Ink.width(text), 0) - 1
  const spark = room < 5 ? "" : Ink.sparkline(samples.map(({ callsPerSecond = 0 }) => callsPerSecond), Math.min(room, 20)) // 5: fewer bars show no course
  return [...flags, ...parts, Ink.piece(spark === "" ? "" : ` ${spark}`, "dim")]
}
