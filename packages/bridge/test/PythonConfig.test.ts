import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { afterEach, beforeEach } from "vitest"
import { environment, PythonConfig } from "../src/PythonConfig.ts"

const of = (config: Partial<typeof PythonConfig.Encoded>, folder?: string, more = {}) =>
  environment(Schema.decodeUnknownSync(PythonConfig)({ adapter: "tools", ...config }), folder, more)

describe("the environment of a worker", () => {
  const before = { ...process.env }
  beforeEach(() => {
    Object.assign(process.env, { SECRET: "s", MODEL: "m", PYTHONPATH: "/host" })
  })
  afterEach(() => {
    for (const name of ["SECRET", "MODEL", "PYTHONPATH"]) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  })

  it("is the host's, by default", () => {
    assert.deepInclude(of({}), { SECRET: "s", MODEL: "m", PYTHONPATH: "/host" })
  })

  it("has of the host's only what is named, and PATH", () => {
    const named = of({ inheritEnv: ["MODEL"] })
    assert.deepInclude(named, { MODEL: "m", PATH: process.env["PATH"] })
    assert.notProperty(named, "SECRET")
    assert.notProperty(named, "PYTHONPATH")
  })

  it("has nothing of the host's but PATH, when so asked for, and what is set", () => {
    const { MODEL, OMP_NUM_THREADS, PATH, PYTHONUNBUFFERED, ...rest } = of({ inheritEnv: false, env: { MODEL: "own" } })
    assert.deepStrictEqual({ MODEL, PATH, PYTHONUNBUFFERED }, { MODEL: "own", PATH: process.env["PATH"], PYTHONUNBUFFERED: "1" })
    assert.strictEqual(OMP_NUM_THREADS, "1")
    assert.isTrue(Object.keys(rest).every((name) => name.endsWith("_THREADS")), Object.keys(rest).join())
  })

  it("lacks what is taken away", () => {
    const made = of({ env: { SECRET: null, PYTHONUNBUFFERED: null, PYTHONPATH: null } })
    for (const name of ["SECRET", "PYTHONUNBUFFERED", "PYTHONPATH"]) assert.notProperty(made, name)
    assert.strictEqual(made["MODEL"], "m")
  })

  it("has the folder of the package first in PYTHONPATH, and its marks whatever the configuration says", () => {
    assert.strictEqual(of({}, "/ours")["PYTHONPATH"], "/ours:/host")
    assert.strictEqual(of({ env: { PYTHONPATH: "/mine" } }, "/ours")["PYTHONPATH"], "/ours:/mine")
    assert.strictEqual(of({ inheritEnv: false }, "/ours")["PYTHONPATH"], "/ours")
    assert.strictEqual(of({ env: { MARK: "theirs" } }, undefined, { MARK: "ours" })["MARK"], "ours")
  })
})
