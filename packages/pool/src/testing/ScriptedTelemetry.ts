/**
 * What a scripted process tells of itself: within the credit of its host, bounded, and counted beyond, as in Python. A share between 0 and 1 counts as
 * all, so that nothing is left to chance.
 */
import type { Settings } from "../control/TelemetryControl.ts"
import type { Dropped, Pairs, Value, WireRecord, WireTelemetry } from "../WireTelemetry.ts"

/** What is told, by itself. */
export type Said = WireRecord["said"]

/** What a process has been told to tell, and what waits there. */
export interface TelemetryState {
  /** Before the host has said anything, `undefined`. */
  readonly settings: Settings | undefined
  /** Records that it may say. */
  readonly credit: number
  /** Records that wait for credit. */
  readonly waiting: number
}

/** As many as a Python worker keeps. */
const kept = 1024

/** As many as it says at once. */
const batch = 64

interface Waiting extends Omit<WireRecord, "ageMillis"> {
  readonly at: number
}

export class ScriptedTelemetry implements TelemetryState {
  settings: Settings | undefined
  credit = 0
  private readonly queue: Array<Waiting> = []
  private readonly dropped = new Map<string, number>()
  private readonly say: (telemetry: WireTelemetry) => void

  constructor(say: (telemetry: WireTelemetry) => void) {
    this.say = say
  }

  get waiting(): number {
    return this.queue.length
  }

  control(settings: Settings | undefined, credit: number, now: number): void {
    this.settings = settings ?? this.settings
    this.credit = credit
    if (this.settings?.on === false) this.queue.length = 0
    this.flush(now)
  }

  tell(call: number, tool: string, said: Said, attributes: Pairs<Value>, now: number): void {
    if (this.settings !== undefined && !tells(this.settings, nameOf(said))) return
    if (this.queue.length >= kept) this.dropped.set("queue", (this.dropped.get("queue") ?? 0) + 1)
    else this.queue.push({ at: now, call, tool, attributes, said })
    this.flush(now)
  }

  private flush(now: number): void {
    while (this.credit > 0 && this.queue.length + this.dropped.size > 0) {
      const records = this.queue.splice(0, Math.min(batch, this.credit)).map(({ at, ...record }) => ({ ...record, ageMillis: now - at }))
      const dropped: ReadonlyArray<Dropped> = [...this.dropped].map(([reason, records]) => ({ reason, records }))
      this.dropped.clear()
      this.credit -= records.length
      this.say({ records, dropped })
    }
  }
}

const nameOf = (said: Said): string => {
  if (said._tag !== "Log") return said.name
  return said.level === 0 ? `python.output.${said.logger}` : `python.log.${said.logger}`
}

const fits = (pattern: string, name: string): boolean => {
  const [head = "", ...tails] = pattern.split("*")
  if (tails.length === 0) return name === pattern
  const last = tails.pop()!
  let at = head.length
  for (const part of tails) {
    const found = name.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return name.startsWith(head) && name.endsWith(last) && name.length - last.length >= at
}

const tells = ({ allow, deny, on, sampling }: Settings, name: string): boolean =>
  on && (allow.length === 0 || allow.some((pattern) => fits(pattern, name))) && !deny.some((pattern) => fits(pattern, name)) &&
  sampling.find(({ pattern }) => fits(pattern, name))?.rate !== 0
