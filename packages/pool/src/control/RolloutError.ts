/** How a new version of a pool can fail to replace the one before. */
import * as Schema from "effect/Schema"

/** Where a version failed: it did not come up, its tools are not those of the pool, its probe failed, it crashed while it was held. */
export const Stage = Schema.Literals(["boot", "catalogue", "probe", "hold"])

const next = {
  boot: "Correct the adapter, or its settings, and reload again",
  catalogue: "Bring the tool back, or set reload.tools to \"any\" if it is to go",
  probe: "Correct the adapter, or the probe, and reload again",
  hold: "Look at why its process ended (snakepit.process.exit), correct the adapter, and reload again"
} as const

/** A new version has not proved itself. Its canary is stopped, and the pool runs the version before, as if nothing had been. */
export class RolloutFailed extends Schema.TaggedError<RolloutFailed>()("RolloutFailed", {
  pool: Schema.String,
  /** Snapshot and reload count, as `3+2`. */
  version: Schema.String,
  stage: Stage,
  reason: Schema.String
}) {
  override get message(): string {
    const { pool, reason, stage, version } = this
    return `version ${version} of pool "${pool}" was rolled back at its ${stage}: ${reason}. The pool runs the version before. ${
      next[stage]
    }`
  }
}

/** A newer version came before this one was everywhere. */
export class RolloutSuperseded extends Schema.TaggedError<RolloutSuperseded>()("RolloutSuperseded", {
  pool: Schema.String,
  version: Schema.String,
  by: Schema.String
}) {
  override get message(): string {
    return `version ${this.version} of pool "${this.pool}" gave way to version ${this.by} before every worker had it. Wait for that one`
  }
}
