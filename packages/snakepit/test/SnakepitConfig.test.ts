import { assert, describe, it } from "@effect/vitest"
import { ConfigShape } from "@snakepit/pool"
import { SnakepitConfig } from "../src/SnakepitConfig.ts"

const keys = ConfigShape.keys(ConfigShape.of(SnakepitConfig))

describe("each key of the configuration", () => {
  it("says when a change of it takes effect, and why when that is the next start", () => {
    for (const [path, { reload }] of keys) {
      assert.isDefined(reload.class, ConfigShape.render(path))
      if (reload.class === "restart") assert.isDefined(reload.because, ConfigShape.render(path))
    }
  })

  it("that may hold a secret is known as one", () => {
    const secret = keys.filter(([, { reload }]) => reload.secret === true).map(([path]) => ConfigShape.render(path))
    assert.deepStrictEqual(secret, [
      "pools.*.python.env.*",
      "gateway.token",
      "telemetry.prometheus.token",
      "telemetry.otlp.headers.*",
      "telemetry.history.postgres.url"
    ])
  })
})
