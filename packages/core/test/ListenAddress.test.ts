import { assert, describe, it } from "@effect/vitest"
import { ListenAddress } from "@snakepit/core"

describe("an address", () => {
  it("is a socket, or a host and a port, and is rendered as it was written", () => {
    for (
      const text of ["unix:/run/a.sock", "127.0.0.1:0", "localhost:50051", "[::1]:1", "0.0.0.0:65535", "[fe80::1]:9", "models.example:443"]
    ) {
      const address = ListenAddress.parse(text)
      assert.isDefined(address, text)
      assert.strictEqual(ListenAddress.render(address!), text)
    }
  })

  it("is nothing else", () => {
    for (
      const text of [
        "",
        "unix:",
        ":1",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "::1:50051",
        "[127.0.0.1]:1",
        "[::1]",
        "http://a:1",
        "a b:1"
      ]
    ) {
      assert.isUndefined(ListenAddress.parse(text), text)
    }
  })

  it("is within reach of this user, of this machine, or of others", () => {
    const reach = (text: string) => ListenAddress.reach(ListenAddress.parse(text)!)
    assert.strictEqual(reach("unix:/run/a.sock"), "own")
    for (const text of ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1"]) assert.strictEqual(reach(text), "machine", text)
    for (const text of ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "127.0.0.1.example:1", "[::ffff:10.0.0.1]:1"]) {
      assert.strictEqual(reach(text), "network", text)
    }
  })
})
