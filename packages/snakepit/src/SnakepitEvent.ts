/** The events of the two supervisors at the top, and the catalogue of all. */
import { BridgeEvent } from "@snakepit/bridge"
import { type Event, SupervisorEvent } from "@snakepit/core"
import { PoolEvent } from "@snakepit/pool"
import { Catalogue, TelemetryEvent } from "@snakepit/telemetry"

export const root_supervisor = SupervisorEvent.of("root_supervisor", "root")
export const foundation_supervisor = SupervisorEvent.of("foundation_supervisor", "foundation")

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [
  ...Object.values(root_supervisor),
  ...Object.values(foundation_supervisor)
]

/** Every event of a Snakepit application. */
export const catalogue: Catalogue.Catalogue = Catalogue.make([
  declarations,
  TelemetryEvent.declarations,
  PoolEvent.declarations,
  BridgeEvent.declarations
])
