/**
 * What a supervisor has heard since it told its last decision, as each decision carries it to a sink that `watches`: with it a supervisor's
 * decisions can be made again.
 *
 * **Details**
 *
 * A machine is a function of what it hears, and when (`SupervisorMachine`). So the attribute `heard` of the events of supervisors is a
 * record of that, as JSON: the number of the supervisor, which no other that ran in the tree has, how often it has told before, and its
 * inputs in their order, the one that the decision was made at last. Its first input is `Boot`, with the flags, the children, and the
 * restarts of before that count. Of the reason of an exit the tag is kept; what else it said stands in the event.
 *
 * What was heard after the last decision is in no event: nothing was decided by it.
 *
 * **Example** (What a recorded decision was made by)
 *
 * ```ts
 * import { type Event, Heard } from "@snakepit/core"
 *
 * declare const event: Event.Event
 *
 * const heard = Heard.read(event.attributes["heard"])
 * const exits = heard?.inputs.filter(({ event }) => event._tag === "ChildExited")
 * ```
 */
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { ExitReason } from "./ExitReason.ts"
import type * as Intensity from "./Intensity.ts"
import * as Semantics from "./Semantics.ts"
import * as SupervisorError from "./SupervisorError.ts"
import type * as State from "./SupervisorState.ts"

/** One input of a machine. `at` is in milliseconds, by the clock that its decisions are made by. */
export interface Input {
  readonly at: number
  readonly event: State.Event
  /** What the machine is made of: with `Boot`. */
  readonly made: State.Options | undefined
}

/** What one supervisor has heard. */
export interface Heard {
  /** Its number in the tree. */
  readonly supervisor: number
  /** How often it had told before: who misses one, misses what was heard then. */
  readonly nth: number
  readonly inputs: ReadonlyArray<Input>
  /** It had heard more than is kept: what it decides from then on cannot be made again. */
  readonly isCut: boolean
}

/** 10,000 inputs without a decision are kept: a megabyte. Whoever starts more children than that without one of them ending is not followed. */
const most = 10_000

// ── as it is written ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const Facts = Schema.Struct({
  id: Schema.String,
  restart: Schema.Literals(["permanent", "transient", "temporary"]),
  significant: Schema.Boolean
})

const Flags = Schema.Struct({
  strategy: Schema.Literals(["one_for_one", "one_for_all", "rest_for_one"]),
  autoShutdown: Schema.Literals(["never", "any", "all"]),
  /** `null`: any number. */
  maxChildren: Schema.NullOr(Schema.Finite),
  /** `null`: unlimited. */
  limit: Schema.NullOr(Schema.Struct({ maxRestarts: Schema.Finite, withinMillis: Schema.Finite })),
  dynamic: Schema.Boolean,
  children: Schema.Array(Facts)
})
type Flags = typeof Flags.Type

const Made = Schema.Struct({
  ...Flags.fields,
  /** Restarts of before. */
  spent: Schema.Array(Schema.Finite),
  /** Absent: `Semantics.production`. */
  semantics: Schema.optional(Schema.Struct({
    window: Schema.Literals(["milliseconds", "whole seconds"]),
    delay: Schema.Literals(["policy", "none"]),
    serve: Schema.Literals(["always", "between operations"]),
    coalesce: Schema.Boolean,
    revive: Schema.Boolean,
    heal: Schema.Boolean,
    autoShutdown: Schema.Literals(["own endings", "every change"]),
    giveUp: Schema.Literals(["shutdown", "abnormal"]),
    ignoredInstance: Schema.Literals(["keep", "drop"])
  }))
})

const at = { at: Schema.Finite }
const child = { ...at, id: Schema.String }
const life = { ...child, generation: Schema.Int }
const abandonedAfterMillis = Schema.optional(Schema.Finite)
/** The tag of an exit reason; `GaveUp` when the child is a supervisor and failed with that. */
const reason = Schema.Literals(["Normal", "Shutdown", "Killed", "Failed", "Defect", "GaveUp"])
const exit = { reason, incident: Schema.String }

const Written = Schema.Union([
  Schema.TaggedStruct("Boot", { ...at, made: Made }),
  Schema.TaggedStruct("ChildStarted", life),
  Schema.TaggedStruct("ChildIgnored", life),
  Schema.TaggedStruct("ChildStartFailed", { ...life, ...exit, abandonedAfterMillis }),
  Schema.TaggedStruct("ChildExited", { ...life, ...exit, abandonedAfterMillis }),
  Schema.TaggedStruct("ChildStopped", { ...life, abandonedAfterMillis }),
  Schema.TaggedStruct("DelayKnown", { ...at, ask: Schema.Int, /** `null`: for ever. */ delayMillis: Schema.NullOr(Schema.Finite) }),
  Schema.TaggedStruct("DelayRefused", { ...at, ask: Schema.Int }),
  Schema.TaggedStruct("Due", { ...at, ask: Schema.Int }),
  Schema.TaggedStruct("Settled", at),
  Schema.TaggedStruct("FailChild", { ...child, ...exit, generation: Schema.optional(Schema.Int) }),
  Schema.TaggedStruct("StartChild", { ...at, child: Facts }),
  Schema.TaggedStruct("RestartChild", child),
  Schema.TaggedStruct("TerminateChild", child),
  Schema.TaggedStruct("DeleteChild", child),
  Schema.TaggedStruct("Change", { ...at, flags: Flags }),
  Schema.TaggedStruct("Shutdown", { ...at, why: Schema.String }),
  Schema.TaggedStruct("Kill", at)
])
type Written = typeof Written.Type

const Line = Schema.fromJsonString(Schema.Struct({
  of: Schema.Int,
  nth: Schema.Int,
  inputs: Schema.Array(Written),
  cut: Schema.optional(Schema.Boolean)
}))

// ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Keeps what one supervisor hears, until it decides. */
export class Ear {
  private inputs: Array<Written> = []
  private isCut = false
  private told = 0
  private readonly supervisor: number

  constructor(supervisor: number) {
    this.supervisor = supervisor
  }

  /** `state` is as it was before. */
  hear(event: State.Event, at: number, state: State.SupervisorState): void {
    const input = written(event, at, state)
    if (input === undefined) return
    if (this.inputs.length < most) this.inputs.push(input)
    else this.isCut = true
  }

  /** What was heard since this was asked last. */
  take(): string {
    const { inputs, isCut, supervisor } = this
    this.inputs = []
    this.isCut = false
    return JSON.stringify({ of: supervisor, nth: this.told++, ...isCut ? { inputs: [], cut: true } : { inputs } })
  }
}

const written = (event: State.Event, at: number, state: State.SupervisorState): Written | undefined => {
  switch (event._tag) {
    case "Boot": {
      const { semantics, window } = state
      const known = semantics === Semantics.production ? undefined : semantics
      const flags = flagsOf({ ...state, limit: window.limit, children: [...state.children.values()].map(({ facts }) => facts) })
      return { _tag: "Boot", at, made: { ...flags, spent: window.times.slice(window.head), semantics: known } }
    }
    case "ChildStarted":
    case "ChildIgnored":
      return { _tag: event._tag, at, id: event.id, generation: event.generation }
    case "ChildStopped":
      return { _tag: event._tag, at, id: event.id, generation: event.generation, abandonedAfterMillis: event.abandonedAfterMillis }
    case "ChildStartFailed":
    case "ChildExited": {
      const { abandonedAfterMillis, generation, id, incident, reason } = event
      return { _tag: event._tag, at, id, generation, reason: tagOf(reason), incident, abandonedAfterMillis }
    }
    case "DelayKnown":
      return { _tag: event._tag, at, ask: event.ask, delayMillis: event.delayMillis }
    case "DelayRefused":
    case "Due":
      return { _tag: event._tag, at, ask: event.ask }
    case "FailChild":
      return { _tag: event._tag, at, id: event.id, generation: event.generation, reason: tagOf(event.reason), incident: event.incident }
    case "StartChild":
      return { _tag: event._tag, at, child: factsOf(event.child) }
    case "RestartChild":
    case "TerminateChild":
    case "DeleteChild":
      return { _tag: event._tag, at, id: event.id }
    case "Change": {
      const { children, template, ...flags } = event.change
      const listed = new Map(children.map((facts) => [facts.id, facts]))
      const all = template === undefined ? children : [...state.children.keys()].map((id) => listed.get(id) ?? template(id))
      return { _tag: event._tag, at, flags: flagsOf({ ...flags, dynamic: state.dynamic, children: all }) }
    }
    case "Shutdown":
      return { _tag: event._tag, at, why: event.why }
    case "Settled":
    case "Kill":
      return { _tag: event._tag, at }
    case "Retry":
      return undefined // a machine tells it to itself
  }
}

const flagsOf = (
  flags: Pick<State.Options, "strategy" | "autoShutdown" | "maxChildren" | "limit" | "dynamic" | "children">
): Flags => ({
  strategy: flags.strategy,
  autoShutdown: flags.autoShutdown,
  maxChildren: Number.isFinite(flags.maxChildren) ? flags.maxChildren : null,
  limit: flags.limit === "unlimited" ? null : flags.limit,
  dynamic: flags.dynamic,
  children: flags.children.map(factsOf)
})

const factsOf = ({ id, restart, significant }: State.ChildFacts): State.ChildFacts => ({ id, restart, significant })

const tagOf = (reason: ExitReason): typeof exit.reason.Type =>
  reason._tag === "Failed" && reason.error instanceof SupervisorError.GaveUp ? "GaveUp" : reason._tag

// ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const decode = Schema.decodeUnknownExit(Line)

/** Reads the attribute `heard` of an event; `undefined` when there is none, or none that can be read. */
export const read = (heard: unknown): Heard | undefined => {
  const line = heard === undefined ? undefined : decode(heard)
  if (line === undefined || Exit.isFailure(line)) return undefined
  const { cut = false, inputs, nth, of } = line.value
  return { supervisor: of, nth, inputs: inputs.map(inputOf), isCut: cut }
}

const token = 0 // nobody waits for an answer

const inputOf = (input: Written): Input => ({
  at: input.at,
  event: eventOf(input),
  made: input._tag === "Boot"
    ? { ...flagsFrom(input.made), semantics: input.made.semantics ?? Semantics.production, spent: input.made.spent }
    : undefined
})

const eventOf = (input: Written): State.Event => {
  switch (input._tag) {
    case "Boot":
      return { _tag: input._tag }
    case "ChildStartFailed":
    case "ChildExited":
    case "FailChild":
      return { ...input, reason: reasonOf(input.reason) } as State.Event
    case "DelayKnown":
      return { ...input, delayMillis: input.delayMillis ?? Number.POSITIVE_INFINITY }
    case "DelayRefused":
      return { ...input, error: undefined }
    case "StartChild":
    case "RestartChild":
    case "TerminateChild":
    case "DeleteChild":
      return { ...input, token }
    case "Change": {
      const { children, dynamic, ...flags } = flagsFrom(input.flags)
      const template = (id: string): State.ChildFacts => children.find((facts) => facts.id === id) ?? { ...children[0]!, id }
      return { _tag: input._tag, token, change: { ...flags, children: dynamic ? [] : children, template: dynamic ? template : undefined } }
    }
    default:
      return input
  }
}

const flagsFrom = ({ limit, maxChildren, ...flags }: Flags) => ({
  ...flags,
  maxChildren: maxChildren ?? Number.POSITIVE_INFINITY,
  limit: (limit ?? "unlimited") as Intensity.Limit | "unlimited"
})

const reasonOf = (tag: typeof exit.reason.Type): ExitReason => {
  switch (tag) {
    case "Normal":
      return { _tag: "Normal" }
    case "Shutdown":
      return { _tag: "Shutdown", why: "" }
    case "Killed":
      return { _tag: "Killed", graceMillis: 0 }
    case "Failed":
      return { _tag: "Failed", error: undefined }
    case "Defect":
      return { _tag: "Defect", defect: undefined }
    case "GaveUp":
      return { _tag: "Failed", error: gaveUp }
  }
}

const gaveUp = new SupervisorError.GaveUp({
  path: "",
  because: { path: "", error: undefined },
  limit: undefined,
  escalated: [],
  incident: ""
})
