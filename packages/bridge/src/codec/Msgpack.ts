/**
 * Values as MessagePack: maps are plain objects, bytes stay bytes, integers beyond 2^53 are bigint, arrays are {@link NdArray.NdArray}.
 * What has no form in Python throws.
 *
 * **Details**
 *
 * Bytes and arrays from 64 KiB on that are the value itself, or directly in an object, are not copied: they are pieces of the payload.
 */
import { NdArray, Payload, type WorkerRuntime } from "@snakepit/pool"
import { addExtension, type Options, Packr } from "msgpackr"

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

/** From here on a payload has a segment to itself, which pieces are written into without a copy on the way. */
export const largeBytes = 65_536

/** "N": name of the type, dimensions, elements. `_ndarray.py` has the form. */
const extension = 78
/** A cache line, and the widest registers. */
const alignment = 64
const head = { map16: 0xde, map32: 0xdf, bin32: 0xc6, ext32: 0xc9 } as const

type Large = Uint8Array | NdArray.NdArray

const isLarge = (value: unknown): value is Large =>
  typeof value === "object" && (value instanceof Uint8Array && value.byteLength >= largeBytes ||
    value instanceof NdArray.NdArray && value.data.byteLength >= largeBytes)

/** Name and shape of an array, as they stand before its elements. */
const aboutArray = ({ dtype, shape }: NdArray.NdArray): Buffer => {
  const about = Buffer.alloc(2 + dtype.length + 8 * shape.length)
  about[0] = dtype.length
  about.write(dtype, 1, "ascii")
  about[1 + dtype.length] = shape.length
  shape.forEach((size, axis) => about.writeBigUInt64LE(BigInt(size), 2 + dtype.length + 8 * axis))
  return about
}

const readArray = (data: Buffer): NdArray.NdArray => {
  const named = 1 + data[0]!
  const dtype = data.toString("ascii", 1, named)
  const shape = Array.from({ length: data.readUInt8(named) }, (_, axis) => Number(data.readBigUInt64LE(named + 1 + 8 * axis)))
  const size = NdArray.sizeOf(dtype, shape) ?? 0
  if (size > data.length - named - 1 - 8 * shape.length) throw new RangeError(`an array with shape [${shape.join(", ")}] is cut off`)
  return NdArray.fromBytes(dtype, shape, data.subarray(data.length - size))
}

addExtension({
  Class: NdArray.NdArray as unknown as new() => NdArray.NdArray,
  type: extension,
  pack: (array) => Buffer.concat([aboutArray(array), NdArray.bytesOf(array)]),
  unpack: readArray
})

/** A large value that begins so many bytes into the payload: what stands before it, and itself. */
const partsOf = (value: Large, at: number): ReadonlyArray<Uint8Array> => {
  if (value instanceof Uint8Array) {
    const before = Buffer.alloc(5)
    before[0] = head.bin32
    before.writeUInt32BE(value.byteLength, 1)
    return [before, value]
  }
  const about = aboutArray(value)
  const padding = (alignment - (at + 6 + about.length) % alignment) % alignment
  const before = Buffer.alloc(6 + about.length + padding)
  before[0] = head.ext32
  before.writeUInt32BE(about.length + padding + value.data.byteLength, 1)
  before[5] = extension
  about.copy(before, 6)
  return [before, NdArray.bytesOf(value)]
}

const mapHead = (entries: number): Buffer => {
  const before = Buffer.alloc(entries > 0xffff ? 5 : 3)
  before[0] = entries > 0xffff ? head.map32 : head.map16
  if (entries > 0xffff) before.writeUInt32BE(entries, 1)
  else before.writeUInt16BE(entries, 1)
  return before
}

const inPieces = (value: object): Payload.Pieces => {
  if (isLarge(value)) return new Payload.Pieces(partsOf(value, 0))
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  const parts: Array<Uint8Array> = [mapHead(entries.length)]
  let at = parts[0]!.length
  const add = (part: Uint8Array) => {
    parts.push(part)
    at += part.length
  }
  for (const [key, member] of entries) {
    add(packr.pack(key))
    if (isLarge(member)) { for (const part of partsOf(member, at)) add(part) }
    else add(packr.pack(member))
  }
  return new Payload.Pieces(parts)
}

const hasLarge = (value: unknown): value is object => {
  if (typeof value !== "object" || value === null) return false
  if (isLarge(value)) return true
  if (Object.getPrototypeOf(value) !== Object.prototype) return false
  for (const key in value) if (isLarge(value[key as keyof typeof value])) return true
  return false
}

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
      return hasLarge(value) ? inPieces(value) : packr.pack(value)
    } catch (error) {
      throw inWords(error)
    }
  },
  decode: (payload) => packr.unpack(payload)
}
