/** What the compiler refuses, and the sentences that it says. */
import { Child, DynamicSupervisor, RegisteredName, RestartPolicy, Supervisor, type SupervisorError, SupervisorEvent } from "@snakepit/core"
import type { CompileError } from "@snakepit/core/CompileError"
import { Context, Effect, Layer } from "effect"
import { describe, expectTypeOf, it } from "vitest"

declare const start: Effect.Effect<Effect.Effect<void, "lost">, "refused">

const limited = RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } })
const dynamic = {
  because: "it is a test",
  limitBecause: "it is a test",
  events: SupervisorEvent.of("test_supervisor", "control"),
  plane: "control",
  restart: limited
} as const
const common = { ...dynamic, strategy: "one_for_one" } as const
type Common = typeof common
type Dynamic = typeof dynamic
type Start = { readonly start: typeof start }

/** The sentence that an element of the options is intersected with. */
type SentenceOf<X> = X extends CompileError<infer Message> ? Message : never
type OfChild<O extends Child.Options> = Parameters<typeof Child.make<"s", O>>[1]
type OfSupervisor<O extends Supervisor.Options> = Parameters<typeof Supervisor.make<"x", O>>[1]
type OfDynamic<O extends DynamicSupervisor.Options> = Parameters<typeof DynamicSupervisor.make<"x", O>>[1]

const significant = Child.make("s", { start, restart: "transient", significant: true })

describe("a child that is significant and permanent", () => {
  type Sentence =
    `child "s" is significant and permanent: a permanent child never ends for good, so auto-shutdown could never fire; make it transient or temporary`

  it("is refused, whether it says permanent or nothing", () => {
    // @ts-expect-error it says nothing
    Child.make("s", { start, significant: true })
    // @ts-expect-error it says permanent
    Child.make("s", { start, restart: "permanent", significant: true })
    expectTypeOf<SentenceOf<OfChild<Start & { readonly significant: true }>["significant"]>>().toEqualTypeOf<Sentence>()
    expectTypeOf<SentenceOf<OfChild<Start & { readonly significant: true; readonly restart: "permanent" }>["significant"]>>()
      .toEqualTypeOf<Sentence>()
  })

  it("compiles when it is transient, temporary, or not known to be permanent", () => {
    Child.make("s", { start, restart: "transient", significant: true })
    Child.make("s", { start, restart: "temporary", significant: true })
    Child.make("s", { start, restart: "transient" as "transient" | "permanent", significant: true })
    Child.make("s", { start, significant: false })
  })

  it("is refused when it is made of a layer, or is a supervisor", () => {
    class Cache extends Context.Service<Cache, string>()("test/Cache") {}
    const layer = Layer.succeed(Cache, "")
    const name = RegisteredName.make<string>("cache")
    // @ts-expect-error a permanent layer
    Child.fromLayer("s", { key: Cache, layer, name, significant: true })
    // @ts-expect-error a permanent supervisor
    Supervisor.make("x", { ...common, children: [], significant: true })
    // @ts-expect-error a permanent dynamic supervisor
    DynamicSupervisor.make("x", { ...dynamic, child: (key: string) => Child.make(key, { start }), significant: true })
    expectTypeOf<SentenceOf<OfSupervisor<Common & { readonly children: []; readonly significant: true }>["significant"]>>().toEqualTypeOf<
      `supervisor "x" is significant and permanent: a permanent child never ends for good, so auto-shutdown could never fire; make it transient or temporary`
    >()
  })
})

describe("a significant child whose supervisor never shuts itself down", () => {
  type Under<Auto> = SentenceOf<OfSupervisor<Common & Auto & { readonly children: readonly [typeof significant] }>["children"][0]>
  type Sentence = `child "s" is significant but autoShutdown is "never": its ending would end nothing`

  it("is refused, whether it says never or nothing", () => {
    // @ts-expect-error it says nothing
    Supervisor.make("x", { ...common, children: [significant] })
    // @ts-expect-error it says never
    Supervisor.make("x", { ...common, autoShutdown: "never", children: [significant] })
    expectTypeOf<Under<{}>>().toEqualTypeOf<Sentence>()
    expectTypeOf<Under<{ readonly autoShutdown: "never" }>>().toEqualTypeOf<Sentence>()
    expectTypeOf<Under<{ readonly autoShutdown: "any" }>>().toBeNever()
  })

  it("is refused in a dynamic supervisor, which never does", () => {
    DynamicSupervisor.make("x", {
      ...dynamic,
      // @ts-expect-error its template is significant
      child: (key: string) => Child.make(key, { start, restart: "transient", significant: true })
    })
    expectTypeOf<SentenceOf<OfDynamic<Dynamic & { readonly child: (key: string) => typeof significant }>["child"]>>().toEqualTypeOf<
      "the template is significant, but a dynamic supervisor never shuts itself down: its ending would end nothing"
    >()
  })
})

describe("an auto-shutdown that could never fire", () => {
  it("is refused when the children are known and none is significant", () => {
    // @ts-expect-error no child is significant
    Supervisor.make("x", { ...common, autoShutdown: "any", children: [Child.make("a", { start })] })
    // @ts-expect-error there is no child
    Supervisor.make("x", { ...common, autoShutdown: "all", children: [] })
    expectTypeOf<
      SentenceOf<OfSupervisor<Common & { readonly autoShutdown: "any"; readonly children: readonly [] }>["autoShutdown"]>
    >().toEqualTypeOf<`supervisor "x" has autoShutdown "any" but no significant child: it could never shut itself down`>()
  })

  it("compiles when a child is significant, or may be", () => {
    Supervisor.make("x", { ...common, autoShutdown: "any", children: [Child.make("a", { start }), significant] })
    Supervisor.make("x", { ...common, autoShutdown: "any", children: [significant] as ReadonlyArray<typeof significant> })
    const maybe = Child.make("s", { start, restart: "transient", significant: false as boolean })
    Supervisor.make("x", { ...common, autoShutdown: "any", children: [maybe] })
    Supervisor.make("x", { ...common, children: [maybe] })
  })
})

describe("two children of one id", () => {
  const a = Child.make("a", { start })
  const b = Child.make("b", { start })

  it("are refused, next to each other or not, also when one is a supervisor", () => {
    // @ts-expect-error twice the same
    Supervisor.make("x", { ...common, children: [a, a] })
    // @ts-expect-error one between
    Supervisor.make("x", { ...common, children: [a, b, Child.make("a", { start })] })
    // @ts-expect-error a supervisor
    Supervisor.make("x", { ...common, children: [a, Supervisor.make("a", { ...common, children: [] })] })
    type Children = OfSupervisor<Common & { readonly children: readonly [typeof a, typeof b, typeof a] }>["children"]
    expectTypeOf<SentenceOf<Children[0]>>().toEqualTypeOf<`duplicate child id "a"`>()
    expectTypeOf<SentenceOf<Children[1]>>().toBeNever()
    expectTypeOf<SentenceOf<Children[2]>>().toEqualTypeOf<`duplicate child id "a"`>()
  })

  it("compile when their ids are not literal, or differ", () => {
    Supervisor.make("x", { ...common, children: [a, b] })
    Supervisor.make("x", { ...common, children: ["a", "a"].map((id) => Child.make(id, { start })) })
    const some = Child.make(`a${Math.random()}` as const, { start })
    Supervisor.make("x", { ...common, children: [a, some, some, Child.make("a" as string, { start }), Child.make("a1", { start })] })
  })
})

describe("a child in the wrong plane", () => {
  const misplaced = Child.make("c", { plane: "execution", start })

  it("is refused by static and dynamic supervisors", () => {
    // @ts-expect-error it belongs to the execution plane
    Supervisor.make("x", { ...common, children: [misplaced] })
    DynamicSupervisor.make("x", {
      ...dynamic,
      // @ts-expect-error the template belongs to the execution plane
      child: (key: string) => Child.make(key, { plane: "execution", start })
    })
    expectTypeOf<SentenceOf<OfSupervisor<Common & { readonly children: readonly [typeof misplaced] }>["children"][0]>>().toEqualTypeOf<
      `child "c" belongs to the execution plane, this supervisor to the control plane`
    >()
    expectTypeOf<SentenceOf<OfDynamic<Dynamic & { readonly child: (key: string) => typeof misplaced }>["child"]>>().toEqualTypeOf<
      "the template belongs to the execution plane, this supervisor to the control plane"
    >()
  })

  it("compiles when it has no plane, or is a supervisor mounted on this one", () => {
    const mounted = Supervisor.make("m", { ...common, plane: "execution", mountOn: "control", children: [misplaced] })
    Supervisor.make("x", { ...common, children: [Child.make("c", { start }), mounted] })
    // @ts-expect-error it is not mounted
    Supervisor.make("x", { ...common, children: [Supervisor.make("m", { ...common, plane: "execution", children: [misplaced] })] })
  })
})

describe("who is failed by whom", () => {
  const children = [Child.make("process", { start }), Child.make("watchdog", { start })] as const

  it("is refused when one of them is no child", () => {
    // @ts-expect-error no child "proces"
    Supervisor.make("x", { ...common, children, failedBy: { proces: ["watchdog"] } })
    // @ts-expect-error no child "reaper"
    Supervisor.make("x", { ...common, children, failedBy: { process: ["watchdog", "reaper"] } })
    type Options = Common & { readonly children: typeof children; readonly failedBy: { readonly process: readonly ["reaper"] } }
    expectTypeOf<SentenceOf<OfSupervisor<Options>["failedBy"]>>().toEqualTypeOf<
      `supervisor "x" has no child "reaper", which its failedBy names`
    >()
  })

  it("compiles when all are, or when the ids are not known", () => {
    Supervisor.make("x", { ...common, children, failedBy: { process: ["watchdog"] } })
    Supervisor.make("x", { ...common, children: ["a"].map((id) => Child.make(id, { start })), failedBy: { process: ["watchdog"] } })
  })
})

describe("an option that does not exist", () => {
  it("is refused by every maker, though OTP ignores it (V-3)", () => {
    // @ts-expect-error restrat
    Child.make("s", { start, restrat: "transient" })
    // @ts-expect-error autoshutdown
    Supervisor.make("x", { ...common, children: [], autoshutdown: "any" })
    // @ts-expect-error strategy: a dynamic supervisor has none
    DynamicSupervisor.make("x", { ...dynamic, child: (key: string) => Child.make(key, { start }), strategy: "one_for_all" })
    // @ts-expect-error reset
    RestartPolicy.make({ intensity: "unlimited", reset: "1 second" })
    expectTypeOf<SentenceOf<OfChild<Start & { readonly restrat: "transient" }>["restrat"]>>().toEqualTypeOf<
      `Child.make has no option "restrat"`
    >()
    expectTypeOf<SentenceOf<OfSupervisor<Common & { readonly children: []; readonly autoshutdown: "any" }>["autoshutdown"]>>()
      .toEqualTypeOf<`Supervisor.make has no option "autoshutdown"`>()
  })

  it("is refused when it comes from a spread", () => {
    const shared = { shutdown: "1 second", retries: 3 } as const
    // @ts-expect-error retries
    Child.make("s", { start, ...shared })
  })
})

describe("an escalation that nobody handles", () => {
  const tree = Supervisor.make("root", { ...common, children: [Child.make("db", { start })] })
  const program = Supervisor.run(tree)
  type Sentence<E> = SentenceOf<Parameters<typeof Supervisor.handled<void, E, never>>[0]>

  it("is refused at the root, piped or not", () => {
    // @ts-expect-error it may fail to start and give up
    void Supervisor.handled(program)
    // @ts-expect-error it may give up
    void program.pipe(Effect.catchTag("StartFailed", () => Effect.void), Supervisor.handled)
    // @ts-expect-error it may fail to start
    void program.pipe(Effect.catchTag("GaveUp", () => Effect.void), Supervisor.handled)
    expectTypeOf<Sentence<SupervisorError.GaveUp<"root", any>>>().toEqualTypeOf<
      `supervisor "root" may give up, and nobody says what the program does then: catch "GaveUp" before this`
    >()
    expectTypeOf<Sentence<Supervisor.StartError<typeof tree>>>().toEqualTypeOf<
      `the tree may fail to start, and nobody says what the program does then: catch "StartFailed" before this`
    >()
    expectTypeOf<Sentence<"other">>().toEqualTypeOf<"the program may still fail: handle its errors before this">()
  })

  it("compiles once both are handled", () => {
    const handled = program.pipe(
      Effect.catchTag("StartFailed", () => Effect.void),
      Effect.catchTag("GaveUp", (error) => Effect.logFatal(error.message)),
      Supervisor.handled
    )
    expectTypeOf(handled).toEqualTypeOf<Effect.Effect<void>>()
  })

  it("does not fit a layer's service that promises none", () => {
    class App extends Context.Service<App, Supervisor.Running<never>>()("test/App") {}
    // @ts-expect-error the running tree may give up
    void Supervisor.layer(App, tree)
    expectTypeOf<SentenceOf<Parameters<typeof Supervisor.layer<App, Supervisor.Running<never>, typeof tree>>[1]>>().toEqualTypeOf<
      `supervisor "root" does not fit the service of the key, which must be Supervisor.RunningOf<typeof tree>, or something wider`
    >()
  })
})

describe("what must be said", () => {
  it("is the policy, the events and the reasons of a supervisor", () => {
    const { because, events, limitBecause, ...rest } = common
    // @ts-expect-error events is missing
    Supervisor.make("x", { ...rest, because, limitBecause, children: [] })
    // @ts-expect-error the reason for the strategy is missing
    Supervisor.make("x", { ...rest, events, limitBecause, children: [] })
    // @ts-expect-error the reason for the limit is missing
    Supervisor.make("x", { ...rest, events, because, children: [] })
    // @ts-expect-error a dynamic supervisor's too
    DynamicSupervisor.make("x", { plane: "control", restart: limited, because, events, child: (key: string) => Child.make(key, { start }) })
    // @ts-expect-error a plain limit is no policy
    Supervisor.make("x", { ...common, restart: { maxRestarts: 1, within: "1 second" }, children: [] })
  })

  it("is a service that the layer provides, under a name of its own type", () => {
    class Cache extends Context.Service<Cache, string>()("test/Cache") {}
    const name = RegisteredName.make<string>("cache")
    type Options = Parameters<typeof Child.fromLayer<"c", Cache, string, never, never, {}>>[1]
    expectTypeOf<Layer.Layer<Cache>>().toExtend<Options["layer"]>()
    expectTypeOf<Layer.Layer<"another service">>().not.toExtend<Options["layer"]>()
    // @ts-expect-error the name is of numbers
    Child.fromLayer("c", { key: Cache, layer: Layer.succeed(Cache, ""), name: RegisteredName.make<number>("cache") })
    // @ts-expect-error the name is of less than the service
    Child.fromLayer("c", { key: Cache, layer: Layer.succeed(Cache, ""), name: RegisteredName.make<"a">("cache") })
    // @ts-expect-error the name is of less than what is registered
    void RegisteredName.register(RegisteredName.make<"a">("a"), "a" as string)
    // @ts-expect-error restrat
    Child.fromLayer("c", { key: Cache, layer: Layer.succeed(Cache, ""), name, restrat: "transient" })
  })
})
