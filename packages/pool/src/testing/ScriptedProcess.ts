/**
 * One process of a scripted worker: a queue, threads that run tools, and the session with its host. It behaves as the Python worker does, down
 * to what it does not do: a plain function that was cancelled goes on to its end, a generator stops at its next element, an id that was
 * started once is refused.
 *
 * ```text
 *  connect ─▶ a new session: attached ─┐
 *                 ┌────────────────────┴─▶ stream open ──disconnect──▶ broken, what is said either way is kept
 *                 └─ resumed, and what was kept is said ◀── connect ──────┘
 *             the session is forgotten · its host stops it · 30 s without a stream · the process ends ──▶ detached, its calls cancelled
 * ```
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Roster from "../control/Roster.ts"
import * as ExitClass from "../ExitClass.ts"
import * as Payload from "../Payload.ts"
import type { HostOutcome, Wire, WireFailure, WireSink } from "../Wire.ts"
import type { PayloadCodec, WorkerSeat } from "../WorkerRuntime.ts"
import { type Hooks, ScriptedSessions, type SessionStart, type Visit } from "./ScriptedSession.ts"
import { ScriptedTelemetry } from "./ScriptedTelemetry.ts"
import * as ScriptedTool from "./ScriptedTool.ts"

/** One start of a tool. */
export interface Execution {
  /** The call, the same in each of its attempts. */
  readonly call: number
  readonly tool: string
  /** A stream of inputs among them is a `Stream`. */
  readonly args: unknown
  readonly session: string | undefined
  readonly trace: Uint8Array | undefined
  readonly traceState: string | undefined
  /** `default/0`. */
  readonly worker: string
  /** Of the process. */
  readonly generation: number
  /** Milliseconds on the clock of the test. */
  readonly at: number
  /** Elements that were sent. */
  elements: number
  /** Inputs that came. */
  inputs: number
  outcome: "running" | "done" | "raised" | "cancelled" | "lost"
  /** Of one that was cancelled, how it came to its end: see `ScriptedTool`. */
  how: string | undefined
}

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null
  readonly signal: string | null
}

interface Job {
  readonly id: number
  readonly tool: string
  readonly payload: Payload.Payload
  readonly skip: number
  readonly session: string | undefined
  readonly trace: Uint8Array | undefined
  readonly traceState: string | undefined
  readonly deadlineMillis: number
  /** Of the host, among those that this process has served. */
  readonly host: number
  readonly more: Latch.Latch
  /** Opens when it is told to stop. */
  readonly stop: Latch.Latch
  readonly inputs: Queue.Queue<unknown, ScriptedTool.InputFailed | Cause.Done>
  credit: number
  cancelled: boolean
  running: Execution | undefined
  readonly visit: Visit | undefined
}

/** One stream to the process. */
interface Channel {
  readonly sink: WireSink
  readonly lost: Deferred.Deferred<string>
  open: boolean
  draining: boolean
}

export interface ScriptedProcess {
  readonly pid: number
  /** Which slot it fills; a spare fills none yet. */
  readonly fill: (seat: WorkerSeat, generation: number) => void
  readonly ended: Deferred.Deferred<ProcessEnd>
  /** Set a moment before `ended`: its channel is told first. */
  over: boolean
  /** Opens while the process answers. */
  readonly thawed: Latch.Latch
  /** Opens while no tool runs. */
  readonly idle: Latch.Latch
  /** Processor time at `now`: it computes while a tool runs, and does nothing else. */
  readonly cpuMillis: (now: number) => number
  /** Set by the test: what the next `submit` throws. */
  broken: unknown
  /** The threads that run tools. */
  readonly threads: Effect.Effect<never>
  /**
   * Gives back what waits and each call that comes, on `channel` as Drain does, or on all, as SIGTERM does; succeeds when the running calls are
   * over. A frozen process hears of it when it is thawed.
   */
  readonly drain: (channel?: Channel) => Effect.Effect<void>
  /** Of the grace of its stop. */
  drainTook: Duration.Duration
  /** `byUs`: the host has ended it. */
  readonly end: (end: ProcessEnd, byUs?: boolean) => void
  /** Opens a stream, at `now`: of the session before it, while the process knows that. */
  readonly connect: (now: number) => Channel
  readonly disconnect: (channel: Channel, detail: string, now: number) => void
  readonly telemetry: ScriptedTelemetry
  /** It knows a host, whether or not there is a stream. */
  readonly hasSession: () => boolean
  /** The session is over: its calls are cancelled, and the next stream begins another. */
  readonly leave: (reason: string) => void
}

/** What {@link make} takes. */
export interface Options {
  readonly pid: number
  readonly tools: { readonly [name: string]: ScriptedTool.ScriptedTool }
  readonly codec: PayloadCodec
  readonly journal: Array<Execution>
  readonly hooks: Hooks
  readonly sessionJournal: Array<SessionStart>
}

/** 30 s, as in Python: a host that comes back does so within moments. */
const sessionKeptMillis = 30_000

/** Inputs that a tool lets come before it has taken them. 16, so that a test sees the host wait. */
const inputWindow = 16

export const howItEnded = ({ code, signal }: ProcessEnd): string =>
  signal === null ? `its process ended with code ${code}` : `its process was ended by ${signal}`

export const make = ({ codec, hooks, journal, pid, sessionJournal, tools }: Options): ScriptedProcess => {
  const sessions = new ScriptedSessions({ codec, hooks, journal: sessionJournal })
  const jobs = new Map<number, Job>()
  const started = new Set<number>()
  const queue = Effect.runSync(Queue.unbounded<Job>())
  const thawed = Latch.makeUnsafe(true)
  const idle = Latch.makeUnsafe(true)
  const ended = Deferred.makeUnsafe<ProcessEnd>()
  const running = new Set<Execution>()
  let place: { readonly seat: WorkerSeat; readonly generation: number } | undefined
  let channel: Channel | undefined
  let computedMillis = 0
  let draining = false
  let host = 0
  let attached = false
  let brokenAt = 0
  let unsaid: Array<(sink: WireSink) => void> = []
  let unheard: Array<() => void> = []

  const telemetry = new ScriptedTelemetry((told) => sayTo(host, (sink) => sink.telemetry(told)))
  let clock: Clock.Clock | undefined
  const now = () => clock?.currentTimeMillisUnsafe() ?? 0

  let hostCalls = 0
  const asked = new Map<number, (outcome: HostOutcome) => void>()

  const payloadOf = (value: unknown) => value instanceof ScriptedTool.Raw ? value.payload : Payload.whole(codec.encode(value))
  const sayTo = (listener: number, tell: (sink: WireSink) => void) => {
    if (listener !== host || !attached) return
    if (channel?.open === true) tell(channel.sink)
    else unsaid.push(tell)
  }
  const say = (job: Job, tell: (sink: WireSink) => void) => sayTo(job.host, tell)
  const over = (job: Job) => {
    jobs.delete(job.id)
    if (job.visit !== undefined) sessions.leave(job.visit)
  }
  const drop = (job: Job, failure: WireFailure) => {
    job.cancelled = true
    say(job, (sink) => sink.failed(job.id, failure))
    over(job)
  }
  const cancel = (job: Job | undefined) => {
    if (job === undefined) return
    if (job.running === undefined) return drop(job, { _tag: "Cancelled", how: "queued" })
    job.cancelled = true
    job.stop.openUnsafe()
    job.more.openUnsafe()
  }

  const callHost = (
    job: Job,
    name: string,
    args: unknown,
    { spanId, waits = true }: ScriptedTool.HostCallOptions
  ): Effect.Effect<unknown, ScriptedTool.HostCallFailed> =>
    Effect.callback((resume) => {
      const number = ++hostCalls
      asked.set(number, (outcome) => {
        if (outcome._tag === "Done") return resume(Effect.sync(() => codec.decode(Payload.whole(outcome.payload))))
        const { data, message, reason, tag } = outcome
        resume(Effect.fail(new ScriptedTool.HostCallFailed({ reason, tag, message, data: data && codec.decode(data) })))
      })
      say(job, (sink) => sink.hostCall({ id: job.id, number, name, payload: payloadOf(args), waits, spanId }))
      return Effect.sync(() => asked.has(number) && say(job, (sink) => sink.hostCancel(number)))
    })

  const emit = Effect.fnUntraced(function*(job: Job, execution: Execution, element: unknown) {
    while (job.credit === 0 && !job.cancelled) {
      job.more.closeUnsafe()
      yield* job.more.await
    }
    yield* thawed.await
    if (job.cancelled) return
    const payload = payloadOf(element)
    if (payload.byteLength > place!.seat.config.maxPayload) return yield* new TooLarge({ bytes: payload.byteLength })
    job.credit--
    execution.elements++
    say(job, (sink) => sink.item(job.id, payload))
  })

  const iterate = Effect.fnUntraced(function*(job: Job, tool: ScriptedTool.Timed, elements: Iterator<unknown>, execution: Execution) {
    for (let position = 0;; position++) {
      const next = elements.next()
      if (next.done === true) return
      if (!job.cancelled && position > 0 && tool.every !== undefined) yield* Effect.sleep(tool.every)
      if (!job.cancelled && position >= job.skip) yield* emit(job, execution, next.value)
      if (job.cancelled) {
        elements.return?.()
        return
      }
    }
  })

  const argsOf = (job: Job, input: string | undefined, execution: () => Execution) => {
    const args = codec.decode(Payload.whole(job.payload))
    if (input === undefined) return args
    let taken = 0
    const want = (elements: number) => say(job, (sink) => sink.want(job.id, elements))
    const inputs = Stream.unwrap(Effect.sync(() => {
      want(inputWindow)
      return Stream.fromQueue(job.inputs).pipe(
        Stream.rechunk(1),
        Stream.tap(() =>
          Effect.sync(() => {
            execution().inputs++
            if (++taken % (inputWindow / 2) === 0) want(inputWindow / 2)
          })
        )
      )
    }))
    return { ...(args as object), [input]: inputs }
  }

  /** Runs the tool; gives its result, or how it was cancelled. */
  const runTool = Effect.fnUntraced(function*(job: Job, tool: ScriptedTool.Timed, execution: Execution) {
    const { cooperative = false, takes } = tool
    const { visit } = job
    if (visit !== undefined) yield* sessions.enter(visit, execution.worker, execution.generation)
    if (takes !== undefined) yield* cooperative ? Effect.raceFirst(Effect.sleep(takes), job.stop.await) : Effect.sleep(takes)
    if (cooperative && job.cancelled) return { how: "cooperative" }
    const { deadlineMillis, session, trace } = job
    const result = tool.run(execution.args, {
      worker: execution.worker,
      session,
      state: visit?.hook.state,
      trace,
      deadlineMillis,
      call: (name, args = {}, options = {}) => callHost(job, name, args, options),
      tell: (said, attributes = {}) => telemetry.tell(job.id, job.tool, said, Object.entries(attributes), now())
    })
    const untilStopped = <E>(effect: Effect.Effect<unknown, E>) => Effect.raceFirst(effect, Effect.as(job.stop.await, undefined))
    if (isIterator(result)) {
      yield* iterate(job, tool, result, execution)
      return job.cancelled ? { how: "generator" } : { payload: new Uint8Array() }
    }
    if (Stream.isStream(result)) {
      const elements = (result as Stream.Stream<unknown, unknown>).pipe(Stream.drop(job.skip), Stream.rechunk(1))
      yield* untilStopped(Stream.runForEach(elements, (element) => emit(job, execution, element)))
      return job.cancelled ? { how: "generator" } : { payload: new Uint8Array() }
    }
    const value = Effect.isEffect(result) ? yield* untilStopped(result as Effect.Effect<unknown, unknown>) : result
    if (job.cancelled) return { how: Effect.isEffect(result) ? "async" : "finished" }
    const payload = payloadOf(value)
    return payload.byteLength > place!.seat.config.maxPayload ? yield* new TooLarge({ bytes: payload.byteLength }) : { payload }
  })

  const perform = Effect.fnUntraced(function*(job: Job) {
    yield* thawed.await
    if (job.cancelled) return
    const tool = ScriptedTool.timed(tools[job.tool]!)
    const { generation, seat } = place! // a call has come, so it fills one
    started.add(job.id)
    const execution: Execution = {
      call: Roster.callOf(job.id),
      tool: job.tool,
      args: argsOf(job, tool.input, () => execution),
      session: job.session,
      trace: job.trace,
      traceState: job.traceState,
      worker: seat.name,
      generation,
      at: yield* Clock.currentTimeMillis,
      elements: 0,
      inputs: 0,
      outcome: "running",
      how: undefined
    }
    job.running = execution
    running.add(execution)
    idle.closeUnsafe()
    journal.push(execution)
    say(job, (sink) => sink.started(job.id))

    const exit = yield* Effect.exit(runTool(job, tool, execution))
    yield* thawed.await
    const ranMillis = (yield* Clock.currentTimeMillis) - execution.at
    const micros = 1000 * ranMillis + 1 // rounded up, as Python does
    computedMillis += ranMillis
    running.delete(execution)
    const said = spoken(exit)
    if ("payload" in said) execution.outcome = "done"
    else if (said.failure._tag !== "Cancelled") execution.outcome = "raised"
    else Object.assign(execution, { outcome: "cancelled", how: said.failure.how })
    say(job, (sink) => "payload" in said ? sink.done(job.id, said.payload, micros) : sink.failed(job.id, said.failure))
    over(job)
    if (running.size === 0) idle.openUnsafe() // when that is said: a drain waits for both
  })

  const self: ScriptedProcess = {
    pid,
    fill: (seat, generation) => {
      place = { seat, generation }
    },
    ended,
    thawed,
    idle,
    over: false,
    broken: undefined,
    cpuMillis: (now) => [...running].reduce((millis, { at }) => millis + now - at, computedMillis),
    telemetry,
    threads: Effect.withFiber((fiber) => {
      clock = fiber.getRef(Clock.Clock)
      const { concurrency } = place!.seat.config
      const thread = Effect.forever(Effect.flatMap(Queue.take(queue), perform))
      return Effect.andThen(Effect.replicateEffect(thread, concurrency, { concurrency, discard: true }), Effect.never)
    }),
    drainTook: Duration.zero,
    drain: (on) =>
      Effect.andThen(
        thawed.await,
        Effect.suspend(() => {
          if (on === undefined) draining = true
          else on.draining = true
          for (const job of [...jobs.values()]) if (job.running === undefined) drop(job, { _tag: "Declined" })
          return Effect.map(idle.await, () => sessions.endAll("drained"))
        })
      ),
    end: (end, byUs = false) => {
      if (self.over) return
      self.over = true
      for (const execution of running) execution.outcome = "lost"
      const connected = channel
      close(connected, howItEnded(end))
      leave(howItEnded(end), byUs && end.signal !== null ? { _tag: "KilledByUs", signal: end.signal } : ExitClass.ofEnd(end))
      sessions.lose() // also those that it was about to end for a host that it forgot
      Deferred.doneUnsafe(ended, Exit.succeed(end))
    },
    connect: (now) => {
      const { sink } = place!.seat
      const opened: Channel = { sink, lost: Deferred.makeUnsafe<string>(), open: true, draining: false }
      if (now - brokenAt > sessionKeptMillis) leave("the worker does not know the session any more")
      channel = opened
      if (attached) {
        sink.resumed()
        const [heard, said] = [unheard, unsaid]
        unheard = []
        unsaid = []
        for (const hear of heard) hear()
        for (const tell of said) tell(sink)
        return opened
      }
      attached = true
      brokenAt = now
      sink.attached(wire(++host))
      return opened
    },
    disconnect: (lost, detail, now) => {
      if (lost.open) brokenAt = now
      close(lost, detail)
    },
    hasSession: () => attached,
    leave: (reason) => leave(reason)
  }

  /** The stream is no more. */
  const close = (lost: Channel | undefined, detail: string) => {
    if (lost?.open !== true) return
    lost.open = false
    if (channel === lost) channel = undefined
    lost.sink.broken()
    Deferred.doneUnsafe(lost.lost, Exit.succeed(detail))
  }

  /** The session is no more. */
  const leave = (reason: string, exit?: ExitClass.ExitClass) => {
    if (!attached) return
    attached = false
    unsaid = []
    unheard = []
    if (!self.over) {
      for (const job of [...jobs.values()]) cancel(job)
      sessions.endAll("abandoned")
    }
    place!.seat.sink.detached(reason, self.over, exit)
  }

  const wire = (session: number): Wire => {
    const hear = (what: () => void) => {
      if (session !== host || !attached) return
      if (channel?.open === true) what()
      else unheard.push(what)
    }
    return {
      pid,
      tools: new Map(Object.entries(tools).map(([name, tool]) => [name, ScriptedTool.announced(name, tool)])),
      concurrency: place!.seat.config.concurrency,
      submit: (call) => {
        if (self.broken !== undefined) {
          const defect = self.broken
          self.broken = undefined
          throw defect
        }
        hear(() => {
          const { id } = call
          if (draining || channel?.draining === true) return channel?.sink.failed(id, { _tag: "Declined" })
          if (started.has(id) || jobs.has(id)) {
            const exception = ScriptedTool.exception("snakepit.AlreadyStarted", `call ${id} was given to this worker before`)
            return channel?.sink.failed(id, { _tag: "Exception", exception })
          }
          const job: Job = {
            ...call,
            host: session,
            more: Latch.makeUnsafe(call.credit > 0),
            stop: Latch.makeUnsafe(false),
            inputs: Effect.runSync(Queue.unbounded<unknown, ScriptedTool.InputFailed | Cause.Done>()),
            cancelled: false,
            running: undefined,
            visit: call.session === undefined ? undefined : sessions.join(call.session)
          }
          jobs.set(id, job)
          Queue.offerUnsafe(queue, job)
        })
      },
      cancel: (id) => hear(() => cancel(jobs.get(id))),
      credit: (id, elements) =>
        hear(() => {
          const job = jobs.get(id)
          if (job === undefined) return
          job.credit += elements
          job.more.openUnsafe()
        }),
      input: (id, payload) =>
        hear(() => {
          const job = jobs.get(id)
          if (job !== undefined) Queue.offerUnsafe(job.inputs, codec.decode(Payload.whole(payload)))
        }),
      inputEnd: (id, failure) =>
        hear(() => {
          const job = jobs.get(id)
          if (job === undefined) return
          if (failure === undefined) Queue.endUnsafe(job.inputs)
          else Queue.failCauseUnsafe(job.inputs, Cause.fail(new ScriptedTool.InputFailed({ failure })))
        }),
      hostResult: (number, outcome) =>
        hear(() => {
          const told = asked.get(number)
          asked.delete(number)
          told?.(outcome)
        }),
      sessionStart: (session, data) => hear(() => sessions.announce(session, data)),
      sessionEnd: (number, id) =>
        hear(() => sessions.end(id, (failure) => sayTo(session, (sink) => sink.sessionEnded(number, failure, false)))),
      telemetry: (settings, credit) => hear(() => telemetry.control(settings, credit, now())),
      probe: thawed.await
    }
  }

  return self
}

/** A result or an element that the wire does not carry. */
class TooLarge extends Data.TaggedError("TooLarge")<{ readonly bytes: number }> {}

/** What the worker says of how a tool has come to its end. */
const spoken = (
  exit: Exit.Exit<{ readonly payload: Uint8Array } | { readonly how: string }, unknown>
): { readonly payload: Uint8Array } | { readonly failure: WireFailure } => {
  if (Exit.isSuccess(exit)) return "payload" in exit.value ? exit.value : { failure: { _tag: "Cancelled", how: exit.value.how } }
  if (Cause.hasInterruptsOnly(exit.cause)) return { failure: { _tag: "Cancelled", how: "async" } } // by the tool's own code
  const thrown = Cause.squash(exit.cause)
  if (thrown instanceof TooLarge) return { failure: { _tag: "TooLarge", bytes: thrown.bytes } }
  return { failure: { _tag: "Exception", exception: ScriptedTool.raisedBy(thrown) } }
}

const isIterator = (value: unknown): value is Iterator<unknown> =>
  typeof value === "object" && value !== null && Symbol.iterator in value && "next" in value
