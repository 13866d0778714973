/**
 * Whether the contract of a tool agrees with what workers announce of it. It is compared when it is announced, not for each call: workers of one
 * catalogue share what they announce.
 */
import * as CallError from "./CallError.ts"
import type { WireTool } from "./Wire.ts"

/** A stream of inputs, whatever its parameter is called in Python. */
export const anyInput = "any"

/** What the contract of a tool says. */
export interface Terms {
  readonly pool: string
  readonly tool: string
  readonly streams: boolean
  /** The field that is a stream of inputs, or {@link anyInput}. */
  readonly input: string | undefined
  /** As `Tool.Contract`; `undefined`: made by hand, and not compared. */
  readonly parts: Readonly<Record<string, string>> | undefined
}

export class Agreement {
  private readonly terms: Terms
  private seen: WireTool | undefined
  private found: CallError.ContractMismatch | undefined

  constructor(terms: Terms) {
    this.terms = terms
  }

  /** What keeps calls from being sent to workers that announce this; `undefined` when nothing does. */
  mismatch(announced: WireTool): CallError.ContractMismatch | undefined {
    if (announced !== this.seen) {
      this.seen = announced
      this.found = compare(this.terms, announced)
    }
    return this.found
  }
}

/** Whether whoever knows one of the two can call the other. */
export const agree = (one: WireTool, other: WireTool): boolean =>
  one.streams === other.streams && one.input === other.input && partThatDiffers(one.contract, other.contract) === undefined

/** Of two contracts, if both are known. */
const partThatDiffers = (one: WireTool["contract"], other: WireTool["contract"]): string | undefined =>
  [one, other].every((side) => Object.keys(side).length > 0)
    ? Object.keys({ ...one, ...other }).find((part) => one[part] !== other[part])
    : undefined

const compare = ({ input, parts = {}, pool, streams, tool }: Terms, announced: WireTool): CallError.ContractMismatch | undefined => {
  const differ = (field: string, expected = "none", received = "none") =>
    new CallError.ContractMismatch({ pool, tool, executed: "no", field, expected, received })
  if (announced.streams !== streams) return differ("stream", String(streams), String(announced.streams))
  if (input === anyInput ? announced.input === undefined : announced.input !== input) return differ("input", input, announced.input)
  const part = partThatDiffers(parts, announced.contract)
  return part === undefined ? undefined : differ(part, parts[part], announced.contract[part])
}
