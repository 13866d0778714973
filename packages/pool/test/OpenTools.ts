/** A contract and its scripted tools in pools of their own, for tests of one part of the client. */
import { Effect } from "effect"
import type * as Rpc from "effect/rpc/Rpc"
import { Pool } from "../src/index.ts"
import { ScriptedRuntime, type ScriptedTool } from "../src/testing/index.ts"
import { openPools, type Options } from "./OpenPools.ts"

/** Opens one worker, unless `pools` says otherwise, that serves `tools`; gives what makes clients of any contract too. */
export const openTools = Effect.fnUntraced(function*(
  tools: { readonly [name: string]: ScriptedTool.ScriptedTool },
  { pools = { default: { size: 1 } }, ...scripting }: Pick<Options<never>, "pools"> & Omit<ScriptedRuntime.Options, "tools"> = {}
) {
  const opened = yield* openPools({ pools, scripted: ScriptedRuntime.make({ tools, ...scripting }) })
  return {
    ...opened,
    clientOf: <Rpcs extends Rpc.Any>(contract: Parameters<typeof Pool.client<Rpcs>>[0], options: Pool.ClientOptions = {}) =>
      Pool.client(contract, { pool: Object.keys(pools)[0]!, ...options }).pipe(opened.provided)
  }
})
