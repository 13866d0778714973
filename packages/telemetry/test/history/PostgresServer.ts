/** A PostgreSQL server of a test's own, in a folder of its own, on a Unix socket and a port of this machine alone. */
import { Effect, type Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Debian keeps the programs of each version in a folder of its own. */
const debian = "/usr/lib/postgresql"

const programs = (): string | undefined => {
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : []
  const folders = [...versions.map((version) => join(debian, version, "bin")), ...(process.env["PATH"] ?? "").split(":")]
  return folders.find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")))
}

/** The user that the server runs as: it refuses to run as root. */
const user = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  const idOf = (flag: string) => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }))
  return { uid: idOf("-u"), gid: idOf("-g") }
}

/** Where its programs are; `undefined` where there are none. */
export const found: string | undefined = programs()

export const password = "a password that nobody may see"

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

/** A server that runs until the scope closes: the url of a database in it. */
export const start: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "postgres-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const as = user()
  const options = { ...as, cwd: folder, env: { ...process.env, LC_ALL: "C" }, stdio: "pipe" as const }
  const secret = join(folder, "password")
  writeFileSync(secret, password)
  if (as.uid !== undefined) { for (const path of [folder, secret]) chownSync(path, as.uid, as.gid!) }
  const data = join(folder, "data")
  execFileSync(join(found!, "initdb"), ["-D", data, "-U", "tester", "-A", "scram-sha-256", `--pwfile=${secret}`, "--no-sync"], options)
  const port = yield* Effect.promise(freePort)
  const settings = ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", folder, "-c", "fsync=off"] // a test's data may go
  yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = spawn(join(found!, "postgres"), settings, options)
      await new Promise<void>((resolve, reject) => {
        let said = ""
        server.stderr.on("data", (chunk) => {
          said += chunk
          if (said.includes("ready to accept connections")) resolve()
        })
        server.once("exit", () => reject(new Error(`postgres did not start: ${said}`)))
      })
      return server
    }),
    (server) =>
      Effect.promise(async () => {
        server.kill("SIGINT") // fast shutdown
        await once(server, "exit")
      })
  )
  return `postgresql://tester:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`
})
