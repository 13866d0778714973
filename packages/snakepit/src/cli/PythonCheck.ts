/** Whether a pool's Python runs, is new enough, and imports what a worker needs. */
import * as PythonPackage from "@snakepit/bridge/process/PythonPackage"
import * as WorkingFolder from "@snakepit/bridge/process/WorkingFolder"
import { environment, executable, folders, type PythonConfig, workingFolder } from "@snakepit/bridge/PythonConfig"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Finding from "./Finding.ts"
import * as Program from "./Program.ts"

/**
 * Runs under every Python 3, or an old one could not be told so. The adapter is looked for, part by part of its name, and nothing of it is imported:
 * that would run its code.
 */
const script = `
import importlib, importlib.util, json, sys
found = {"version": ".".join(map(str, sys.version_info[:3])), "executable": sys.executable, "modules": {}, "adapter": None}
for name in ("grpc", "google.protobuf", "msgspec", "snakepit"):
    try:
        found["modules"][name] = str(getattr(importlib.import_module(name), "__version__", ""))
    except BaseException as problem:
        found["modules"][name] = {"problem": type(problem).__name__ + ": " + str(problem)}
sys.path[:0] = sys.argv[2:]
def missing(name):
    path, parts = None, name.split(".")
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        specs = (finder.find_spec(part, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            return part
        path = spec.submodule_search_locations
        if path is None and end < len(parts):
            return ".".join(parts[:end + 1])
    return ""
if sys.argv[1]:
    found["adapter"] = missing(sys.argv[1])
print(json.dumps(found))
`

const Answer = Schema.fromJsonString(Schema.Struct({
  version: Schema.String,
  executable: Schema.String,
  modules: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Struct({ problem: Schema.String })])),
  /** The first part of its name that there is no module for: `app.tools` of `app.tools.gpu`. Empty when there is one for all. */
  adapter: Schema.NullOr(Schema.String)
}))

/** What Python said of itself. */
export type Answer = typeof Answer.Type

const install =
  "install the package's requirements into it: python -m pip install -r python/requirements.txt; or name another interpreter: " +
  "python.executable, or $SNAKEPIT_PYTHON"

/** Pure: what the answer means. */
export const judge = (area: string, answer: Answer, adapter: string): ReadonlyArray<Finding.Finding> => {
  const [major = 0, minor = 0] = answer.version.split(".").map(Number)
  if (major < 3 || major === 3 && minor < 11) {
    return [
      Finding.error(
        area,
        `Python ${answer.version} (${answer.executable}) is too old`,
        "install Python 3.11 or newer, or name one: python.executable, or $SNAKEPIT_PYTHON"
      )
    ]
  }
  const modules = Object.entries(answer.modules)
  const missing = modules.flatMap(([name, found]) => typeof found === "string" ? [] : [`${name} (${found.problem})`])
  const present = modules.flatMap(([name, found]) => typeof found === "string" ? [found === "" ? name : `${name} ${found}`] : [])
  return [
    Finding.ok(area, `Python ${answer.version} (${answer.executable})`),
    ...(present.length === 0 ? [] : [Finding.ok(area, `imports ${present.join(", ")}`)]),
    ...(missing.length === 0 ? [] : [Finding.error(area, `does not import ${missing.join(", ")}`, install)]),
    ...(answer.adapter
      ? [
        Finding.error(
          area,
          answer.adapter === adapter ? `there is no module "${adapter}"` : `there is no module "${answer.adapter}", of "${adapter}"`,
          "python.path lists the folders that the adapter is looked for in"
        )
      ]
      : [])
  ]
}

/** `adapter` is empty when there is none to look for. */
export const check = (area: string, config: PythonConfig, adapter: string): Effect.Effect<ReadonlyArray<Finding.Finding>> =>
  Effect.gen(function*() {
    const python = executable(config)
    const nowhere = WorkingFolder.obstacle(config)
    if (nowhere !== undefined) return [Finding.error(area, nowhere, "make the folder, or correct python.cwd")]
    const env = environment(config, PythonPackage.folder, {})
    const ran = yield* Program.run(python, ["-c", script, adapter, ...folders(config)], env, workingFolder(config))
    switch (ran._tag) {
      case "missing":
        return [
          Finding.error(
            area,
            `"${python}" cannot be run: ${ran.detail}`,
            "install Python 3.11 or newer, or say where it is: python.executable, or $SNAKEPIT_PYTHON"
          )
        ]
      case "timedOut":
        return [Finding.error(area, `"${python}" said nothing for a minute`, "try it in a terminal; a network file system may hang")]
      case "ended": {
        const answer = Schema.decodeUnknownOption(Answer)(ran.stdout.trim().split("\n").at(-1))
        if (Option.isSome(answer)) return judge(area, answer.value, adapter)
        const said = (ran.stderr || ran.stdout).trim().split("\n").slice(-5).join("\n") // the end of a traceback
        return [Finding.error(area, `"${python}" is no working Python: it ended with code ${ran.code}\n${said}`.trim(), install)]
      }
    }
  })
