/**
 * A configuration file of a host under load is broken in every way that there is, in YAML, JSON and TOML: syntax, types, names, ranges, encodings,
 * sizes, writes that were cut, keys that stand there twice, what is no file. Nothing of it is applied, the host and its workers live, and it says
 * which key is wrong, and where. A good file heals each of them.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import type { Event } from "snakepit"
import type * as Chance from "../Chance.ts"
import { check } from "../Check.ts"
import { type Host, until } from "../Host.ts"
import type { Scenario, Session } from "../Session.ts"
import { plenty, stopGrace } from "./Settings.ts"

const pools = { default: { size: 2, restart: plenty, stopGrace } }
const endings = ["yaml", "json", "toml"] as const
type Ending = typeof endings[number]

/** Two of the looks that find what the system does not tell, on a machine that does other things too. */
const heardMillis = 15_000
const tooLarge = (1 << 20) + 1

/** A key and what is wrong there, in JSON; and the key that must be named, where it is another. */
type Said = readonly [path: string, value: string, key?: string]

const wrongTypes: ReadonlyArray<Said> = [
  ["pools.default.size", "\"many\""],
  ["pools.default.attempts", "[1]"],
  ["pools.default.callTimeout", "\"soon\""],
  ["pools.default.queue.capacity", "\"1000\""],
  ["pools.default.heartbeat.interval", "true"],
  ["pools.default.python.threads", "0.5"],
  ["pools.default.python.start", "\"forked\""],
  ["pools.default.python.path", "\"src\""],
  ["pools.default.heartbeat", "3"],
  ["cgroup", "\"maybe\""]
]
const outOfRange: ReadonlyArray<Said> = [
  ["pools.default.size", "0"],
  ["pools.default.attempts", "101"],
  ["pools.default.concurrency", "100000"],
  ["pools.default.maxPayload", "-1"],
  ["pools.default.heartbeat.maxMissed", "0"],
  ["pools.default.restart.fleet.maxRestarts", "-3"],
  ["gateway.listen", "\"0.0.0.0:1\"", "gateway"]
]
const incomplete: ReadonlyArray<Said> = [
  ["pools.other.size", "1", "pools.other.python"],
  ["pools.other.python.threads", "1", "pools.other.python.adapter"]
]
const known = [
  "pools.default.callTimeout",
  "pools.default.queue.capacity",
  "pools.default.heartbeat.interval",
  "pools.default.launch.spares",
  "pools.default.python.adapter",
  "telemetry.eventLog",
  "dataFolder"
]

/** A text that says this one key, different in each run. */
const text = (ending: Ending, [path, value]: Said, run: number): string => {
  if (ending === "toml") return `# ${run}\n${path} = ${value}\n`
  return `${path.split(".").reduceRight((inner, name) => `{ ${JSON.stringify(name)}: ${inner} }`, value)}${" ".repeat(run % 97)}\n`
}

/** What becomes of a file, and what must be named. */
interface Broken {
  readonly kind: string
  readonly put: (file: string) => void
  readonly names: string
}

const written = (kind: string, content: string | Buffer, names: string): Broken => ({
  kind,
  names,
  put: (file) => writeFileSync(file, content)
})

/** Every kind there is. */
const kinds: ReadonlyArray<(chance: Chance.Chance, ending: Ending, run: number) => Broken> = [
  (_, ending, run) => written("syntax", ending === "toml" ? `pools = [[ # ${run}` : `{ "pools": [${" ".repeat(run % 97)}`, "snakepit."),
  (chance, ending, run) => ofKey("wrong type", chance.of(wrongTypes), ending, run),
  (chance, ending, run) => {
    const path = chance.of(known)
    const from = path.lastIndexOf(".") + 1
    const drop = chance.between(from + 1, path.length - 1) // not the first letter: what is left has a near name
    return ofKey("unknown key", [`${path.slice(0, drop)}${path.slice(drop + 1)}`, "1"], ending, run)
  },
  (chance, ending, run) => ofKey("out of range", chance.of(outOfRange), ending, run),
  (chance, ending, run) => ofKey("incomplete", chance.of(incomplete), ending, run),
  (_, __, run) => written("no UTF-8", Buffer.from(`# caf\xe9 ${run}`, "latin1"), "snakepit."),
  (_, ending, run) => written("UTF-16", Buffer.from(`\ufeff${text(ending, ["pools.default.size", "3"], run)}`, "utf16le"), "snakepit."),
  (_, __, run) => written("huge", Buffer.alloc(tooLarge + run, "#"), "snakepit."),
  (chance, ending, run) => {
    const whole = ending === "toml"
      ? `pools.default = { attempts = 7, note = "${run}" }`
      : text(ending, ["pools.default.attempts", "7"], run).trimEnd()
    const least = ending === "toml" ? "pools.default = {".length : 1
    return written(
      "cut",
      `${whole.slice(0, chance.between(least, whole.length - 1))}${ending === "toml" ? "" : " ".repeat(run % 97)}`,
      "snakepit."
    )
  },
  (_, ending, run) => {
    const [line] = [ending === "toml" ? `attempts = 7\n` : `"attempts": 7, `]
    const twice = ending === "toml"
      ? `# ${run}\n[pools.default]\n${line}${line}`
      : `{ "pools": { "default": { ${line}"attempts": 8 } } }${" ".repeat(run % 97)}`
    return written("twice", twice, "attempts")
  },
  () => ({
    kind: "a folder",
    names: "snakepit.",
    put: (file) => {
      rmSync(file, { force: true })
      mkdirSync(file)
    }
  }),
  (_, __, run) => written("noise", Buffer.from([0xff, 0xfe, 0, run & 255, run >> 8]), "snakepit."),
  () => ({ kind: "gone", names: "snakepit.", put: (file) => rmSync(file, { force: true }) }),
  (_, ending, run) => written("no keys", ending === "toml" ? `"unfinished # ${run}` : `[1, ${run}]`, "snakepit.")
]

const ofKey = (kind: string, said: Said, ending: Ending, run: number): Broken => written(kind, text(ending, said, run), said[2] ?? said[0])

/** A good file that says nothing new. */
const good = (ending: Ending): string => text(ending, ["pools.default.attempts", "3"], 0)

const told = (host: Host, name: string): ReadonlyArray<Event.Event> =>
  host.events().filter((event) => event.name === `snakepit.config.${name}`)

/** A good change after all that: it is applied, so that what was refused before was refused for what it was. */
const heal = async (session: Session, host: Host, ending: Ending): Promise<void> => {
  const before = told(host, "apply").length
  writeFileSync(host.configFile!, text(ending, ["pools.default.attempts", "5"], 1))
  const applied = await until(() => told(host, "apply").length, (count) => count > before, heardMillis)
  check(applied === before + 1, () => `a good file after the broken ones was applied ${applied - before} times${host.said}`)
  await session.close(host)
}

export const badConfig: Scenario = {
  name: "bad-config",
  about:
    "a configuration file under load is broken in every way there is: applied: changes that took effect, named: messages that name the key, or the file" +
    " where there is none; the host and each worker live",
  mustSee: {
    events: ["snakepit.config.reject", "snakepit.config.apply"],
    holds: [
      "`applied` is 0",
      "`named` is the number of runs",
      "the host lives, and so does each worker",
      "a good file is applied after all that"
    ]
  },
  byHand: [
    "Start an application with `configFile`, and follow its event log.",
    "Break the file: misspell a key, take a `}` away, put a folder in its place.",
    "`snakepit.config.reject` names the file with its line, the key, and what may stand there; calls and workers go on.",
    "Mend the file: `snakepit.config.apply` tells what changes."
  ],
  touches: { ends: [], tries: ["snakepit/foundation/config_server"] },
  runs: 200,
  shortRuns: 14,
  sharesHost: true,
  run: async (session) => {
    const hosts = new Map<Ending, Host>()
    const last = (session.options.runs ?? 1) - 1
    await session.each(60_000, async (chance, seed, index) => {
      const kind = kinds[seed % kinds.length]!
      const ending = endings[Math.floor(seed / kinds.length) % endings.length]!
      const found = hosts.get(ending)
      const host = found?.hasEnded === false
        ? found
        : await session.start(pools, { configFile: { name: `snakepit.${ending}`, text: good(ending) } })
      hosts.set(ending, host)
      await host.ask("keepBusy", { callersPerPool: 2, seed })
      const workers = host.workers().map(({ pid }) => pid)
      const { length: rejects } = told(host, "reject")
      const { length: applies } = told(host, "apply")
      const broken = kind(chance, ending, index)
      broken.put(host.configFile!)
      const heard = await until(() => told(host, "reject"), (events) => events.length > rejects, heardMillis)
      check(heard.length === rejects + 1, () => `${broken.kind} in ${ending}: ${heard.length - rejects} times refused${host.said}`)
      const cause = String(heard.at(-1)!.attributes["cause"])
      rmSync(host.configFile!, { recursive: true, force: true })
      writeFileSync(host.configFile!, good(ending))
      session.add("applied", told(host, "apply").length - applies)
      session.add("named", cause.includes(broken.names) ? 1 : 0)
      check(told(host, "apply").length === applies, () => `${broken.kind} in ${ending}: something of it was applied`)
      check(cause.includes(broken.names), () => `${broken.kind} in ${ending}: "${broken.names}" is not named in: ${cause}`)
      check(!host.hasEnded, () => `${broken.kind} in ${ending}: the host has ended${host.said}`)
      const after = host.workers().map(({ pid }) => pid)
      check(
        workers.every((pid) => after.includes(pid)),
        () => `${broken.kind} in ${ending}: the workers were ${workers.join(", ")}, and are ${after.join(", ")}`
      )
      if (index === last) { for (const [ending, host] of hosts) await heal(session, host, ending) }
      return `${broken.kind} in ${ending}: ${cause.split("\n").at(-1)!.trim().slice(0, 100)}`
    })
  }
}
