/**
 * A program to be killed: a tree whose children crash without a pause, its decisions recorded in the file of its first argument, with each `seq` that is
 * acknowledged on a line of stdout.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Child, RestartPolicy, Supervisor, SupervisorEvent } from "@snakepit/core"
import { EventBus, EventLog, History, TelemetryConfig, TelemetrySupervisor } from "@snakepit/telemetry"
import { Effect, Layer, Schedule, Schema, Stream } from "effect"
import { writeSync } from "node:fs"

const [file = "", run = ""] = process.argv.slice(2)
const clauses = { plane: "control", because: "a test", limitBecause: "a test" } as const

const defaults = Schema.decodeUnknownSync(TelemetryConfig.TelemetryConfig)({})

const storm = Supervisor.make("storm", {
  ...clauses,
  strategy: "one_for_one",
  restart: RestartPolicy.make({ intensity: "unlimited", delay: Schedule.spaced(1) }),
  events: SupervisorEvent.of("storm_supervisor", "control"),
  children: [Child.make("crasher", { start: Effect.succeed(Effect.fail("on purpose" as const)) })]
})
const root = Supervisor.make("root", {
  ...clauses,
  strategy: "one_for_one",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } }),
  events: SupervisorEvent.of("root_supervisor", "root"),
  children: [TelemetrySupervisor.make({}), storm]
})

const program = Effect.gen(function*() {
  const history = yield* History.History
  const start = { id: run, startedAt: Date.now(), host: "killed", process: "", contract: root.contract }
  yield* history.record({ config: defaults.history, place: { _tag: "File", file }, start })
  yield* Supervisor.start(root)
  yield* Stream.runForEach(history.acknowledged, ({ seq }) => Effect.sync(() => writeSync(1, `${seq}\n`)))
})

const Live = Layer.merge(EventLog.EventLog.layer, History.History.layer).pipe(Layer.provideMerge(EventBus.EventBus.layer))
NodeRuntime.runMain(Effect.scoped(program).pipe(Effect.provide(Live)))
