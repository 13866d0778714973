/**
 * One procedure of a contract, made ready for calls: what its schemas and annotations come to between values and bytes.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Rpc from "effect/rpc/Rpc"
import * as RpcSchema from "effect/rpc/RpcSchema"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type * as Stream from "effect/Stream"
import { Agreement, anyInput } from "./Agreement.ts"
import * as CallError from "./CallError.ts"
import type { Payload } from "./Payload.ts"
import type { Breaker, RateLimit } from "./PoolConfig.ts"
import type { RetryDelay } from "./RetryDelay.ts"
import * as Tool from "./Tool.ts"
import type { PayloadCodec } from "./WorkerRuntime.ts"

/**
 * Which values are checked against the contract. What a schema transforms is always decoded and encoded; `both` also checks what it would
 * leave as it is.
 */
export type Check = "both" | "arguments" | "none"

export interface Signature {
  readonly pool: string
  readonly tool: string
  /** It gives a stream of elements. */
  readonly streams: boolean
  /** The field of its payload that is a stream of inputs. */
  readonly input: string | undefined
  readonly idempotent: boolean | undefined
  readonly deterministic: boolean | undefined
  readonly callTimeoutMillis: number | undefined
  readonly hardLimitMillis: number | undefined
  readonly blocking: boolean | undefined
  readonly retry: RetryDelay | undefined
  readonly breaker: Breaker | undefined
  readonly rateLimit: RateLimit | undefined
  /** Without the stream of inputs. */
  readonly encode: (payload: unknown) => Exit.Exit<Payload, CallError.InvalidPayload>
  /** One element of the stream of inputs: its `position` from 0, its bytes within `limit`. */
  readonly encodeInput: (element: unknown, position: number, limit: number) => Exit.Exit<Payload, CallError.InvalidInput>
  /** A result, or an element of a stream. */
  readonly decode: (payload: Uint8Array) => Exit.Exit<unknown, CallError.InvalidResult>
  /** The error as the contract has it. */
  readonly errorOf: (error: CallError.CallError) => Error
  readonly agreement: Agreement
}

export const make = (pool: string, codec: PayloadCodec, rpc: Rpc.AnyWithProps, check: Check): Signature => {
  const tool = rpc._tag
  const about = { pool, tool }
  const { successSchema } = rpc
  const streams = RpcSchema.isStreamSchema(successSchema)
  const success = streams ? successSchema.success : successSchema
  const own = streams ? successSchema.error : rpc.errorSchema
  const { element, field: input, rest } = withoutInput(rpc.payloadSchema)
  const encode = encoder(rest, check !== "none")
  const encodeElement = encoder(element, check !== "none")
  const decode = check === "both" || !isPlain(success) ? Schema.decodeUnknownExit(success as Schema.Codec<unknown>) : Exit.succeed
  const isVoid = success.ast._tag === "Void"
  const annotation = <A>(key: Context.Reference<A>): A => Context.get(rpc.annotations, key)

  const invalidPayload = (issue: string) => Exit.fail(new CallError.InvalidPayload({ ...about, executed: "no", issue }))
  const invalidResult = (issue: string) => Exit.fail(new CallError.InvalidResult({ ...about, executed: "failed", issue }))
  const invalidInput = inputRefusal(pool, tool)

  return {
    pool,
    tool,
    streams,
    input,
    idempotent: annotation(Tool.Idempotent),
    deterministic: annotation(Tool.Deterministic),
    callTimeoutMillis: millisOf(annotation(Tool.CallTimeout)),
    hardLimitMillis: millisOf(annotation(Tool.HardLimit)),
    blocking: annotation(Tool.Blocking),
    retry: annotation(Tool.Retry),
    breaker: annotation(Tool.Breaker),
    rateLimit: annotation(Tool.RateLimit),
    encode: (payload) => {
      const encoded = encode(input === undefined ? payload : without(input, payload))
      if (Exit.isFailure(encoded)) return invalidPayload(issueOf(encoded.cause))
      try {
        return Exit.succeed(codec.encode(encoded.value ?? {}))
      } catch (defect) {
        return invalidPayload(unwritable(codec, encoded.value, defect))
      }
    },
    encodeInput: (value, position, limit) => {
      const encoded = encodeElement(value)
      if (Exit.isFailure(encoded)) return invalidInput(position, issueOf(encoded.cause))
      try {
        return within(limit, codec.encode(encoded.value), position, invalidInput)
      } catch (defect) {
        return invalidInput(position, reasonOf(defect))
      }
    },
    decode: (payload) => {
      if (isVoid) return Exit.void
      let value: unknown
      try {
        value = codec.decode(payload)
      } catch (defect) {
        return invalidResult(`it cannot be read: ${reasonOf(defect)}`)
      }
      const decoded = decode(value)
      return Exit.isSuccess(decoded) ? Exit.succeed(decoded.value) : invalidResult(issueOf(decoded.cause))
    },
    errorOf: (error) => error._tag === "PythonError" ? Tool.ownError(own, error) ?? error : error,
    agreement: new Agreement({ pool, tool, streams, input, parts: annotation(Tool.Contract) })
  }
}

type InputRefusal = (position: number, issue: string) => Exit.Exit<never, CallError.InvalidInput>

const inputRefusal = (pool: string, tool: string): InputRefusal => (position, issue) =>
  Exit.fail(new CallError.InvalidInput({ pool, tool, executed: "unknown", position, issue }))

const within = (limit: number, payload: Payload, position: number, refuse: InputRefusal) =>
  payload.byteLength <= limit
    ? Exit.succeed(payload)
    : refuse(position, `it takes ${payload.byteLength} bytes, and maxPayload allows ${limit}`)

/** What the method of an untyped tool takes. */
export interface Untyped {
  readonly payload: Payload
  /** Each input in bytes, where the tool takes a stream of them. */
  readonly inputs?: Stream.Stream<Uint8Array, unknown, unknown> | undefined
}

/** A tool that no contract describes: bytes go in and come out as they are, and what its worker announces decides. */
export const untyped = (pool: string, tool: string, streams: boolean, takesInputs: boolean): Signature => {
  const refuse = inputRefusal(pool, tool)
  const inputs: keyof Untyped = "inputs"
  return {
    pool,
    tool,
    streams,
    input: takesInputs ? inputs : undefined,
    idempotent: undefined,
    deterministic: undefined,
    callTimeoutMillis: undefined,
    hardLimitMillis: undefined,
    blocking: undefined,
    retry: undefined,
    breaker: undefined,
    rateLimit: undefined,
    encode: (call) => Exit.succeed((call as Untyped).payload),
    encodeInput: (element, position, limit) => within(limit, element as Uint8Array, position, refuse),
    decode: Exit.succeed,
    errorOf: (error) => error,
    agreement: new Agreement({ pool, tool, streams, input: takesInputs ? anyInput : undefined, parts: undefined })
  }
}

/** The payload as it is sent before any input, and the stream of inputs. */
const withoutInput = (payload: Schema.Top) => {
  const fields = "fields" in payload ? payload.fields as Schema.Struct.Fields : {}
  for (const [field, schema] of Object.entries(fields)) {
    if (!Tool.isInputStream(schema as Schema.Top)) continue
    const { [field]: input, ...rest } = fields
    return { field, element: (input as Tool.InputStream<Schema.Top>).element, rest: Schema.Struct(rest) as Schema.Top }
  }
  return { field: undefined, element: Schema.Never as Schema.Top, rest: payload }
}

/** A struct without fields keeps all that it is given. */
const without = (field: string, payload: unknown): unknown => {
  const { [field]: _, ...rest } = payload as Record<string, unknown>
  return rest
}

/** Its values are the same encoded and decoded. */
const isPlain = ({ ast }: Schema.Top): boolean => SchemaAST.toEncoded(ast) === ast

const encoder = (schema: Schema.Top, checked: boolean): (value: unknown) => Exit.Exit<unknown, { readonly message: string }> => {
  if (!checked && isPlain(schema)) return Exit.succeed
  const encode = Schema.encodeUnknownExit(schema as Schema.Codec<unknown>)
  return (value) => {
    const encoded = encode(value)
    if (Exit.isSuccess(encoded) || Cause.hasDies(encoded.cause)) return encoded
    const made = schema.makeOption(value) // what a constructor fills in
    return Option.isSome(made) ? encode(made.value) : encoded
  }
}

/** Why arguments cannot be written, with the first of them that cannot. */
const unwritable = (codec: PayloadCodec, value: unknown, defect: unknown): string => {
  for (const [name, argument] of Object.entries(value ?? {})) {
    try {
      codec.encode(argument)
    } catch (why) {
      return `argument "${name}" cannot be sent: ${reasonOf(why)}`
    }
  }
  return `they cannot be sent: ${reasonOf(defect)}`
}

const reasonOf = (defect: unknown): string => {
  if (!(defect instanceof Error)) return String(defect)
  return defect instanceof RangeError && defect.message.includes("call stack")
    ? "they contain themselves, or are nested too deeply"
    : defect.message
}

export const millisOf = (limit: Duration.Input | undefined): number | undefined =>
  limit === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(limit))

const issueOf = (cause: Cause.Cause<{ readonly message: string }>): string =>
  Option.match(Cause.findErrorOption(cause), { onNone: () => reasonOf(Cause.squash(cause)), onSome: (error) => error.message })
