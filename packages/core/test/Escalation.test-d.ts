/** What the compiler infers of a tree: how it can fail to start, how it can give up, by path. */
import {
  Child,
  DynamicSupervisor,
  RegisteredName,
  RestartPolicy,
  type RestartType,
  Supervisor,
  type SupervisorError,
  SupervisorEvent
} from "@snakepit/core"
import { Context, Data, Effect, type Layer, type Schedule } from "effect"
import { describe, expectTypeOf, it } from "vitest"

class DbError extends Data.TaggedError("DbError")<{}> {}
class Oom extends Data.TaggedError("Oom")<{}> {}
class ImportFailed extends Data.TaggedError("ImportFailed")<{}> {}
class NoMoney extends Data.TaggedError("NoMoney")<{}> {}
class Disk extends Context.Service<Disk, {}>()("test/Disk") {}
class Cache extends Context.Service<Cache, { readonly get: (key: string) => string }>()("test/Cache") {}

declare const db: Effect.Effect<Effect.Effect<void, DbError>>
declare const python: Effect.Effect<Effect.Effect<never, Oom>, ImportFailed>
declare const quiet: Effect.Effect<Effect.Effect<void>>
declare const broke: Schedule.Schedule<unknown, RestartPolicy.ChildExit, NoMoney>

type At<Path extends string, E> = SupervisorError.Origin<Path, E>
type Defect = SupervisorError.Defect
type Always = SupervisorError.Defect | SupervisorError.Ended
type GaveUp<Path extends string, From> = SupervisorError.GaveUp<Path, From>

const limited = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } })
const unlimited = RestartPolicy.make({ intensity: "unlimited" })
const common = {
  because: "it is a test",
  events: SupervisorEvent.of("test_supervisor", "control"),
  plane: "control",
  strategy: "one_for_one",
  restart: limited
} as const
const dynamic = {
  because: "it is a test",
  events: SupervisorEvent.of("test_supervisor", "control"),
  plane: "control",
  restart: limited
} as const

/** What `Supervisor.make("root", …)` makes of one child. */
type Root<C extends Child.Any> = Supervisor.Made<"root", C, typeof common>
type Over<C extends Child.Any> = Supervisor.Escalation<Root<C>>

describe("a child escalates", () => {
  it("its start error, its life's error, a defect, and its ending when it is permanent", () => {
    const child = Child.make("child", { start: python })
    expectTypeOf<Over<typeof child>>().toEqualTypeOf<GaveUp<"root", At<"root/child", ImportFailed | Oom | Always>>>()
  })

  it("not its ending when it is transient", () => {
    const child = Child.make("child", { start: python, restart: "transient" })
    expectTypeOf<Over<typeof child>>().toEqualTypeOf<GaveUp<"root", At<"root/child", ImportFailed | Oom | Defect>>>()
  })

  it("nothing when it is temporary, though its start error stays", () => {
    const child = Child.make("child", { start: python, restart: "temporary" })
    expectTypeOf<Over<typeof child>>().toBeNever()
    expectTypeOf<Supervisor.StartError<Root<typeof child>>>().toEqualTypeOf<
      SupervisorError.StartFailed<At<"root/child", ImportFailed>>
    >()
  })

  it("all that it may, when its restart type is not known", () => {
    const child = Child.make("child", { start: db, restart: "temporary" as RestartType.RestartType })
    const options: { readonly start: typeof db; readonly restart?: "temporary" } = { start: null as never }
    const optional = Child.make("child", options)
    expectTypeOf<Over<typeof child>>().toEqualTypeOf<GaveUp<"root", At<"root/child", DbError | Always>>>()
    expectTypeOf<Over<typeof optional>>().toEqualTypeOf<GaveUp<"root", At<"root/child", DbError | Always>>>()
  })

  it("the errors of every life that it may return, and needs what they need", () => {
    const start = null as unknown as Effect.Effect<Effect.Effect<void, DbError, Disk> | typeof Child.ignore, never, Child.CurrentChild>
    const child = Child.make("child", { start })
    expectTypeOf<Over<typeof child>>().toEqualTypeOf<GaveUp<"root", At<"root/child", DbError | Always>>>()
    expectTypeOf<Supervisor.NeedOf<Root<typeof child>>>().toEqualTypeOf<Disk>()
  })
})

describe("a supervised layer", () => {
  const layer = null as unknown as Layer.Layer<Cache, ImportFailed, Disk>
  const name = RegisteredName.make<Cache["Service"]>("cache")

  it("fails to start as the layer fails to build, and escalates that", () => {
    const child = Child.fromLayer("cache", { key: Cache, layer, name })
    type Tree = Root<typeof child>
    expectTypeOf<Supervisor.StartError<Tree>>().toEqualTypeOf<SupervisorError.StartFailed<At<"root/cache", ImportFailed>>>()
    expectTypeOf<Supervisor.Escalation<Tree>>().toEqualTypeOf<GaveUp<"root", At<"root/cache", ImportFailed | Always>>>()
    expectTypeOf<Supervisor.NeedOf<Tree>>().toEqualTypeOf<Disk>()
  })

  it("takes the options of a child", () => {
    const child = Child.fromLayer("cache", {
      key: Cache,
      layer,
      name,
      restart: "temporary",
      shutdown: "1 second",
      significant: true,
      plane: "control"
    })
    expectTypeOf<Over<typeof child>>().toBeNever()
    expectTypeOf(child).toExtend<Child.Child<"cache", any, never, Disk, "control", true>>()
  })
})

describe("a supervisor escalates", () => {
  const inner = Supervisor.make("inner", {
    ...common,
    children: [Child.make("db", { start: db }), Child.make("task", { start: python, restart: "temporary" })]
  })
  type Inner =
    | At<"root/inner/db", DbError | Always>
    | At<"root/inner/task", ImportFailed> // a restart of `inner` starts its temporary children too
    | At<"root/inner", Defect>

  it("what its children escalate, by path, and how a restart of it can fail", () => {
    expectTypeOf<Supervisor.Escalation<typeof inner>>().toEqualTypeOf<GaveUp<"inner", At<"inner/db", DbError | Always>>>()
    expectTypeOf<Over<typeof inner>>().toEqualTypeOf<GaveUp<"root", Inner>>()
  })

  it("by its full path through every level", () => {
    const worker = Supervisor.make("worker", {
      ...common,
      plane: "execution",
      mountOn: "control",
      strategy: "rest_for_one",
      children: [Child.make("process", { plane: "execution", start: python })]
    })
    const pools = Supervisor.make("pools", { ...common, children: [worker] })
    expectTypeOf<Over<typeof pools>>().toEqualTypeOf<
      GaveUp<
        "root",
        | At<"root/pools/worker/process", ImportFailed | Oom | Always>
        | At<"root/pools/worker", Defect>
        | At<"root/pools", Defect>
      >
    >()
  })

  it("nothing when its intensity is unlimited", () => {
    const watchers = Supervisor.make("watchers", { ...common, restart: unlimited, children: [Child.make("exporter", { start: python })] })
    expectTypeOf<Supervisor.Escalation<typeof watchers>>().toBeNever()
    expectTypeOf<Over<typeof watchers>>().toBeNever()
    expectTypeOf(Supervisor.run(Supervisor.make("only", {
      ...common,
      restart: RestartPolicy.make({ intensity: "unlimited" }), // written in place: nothing may leak in from what is expected of it
      children: [Child.make("exporter", { start: db })]
    }))).toEqualTypeOf<Effect.Effect<void>>()
  })

  it("how it can fail to start, unlimited or not, when a sibling may take it along", () => {
    const watchers = Supervisor.make("watchers", { ...common, restart: unlimited, children: [Child.make("exporter", { start: python })] })
    const children = [Child.make("db", { start: db }), watchers] as const
    type Taken = At<"root/watchers/exporter", ImportFailed> | At<"root/watchers", Defect>
    const all = Supervisor.make("root", { ...common, strategy: "one_for_all", children })
    const rest = Supervisor.make("root", { ...common, strategy: "rest_for_one", children })
    const one = Supervisor.make("root", { ...common, children })
    expectTypeOf<Supervisor.Escalation<typeof all>>().toEqualTypeOf<GaveUp<"root", At<"root/db", DbError | Always> | Taken>>()
    expectTypeOf<Supervisor.Escalation<typeof rest>>().toEqualTypeOf<GaveUp<"root", At<"root/db", DbError | Always> | Taken>>()
    expectTypeOf<Supervisor.Escalation<typeof one>>().toEqualTypeOf<GaveUp<"root", At<"root/db", DbError | Always>>>()
  })

  it("nothing to its parent when it is temporary, though it can give up itself", () => {
    const temporary = Supervisor.make("inner", { ...common, restartType: "temporary", children: [Child.make("db", { start: db })] })
    expectTypeOf<Supervisor.Escalation<typeof temporary>>().toEqualTypeOf<GaveUp<"inner", At<"inner/db", DbError | Always>>>()
    expectTypeOf<Over<typeof temporary>>().toBeNever()
  })

  it("the same when it is transient: giving up is abnormal", () => {
    const transient = Supervisor.make("inner", { ...common, restartType: "transient", children: [Child.make("db", { start: db })] })
    expectTypeOf<Over<typeof transient>>().toEqualTypeOf<
      GaveUp<"root", At<"root/inner/db", DbError | Always> | At<"root/inner", Defect>>
    >()
  })

  it("its own ending when it shuts itself down and is permanent", () => {
    const options = {
      ...common,
      restart: unlimited,
      autoShutdown: "any",
      children: [Child.make("job", { start: quiet, restart: "transient", significant: true })]
    } as const
    const permanent = Supervisor.make("batch", options)
    const transient = Supervisor.make("batch", { ...options, restartType: "transient" })
    expectTypeOf<Over<typeof permanent>>().toEqualTypeOf<
      GaveUp<"root", At<"root/batch", Defect> | At<"root/batch", SupervisorError.Ended>>
    >()
    expectTypeOf<Over<typeof transient>>().toBeNever()
  })

  it("to the supervisor that it is significant for, when it is not permanent", () => {
    const significant = Supervisor.make("inner", {
      ...common,
      restartType: "transient",
      significant: true,
      children: [Child.make("db", { start: db })]
    })
    expectTypeOf(significant).toExtend<Child.Child<"inner", any, any, never, "control", true>>()
    Supervisor.make("root", { ...common, autoShutdown: "all", children: [significant] })
  })

  it("what cannot be known as unknown, not as nothing", () => {
    type Hidden = Supervisor.Supervisor<"hidden", any, any, never, "control">
    expectTypeOf<Over<Hidden>>().toEqualTypeOf<GaveUp<"root", At<`root/${string}`, unknown>>>()
    expectTypeOf<Supervisor.Escalation<Hidden>>().toBeUnknown()
  })
})

describe("a dynamic supervisor escalates", () => {
  it("what its template escalates, by the template of the path", () => {
    const fleet = DynamicSupervisor.make("fleet", { ...dynamic, child: (key) => Child.make(key, { start: python }) })
    expectTypeOf<Supervisor.Escalation<typeof fleet>>().toEqualTypeOf<
      GaveUp<"fleet", At<`fleet/${string}`, ImportFailed | Oom | Always>>
    >()
    const begun = DynamicSupervisor.make("fleet", {
      ...dynamic,
      initial: Effect.succeed(["a"]),
      child: (key) => Child.make(key, { start: python })
    })
    expectTypeOf<Supervisor.StartError<typeof begun>>().toEqualTypeOf<
      SupervisorError.StartFailed<At<`fleet/${string}`, ImportFailed>>
    >()
  })

  it("no start of its own when it starts empty", () => {
    const fleet = DynamicSupervisor.make("fleet", { ...dynamic, child: (key) => Child.make(key, { start: python }) })
    expectTypeOf<Supervisor.StartError<typeof fleet>>().toBeNever()
  })

  it("through nested supervisors and further templates", () => {
    const pools = DynamicSupervisor.make("pools", {
      ...dynamic,
      child: (pool) =>
        Supervisor.make(pool, {
          ...common,
          children: [DynamicSupervisor.make("fleet", { ...dynamic, child: (slot) => Child.make(slot, { start: python }) })]
        })
    })
    expectTypeOf<Over<typeof pools>>().toEqualTypeOf<
      GaveUp<
        "root",
        | At<`root/pools/${string}/fleet/${string}`, ImportFailed | Oom | Always>
        | At<`root/pools/${string}/fleet`, Defect>
        | At<`root/pools/${string}`, Defect>
        | At<"root/pools", Defect>
      >
    >()
  })

  it("nothing when its children are temporary, or its intensity unlimited", () => {
    const tasks = DynamicSupervisor.make("tasks", { ...dynamic, child: (key) => Child.make(key, { start: python, restart: "temporary" }) })
    const pools = DynamicSupervisor.make("pools", { ...dynamic, restart: unlimited, child: (key) => Child.make(key, { start: python }) })
    expectTypeOf<Over<typeof tasks>>().toBeNever()
    expectTypeOf<Over<typeof pools>>().toBeNever()
  })
})

describe("the policy's own refusal", () => {
  const refusing = RestartPolicy.make({ intensity: { maxRestarts: 1, within: "1 minute" }, delay: broke })
  const endless = RestartPolicy.make({ intensity: "unlimited", delay: broke })
  const children = [Child.make("db", { start: db })] as const

  it("stands in the limit, beside the budget and the end of the delay", () => {
    const tree = Supervisor.make("root", { ...common, restart: refusing, children })
    expectTypeOf<Supervisor.Escalation<typeof tree>["limit"]>().toEqualTypeOf<
      RestartPolicy.IntensityExceeded | RestartPolicy.DelayEnded | NoMoney
    >()
  })

  it("makes an unlimited supervisor escalate after all, for that reason only", () => {
    const tree = Supervisor.make("root", { ...common, restart: endless, children })
    expectTypeOf<Supervisor.Escalation<typeof tree>>().toEqualTypeOf<
      SupervisorError.GaveUp<"root", At<"root/db", DbError | Always>, NoMoney>
    >()
  })

  it("counts as possible when the policy is not known", () => {
    const tree = Supervisor.make("root", { ...common, restart: null as unknown as RestartPolicy.Any, children })
    expectTypeOf<Supervisor.Escalation<typeof tree>["limit"]>().toBeUnknown()
  })
})

describe("a running tree", () => {
  it("carries its escalation in its life, in run, and its start errors in the layer", () => {
    const tree = Supervisor.make("root", { ...common, children: [Child.make("py", { start: python })] })
    type Start = SupervisorError.StartFailed<At<"root/py", ImportFailed>>
    type Escalation = GaveUp<"root", At<"root/py", ImportFailed | Oom | Always>>
    class App extends Context.Service<App, Supervisor.Running<Escalation>>()("test/App") {}
    expectTypeOf(Supervisor.run(tree)).toEqualTypeOf<Effect.Effect<void, Start | Escalation>>()
    expectTypeOf<Effect.Success<ReturnType<typeof Supervisor.start<typeof tree>>>["life"]>().toEqualTypeOf<
      Effect.Effect<void, Escalation>
    >()
    expectTypeOf(Supervisor.layer(App, tree)).toEqualTypeOf<Layer.Layer<App, Start>>()
    expectTypeOf(Effect.fail("mine" as const).pipe(Supervisor.supervised(App))).toEqualTypeOf<
      Effect.Effect<never, "mine" | Escalation, App>
    >()
    expectTypeOf(Effect.never.pipe(Supervisor.supervised(App), Effect.provide(Supervisor.layer(App, tree)))).toEqualTypeOf<
      Effect.Effect<never, Start | Escalation>
    >()
  })
})
