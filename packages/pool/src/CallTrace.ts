/**
 * The spans of one call that is sampled, from its offer to its end.
 *
 * ```text
 *  pool.call <tool> ─────────────────────────────────────────────────────────────▶ as its caller is told
 *   ├─ pool.queue ──▶                     ├─ pool.queue ──▶                        waits: offered, or given back by a worker
 *   │                └─ pool.attempt ──✗  │                └─ pool.attempt ────▶   on a worker; Python's span is below
 *   │                                 ╰┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╯ links: the attempt that was lost, the restart of its worker
 *   │                                                         └─ host_tool …     what Python has called meanwhile, from its own span
 * ```
 *
 * **Details**
 *
 * Whether it is sampled is decided once, where the trace begins: a caller's span has decided, and without one `tracing` of the pool's configuration
 * does, if anybody collects spans. A call that is not sampled costs that look. Where only Effect's own tracer is there, which keeps nothing, no span is
 * begun, and the caller's context goes to Python as it is.
 *
 * The spans of the host end with the call, those of its attempts and waits not after it. A host tool that is interrupted, and what goes on in Python
 * after its call was given up, may end later.
 */
import { type RemoteSpan, SupervisorError } from "@snakepit/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type * as CallError from "./CallError.ts"
import type { PoolConfig } from "./PoolConfig.ts"
import * as TraceContext from "./TraceContext.ts"
import type { TraceSampler } from "./TraceSampler.ts"
import type { HostOutcome, Wire } from "./Wire.ts"

/** Where an attempt goes. */
export interface Attempt {
  readonly nth: number
  readonly slot: number
  readonly generation: number
  readonly wire: Wire
  /** The restart that followed the loss of that worker, if it is known by now. */
  readonly restartOf: (slot: number, generation: number) => RemoteSpan.SpanId | undefined
}

/** A host tool that runs for the call. */
export interface HostToolTrace {
  /** What it runs with: its span, whose tracer gets those below it too. */
  readonly within: <R>(services: Context.Context<R>) => Context.Context<R>
  readonly end: (outcome: HostOutcome) => void
}

/** What is to be said of a sampled call as it goes on. Synchronous; after its end it does nothing. */
export interface CallTrace {
  /** What Python's span has as its parent; `undefined` of a tracer that does not speak W3C. */
  readonly context: Uint8Array | undefined
  /** `tracestate`, as it came; empty: none. */
  readonly state: string
  /** It waits for a worker from now on. */
  readonly waits: () => void
  readonly sent: (attempt: Attempt) => void
  /** Its attempt is over and it is not: because of `error`, or its worker gave it back unbegun. */
  readonly returned: (error: CallError.CallError | undefined) => void
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
  /** `spanId`: what is open in Python, which calls it. */
  readonly hostTool: (name: string, spanId: string | undefined) => HostToolTrace
}

/** Which call it is, and what its pool says of traces. */
export interface About {
  readonly pool: string
  readonly tool: string
  readonly session: string | undefined
  readonly tracing: PoolConfig["tracing"]
  readonly sampler: TraceSampler
}

/** Of a call that the fiber makes; `undefined`: it is not sampled. */
export const begin = (fiber: Fiber.Fiber<unknown, unknown>, about: About): CallTrace | undefined => {
  const { span, tracer, tracerEnabled } = fiber.cache
  if (span === undefined) {
    const isCollected = tracer !== undefined && tracer !== Tracer.nativeTracer && tracerEnabled
    return isCollected && about.sampler.chooses(about.tracing, about.tool) ? new Recorded(tracer, fiber, undefined, about) : undefined
  }
  if (!span.sampled || !tracerEnabled) return undefined
  if (tracer !== undefined && tracer !== Tracer.nativeTracer) return new Recorded(tracer, fiber, span, about)
  const context = TraceContext.toBinary(span)
  return context && new PassedOn(span, context)
}

const ignored = (): void => {}

/** Nobody collects spans here: the caller's goes to Python, where somebody may. */
class PassedOn implements CallTrace {
  readonly context: Uint8Array
  readonly state: string
  readonly waits = ignored
  readonly sent = ignored
  readonly returned = ignored
  readonly end = ignored
  private readonly span: Tracer.AnySpan

  constructor(span: Tracer.AnySpan, context: Uint8Array) {
    this.span = span
    this.context = context
    this.state = TraceContext.stateOf(span)
  }
  hostTool(_: string, spanId: string | undefined): HostToolTrace {
    return { within: Context.add(Tracer.ParentSpan, ofPython(this.span, spanId, this.state)) as HostToolTrace["within"], end: ignored }
  }
}

/** An attempt that is under way, or was lost. */
interface Tried {
  readonly span: Tracer.Span
  readonly slot: number
  readonly generation: number
}

class Recorded implements CallTrace {
  context: Uint8Array | undefined
  readonly state: string
  private readonly tracer: Tracer.Tracer
  private readonly clock: Clock.Clock
  private readonly about: About
  private readonly call: Tracer.Span
  private present: Tried | undefined
  private lost: Tried | undefined
  private waitsSince: bigint | undefined
  private isOver = false

  constructor(tracer: Tracer.Tracer, fiber: Fiber.Fiber<unknown, unknown>, parent: Tracer.AnySpan | undefined, about: About) {
    this.tracer = tracer
    this.clock = fiber.getRef(Clock.Clock)
    this.about = about
    this.state = parent === undefined ? "" : TraceContext.stateOf(parent)
    this.call = this.begin(`pool.call ${about.tool}`, "internal", parent, this.now())
    if (about.tracing.session && about.session !== undefined) this.call.attribute("snakepit.session", about.session)
  }

  waits(): void {
    if (!this.isOver) this.waitsSince = this.now()
  }

  sent({ generation, nth, restartOf, slot, wire }: Attempt): void {
    if (this.isOver) return
    const now = this.now()
    this.waited(now, Exit.void)
    const span = this.begin(`pool.attempt ${this.about.tool}`, "client", this.call, now, this.causes(restartOf))
    const where = { "snakepit.slot": slot, "snakepit.generation": generation }
    put(span, { ...where, "snakepit.attempt": nth, ...wire.about })
    put(this.call, where)
    this.present = { span, slot, generation }
    this.lost = undefined
    this.context = TraceContext.toBinary(span)
  }

  returned(error: CallError.CallError | undefined): void {
    if (this.isOver || this.present === undefined) return
    const now = this.now()
    if (error === undefined) this.present.span.attribute("snakepit.given_back", true)
    else this.lost = this.present
    close(this.present.span, now, error === undefined ? Exit.void : Exit.fail(error))
    this.present = undefined
    this.waitsSince = now
  }

  end(exit: Exit.Exit<unknown, unknown>): void {
    if (this.isOver) return
    this.isOver = true
    const now = this.now()
    const ended = Exit.isSuccess(exit) ? Exit.void : exit // what it gave is nothing to keep
    this.waited(now, ended)
    if (this.present !== undefined) close(this.present.span, now, ended)
    close(this.call, now, ended)
  }

  hostTool(name: string, spanId: string | undefined): HostToolTrace {
    const parent = ofPython(this.present?.span ?? this.call, spanId, this.state)
    const span = this.begin(`host_tool ${name}`, "server", parent, this.now())
    put(span, { "snakepit.host_tool": name })
    const context = Context.make(Tracer.Tracer, this.tracer).pipe(Context.add(Tracer.ParentSpan, span))
    return {
      within: (services) => Context.merge(services, context),
      end: (outcome) => close(span, this.now(), exitOf(outcome))
    }
  }

  /** The wait is a span once it is over. */
  private waited(now: bigint, exit: Exit.Exit<void, unknown>): void {
    if (this.waitsSince !== undefined) close(this.begin("pool.queue", "internal", this.call, this.waitsSince), now, exit)
    this.waitsSince = undefined
  }

  private causes(restartOf: Attempt["restartOf"]): Array<Tracer.SpanLink> {
    if (this.lost === undefined) return []
    const { generation, slot, span } = this.lost
    const restart = restartOf(slot, generation)
    return [
      { span, attributes: { "snakepit.link": "lost attempt" } },
      ...restart === undefined ? [] : [{ span: Tracer.externalSpan(restart), attributes: { "snakepit.link": "restart" } }]
    ]
  }

  private begin(
    name: string,
    kind: Tracer.SpanKind,
    parent: Tracer.AnySpan | undefined,
    startTime: bigint,
    links: Array<Tracer.SpanLink> = []
  ): Tracer.Span {
    const span = this.tracer.span({
      name,
      kind,
      parent: Option.fromUndefinedOr(parent),
      startTime,
      links,
      annotations: Context.empty(),
      root: parent === undefined,
      sampled: true
    })
    put(span, { "snakepit.pool": this.about.pool, "snakepit.tool": this.about.tool })
    return span
  }

  private now(): bigint {
    return this.clock.currentTimeNanosUnsafe()
  }
}

/** The span of Python that is open within one of the host; that itself when there is none. */
const ofPython = (host: Tracer.AnySpan, spanId: string | undefined, state: string): Tracer.AnySpan =>
  spanId === undefined || spanId === host.spanId
    ? host
    : Tracer.externalSpan({ traceId: host.traceId, spanId, annotations: Context.make(TraceContext.State, state) })

const put = (span: Tracer.Span, attributes: Readonly<Record<string, unknown>>): void => {
  for (const [key, value] of Object.entries(attributes)) span.attribute(key, value)
}

const close = (span: Tracer.Span, now: bigint, exit: Exit.Exit<void, unknown>): void => {
  const type = Exit.isFailure(exit) ? typeOf(exit.cause) : undefined
  if (type !== undefined) span.attribute("error.type", type)
  span.end(now, exit)
}

/** The tag of a typed error, else its class; `undefined` of an interruption. */
const typeOf = (cause: Cause.Cause<unknown>): string | undefined => {
  if (Cause.hasInterruptsOnly(cause)) return undefined
  const error = Cause.squash(cause) as { readonly _tag?: unknown; readonly name?: unknown } | undefined
  return String(error?._tag ?? error?.name ?? "Error")
}

/** What OpenTelemetry is to show of an outcome that is a value here. */
const exitOf = (outcome: HostOutcome): Exit.Exit<void, Error> => {
  if (outcome._tag === "Done") return Exit.void
  const error = new Error(outcome.message)
  error.name = outcome.tag ?? outcome.reason
  return Exit.fail(SupervisorError.withoutStack(error))
}
