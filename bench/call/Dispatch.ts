/**
 * To which worker each call goes, on the same wire: what must not happen is that replies wake callers whose next calls fall on all workers,
 * until each batch holds one call (§ Batches of bench/README.md).
 *
 * ```text
 *  pinned       caller n always calls worker n mod workers: what others are compared with
 *  round robin  the next call goes to the next worker
 *  random       each call goes to any worker
 *  session      each caller is a session, and a session has a worker: by hash in the pool written by hand, by affinity "hint" in ours
 * ```
 *
 * The public API names no worker, but with affinity "strict_queue" a session does: one session is found for each worker, and calls choose
 * among these.
 */
import { Effect } from "effect"
import { divide, measurement } from "../Bench.ts"
import * as Goal from "../Goal.ts"
import * as Handwritten from "./Handwritten.ts"
import * as Load from "./Load.ts"
import * as Ours from "./Ours.ts"
import { small, workers } from "./Throughput.ts"

const callers = 64

type Order = "pinned" | "round_robin" | "random"

/** Which of the workers the next call of a caller goes to. */
const choose = (order: Order): (caller: number) => number => {
  let calls = 0
  switch (order) {
    case "pinned":
      return (caller) => caller % workers
    case "round_robin":
      return () => calls++ % workers
    case "random":
      return () => Math.floor(Math.random() * workers)
  }
}

/** Fibonacci hashing: sessions spread over the workers, not evenly. */
const hashed = (session: number): number => (Math.imul(session, 0x9e37_79b1) >>> 16) % workers

/** Names of sessions, one for each worker of the pool. */
const sessionOfEach = (client: Ours.Client): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const candidates = Array.from({ length: workers * 8 }, (_, n) => `of-a-worker-${n}`) // at once: so they do not all find the first one idle
    const pids = yield* Effect.forEach(candidates, (session) => Effect.orDie(client.process(undefined, { session })), {
      concurrency: "unbounded"
    })
    const sessions = [...new Map(pids.map((pid, n) => [pid, candidates[n]!])).values()]
    if (sessions.length < workers) {
      return yield* Effect.die(new Error(`${candidates.length} sessions went to ${sessions.length} of ${workers} workers`))
    }
    return sessions
  })

export const dispatch = measurement({
  figures: {
    "dispatch.ours.pinned": {
      unit: "per second",
      what: `calls, ${workers} workers, ${callers} in flight; the pool, callers pinned to workers`
    },
    "dispatch.ours.round_robin": { unit: "per second", what: "round robin" },
    "dispatch.ours.random": { unit: "per second", what: "random" },
    "dispatch.ours.session": { unit: "per second", what: "each caller a session" },
    "dispatch.handwritten.pinned": { unit: "per second", what: "the pool written by hand, callers pinned to workers" },
    "dispatch.handwritten.round_robin": { unit: "per second", what: "round robin" },
    "dispatch.handwritten.random": { unit: "per second", what: "random" },
    "dispatch.handwritten.session": { unit: "per second", what: "each caller a session" }
  },
  sides: async (closing) => {
    const application = await Ours.open(closing, { default: { size: workers }, strict: { size: workers, affinity: "strict_queue" } })
    const hinted = await application.client()
    const strict = await application.client("strict")
    const sessions = await application.run(sessionOfEach(strict))
    const ours = async (client: Ours.Client, sessionOf: (caller: number) => string) => {
      const call = Ours.traced((caller: number) => Effect.orDie(client.echo({ data: small }, { session: sessionOf(caller) })))
      return (await application.run(Load.fibers(callers, call))).perSecond
    }
    const inOrder = (order: Order) => {
      const worker = choose(order)
      return ours(strict, (caller) => sessions[worker(caller)]!)
    }
    const { call } = await Handwritten.open(closing, workers)
    const byHand = async (worker: (caller: number) => number) =>
      (await Load.promises(callers, (caller) => call("echo", { data: small }, worker(caller)))).perSecond
    return [
      async () => ({ "dispatch.ours.pinned": await inOrder("pinned") }),
      async () => ({ "dispatch.ours.round_robin": await inOrder("round_robin") }),
      async () => ({ "dispatch.ours.random": await inOrder("random") }),
      async () => ({ "dispatch.ours.session": await ours(hinted, (caller) => `caller-${caller}`) }),
      async () => ({ "dispatch.handwritten.pinned": await byHand(choose("pinned")) }),
      async () => ({ "dispatch.handwritten.round_robin": await byHand(choose("round_robin")) }),
      async () => ({ "dispatch.handwritten.random": await byHand(choose("random")) }),
      async () => ({ "dispatch.handwritten.session": await byHand(hashed) })
    ]
  },
  ratios: {
    "dispatch.worst.vs_pinned": {
      of: (round) =>
        least(
          divide(
            least(round["dispatch.ours.round_robin"], round["dispatch.ours.random"], round["dispatch.ours.session"]),
            round["dispatch.ours.pinned"]
          ),
          divide(
            least(round["dispatch.handwritten.round_robin"], round["dispatch.handwritten.random"], round["dispatch.handwritten.session"]),
            round["dispatch.handwritten.pinned"]
          )
        ),
      goal: Goal.atLeast({ must: 0.6, aim: 0.8 })
    }
  }
})

/** `null` when one is. */
const least = (...values: ReadonlyArray<number | null>): number | null => {
  const numbers = values.filter((value) => value !== null)
  return numbers.length < values.length ? null : Math.min(...numbers)
}
