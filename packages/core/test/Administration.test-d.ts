/** Which supervisors can be given children, which children, and what a running one can be changed to. */
import {
  Child,
  DynamicSupervisor,
  RestartPolicy,
  Supervisor,
  type SupervisorError,
  SupervisorEvent,
  type SupervisorHandle
} from "@snakepit/core"
import { Context, Data, type Effect, type Layer } from "effect"
import { describe, expectTypeOf, it } from "vitest"

class DbError extends Data.TaggedError("DbError")<{}> {}
class Oom extends Data.TaggedError("Oom")<{}> {}
class Disk extends Context.Service<Disk, {}>()("test/Disk") {}

declare const db: Effect.Effect<Effect.Effect<void, DbError>>
declare const idle: Effect.Effect<Effect.Effect<never>>
declare const python: Effect.Effect<Effect.Effect<never, Oom>, DbError, Disk>

type At<Path extends string, E> = SupervisorError.Origin<Path, E>
type Always = SupervisorError.Defect | SupervisorError.Ended

const common = {
  plane: "control",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } }),
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("test_supervisor", "control")
} as const
const make = { ...common, strategy: "one_for_one" } as const

const fixed = Supervisor.make("fixed", { ...make, children: [Child.make("db", { start: db })] })
const open = Supervisor.make("open", {
  ...make,
  children: [Child.make("db", { start: db, restart: "temporary" })],
  added: (key) => Child.make(key, { start: python, restart: "transient" })
})
const fleet = DynamicSupervisor.make("fleet", { ...common, child: (key) => Child.make(key, { start: db }) })

const permanent = Child.make("a", { start: python })
const wider = Supervisor.make("open", { ...make, children: [], added: (key) => Child.make(key, { start: python }) })

const accepts = (_: unknown) => {}

declare const runningFixed: Supervisor.RunningOf<typeof fixed>
declare const runningOpen: Supervisor.RunningOf<typeof open>
declare const runningFleet: Supervisor.RunningOf<typeof fleet>

describe("a supervisor with a template for later children", () => {
  it("escalates what they may fail with, and needs what they need, from the start", () => {
    expectTypeOf<Supervisor.Escalation<typeof open>>().toEqualTypeOf<
      SupervisorError.GaveUp<"open", At<`open/${string}`, DbError | Oom | SupervisorError.Defect>>
    >()
    expectTypeOf<Supervisor.NeedOf<typeof open>>().toEqualTypeOf<Disk>()
    expectTypeOf<Supervisor.StartError<typeof open>>().toEqualTypeOf<never>() // they are not there when it starts
  })

  it("takes keys, and children that fail and need no more", () => {
    expectTypeOf(runningOpen.startChild("a")).toEqualTypeOf<
      Effect.Effect<
        number,
        | SupervisorError.ChildPresent
        | SupervisorError.MaxChildren
        | SupervisorError.SupervisorStopping
        | SupervisorError.ChildStartFailed
      >
    >()
    accepts(runningOpen.startChild(Child.make("a", { start: idle, restart: "transient", plane: "control" })))
    accepts(runningOpen.startChild(Child.make("a", { start: python, restart: "temporary" })))
    expectTypeOf<typeof permanent>().not.toExtend<Parameters<typeof runningOpen.startChild>[0]>() // it may also fail with Ended
    // @ts-expect-error it belongs to the execution plane
    accepts(runningOpen.startChild(Child.make("a", { start: idle, restart: "transient", plane: "execution" })))
    accepts(runningFleet.startChild(Child.make("a", { start: idle })))
    // @ts-expect-error Oom is an error that the fleet does not escalate
    accepts(runningFleet.startChild(Child.make("a", { start: python })))
    expectTypeOf<Supervisor.Escalation<typeof fleet>>().toEqualTypeOf<
      SupervisorError.GaveUp<"fleet", At<`fleet/${string}`, DbError | Always>>
    >()
  })

  it("is the only one that can be given children", () => {
    // @ts-expect-error its children are those it was made with
    expectTypeOf(runningFixed.startChild)
    // @ts-expect-error it cannot be given children
    accepts(DynamicSupervisor.start(fixed))
    // @ts-expect-error a child does not know which children its supervisor takes
    expectTypeOf<SupervisorHandle.SupervisorHandle["startChild"]>()
  })

  it("is checked like its children", () => {
    // @ts-expect-error the template belongs to the execution plane
    Supervisor.make("x", { ...make, children: [], added: (key: string) => Child.make(key, { plane: "execution", start: db }) })
    Supervisor.make("x", {
      ...make,
      children: [],
      // @ts-expect-error child is significant but autoShutdown is "never"
      added: (key: string) => Child.make(key, { restart: "transient", significant: true, start: db })
    })
  })
})

describe("a running supervisor", () => {
  it("can be changed to one that fails and needs no more", () => {
    accepts(runningFixed.change(fixed))
    accepts(
      runningFixed.change(Supervisor.make("fixed", { ...make, strategy: "one_for_all", children: [Child.make("db", { start: idle })] }))
    )
    // @ts-expect-error the template cannot be taken away: startChild would have nothing to start
    accepts(runningOpen.change(Supervisor.make("open", { ...make, children: [] })))
    expectTypeOf<typeof wider>().not.toExtend<Parameters<typeof runningOpen.change>[0]>() // the new template may fail with Ended
  })

  it("is provided by a layer under a key of its own type, or of less", () => {
    class Own extends Context.Service<Own, Supervisor.RunningOf<typeof open>>()("test/Own") {}
    class Less extends Context.Service<Less, Supervisor.Running<Supervisor.Escalation<typeof open>>>()("test/Less") {}
    class Other extends Context.Service<Other, Supervisor.RunningOf<typeof fleet>>()("test/Other") {}
    expectTypeOf(Supervisor.layer(Own, open)).toEqualTypeOf<Layer.Layer<Own, never, Disk>>()
    expectTypeOf(Supervisor.layer(Less, open)).toEqualTypeOf<Layer.Layer<Less, never, Disk>>()
    // @ts-expect-error the key promises another supervisor
    Supervisor.layer(Other, open)
  })
})
