/**
 * Calls that crash workers: counted by the fingerprint of tool and arguments, and refused once they have crashed too many.
 *
 * ```text
 *            it crashed its worker               poisonAfter crashes within poisonWindow
 *  unknown ─────────────────────▶ suspect ──────────────────────────────────────────────▶ quarantined
 *     ▲                              │                                                        │
 *     └──────── poisonWindow ────────┴──────────── quarantineFor · released · pushed out ─────┘
 * ```
 *
 * **Details**
 *
 * A crash counts for the one call that must have caused it (`CrashBarrier.ts`). Where several may have it counts for none of them yet: those that are tried
 * again are kept apart, and the one that crashes a worker which it has to itself is taken to have caused the crashes before, too.
 *
 * Crashes of calls that ran side by side, within {@link togetherMillis}, count once: they may have one cause, which is none of their arguments.
 *
 * A digest is made of the arguments of a call that crashed its worker, and of calls of a tool while some of its are in quarantine; of no other. So a
 * pool whose workers live pays one comparison a call.
 *
 * **Gotchas**
 *
 * Of large arguments that the caller writes to after the call, the digest is of what is there then. A call that had asked for inputs is not counted: they,
 * not its arguments, may be what its worker did not stand.
 */
import * as Duration from "effect/Duration"
import type { ExitClass } from "../ExitClass.ts"
import type { Call, DispatchState, Offer, Step } from "./Dispatch.ts"

/** 1024: more than anybody reads, and some hundred bytes each. */
const maxSuspects = 1024

/** One second: what ends several workers at once, like a driver that resets its device, does it within less. */
const togetherMillis = 1000

export interface Crash {
  readonly at: number
  readonly worker: string
  readonly exit: ExitClass["_tag"]
}

/** One tool with one set of arguments. */
export interface Suspect {
  readonly tool: string
  readonly digest: string
  /** Within the window, oldest first; no more than make a quarantine. */
  readonly crashes: Array<Crash>
  /** When its quarantine ends; 0: it is not in quarantine. */
  until: number
}

export interface Quarantine {
  /** By tool and digest; the one that crashed a worker last is last. */
  readonly suspects: Map<string, Suspect>
  /** How many of each tool are in quarantine. */
  readonly tools: Map<string, number>
}

export const make = (): Quarantine => ({ suspects: new Map(), tools: new Map() })

const keyOf = (tool: string, digest: string): string => `${digest} ${tool}`

/** A crash that a call may have caused, as others may: it counts when the call crashes a worker that it has to itself. */
export const suspect = (call: Call, crash: Crash): void => {
  call.unproven = [...call.unproven ?? [], { crash, sentAt: call.sentAt }]
}

/** Counts a crash for the call that has caused it; `alone`: its worker had no other. */
export const blame = (step: Step, call: Call, crash: Crash, alone: boolean): void => {
  const { now, out, state } = step
  const { poisonAfter, poisonWindow, quarantineFor } = state.config.barrier
  if (poisonAfter === 0 || call.asked) return
  const { suspects, tools } = state.barrier.quarantine
  const { tool } = call.offer
  const digest = call.digest ??= state.digest(call.offer.payload)
  const key = keyOf(tool, digest)
  const suspect = suspects.get(key) ?? { tool, digest, crashes: [], until: 0 }
  suspects.delete(key)
  makeRoom(step)
  suspects.set(key, suspect) // the last to be pushed out
  const since = now - Duration.toMillis(poisonWindow)
  const { crashes } = suspect
  while (crashes.length > 0 && crashes[0]!.at < since) crashes.shift()
  if (alone) { for (const { crash, sentAt } of call.unproven ?? []) if (crash.at >= since) count(crashes, crash, sentAt) }
  count(crashes, crash, call.sentAt)
  crashes.sort((a, b) => a.at - b.at)
  while (crashes.length > poisonAfter) crashes.shift()
  if (suspect.until > 0 || crashes.length < poisonAfter) return
  suspect.until = now + Duration.toMillis(quarantineFor)
  tools.set(tool, (tools.get(tool) ?? 0) + 1)
  state.barrier.due = Math.min(state.barrier.due, suspect.until)
  const { exits, workers } = facts(suspect)
  out.push({ _tag: "Quarantined", tool, digest, crashes: crashes.length, workers, exits, until: suspect.until })
}

/** Of an attempt that was made after the crashes before, or long after them: else they may have one cause. */
const count = (crashes: Array<Crash>, crash: Crash, sentAt: number): void => {
  if (crashes.every(({ at }) => sentAt > at || Math.abs(crash.at - at) > togetherMillis)) crashes.push(crash)
}

/** Where its workers were, and how they ended, each once. */
export const facts = ({ crashes }: Suspect): { readonly workers: ReadonlyArray<string>; readonly exits: ReadonlyArray<string> } => ({
  workers: [...new Set(crashes.map(({ worker }) => worker))],
  exits: [...new Set(crashes.map(({ exit }) => exit))]
})

/** What holds a call of these arguments in quarantine. `call`: the one that was made of the offer, which keeps the digest. */
export const holds = ({ now, state }: Step, { payload, tool }: Offer, call?: Call): Suspect | undefined => {
  const { suspects, tools } = state.barrier.quarantine
  if (tools.size === 0 || !tools.has(tool)) return undefined
  const digest = call?.digest ?? state.digest(payload)
  if (call !== undefined) call.digest = digest
  const suspect = suspects.get(keyOf(tool, digest))
  return suspect !== undefined && suspect.until > now ? suspect : undefined
}

const makeRoom = (step: Step): void => {
  const { suspects } = step.state.barrier.quarantine
  if (suspects.size < maxSuspects) return
  let oldest: Suspect | undefined
  for (const suspect of suspects.values()) {
    oldest ??= suspect
    if (suspect.until > 0) continue
    oldest = suspect
    break
  }
  remove(step, oldest!, "pushed out")
}

const remove = ({ out, state }: Step, { digest, tool, until }: Suspect, how: "expired" | "released" | "pushed out"): void => {
  const { suspects, tools } = state.barrier.quarantine
  suspects.delete(keyOf(tool, digest))
  if (until === 0) return
  const left = tools.get(tool)! - 1
  if (left > 0) tools.set(tool, left)
  else tools.delete(tool)
  out.push({ _tag: "Released", tool, digest, how })
}

/** Forgets what calls with these arguments did. */
export const release = (step: Step, tool: string, digest: string): void => {
  const suspect = step.state.barrier.quarantine.suspects.get(keyOf(tool, digest))
  if (suspect !== undefined) remove(step, suspect, "released")
}

/** Ends what is over; gives when the next is. */
export const expire = (step: Step): number => {
  let due = Number.POSITIVE_INFINITY
  for (const suspect of step.state.barrier.quarantine.suspects.values()) {
    if (suspect.until === 0) continue
    if (suspect.until <= step.now) remove(step, suspect, "expired")
    else due = Math.min(due, suspect.until)
  }
  return due
}

/** What is wrong, in words. */
export const violations = ({ barrier }: DispatchState): ReadonlyArray<string> => {
  const out: Array<string> = []
  const { suspects, tools } = barrier.quarantine
  const counted = countByTool(barrier.quarantine)
  for (const tool of new Set([...counted.keys(), ...tools.keys()])) {
    if (counted.get(tool) !== tools.get(tool)) {
      out.push(`${counted.get(tool)} calls of ${tool} are in quarantine, and ${tools.get(tool)} counted`)
    }
  }
  for (const { digest, until } of suspects.values()) if (until > 0 && barrier.due > until) out.push(`${digest} is in quarantine for ever`)
  if (suspects.size > maxSuspects) out.push(`${suspects.size} suspects are remembered`)
  return out
}

/** Makes sound what follows from the suspects. */
export const rebuild = ({ barrier: { quarantine } }: DispatchState): void => {
  quarantine.tools.clear()
  for (const [tool, count] of countByTool(quarantine)) quarantine.tools.set(tool, count)
}

const countByTool = ({ suspects }: Quarantine): ReadonlyMap<string, number> => {
  const tools = new Map<string, number>()
  for (const { tool, until } of suspects.values()) if (until > 0) tools.set(tool, (tools.get(tool) ?? 0) + 1)
  return tools
}
