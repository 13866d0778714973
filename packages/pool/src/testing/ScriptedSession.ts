/**
 * What one process of a scripted worker has of sessions: the hooks, the state, and that a session ends when its calls are over, as in Python.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { PayloadCodec } from "../WorkerRuntime.ts"
import * as ScriptedTool from "./ScriptedTool.ts"

/** What the hooks of a script get, as those of Python do. */
export interface HookSession {
  readonly id: string
  /** What it was opened with. */
  readonly data: unknown
  /** The same object in each call of the session on this worker. */
  readonly state: Record<string, unknown>
}

/** As `on_session_start` and `on_session_end` in Python; they may throw `ScriptedTool.raise`. */
export interface Hooks {
  readonly start?: ((session: HookSession) => void) | undefined
  readonly end?: ((session: HookSession) => void) | undefined
}

/** One start of a session on a worker. */
export interface SessionStart {
  readonly session: string
  readonly data: unknown
  /** `default/0`. */
  readonly worker: string
  /** Of the process. */
  readonly generation: number
  /** Calls that ran in it. */
  calls: number
  /** `ended`: its host said so. `drained`: with its worker, in order. `abandoned`: its host was forgotten. `lost`: with its worker. */
  how: "open" | "ended" | "drained" | "abandoned" | "lost"
}

/** A session on one process, from its first call to its end. */
export interface Visit {
  readonly hook: HookSession
  /** Ended before this one begins: of the same id. */
  readonly before: Visit | undefined
  readonly over: Latch.Latch
  calls: number
  entry: SessionStart | undefined
  /** Called at its end, once its calls are over. */
  ending: ((failure: string) => void) | undefined
}

/** What {@link ScriptedSessions} takes. */
export interface Options {
  readonly codec: PayloadCodec
  readonly hooks: Hooks
  readonly journal: Array<SessionStart>
}

export class ScriptedSessions {
  private readonly options: Options
  /** The latest of each id, until it is over. */
  private readonly visits = new Map<string, Visit>()
  /** Those that are not over, also those that others of the same id wait for. */
  private readonly left = new Set<Visit>()

  constructor(options: Options) {
    this.options = options
  }

  /** What it begins with; its first call begins it. */
  announce(id: string, data: Uint8Array): void {
    this.make(id, this.options.codec.decode(data))
  }

  /** A call of the session has come. */
  join(id: string): Visit {
    const present = this.visits.get(id)
    const visit = present === undefined || present.ending !== undefined ? this.make(id, null) : present
    visit.calls++
    return visit
  }

  /** Before a call of it runs; fails with what a hook has thrown. */
  enter(visit: Visit, worker: string, generation: number): Effect.Effect<void, ScriptedTool.Raised> {
    return Effect.gen({ self: this }, function*() {
      if (visit.before !== undefined) yield* visit.before.over.await
      const { hooks, journal } = this.options
      const { data, id } = visit.hook
      if (visit.entry === undefined) {
        yield* Effect.try({ try: () => hooks.start?.(visit.hook), catch: raisedOf })
        visit.entry = { session: id, data, worker, generation, calls: 0, how: "open" }
        journal.push(visit.entry)
      }
      visit.entry.calls++
    })
  }

  /** A call of it is over. */
  leave(visit: Visit): void {
    visit.calls--
    this.finish(visit, "ended")
  }

  /** It ends when its calls are over. */
  end(id: string, told: (failure: string) => void): void {
    const visit = this.visits.get(id)
    if (visit === undefined || visit.ending !== undefined) return told("")
    visit.ending = told
    this.finish(visit, "ended")
  }

  /** All end, as far as they have no calls. */
  endAll(how: "drained" | "abandoned"): void {
    for (const visit of [...this.visits.values()]) {
      visit.ending ??= () => {}
      this.finish(visit, how)
    }
  }

  /** The process is gone. */
  lose(): void {
    for (const { entry } of this.left) if (entry?.how === "open") entry.how = "lost"
    this.visits.clear()
    this.left.clear()
  }

  private make(id: string, data: unknown): Visit {
    const hook = { id, data, state: {} }
    const before = this.visits.get(id)
    const visit: Visit = { hook, before, over: Latch.makeUnsafe(false), calls: 0, entry: undefined, ending: undefined }
    this.visits.set(id, visit)
    this.left.add(visit)
    return visit
  }

  private finish(visit: Visit, how: "ended" | "drained" | "abandoned"): void {
    const { ending, entry, hook, over } = visit
    if (ending === undefined || visit.calls > 0 || over.isOpen()) return
    if (this.visits.get(hook.id) === visit) this.visits.delete(hook.id)
    this.left.delete(visit)
    over.openUnsafe()
    let failure = ""
    if (entry !== undefined) {
      entry.how = how
      try {
        this.options.hooks.end?.(hook)
      } catch (thrown) {
        failure = raisedOf(thrown).message
      }
    }
    ending(failure)
  }
}

const raisedOf = (thrown: unknown): ScriptedTool.Raised => new ScriptedTool.Raised(ScriptedTool.raisedBy(thrown))
