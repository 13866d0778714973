/** What the dispatch machine is given, with what a test does not care about filled in. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Offer } from "../src/control/Dispatch.ts"
import type { Wire, WireTool } from "../src/Wire.ts"

export const offerOf = (offer: Pick<Offer, "id" | "tool" | "at"> & Partial<Offer>): Offer => ({
  agreement: undefined,
  payload: new Uint8Array(),
  bytes: 1,
  idempotent: undefined,
  deterministic: undefined,
  callTimeoutMillis: undefined,
  hardLimitMillis: undefined,
  blocking: undefined,
  session: undefined,
  tenant: "",
  deadline: undefined,
  queueTimeoutMillis: undefined,
  ...offer
})

const used = () => assert.fail("the machine uses a wire")

/** All that the machine reads of a wire is which tools it serves, and how many at once. */
export const wireOf = (tools: ReadonlyArray<WireTool>, concurrency = 1): Wire => ({
  pid: 1000,
  tools: new Map(tools.map((tool) => [tool.name, tool])),
  concurrency,
  input: used,
  inputEnd: used,
  hostResult: used,
  submit: used,
  cancel: used,
  credit: used,
  sessionStart: used,
  sessionEnd: used,
  telemetry: used,
  probe: Effect.never
})
