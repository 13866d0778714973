/**
 * Core's tests and the recorded schedules of OTP, against a source with one mutant in it; nothing on the disk changes. The mutant's id is
 * in `SNAKEPIT_MUTANT`; without one the source is as it is.
 */
import { readFileSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import type { Reporter, SerializedError, TestCase, TestModule, TestSpecification } from "vitest/node"
import { apply, mutants } from "./Mutants.ts"

const fileOf = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url))
const mutant = mutants.find(({ id }) => id === process.env["SNAKEPIT_MUTANT"])
const conditions = ["source", "node"]

/** What kills fast comes first: the machine, other cases by hand, generated ones, the corpus. */
const order = [/SupervisorMachine\.test/, /\/[A-Za-z]+\.test/, /\.prop\.test/]
const rank = ({ moduleId }: TestSpecification): number =>
  moduleId.includes("/oracle/") ? order.length : order.findIndex((kind) => kind.test(moduleId))

class FastFirst {
  shard(files: Array<TestSpecification>): Array<TestSpecification> {
    return files
  }
  sort(files: Array<TestSpecification>): Array<TestSpecification> {
    return files.toSorted((a, b) => rank(a) - rank(b) || (a.moduleId < b.moduleId ? -1 : 1))
  }
}

/** Says what failed first, and ends everything: `bail` would go on to load the files that it skips. */
class FirstFailure implements Reporter {
  onTestCaseResult(test: TestCase): void {
    if (test.result().state === "failed") this.end(`${basename(test.module.moduleId)}: ${test.fullName}`)
  }
  onTestModuleEnd(module: TestModule): void {
    for (const { message } of module.errors()) this.end(`${basename(module.moduleId)}: ${message}`)
  }
  onTestRunEnd(_: ReadonlyArray<TestModule>, errors: ReadonlyArray<SerializedError>): void {
    for (const { message } of errors) this.end(`outside of a test: ${message}`)
  }
  private end(failure: string): void {
    console.log(failure.split("\n")[0])
    process.exit(1)
  }
}

export default defineConfig({
  root: fileOf(""),
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  plugins: [{
    name: "mutant",
    enforce: "pre",
    load: (id) => mutant !== undefined && id === fileOf(mutant.file) ? apply(mutant, readFileSync(id, "utf8")) : undefined
  }],
  test: {
    include: ["packages/core/test/**/*.test.ts", "test/oracle/oracle.test.ts"],
    setupFiles: [fileOf("packages/core/test/mutants/sameChance.ts")],
    sequence: { sequencer: FastFirst },
    pool: "threads",
    fileParallelism: false,
    isolate: false, // one worker for all files: what a mutant costs is mostly its start
    fsModuleCache: false, // it would give back the source without the mutant
    reporters: [new FirstFailure()],
    testTimeout: 20_000 // generated cases on a loaded machine; on the virtual clock nothing waits, unless it waits for ever
  }
})
