/** The settings of the Python side of one pool: a Schema that holds every default and its reason. */
import { ReloadClass } from "@snakepit/pool"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { delimiter, resolve } from "node:path"
import type { Settings } from "./process/ReaperProtocol.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

export const PythonConfig = Schema.Struct({
  /** The module whose `@tool` functions are served, as Python imports it: `"app.tools"`. */
  adapter: Schema.NonEmptyString,
  /** The interpreter, Python 3.11 or newer. `$SNAKEPIT_PYTHON` or else `python3` from the PATH when left out. A path is relative to the host. */
  executable: Schema.optional(Schema.NonEmptyString),
  /** Folders that the adapter is looked for in, before Python's own. Relative to the working folder of the host, whatever `cwd` is. */
  path: Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /**
   * Functions that may be called as `module:function` without being tools: patterns, `*` and `?` as in file names, of the whole name, such as
   * `"numpy.linalg:*"`. None by default: whoever may call a pool runs no code but its tools.
   */
  allow: Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** The working folder of the workers, relative to that of the host, which it is when left out. */
  cwd: Schema.optional(Schema.NonEmptyString),
  /**
   * Which of the host's environment variables workers see: all (`true`), those that are named, or none (`false`). `PATH` always comes along.
   * Workers see what the host does by default, its secrets too: name what they need when they run code that is not to have them.
   */
  inheritEnv: Schema.Union([Schema.Boolean, Schema.Array(Schema.NonEmptyString)]).pipe(
    Schema.withDecodingDefault(Effect.succeed(true as const))
  ),
  /** Environment variables, over those of the host. `null` takes one away. Values are shown in no message, event or plan. */
  env: ReloadClass.secret(
    Schema.Record(Schema.String, Schema.NullOr(Schema.String)).pipe(Schema.withDecodingDefault(Effect.succeed({})))
  ),
  /**
   * Threads that numeric libraries may use in each worker (`OMP_NUM_THREADS` and its kind). 1: the pool is the parallelism; with the
   * libraries' own defaults every worker would start one thread a core.
   */
  threads: int(1, 1024).pipe(Schema.withDecodingDefault(Effect.succeed(1))),
  /**
   * `"fork"`: one process imports the adapter and is forked for each worker, which takes milliseconds and shares its memory. Where that is not
   * safe (the import starts threads) or not possible (no Linux) workers are spawned, and `snakepit.forkserver.start` says why.
   * `"spawn"`: each worker imports for itself; for adapters that open devices or connections when they are imported.
   */
  start: Schema.Literals(["fork", "spawn"]).pipe(Schema.withDecodingDefault(Effect.succeed("fork" as const))),
  /**
   * Bytes of shared memory (`/dev/shm`) for payloads from 64 KiB on, for each worker: half of them for what the host sends, half for what the worker
   * does. 256 MiB: seven of the largest payloads either way by default. Memory that was used stays taken until the worker ends. What finds no room there
   * travels in its frame, which is slower. 0: none.
   */
  sharedMemory: int(0, Number.MAX_SAFE_INTEGER).pipe(Schema.withDecodingDefault(Effect.succeed(268_435_456))),
  /** The nice level of workers, absolute. The host's own when left out; 5 to 10 keeps a host that also serves requests responsive. */
  nice: Schema.optional(int(-20, 19)),
  /**
   * How gladly the kernel ends a worker when memory runs out, absolute. When left out: 500 more than the host, which is often not 0 in a
   * container, and at most 1000, where the scale ends. So a worker goes before the host.
   */
  oomScoreAdj: Schema.optional(int(0, 1000)),
  /** Limits that the kernel holds each worker to; none by default but for core dumps, since what is enough only the adapter's author knows. */
  limits: Schema.Struct({
    /** Bytes of address space: allocations beyond it raise `MemoryError`. Libraries reserve far more than they use: measure first. */
    addressSpace: Schema.optional(int(1 << 26, Number.MAX_SAFE_INTEGER)), // 64 MiB: below it no interpreter with gRPC starts
    /** Seconds of CPU time in a worker's whole life; the kernel then ends it with SIGKILL. */
    cpuSeconds: Schema.optional(int(1, 4_294_967_295)),
    /** Open files and sockets. */
    openFiles: Schema.optional(int(64, 1_048_576)), // 64: a worker's own pipes, sockets and modules need about 30
    /** Bytes of a core dump. 0: a worker that holds a model of gigabytes would write them all for each crash. */
    coreBytes: int(0, Number.MAX_SAFE_INTEGER).pipe(Schema.withDecodingDefault(Effect.succeed(0)))
  }).pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  /**
   * What holds the pool's processes beyond Reaper, process groups and parent-death signals. `"namespace"`: a pid namespace (Linux), which nothing
   * can leave; the pool does not start where none can be made.
   */
  containment: ReloadClass.restart("the pool's Reaper holds it, and all workers would end with that")(
    Schema.Literals(["process", "namespace"]).pipe(Schema.withDecodingDefault(Effect.succeed("process" as const)))
  )
})

/** The settings of the Python side of one pool, decoded. */
export type PythonConfig = typeof PythonConfig.Type

/** The interpreter to run: a name, which the PATH is searched for, or a whole path. */
export const executable = (config: PythonConfig): string => {
  const named = config.executable ?? process.env["SNAKEPIT_PYTHON"] ?? "python3"
  return named.includes("/") ? resolve(named) : named
}

/** The folders that the adapter is looked for in, as whole paths: workers may run in another folder than the host. */
export const folders = ({ path }: PythonConfig): ReadonlyArray<string> => path.map((folder) => resolve(folder))

/** The folder that workers run in. */
export const workingFolder = ({ cwd }: PythonConfig): string => resolve(cwd ?? ".")

/** The variables that numeric libraries read their thread count from. */
const threadVariables = [
  "OMP_NUM_THREADS", // OpenMP: PyTorch, scikit-learn, XGBoost, LightGBM
  "OPENBLAS_NUM_THREADS", // numpy and scipy as they are published
  "MKL_NUM_THREADS", // numpy of conda, PyTorch on Intel
  "BLIS_NUM_THREADS", // numpy on AMD's libraries
  "VECLIB_MAXIMUM_THREADS", // numpy on Apple's Accelerate
  "NUMEXPR_NUM_THREADS", // pandas.eval
  "NUMBA_NUM_THREADS", // Numba's parallel loops
  "RAYON_NUM_THREADS", // tokenizers and other packages in Rust
  "POLARS_MAX_THREADS" // Polars has a pool of its own
]

/** Whether a variable of the host is a worker's too. */
const isInherited = ({ inheritEnv }: PythonConfig, name: string): boolean =>
  inheritEnv === true || name === "PATH" || inheritEnv !== false && inheritEnv.includes(name)

/** The whole environment of a worker. `folder` is looked for modules in before what the configuration says. */
export const environment = (config: PythonConfig, folder: string | undefined, more: Record<string, string>): Record<string, string> => {
  const made: Record<string, string | null | undefined> = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => isInherited(config, name))),
    ...Object.fromEntries(threadVariables.map((name) => [name, String(config.threads)])),
    PYTHONUNBUFFERED: "1",
    ...config.env
  }
  const path = [folder, made["PYTHONPATH"]].filter(Boolean).join(delimiter)
  return Object.fromEntries(
    Object.entries({ ...made, ...path === "" ? {} : { PYTHONPATH: path }, ...more })
      .filter((entry): entry is [string, string] => typeof entry[1] === "string")
  )
}

/** What is applied to each worker before its code runs. `cgroup`: the folder in which the Reaper makes one for it. */
export const settings = ({ limits, nice, oomScoreAdj }: PythonConfig, cgroup: string | undefined): Settings => ({
  ...cgroup === undefined ? {} : { cgroup },
  ...nice === undefined ? {} : { nice },
  ...oomScoreAdj === undefined ? {} : { oom_score_adj: oomScoreAdj },
  rlimits: {
    ...limits.addressSpace === undefined ? {} : { AS: limits.addressSpace },
    ...limits.cpuSeconds === undefined ? {} : { CPU: limits.cpuSeconds },
    ...limits.openFiles === undefined ? {} : { NOFILE: limits.openFiles },
    CORE: limits.coreBytes
  }
})

/** What is applied to the process that workers are forked from: it imports the adapter too, and what else it could not do its workers could not. */
export const forkserverSettings = (config: PythonConfig): Settings => {
  const { rlimits: { AS, CORE } = {}, oom_score_adj } = settings(config, undefined)
  return {
    ...oom_score_adj === undefined ? {} : { oom_score_adj },
    rlimits: { ...AS === undefined ? {} : { AS }, ...CORE === undefined ? {} : { CORE } }
  }
}
