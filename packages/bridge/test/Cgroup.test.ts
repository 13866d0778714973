import { assert, describe, it } from "@effect/vitest"
import * as Cgroup from "../src/process/Cgroup.ts"

const mount = (root: string, point: string, type = "cgroup2") => `41 31 0:38 ${root} ${point} rw,relatime shared:9 - ${type} cgroup rw\n`

describe("the cgroup of this process", () => {
  it("is below the mount, on a system of version 2 alone", () => {
    assert.deepStrictEqual(Cgroup.own("0::/user.slice/a.scope\n", mount("/", "/sys/fs/cgroup")), {
      folder: "/sys/fs/cgroup/user.slice/a.scope"
    })
  })

  it("is in the unified hierarchy of a hybrid system", () => {
    const mounts = mount("/", "/sys/fs/cgroup/memory", "cgroup") + mount("/", "/sys/fs/cgroup/unified")
    assert.deepStrictEqual(Cgroup.own("4:memory:/x\n0::/\n", mounts), { folder: "/sys/fs/cgroup/unified" })
  })

  it("is the mount itself in a container that sees only its own part", () => {
    assert.deepStrictEqual(Cgroup.own("0::/docker/abc\n", mount("/docker/abc", "/sys/fs/cgroup")), { folder: "/sys/fs/cgroup" })
  })

  it("may have spaces in its path", () => {
    assert.deepStrictEqual(Cgroup.own("0::/a b\n", mount("/", "/my\\040groups")), { folder: "/my groups/a b" })
  })

  it("is not there when it lies outside the mount, in a hierarchy of version 1, or nowhere", () => {
    assert.property(Cgroup.own("0::/../other\n", mount("/", "/sys/fs/cgroup")), "why")
    assert.property(Cgroup.own("0::/elsewhere\n", mount("/docker/abc", "/sys/fs/cgroup")), "why")
    assert.property(Cgroup.own("4:memory:/x\n", mount("/", "/sys/fs/cgroup")), "why")
    assert.property(Cgroup.own("0::/\n", mount("/", "/sys/fs/cgroup/memory", "cgroup")), "why")
    assert.property(Cgroup.own("", ""), "why")
  })
})
