import { assert, describe, it } from "@effect/vitest"
import * as PidNamespace from "../src/process/PidNamespace.ts"

const facts: PidNamespace.Facts = {
  platform: "linux",
  said: "unshare: unshare failed: Operation not permitted",
  unprivilegedUserns: undefined,
  apparmorRestricts: undefined,
  maxUserNamespaces: "15000"
}

describe("what to do about a namespace that cannot be made", () => {
  const cases: ReadonlyArray<readonly [string, Partial<PidNamespace.Facts>, RegExp]> = [
    ["another system", { platform: "darwin" }, /containment "process"/],
    ["no program", { said: undefined }, /install util-linux/],
    ["an old program", { said: "unshare: unrecognized option '--map-current-user'" }, /install util-linux/],
    ["Debian's switch", { unprivilegedUserns: "0" }, /kernel\.unprivileged_userns_clone=1/],
    ["no namespaces left", { maxUserNamespaces: "0" }, /user\.max_user_namespaces/],
    ["Ubuntu's AppArmor", { apparmorRestricts: "1" }, /apparmor_restrict_unprivileged_userns=0/],
    ["a masked /proc", { said: "unshare: mount /proc failed: Operation not permitted" }, /unmasked \/proc/],
    ["a container's seccomp", {}, /seccomp/]
  ]
  for (const [name, change, expected] of cases) {
    it(name, () => assert.match(PidNamespace.remedy({ ...facts, ...change }), expected))
  }
})

describe("pids of a namespace", () => {
  it("are the second of a process's, whatever it made below", () => {
    assert.strictEqual(PidNamespace.pidBelow("Name:\tpython\nNSpid:\t4711\t7\n"), 7)
    assert.strictEqual(PidNamespace.pidBelow("Name:\tpython\nNSpid:\t4711\t7\t1\n"), 7)
    assert.isUndefined(PidNamespace.pidBelow("Name:\tpython\nNSpid:\t4711\n"))
    assert.isUndefined(PidNamespace.pidBelow("Name:\tpython\n"))
  })

  it("are turned into the host's in all that a Reaper says, and a reused one is looked up anew", () => {
    const hosts = [901, 902]
    const onHost = PidNamespace.translator(() => hosts.shift())
    const spawned = { event: "spawned", id: "default/0#0", pid: 2, started: 5 } as const
    const exited = { event: "exited", id: "default/0#0", pid: 2, code: 0, signal: null, sent: null, oom: null } as const
    const ready = { event: "status", id: "default/0#0", status: { status: "ready", pid: 2, tools: [] } } as const
    assert.deepStrictEqual(
      [spawned, ready, exited, spawned, exited].map((event) => {
        const said = onHost(event)
        return said.event === "status" && said.status.status === "ready" ? said.status.pid : "pid" in said ? said.pid : undefined
      }),
      [901, 901, 901, 902, 902]
    )
  })

  it("are 0 for a process that ended before it could be seen", () => {
    const onHost = PidNamespace.translator(() => undefined)
    assert.deepInclude(onHost({ event: "spawned", id: "a", pid: 2, started: 5 }), { pid: 0 })
    assert.deepInclude(onHost({ event: "exited", id: "a", pid: 2, code: 1, signal: null, sent: null, oom: null }), { pid: 0 })
  })
})
