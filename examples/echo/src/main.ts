/**
 * `npm run example -- echo`: a TCP service under supervision, harmed three times on the way. Ends by itself, with 0 only if all went as it says.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Event, RegisteredName, Supervisor, Tree } from "@snakepit/core"
import { Console, Context, Data, Effect, Layer, Schedule } from "effect"
import * as Client from "./Client.ts"
import * as EchoSupervisor from "./EchoSupervisor.ts"
import * as Listener from "./Listener.ts"

class Echo extends Context.Service<Echo, Supervisor.RunningOf<typeof EchoSupervisor.supervisor>>()("echo/Echo") {}

/** The service did not do what this program says that it does. */
class Unexpected extends Data.TaggedError("Unexpected")<{ readonly expected: string; readonly got: string }> {
  override get message(): string {
    return `expected "${this.expected}", got "${this.got}"`
  }
}

const expect = (expected: string, got: string): Effect.Effect<void, Unexpected> =>
  got === expected ? Console.log(`  ${got}`) : Effect.fail(new Unexpected({ expected, got }))

/** Tells each decision of a supervisor as it is made. */
const decisions = Layer.succeed(Event.EventSink, {
  emit: ({ attributes, measurements, name }) => {
    if (attributes["reason"] === "Normal") return // the watchdog's visits, for the most part
    const about = [attributes["path"], attributes["child"]].filter((part) => part !== undefined).join("/")
    const cause = attributes["cause"] === undefined ? "" : `: ${String(attributes["cause"])}`
    const left = measurements["budgetLeft"] === undefined ? "" : ` (budget left ${String(measurements["budgetLeft"])})`
    console.log(`  » ${name.split(".").at(-1)} ${about}${cause}${left}`)
  }
})

/** As clients do: again, until somebody listens. */
const connect = Effect.retry(Client.connect, { schedule: Schedule.spaced("20 millis"), times: 200 })

const program = Effect.gen(function*() {
  const echo = yield* Echo

  yield* Console.log("Two clients say hello.")
  const ann = yield* connect
  const bob = yield* connect
  yield* expect("hello 1", yield* ann.say("hello"))
  yield* expect("hello 2", yield* bob.say("hello"))

  yield* Console.log("One sends a line that no connection survives. The other does not notice.")
  yield* expect("HungUp", yield* Effect.match(bob.say("crash"), { onFailure: ({ _tag }) => _tag, onSuccess: (answer) => answer }))
  yield* expect("hello 3", yield* ann.say("hello"))

  yield* Console.log("The listening socket is closed from outside. The watchdog finds it; open connections do not notice.")
  const { port, server } = yield* RegisteredName.whereis(Listener.name)
  server.close()
  const isOpen = RegisteredName.whereis(Listener.name).pipe(
    Effect.map((listening) => listening.port !== port),
    Effect.orElseSucceed(() => false)
  )
  yield* Effect.repeat(isOpen, { until: (open) => open, schedule: Schedule.spaced("20 millis") })
  const cyd = yield* connect
  yield* expect("hello 4", yield* cyd.say("hello"))
  yield* expect("hello 5", yield* ann.say("hello"))

  yield* Console.log("The counter fails. All that stands on it is started anew; the clients come back.")
  yield* echo.failChild("counter", new Error("it has lost count"))
  yield* expect("HungUp", yield* Effect.match(ann.say("hello"), { onFailure: ({ _tag }) => _tag, onSuccess: (answer) => answer }))
  const back = yield* connect
  yield* expect("hello 1", yield* back.say("hello"))

  yield* Console.log(Tree.render(yield* echo.tree))
  yield* Console.log("All went as it should.")
})

program.pipe(
  Effect.scoped,
  Supervisor.supervised(Echo),
  Effect.provide(Layer.provide(Supervisor.layer(Echo, EchoSupervisor.supervisor), decisions)),
  NodeRuntime.runMain
)
