/** What waits for the collector, of each signal that is sent: in the context for the application's life; none by default. */
import * as Context from "effect/Context"
import type { Signal } from "./OtlpConfig.ts"
import type { Outbox } from "./Outbox.ts"

export type Outboxes = Partial<Readonly<Record<Signal, Outbox>>>

export const Outboxes: Context.Reference<Outboxes> = Context.Reference("@snakepit/telemetry/Outboxes", {
  defaultValue: (): Outboxes => ({})
})
