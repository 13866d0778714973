/**
 * What a tree does when its children are harmed: the real engine, run on a clock of its own, with stand-ins for the children.
 *
 * **When to use**
 *
 * To see what a specification means before it runs, to check a prediction of {@link ./Preview.ts}, to generate cases by the thousand:
 * {@link simulate} plays a script and returns the timeline; {@link make} gives a tree to be played line by line.
 *
 * **Details**
 *
 * Supervisors are run as they are: the machine, its interpreter, fibers and scopes, restart policies and events. Each other child is
 * replaced by a stand-in of the same id, restart type, shutdown and significance, which starts at once, lives until the script ends it,
 * and stops at once, unless the script says otherwise. Time is virtual, in milliseconds from 0, and passes only by `Wait`. The same tree
 * and script give the same timeline, byte for byte, on any machine; a delay schedule with jitter is the exception.
 *
 * Paths are as in events and in `Tree`: `app/db`. What is said of a path holds for all its generations.
 *
 * **Gotchas**
 *
 * A child that starts a supervisor inside its own `start` is one child to a simulation. The effect `initial` of a dynamic supervisor is run as
 * it is: it should only look.
 *
 * **Example** (When does it give up?)
 *
 * ```ts
 * import { Simulation, type Supervisor } from "@snakepit/core"
 *
 * declare const app: Supervisor.Any
 *
 * const { outcome, millis } = Simulation.simulate(app, [
 *   Simulation.Line.FailStarts({ path: "app/db", times: 100, how: "fail" }),
 *   Simulation.Line.Exit({ path: "app/db", how: "failed" }),
 *   Simulation.Line.Wait({ millis: 60_000 })
 * ])
 * ```
 *
 * @see {@link ./testing/Invariants.ts} for laws that any timeline must keep
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import type * as Child from "./Child.ts"
import * as Event from "./Event.ts"
import * as Interpreter from "./internal/interpreter.ts"
import { Actors, simulated, standIn, withBehaviour } from "./internal/standIn.ts"
import { VirtualTime } from "./internal/VirtualTime.ts"
import { RestartMemory } from "./RestartMemory.ts"
import type * as Supervisor from "./Supervisor.ts"
import * as SupervisorError from "./SupervisorError.ts"
import * as SupervisorEvent from "./SupervisorEvent.ts"
import * as Machine from "./SupervisorState.ts"
import type * as Tree from "./Tree.ts"

export type { Reply } from "./SupervisorState.ts"

/** How a stand-in ends: `Normal`, `Shutdown`, `Failed` or `Defect` as its exit reason. */
export type EndingHow = "normal" | "shutdown" | "failed" | "defect"

/**
 * A moment of a generation: its start is called, is acknowledged, refused or ignored; it ends by itself; its supervisor asks it to stop; its
 * resources are released.
 */
export type Moment = "starting" | "up" | "refused" | "ignored" | "ended" | "stopping" | "down"

/** One line of a timeline. `at` is in milliseconds from the boot. */
export type Entry =
  /** `generation` counts the starts under the present supervisor; `start` counts all starts in the tree, so that no two lives share it. */
  | {
    readonly _tag: "Child"
    readonly at: number
    readonly path: string
    readonly generation: number
    readonly start: number
    readonly moment: Moment
  }
  /** A decision was told. */
  | { readonly _tag: "Event"; readonly at: number; readonly event: Event.Event }
  /**
   * A step of a supervisor's machine: what it heard, and what it commanded. `supervisor` counts the supervisors that ran in the tree, so
   * that no two share it.
   */
  | {
    readonly _tag: "Step"
    readonly at: number
    readonly path: string
    readonly supervisor: number
    readonly event: Machine.Event
    readonly commands: ReadonlyArray<Machine.Command>
  }
  /** A line of the script begins. */
  | { readonly _tag: "Line"; readonly at: number; readonly index: number; readonly line: Line }
  /** The answer to the call of line `index`; `undefined` when there was no such supervisor. */
  | { readonly _tag: "Reply"; readonly at: number; readonly index: number; readonly reply: Machine.Reply | undefined }
  /** The root has ended; `booted` says whether it had been up. */
  | { readonly _tag: "End"; readonly at: number; readonly booted: boolean; readonly outcome: Outcome }

/** One line of a script. */
export type Line = Data.TaggedEnum<{
  /** The child at `path` ends by itself; nothing happens when it is not running. */
  Exit: { readonly path: string; readonly how: EndingHow }
  /** Children end before their supervisors hear of any of them; each hears of its own in this order. */
  Together: { readonly exits: ReadonlyArray<{ readonly path: string; readonly how: EndingHow }> }
  /**
   * The next `times` starts of this child, or of this nested supervisor, are refused, or answered with `Child.ignore`. The path
   * `<supervisor>/*` stands for whichever of its children starts next.
   */
  FailStarts: { readonly path: string; readonly times: number; readonly how: "fail" | "ignore" }
  StartTakes: { readonly path: string; readonly millis: number }
  StopTakes: { readonly path: string; readonly millis: number | "forever" }
  /** A monitor fails the child: `failChild` of its supervisor's handle. */
  FailChild: { readonly path: string }
  TerminateChild: { readonly path: string }
  RestartChild: { readonly path: string }
  DeleteChild: { readonly path: string }
  /** Starts the child of a key by the supervisor's template, or `child` instead; the path is the new child's. */
  StartChild: { readonly path: string; readonly child?: Child.Any | undefined }
  /** The supervisor at `path` goes over to other flags and specs while it runs (`change` of its handle). */
  Change: { readonly path: string; readonly next: Supervisor.Any }
  Wait: { readonly millis: number }
  /** Stops the root. */
  Shutdown: {}
}>
export const Line = Data.taggedEnum<Line>()

/** How a simulated tree stands, or ended. */
export type Outcome =
  | { readonly _tag: "Booting" }
  | { readonly _tag: "Running" }
  /** It was shut down, or shut itself down at the end of a significant child. */
  | { readonly _tag: "Stopped" }
  /** `StartFailed` or `GaveUp`, or what else it ended with. */
  | { readonly _tag: "Failed"; readonly error: unknown }

/**
 * A child whose stand-in takes this long to start and to stop, for trees that shall be simulated with the times of the real one: Duration
 * of a start in milliseconds, of a stop in milliseconds or `"forever"`.
 */
export const behaving = <C extends Child.Any>(
  child: C,
  { startMillis = 0, stopMillis = 0 }: { readonly startMillis?: number | undefined; readonly stopMillis?: number | "forever" | undefined }
): C => withBehaviour(child, { startMillis, stopMillis })

/** What a start meets, told in the moment it is called. Times are in milliseconds; what is left out is as the script says. */
export interface Fate {
  /** How long the start takes; `"forever"` until it is stopped. Of a nested supervisor: before its children begin to start. */
  readonly startMillis?: number | "forever" | undefined
  /** What it comes to then, when not up. */
  readonly answer?: "refused" | "ignored" | undefined
  /** It ends by itself, so long after it came up. Not of a nested supervisor. */
  readonly ends?: { readonly afterMillis: number; readonly how: EndingHow } | undefined
}

/** Decides what each start in the tree meets, as the script does otherwise. `start` counts all starts in the tree. */
export type Fates = (start: { readonly path: string; readonly generation: number; readonly start: number }, now: number) => Fate | undefined

/** What {@link simulate} returns. */
export interface Timeline {
  readonly entries: ReadonlyArray<Entry>
  readonly outcome: Outcome
  /** The tree at the end; `undefined` when it is not running. */
  readonly tree: Tree.SupervisorNode | undefined
  /** When the tree ended; the time of the last line if it did not. */
  readonly millis: number
}

/**
 * Boots the tree, plays the script, and returns what happened. The tree is stopped afterwards, off the record. With a memory in its world,
 * supervisors begin with restarts of before the boot: at times of 0 and less.
 */
export const simulate = (tree: Supervisor.Any, script: ReadonlyArray<Line>, world?: World): Timeline => {
  const played = make(tree, new VirtualTime(), world)
  played.boot()
  for (const line of script) played.play(line)
  const timeline = { entries: [...played.entries], outcome: played.outcome, tree: played.tree, millis: played.endedAt }
  played.discard()
  return timeline
}

/** What a tree finds beside its script. */
export interface World {
  /** Restarts from before the tree that its supervisors' budgets begin with. */
  readonly memory?: RestartMemory | undefined
  /** A will of its own. */
  readonly fates?: Fates | undefined
  /** A sink that `watches`: hears decisions, and how children stand. */
  readonly hear?: ((event: Event.Event) => void) | undefined
}

/** A tree that has not been booted, on virtual time of its own or on another. */
export const make = (tree: Supervisor.Any, time: Time = new VirtualTime(), world: World = {}): SimulatedTree =>
  new SimulatedTree(tree, time, world)

/** A tree that has not been booted, and all that a sink that `watches` hears of it: decisions, and how children stand. */
export const watched = (tree: Supervisor.Any, hear: (event: Event.Event) => void): SimulatedTree =>
  new SimulatedTree(tree, new VirtualTime(), { hear })

/** The time that a simulation runs on. */
export interface Time {
  readonly now: number
  /** When the next timer is due, if it is known. */
  readonly nextTimer: number | undefined
  /** The clock and the scheduler. */
  readonly context: Context.Context<never>
  /** Runs what can run now. */
  readonly flush: () => void
  readonly advanceTo: (at: number) => void
}

/** A tree on virtual time, played line by line. */
export class SimulatedTree {
  /** What has happened so far. */
  readonly entries: Array<Entry> = []
  outcome: Outcome = { _tag: "Booting" }
  private ended: number | undefined
  private root: Interpreter.Interpreter | undefined
  private lines = 0
  private readonly supervisors = new Map<Interpreter.Interpreter, number>()
  private readonly time: Time
  private readonly actors: Actors
  private readonly scope = Scope.makeUnsafe()
  private readonly spec: Interpreter.Spec
  private readonly context: Context.Context<never>

  constructor(tree: Supervisor.Any, time: Time, { fates, hear, memory = new Map() }: World) {
    this.time = time
    this.actors = new Actors((entry) => void this.entries.push(entry), () => this.time.now, fates)
    this.spec = standIn(tree, this.actors, this.observe)["~snakepit/core/Supervisor"]
    this.context = this.time.context.pipe(
      Context.add(RestartMemory, memory),
      Context.add(Event.EventSink, {
        watches: hear !== undefined,
        emit: (event) => {
          hear?.(event)
          if (!SupervisorEvent.isObservation(event.name)) this.entries.push({ _tag: "Event", at: event.at, event })
        }
      }),
      Context.add(References.MinimumLogLevel, "None"),
      Context.add(Scope.Scope, this.scope)
    ) as Context.Context<never>
  }

  /** The time now, in milliseconds from 0. */
  get now(): number {
    return this.time.now
  }

  /** When the tree ended, or the time now. */
  get endedAt(): number {
    return this.ended ?? this.now
  }

  /** The tree as it stands; `undefined` before the boot and after the end. */
  get tree(): Tree.SupervisorNode | undefined {
    return this.ended === undefined ? this.root?.snapshot() : undefined
  }

  /** When the next timer is due: a delay, a start or a stop that takes time, a grace. */
  get nextTimer(): number | undefined {
    return this.time.nextTimer
  }

  /** Starts the tree. */
  boot(): void {
    this.fork(Interpreter.boot(this.spec, (root) => void (this.root = root)), (booted) => {
      if (Exit.isFailure(booted)) return this.end(booted)
      this.outcome = { _tag: "Running" }
      this.fork(booted.value.life, (life) => this.end(life))
    })
    this.time.flush()
  }

  /** Plays one line and everything that it sets off at once. */
  play(line: Line): void {
    const index = this.lines++
    this.entries.push({ _tag: "Line", at: this.now, index, line })
    this.act(line, index)
    this.time.flush()
  }

  /** Ends it off the record. */
  discard(): void {
    this.root?.kill()
    this.time.flush()
  }

  /** The running supervisor at a path. */
  supervisor(path: string): Interpreter.Interpreter | undefined {
    const [id, ...rest] = path.split("/")
    let node = this.root !== undefined && this.ended === undefined && id === this.spec.id ? this.root : undefined
    for (const id of rest) node = node?.node(id)
    return node
  }

  private readonly observe = (of: Interpreter.Interpreter, event: Machine.Event, commands: ReadonlyArray<Machine.Command>): void => {
    const supervisor = this.supervisors.get(of) ?? this.supervisors.size
    this.supervisors.set(of, supervisor)
    this.entries.push({ _tag: "Step", at: this.now, path: of.path, supervisor, event, commands })
  }

  private act(line: Line, index: number): void {
    switch (line._tag) {
      case "Exit":
        return this.actors.end(line.path, line.how)
      case "Together": {
        const supervisors = new Set(line.exits.flatMap(({ path }) => this.supervisor(parentOf(path)) ?? []))
        for (const supervisor of supervisors) supervisor.hold()
        for (const { how, path } of line.exits) {
          this.actors.end(path, how)
          this.time.flush()
        }
        for (const supervisor of supervisors) supervisor.resume()
        return
      }
      case "FailStarts":
        return this.actors.failStarts(line.path, line.times, line.how)
      case "StartTakes":
        return this.actors.startTakes(line.path, line.millis)
      case "StopTakes":
        return this.actors.stopTakes(line.path, line.millis)
      case "FailChild": {
        const supervisor = this.supervisor(parentOf(line.path))
        return supervisor === undefined ? undefined : this.fork(supervisor.handle.failChild(idOf(line.path), "failed"), () => {})
      }
      case "TerminateChild":
        return this.ask(line.path, index, (id, token) => Machine.Event.TerminateChild({ id, token }))
      case "RestartChild":
        return this.ask(line.path, index, (id, token) => Machine.Event.RestartChild({ id, token }))
      case "DeleteChild":
        return this.ask(line.path, index, (id, token) => Machine.Event.DeleteChild({ id, token }))
      case "StartChild":
        return this.startChild(line.path, line.child, index)
      case "Change": {
        const supervisor = this.supervisor(line.path)
        if (supervisor === undefined) return this.reply(index, undefined)
        const next = standIn(line.next, this.actors, this.observe)["~snakepit/core/Supervisor"]
        return this.fork(supervisor.handle.change(next), (changed) => {
          if (Exit.isSuccess(changed)) return this.reply(index, Machine.Reply.Done({ generation: 0 }))
          const error = Cause.squash(changed.cause)
          if (error instanceof SupervisorError.SupervisorStopping) return this.reply(index, Machine.Reply.Stopping())
          throw error // the line is wrong: not the same supervisor
        })
      }
      case "Wait":
        return this.time.advanceTo(this.now + line.millis)
      case "Shutdown":
        return this.fork(Scope.close(this.scope, Exit.void), () => {})
    }
  }

  private ask(path: string, index: number, event: (id: string, token: number) => Machine.Event): void {
    const supervisor = this.supervisor(parentOf(path))
    if (supervisor === undefined) return this.reply(index, undefined)
    supervisor.ask((token) => event(idOf(path), token), (reply) => this.reply(index, reply))
  }

  private startChild(path: string, given: Child.Any | undefined, index: number): void {
    const { template } = this.supervisor(parentOf(path)) ?? {}
    const child = given === undefined ? template?.(idOf(path)) : simulated(given, this.actors, this.observe)
    if (child === undefined) return this.reply(index, undefined)
    this.ask(path, index, (_, token) => Machine.Event.StartChild({ child, token }))
  }

  private reply(index: number, reply: Machine.Reply | undefined): void {
    this.entries.push({ _tag: "Reply", at: this.now, index, reply })
  }

  private end(exit: Exit.Exit<unknown, unknown>): void {
    this.ended = this.now
    const booted = this.outcome._tag !== "Booting"
    this.outcome = Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)
      ? { _tag: "Stopped" }
      : { _tag: "Failed", error: Cause.squash(exit.cause) }
    this.entries.push({ _tag: "End", at: this.now, booted, outcome: this.outcome })
    this.fork(Scope.close(this.scope, exit), () => {})
  }

  private fork<A, E>(effect: Effect.Effect<A, E, Scope.Scope>, then: (exit: Exit.Exit<A, E>) => void): void {
    Effect.runForkWith(this.context as Context.Context<Scope.Scope>)(effect).addObserver(then)
  }
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")))

const idOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)
