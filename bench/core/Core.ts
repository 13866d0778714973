/** What the core is measured by. */
import type { Measurement } from "../Bench.ts"
import { decisions } from "./Decisions.ts"
import * as Erlang from "./Erlang.ts"
import { flatness } from "./Flatness.ts"
import { restart } from "./Restart.ts"
import { startStop } from "./StartStop.ts"

export const measurements: ReadonlyArray<Measurement> = [decisions, restart, flatness, startStop]

/** Erlang runs with its defaults: one scheduler a core, against the one thread of Node. */
export const facts = { otp: Erlang.release, schedulers: Erlang.schedulers }
