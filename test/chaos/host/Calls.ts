/** Makes calls as a user would, and writes down each call before it is made and its outcome when the caller was told. */
import { Cause, Effect, Exit, Option, Stream } from "effect"
import { writeSync } from "node:fs"
import { type CallError, Pool } from "snakepit"
import type * as Chance from "../Chance.ts"
import type { Line, Outcome } from "../Ledger.ts"
import { type Asked, mix, Tools } from "./Tools.ts"

/** After a call that failed at once: a pool that is down must not be asked a million times. */
const pause = "5 millis"

/** Short, so that there are many. */
const usualMillis = 12

/** A call of the mix takes some milliseconds; 10 s leave room for a worker before it that must first be found stopped, three times over. */
const mixBoundMillis = 10_000

/** What the calls of one host are made with. */
export interface Calls {
  /** One call of the mix, as the choices have it, that takes at most so long. */
  readonly mixed: (pool: string, chance: Chance.Chance, mostMillis?: number) => Effect.Effect<void>
  /** A call of this tool, begun; its id. */
  readonly begin: (call: Asked) => Effect.Effect<number>
  readonly outcome: (id: number) => Effect.Effect<Outcome>
  /** Returns when every call is over. */
  readonly allOver: Effect.Effect<void>
  /** From now on callers may be interrupted. */
  readonly ending: () => void
}

type Clients = Effect.Success<ReturnType<typeof clientsOf>>

const clientsOf = (pools: ReadonlyArray<string>) =>
  Effect.map(
    Effect.forEach(pools, (pool) => Effect.map(Pool.client(Tools, { pool }), (client) => [pool, client] as const)),
    (clients) => new Map(clients)
  )

/** Calls of these pools, written to the open file `ledger`. */
export const make = (pools: ReadonlyArray<string>, ledger: number) => Effect.map(clientsOf(pools), (clients) => new Caller(clients, ledger))

class Caller implements Calls {
  private readonly clients: Clients
  private readonly ledger: number
  private readonly open = new Map<number, Set<(outcome: Outcome) => void>>()
  /** Of those that were begun one by one: who asks may come later. */
  private readonly over = new Map<number, Outcome>()
  private last = 0

  constructor(clients: Clients, ledger: number) {
    this.clients = clients
    this.ledger = ledger
  }

  readonly mixed: Calls["mixed"] = (pool, chance, mostMillis = usualMillis) =>
    Effect.suspend(() => {
      const tool = chance.of(mix)
      const millis = chance.between(0, mostMillis)
      const burn = chance.between(0, 3) === 0
      const elements = chance.between(0, 6)
      const client = this.clients.get(pool)!
      return this.told(pool, tool, (id) => {
        switch (tool) {
          case "once":
          case "again":
            return same(id, client[tool]({ id, millis, burn }))
          case "once_stream":
          case "again_stream":
            return counted(elements, client[tool]({ id, elements, millis: millis / 4 }))
        }
      }, { bound: mixBoundMillis })
    }).pipe(Effect.flatMap((outcome) => outcome === "completed" ? Effect.void : Effect.sleep(pause)))

  readonly begin: Calls["begin"] = (asked) =>
    Effect.gen({ self: this }, function*() {
      const client = this.clients.get(asked.pool)!
      const id = this.last + 1
      const made = (id: number): Effect.Effect<number, CallError.CallError> => {
        switch (asked.tool) {
          case "nap":
          case "hold_lock":
          case "grandchildren":
          case "ignore_sigterm":
            return client[asked.tool]({ id, seconds: asked.seconds })
          case "crash":
            return client.crash({ id: asked.as ?? id, how: asked.how })
          case "again_crash":
            return client.again_crash({ id: asked.as ?? id, how: asked.how })
          case "eat":
            return client.eat({ id, bytes: asked.bytes })
          case "cut":
            return client.cut({ id, millis: asked.millis })
          case "again_copy":
            return Effect.map(
              client.again_copy({ id, data: new Uint8Array(asked.bytes).fill(id) }),
              (copy) => copy.length === asked.bytes && copy.every((byte) => byte === id % 256) ? id : -1
            )
          default:
            return client[asked.tool]({ id })
        }
      }
      yield* Effect.forkDetach(this.told(asked.pool, asked.tool, (id) => same(id, made(id)), { isAskedFor: true }), {
        startImmediately: true
      })
      return id
    })

  readonly outcome: Calls["outcome"] = (id) =>
    Effect.callback((resume) => {
      const known = this.over.get(id)
      if (known !== undefined) return resume(Effect.succeed(known))
      this.open.get(id)?.add((outcome) => resume(Effect.succeed(outcome)))
    })

  readonly allOver = Effect.suspend(() => Effect.asVoid(Effect.forEach([...this.open.keys()], this.outcome)))

  /** `call` fails with text when what it got is wrong. */
  private told(
    pool: string,
    tool: string,
    call: (id: number) => Effect.Effect<void, CallError.CallError | string>,
    { bound, isAskedFor = false }: { readonly bound?: number; readonly isAskedFor?: boolean }
  ): Effect.Effect<Outcome> {
    return Effect.suspend(() => {
      const id = ++this.last
      const idempotent = tool.startsWith("again")
      this.open.set(id, new Set())
      this.write({ id, pool, tool, idempotent, at: Date.now(), ...(bound === undefined ? {} : { bound }) })
      let outcome: Outcome = "interrupted"
      const tell = (exit: Exit.Exit<void, CallError.CallError | string>) =>
        Effect.sync(() => {
          outcome = this.tell(id, exit)
          if (isAskedFor) this.over.set(id, outcome)
        })
      return Effect.map(Effect.exit(Effect.onExit(call(id), tell)), () => outcome)
    })
  }

  readonly ending = () => this.write({ ending: Date.now() })

  private tell(id: number, exit: Exit.Exit<void, CallError.CallError | string>): Outcome {
    const { cause, outcome } = outcomeOf(exit)
    this.write({ id, outcome, ...(cause === undefined ? {} : { cause }) })
    for (const hear of this.open.get(id) ?? []) hear(outcome)
    this.open.delete(id)
    return outcome
  }

  private write(line: Line): void {
    writeSync(this.ledger, `${JSON.stringify(line)}\n`)
  }
}

const same = (id: number, call: Effect.Effect<number, CallError.CallError>): Effect.Effect<void, CallError.CallError | string> =>
  Effect.flatMap(call, (got) => got === id ? Effect.void : Effect.fail(`it returned ${got}`))

/** A stream may fail after some elements, but those it gave are the first ones, in order; whole, it has all. */
const counted = (elements: number, stream: Stream.Stream<number, CallError.CallError>) =>
  Effect.suspend(() => {
    let next = 0
    const take = (element: number) =>
      element === next++ ? Effect.void : Effect.fail(`its stream gave ${element} where ${next - 1} was next`)
    return Stream.runForEach(stream, take).pipe(
      Effect.andThen(Effect.suspend(() => next === elements ? Effect.void : Effect.fail(`its stream ended after ${next} of ${elements}`)))
    )
  })

const byExecution = { no: "refused", failed: "failed", unknown: "unknown" } as const

const outcomeOf = (exit: Exit.Exit<void, CallError.CallError | string>): { readonly outcome: Outcome; readonly cause?: string } => {
  if (Exit.isSuccess(exit)) return { outcome: "completed" }
  const error = Cause.findErrorOption(exit.cause)
  if (Option.isNone(error)) {
    return Cause.hasInterruptsOnly(exit.cause) ? { outcome: "interrupted" } : { outcome: "wrong", cause: Cause.pretty(exit.cause) }
  }
  if (typeof error.value === "string") return { outcome: "wrong", cause: error.value }
  return { outcome: byExecution[error.value.executed], cause: `${error.value._tag}: ${error.value.message}` }
}
