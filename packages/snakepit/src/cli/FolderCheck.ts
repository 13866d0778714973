/** Whether the folders an application needs can be used: sockets, data, shared memory. */
import * as DataFolder from "@snakepit/bridge/process/DataFolder"
import * as RunFolder from "@snakepit/bridge/process/RunFolder"
import * as Effect from "effect/Effect"
import { accessSync, constants, statfsSync } from "node:fs"
import * as Finding from "./Finding.ts"

/** A pool by name and size. */
export interface PoolSize {
  readonly pool: string
  readonly size: number
}

export const runFolder = (pools: ReadonlyArray<PoolSize>): Effect.Effect<Finding.Finding> =>
  Effect.scoped(RunFolder.make(pools)).pipe(
    Effect.map(() => Finding.ok("run folder", `sockets can be put under ${RunFolder.base(process.env)}, and their paths fit`)),
    Effect.catch((problem) => {
      const [what, ...next] = problem.message.split(". ")
      return Effect.succeed(Finding.error("run folder", what ?? "", next.join(". ")))
    })
  )

/** The data folder as well as what was found about it. */
export const dataFolder = (
  asked: string | undefined
): Effect.Effect<{ readonly finding: Finding.Finding; readonly folder: string | undefined }> =>
  DataFolder.make(asked).pipe(
    Effect.map((found) =>
      "folder" in found
        ? { finding: Finding.ok("data folder", found.folder), folder: found.folder }
        : {
          finding: Finding.warning(
            "data folder",
            `there is none, so the next start cannot find what a killed host left: ${found.why}`,
            "set dataFolder, or $SNAKEPIT_DATA_DIR, to a folder of your own on a local disk"
          ),
          folder: undefined
        }
    ),
    Effect.catch((problem) =>
      Effect.succeed({
        finding: Finding.error(
          "data folder",
          `${problem.folder} cannot be used: ${problem.detail}`,
          "set dataFolder, or $SNAKEPIT_DATA_DIR, to a folder of your own that you may write to; or leave it out"
        ),
        folder: undefined
      })
    )
  )

/** 64 MiB is what containers get by default: four arrays of 16 MiB. */
const smallShm = 64 * 1024 * 1024

const mebi = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`

export const sharedMemory: Effect.Effect<Finding.Finding> = Effect.sync(() => {
  const remedy = "run the container with more: docker run --shm-size=1g, a memory-backed emptyDir at /dev/shm in Kubernetes"
  try {
    accessSync("/dev/shm", constants.R_OK | constants.W_OK | constants.X_OK)
    const { bavail, bsize } = statfsSync("/dev/shm")
    const free = bavail * bsize
    return free > smallShm
      ? Finding.ok("shared memory", `${mebi(free)} free in /dev/shm`)
      : Finding.warning("shared memory", `only ${mebi(free)} are free in /dev/shm, which Python's libraries use too`, remedy)
  } catch (cause) {
    return process.platform === "linux"
      ? Finding.warning("shared memory", `/dev/shm cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, remedy)
      : Finding.ok("shared memory", `${process.platform} has no /dev/shm; payloads travel in messages`)
  }
})
