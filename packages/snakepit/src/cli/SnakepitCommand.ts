/** The command line: `snakepit doctor`, `codegen`, `config`, `watch`, `incident`, `history`, `intensity`. */
import { Argument, Command, Flag } from "effect/cli"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Codegen from "./codegen/Codegen.ts"
import * as ConfigCommand from "./ConfigCommand.ts"
import * as Doctor from "./Doctor.ts"
import * as Finding from "./Finding.ts"
import { FoundErrors, orTell } from "./FoundErrors.ts"
import * as HistoryCommand from "./HistoryCommand.ts"
import * as IncidentCommand from "./IncidentCommand.ts"
import * as IntensityCommand from "./IntensityCommand.ts"
import * as WatchCommand from "./WatchCommand.ts"

/** Where what is printed will be read. */
const paper = (): Finding.Paper => ({
  columns: process.stdout.isTTY === true ? process.stdout.columns : 120, // of a log
  color: process.stdout.isTTY === true && !process.env["NO_COLOR"]
})

const doctor = Command.make("doctor", {
  config: Flag.File("config").pipe(
    Flag.optional,
    Flag.withDescription("The application's configuration: a file with the JSON that Snakepit.layer takes")
  ),
  json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("End with one line of JSON"))
}, ({ config, json }) =>
  Effect.gen(function*() {
    const findings = yield* Doctor.examine(Option.getOrUndefined(config))
    yield* Console.log(Finding.render(findings, paper()))
    if (json) yield* Console.log(Finding.toJson(findings))
    if (Finding.hasError(findings)) return yield* Effect.fail(new FoundErrors())
  })).pipe(
    Command.withDescription(
      "Look whether this system runs Snakepit, what holds its processes, and what dead hosts left. Exits with 1 at an error."
    )
  )

const codegen = Command.make("codegen", {
  adapter: Flag.String("adapter").pipe(
    Flag.withMetavar("MODULE"),
    Flag.withDescription("The module whose tools are described, as Python imports it")
  ),
  path: Flag.Directory("path").pipe(
    Flag.withMetavar("DIR"),
    Flag.atLeast(0),
    Flag.withDescription("Where the adapter may be found; may be repeated")
  ),
  python: Flag.String("python").pipe(
    Flag.withMetavar("EXE"),
    Flag.optional,
    Flag.withDescription("The interpreter, $SNAKEPIT_PYTHON or else python3 by default")
  ),
  out: Flag.File("out").pipe(Flag.withMetavar("FILE"), Flag.withDescription("The TypeScript file of the contract")),
  check: Flag.Boolean("check").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Write nothing: show which tools differ, and end with 1, when the file is not current")
  )
}, ({ python, ...options }) => orTell(Codegen.run({ ...options, python: Option.getOrUndefined(python) }))).pipe(
  Command.withDescription(
    "Derive the contract of a Python adapter, an RpcGroup with its schemas, from its annotations. Imports the adapter. Exits with 1 at an error."
  )
)

const told = <R>(text: Effect.Effect<string, { readonly message: string }, R>) => Effect.flatMap(orTell(text), (text) => Console.log(text))

const configFile = Argument.String("file").pipe(Argument.withDescription("A configuration file: YAML, TOML or JSON by its ending"))

const config = Command.make("config").pipe(
  Command.withDescription("What a configuration file comes to, with the environment, without starting anything. Exits with 1 at an error."),
  Command.withSubcommands([
    Command.make("check", { file: configFile }, ({ file }) => told(ConfigCommand.check(file))).pipe(
      Command.withDescription("Is the file valid? What is wrong is told with its key and line.")
    ),
    Command.make("explain", {
      key: Argument.String("key").pipe(Argument.withDescription("A key by its path, as pools.default.callTimeout")),
      file: Flag.String("file").pipe(Flag.withMetavar("FILE"), Flag.withDescription("The configuration file"))
    }, ({ file, key }) => told(ConfigCommand.explain(file, key))).pipe(
      Command.withDescription("Tell a key's value, who says it, and when a change of it takes effect.")
    )
  ])
)

const history = HistoryCommand.history

/** The whole command line. */
export const command = Command.make("snakepit").pipe(
  Command.withDescription("Pools of Python workers under a supervision tree"),
  Command.withSubcommands([doctor, codegen, config, WatchCommand.watch, IncidentCommand.incident, history, IntensityCommand.intensity])
)
