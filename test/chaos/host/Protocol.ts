/**
 * What runner and host say to each other, one JSON object a line: a request on the host's stdin, its answer on stdout.
 *
 * ```text
 * runner ─ {"token":3,"op":"fail","supervisor":"snakepit/pools/default","child":"control"} ─▶ host
 * runner ◀─ {"token":3,"value":null}  or  {"token":3,"refused":"why"} ────────────────────── host
 * runner ◀─ {"ready":"<run id>"} once, when every worker of every pool is up
 * ```
 *
 * The end of stdin means that the runner is gone: the host kills itself.
 */
import type { Contract, Event, SnakepitConfig, Tree } from "snakepit"
import type { Outcome } from "../Ledger.ts"
import type { Asked } from "./Tools.ts"

/** The step of a shutdown that an event is: its name and what it is about. Two others have no event. */
export const stepOf = ({ attributes, name }: Pick<Event.Event, "name" | "attributes">): string => {
  const { path, pool, slot, tool } = attributes
  if (name.includes("_supervisor.")) return `${name} ${path}`
  return `${name} ${tool ?? (slot === undefined ? pool ?? "" : `${pool}/${slot}`)}`.trimEnd()
}
export const firstStep = "before anything"
export const lastStep = "after everything"

/** What a host is started with, as its one argument. */
export interface Plan {
  readonly config: SnakepitConfig.SnakepitConfigInput
  /** A file with more of the configuration. */
  readonly configFile?: string | undefined
  readonly ledger: string
  /** Every event, one JSON object a line, written when it is emitted. */
  readonly events: string
  /** The `seq` of each event that its history has acknowledged, one a line, written when it is. */
  readonly acknowledged: string
}

/** Each request and what answers it. */
export interface Requests {
  /** So many more calls of the mix, drawn from the seed, each of at most so long, from so many callers; answers when all are over. */
  readonly load: {
    readonly ask: { readonly calls: number; readonly callers: number; readonly seed: number; readonly mostMillis: number }
    readonly answer: null
  }
  /** Calls of the mix in these pools (all of them) until `rest`; answers at once. Asked again, it goes on with what the new seed gives. */
  readonly keepBusy: {
    readonly ask: { readonly callersPerPool: number; readonly seed: number; readonly pools?: ReadonlyArray<string> }
    readonly answer: null
  }
  /** No further call of `keepBusy` until that is asked for again; answers when all calls are over. */
  readonly rest: { readonly ask: object; readonly answer: null }
  /** One call; answers at once with its id. */
  readonly call: { readonly ask: Asked; readonly answer: number }
  /** The outcome of that call, when it is over. */
  readonly outcome: { readonly ask: { readonly id: number }; readonly answer: Outcome }
  /** Rolls out the code of the pool's adapter as it is now; answers when every worker has it, or where it was rolled back, and why. */
  readonly reload: {
    readonly ask: { readonly pool: string }
    readonly answer: { readonly version: string } | { readonly stage: string; readonly reason: string }
  }
  readonly tree: { readonly ask: object; readonly answer: Tree.SupervisorNode }
  readonly contract: { readonly ask: object; readonly answer: Contract.Contract }
  readonly fail: { readonly ask: { readonly supervisor: string; readonly child: string }; readonly answer: null }
  /**
   * Fails the child whenever it runs, until its supervisor gave up, or `most` times; answers how often it was failed. Of the root there may
   * be no answer: the program ends.
   */
  readonly spend: {
    readonly ask: { readonly supervisor: string; readonly child: string; readonly most: number }
    readonly answer: number
  }
  /** Emits so many supervision events each millisecond, copies of one of its own, for as long as it lives; answers at once. */
  readonly repeatEvents: { readonly ask: { readonly perMilli: number }; readonly answer: null }
  /** Sets its wall clock, as its `Clock` has it, ahead by so much, or back. */
  readonly setClock: { readonly ask: { readonly millis: number }; readonly answer: null }
  /** Collects its garbage, which takes `--expose-gc`; answers with the bytes that its objects take then. */
  readonly collect: { readonly ask: object; readonly answer: number }
  /** Ends the program as its user would. With `stopAt`, it stops itself so long after that step of its shutdown. */
  readonly end: { readonly ask: { readonly stopAt?: string; readonly afterMillis?: number }; readonly answer: null }
}

export type Op = keyof Requests

export type Request = { [O in Op]: { readonly token: number; readonly op: O } & Requests[O]["ask"] }[Op]

export type Said =
  | { readonly ready: string }
  | { readonly token: number; readonly value: unknown }
  | { readonly token: number; readonly refused: string }
