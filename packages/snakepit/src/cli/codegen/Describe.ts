/** Asks Python for the description of an adapter. */
import * as PythonPackage from "@snakepit/bridge/process/PythonPackage"
import { environment, executable, folders, PythonConfig } from "@snakepit/bridge/PythonConfig"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Program from "../Program.ts"
import { AdapterUnreadable } from "./CodegenError.ts"
import { Description } from "./Description.ts"

export interface Options {
  readonly adapter: string
  readonly path: ReadonlyArray<string>
  /** The interpreter; `$SNAKEPIT_PYTHON` or else `python3` when it is not named. */
  readonly python: string | undefined
}

/** What `snakepit.describe` says when it cannot describe. */
const Failed = Schema.Struct({
  status: Schema.Literal("failed"),
  stage: Schema.Literals(["import", "catalogue"]),
  exception: Schema.Struct({ type: Schema.String, message: Schema.String, traceback: Schema.String })
})

const Answer = Schema.fromJsonString(Schema.Union([Failed, Description]))

/** The lines of a program's output that say why: its end, without what the import of a module adds to a traceback. */
const endOf = (text: string): string =>
  (text.split(/^ {2}File "<frozen importlib.*\n/m).at(-1) ?? "").trimEnd().split("\n").filter(Boolean).slice(-6).join("\n")

export const describe = ({ adapter, path, python: executableName }: Options): Effect.Effect<Description, AdapterUnreadable> =>
  Effect.gen(function*() {
    const config = yield* Effect.orDie(Schema.decodeUnknownEffect(PythonConfig)({ adapter, path, executable: executableName }))
    const python = executable(config)
    const unreadable = (stage: AdapterUnreadable["stage"], detail: string) => new AdapterUnreadable({ adapter, python, stage, detail })
    const args = ["-m", "snakepit.describe", "--adapter", adapter, ...folders(config).flatMap((folder) => ["--path", folder])]
    const ran = yield* Program.run(python, args, environment(config, PythonPackage.folder, {}))
    switch (ran._tag) {
      case "missing":
        return yield* unreadable("python", ran.detail)
      case "timedOut":
        return yield* unreadable("silent", "it was ended")
      case "ended": {
        const answer = Option.getOrUndefined(Schema.decodeUnknownOption(Answer)(ran.stdout))
        if (answer === undefined) return yield* unreadable("answer", endOf(ran.stderr) || `it ended with code ${ran.code}`)
        if (!("status" in answer)) return answer
        const { message, traceback, type } = answer.exception
        return yield* unreadable(answer.stage, answer.stage === "import" ? endOf(traceback) : `${type}: ${message}`)
      }
    }
  })
