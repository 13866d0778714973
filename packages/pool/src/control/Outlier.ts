/**
 * Finds the worker that fails where others succeed. Failing is quick, so it would be free more often than the others and get most of the calls.
 *
 * **Details**
 *
 * A worker that has failed `outlier.after` calls of a tool in a row is compared with the others. It stands out when both hold:
 *
 * - at their share of failures such a row has a chance of less than one in a million: where half of all calls fail, for bad arguments, it takes a row
 *   of 20, and where all fail no row is long enough;
 * - others have had calls of that tool during the row: finished one, or are at one now. A caller whose arguments are bad and who calls one at a
 *   time reaches one worker only, and tells nothing about it.
 *
 * Exceptions alone count, not what the caller did wrong (arguments that do not fit) or the pool (timeouts). Calls of sessions do not count either: they
 * are bound to a worker by what the caller did before. How long calls take is not judged: a slow worker gets fewer calls by itself.
 */
import * as Avoidance from "./Avoidance.ts"
import type { Call, DispatchState, Slot, Step } from "./Dispatch.ts"

/** 16: others that begin to fail alike are noticed before a row of theirs is long enough. */
const memory = 16

/** One in a million: at a thousand calls in a second, once in a quarter of an hour by chance, and then for `ejectFor`. */
const unlikely = 1e-6

/** 1024: more tools than an adapter has. The names of functions come from callers, and are not remembered beyond that. */
const maxTools = 1024

/** One tool on one worker. */
interface Standing {
  /** The share of failures, moving. */
  share: number
  /** At most {@link memory}. */
  calls: number
  /** Failures since the last success. */
  row: number
  /** Calls of the tool that were over, on any worker, when the row began. */
  before: number
}

interface Tool {
  /** Calls that were over, on any worker. */
  over: number
  readonly standings: Array<Standing | undefined>
}

export type Outliers = Map<string, Tool>

export const make = (): Outliers => new Map()

/** A call is over: its code returned, or raised. */
export const tell = (step: Step, { offer: { session, tool: name }, slot: index }: Call, failed: boolean): void => {
  const { state } = step
  const { after } = state.config.outlier
  if (after === 0 || session !== undefined) return
  const tool = toolOf(state.barrier.outliers, name)
  if (tool === undefined) return
  const standing = tool.standings[index] ??= { share: 0, calls: 0, row: 0, before: 0 }
  if (standing.calls < memory) standing.calls++
  standing.share += ((failed ? 1 : 0) - standing.share) / standing.calls
  tool.over++
  if (!failed) {
    standing.row = 0
    return
  }
  if (++standing.row === 1) standing.before = tool.over
  if (standing.row < after) return
  const slot = state.slots[index]!
  if (Avoidance.mayEject(state, slot) && standsOut(state, name, tool, slot)) Avoidance.eject(step, slot, name, standing.row)
}

const toolOf = (tools: Outliers, name: string): Tool | undefined => {
  const present = tools.get(name)
  if (present !== undefined || tools.size >= maxTools) return present
  const made: Tool = { over: 0, standings: [] }
  tools.set(name, made)
  return made
}

const standsOut = (state: DispatchState, name: string, { over, standings }: Tool, slot: Slot): boolean => {
  const { before, row } = standings[slot.slot]!
  let calls = 2 // one of each kind: what is not known fails half of the time
  let failures = 1
  let compared = over - before > row - 1
  for (const other of state.slots) {
    if (other === slot) continue
    const standing = standings[other.slot]
    if (standing !== undefined) {
      calls += standing.calls
      failures += standing.calls * standing.share
    }
    if (other.calls.first?.offer.tool === name) compared = true
  }
  return compared && (failures / calls) ** row < unlikely
}

/** Another worker fills the slot. */
export const forget = ({ barrier }: DispatchState, slot: number): void => {
  for (const { standings } of barrier.outliers.values()) standings[slot] = undefined
}
