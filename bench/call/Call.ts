/** What calls and streams are measured by. */
import type { Measurement } from "../Bench.ts"
import { peers } from "../peers/Peers.ts"
import type { Profiled } from "../Profile.ts"
import { dispatch } from "./Dispatch.ts"
import { mixed } from "./Mixed.ts"
import * as Ours from "./Ours.ts"
import { pythonTelemetry } from "./PythonTelemetry.ts"
import { streams } from "./Streams.ts"
import { telemetry } from "./Telemetry.ts"
import { tenants } from "./Tenants.ts"
import { small, throughput, workers } from "./Throughput.ts"

export const measurements: ReadonlyArray<Measurement> = [throughput, dispatch, mixed, tenants, streams, telemetry, pythonTelemetry, peers]

export const facts = {}

/** 64 calls in flight, ours. */
export const profiled: Profiled = async (closing) => {
  const application = await Ours.open(closing, { default: { size: workers } })
  const client = await application.client()
  return async () => ({ "call.c64.ours": Math.round((await application.run(Ours.echoes(client, 64, small))).perSecond) })
}
