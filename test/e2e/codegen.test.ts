/** `snakepit codegen` as a program: what it writes, what it says, how it ends; and that what it writes compiles and carries every value. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Schema, Stream } from "effect"
import * as Arbitrary from "effect/Arbitrary"
import { Rpc, RpcGroup } from "effect/rpc"
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type CallError, NdArray, Pool, Snakepit, Tool } from "snakepit"
import { blocksOf } from "../docs/Examples.ts"
import { config, python, root } from "./fixtures/Program.ts"
import { Zoo } from "./fixtures/Zoo.ts"

const adapters = join(root, "python", "tests", "adapters")

const codegen = (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    ["--conditions=source", join(root, "packages", "snakepit", "src", "cli", "main.ts"), "codegen", ...args],
    { cwd: root, env: { ...process.env, SNAKEPIT_PYTHON: python, NO_COLOR: "1" }, encoding: "utf8", timeout: 60_000 }
  )
  return { code: status, stdout, stderr }
}

/** A package with an adapter `shop` in it. */
const inPackage = (use: (folder: string, write: (source: string) => void) => void): void => {
  const folder = mkdtempSync(join(tmpdir(), "snakepit-codegen-"))
  try {
    mkdirSync(join(folder, "python"))
    writeFileSync(join(folder, "package.json"), "{}")
    use(folder, (source) => writeFileSync(join(folder, "python", "shop.py"), `from snakepit import tool\n${source}`))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

describe("snakepit codegen", () => {
  it("writes the contract of an adapter with the command that renews it, and says when it is current", () =>
    inPackage((folder, write) => {
      write("@tool\ndef price(item: str, count: int = 1) -> float:\n    \"What it costs.\"\n    return 1.5\n")
      const [out, where] = [join(folder, "Shop.ts"), ["--adapter", "shop", "--path", join(folder, "python")]]
      const made = codegen(...where, "--out", out)
      assert.deepStrictEqual(made, { code: 0, stdout: `${out} is written: 1 tool of shop\n`, stderr: "" })
      const source = readFileSync(out, "utf8")
      assert.include(source, " *     snakepit codegen --adapter shop --path python --out Shop.ts\n")
      assert.include(
        source,
        `  /** What it costs. */
  Rpc.make("price", { payload: { item: Schema.String, count: Schema.optionalKey(Schema.Int) }, success: Schema.Number })
    .annotate(Tool.Contract, { "argument item": "`
      )
      assert.strictEqual(codegen(...where, "--out", out, "--check").stdout, `${out} is current: 1 tool of shop\n`)

      write("@tool\ndef price(item: str) -> float: return 1.5\n@tool\ndef stock(item: str) -> int: return 1\n")
      const stale = codegen(...where, "--out", out, "--check")
      assert.strictEqual(stale.code, 1)
      assert.include(stale.stderr, `${out} is not what adapter "shop" says now:\n\n  changed  tool price\n    -   /** What it costs. */\n`)
      assert.include(stale.stderr, "\n  added    tool stock\n")
      assert.include(stale.stderr, "\nRenew it: the same command without --check\n")
      assert.strictEqual(readFileSync(out, "utf8"), source)
    }), 60_000)

  it("writes what the page about contracts shows", () =>
    inPackage((folder) => {
      const page = readFileSync(join(root, "docs", "pool", "contracts.md"), "utf8")
      const [adapter, shown] = ["python", "ts"].map((language) => blocksOf(page).find((block) => block.language === language)!.text)
      writeFileSync(join(folder, "python", "shop.py"), adapter!)
      mkdirSync(join(folder, "src"))
      const { code, stderr } = codegen("--adapter", "shop", "--path", join(folder, "python"), "--out", join(folder, "src", "Shop.ts"))
      assert.strictEqual(code, 0, stderr)
      assert.strictEqual(readFileSync(join(folder, "src", "Shop.ts"), "utf8"), shown)
    }))

  it("says what is wrong with an adapter, an interpreter or a file, and ends with 1", () => {
    const missing = join(root, "nowhere", "Contract.ts")
    const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, says: ReadonlyArray<string>]> = [
      [["--adapter", "broken"], ["adapter \"broken\" does not import", "RuntimeError: no model file", "--python"]],
      [["--adapter", "nowhere"], ["ModuleNotFoundError: No module named 'nowhere'", "--path"]],
      [["--adapter", "bare"], ["the tools of adapter \"bare\" cannot be served", "decorate a function in it"]],
      [["--adapter", "shelf", "--python", "/nowhere/python"], ["\"/nowhere/python\" cannot be run", "$SNAKEPIT_PYTHON"]],
      [["--adapter", "shelf", "--python", "/bin/false"], ["did not describe adapter \"shelf\"", "ended with code 1"]],
      [["--adapter", "shelf", "--check"], ["nowhere/Contract.ts cannot be read", "without --check"]],
      [["--adapter", "shelf"], ["nowhere/Contract.ts cannot be written", "--out"]]
    ]
    for (const [args, says] of cases) {
      const { code, stderr, stdout } = codegen(...args, "--path", adapters, "--out", missing)
      assert.deepStrictEqual([code, stdout], [1, ""], args.join(" "))
      for (const text of says) assert.include(stderr, text)
    }
    const { code, stderr } = codegen("--out", missing)
    assert.strictEqual(code, 1)
    assert.include(stderr, "--adapter")
  }, 120_000)
})

/** Strings of JavaScript may hold half of a surrogate pair, those of Python may not. */
const hasHalfCharacters = (value: unknown): boolean => JSON.stringify(value).includes("\\ud")

describe("a generated contract", () => {
  it("is current for the zoo, with a warning of what has no schema, and as dprint leaves it", () => {
    const file = join(root, "test", "e2e", "fixtures", "Zoo.ts")
    const { code, stderr } = codegen("--adapter", "zoo", "--path", adapters, "--out", file, "--check")
    assert.strictEqual(code, 0, stderr)
    assert.include(stderr, "warning  tool 'opaque', parameter 'by': <class 'BaseException'> cannot arrive as MessagePack")
    const { status, stdout } = spawnSync(process.execPath, [join(root, "node_modules", "dprint", "bin.cjs"), "check", file], {
      cwd: root,
      encoding: "utf8"
    })
    assert.strictEqual(status, 0, stdout)
  }, 60_000)

  layer(Snakepit.layer(config({ adapter: "zoo", path: [adapters] })), { excludeTestServices: true, timeout: "30 seconds" })((it) => {
    const date = new Date("2026-11-25T22:34:15.123Z")
    const leaf = { type: "Leaf", value: 3 } as const
    const branch = { type: "Branch", left: leaf, right: { type: "Branch", left: leaf, right: leaf } } as const
    const point = { x: 0.5, y: -1, tags: ["a", "𝒷"] }

    it.effect("carries a value of each kind to Python and back unchanged", () =>
      Effect.gen(function*() {
        const zoo = yield* Pool.client(Zoo)
        const plain = { none: null, truth: true, whole: 2 ** 52, real: Number.POSITIVE_INFINITY, text: "ß𝒷", anything: { a: [1] } }
        assert.deepStrictEqual(yield* zoo.plain({ ...plain, unsaid: "said" }), [...Object.values(plain), "said"])
        assert.deepStrictEqual(yield* zoo.data({ value: new Uint8Array([0, 255]) }), new Uint8Array([0, 255]))
        assert.deepStrictEqual(yield* zoo.times({ aware: date, naive: "2026-11-25T22:34:15.123" }), [date, "2026-11-25T22:34:15.123000"])
        assert.deepStrictEqual(yield* zoo.moment({ value: date }), date)
        assert.deepStrictEqual(yield* zoo.moment({ value: "2026-11-25T22:34:15" }), "2026-11-25T22:34:15")
        const texts = { day: "2026-11-25", time: "22:34:15", length: "PT90S", id: "0b9c7a7e-5d55-4d5b-9d4a-000000000000", price: "1.50" }
        assert.deepStrictEqual(yield* zoo.texts(texts), Object.values(texts) as any)
        assert.deepStrictEqual(yield* zoo.choices({ colour: "blue", level: 2, word: null }), ["blue", 2, null])
        assert.deepStrictEqual([yield* zoo.maybe({}), yield* zoo.maybe({ value: "a" })], [null, "a"])
        const lists = { all: [1, 2], fixed: [1, "a"] as const, many: [0.5], one_of_each: [7], bare: [null, "x"] }
        assert.deepStrictEqual(yield* zoo.lists(lists), Object.values(lists) as any)
        const maps = { by_name: { a: [1] }, by_number: { 7: "seven" }, by_level: { 1: 10 } }
        assert.deepStrictEqual(yield* zoo.maps(maps), Object.values(maps) as any)
        const bounded = { whole: 9, real: 1, text: "a/b", some: [1], raw: new Uint8Array([1]), large: 2n ** 62n }
        assert.deepStrictEqual(yield* zoo.bounded(bounded), Object.values(bounded))
        assert.deepStrictEqual(yield* zoo.point({ value: point }), point)
        assert.deepStrictEqual(yield* zoo.tree({ value: branch }), branch)
        assert.deepStrictEqual(yield* zoo.row({ value: [1, "a"] }), [1, "a"])
        assert.deepStrictEqual(yield* zoo.boxes({ number: { item: 1 }, words: { item: ["a"] } }), [{ item: 1 }, { item: ["a"] }])
        assert.deepStrictEqual(yield* zoo.renamed({ value: { someName: 4 } }), { someName: 4 })
        assert.deepStrictEqual(yield* zoo.pair({ value: [1] }), [1, ""])
        assert.deepStrictEqual(yield* zoo.person({ value: { name: "Ada" } }), { name: "Ada" })
        const matrix = NdArray.make("float64", [2, 2], Float64Array.of(1, 2, 3, 4))
        assert.deepStrictEqual(yield* zoo.matrix({ value: matrix }), matrix)
        assert.deepStrictEqual(yield* zoo.scalars(), [0.5, 3, true])
        assert.deepStrictEqual(yield* zoo["any.options"]({ name: "a", colour: "red" }), { name: "a", colour: "red" })
        assert.isUndefined(yield* zoo.nothing())
        assert.strictEqual(yield* zoo.promised({ value: 7 }), 7)
        assert.deepStrictEqual(yield* zoo.put({ book: "one" }), ["one"])
        assert.strictEqual(yield* zoo.total({ start: 2 ** 40, values: Stream.make(point, point) }), 2 ** 40 + 1)
        assert.deepStrictEqual(yield* Stream.runCollect(zoo.counted({ to: 3 })), [0, 1, 2])
        assert.deepStrictEqual(yield* Stream.runCollect(zoo.stream({ values: [point] })), [point])
      }))

    it.effect("that was made before a tool was changed is told so before anything is sent, and calls the others", () =>
      Effect.gen(function*() {
        const contract = Context.get((Zoo.requests.get("data") as unknown as Rpc.AnyWithProps).annotations, Tool.Contract)
        class Old extends RpcGroup.make(
          Rpc.make("data", { payload: { value: Schema.String } }).annotate(Tool.Contract, { ...contract, "argument value": "00ff" })
        ) {}
        const old = yield* Pool.client(Old.merge(Zoo.omit("data")))
        const error = yield* Effect.flip(old.data({ value: "a" }))
        assert(error._tag === "ContractMismatch")
        const { executed, expected, field, received, tool } = error
        assert.deepStrictEqual({ executed, tool, field, expected }, {
          executed: "no",
          tool: "data",
          field: "argument value",
          expected: "00ff"
        })
        assert.strictEqual(received, contract!["argument value"])
        assert.strictEqual(yield* old.promised({ value: 7 }), 7)
      }))

    it.effect("refuses before it is sent what Python would refuse", () =>
      Effect.gen(function*() {
        const zoo = yield* Pool.client(Zoo)
        const fits = { whole: 3, real: 1, text: "ab", some: [1], raw: new Uint8Array([1]), large: 1 }
        for (const wrong of [{ whole: 4 }, { real: 0 }, { text: "AB" }, { text: "abcde" }, { some: [] }, { raw: new Uint8Array(5) }]) {
          const error = yield* Effect.flip(zoo.bounded({ ...fits, ...wrong }))
          assert.strictEqual(error._tag, "InvalidPayload", JSON.stringify(wrong))
          assert.include(error.message, Object.keys(wrong).join())
        }
      }))

    /** What Python adds are defaults, which it adds once. */
    const echoing = ["point", "tree", "row", "boxes", "folder", "person", "choices", "maybe", "array", "data", "pair"] as const
    it.effect("carries generated values to Python and back unchanged", () =>
      Effect.gen(function*() {
        const zoo = yield* Pool.client(Zoo)
        for (const name of echoing) {
          const { payloadSchema } = Zoo.requests.get(name) as unknown as Rpc.AnyWithProps
          const call = zoo[name] as (payload: object) => Effect.Effect<unknown, CallError.CallError>
          const parameters = Object.keys((payloadSchema as Schema.Struct<Schema.Struct.Fields>).fields)
          const again = (result: unknown): object =>
            parameters.length === 1
              ? { [parameters[0]!]: result }
              : Object.fromEntries((result as Array<unknown>).map((value, at) => [parameters[at], value]))
          for (
            const value of yield* Arbitrary.sampleEffect(Arbitrary.schema(payloadSchema as Schema.Codec<object>), { count: 25, seed: 25 })
          ) {
            if (hasHalfCharacters(value)) {
              assert.strictEqual((yield* Effect.flip(call(value)))._tag, "InvalidPayload")
              continue
            }
            const back = again(yield* call(value))
            assert.containSubset(back, value, name)
            assert.deepStrictEqual(again(yield* call(back)), back, name)
          }
        }
      }))
  })
})
