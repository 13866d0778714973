/**
 * numpy arrays in TypeScript: a type, a shape and a typed array of the elements, as they lie in memory. Never pickled, never lists.
 *
 * **When to use**
 *
 * For parameters annotated `np.ndarray` or `npt.NDArray[…]`, and for tools that return arrays. Such a parameter takes lists of numbers too.
 *
 * **Details**
 *
 * Elements are in C order (the last index changes fastest), little-endian. A result's `data` is the caller's own; of arguments, do not write to
 * `data` until the call has ended: it is not copied before it is sent.
 *
 * **Example** (A matrix there, its singular values back)
 *
 * ```ts
 * import { NdArray, Pool } from "snakepit"
 * import { Effect } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class Algebra extends RpcGroup.make(
 *   Rpc.make("singular_values", { payload: { matrix: NdArray.schema }, success: NdArray.schemaOf("float64") })
 * ) {}
 *
 * const program = Effect.gen(function*() {
 *   const algebra = yield* Pool.client(Algebra)
 *   const matrix = NdArray.make("float64", [2, 2], Float64Array.of(3, 0, 0, 4))
 *   const values = yield* algebra.singular_values({ matrix })
 *   return values.data.reduce((sum, value) => sum + value, 0)
 * })
 * ```
 */
import * as Schema from "effect/Schema"

/** What elements of each type are in memory, and how many numbers one takes. */
const kinds = {
  /** 0 or 1. */
  bool: [Uint8Array, 1],
  int8: [Int8Array, 1],
  int16: [Int16Array, 1],
  int32: [Int32Array, 1],
  int64: [BigInt64Array, 1],
  uint8: [Uint8Array, 1],
  uint16: [Uint16Array, 1],
  uint32: [Uint32Array, 1],
  uint64: [BigUint64Array, 1],
  /** The bits: not every Node that is supported has `Float16Array`. */
  float16: [Uint16Array, 1],
  float32: [Float32Array, 1],
  float64: [Float64Array, 1],
  /** Real and imaginary part, one after the other. */
  complex64: [Float32Array, 2],
  complex128: [Float64Array, 2]
} as const

/** Counts of a unit, since 1970 or as such: `datetime64[ms]`. NaT is the least of them. */
const time = /^(datetime|timedelta)64(\[\d*[A-Za-z]+\])?$/

type Kinds = typeof kinds

/** The type of the elements, by its name in numpy. */
export type Dtype = keyof Kinds | `datetime64${string}` | `timedelta64${string}`

/** The typed array that holds elements of a type. */
export type Data<D extends Dtype = Dtype> = D extends keyof Kinds ? InstanceType<Kinds[D][0]> : BigInt64Array

const kindOf = (dtype: string) =>
  Object.hasOwn(kinds, dtype) ? kinds[dtype as keyof Kinds] : time.test(dtype) ? [BigInt64Array, 1] as const : undefined

/** A numpy array. Made by {@link make}. */
export class NdArray<out D extends Dtype = Dtype> {
  readonly dtype: D
  /** Of each dimension its length; none: one element. */
  readonly shape: ReadonlyArray<number>
  readonly data: Data<D>
  constructor(dtype: D, shape: ReadonlyArray<number>, data: Data<D>) {
    const kind = kindOf(dtype)
    if (kind === undefined) throw new TypeError(`no array of dtype ${dtype} can be sent; the dtypes are ${names}`)
    const [Elements, each] = kind
    if (!(data instanceof Elements)) throw new TypeError(`the data of an array of ${dtype} is a ${Elements.name}`)
    const length = shape.reduce((product, size) => product * size, each)
    if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0) || length !== data.length) {
      throw new RangeError(`an array of ${dtype} with shape [${shape.join(", ")}] has ${length} numbers, and its data ${data.length}`)
    }
    this.dtype = dtype
    this.shape = shape
    this.data = data
  }
}

const names = `${Object.keys(kinds).join(", ")}, datetime64[unit] and timedelta64[unit]`

/** An array; throws a TypeError or RangeError when type, shape and data do not fit. */
export const make = <const D extends Dtype>(dtype: D, shape: ReadonlyArray<number>, data: Data<D>): NdArray<D> =>
  new NdArray(dtype, shape, data)

/**
 * An array whose elements are these bytes: a view of them where they are aligned, else a copy. Throws a TypeError or RangeError when they do
 * not fit.
 */
export const fromBytes = (dtype: string, shape: ReadonlyArray<number>, bytes: Uint8Array): NdArray => {
  const kind = kindOf(dtype)
  if (kind === undefined) throw new TypeError(`an array of dtype ${dtype} came, which no array has that is sent`)
  const [Elements] = kind
  const size = Elements.BYTES_PER_ELEMENT
  const { buffer, byteLength, byteOffset } = byteOffsetOf(bytes, size) ? bytes : Uint8Array.from(bytes)
  return new NdArray(dtype as Dtype, shape, new Elements(buffer as ArrayBuffer, byteOffset, byteLength / size) as Data)
}

const byteOffsetOf = ({ byteOffset }: Uint8Array, size: number): boolean => byteOffset % size === 0

/** The bytes of the elements; a view. */
export const bytesOf = ({ data }: NdArray): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** How many bytes the elements of such an array take; `undefined` for a type that none has. */
export const sizeOf = (dtype: string, shape: ReadonlyArray<number>): number | undefined => {
  const kind = kindOf(dtype)
  return kind === undefined ? undefined : shape.reduce((product, size) => product * size, kind[0].BYTES_PER_ELEMENT * kind[1])
}

/** Any array, as it is. */
export const schema: Schema.Codec<NdArray> = Schema.instanceOf(NdArray)

/** Arrays of one type. */
export const schemaOf = <const D extends Dtype>(dtype: D): Schema.Codec<NdArray<D>> =>
  Schema.declare((value): value is NdArray<D> => value instanceof NdArray && value.dtype === dtype, { expected: `array of ${dtype}` })

/** Its elements as lists in lists, as deep as it has dimensions; a complex number is a list of two. */
export const toLists = ({ data, dtype, shape }: NdArray): unknown => {
  const numbers: ReadonlyArray<number | bigint | boolean> = dtype === "bool" ? Array.from(data, Boolean) : Array.from<number | bigint>(data)
  const dimensions = dtype.startsWith("complex") ? [...shape, 2] : shape
  const strides = dimensions.map((_, axis) => dimensions.slice(axis + 1).reduce((product, size) => product * size, 1))
  const list = (axis: number, at: number): unknown =>
    axis === dimensions.length
      ? numbers[at]
      : Array.from({ length: dimensions[axis]! }, (_, index) => list(axis + 1, at + index * strides[axis]!))
  return list(0, 0)
}
