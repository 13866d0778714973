/** The Erlang of this machine, when there is one. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Runs a function of a module that is compiled from `source`; returns what it prints. */
export const run = (source: string, module: string, call: string): string => {
  const folder = mkdtempSync(join(tmpdir(), "snakepit-bench-"))
  try {
    execFileSync("erlc", ["-o", folder, source])
    return erl(["-pa", folder], `${module}:${call}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const erl = (flags: ReadonlyArray<string>, expression: string): string =>
  execFileSync("erl", [...flags, "-noshell", "-kernel", "logger_level", "none", "-eval", `${expression}, halt().`], { encoding: "utf8" })

const facts = (): readonly [release: string | null, schedulers: number | null] => {
  try {
    const said = erl([], `io:format("~s ~b", [erlang:system_info(otp_release), erlang:system_info(schedulers_online)])`)
    const [release = "", schedulers = ""] = said.split(" ")
    return [release, Number(schedulers)]
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      console.error("bench: there is no `erl` on the PATH, so nothing is compared with Erlang (Debian: apt-get install erlang-base)")
      return [null, null]
    }
    throw error
  }
}

export const [release, schedulers] = facts()
