/** What an application must handle, inferred from the tree by path. */
import type { DataFolder, RunFolder } from "@snakepit/bridge"
import type { SupervisorError } from "@snakepit/core"
import type { ConfigServer, WorkerError } from "@snakepit/pool"
import { describe, expectTypeOf, it } from "vitest"
import type * as Snakepit from "../src/Snakepit.ts"

type Always = SupervisorError.Defect | SupervisorError.Ended
type RegistryFailed = DataFolder.DataFolderFailed | RunFolder.SocketPathTooLong | RunFolder.RunFolderFailed
type At<Path extends string, E> = SupervisorError.Origin<Path, E>

describe("the tree of an application", () => {
  it("escalates only what Foundation cannot cure: pools and telemetry never do", () => {
    expectTypeOf<Snakepit.Escalation>().toEqualTypeOf<
      SupervisorError.GaveUp<
        "snakepit",
        | At<"snakepit/foundation", SupervisorError.Defect>
        | At<"snakepit/foundation/config_server", ConfigServer.ConfigInvalid | Always>
        | At<"snakepit/foundation/process_registry", RegistryFailed | Always>
      >
    >()
  })

  it("names every way it can refuse to start, with its path", () => {
    type Worker = `snakepit/pools/${string}/fleet/${string}`
    expectTypeOf<Snakepit.StartError>().toEqualTypeOf<
      SupervisorError.StartFailed<
        | At<"snakepit/foundation/config_server", ConfigServer.ConfigInvalid>
        | At<"snakepit/foundation/process_registry", RegistryFailed>
        | At<`snakepit/pools/${string}/reaper`, WorkerError.ReaperLost | WorkerError.ContainmentUnavailable>
        | At<`${Worker}/process`, WorkerError.BootFailed>
        | At<`${Worker}/channel`, WorkerError.HandshakeFailed | WorkerError.ChannelLost>
      >
    >()
  })
})
