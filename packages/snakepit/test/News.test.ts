import { assert, it } from "@effect/vitest"
import { BridgeEvent } from "@snakepit/bridge"
import { SupervisorEvent } from "@snakepit/core"
import { PoolEvent } from "@snakepit/pool"
import { News, TelemetryEvent } from "@snakepit/telemetry"

it("every declared event is news but for samples and standings", () => {
  const declarations = [...BridgeEvent.declarations, ...PoolEvent.declarations, ...TelemetryEvent.declarations]
  const samples = [PoolEvent.pool_sample, ...[...BridgeEvent.samples.values()].map(({ declaration }) => declaration)]
  const others = declarations.filter((declaration) => !News.isNews(declaration)).map(({ name }) => name)
  assert.sameMembers(others.filter((name) => !SupervisorEvent.isObservation(name)), samples.map(({ name }) => name))
})
