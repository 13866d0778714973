/** `snakepit config`: what a configuration file, with the environment, comes to, without starting anything. */
import { ConfigInvalid, ConfigLayer, ConfigServer, ConfigShape } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as ConfigSources from "../config/ConfigSources.ts"
import * as Configuration from "../Configuration.ts"
import { SnakepitConfig } from "../SnakepitConfig.ts"

const missing = /^missing key/

/** What the file leaves to the program's code is no mistake of the file. */
const isLeft = ({ issue }: ConfigInvalid.ConfigProblem): boolean => missing.test(issue)

const load = Effect.fnUntraced(function*(file: string) {
  const sources = yield* ConfigSources.make({ schema: SnakepitConfig, code: { pools: {} }, file })
  return yield* sources.read
}, Effect.scoped)

/** Says that the file is valid, and what it leaves to the program; fails with what is wrong in it. */
export const check = Effect.fnUntraced(function*(file: string) {
  const layers = yield* load(file)
  const left = yield* ConfigServer.decode(SnakepitConfig, layers).pipe(
    Effect.as([]),
    Effect.catch(({ problems }) => {
      const mistakes = problems.filter((problem) => !isLeft(problem))
      return mistakes.length > 0 ? Effect.fail(new ConfigInvalid.ConfigInvalid({ problems: mistakes })) : Effect.succeed(problems)
    })
  )
  return left.length === 0
    ? `${file} is valid`
    : `${file} is valid beside a program that says in its code: ${left.map(({ key }) => key).join(", ")}`
})

/** Says what a key comes to, who says so, and when a change of it takes effect. */
export const explain = Effect.fnUntraced(function*(file: string, key: string) {
  const layers = yield* load(file)
  const config = yield* ConfigServer.decode(SnakepitConfig, layers)
  const provenance = ConfigLayer.provenance(ConfigShape.of(SnakepitConfig), layers, config)
  const { reload, source, value } = yield* Configuration.factsOf({ config, provenance }, key)
  return `${key} = ${value ?? "none"}\n  from: ${source}\n  a change: ${reload}`
})
