/**
 * What of a pool must survive a crash of what works on it: the queue, the calls in flight, the slots and their wires, the ledger.
 *
 * **Details**
 *
 * The Roster is the first child of its pool, above everything that uses it. It decides nothing: the Dispatcher applies events to it, and
 * while there is none (its supervisor is restarting it) events wait in the inbox. When the Roster itself goes, every open call is
 * ended with a typed error first.
 */
import { Child, Event, IncidentSpan, Instrument, MonotonicClock, RegisteredName, type RemoteSpan } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as CallError from "../CallError.ts"
import type { Attempt, CallTrace } from "../CallTrace.ts"
import type { Line } from "../execution/TelemetryTap.ts"
import type { Watch } from "../execution/Watchdog.ts"
import * as HostTimer from "../HostTimer.ts"
import type { Payload } from "../Payload.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import * as PoolEvent from "../PoolEvent.ts"
import * as PoolMetrics from "../PoolMetrics.ts"
import * as PoolVersion from "../PoolVersion.ts"
import type * as RetryDelay from "../RetryDelay.ts"
import type { Wire, WireHostCall } from "../Wire.ts"
import type { Imposed, WorkerRuntime, WorkerSeat } from "../WorkerRuntime.ts"
import { ById } from "./ById.ts"
import * as CallCycles from "./CallCycles.ts"
import * as CorrelationId from "./CorrelationId.ts"
import * as Dispatch from "./Dispatch.ts"
import * as DispatchError from "./DispatchError.ts"
import * as DispatchMachine from "./DispatchMachine.ts"
import * as DispatchRepair from "./DispatchRepair.ts"
import { Fifo } from "./Fifo.ts"
import { HostCalls } from "./HostCalls.ts"
import { HostToolRegistry } from "./HostToolRegistry.ts"
import * as LifecycleState from "./LifecycleState.ts"
import * as PoolSeries from "./PoolSeries.ts"
import * as Quarantine from "./Quarantine.ts"
import type * as Sessions from "./Sessions.ts"
import * as Settlement from "./Settlement.ts"

/** The caller's side of one call. All of it is synchronous and must not throw. */
export interface Ticket {
  readonly tool: string
  /** When it is tried again after a crash; `undefined`: as the pool says. */
  readonly retry: RetryDelay.RetryDelay | undefined
  readonly payload: Payload
  /** Its spans; `undefined`: it is not sampled. */
  readonly trace: CallTrace | undefined
  readonly item: (payload: Uint8Array) => void
  /** The worker has room for so many more inputs: see {@link input}. */
  readonly want: (elements: number) => void
  readonly complete: (payload: Uint8Array) => void
  readonly fail: (error: CallError.CallError) => void
}

/** Calls that are refused because calls like them have crashed workers. */
export interface Quarantined {
  readonly tool: string
  /** Of their arguments: the first 16 bytes of their SHA-256, in hex. */
  readonly digest: string
  /** Within `barrier.poisonWindow`. */
  readonly crashes: number
  readonly workers: ReadonlyArray<string>
  /** The classes of the exits. */
  readonly exits: ReadonlyArray<string>
  /** When it ends, in Unix milliseconds. */
  readonly until: number
}

/** The shared state of one pool. Single-threaded like the rest of the host, and changed by the Dispatcher alone. */
export interface Roster {
  readonly pool: string
  /** How the ids of its calls begin in events: no other Roster has the same. */
  readonly mark: string
  /** What holds for the pool as a whole now: to be read at each use. */
  readonly config: PoolConfig
  /** The time that every limit of the pool counts in. */
  readonly clock: MonotonicClock.MonotonicClock
  readonly state: Dispatch.DispatchState
  readonly tickets: ById<Ticket>
  /** Where the callers that had a crash are in their schedules. */
  readonly retries: WeakMap<Ticket, RetryDelay.Stepper>
  /** The wire of each slot as the machine knows it: set when its `Attached` is applied, which may be later than it came. */
  readonly wires: Map<number, Wire>
  /** Asks the worker in each slot whether it answers, from the moment it is attached: heartbeats do not wait for a Dispatcher. */
  readonly probes: Map<number, Wire["probe"]>
  readonly generations: Map<number, number>
  /** By slot: the last restart that its supervisor has decided on, and of which generation. */
  readonly restarts: Map<number, { readonly generation: number; readonly span: RemoteSpan.SpanId }>
  readonly versions: PoolVersion.Versions
  /** Places, size, rollout: what a new Lifecycle goes on with. */
  readonly lifecycle: LifecycleState.LifecycleState
  /** What the Lifecycle has still to decide on. */
  readonly orders: Fifo<LifecycleState.Event>
  /** Has the Lifecycle look, if there is one. */
  wake: () => void
  /** Those who are told whenever the lifecycle's state may have changed, and when the Roster goes. */
  readonly watchers: Set<() => void>
  /** The processes of the workers that are attached, by slot. */
  readonly pids: Map<number, number>
  readonly beats: Beats
  /** The launch governor: one permit for each process that may be starting. Here, so that no crash of who starts them adds permits. */
  readonly launches: Semaphore.Semaphore
  /** Watchdogs, by slot. */
  readonly watchdogs: Map<number, Watch>
  /** Where the workers that are attached tell of themselves, by slot. */
  readonly telemetry: Map<number, Line>
  /** Host tools that run for its workers. */
  readonly hostCalls: HostCalls
  /** Calls that host tools have made, of which some may be over. */
  readonly nested: Set<number>
  /** Events that are still to be applied: those that came while there was no Dispatcher, or while it was at another. */
  readonly inbox: Fifo<Dispatch.Event>
  /** Commands that are still to be carried out: a crash of the Dispatcher loses none. */
  readonly outbox: Fifo<Dispatch.Command>
  /** The command that is being carried out; after a crash, the one that caused it. */
  inHand: Dispatch.Command | undefined
  /** Where events go. */
  readonly emit: (event: Event.Event) => void
  /** Works off inbox and outbox. */
  dispatcher: (() => void) | undefined
  calls: number
  /** What workers have said will be handed to the Dispatcher before this turn of the loop ends. */
  listening: boolean
}

/** What came of the heartbeats of its workers. */
export interface Beats {
  misses: number
  readonly latency: Instrument.Histogram
}

/** What {@link make} may be given: which host tools there are, and who hears of those that go wrong. */
export interface Options {
  readonly digest: WorkerRuntime["digest"]
  readonly hostTools?: HostToolRegistry | undefined
  readonly emit?: ((event: Event.Event) => void) | undefined
  /** Those of the Roster before. */
  readonly sessions?: Sessions.Sessions | undefined
  readonly quarantine?: Quarantine.Quarantine | undefined
}

/** No place is filled yet, and none is a canary's: whatever was tried when the Roster before crashed is to be tried anew. */
export const make = (
  pool: string,
  versions: PoolVersion.Versions,
  clock: Clock.Clock,
  { digest, emit = () => {}, hostTools = new HostToolRegistry(), quarantine, sessions }: Options
): Roster => {
  versions.assigned.clear()
  versions.filled.clear()
  const combined = PoolVersion.combiner()
  const config = combined(versions.proven, versions.current)
  const mark = CorrelationId.markOf(pool, clock.currentTimeMillisUnsafe())
  return {
    pool,
    mark,
    get config() {
      return combined(versions.proven, versions.current)
    },
    clock: new MonotonicClock.MonotonicClock(clock),
    hostCalls: new HostCalls({ pool, registry: hostTools, mark, emit, wallTime: () => clock.currentTimeMillisUnsafe() }),
    nested: new Set(),
    state: Dispatch.make(pool, config, digest, sessions, quarantine),
    tickets: new ById(),
    retries: new WeakMap(),
    wires: new Map(),
    probes: new Map(),
    generations: new Map(),
    restarts: new Map(),
    versions,
    pids: new Map(),
    beats: { misses: 0, latency: new Instrument.Histogram(PoolMetrics.heartbeatLatency) },
    launches: Semaphore.makeUnsafe(config.launch.concurrency),
    watchdogs: new Map(),
    telemetry: new Map(),
    inbox: new Fifo(),
    outbox: new Fifo(),
    inHand: undefined,
    emit,
    dispatcher: undefined,
    calls: 0,
    listening: false,
    lifecycle: LifecycleState.make(pool, versions, config),
    orders: new Fifo(),
    wake: () => {},
    watchers: new Set()
  }
}

/** What holds for the pool has changed. */
export const configured = (roster: Roster): void => {
  const { config, launches } = roster
  Effect.runSync(launches.resize(config.launch.concurrency))
  put(roster, { _tag: "Configured", config })
  roster.wake()
}

/** Where an attempt goes that is sent to the slot now. */
export const destination = ({ generations, restarts }: Roster, slot: number): Omit<Attempt, "nth" | "wire"> => ({
  slot,
  generation: generations.get(slot) ?? 0,
  restartOf: (slot, generation) => {
    const last = restarts.get(slot)
    return last?.generation === generation ? last.span : undefined
  }
})

/** The sink of a fleet: it notes which restart follows which worker, so that the spans of calls that are tried again can link to it. */
export const notingRestarts = (sink: Event.EventSink, name: RegisteredName.RegisteredName<Roster>): Event.EventSink => ({
  watches: sink.watches,
  emit: (event) => {
    const { slot } = event.attributes
    const span = typeof slot === "number" ? IncidentSpan.of(event) : undefined
    if (span !== undefined) {
      name.current?.restarts.set(slot as number, { generation: name.current.generations.get(slot as number) ?? 0, span })
    }
    sink.emit(event)
  }
})

/** Hands something to the Lifecycle, or keeps it for the next one. */
export const order = (roster: Roster, event: LifecycleState.Event): void => {
  roster.orders.push(event)
  roster.wake()
}

/** The worker in the slot is of a version that has not proved itself. */
const isTrial = ({ versions }: Roster, slot: number): boolean =>
  versions.assigned.has(slot) && versions.filled.get(slot)?.roll !== versions.proven.roll

/** Hands an event to the Dispatcher, or keeps it for the next one, within the bound of the queue. */
export const put = (roster: Roster, event: Dispatch.Event): void => {
  const { inbox, pool, state, tickets } = roster
  const { capacity } = state.config.queue
  if (event._tag === "Offer" && roster.dispatcher === undefined && tickets.size - state.calls.size > capacity) {
    const { id, tool } = event.offer
    const error = new CallError.QueueFull({ pool, tool, executed: "no", capacity })
    Settlement.refuse(state, tool, error)
    tickets.get(id)?.fail(error)
    return void tickets.delete(id)
  }
  inbox.push(event)
  roster.dispatcher?.()
}

/** Hands on what a worker says of a call: with all else that it says in the same message. */
const hear = (roster: Roster, event: Dispatch.Event): void => {
  roster.inbox.push(event)
  if (roster.listening) return
  roster.listening = true
  void Promise.resolve(roster).then(dispatchHeard)
}

const dispatchHeard = (roster: Roster): void => {
  roster.listening = false
  roster.dispatcher?.()
}

/** Offers a call, whose ticket is in its place. */
export const offer = (roster: Roster, offer: Dispatch.Offer): void => put(roster, { _tag: "Offer", offer })

/** A call was refused before it was offered. */
export const refused = (roster: Roster, error: CallError.CallError): void => {
  Settlement.refuse(roster.state, error.tool, error)
  tellFail(roster, ++roster.calls, error, roster.emit)
}

const tellFail = (
  roster: Roster,
  call: number,
  { _tag, executed, message, tool }: CallError.CallError,
  emit: (event: Event.Event) => void,
  incident?: string
): void => {
  const about = { pool: roster.pool, tool, correlationId: CorrelationId.of(roster, call) }
  emit(Event.make(PoolEvent.call_fail, roster.clock.wallTime, {}, { ...about, reason: _tag, executed, cause: message, incident }))
}

/** The caller is gone. */
export const cancel = (roster: Roster, id: number): void => put(roster, { _tag: "Cancel", id })

/** The caller has taken elements of a stream: as many more may come. */
export const credit = (roster: Roster, id: number, elements: number): void => put(roster, { _tag: "Credit", id, elements })

/** Hands one element of a call's stream of inputs to its worker: no more than it has asked for by {@link Ticket.want}. */
export const input = (roster: Roster, id: number, payload: Payload): void => put(roster, { _tag: "Input", id, payload })

/** Ends a call's stream of inputs, after its worker has asked for some; `failure` says why, when the stream failed. */
export const inputEnd = (roster: Roster, id: number, failure?: string): void => put(roster, { _tag: "InputEnd", id, failure })

/** What is in quarantine: which tool, with which arguments, for what. */
export const quarantined = ({ state }: Roster): ReadonlyArray<Quarantined> =>
  [...state.barrier.quarantine.suspects.values()].flatMap((suspect) => {
    const { crashes, digest, tool, until } = suspect
    return until === 0 ? [] : [{ tool, digest, crashes: crashes.length, ...Quarantine.facts(suspect), until }]
  })

/** Takes calls of a tool with these arguments out of quarantine. */
export const release = (roster: Roster, tool: string, digest: string): void => put(roster, { _tag: "Release", tool, digest })

/** How often calls that wait for a Dispatcher, or for each other, are looked at. 100 ms: it is away for moments, and a limit may be late by that much then. */
const lookMillis = 100

/** When a call that waits for a Dispatcher has waited too long. */
const patienceOf = ({ state }: Roster, { at, deadline = Number.POSITIVE_INFINITY, queueTimeoutMillis }: Dispatch.Offer): number =>
  Math.min(at + (queueTimeoutMillis ?? state.limits.queueTimeout), deadline)

/** Ends what waits too long while there is no Dispatcher to see it. */
const expire = (roster: Roster, emit: (event: Event.Event) => void): void => {
  if (roster.dispatcher !== undefined) return
  const now = roster.clock.now()
  const { inbox, outbox, state } = roster
  for (const event of inbox.sift((event) => event._tag !== "Offer" || now < patienceOf(roster, event.offer))) {
    if (event._tag !== "Offer") continue
    const { id, tool } = event.offer
    const error = DispatchError.waitedTooLong(state, event.offer, now)
    Settlement.refuse(state, tool, error)
    settle(roster, { _tag: "Fail", id, error }, emit)
  }
  if (DispatchRepair.violations(state).length > 0) return // what the crash has left: the next Dispatcher mends it first
  for (const command of DispatchMachine.transition(state, { _tag: "Tick" }, now)) {
    if (command._tag === "Fail") settle(roster, command, emit)
    else outbox.push(command)
  }
}

/** 128: more than `attempts` may be. */
const attemptsPerCall = 128

/** What the wire calls one attempt at a call: a worker refuses an id that it has started once. */
export const attemptId = (call: number, attempt: number): number => call * attemptsPerCall + attempt

/** The call that an id on the wire belongs to. */
export const callOf = (id: number): number => Math.floor(id / attemptsPerCall)

/** Carries out a command that is for callers and for whoever listens, not for a worker. */
export const settle = (roster: Roster, command: Dispatch.Command, emit: (event: Event.Event) => void): void => {
  const { clock, pool, tickets } = roster
  switch (command._tag) {
    case "Deliver":
      return tickets.get(command.id)?.item(command.payload)
    case "Want":
      return tickets.get(command.id)?.want(command.elements)
    case "Complete": {
      tickets.get(command.id)?.complete(command.payload)
      return void tickets.delete(command.id)
    }
    case "Fail": {
      const { error, id, incident } = command
      const ticket = tickets.get(id)
      tickets.delete(id) // once: a caller's throw must not come again in each next Dispatcher
      ticket?.fail(error) // before the event: whatever the sink does, the caller is told
      return tellFail(roster, id, error, emit, incident)
    }
    case "Cancelled": {
      const { afterMillis, because, how, id, incident, slot, tool } = command
      const about = { pool, slot, tool, correlationId: CorrelationId.of(roster, id) }
      return emit(Event.make(PoolEvent.call_cancel, clock.wallTime, { afterMillis }, { ...about, because, how, incident }))
    }
    case "SessionStarted": {
      const { session, slot, why } = command
      return emit(Event.make(PoolEvent.session_start, clock.wallTime, {}, { pool, slot, session, why }))
    }
    case "SessionEnded": {
      const { livedMillis, reason, session, starts } = command
      return emit(Event.make(PoolEvent.session_end, clock.wallTime, { starts, livedMillis }, { pool, session, reason }))
    }
    case "SessionEndFailed": {
      const { reason, session, slot } = command
      return emit(Event.make(PoolEvent.session_end_fail, clock.wallTime, {}, { pool, slot, session, cause: reason }))
    }
    case "SessionsMany": {
      const { limit, sessions } = command
      return emit(Event.make(PoolEvent.session_many, clock.wallTime, { sessions, limit }, { pool }))
    }
    case "SessionsLost": {
      const { incident, reason, sessions, slot, then } = command
      return emit(Event.make(PoolEvent.session_lose, clock.wallTime, { sessions }, { pool, slot, cause: reason, then, incident }))
    }
    case "Saturated": {
      const { capacity, queued } = command
      return emit(Event.make(PoolEvent.pool_saturate, clock.wallTime, { queued, capacity }, { pool }))
    }
    case "Tell":
      return command.told()
  }
}

/** A worker asks for a host tool. */
const hostCall = (roster: Roster, wire: Wire, { config, slot }: WorkerSeat, asked: WireHostCall): void => {
  const call = roster.state.calls.get(callOf(asked.id))
  const runs = call?.slot === slot && call.stage !== "Abandoned" && attemptId(call.id, call.attempt) === asked.id
  roster.hostCalls.begin({ wire, slot, config, call: runs ? call : undefined, trace: roster.tickets.get(call?.id ?? -1)?.trace, asked })
}

/** An attempt at a call is over, or is to be: what runs for it is ended. */
export const endHostCalls = ({ hostCalls }: Roster, slot: number, attempt: number): void => {
  if (hostCalls.size > 0) hostCalls.over(slot, attempt)
}

/** Fails the tickets that neither the machine nor a waiting event knows: what a crash in the middle of a decision left behind. */
export const settleLost = (roster: Roster, reason: string, emit: (event: Event.Event) => void): void => {
  const { inbox, outbox, pool, state, tickets } = roster
  const offered = new Set([...inbox].flatMap((event) => event._tag === "Offer" ? [event.offer.id] : []))
  const told = new Set([...outbox].flatMap((command) => command._tag === "Complete" || command._tag === "Fail" ? [command.id] : []))
  for (const [id, { tool }] of tickets) {
    if (state.calls.has(id) || offered.has(id) || told.has(id)) continue
    const error = new CallError.OutcomeUnknown({ pool, tool, executed: "unknown", worker: pool, began: false, ended: false, reason })
    settle(roster, { _tag: "Fail", id, error }, emit)
  }
}

/** Runs a launch within the launch governor, as {@link WorkerSeat.governed} says. */
export const governed = <A, E, R>({ launches }: Roster, launch: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Scope.Scope> =>
  Semaphore.withPermit(
    launches,
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Scope.Scope)
      return yield* Effect.onError(Scope.provide(launch, scope), (cause) => Scope.close(scope, Exit.failCause(cause)))
    })
  )

/** The seat of one slot. Its sink talks to the current generation of the Roster; when there is none, nobody listens any more. */
export const seat = (
  pool: string,
  versions: PoolVersion.Versions,
  name: RegisteredName.RegisteredName<Roster>,
  slot: number
): WorkerSeat => {
  const combined = PoolVersion.combiner()
  const version = () => versions.filled.get(slot) ?? PoolVersion.next(versions, slot)
  const say = (event: Dispatch.Event) => name.current === undefined ? undefined : put(name.current, event)
  const heard = (event: Dispatch.Event) => name.current === undefined ? undefined : hear(name.current, event)
  let verdict: Imposed | undefined
  let attached: Wire | undefined
  let process: Pick<Child.CurrentChild["Service"], "incident"> | undefined
  const self: WorkerSeat = {
    pool,
    slot,
    name: `${pool}/${slot}`,
    get config() {
      return combined(version(), versions.current)
    },
    version,
    fill: (current) => {
      process = current
      verdict = undefined
      const generation = (name.current?.generations.get(slot) ?? -1) + 1
      name.current?.generations.set(slot, generation)
      versions.filled.set(slot, PoolVersion.next(versions, slot))
      return generation
    },
    condemn: (imposed) => {
      verdict = imposed
    },
    verdict: () => verdict,
    generation: () => name.current?.generations.get(slot) ?? -1,
    incident: () => process?.incident("end"),
    sink: {
      attached: (wire) => {
        attached = wire
        name.current?.probes.set(slot, wire.probe)
        name.current?.pids.set(slot, wire.pid)
        name.current?.telemetry.set(slot, { control: wire.telemetry, hear: undefined, missed: 0 })
        say({ _tag: "Attached", slot, wire, isTrial: name.current !== undefined && isTrial(name.current, slot) })
        name.current?.wake()
      },
      started: (id) => heard({ _tag: "Started", slot, id: callOf(id) }),
      item: (id, payload) => heard({ _tag: "Item", slot, id: callOf(id), payload }),
      want: (id, elements) => heard({ _tag: "Want", slot, id: callOf(id), elements }),
      done: (id, payload, micros) => {
        if (name.current !== undefined) endHostCalls(name.current, slot, id)
        heard({ _tag: "Done", slot, id: callOf(id), payload, micros })
      },
      failed: (id, failure) => {
        if (name.current !== undefined) endHostCalls(name.current, slot, id)
        heard({ _tag: "Failed", slot, id: callOf(id), failure })
      },
      hostCall: (asked) => {
        if (attached === undefined) return
        if (name.current !== undefined) return hostCall(name.current, attached, self, asked)
        attached.hostResult(asked.number, { _tag: "Failed", reason: "cancelled", message: `pool "${pool}" is being started anew` })
      },
      hostCancel: (number) => name.current?.hostCalls.cancel(slot, number),
      sessionEnded: (number, failure, overran) => heard({ _tag: "SessionEnded", slot, number, failure, overran }),
      telemetry: (telemetry) => {
        const line = name.current?.telemetry.get(slot)
        if (line?.hear !== undefined) line.hear(telemetry)
        else if (line !== undefined) line.missed += telemetry.records.length
      },
      broken: () => say({ _tag: "Broken", slot }),
      resumed: () => say({ _tag: "Resumed", slot }),
      detached: (reason, ended, exit) => {
        name.current?.probes.delete(slot)
        name.current?.pids.delete(slot)
        name.current?.telemetry.delete(slot)
        name.current?.hostCalls.lost(slot)
        say({ _tag: "Detached", slot, reason, ended, exit, incident: process?.incident("end") })
        name.current?.wake()
      }
    },
    governed: (launch) => Effect.flatMap(Effect.orDie(RegisteredName.whereis(name)), (roster) => governed(roster, launch))
  }
  return self
}

/** Ends every open call, and from now on each new one at once: somebody may hold the Roster still. */
const close = (roster: Roster, because: string, emit: (event: Event.Event) => void): void => {
  const { clock, inbox, outbox, state } = roster
  const drain = () => {
    const step = { state, now: clock.now(), out: outbox }
    for (let event = inbox.take(); event !== undefined; event = inbox.take()) DispatchMachine.apply(step, event)
    for (let command = outbox.take(); command !== undefined; command = outbox.take()) settle(roster, command, emit)
  }
  roster.dispatcher = undefined // what callers do when they are told waits
  inbox.push({ _tag: "Close", because })
  try {
    drain()
  } finally {
    settleLost(roster, because, emit)
    roster.dispatcher = drain
    drain()
  }
}

/** The Roster of a pool as a supervised child, registered under `name`. */
export const child = (
  pool: string,
  versions: PoolVersion.Versions,
  name: RegisteredName.RegisteredName<Roster>,
  options: Omit<Options, "emit" | "quarantine" | "sessions"> & { readonly openCircuits: () => number }
) =>
  Child.make("roster", {
    plane: "control",
    start: Effect.gen(function*() {
      const sink = yield* Event.EventSink
      PoolVersion.begin(versions)
      const roster = make(pool, versions, yield* Clock.Clock, {
        ...options,
        sessions: name.latest?.state.sessions,
        quarantine: name.latest?.state.barrier.quarantine,
        emit: (event) => Event.tell(sink, event)
      })
      yield* Effect.addFinalizer(() =>
        Effect.gen(function*() {
          close(roster, "the pool is stopping", roster.emit)
          yield* roster.hostCalls.close
          for (const told of roster.watchers) told()
          yield* Event.emit(PoolEvent.pool_close, { ...roster.state.ledger }, { pool })
        })
      )
      PoolSeries.begin(yield* Instrument.series, roster, options.openCircuits)
      yield* RegisteredName.register(name, roster)
      yield* Event.emit(PoolEvent.pool_open, { size: roster.lifecycle.size }, { pool })
      const look = Effect.sync(() => {
        expire(roster, roster.emit)
        if (roster.nested.size > 0) CallCycles.look(roster)
      })
      return Effect.forever(Effect.andThen(HostTimer.punctual(roster.clock, lookMillis), look))
    })
  })
