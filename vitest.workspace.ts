import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { defineConfig } from "vitest/config"

/** Workspace packages are tested from their sources: no build first. "node" keeps what setting `conditions` would otherwise drop. */
const conditions = ["source", "node"]
const sources = { resolve: { conditions }, ssr: { resolve: { conditions } } }

/** Holds every event to its declaration, and notes which were seen. */
const setupFiles = ["./test/EventWatch.ts"]

const integration = ["{packages/*,examples/*,bench}/test/**/*.integration.test.ts", "test/**/*.test.ts"]

export default defineConfig({
  test: {
    teardownTimeout: 20_000, // the end of real processes
    projects: [
      {
        ...sources,
        test: {
          name: "unit",
          include: ["{packages/*,examples/*,bench}/test/**/*.test.ts"],
          exclude: integration,
          setupFiles,
          pool: "threads",
          maxWorkers: availableParallelism(), // Vitest would leave one core idle: half of a machine with two
          testTimeout: 20_000, // generated cases on a loaded two-core machine; on the virtual clock nothing waits
          sequence: { groupOrder: 0 }
        }
      },
      {
        ...sources,
        test: {
          name: "types",
          include: [],
          typecheck: {
            enabled: true,
            only: true,
            include: ["packages/*/test/**/*.test-d.ts"],
            tsconfig: "./tsconfig.types.json",
            ignoreSourceErrors: true // `npm run check` reports those
          },
          sequence: { groupOrder: 1 }
        }
      },
      {
        ...sources,
        test: {
          name: "integration",
          include: integration,
          setupFiles,
          env: { SNAKEPIT_DATA_DIR: join(tmpdir(), "snakepit-test-data") }, // not the user's own; the next run sweeps what a killed host left
          pool: "forks", // a test that kills processes, changes signals or leaks is alone in its own
          fileParallelism: false, // two files of real processes at once would take each other's CPU and time limits
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 }
        }
      }
    ]
  }
})
