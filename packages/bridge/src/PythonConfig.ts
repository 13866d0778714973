/** The settings of the Python side of one pool: a Schema that holds every default and its reason. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const PythonConfig = Schema.Struct({
  /** The module whose `@tool` functions are served, as Python imports it: `"app.tools"`. */
  adapter: Schema.NonEmptyString,
  /** The interpreter, Python 3.11 or newer. `$SNAKEPIT_PYTHON` or else `python3` from the PATH when left out. */
  executable: Schema.optional(Schema.NonEmptyString),
  /** Folders that the adapter is looked for in, before Python's own. */
  path: Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** The working folder of the workers. The host's own when left out. */
  cwd: Schema.optional(Schema.NonEmptyString),
  /** Environment variables, over those of the host. */
  env: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  /**
   * Threads that numeric libraries may use in each worker (`OMP_NUM_THREADS` and its kind). 1: the pool is the parallelism; with the
   * libraries' own defaults every worker would start one thread a core.
   */
  threads: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1024 })).pipe(
    Schema.withDecodingDefault(Effect.succeed(1))
  ),
  /**
   * What holds the pool's processes beyond Reaper, process groups and parent-death signals. `"namespace"`: a pid namespace (Linux), which nothing
   * can leave; the pool does not start where none can be made.
   */
  containment: Schema.Literals(["process", "namespace"]).pipe(Schema.withDecodingDefault(Effect.succeed("process" as const)))
})

/** The settings of the Python side of one pool, decoded. */
export type PythonConfig = typeof PythonConfig.Type

/** The interpreter to run. */
export const executable = (config: PythonConfig): string => config.executable ?? process.env["SNAKEPIT_PYTHON"] ?? "python3"

/** The variables that numeric libraries read their thread count from. */
const threadVariables = [
  "OMP_NUM_THREADS",
  "OPENBLAS_NUM_THREADS",
  "MKL_NUM_THREADS",
  "NUMEXPR_NUM_THREADS",
  "VECLIB_MAXIMUM_THREADS"
]

/** The whole environment of a worker. */
export const environment = (config: PythonConfig, more: Record<string, string>): Record<string, string> => {
  const threads = Object.fromEntries(threadVariables.map((name) => [name, String(config.threads)]))
  const inherited = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return { ...Object.fromEntries(inherited), ...threads, PYTHONUNBUFFERED: "1", ...config.env, ...more }
}
