/** The frames of telemetry, which are rare: by protobuf-es. */
import { create, toBinary } from "@bufbuild/protobuf"
import type { PoolConfig, WireTelemetry } from "@snakepit/pool"
import * as Duration from "effect/Duration"
import { type Telemetry, TelemetryControlSchema, type TelemetryRecord } from "../../gen/snakepit/v1/worker_pb.ts"

/** The numbers of Python's levels. */
const levels = { none: 0, debug: 10, info: 20, warning: 30, error: 40, critical: 50 } as const

/** uint32: 49 days. */
const longestMillis = 0xffff_ffff

/** A TelemetryControl. */
export const control = (settings: PoolConfig.PoolConfig["telemetry"] | undefined, credit: number): Uint8Array =>
  toBinary(
    TelemetryControlSchema,
    create(TelemetryControlSchema, {
      credit,
      ...(settings === undefined ? {} : {
        settings: {
          on: settings.on,
          allow: [...settings.allow],
          deny: [...settings.deny],
          sampling: settings.sampling.map(({ pattern, rate }) => ({ pattern, rate })),
          logLevel: levels[settings.logs],
          output: settings.output,
          sampleMs: Math.min(longestMillis, Math.ceil(Duration.toMillis(settings.samples)))
        }
      })
    })
  )

/** In hex; `undefined`: it is none. W3C: one of nothing but zeros is none either. */
export const spanIdOf = (id: Uint8Array): string | undefined =>
  id.length === 8 && id.some((byte) => byte !== 0) ? Buffer.from(id).toString("hex") : undefined

/** What a frame holds. Its numbers are the worker's: whoever takes them in checks them. */
export const heard = ({ dropped, records }: Telemetry): WireTelemetry.WireTelemetry => {
  const now = Number(process.hrtime.bigint() / 1000n) // the clock that Python reads
  return {
    records: records.flatMap((record) => recordOf(record, now) ?? []),
    dropped: dropped.map(({ reason, records }) => ({ reason, records: Number(records) }))
  }
}

/** `undefined`: of a newer worker. */
const recordOf = ({ atMicros, attributes, call, record, tool }: TelemetryRecord, now: number): WireTelemetry.WireRecord | undefined => {
  const said = saidOf(record)
  if (said === undefined) return undefined
  return {
    ageMillis: (now - Number(atMicros)) / 1000,
    call: Number(call),
    tool,
    attributes: attributes.flatMap(({ key, value }) => value.case === undefined ? [] : [[key, value.value] as const]),
    said
  }
}

const saidOf = (record: TelemetryRecord["record"]): WireTelemetry.WireRecord["said"] | undefined => {
  switch (record.case) {
    case "event": {
      const { measurements, name } = record.value
      return { _tag: "Event", name, measurements: measurements.map(({ key, value }) => [key, value] as const) }
    }
    case "span": {
      const { error, name, parentId, server, spanId, tookMicros, traceId } = record.value
      return {
        _tag: "Span",
        name,
        traceId,
        spanId,
        parentId,
        tookMicros: Number(tookMicros),
        server,
        error: error && { type: error.type, message: error.message, stack: error.stack }
      }
    }
    case "log": {
      const { level, logger, message, spanId, traceId } = record.value
      return { _tag: "Log", logger, level, message, span: spanId.length === 0 ? undefined : { traceId, spanId } }
    }
    case undefined:
      return undefined
  }
}
