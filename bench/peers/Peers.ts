/** What else one could take, each as its documentation has it and where it can with as many workers; in its favour when in doubt. */
import { divide, measurement } from "../Bench.ts"
import * as Load from "../call/Load.ts"
import * as Ours from "../call/Ours.ts"
import { small, workers } from "../call/Throughput.ts"
import * as Goal from "../Goal.ts"
import { fastApi } from "./FastApi.ts"
import * as Install from "./Install.ts"
import type { Peer } from "./Peer.ts"
import { piscina } from "./Piscina.ts"
import { pythonia } from "./Pythonia.ts"
import { pythonShell } from "./PythonShell.ts"
import { zeromq } from "./Zeromq.ts"

const callers = 64
const say = (line: string) => console.error(`bench: ${line}`)

export const peers = measurement({
  figures: {
    "peers.ours": { unit: "per second", what: `calls, ${workers} workers, ${callers} in flight, 32 B` },
    "peers.zeromq": { unit: "per second", what: "the same by ZeroMQ, DEALER and ROUTER" },
    "peers.pythonia": { unit: "per second", what: "the same by pythonia, which has one process" },
    "peers.fastapi": { unit: "per second", what: "the same by undici, FastAPI on uvicorn" },
    "peers.piscina": { unit: "per second", what: "the same by piscina, JavaScript only" },
    "peers.python_shell": { unit: "per second", what: "the same by python-shell, lines of JSON" }
  },
  sides: async (closing) => {
    const application = await Ours.open(closing, { default: { size: workers } })
    const client = await application.client()
    const installed = await Install.ensure(say).then(() => true, (error: Error) => {
      say(`the peers are not measured: ${error.message}`)
      return false
    })
    /** `null` in every round when the peer cannot be had here. */
    const rate = async (name: string, open: Peer): Promise<() => Promise<number | null>> => {
      if (!installed) return async () => null
      try {
        const call = await open(closing, workers)
        await call()
        return async () => (await Load.promises(callers, call)).perSecond
      } catch (error) {
        say(`${name} is not measured: ${error}`)
        return async () => null
      }
    }
    const zmq = await rate("zeromq", zeromq)
    const bridge = await rate("pythonia", pythonia)
    const http = await rate("FastAPI", fastApi)
    const threads = await rate("piscina", piscina)
    const shell = await rate("python-shell", pythonShell)
    return [
      async () => ({ "peers.ours": (await application.run(Ours.echoes(client, callers, small))).perSecond }),
      async () => ({ "peers.zeromq": await zmq() }),
      async () => ({ "peers.pythonia": await bridge() }),
      async () => ({ "peers.fastapi": await http() }),
      async () => ({ "peers.piscina": await threads() }),
      async () => ({ "peers.python_shell": await shell() })
    ]
  },
  ratios: {
    "peers.zeromq": { of: (round) => divide(round["peers.ours"], round["peers.zeromq"]), goal: Goal.atLeast({ must: 2, aim: 3.5 }) },
    "peers.pythonia": { of: (round) => divide(round["peers.ours"], round["peers.pythonia"]), goal: Goal.atLeast({ must: 1, aim: 2.3 }) },
    "peers.fastapi": { of: (round) => divide(round["peers.ours"], round["peers.fastapi"]), goal: Goal.atLeast({ must: 5, aim: 10 }) },
    "peers.piscina": { of: (round) => divide(round["peers.ours"], round["peers.piscina"]), goal: Goal.atLeast({ must: 0.8, aim: 1.5 }) },
    "peers.python_shell": {
      of: (round) => divide(round["peers.ours"], round["peers.python_shell"]),
      goal: Goal.atLeast({ must: 0.5, aim: 0.8 })
    }
  }
})
