/**
 * What tells the arguments of one call from those of others, in a few characters.
 */
import { Payload } from "@snakepit/pool"
import { createHash } from "node:crypto"

/** 32: the first 16 bytes, in hex; two different arguments share them never in practice. */
const length = 32

/** Of the arguments as they travel; their pieces are read where they are. */
export const of = (payload: Payload.Payload): string => {
  const hash = createHash("sha256")
  for (const part of Payload.partsOf(payload)) hash.update(part)
  return hash.digest("hex").slice(0, length)
}
