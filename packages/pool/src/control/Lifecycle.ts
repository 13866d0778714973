/**
 * Carries out what the lifecycle machine decides: looks how the pool is, has it decide, and asks fleet, launcher and dispatch for the rest.
 *
 * ```text
 *  orders · what has come of commands ─▶ machine ─▶ Start · Stop        the fleet is given a place, or forgets it   (planned: never counts)
 *  workers, calls, memory, each Look ──▶            Renew               the forkserver is started anew              (planned: never counts)
 *                                                   Probe               one call for the canary alone
 *                                                   Cordon · Drain …    the dispatch machine
 * ```
 *
 * It looks when something was ordered, when a worker has come or gone, each 50 ms while a step is under way, and at the interval that the settings ask
 * for. All it knows is in the Roster: the next one goes on where it was.
 */
import { Child, Event, RegisteredName, Supervisor, SupervisorError, type SupervisorHandle, type Tree } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as Agreement from "../Agreement.ts"
import type { Fleet } from "../execution/FleetSupervisor.ts"
import type { PoolEntry } from "../PoolDirectory.ts"
import { BootFailed } from "../WorkerError.ts"
import type { WorkerRuntime } from "../WorkerRuntime.ts"
import * as Dispatch from "./Dispatch.ts"
import * as LifecycleMachine from "./LifecycleMachine.ts"
import type * as LifecycleState from "./LifecycleState.ts"
import * as Line from "./Line.ts"
import type * as Places from "./Places.ts"
import * as Roster from "./Roster.ts"
import * as Sessions from "./Sessions.ts"
import type * as WorkerStarter from "./WorkerStarter.ts"

/** 50 ms: a drained worker goes soon after its last call, and a look costs microseconds. */
const busyMillis = 50

/** What {@link child} takes. */
export type Options = WorkerStarter.Options & { readonly entry: PoolEntry }

export const child = (runtime: Pick<WorkerRuntime, "codec" | "memory">, { entry, fleet: fleetName, roster: rosterName }: Options) =>
  Child.make("lifecycle", {
    plane: "control",
    start: Effect.gen(function*() {
      const roster = yield* Effect.orDie(RegisteredName.whereis(rosterName))
      const fleet = yield* Effect.orDie(RegisteredName.whereis(fleetName))
      const control = yield* Supervisor.CurrentSupervisor
      const sink = yield* Event.EventSink
      const kick = Latch.makeUnsafe(false)
      const { clock, lifecycle, orders } = roster
      let measuredAt = Number.NEGATIVE_INFINITY
      let measures = false

      const wake = () => void kick.openUnsafe()
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          roster.wake = wake
        }),
        () => Effect.sync(() => roster.wake === wake && (roster.wake = () => {}))
      )

      const execute = (command: LifecycleState.Command): Effect.Effect<unknown> => {
        switch (command._tag) {
          case "Dispatch":
            return Effect.sync(() => Roster.put(roster, command.event))
          case "Tell": {
            const { attributes, event, measurements } = command
            return Effect.sync(() => Event.tell(sink, Event.make(event, clock.wallTime, measurements, attributes)))
          }
          case "Start":
            return told(
              Effect.map(start(fleet, command.slot), (failure) => failure && { ...command, ...failure, _tag: "StartFailed" }),
              (cause) => ({ ...command, stage: "boot", cause, _tag: "StartFailed" })
            )
          case "Stop":
            return told(
              Effect.as(Effect.ignore(fleet.terminateChild(String(command.slot))), { _tag: "Stopped", slot: command.slot }),
              () => ({ _tag: "Stopped", slot: command.slot })
            )
          case "Probe":
            return told(
              Effect.map(probe(roster, runtime, command.slot), (failure) => ({ _tag: "Probed", slot: command.slot, failure })),
              (failure) => ({ _tag: "Probed", slot: command.slot, failure })
            )
          case "Prove":
            return Effect.sync(() => entry.prove(command.version))
          case "Renew":
            return told(
              Effect.map(renew(control), (failure) => ({ _tag: "Renewed", failure })),
              (failure) => ({ _tag: "Renewed", failure })
            )
        }
      }
      /** In the background; what comes of it is decided on, and so is a mistake in it. */
      const told = (
        effect: Effect.Effect<LifecycleState.Event | undefined>,
        failed: (cause: string) => LifecycleState.Event
      ) =>
        Effect.forkChild(Effect.map(
          Effect.catchDefect(effect, (defect) => Effect.succeed(failed(String(defect)))),
          (event) => event === undefined ? wake() : Roster.order(roster, event)
        ))
      const decide = (event: LifecycleState.Event) =>
        Effect.suspend(() => Effect.forEach(LifecycleMachine.transition(lifecycle, event, clock.now()), execute, { discard: true }))

      const look = Effect.gen(function*() {
        const { children } = yield* fleet.tree
        for (const { generation, served, slot } of news(roster)) {
          yield* decide({ _tag: "Filled", slot, generation, served, draw: yield* Random.next })
        }
        yield* measure
        const seen = lifecycle.places.flatMap((place) => place.doing === "free" ? [] : [see(roster, place, children)])
        yield* decide({ _tag: "Look", seen, ...load(roster) })
      })

      /** In the background, when it is time: it may take a while. What was measured of a process that is gone by then is no matter. */
      const measure = Effect.suspend(() => {
        const { every, pss, rss } = lifecycle.versions.current.config.recycle
        const kind = pss === undefined ? rss === undefined ? undefined : "rss" : "pss"
        const now = clock.now()
        if (measures || kind === undefined || roster.pids.size === 0 || now - measuredAt < Duration.toMillis(every)) return Effect.void
        measuredAt = now
        measures = true
        const measured = Effect.map(
          Effect.forEach([...roster.pids], ([slot, pid]) => Effect.map(runtime.memory(pid, kind), (bytes) => ({ slot, pid, bytes }))),
          (all): LifecycleState.Event => {
            measures = false
            return { _tag: "Measured", memory: all.filter(({ pid, slot }) => roster.pids.get(slot) === pid) }
          }
        )
        return told(measured, () => {
          measures = false
          return { _tag: "Measured", memory: [] }
        })
      })

      const life = Effect.gen(function*() {
        yield* decide({ _tag: "Begin" })
        while (true) {
          yield* kick.close
          for (let event = orders.take(); event !== undefined; event = orders.take()) yield* decide(event)
          yield* look
          for (const told of roster.watchers) told()
          const millis = restMillis(lifecycle, clock.now())
          yield* millis === undefined ? kick.await : Effect.raceFirst(kick.await, Effect.sleep(millis))
        }
      })
      return life as Effect.Effect<never>
    })
  })

/** When to look again; `undefined`: when it is woken. */
const restMillis = (state: LifecycleState.LifecycleState, now: number): number | undefined => {
  if (LifecycleMachine.isBusy(state)) return busyMillis
  const { autoscale, recycle } = state.versions.current.config
  const { age, calls, every, pss, rss } = recycle
  const intervals = [
    ...(age ?? calls ?? pss ?? rss) === undefined ? [] : [Duration.toMillis(every)],
    ...autoscale === undefined ? [] : [Math.max(busyMillis, Duration.toMillis(autoscale.targetDelay) / 2)],
    ...[state.retryAt, state.renewAt].flatMap((at) => at > now ? [at - now] : [])
  ]
  return intervals.length === 0 ? undefined : Math.min(...intervals)
}

/** Processes that no Lifecycle has seen yet. */
const news = (roster: Roster.Roster) =>
  roster.lifecycle.places.flatMap(({ generation: known, slot }) => {
    const generation = roster.generations.get(slot) ?? -1
    const { served = 0, tools } = roster.state.slots[slot] ?? {}
    return generation === known || tools === undefined ? [] : [{ slot, generation, served }]
  })

/** Whether strict sessions that the worker serves have calls that are not over, wherever those wait: it stays for them. */
const isAwaited = ({ config, sessions }: Dispatch.DispatchState, slot: number): boolean =>
  config.affinity !== "hint" &&
  [...sessions.byId.values()].some((session) => session.slot === slot && Sessions.isBound(session) && session.calls > 0)

const see = (
  { dispatcher, inbox, lifecycle, state }: Roster.Roster,
  { doing, seen, slot }: Places.Place,
  children: ReadonlyArray<Tree.ChildNode>
): Places.Seen => {
  const place = state.slots[slot]
  const { served = 0, tools } = place ?? {}
  const had = place === undefined ? 0 : Dispatch.callsOf(place)
  const before = lifecycle.rollout?.canary === slot && tools !== undefined ? [...state.tools ?? []] : []
  const isHeld = doing === "draining" && (dispatcher === undefined || inbox.length > 0 || isAwaited(state, slot)) // more may be sent to it
  return {
    slot,
    runs: children.some(({ id, status }) => id === String(slot) && status === "running"),
    attached: tools !== undefined,
    calls: had + (isHeld ? 1 : 0),
    served,
    memory: tools === undefined ? undefined : seen.memory,
    missing: before.flatMap(([name]) => tools?.has(name) === true ? [] : [name]),
    changed: before.flatMap(([name, tool]) => Agreement.agree(tool, tools?.get(name) ?? tool) ? [] : [name])
  }
}

/** How long calls wait that any worker may do, what runs, and how many are open. */
const load = ({ clock, state }: Roster.Roster) => {
  const now = clock.now()
  const { calls, nested, queue, slots } = state
  let since = now
  for (const waiting of [queue, nested]) {
    for (const { first } of Line.members(waiting.turns)) since = Math.min(since, first?.queuedAt ?? now)
  }
  const busy = slots.reduce((sum, { calls, concurrency }) => sum + Math.min(calls.length, concurrency) / concurrency, 0)
  return { delayMillis: now - since, busy, open: calls.size }
}

type Failure = Pick<Extract<LifecycleState.Event, { readonly _tag: "StartFailed" }>, "stage" | "cause">

/** Gives the fleet a place; returns when its worker is up, or why it is not. */
const start = (fleet: Fleet, slot: number): Effect.Effect<Failure | undefined> => {
  const failed = (cause: string): Failure => ({ stage: "boot", cause })
  return Effect.matchEffect(fleet.startChild(String(slot)), {
    onSuccess: () => Effect.undefined,
    onFailure: (error) => {
      switch (error._tag) {
        case "ChildPresent":
          return settled(fleet, slot)
        case "ChildStartFailed":
          return Effect.succeed(error.reason._tag === "Failed" ? reasonOf(error.reason.error) : failed(error.message))
        case "SupervisorStopping": // and this child with it
        case "MaxChildren":
          return Effect.succeed(failed(error.message))
      }
    }
  })
}

/** Another Lifecycle had given it. */
const settled = (fleet: Fleet, slot: number): Effect.Effect<Failure | undefined> => {
  const of = ({ children }: Tree.SupervisorNode) => children.find(({ id }) => id === String(slot))
  const isOver = (tree: Tree.SupervisorNode) => of(tree)?.status === "running" || of(tree) === undefined
  return Effect.map(
    Stream.runHead(Stream.filter(fleet.changes, isOver)),
    (tree) => tree._tag === "Some" && of(tree.value) !== undefined ? undefined : { stage: "boot", cause: "its worker did not come up" }
  )
}

const reasonOf = (error: unknown): Failure => {
  const root: unknown = error instanceof SupervisorError.StartFailed ? error.at.error : error
  const isCatalogue = root instanceof BootFailed && root.stage === "catalogue"
  return { stage: isCatalogue ? "catalogue" : "boot", cause: root instanceof Error ? root.message : String(root) }
}

/** Has a new forkserver started; gives why that failed. */
const renew = (control: SupervisorHandle.SupervisorHandle): Effect.Effect<string | undefined> =>
  Effect.gen(function*() {
    const launcher = yield* control.at(`${control.path}/launcher`)
    yield* launcher.terminateChild("forkserver")
    yield* launcher.restartChild("forkserver")
  }).pipe(Effect.match({ onSuccess: () => undefined, onFailure: ({ message }) => message }))

/** Calls the probe on one worker; gives why it did not succeed. */
const probe = (roster: Roster.Roster, { codec }: Pick<WorkerRuntime, "codec">, slot: number): Effect.Effect<string | undefined> =>
  Effect.callback((resume) => {
    const { probe } = roster.versions.current.config.reload
    if (probe === undefined) return resume(Effect.undefined)
    const id = ++roster.calls
    const at = roster.clock.now()
    const timeout = Duration.toMillis(probe.timeout)
    const payload = codec.encode(probe.arguments)
    roster.tickets.set(id, {
      tool: probe.tool,
      payload,
      item: () => {},
      want: () => {},
      retry: undefined,
      trace: undefined,
      complete: () => resume(Effect.undefined),
      fail: ({ message }) => resume(Effect.succeed(message))
    })
    Roster.offer(roster, {
      id,
      slot,
      at,
      tool: probe.tool,
      payload,
      bytes: payload.byteLength,
      idempotent: false,
      callTimeoutMillis: timeout,
      deadline: at + timeout,
      tenant: "",
      agreement: undefined,
      deterministic: undefined,
      hardLimitMillis: undefined,
      blocking: undefined,
      session: undefined,
      queueTimeoutMillis: undefined
    })
    return Effect.sync(() => roster.tickets.has(id) && Roster.cancel(roster, id))
  })
