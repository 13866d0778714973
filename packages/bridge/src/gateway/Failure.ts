/**
 * How a call through the gateway can fail, as gRPC says it: a status, and a `GatewayError` in the trailing metadata that holds everything the
 * typed error knows. The table stands in `docs/bridge/gateway.md`.
 */
import { create, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf"
import * as grpc from "@grpc/grpc-js"
import type { CallError, Pool } from "@snakepit/pool"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { toUSVString } from "node:util"
import { GatewayErrorSchema } from "../../gen/snakepit/v1/gateway_pb.ts"
import type { PythonException as WireException } from "../../gen/snakepit/v1/worker_pb.ts"

const no = { executed: Schema.Literal("no") }

/** The call did not say who it is from, or not what the gateway expects. */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()("Unauthenticated", no) {
  override get message(): string {
    return "this gateway wants its token: send the metadata `authorization: Bearer <token>`, with the token of its configuration"
  }
}

/** A tool was called with a method that does not fit its form. */
export class WrongMethod extends Schema.TaggedError<WrongMethod>()("WrongMethod", {
  ...no,
  pool: Schema.String,
  tool: Schema.String,
  /** What it is to be called with. */
  method: Schema.Literals(["Execute", "ExecuteStream", "ExecuteWithInputs"])
}) {
  override get message(): string {
    return `"${this.tool}" of pool "${this.pool}" ${forms[this.method]}: call ${this.method}`
  }
}

const forms = {
  Execute: "gives one result",
  ExecuteStream: "streams its results",
  ExecuteWithInputs: "takes a stream of inputs"
}

/** What a client of ExecuteWithInputs sent is not what is expected there. */
export class InvalidMessage extends Schema.TaggedError<InvalidMessage>()("InvalidMessage", {
  /** `no` when it was the first message. */
  executed: Schema.Literals(["no", "unknown"]),
  issue: Schema.String
}) {
  override get message(): string {
    return `ExecuteWithInputs takes one call and then its inputs, and ${this.issue}. Correct the client: a message with \`call\` first, then ` +
      "messages with `payload` or `json`, and perhaps one with `failure` at the end"
  }
}

/** The client said that its inputs failed. The tool was told, and is over. */
export class InputsFailed extends Schema.TaggedError<InputsFailed>()("InputsFailed", {
  pool: Schema.String,
  tool: Schema.String,
  executed: Schema.Literal("unknown"),
  reason: Schema.String
}) {
  override get message(): string {
    return `the client ended the inputs of "${this.tool}" with a failure: ${this.reason}. The tool had the inputs before it, and was told`
  }
}

/** The gateway was stopped, or crashed, while the call was open. Its tool was told to stop. */
export class GatewayStopped extends Schema.TaggedError<GatewayStopped>()("GatewayStopped", { executed: Schema.Literal("unknown") }) {
  override get message(): string {
    return "the gateway was stopped while the call was open, and the tool was told to stop. It may have run: look at what it changes before " +
      "calling it again. The gateway comes back by itself, if its application goes on"
  }
}

/** A fault of the gateway itself. */
export class GatewayFault extends Schema.TaggedError<GatewayFault>()("GatewayFault", { executed: Schema.Literal("unknown") }) {
  override get message(): string {
    return "the gateway itself failed at this call: its application's log has the defect. The call may have run"
  }
}

/** Everything a client may be told. */
export type Failure =
  | CallError.CallError
  | Pool.PoolNotFound
  | Unauthenticated
  | WrongMethod
  | InvalidMessage
  | InputsFailed
  | GatewayStopped
  | GatewayFault

const { status } = grpc

/** The status of each. */
export const codes: { readonly [Tag in Failure["_tag"]]: grpc.status } = {
  // not run: later, or with fewer calls at once, it may be
  QueueFull: status.RESOURCE_EXHAUSTED,
  QueueTimeout: status.RESOURCE_EXHAUSTED,
  CallCycle: status.RESOURCE_EXHAUSTED,
  SessionBusy: status.RESOURCE_EXHAUSTED,
  RateLimited: status.RESOURCE_EXHAUSTED,
  SessionsFull: status.RESOURCE_EXHAUSTED,
  PoolDown: status.UNAVAILABLE,
  PoolDraining: status.UNAVAILABLE,
  CircuitOpen: status.UNAVAILABLE,
  // not run, and never will be as it is
  PoolNotFound: status.NOT_FOUND,
  ToolNotFound: status.NOT_FOUND,
  InvalidPayload: status.INVALID_ARGUMENT,
  PayloadTooLarge: status.INVALID_ARGUMENT,
  ContractMismatch: status.INVALID_ARGUMENT,
  WrongMethod: status.INVALID_ARGUMENT,
  InvalidMessage: status.INVALID_ARGUMENT,
  SessionLost: status.FAILED_PRECONDITION,
  CallPoisoned: status.FAILED_PRECONDITION,
  SessionEnded: status.FAILED_PRECONDITION,
  Unauthenticated: status.UNAUTHENTICATED,
  // ran and failed
  PythonError: status.UNKNOWN, // as gRPC's own servers in Python say of an exception
  ResultTooLarge: status.INTERNAL,
  InvalidResult: status.INTERNAL,
  // may have run
  WorkerCrashed: status.ABORTED,
  OutcomeUnknown: status.ABORTED,
  InvalidInput: status.ABORTED,
  InputsFailed: status.ABORTED,
  CallTimeout: status.DEADLINE_EXCEEDED,
  DeadlineExceeded: status.DEADLINE_EXCEEDED,
  Cancelled: status.CANCELLED,
  GatewayStopped: status.UNAVAILABLE,
  GatewayFault: status.INTERNAL
}

/** The keys of the trailing metadata. */
export const detailsKey = "snakepit-error-bin"
export const outcomeKey = "snakepit.outcome"

/** What may have become of the tool's code, for clients that do not read the details. */
const outcomes = { no: "not_executed", failed: "failed", unknown: "unknown" } as const

/** Bytes. gRPC's libraries refuse more than 8 KiB of metadata by default: in base64 this takes 6, which leaves room for the message. */
const maxDetails = 4608

/** Bytes of the status message as it travels, percent-encoded. The whole one is in the details. */
const maxMessage = 1024

const cut = (text: string, most: number): string => text.length <= most ? text : `${text.slice(0, most - 1)}…`

/** gRPC takes no half of a surrogate pair, as a cut or Python may leave. */
const statusMessage = (text: string): string => {
  const travels = (length: number) => encodeURI(toUSVString(cut(text, length))).length
  let length = Math.min(text.length, maxMessage)
  while (travels(length) > maxMessage) length = Math.floor(length * maxMessage / travels(length))
  return toUSVString(cut(text, length))
}

/** How much of an error is told. */
interface Measure {
  /** The innermost frames, and so many notes, bases and members. */
  readonly frames: number
  /** Characters of each text. */
  readonly text: number
  /** Causes and members of members. */
  readonly depth: number
}

/** From the whole to what fits always. */
const measures: ReadonlyArray<Measure> = [
  { frames: maxDetails, text: maxDetails, depth: maxDetails }, // more could not fit
  { frames: 12, text: 512, depth: 3 },
  { frames: 4, text: 160, depth: 2 },
  { frames: 1, text: 80, depth: 0 },
  { frames: 0, text: 16, depth: 0 }
]

/** Counts what was told, so that no time goes into what does not fit: an exception may hold thousands. */
class Page {
  left: number
  readonly measure: Measure

  constructor(measure: Measure, room: number) {
    this.measure = measure
    this.left = room
  }

  text(text: string): string {
    const shown = cut(text, this.measure.text)
    this.left -= shown.length
    return shown
  }

  each<A, B>(items: ReadonlyArray<A>, to: (item: A) => B): Array<B> {
    const told: Array<B> = []
    for (const item of items) {
      if (--this.left <= 0) break
      told.push(to(item))
    }
    return told
  }

  exception({ bases, cause, frames, implicit, members, message, notes, type }: CallError.PythonException, depth: number): WireException {
    const { measure } = this
    return {
      $typeName: "snakepit.v1.PythonException",
      type: this.text(type),
      bases: this.each(bases.slice(0, measure.frames), (base) => this.text(base)),
      message: this.text(message),
      frames: this.each(measure.frames === 0 ? [] : frames.slice(-measure.frames), ({ file, function: name, line, source }) => ({
        $typeName: "snakepit.v1.Frame",
        file: this.text(file),
        line,
        function: this.text(name),
        source: this.text(source)
      })),
      notes: this.each(notes.slice(0, measure.frames), (note) => this.text(note)),
      implicit,
      ...(cause === undefined || depth === 0 || this.left <= 0 ? {} : { cause: this.exception(cause, depth - 1) }),
      members: this.each(depth === 0 ? [] : members.slice(0, measure.frames), (member) => this.exception(member, depth - 1))
    }
  }

  fact(value: unknown): JsonValue {
    if (typeof value === "string") return this.text(value)
    if (Array.isArray(value)) return this.each(value.slice(0, this.measure.text), (item) => this.fact(item))
    if (typeof value === "object" && value !== null) return this.facts(value)
    return typeof value === "number" || typeof value === "boolean" ? value : null
  }

  facts(value: object): JsonObject {
    return Object.fromEntries(Object.entries(value).flatMap(([key, held]) => held === undefined ? [] : [[key, this.fact(held)]]))
  }
}

/** The details of a failure, whole where they fit into what metadata may take. */
export const details = (failure: Failure): Uint8Array => {
  const { _tag, exception, executed = "no", pool = "", tool = "", ...facts } = failure as
    & { readonly _tag: string; readonly executed?: string; readonly pool?: string; readonly tool?: string }
    & { readonly exception?: CallError.PythonException }
  let bytes = new Uint8Array()
  for (const [index, measure] of measures.entries()) {
    const page = new Page(measure, maxDetails)
    const told = create(GatewayErrorSchema, {
      tag: _tag,
      executed,
      message: page.text(failure.message),
      pool: page.text(pool),
      tool: page.text(tool),
      facts: page.facts(facts),
      shortened: index > 0,
      ...(exception === undefined ? {} : { exception: page.exception(exception, measure.depth) })
    })
    bytes = toBinary(GatewayErrorSchema, told)
    if (page.left > 0 && bytes.byteLength <= maxDetails) break
  }
  return bytes
}

/** What a client is told. */
export const toStatus = (failure: Failure): grpc.StatusObject => {
  const metadata = new grpc.Metadata()
  metadata.set(detailsKey, Buffer.from(details(failure)))
  metadata.set(outcomeKey, outcomes["executed" in failure ? failure.executed : "no"])
  return { code: codes[failure._tag], details: statusMessage(failure.message), metadata }
}

/** What a client is told of a call that was ended: by its own error, with its gateway, or by a defect. */
export const ofCause = (cause: Cause.Cause<Failure>): Failure =>
  Option.getOrElse(
    Cause.findErrorOption(cause),
    () => Cause.hasInterruptsOnly(cause) ? new GatewayStopped({ executed: "unknown" }) : new GatewayFault({ executed: "unknown" })
  )
