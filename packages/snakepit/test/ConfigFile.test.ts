import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { ConfigLayer, ConfigServer } from "@snakepit/pool"
import { Cause, Effect, Exit } from "effect"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ConfigFile from "../src/config/ConfigFile.ts"
import * as ConfigSources from "../src/config/ConfigSources.ts"
import { SnakepitConfig } from "../src/SnakepitConfig.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "snakepit-config-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const texts = {
  "snakepit.yaml": "pools:\n  default:\n    size: 4\n    python:\n      adapter: tools\n      env: { MODE: fast }\n",
  "snakepit.toml": "[pools.default]\nsize = 4\n[pools.default.python]\nadapter = \"tools\"\nenv = { MODE = \"fast\" }\n",
  "snakepit.json":
    "{\n\t\"pools\": {\n\t\t\"default\": {\n\t\t\t\"size\": 4,\n\t\t\t\"python\": { \"adapter\": \"tools\", \"env\": { \"MODE\": \"fast\" } }\n\t\t}\n\t}\n}\n"
}

const decoded = (file: string, text: string) =>
  Effect.flatMap(ConfigFile.parse(file, Buffer.from(text)), (layer) => ConfigServer.decode(SnakepitConfig, [layer]))

const complaint = (file: string, text: string) => Effect.map(Effect.flip(decoded(file, text)), ({ message }) => message)

describe("a configuration file", () => {
  it.effect.each(Object.entries(texts).map(([file, text]) => ({ file, text })))(
    "$file says the same as code",
    ({ file, text }) =>
      Effect.gen(function*() {
        const { pools } = yield* decoded(file, text)
        assert.strictEqual(pools["default"]?.size, 4)
        assert.deepStrictEqual(pools["default"]?.python.env, { MODE: "fast" })
      })
  )

  it.effect("tells the line of a key where its format does", () =>
    Effect.gen(function*() {
      for (const [file, line] of [["snakepit.yaml", 3], ["snakepit.json", 4], ["snakepit.toml", undefined]] as const) {
        const layer = yield* ConfigFile.parse(file, Buffer.from(texts[file]))
        assert.deepStrictEqual(layer.sourceOf(["pools", "default", "size"]), { _tag: "File", file, line })
      }
    }))

  it.effect.each([
    { file: "a.yaml", text: "pools:\n  default: [1,\nx: 1", says: ["a.yaml, line 3", "it is no YAML"] },
    { file: "a.yaml", text: "pools:\n  a: {}\n  a: {}\n", says: ["a.yaml, line 3", "\"a\" stands there twice"] },
    { file: "a.yaml", text: "pools: &all\n  a: *all\n", says: ["a.yaml, line 2", "aliases"] },
    { file: "a.yaml", text: "pools:\n  a: *all\n", says: ["a.yaml, line 2", "aliases"] },
    { file: "a.yaml", text: "pools:\n  a: !all\n", says: ["a.yaml, line 2", "tag"] },
    { file: "a.yaml", text: `pools: ${"[".repeat(10_000)}`, says: ["a.yaml", "it is no YAML"] },
    { file: "a.yaml", text: "- one\n- two\n", says: ["it is no list of keys"] },
    { file: "a.yaml", text: "--- {}\n--- {}\n", says: ["a.yaml, line 2", "multiple documents"] },
    { file: "a.json", text: "{ \"pools\": { ", says: ["a.json", "it is no JSON"] },
    {
      file: "a.json",
      text: "{\n \"cgroup\": \"off\",\n \"cgroup\": \"auto\"\n}",
      says: ["a.json, line 3", "\"cgroup\" stands there twice"]
    },
    { file: "a.toml", text: "cgroup = \"off\"\ncgroup = \"auto\"\n", says: ["a.toml, line 2", "\"cgroup\" stands there twice"] },
    { file: "a.toml", text: "[pools\n", says: ["a.toml, line 1", "it is no TOML"] },
    { file: "a.ini", text: "", says: ["ends in .yaml, .yml, .toml, .json"] },
    {
      file: "a.yaml",
      text: "pools:\n  a:\n    python: { adapter: tools }\n    heartbeet: {}\n",
      says: ["pools.a.heartbeet (a.yaml, line 4)", "Did you mean \"heartbeat\"?"]
    }
  ])("$text is refused with the place and the reason", ({ file, says, text }) =>
    Effect.gen(function*() {
      const message = yield* complaint(file, text)
      for (const part of says) assert.include(message, part)
    }))

  it.effect.each([
    { file: "a.json", text: "{ \"gateway\": { \"token\": \"abcdef-secret\" oops } }" },
    { file: "a.json", text: "{ \"gateway\": { \"token\": abcdef-secret } }" },
    { file: "a.toml", text: "gateway = { token = \"abcdef-secret\" oops }" },
    { file: "a.toml", text: "gateway = { token = abcdef-secret }" },
    { file: "a.yaml", text: "gateway:\n  token: \"abcdef-secret\" oops\n" },
    { file: "a.yaml", text: "gateway:\n  listen: \"unix:x\"\n  token: abcdef-secret\n" },
    { file: "a.yaml", text: "pools:\n  a:\n    python:\n      adapter: x\n      env:\n        TOKEN: [abcdef-secret]\n" }
  ])(
    "what is wrong in $text is told without what stands there",
    ({ file, text }) => Effect.map(complaint(file, text), (message) => assert.notInclude(message, "abcdef-secret"))
  )

  it.effect.each(
    [
      "",
      "!",
      "&",
      "*",
      "@",
      "`",
      "%",
      ">",
      "|",
      "{",
      "[",
      "\"",
      "'",
      "\"\\q",
      "|x ",
      "- ",
      "? ",
      "!!int ",
      "!<",
      "a: b: ",
      "\t",
      "x\n        PW: "
    ]
  )("a password that is written as %j and more is taken or refused, and shown nowhere", (before) =>
    Effect.gen(function*() {
      const text = `pools:\n  a:\n    python:\n      adapter: x\n      env:\n        PW: ${before}hunter2\n`
      const exit = yield* Effect.exit(decoded("a.yaml", text))
      if (Exit.isSuccess(exit)) assert.include(exit.value.pools["a"]!.python.env["PW"], "hunter2")
      else assert.notInclude(String(Cause.squash(exit.cause)), "hunter2")
      assert.isFalse(Exit.hasDies(exit))
    }))

  it.effect("that is a folder, too large, of another encoding or not there is refused with its name", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      mkdirSync(join(folder, "folder.yaml"))
      writeFileSync(join(folder, "large.yaml"), Buffer.alloc((1 << 20) + 1, "#"))
      writeFileSync(join(folder, "latin.yaml"), Buffer.from("# caf\xe9", "latin1"))
      for (const [name, says] of [["folder", "directory"], ["large", "1048577 bytes"], ["latin", "UTF-8"], ["absent", "no such file"]]) {
        const file = join(folder, `${name}.yaml`)
        const { message } = yield* Effect.flip(Effect.flatMap(ConfigFile.read(file), (bytes) => ConfigFile.parse(file, bytes)))
        assert.include(message, file)
        assert.include(message, says!)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

describe("the environment", () => {
  const layers = (
    environment: { readonly [name: string]: string },
    code: unknown = { pools: { "my-pool": { python: { adapter: "tools" } } } }
  ) =>
    Effect.flatMap(ConfigSources.make({ schema: SnakepitConfig, code, file: undefined, environment }), ({ read }) => read).pipe(
      Effect.scoped,
      Effect.provide(NodeServices.layer)
    )

  it.effect("says any key, by its name in capital letters, of the pools that there are and of others", () =>
    Effect.gen(function*() {
      const all = yield* layers({
        SNAKEPIT_DATA_DIR: "/elsewhere",
        SNAKEPIT__POOLS__MY_POOL__CALL_TIMEOUT: "1 minute",
        SNAKEPIT__POOLS__MY_POOL__QUEUE__PER_TENANT: "7",
        SNAKEPIT__POOLS__MY_POOL__PYTHON__PATH: "[\"src\"]",
        SNAKEPIT__POOLS__MY_POOL__PYTHON__ENV__LEVEL__1: "5",
        SNAKEPIT__POOLS__OTHER__PYTHON__ADAPTER: "others"
      })
      const { pools } = yield* ConfigServer.decode(SnakepitConfig, all)
      assert.deepStrictEqual(Object.keys(pools), ["my-pool", "other"])
      const { python, queue } = pools["my-pool"]!
      assert.strictEqual(queue.perTenant, 7)
      assert.deepStrictEqual([python.path, python.env], [["src"], { LEVEL__1: "5" }])
      assert.deepStrictEqual(ConfigLayer.sourceOf(all, ["pools", "my-pool", "callTimeout"]), {
        _tag: "Environment",
        variable: "SNAKEPIT__POOLS__MY_POOL__CALL_TIMEOUT"
      })
    }))

  it.effect.each([
    { variable: "SNAKEPIT__POOLS__MY_POOL__CALL_TIMOUT", key: "pools.my-pool.callTimout", says: "Did you mean \"callTimeout\"?" },
    { variable: "SNAKEPIT__POOL__A__SIZE", key: "pool ", says: "Did you mean \"pools\"?" },
    { variable: "SNAKEPIT__POOLS__MY_POOL__QUEUE", key: "pools.my-pool.queue", says: "it is a section" },
    { variable: "SNAKEPIT__CGROUP__OFF", key: "cgroup.OFF", says: "cgroup is one value" }
  ])("$variable is refused, with what was meant", ({ key, says, variable }) =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(layers({ [variable]: "1" }))
      assert.include(message, `${key.trim()} (environment, ${variable})`)
      assert.include(message, says)
    }))

  it.effect("a value that does not fit is told with its variable", () =>
    Effect.gen(function*() {
      const all = yield* layers({ SNAKEPIT__POOLS__MY_POOL__SIZE: "four" })
      const { message } = yield* Effect.flip(ConfigServer.decode(SnakepitConfig, all))
      assert.include(message, "pools.my-pool.size (environment, SNAKEPIT__POOLS__MY_POOL__SIZE): expected")
    }))
})
