/** What is run for one pool's Python side: its command line, environment and folder. */
import { environment, executable, folders, type PythonConfig, workingFolder } from "../PythonConfig.ts"
import * as PythonPackage from "./PythonPackage.ts"
import { runMark } from "./Survivors.ts"

/** A program as the Reaper takes it. */
export interface PythonProgram {
  readonly argv: ReadonlyArray<string>
  readonly env: Record<string, string>
  readonly cwd: string
}

/** A module of the Python package, with the adapter to import. */
export const make = (
  module: "snakepit.worker" | "snakepit.forkserver",
  config: PythonConfig,
  runId: string,
  more: ReadonlyArray<string>
): PythonProgram => ({
  argv: [
    executable(config),
    ...["-m", module, "--adapter", config.adapter],
    ...more,
    ...folders(config).flatMap((folder) => ["--path", folder])
  ],
  env: environment(config, PythonPackage.folder, { [runMark]: runId }),
  cwd: workingFolder(config)
})
