/** Stand-ins for the children of a simulated tree, and what a script can tell them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Child from "../Child.ts"
import type * as Event from "../Event.ts"
import type { Line } from "../Simulation.ts"
import type * as Supervisor from "../Supervisor.ts"
import type { Reply } from "../SupervisorState.ts"
import * as Interpreter from "./interpreter.ts"

/** How a stand-in ends: `Normal`, `Shutdown`, `Failed` or `Defect` as its exit reason. */
export type EndingHow = "normal" | "shutdown" | "failed" | "defect"

/**
 * A moment of a generation: its start is called, is acknowledged, refused or ignored; it ends by itself; its supervisor asks it to stop; its
 * resources are released.
 */
export type Moment = "starting" | "up" | "refused" | "ignored" | "ended" | "stopping" | "down"

/** One line of a timeline. `at` is in milliseconds from the boot. */
export type Entry =
  | { readonly _tag: "Child"; readonly at: number; readonly path: string; readonly generation: number; readonly moment: Moment }
  /** A decision was told. */
  | { readonly _tag: "Event"; readonly at: number; readonly event: Event.Event }
  /** A line of the script begins. */
  | { readonly _tag: "Line"; readonly at: number; readonly index: number; readonly line: Line }
  /** The answer to the call of line `index`; `undefined` when there was no such supervisor. */
  | { readonly _tag: "Reply"; readonly at: number; readonly index: number; readonly reply: Reply | undefined }

/** What the stand-in of a path does, in all its generations, and its present life. */
interface Actor {
  failing: number
  failure: "fail" | "ignore"
  startMillis: number
  stopMillis: number | "forever"
  /** Present while it lives. */
  end: ((how: EndingHow) => void) | undefined
}

/** All stand-ins of a tree, by path. */
export class Actors {
  private readonly actors = new Map<string, Actor>()
  private readonly write: (entry: Entry) => void
  private readonly now: () => number

  constructor(write: (entry: Entry) => void, now: () => number) {
    this.write = write
    this.now = now
  }

  end(path: string, how: EndingHow): void {
    this.actors.get(path)?.end?.(how)
  }

  failStarts(path: string, times: number, failure: "fail" | "ignore"): void {
    Object.assign(this.of(path), { failing: times, failure })
  }

  startTakes(path: string, startMillis: number): void {
    this.of(path).startMillis = startMillis
  }

  stopTakes(path: string, stopMillis: number | "forever"): void {
    this.of(path).stopMillis = stopMillis
  }

  /** The start of a stand-in. */
  readonly start: Child.Options["start"] = Effect.withFiber((fiber) => {
    const { generation, path, scope } = given(fiber)
    const actor = this.of(path)
    const refused = this.refuse(actor, path, generation)
    if (refused !== undefined) return refused
    let over = false
    const release = Effect.suspend(() => {
      actor.end = undefined
      if (!over) this.tell(path, generation, "stopping")
      const { stopMillis } = actor
      const down = () => this.tell(path, generation, "down")
      if (over || stopMillis === 0) return Effect.sync(down)
      return stopMillis === "forever" ? Effect.never : Effect.map(Effect.sleep(stopMillis), down)
    })
    const life = Effect.callback<void, string>((resume) => {
      actor.end = (how) => {
        actor.end = undefined
        over = true
        this.tell(path, generation, "ended")
        resume(endings[how])
      }
    })
    const up = Effect.sync(() => {
      this.tell(path, generation, "up")
      return life
    })
    const started = actor.startMillis === 0 ? up : Effect.andThen(Effect.sleep(actor.startMillis), up)
    return Effect.andThen(Scope.addFinalizer(scope, release), started)
  })

  /** The start of a nested supervisor, with its moments told. */
  startNode(start: Child.Options["start"]): Child.Options["start"] {
    return Effect.withFiber((fiber) => {
      const { generation, path, scope } = given(fiber)
      const refused = this.refuse(this.of(path), path, generation)
      if (refused !== undefined) return refused
      const down = Effect.sync(() => this.tell(path, generation, "down"))
      return Effect.andThen(
        Scope.addFinalizer(scope, down),
        Effect.tap(start, () => Effect.sync(() => this.tell(path, generation, "up")))
      )
    })
  }

  private refuse(actor: Actor, path: string, generation: number): Effect.Effect<Effect.Effect<never>, string> | undefined {
    this.tell(path, generation, "starting")
    if (actor.failing === 0) return undefined
    actor.failing--
    const ignores = actor.failure === "ignore"
    this.tell(path, generation, ignores ? "ignored" : "refused")
    return ignores ? Effect.succeed(Child.ignore) : Effect.fail("would not start")
  }

  private of(path: string): Actor {
    let actor = this.actors.get(path)
    if (actor === undefined) {
      actor = { failing: 0, failure: "fail", startMillis: 0, stopMillis: 0, end: undefined }
      this.actors.set(path, actor)
    }
    return actor
  }

  private tell(path: string, generation: number, moment: Moment): void {
    this.write({ _tag: "Child", at: this.now(), path, generation, moment })
  }
}

/** What the interpreter gives to every start. */
const given = ({ context }: Fiber.Fiber<unknown, unknown>) => ({
  ...Context.getUnsafe(context, Child.CurrentChild),
  scope: Context.getUnsafe(context, Scope.Scope)
})

const endings: { readonly [How in EndingHow]: Effect.Effect<void, string> } = {
  normal: Effect.void,
  shutdown: Effect.interrupt,
  failed: Effect.fail("failed"),
  defect: Exit.die("defect")
}

/** The same supervisor with a stand-in for every child that is none. */
export const standIn = (supervisor: Supervisor.Any, actors: Actors): Supervisor.Any => {
  const { watcher: _, ...spec } = supervisor["~snakepit/core/Supervisor"]
  const child = (child: Child.Any): Child.Any => {
    if (!("~snakepit/core/Supervisor" in child)) return { ...child, start: actors.start }
    const node = standIn(child as Supervisor.Any, actors)
    return { ...node, start: actors.startNode(node.start) }
  }
  const simulated: Interpreter.Spec = {
    ...spec,
    children: spec.children.map(child),
    template: spec.template && { ...spec.template, child: (key) => child(spec.template!.child(key)) }
  }
  return { ...supervisor, start: Interpreter.start(simulated), "~snakepit/core/Supervisor": simulated }
}
