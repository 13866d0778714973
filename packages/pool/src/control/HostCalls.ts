/**
 * The host tools that run for the workers of one pool: begun when a worker asks, answered once, and ended with what they were begun for.
 *
 * ```text
 *  HostCall ─▶ refused: unknown · busy · too_large · cancelled (its call is over)
 *     └──────▶ a fiber ─▶ its outcome ─────────────────────────────────────▶ HostResult
 *                └ its limit · HostCallCancel · its call or its tool is over ─▶ HostResult at once, and the fiber is interrupted
 *                └ its worker is lost ─▶ the fiber is interrupted
 * ```
 */
import { Event, NearNames } from "@snakepit/core"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { CallTrace, HostToolTrace } from "../CallTrace.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import * as PoolEvent from "../PoolEvent.ts"
import type { HostOutcome, HostReason, Wire, WireHostCall } from "../Wire.ts"
import * as CorrelationId from "./CorrelationId.ts"
import type { Call } from "./Dispatch.ts"
import type { HostToolRegistry, Served } from "./HostToolRegistry.ts"
import type { Roster } from "./Roster.ts"

/** One host tool that runs. */
export interface HostCall {
  readonly hostTool: string
  readonly asked: WireHostCall
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** The last call to Python that its own fiber has made: it waits for that, unless the call is over. */
  inner: Inner | undefined
  /** Answers at once, unless that was done, and interrupts it. */
  readonly stop: (outcome: HostOutcome | undefined) => void
}

/** A call to Python that a host tool has made. */
export interface Inner {
  readonly roster: Roster
  readonly id: number
}

/** The host tool that a fiber runs for. */
export const Current: Context.Reference<HostCall | undefined> = Context.Reference<HostCall | undefined>("@snakepit/pool/HostCall", {
  defaultValue: () => undefined
})

/** Host tools that run now, of all pools: while there are none, no call asks {@link Current}. */
export let running = 0

/** How many calls host tools have made, of all pools: the order of those that wait. */
let calls = 0

/** Notes that the host tool which `fiber` runs for makes a call; gives its place among all such calls. */
export const nest = (from: HostCall, fiber: Fiber.Fiber<unknown, unknown>, inner: Inner): number => {
  if (fiber === from.fiber) from.inner = inner
  inner.roster.nested.add(inner.id)
  return ++calls
}

const failed = (reason: HostReason, message: string): HostOutcome => ({ _tag: "Failed", reason, message })

/** What an operator wants to know: an error that a contract declares and one that is given up are no news. */
const news: ReadonlySet<HostReason> = new Set(["unknown", "invalid", "too_large", "timeout", "busy", "failed"])

/** What {@link HostCalls} takes. */
export interface Options {
  readonly pool: string
  readonly registry: HostToolRegistry
  readonly emit: (event: Event.Event) => void
  readonly wallTime: () => number
  /** Of the Roster: how the ids of its calls begin in events. */
  readonly mark: string
}

/** What {@link HostCalls.begin} takes. */
export interface Asking {
  readonly wire: Wire
  readonly slot: number
  readonly config: PoolConfig
  readonly call: Call | undefined
  /** Its spans, when it is sampled. */
  readonly trace: CallTrace | undefined
  readonly asked: WireHostCall
}

export class HostCalls {
  private readonly options: Options
  /** By slot, and by number. */
  private readonly slots = new Map<number, Map<number, HostCall>>()
  /** All that run. */
  size = 0
  /** Those that are over. */
  readonly ended = { ok: 0, failed: 0 }

  constructor(options: Options) {
    this.options = options
  }

  /** A worker asks, whose settings are `config`; `call` is what runs there, `undefined` when that is over. */
  begin({ asked, call, config, slot, trace, wire }: Asking): void {
    const { pool, registry } = this.options
    const { hostTools, maxPayload } = config
    const answer = (outcome: HostOutcome) => {
      this.ended[outcome._tag === "Done" ? "ok" : "failed"]++
      wire.hostResult(asked.number, outcome)
      if (outcome._tag === "Failed" && news.has(outcome.reason)) this.tell(slot, call, asked, outcome)
    }
    if (call === undefined) return answer(failed("cancelled", `host tool "${shown(asked.name)}": the call that asks for it is over`))
    const { session, tenant, tool } = call.offer
    const present = this.slots.get(slot)
    if ((present?.size ?? 0) >= hostTools.concurrency) {
      return answer(failed(
        "busy",
        `worker ${pool}/${slot} has ${hostTools.concurrency} host calls under way, as many as hostTools.concurrency allows, so ` +
          `"${shown(asked.name)}" was not run: call fewer at once, or raise it`
      ))
    }
    if (asked.payload.byteLength > maxPayload) {
      return answer(failed(
        "too_large",
        `the arguments of host tool "${
          shown(asked.name)
        }" take ${asked.payload.byteLength} bytes, and pool "${pool}" allows ${maxPayload}: ` +
          "send less at once, or raise maxPayload"
      ))
    }
    const served = registry.find(session, asked.name)
    if (served === undefined) return answer(failed("unknown", unknown(pool, session, asked.name, registry)))
    const calling = { pool, slot, worker: `${pool}/${slot}`, tool, call: call.id, session, tenant }
    const limit = served.timeoutMillis ?? Duration.toMillis(hostTools.timeout)
    this.run({
      slot,
      asked,
      served,
      limit,
      trace: trace?.hostTool(served.name, asked.spanId),
      answer,
      work: served.run(asked.payload, maxPayload, calling)
    })
  }

  private run({ answer, asked, limit, served, slot, trace, work }: {
    readonly slot: number
    readonly asked: WireHostCall
    readonly served: Served
    /** Milliseconds. */
    readonly limit: number
    readonly trace: HostToolTrace | undefined
    readonly answer: (outcome: HostOutcome) => void
    readonly work: Effect.Effect<HostOutcome>
  }): void {
    let answered = false
    let told: HostOutcome | undefined
    const once = (outcome: HostOutcome | undefined) => {
      if (answered) return
      answered = true
      told = outcome
      if (outcome === undefined) this.ended.failed++ // its worker is gone
      else answer(outcome)
    }
    const hostCall: HostCall = {
      hostTool: served.name,
      asked,
      fiber: undefined,
      inner: undefined,
      stop: (outcome) => {
        once(outcome)
        hostCall.fiber?.interruptUnsafe()
      }
    }
    const gone = () => hostCall.stop(failed("cancelled", `host tool "${served.name}" was taken away while it ran`))
    const ofSlot = this.slots.get(slot) ?? new Map<number, HostCall>()
    this.slots.set(slot, ofSlot.set(asked.number, hostCall))
    served.running.add(gone)
    this.size++
    running++
    const context = Context.add(served.services, Current, hostCall)
    const run = Effect.runForkWith(trace === undefined ? context : trace.within(context))
    const late = failed("timeout", `host tool "${served.name}" was not done within ${limit} ms, and was interrupted`)
    const timer = run(Effect.andThen(Effect.sleep(limit), Effect.sync(() => hostCall.stop(late))))
    const fiber = run(Effect.withFiber((fiber) => {
      hostCall.fiber = fiber
      return work
    }))
    fiber.addObserver((exit) => {
      ofSlot.delete(asked.number)
      served.running.delete(gone)
      this.size--
      running--
      timer.interruptUnsafe()
      const outcome = Exit.isSuccess(exit) ? exit.value : failed("cancelled", `host tool "${served.name}" was interrupted`)
      once(outcome)
      trace?.end(told ?? outcome)
    })
  }

  private tell(slot: number, call: Call | undefined, { name }: WireHostCall, { message, reason }: HostOutcome & { _tag: "Failed" }): void {
    const { emit, pool, wallTime } = this.options
    const correlationId = call && CorrelationId.of(this.options, call.id)
    const about = { pool, slot, tool: call?.offer.tool, correlationId, hostTool: shown(name) }
    emit(Event.make(PoolEvent.host_call_fail, wallTime(), {}, { ...about, reason, cause: message }))
  }

  /** Nobody in Python waits for it any more. */
  cancel(slot: number, number: number): void {
    const hostCall = this.slots.get(slot)?.get(number)
    hostCall?.stop(failed("cancelled", `host tool "${hostCall.hostTool}" is not waited for any more`))
  }

  /** This attempt at a call is over, or is to be. */
  over(slot: number, attempt: number): void {
    for (const { asked, hostTool, stop } of this.slots.get(slot)?.values() ?? []) {
      if (asked.id === attempt) stop(failed("cancelled", `host tool "${hostTool}": the call that asked for it is over`))
    }
  }

  /** Its worker hears nothing any more. */
  lost(slot: number): void {
    for (const { stop } of this.slots.get(slot)?.values() ?? []) stop(undefined)
    this.slots.delete(slot)
  }

  /** The call that this attempt at a call waits for and does nothing else, and the host tool that has made it. */
  blocking(slot: number, attempt: number): Inner & { readonly hostTool: string } | undefined {
    for (const { asked, hostTool, inner } of this.slots.get(slot)?.values() ?? []) {
      if (asked.id === attempt && asked.waits && inner !== undefined) return { ...inner, hostTool }
    }
    return undefined
  }

  /** Ends all, and waits until they are. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const fibers = [...this.slots.values()].flatMap((ofSlot) => [...ofSlot.values()].flatMap(({ fiber }) => fiber ?? []))
    for (const slot of [...this.slots.keys()]) this.lost(slot)
    return Fiber.awaitAll(fibers)
  })
}

/** As long as names of host tools may be. */
const longestName = 64

const shown = (name: string): string => name.length <= longestName ? name : `${name.slice(0, longestName)}…`

const unknown = (pool: string, session: string | undefined, name: string, registry: HostToolRegistry): string => {
  const names = registry.names(session)
  return `there is no host tool "${shown(name)}" for calls of ${session === undefined ? "" : `session "${session}" in `}pool "${pool}".` +
    `${NearNames.hint(name, names)} There is ${names.join(", ") || "none"}. Give it with hostTools of Snakepit.layer, or HostTools.serve`
}
