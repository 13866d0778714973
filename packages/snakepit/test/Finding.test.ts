import { assert, describe, it } from "@effect/vitest"
import { GatewayConfig, Listener } from "@snakepit/bridge"
import { Effect, Result, Schema } from "effect"
import * as Finding from "../src/cli/Finding.ts"
import * as GatewayCheck from "../src/cli/GatewayCheck.ts"
import * as LeftoverCheck from "../src/cli/LeftoverCheck.ts"
import * as LimitCheck from "../src/cli/LimitCheck.ts"
import * as NodeCheck from "../src/cli/NodeCheck.ts"
import * as PythonCheck from "../src/cli/PythonCheck.ts"

const Findings = Schema.Array(Schema.Struct({
  level: Schema.Literals(["ok", "warning", "error"]),
  area: Schema.Literals(["node", "python default", "limits"]),
  text: Schema.Literals(["short", "a text of many words that has to be broken somewhere in the middle of a narrow terminal"]),
  remedy: Schema.optionalKey(Schema.Literal("do this"))
})).check(Schema.isMaxLength(8))

describe("findings on paper", () => {
  it.prop(
    "every line fits, every word is there once, in order, and the last line counts",
    { findings: Findings, columns: Schema.Int.check(Schema.isBetween({ minimum: 70, maximum: 200 })) },
    ({ columns, findings }) => {
      const lines = Finding.render(findings, { columns, color: false }).split("\n")
      for (const line of lines) assert.isAtMost(line.length, columns)
      const words = lines.slice(0, -2).join(" ").split(/\s+/).filter((word) => word !== "")
      const said = findings.flatMap((
        { area, level, remedy, text }
      ) => [level, ...area.split(" "), ...text.split(" "), ...(remedy ? ["→", "do", "this"] : [])])
      assert.deepStrictEqual(words, said)
      assert.strictEqual(lines.at(-1), Finding.summary(findings))
      assert.strictEqual(Finding.hasError(findings), findings.some(({ level }) => level === "error"))
    }
  )

  it("are counted in words that fit the number", () => {
    assert.strictEqual(Finding.summary([Finding.error("a", "b", "c")]), "0 ok, 0 warnings, 1 error")
  })

  it("have colour only where it was asked for", () => {
    const findings = [Finding.ok("node", "fine")]
    assert.notInclude(Finding.render(findings, { columns: 80, color: false }), "\u001b")
    assert.include(Finding.render(findings, { columns: 80, color: true }), "\u001b[32mok")
  })
})

describe("a check of Node.js", () => {
  it("takes 22.19 and newer", () => {
    assert.deepStrictEqual(["22.18.9", "22.19.0", "23.0.0", "20.20.0"].map((version) => NodeCheck.check(version).level), [
      "error",
      "ok",
      "ok",
      "error"
    ])
  })
})

describe("a check of Python", () => {
  const modules = { grpc: "1.80.0", msgspec: "0.20.0" }
  const answer: PythonCheck.Answer = { version: "3.11.0", executable: "/usr/bin/python3", modules, adapter: "" }

  it("takes 3.11 and newer", () => {
    const levels = (version: string) => PythonCheck.judge("python", { ...answer, version }, "tools").map(({ level }) => level)
    assert.deepStrictEqual(levels("3.11.0"), ["ok", "ok"])
    assert.deepStrictEqual(levels("3.10.9"), ["error"])
    assert.deepStrictEqual(levels("2.7.18"), ["error"])
  })

  it("names what is missing and what is there", () => {
    const found = PythonCheck.judge("python", {
      ...answer,
      modules: { ...modules, snakepit: { problem: "ImportError: x" } },
      adapter: "tools"
    }, "tools")
    assert.deepStrictEqual(found.map(({ level, text }) => [level, text]), [
      ["ok", "Python 3.11.0 (/usr/bin/python3)"],
      ["ok", "imports grpc 1.80.0, msgspec 0.20.0"],
      ["error", "does not import snakepit (ImportError: x)"],
      ["error", "there is no module \"tools\""]
    ])
  })
})

describe("a check of the gateway", () => {
  const token = "a token of thirty-two characters"
  const configOf = Schema.decodeUnknownSync(GatewayConfig.GatewayConfig)
  const levels = (listen: string, code?: string) => {
    const failed = (code: string) => Result.fail(new Listener.GatewayFailed({ listen, code, detail: "why" }))
    return GatewayCheck.judge(configOf({ listen, token, plaintext: true }), code === undefined ? Result.succeed(listen) : failed(code)).map(
      ({ level }) => level
    )
  }

  it("warns where its token can be read, and where the address is taken, perhaps by the application itself", () => {
    assert.deepStrictEqual(levels("127.0.0.1:0"), ["ok"])
    assert.deepStrictEqual(levels("0.0.0.0:443"), ["ok", "warning"])
    assert.deepStrictEqual(levels("127.0.0.1:443", "EADDRINUSE"), ["warning"])
    assert.deepStrictEqual(levels("127.0.0.1:443", "EACCES"), ["error"])
  })

  it.live("listens for a moment, and says nothing of a gateway that there is not", () =>
    Effect.gen(function*() {
      const found = yield* GatewayCheck.check(configOf({ listen: "127.0.0.1:0", token }))
      assert.deepStrictEqual(found.map(({ text }) => text), ["can listen on 127.0.0.1:0: token over plain TCP"])
      assert.deepStrictEqual(yield* GatewayCheck.check(undefined), [])
    }))
})

describe("a check of limits", () => {
  const text = "Limit                     Soft Limit           Hard Limit           Units     \n" +
    "Max processes             96365                96365                processes \n" +
    "Max open files            1024                 unlimited            files     \n"

  it("reads soft and hard limits", () => {
    assert.strictEqual(LimitCheck.limitOf(text, "Max open files", "soft"), 1024)
    assert.strictEqual(LimitCheck.limitOf(text, "Max open files", "hard"), Number.POSITIVE_INFINITY)
    assert.isUndefined(LimitCheck.limitOf(text, "Max msgqueue size", "soft"))
  })

  it("is an error below what the pools need, a warning near it, and silent where the system does not say", () => {
    const levels = (openFiles: number | undefined) =>
      LimitCheck.judge({ openFiles, processes: undefined }, [100, 20]).map(({ level }) => level)
    assert.deepStrictEqual([543, 544, 1087, 1088].map((limit) => levels(limit)[0]), ["error", "warning", "warning", "ok"])
    assert.deepStrictEqual(levels(undefined), [])
  })
})

describe("a check of leftovers", () => {
  const run = (standing: LeftoverCheck.KnownRun["standing"], remains = 0, leaked: ReadonlyArray<string> = []): LeftoverCheck.KnownRun => ({
    file: `${standing}.jsonl`,
    standing,
    remains,
    leaked
  })

  it("is content with living hosts alone", () => {
    assert.deepStrictEqual(LeftoverCheck.judge([run("living")], []).map(({ text }) => text), [
      "nothing is left of dead hosts",
      "1 living host uses this data folder"
    ])
  })

  it("tells processes, stale files, files it cannot judge and files set aside apart, each with a next step", () => {
    const found = LeftoverCheck.judge(
      [
        run("dead", 3),
        run("dead"),
        run("rebooted"),
        run("foreign"),
        run("forsaken"),
        run("unreadable"),
        run("unread"),
        run("living", 0, ["process 7 of default/0"])
      ],
      ["x.jsonl.corrupt"]
    )
    const warnings = found.filter(({ level }) => level === "warning")
    assert.lengthOf(warnings, 9)
    assert.include(warnings[0]?.text, "3 processes of dead hosts")
    assert.isTrue(warnings.some(({ text }) => text === "SIGKILL did not end process 7 of default/0; the host lives: living.jsonl"))
    for (const { remedy } of warnings) assert.isNotEmpty(remedy)
  })
})
