/**
 * One process of a scripted worker: a queue, one thread that runs tools, and the channel that it is spoken to through. It behaves as the
 * Python worker does, down to what it does not do: a plain function that was cancelled goes on to its end, a generator stops at its
 * next element, an id that was started once is refused.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Roster from "../control/Roster.ts"
import type { Wire, WireFailure, WireSink } from "../Wire.ts"
import type { PayloadCodec, WorkerSeat } from "../WorkerRuntime.ts"
import * as ScriptedTool from "./ScriptedTool.ts"

/** One start of a tool. */
export interface Execution {
  /** The call, the same in each of its attempts. */
  readonly call: number
  readonly tool: string
  readonly args: unknown
  /** `default/0`. */
  readonly worker: string
  /** Of the process. */
  readonly generation: number
  /** Milliseconds on the clock of the test. */
  readonly at: number
  /** Elements that were sent. */
  elements: number
  outcome: "running" | "done" | "raised" | "cancelled" | "lost"
}

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null
  readonly signal: string | null
}

interface Job {
  readonly id: number
  readonly tool: string
  readonly payload: Uint8Array
  readonly skip: number
  readonly channel: Channel
  readonly more: Latch.Latch
  credit: number
  cancelled: boolean
  running: boolean
}

/** One connection to the process. */
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
  /** The thread that runs tools. */
  readonly thread: Effect.Effect<never>
  /**
   * Gives back what waits and each call that comes, on `channel` as Drain does, or on all, as SIGTERM does; succeeds when the running call is
   * over. A frozen process hears of it when it is thawed.
   */
  readonly drain: (channel?: Channel) => Effect.Effect<void>
  /** Of the grace of its stop. */
  drainTook: Duration.Duration
  readonly end: (end: ProcessEnd) => void
  readonly connect: () => Channel
  readonly disconnect: (channel: Channel, detail: string) => void
}

/** What {@link make} takes. */
export interface Options {
  readonly pid: number
  readonly tools: { readonly [name: string]: ScriptedTool.ScriptedTool }
  readonly codec: PayloadCodec
  readonly journal: Array<Execution>
}

export const howItEnded = ({ code, signal }: ProcessEnd): string =>
  signal === null ? `its process ended with code ${code}` : `its process was ended by ${signal}`

export const make = ({ codec, journal, pid, tools }: Options): ScriptedProcess => {
  const jobs = new Map<number, Job>()
  const started = new Set<number>()
  const queue = Effect.runSync(Queue.unbounded<Job>())
  const thawed = Latch.makeUnsafe(true)
  const idle = Latch.makeUnsafe(true)
  const ended = Deferred.makeUnsafe<ProcessEnd>()
  let place: { readonly seat: WorkerSeat; readonly generation: number } | undefined
  let channel: Channel | undefined
  let computedMillis = 0
  let current: Execution | undefined
  let draining = false

  const payloadOf = (value: unknown) => value instanceof ScriptedTool.Raw ? value.payload : codec.encode(value)
  const say = (job: Job, tell: (sink: WireSink) => void) => {
    if (job.channel.open) tell(job.channel.sink)
  }
  const drop = (job: Job, failure: WireFailure) => {
    job.cancelled = true
    jobs.delete(job.id)
    say(job, (sink) => sink.failed(job.id, failure))
  }
  const cancel = (job: Job | undefined) => {
    if (job === undefined) return
    if (!job.running) return drop(job, { _tag: "Cancelled", how: "queued" })
    job.cancelled = true
    job.more.openUnsafe()
  }

  const stream = Effect.fnUntraced(function*(job: Job, tool: ScriptedTool.Timed, elements: Iterator<unknown>, execution: Execution) {
    for (let position = 0;; position++) {
      const next = elements.next()
      if (job.cancelled) {
        elements.return?.()
        return
      }
      if (next.done === true) return
      if (position > 0 && tool.every !== undefined) yield* Effect.sleep(tool.every)
      if (position < job.skip) continue
      while (job.credit === 0 && !job.cancelled) {
        job.more.closeUnsafe()
        yield* job.more.await
      }
      yield* thawed.await
      if (job.cancelled) {
        elements.return?.()
        return
      }
      job.credit--
      execution.elements++
      say(job, (sink) => sink.item(job.id, payloadOf(next.value)))
    }
  })

  const perform = Effect.fnUntraced(function*(job: Job) {
    yield* thawed.await
    if (job.cancelled) return
    const written = tools[job.tool]!
    const tool: ScriptedTool.Timed = typeof written === "function" ? { run: written } : written
    const args = codec.decode(job.payload)
    const { generation, seat } = place! // a call has come, so it fills one
    job.running = true
    started.add(job.id)
    idle.closeUnsafe()
    const execution: Execution = {
      call: Roster.callOf(job.id),
      tool: job.tool,
      args,
      worker: seat.name,
      generation,
      at: yield* Clock.currentTimeMillis,
      elements: 0,
      outcome: "running"
    }
    current = execution
    journal.push(execution)
    say(job, (sink) => sink.started(job.id))
    if (tool.takes !== undefined) yield* Effect.sleep(tool.takes)

    let outcome: { readonly payload: Uint8Array } | { readonly failure: WireFailure }
    try {
      const result = tool.run(args)
      if (isIterator(result)) {
        yield* stream(job, tool, result, execution)
        outcome = { payload: new Uint8Array() }
      } else outcome = { payload: payloadOf(result) }
    } catch (thrown) {
      outcome = { failure: { _tag: "Exception", exception: ScriptedTool.raisedBy(thrown) } }
    }
    if ("payload" in outcome && outcome.payload.byteLength > seat.config.maxPayload) {
      outcome = { failure: { _tag: "TooLarge", bytes: outcome.payload.byteLength } }
    }
    yield* thawed.await
    computedMillis += (yield* Clock.currentTimeMillis) - execution.at
    jobs.delete(job.id)
    current = undefined
    execution.outcome = job.cancelled ? "cancelled" : "payload" in outcome ? "done" : "raised"
    const said = job.cancelled ? { failure: { _tag: "Cancelled", how: "finished" } as const } : outcome
    say(job, (sink) => "payload" in said ? sink.done(job.id, said.payload) : sink.failed(job.id, said.failure))
    idle.openUnsafe() // when that is said: a drain waits for both
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
    cpuMillis: (now) => computedMillis + (current === undefined ? 0 : now - current.at),
    thread: Effect.forever(Effect.flatMap(Queue.take(queue), perform)),
    drainTook: Duration.zero,
    drain: (on) =>
      Effect.andThen(
        thawed.await,
        Effect.suspend(() => {
          if (on === undefined) draining = true
          else on.draining = true
          for (const job of [...jobs.values()]) {
            if (!job.running && (on === undefined || job.channel === on)) drop(job, { _tag: "Declined" })
          }
          return idle.await
        })
      ),
    end: (end) => {
      if (self.over) return
      self.over = true
      if (current !== undefined) current.outcome = "lost"
      const connected = channel
      channel = undefined
      if (connected?.open === true) connected.sink.broken()
      detach(connected, howItEnded(end))
      Deferred.doneUnsafe(ended, Effect.succeed(end))
    },
    connect: () => {
      const opened: Channel = { sink: place!.seat.sink, lost: Deferred.makeUnsafe<string>(), open: true, draining: false }
      channel = opened
      opened.sink.attached(wire(opened))
      return opened
    },
    disconnect: (lost, detail) => {
      if (channel === lost) channel = undefined
      detach(lost, detail)
    }
  }

  const detach = (lost: Channel | undefined, reason: string) => {
    if (lost?.open !== true) return
    lost.open = false
    if (!self.over) { for (const job of [...jobs.values()]) if (job.channel === lost) cancel(job) }
    lost.sink.detached(reason, self.over)
    Deferred.doneUnsafe(lost.lost, Effect.succeed(reason))
  }

  const wire = (opened: Channel): Wire => ({
    pid,
    tools: new Map(Object.entries(tools).map(([name, tool]) => [name, ScriptedTool.announced(name, tool)])),
    concurrency: 1,
    submit: ({ credit, id, payload, skip, tool }) => {
      if (self.broken !== undefined) {
        const defect = self.broken
        self.broken = undefined
        throw defect
      }
      if (!opened.open) return
      if (draining || opened.draining) return opened.sink.failed(id, { _tag: "Declined" })
      const job: Job = {
        id,
        tool,
        payload,
        skip,
        credit,
        channel: opened,
        more: Latch.makeUnsafe(credit > 0),
        cancelled: false,
        running: false
      }
      if (started.has(id) || jobs.has(id)) {
        const exception = ScriptedTool.exception("snakepit.AlreadyStarted", `call ${id} was given to this worker before`)
        return opened.sink.failed(id, { _tag: "Exception", exception })
      }
      jobs.set(id, job)
      Queue.offerUnsafe(queue, job)
    },
    cancel: (id) => cancel(jobs.get(id)),
    credit: (id, elements) => {
      const job = jobs.get(id)
      if (job === undefined) return
      job.credit += elements
      job.more.openUnsafe()
    },
    input: () => {},
    inputEnd: () => {},
    probe: thawed.await
  })

  return self
}

const isIterator = (value: unknown): value is Iterator<unknown> =>
  typeof value === "object" && value !== null && Symbol.iterator in value && "next" in value
