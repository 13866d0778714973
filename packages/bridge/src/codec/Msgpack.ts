/** Values as MessagePack: maps are plain objects, bytes stay bytes, integers beyond 2^53 are bigint. What has no form in Python throws. */
import type { WorkerRuntime } from "@snakepit/pool"
import { type Options, Packr } from "msgpackr"

const refuse = (what: string) => (): never => {
  throw new TypeError(`${what} has no form that Python can read`)
}

/** msgpackr has all of these; its types leave some out. */
const options = {
  useRecords: false,
  int64AsType: "auto", // a number where it is exact and a bigint beyond
  skipValues: [undefined], // a field that is undefined is one that is left out, as in JSON: Python has its default for it
  encodeUndefinedAsNil: true, // elsewhere
  writeFunction: refuse("a function"), // else undefined
  onInvalidDate: refuse("an invalid Date") // else a timestamp that nobody can read
} as unknown as Options

const packr = new Packr(options)

/** What msgpackr says in terms of its own. */
const inWords = (error: unknown): unknown => {
  if (!(error instanceof RangeError)) return error
  const [, integer] = /^(-?\d+) was too large/.exec(error.message) ?? []
  return new RangeError(
    integer === undefined ? "it is nested too deeply, or contains itself" : `${integer} has more than 64 bits: send it as text`
  )
}

export const Msgpack: WorkerRuntime.PayloadCodec = {
  encode: (value) => {
    try {
      return packr.pack(value)
    } catch (error) {
      throw inWords(error)
    }
  },
  decode: (payload) => packr.unpack(payload)
}
