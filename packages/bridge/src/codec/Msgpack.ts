/** Values as MessagePack: maps are plain objects, bytes stay bytes, integers beyond 2^53 are bigint. */
import type { WorkerRuntime } from "@snakepit/pool"
import { type Options, Packr } from "msgpackr"

/** "auto" is a number where it is exact and a bigint beyond; msgpackr has it and its types leave it out. */
const options = { useRecords: false, int64AsType: "auto" } as unknown as Options

const packr = new Packr(options)

export const Msgpack: WorkerRuntime.PayloadCodec = {
  encode: (value) => packr.pack(value),
  decode: (payload) => packr.unpack(payload)
}
