/** Stand-ins for the children of a simulated tree, and what a script can tell them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Child from "../Child.ts"
import type { EndingHow, Entry, Fate, Fates, Moment } from "../Simulation.ts"
import type * as Supervisor from "../Supervisor.ts"
import * as Interpreter from "./interpreter.ts"

/** How long the starts and stops of one child's stand-in take, unless the script says otherwise. */
export interface Behaviour {
  readonly startMillis: number
  readonly stopMillis: number | "forever"
}

const atOnce: Behaviour = { startMillis: 0, stopMillis: 0 }

/** Where a child carries its stand-in's behaviour. */
const behaviourKey = "~snakepit/core/Simulation"

export const withBehaviour = <C extends Child.Any>(child: C, behaviour: Behaviour): C => ({ ...child, [behaviourKey]: behaviour })

export const behaviourOf = (child: Child.Any): Behaviour => (child as { [behaviourKey]?: Behaviour })[behaviourKey] ?? atOnce

/** What the stand-in of a path does, in all its generations, and its present life. */
interface Actor {
  failing: number
  failure: "fail" | "ignore"
  startMillis: number | undefined
  stopMillis: number | "forever" | undefined
  /** Present while it lives. */
  end: ((how: EndingHow) => void) | undefined
}

/** One filling of a path; `start` counts all starts of the tree. */
interface Life {
  readonly path: string
  readonly generation: number
  readonly start: number
}

/** All stand-ins of a tree, by path. `<path>/*` is every child of a supervisor. */
export class Actors {
  private readonly actors = new Map<string, Actor>()
  private starts = 0
  private readonly write: (entry: Entry) => void
  private readonly now: () => number
  private readonly fates: Fates | undefined

  constructor(write: (entry: Entry) => void, now: () => number, fates: Fates | undefined) {
    this.write = write
    this.now = now
    this.fates = fates
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

  /** The start of a stand-in for a child that is no supervisor. */
  start(behaviour: Behaviour): Child.Options["start"] {
    return Effect.withFiber((fiber) => {
      const { life, scope } = this.given(fiber)
      const actor = this.of(life.path)
      const fate = this.fates?.(life, this.now())
      const refused = this.refuse(life, fate)
      if (refused !== undefined) return refused
      let over = false
      const down = Effect.sync(() => this.tell(life, "down"))
      const release = Effect.suspend(() => {
        actor.end = undefined
        if (over) return down
        this.tell(life, "stopping")
        const millis = actor.stopMillis ?? behaviour.stopMillis
        if (millis === 0) return down
        const ended = Effect.callback<void>((resume) => { // it may also end by itself meanwhile
          actor.end = () => {
            actor.end = undefined
            resume(Effect.void)
          }
        })
        return Effect.andThen(millis === "forever" ? ended : Effect.raceFirst(ended, Effect.sleep(millis)), down)
      })
      const living = Effect.callback<void, string>((resume) => {
        actor.end = (how) => {
          actor.end = undefined
          over = true
          this.tell(life, "ended")
          resume(endings[how])
        }
      })
      const up = Effect.sync(() => {
        this.tell(life, "up")
        const { ends } = fate ?? {}
        return ends === undefined ? living : Effect.raceFirst(
          living,
          Effect.andThen(Effect.sleep(ends.afterMillis), Effect.sync(() => actor.end?.(ends.how)).pipe(Effect.andThen(Effect.never)))
        )
      })
      const taken = fate?.startMillis ?? actor.startMillis ?? behaviour.startMillis
      return Effect.andThen(Scope.addFinalizer(scope, release), taken === 0 ? up : Effect.andThen(lasting(taken), up))
    })
  }

  /** The start of a nested supervisor, with its moments told. */
  startNode(start: Child.Options["start"]): Child.Options["start"] {
    return Effect.withFiber((fiber) => {
      const { life, scope } = this.given(fiber)
      const fate = this.fates?.(life, this.now())
      const booted = Effect.tap(start, () => Effect.sync(() => this.tell(life, "up")))
      const taken = fate?.startMillis ?? 0
      return this.refuse(life, fate) ?? Effect.andThen(
        Scope.addFinalizer(scope, Effect.sync(() => this.tell(life, "down"))),
        taken === 0 ? booted : Effect.andThen(lasting(taken), booted)
      )
    })
  }

  /** What the interpreter gives to every start. */
  private given({ context }: Fiber.Fiber<unknown, unknown>): { readonly life: Life; readonly scope: Scope.Scope } {
    const { generation, path } = Context.getUnsafe(context, Child.CurrentChild)
    return { life: { path, generation, start: this.starts++ }, scope: Context.getUnsafe(context, Scope.Scope) }
  }

  private refuse(life: Life, fate: Fate | undefined): Effect.Effect<Effect.Effect<never>, string> | undefined {
    this.tell(life, "starting")
    if (fate?.answer !== undefined) {
      return Effect.andThen(
        lasting(fate.startMillis ?? 0),
        Effect.suspend(() => this.answer(life, fate.answer!))
      )
    }
    const { path } = life
    const actor = [path, `${path.slice(0, path.lastIndexOf("/"))}/*`].map((of) => this.actors.get(of)).find((actor) => actor?.failing)
    if (actor === undefined) return undefined
    actor.failing--
    return this.answer(life, actor.failure === "ignore" ? "ignored" : "refused")
  }

  private answer(life: Life, answer: "refused" | "ignored"): Effect.Effect<Effect.Effect<never>, string> {
    this.tell(life, answer)
    return answer === "ignored" ? Effect.succeed(Child.ignore) : Effect.fail("would not start")
  }

  private of(path: string): Actor {
    let actor = this.actors.get(path)
    if (actor === undefined) {
      actor = { failing: 0, failure: "fail", startMillis: undefined, stopMillis: undefined, end: undefined }
      this.actors.set(path, actor)
    }
    return actor
  }

  private tell(life: Life, moment: Moment): void {
    this.write({ _tag: "Child", at: this.now(), ...life, moment })
  }
}

const lasting = (millis: number | "forever"): Effect.Effect<void> => millis === "forever" ? Effect.never : Effect.sleep(millis)

const endings: { readonly [How in EndingHow]: Effect.Effect<void, string> } = {
  normal: Effect.void,
  shutdown: Effect.interrupt,
  failed: Effect.fail("failed"),
  defect: Exit.die("defect")
}

/** The same supervisor with a stand-in for every child that is none. */
export const standIn = (supervisor: Supervisor.Any, actors: Actors, observer: Interpreter.Spec["observer"]): Supervisor.Any => {
  const { announce: _, watcher: __, ...spec } = supervisor["~snakepit/core/Supervisor"]
  const changed: Interpreter.Spec = {
    ...spec,
    observer,
    children: spec.children.map((child) => simulated(child, actors, observer)),
    template: spec.template && { ...spec.template, child: (key) => simulated(spec.template!.child(key), actors, observer) },
    added: spec.added && ((key) => simulated(spec.added!(key), actors, observer))
  }
  return { ...supervisor, start: Interpreter.start(changed), "~snakepit/core/Supervisor": changed }
}

const standIns = new WeakSet<Child.Any>()

/** The stand-in of a child; of a supervisor, itself over stand-ins; of a stand-in, the same. */
export const simulated = (child: Child.Any, actors: Actors, observer: Interpreter.Spec["observer"]): Child.Any => {
  if (standIns.has(child)) return child
  const made = substitute(child, actors, observer)
  standIns.add(made)
  return made
}

const substitute = (child: Child.Any, actors: Actors, observer: Interpreter.Spec["observer"]): Child.Any => {
  if (!("~snakepit/core/Supervisor" in child)) return { ...child, start: actors.start(behaviourOf(child)) }
  const node = standIn(child as Supervisor.Any, actors, observer)
  return { ...node, start: actors.startNode(node.start) }
}
