/** Every scenario, in the order in which they are run, recorded and told. */
import { badConfig } from "./scenarios/BadConfig.ts"
import { clockJump } from "./scenarios/ClockJump.ts"
import { diskFull } from "./scenarios/DiskFull.ts"
import { foundationKill } from "./scenarios/FoundationKill.ts"
import { gilHog } from "./scenarios/GilHog.ts"
import { grandchildren } from "./scenarios/Grandchildren.ts"
import { hang } from "./scenarios/Hang.ts"
import { historyKill } from "./scenarios/HistoryKill.ts"
import { hostKill } from "./scenarios/HostKill.ts"
import { hostKillDuringShutdown } from "./scenarios/HostKillDuringShutdown.ts"
import { ignoreSigterm } from "./scenarios/IgnoreSigterm.ts"
import { importError } from "./scenarios/ImportError.ts"
import { leak } from "./scenarios/Leak.ts"
import { outOfMemory } from "./scenarios/OutOfMemory.ts"
import { poison } from "./scenarios/Poison.ts"
import { reloadUnderLoad } from "./scenarios/ReloadUnderLoad.ts"
import { segfault } from "./scenarios/Segfault.ts"
import { slowStart } from "./scenarios/SlowStart.ts"
import { soak } from "./scenarios/Soak.ts"
import { socketCut } from "./scenarios/SocketCut.ts"
import { storm } from "./scenarios/Storm.ts"
import { supervisorKill } from "./scenarios/SupervisorKill.ts"
import { workerFreeze } from "./scenarios/WorkerFreeze.ts"
import { workerKill } from "./scenarios/WorkerKill.ts"
import type { Scenario } from "./Session.ts"

export const all: ReadonlyArray<Scenario> = [
  workerKill,
  workerFreeze,
  gilHog,
  ignoreSigterm,
  grandchildren,
  hostKill,
  hostKillDuringShutdown,
  historyKill,
  supervisorKill,
  foundationKill,
  hang,
  badConfig,
  segfault,
  outOfMemory,
  socketCut,
  poison,
  slowStart,
  importError,
  storm,
  diskFull,
  clockJump,
  reloadUnderLoad,
  leak,
  soak
]
