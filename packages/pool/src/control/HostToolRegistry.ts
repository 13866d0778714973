/**
 * The host tools that calls of one pool may call, by name: those of all its calls, and those of one session alone, which go before.
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { HostOutcome } from "../Wire.ts"

/** On whose behalf a host tool runs. */
export interface Calling {
  readonly pool: string
  readonly slot: number
  /** `default/3`. */
  readonly worker: string
  /** The Python tool that calls. */
  readonly tool: string
  /** Its call, the same in each attempt; unique in a pool while that is up. */
  readonly call: number
  readonly session: string | undefined
  /** Empty: the caller named none. */
  readonly tenant: string
}

/** A host tool that is served. */
export interface Served {
  readonly name: string
  /** Instead of the pool's `hostTools.timeout`. */
  readonly timeoutMillis: number | undefined
  /** What its handler was given. */
  readonly services: Context.Context<never>
  /** From arguments to answer, neither of more than `maxPayload` bytes. */
  readonly run: (payload: Uint8Array, maxPayload: number, calling: Calling) => Effect.Effect<HostOutcome>
  /** Ends what runs of it, when it is served no more. */
  readonly running: Set<() => void>
}

export class HostToolRegistry {
  private readonly ofPool = new Map<string, Served>()
  private readonly ofSessions = new Map<string, Map<string, Served>>()

  /** What a call of a session, or of none, finds under a name. */
  find(session: string | undefined, name: string): Served | undefined {
    const own = session === undefined ? undefined : this.ofSessions.get(session)
    return own?.get(name) ?? this.ofPool.get(name)
  }

  /** What it might have meant. */
  names(session: string | undefined): ReadonlyArray<string> {
    const own = session === undefined ? undefined : this.ofSessions.get(session)
    return [...new Set([...own?.keys() ?? [], ...this.ofPool.keys()])].toSorted()
  }

  /** Serves all of them, or none and says which name is taken. `session` undefined: to all calls of the pool. */
  add(session: string | undefined, tools: ReadonlyArray<Served>): string | undefined {
    const present = session === undefined ? this.ofPool : this.ofSessions.get(session) ?? new Map<string, Served>()
    const taken = tools.find(({ name }) => present.has(name))
    if (taken !== undefined) return taken.name
    for (const tool of tools) present.set(tool.name, tool)
    if (session !== undefined) this.ofSessions.set(session, present)
    return undefined
  }

  /** They are served no more, and what runs of them is ended. */
  remove(session: string | undefined, tools: ReadonlyArray<Served>): void {
    const present = session === undefined ? this.ofPool : this.ofSessions.get(session)
    for (const { name, running } of tools) {
      present?.delete(name)
      for (const end of running) end()
    }
    if (session !== undefined && present?.size === 0) this.ofSessions.delete(session)
  }
}
