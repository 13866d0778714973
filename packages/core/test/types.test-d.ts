/** What the compiler infers of a tree, and what it refuses: as sentences. */
import { Child, DynamicSupervisor, RestartPolicy, Supervisor, type SupervisorError, SupervisorEvent } from "@snakepit/core"
import { Data, type Effect } from "effect"
import { describe, expectTypeOf, it } from "vitest"

class DbError extends Data.TaggedError("DbError")<{}> {}
class Oom extends Data.TaggedError("Oom")<{}> {}
class ImportFailed extends Data.TaggedError("ImportFailed")<{}> {}

declare const db: Effect.Effect<Effect.Effect<void, DbError>>
declare const python: Effect.Effect<Effect.Effect<never, Oom>, ImportFailed>

type At<Path extends string, E> = SupervisorError.Origin<Path, E>
type Always = SupervisorError.Defect | SupervisorError.Ended

const limited = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } })
const unlimited = RestartPolicy.make({ intensity: "unlimited" })
const common = { because: "it is a test", events: SupervisorEvent.of("test_supervisor", "control") } as const

const worker = Supervisor.make("worker", {
  ...common,
  plane: "execution",
  mountOn: "control",
  strategy: "rest_for_one",
  restart: limited,
  children: [Child.make("process", { plane: "execution", start: python })]
})
const pools = Supervisor.make("pools", {
  ...common,
  plane: "control",
  strategy: "one_for_one",
  restart: limited,
  children: [Child.make("task", { start: db, restart: "temporary" }), worker]
})
const watchers = Supervisor.make("watchers", {
  ...common,
  plane: "control",
  strategy: "one_for_one",
  restart: unlimited,
  children: [Child.make("exporter", { start: python })]
})
const root = Supervisor.make("root", {
  ...common,
  plane: "control",
  strategy: "one_for_one",
  restart: limited,
  children: [Child.make("db", { start: db, restart: "transient" }), watchers, pools]
})

describe("the escalation of a tree", () => {
  it("is inferred by path through nested supervisors", () => {
    expectTypeOf<Supervisor.Escalation<typeof root>>().toEqualTypeOf<
      SupervisorError.GaveUp<
        "root",
        | At<"root/db", DbError | SupervisorError.Defect>
        | At<"root/pools", SupervisorError.Defect>
        | At<"root/pools/worker", SupervisorError.Defect>
        | At<"root/pools/worker/process", ImportFailed | Oom | Always>
      >
    >()
  })

  it("leaves out what is temporary, and what has unlimited intensity", () => {
    expectTypeOf<Supervisor.Escalation<typeof watchers>>().toEqualTypeOf<never>()
    expectTypeOf(Supervisor.run(Supervisor.make("only", {
      ...common,
      plane: "control",
      strategy: "one_for_one",
      restart: RestartPolicy.make({ intensity: "unlimited" }), // written in place: nothing may leak in from what is expected of it
      children: [Child.make("exporter", { start: db })]
    }))).toEqualTypeOf<Effect.Effect<void>>()
  })

  it("keeps start errors of every restart type in StartFailed", () => {
    expectTypeOf<Supervisor.StartError<typeof root>>().toEqualTypeOf<
      SupervisorError.StartFailed<
        At<"root/watchers/exporter", ImportFailed> | At<"root/pools/worker/process", ImportFailed>
      >
    >()
  })

  it("is typed for dynamic children by the template of their path", () => {
    const fleet = DynamicSupervisor.make("fleet", {
      ...common,
      plane: "control",
      restart: limited,
      child: (key) => Child.make(key, { start: python })
    })
    expectTypeOf<Supervisor.Escalation<typeof fleet>>().toEqualTypeOf<
      SupervisorError.GaveUp<"fleet", At<`fleet/${string}`, ImportFailed | Oom | Always>>
    >()
  })
})

describe("the compiler refuses", () => {
  const make = { ...common, plane: "control", strategy: "one_for_one", restart: limited } as const

  it("an escalation that nobody handles", () => {
    expectTypeOf(Supervisor.run(root)).not.toExtend<Effect.Effect<void>>()
  })

  it("a child that is significant and permanent", () => {
    // @ts-expect-error a permanent child never ends by itself
    Child.make("s", { start: db, significant: true })
    // @ts-expect-error a permanent child never ends by itself
    Child.make("s", { start: db, restart: "permanent", significant: true })
  })

  it("a significant child whose supervisor never shuts itself down", () => {
    // @ts-expect-error child "s" is significant but autoShutdown is "never"
    Supervisor.make("x", { ...make, children: [Child.make("s", { start: db, restart: "transient", significant: true })] })
  })

  it("two children with one id", () => {
    // @ts-expect-error duplicate child id "a"
    Supervisor.make("x", { ...make, children: [Child.make("a", { start: db }), Child.make("a", { start: python })] })
  })

  it("a child in the wrong plane", () => {
    // @ts-expect-error child "c" belongs to the execution plane
    Supervisor.make("x", { ...make, children: [Child.make("c", { plane: "execution", start: db })] })
    DynamicSupervisor.make("x", {
      ...common,
      plane: "control",
      restart: limited,
      // @ts-expect-error the template belongs to the execution plane
      child: (key: string) => Child.make(key, { plane: "execution", start: db })
    })
  })

  it("a supervisor without its events", () => {
    // @ts-expect-error events is missing
    Supervisor.make("x", { plane: "control", strategy: "one_for_one", restart: limited, because: "it is a test", children: [] })
  })
})
