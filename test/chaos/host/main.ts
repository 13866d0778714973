/** A program as a user writes it, under load, that does to its own tree what the runner asks it to. Its one argument is a `Plan`. */
import { NodeRuntime } from "@effect/platform-node"
import { SupervisorEvent } from "@snakepit/core"
import { Clock, Data, Deferred, Effect, Fiber, Scope, Stream } from "effect"
import { openSync, writeSync } from "node:fs"
import { createInterface } from "node:readline"
import { EventBus, EventLog, History, type Pool, PoolControl, Snakepit, type Tree } from "snakepit"
import * as Chance from "../Chance.ts"
import * as Calls from "./Calls.ts"
import { JumpingClock } from "./JumpingClock.ts"
import { firstStep, lastStep, type Plan, type Request, type Requests, type Said, stepOf } from "./Protocol.ts"
import * as Shutdown from "./Shutdown.ts"

class Harmed extends Data.TaggedError("Harmed")<{ readonly message: string }> {}

const { acknowledged, config, configFile, events, ledger } = JSON.parse(process.argv[2] ?? "{}") as Plan
const pools = Object.keys(config.pools)
const clock = new JumpingClock(Effect.runSync(Clock.clockWith(Effect.succeed)))
const eventFile = openSync(events, "a", 0o600)

const say = (said: Said): void => void process.stdout.write(`${JSON.stringify(said)}\n`)

/** Told of each step of the shutdown, once that has begun. */
let step = (_: string): void => {}

/** Succeeds when each caller was told: they run beside the program, and its end would not wait for them. */
let allTold: Effect.Effect<void> = Effect.void
/** A caller hears within some turns of the event loop; one that does not within 5 s is never told, and its call counts as lost. */
const tellingLimit = "5 seconds"

/** It comes at no moment of its own, and is no step of anything. */
const isUntimely = (name: string): boolean => name === "snakepit.pool.sample" || name.endsWith(".sampled")

/** Writes every event when it is emitted, up to the last one of the shutdown: nothing detaches this. */
const record = Effect.gen(function*() {
  const bus = yield* EventBus.EventBus
  yield* bus.tap("*", (event) => {
    if (SupervisorEvent.isObservation(event.name) || isUntimely(event.name)) return
    writeSync(eventFile, `${JSON.stringify(event)}\n`)
    step(stepOf(event))
  })
  const log = yield* EventLog.EventLog
  for (const event of yield* log.recent()) writeSync(eventFile, `${JSON.stringify(event)}\n`)
})

/** Writes what the history says is durable. */
const recordAcknowledged = Effect.gen(function*() {
  const history = yield* History.History
  const file = openSync(acknowledged, "a", 0o600)
  yield* Stream.runForEach(history.acknowledged, ({ seq }) => Effect.sync(() => writeSync(file, `${seq}\n`)))
})

/** Emits copies of an event that supervision has told, for ever. */
const repeatEvents = Effect.fnUntraced(function*(perMilli: number) {
  const bus = yield* EventBus.EventBus
  const [event] = yield* (yield* EventLog.EventLog).recent("snakepit.worker_supervisor.start")
  const emit = Effect.clockWith((clock) =>
    Effect.sync(() => {
      for (let copy = 0; copy < perMilli; copy++) bus.emit({ ...event!, at: clock.currentTimeMillisUnsafe() })
    })
  )
  return yield* Effect.forever(Effect.andThen(emit, Effect.sleep(1)))
})

/** Where a child stands: its generations from the root down, and whether it runs. */
const whereIs = (tree: Tree.SupervisorNode, path: string): { readonly chain: string; readonly runs: boolean } | undefined => {
  let chain = ""
  let node: Tree.SupervisorNode | undefined = tree
  let runs = true
  for (let at = tree.path.length; at < path.length && node !== undefined;) {
    const next: number = path.indexOf("/", at + 1)
    at = next === -1 ? path.length : next
    const child: Tree.ChildNode | undefined = node.children.find((child) => child.path === path.slice(0, at))
    if (child === undefined) return undefined
    chain += `.${child.generation}`
    runs &&= child.status === "running"
    node = child.supervisor
    if (node === undefined && at < path.length) return undefined
  }
  return { chain, runs }
}

const program = Effect.gen(function*() {
  const { root, runId, tree } = yield* Snakepit.Snakepit
  yield* Scope.provide(record, yield* Scope.make())
  yield* Effect.forkScoped(recordAcknowledged)
  const calls = yield* Calls.make(pools, openSync(ledger, "a", 0o600))
  allTold = calls.allOver
  const ended = yield* Deferred.make<void>()
  const context = yield* Effect.context<Pool.Pools | EventBus.EventBus | EventLog.EventLog>()
  let ending = false
  let resting = false
  const goesOn = () => !ending && !resting
  const busy = new Set<Fiber.Fiber<unknown>>()
  let chance = Chance.make(0)
  const beginEnd = () => {
    ending = true
    calls.ending()
  }

  const callers = (count: number, work: Effect.Effect<unknown>) =>
    Effect.all(Array.from({ length: count }, () => work), { concurrency: "unbounded", discard: true })

  const spend = Effect.fnUntraced(function*({ child, most, supervisor }: Requests["spend"]["ask"]) {
    const before = whereIs(yield* tree, supervisor)?.chain
    let failed = 0
    while (failed < most) {
      const now = yield* tree
      if (whereIs(now, supervisor)?.chain !== before) break
      if (whereIs(now, `${supervisor}/${child}`)?.runs === true) {
        const handle = yield* root.at(supervisor)
        yield* handle.failChild(child, new Harmed({ message: `chaos spends the budget of ${supervisor}: ${++failed}` }))
      }
      yield* Effect.sleep("5 millis")
    }
    return failed
  })

  const handle = (request: Request): Effect.Effect<unknown, { readonly message: string }> => {
    switch (request.op) {
      case "load": {
        let left = request.calls
        const drawn = Chance.make(request.seed)
        const one = Effect.suspend(() => calls.mixed(pools[left % pools.length]!, drawn, request.mostMillis))
        return callers(request.callers, Effect.whileLoop({ while: () => left-- > 0 && goesOn(), body: () => one, step: () => {} }))
      }
      case "keepBusy":
        return Effect.sync(() => {
          chance = Chance.make(request.seed)
          resting = false
          if (busy.size > 0) return
          for (const pool of request.pools ?? pools) {
            const forever = Effect.whileLoop({ while: goesOn, body: () => calls.mixed(pool, chance), step: () => {} })
            const work = callers(request.callersPerPool, forever)
            busy.add(Effect.runForkWith(context)(work))
          }
        })
      case "rest":
        return Effect.gen(function*() {
          resting = true
          yield* Fiber.awaitAll(busy)
          busy.clear()
          yield* calls.allOver
        })
      case "call":
        return calls.begin(request)
      case "reload":
        return Effect.gen(function*() {
          const control = yield* PoolControl.of(request.pool)
          return yield* Effect.catchTag(control.reload, "RolloutFailed", ({ reason, stage }) => Effect.succeed({ stage, reason }))
        }).pipe(Effect.provide(context))
      case "outcome":
        return calls.outcome(request.id)
      case "tree":
        return tree
      case "contract":
        return Snakepit.contract()
      case "fail":
        return Effect.flatMap(
          root.at(request.supervisor),
          ({ failChild }) => failChild(request.child, new Harmed({ message: "chaos ended it" }))
        )
      case "spend":
        return spend(request)
      case "repeatEvents":
        return Effect.sync(() => void Effect.runForkWith(context)(repeatEvents(request.perMilli)))
      case "setClock":
        return Effect.sync(() => void (clock.ahead += request.millis))
      case "collect":
        return Effect.sync(() => {
          globalThis.gc!({ type: "major", execution: "sync", flavor: "last-resort" }) // gives back what it can
          return process.memoryUsage().heapUsed
        })
      case "end":
        return Effect.sync(() => {
          beginEnd()
          if (request.stopAt !== undefined) step = Shutdown.steps({ step: request.stopAt, afterMillis: request.afterMillis ?? 0 })
          step(firstStep)
          Deferred.doneUnsafe(ended, Effect.void)
        })
    }
  }
  const answer = (request: Request) =>
    Effect.matchCause(handle(request), {
      onSuccess: (value) => say({ token: request.token, value: value ?? null }),
      onFailure: (cause) => say({ token: request.token, refused: String(cause) })
    })

  const requests = createInterface({ input: process.stdin })
  requests.on("line", (line) => Effect.runForkWith(context)(answer(JSON.parse(line) as Request)))
  requests.on("close", () => process.kill(process.pid, "SIGKILL")) // nobody looks after this program any more
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      beginEnd()
      ;(process.stdin as NodeJS.ReadStream & { readonly unref: () => void }).unref()
    })
  )
  yield* Effect.sync(() => say({ ready: runId }))
  yield* Deferred.await(ended)
})

Effect.scoped(program).pipe(
  Snakepit.supervised,
  Effect.provide(Snakepit.layer(config, { configFile })),
  Effect.ensuring(Effect.suspend(() => Effect.timeoutOption(allTold, tellingLimit))),
  Effect.ensuring(Effect.sync(() => {
    writeSync(eventFile, `${JSON.stringify({ name: lastStep, at: Date.now(), measurements: {}, attributes: {} })}\n`)
    step(lastStep)
  })),
  Effect.provideService(Clock.Clock, clock),
  NodeRuntime.runMain
)
