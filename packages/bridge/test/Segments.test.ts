/** Segments of shared memory as the host has them: who may write where, what is bounded, and what is left. */
import { assert, describe, it } from "@effect/vitest"
import { Payload } from "@snakepit/pool"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Frames from "../src/channel/Frames.ts"
import { ReadSegments } from "../src/segments/ReadSegments.ts"
import { Segments } from "../src/segments/Segments.ts"
import { type SharedMemory, sharedMemory } from "../src/segments/SharedMemory.ts"

const base = "/dev/shm"
const mib = 1024 * 1024

const inFolder = async (use: (folder: string) => void | Promise<void>): Promise<void> => {
  const folder = mkdtempSync(join(base, "segments-"))
  try {
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const of = (folder: string | undefined, limit: number, memory: SharedMemory | undefined) =>
  new Segments({ folder: folder && join(folder, "session"), limit, maxPayload: 64 * mib, memory, free: () => {}, placed: () => {} })

const numberOf = (carried: Frames.Carried): number | undefined => carried instanceof Frames.Shared ? carried.segment : undefined

/** As files, and mapped where koffi is installed. */
const ways: ReadonlyArray<readonly [string, SharedMemory | undefined]> = [["files", undefined], ["mapped memory", sharedMemory()]]

const collect = () => {
  setFlagsFromString("--expose-gc")
  ;(runInNewContext("gc") as () => void)()
}

for (const [name, memory] of ways) {
  describe(`segments that are written as ${name}`, () => {
    it("hold a payload whole, in pieces too, and are written again when they are free", () =>
      inFolder((folder) => {
        const segments = of(folder, 8 * mib, memory)
        const payload = new Payload.Pieces([Buffer.from("head"), Buffer.alloc(mib, 7), Buffer.from("tail")])
        assert.strictEqual(numberOf(segments.place(payload)), 1)
        const written = readFileSync(join(segments.folder, "h1")).subarray(0, payload.byteLength)
        assert.isTrue(written.equals(Buffer.from(Payload.whole(payload))))
        assert.strictEqual(numberOf(segments.place(payload)), 2)
        segments.free(1)
        assert.strictEqual(numberOf(segments.place(Buffer.alloc(70_000))), 1)
        assert.throws(() => segments.free(3), "segment h3 is free, it says, and holds no payload")
        segments.free(2)
        assert.throws(() => segments.free(2), Frames.Malformed)
        segments.close()
        assert.deepStrictEqual(readdirSync(folder), [])
      }))

    it("are bounded; what finds no room, and what is small, stays in its frame", () =>
      inFolder((folder) => {
        const segments = of(folder, 3 * mib, memory)
        const place = (bytes: number) => numberOf(segments.place(Buffer.alloc(bytes)))
        assert.deepStrictEqual([mib, mib, mib, mib, 65_535].map(place), [1, 2, 3, undefined, undefined])
        segments.free(1)
        segments.free(2)
        assert.strictEqual(place(2 * mib), 4) // two small ones make room
        assert.deepStrictEqual(readdirSync(segments.folder).sort(), ["h3", "h4"])
        assert.isUndefined(place(4 * mib))
        segments.close()
        assert.isUndefined(place(mib))
      }))
  })
}

describe("segments", () => {
  it("are not used where there is no folder, or it has gone", () =>
    inFolder((folder) => {
      const payload = Buffer.alloc(mib)
      for (const without of [of(undefined, mib, undefined), of(join(folder, "gone"), mib, undefined)]) {
        assert.strictEqual(without.folder, "")
        assert.strictEqual(without.place(payload), payload)
        without.close()
      }
      const segments = of(folder, 8 * mib, sharedMemory())
      rmSync(segments.folder, { recursive: true })
      assert.strictEqual(segments.place(payload), payload)
      segments.close()
    }))

  it("are not used when memory is short: nothing of the attempt is left", () =>
    inFolder((folder) => {
      const short: SharedMemory = {
        allocate: () => {
          throw new Error("posix_fallocate failed with error 28")
        },
        map: () => assert.fail("nothing is mapped that was not allocated")
      }
      const segments = of(folder, 8 * mib, short)
      const payload = Buffer.alloc(mib)
      assert.strictEqual(segments.place(payload), payload)
      assert.deepStrictEqual(readdirSync(segments.folder), [])
      segments.close()
    }))

  it("are not used when what is mapped cannot be looked into: nothing of the attempt is left", () =>
    inFolder((folder) => {
      let unmapped = 0
      const unseen: SharedMemory = {
        allocate: () => {},
        map: (_, byteLength) => ({
          byteLength,
          view: () => {
            throw new RangeError("Array buffer allocation failed")
          },
          unmap: () => unmapped++
        })
      }
      const segments = of(folder, 8 * mib, unseen)
      const open = readdirSync("/proc/self/fd").length
      const payload = Buffer.alloc(mib)
      assert.strictEqual(segments.place(payload), payload)
      assert.strictEqual(unmapped, 1)
      assert.strictEqual(readdirSync("/proc/self/fd").length, open)
      assert.deepStrictEqual(readdirSync(segments.folder), [])
      segments.close()
    }))
})

describe.runIf(sharedMemory() !== undefined)("segments of the worker that are mapped", () => {
  const reading = (folder: string, limit = 64 * mib) => {
    const free: Array<number> = []
    return { free, segments: new ReadSegments({ folder, limit, memory: sharedMemory(), free: (segment) => free.push(segment) }) }
  }

  it("are lent when they are large, and free when the last view of them is gone", () =>
    inFolder(async (folder) => {
      const { free, segments } = reading(folder)
      writeFileSync(join(folder, "w1"), Buffer.alloc(2 * mib, 1))
      let held: Uint8Array | undefined = (() => {
        const payload = segments.read(1, 2 * mib)
        segments.taken()
        return new Uint8Array(payload.buffer, 100, 50).subarray(10)
      })()
      await new Promise((resolve) => setTimeout(resolve, 1))
      collect()
      await new Promise((resolve) => setTimeout(resolve, 1))
      assert.deepStrictEqual(free, [])
      assert.throws(() => segments.read(1, 10), "it holds a payload that is still in use")
      assert.deepStrictEqual([...held], Array.from({ length: 40 }, () => 1))
      held = undefined
      for (let turn = 0; turn < 100 && free.length === 0; turn++) {
        collect()
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      assert.deepStrictEqual(free, [1])
      segments.close()
    }))

  it("are copied when they are small, or when much is lent; what is lent outlives them all", () =>
    inFolder((folder) => {
      const { free, segments } = reading(folder, 4 * mib)
      const read = (segment: number, length: number) => {
        const payload = segments.read(segment, length)
        segments.taken()
        return payload
      }
      for (const segment of [1, 2, 3]) writeFileSync(join(folder, `w${segment}`), Buffer.alloc(2 * mib, segment))
      const lent = read(1, 2 * mib)
      const copied = [read(2, 2 * mib), read(3, 1000)]
      assert.deepStrictEqual(free, [2, 3])
      writeFileSync(join(folder, "w2"), Buffer.alloc(2 * mib, 9))
      rmSync(join(folder, "w1"))
      segments.close()
      assert.deepStrictEqual([lent, ...copied].map((bytes) => bytes[999]), [1, 2, 3])
    }))

  it("that one message names are each named once, and in use until it is taken, though their files are gone meanwhile", () =>
    inFolder((folder) => {
      const { segments } = reading(folder)
      for (const segment of [1, 2, 3]) writeFileSync(join(folder, `w${segment}`), Buffer.alloc(2 * mib, segment))
      const first = segments.read(1, 2 * mib)
      rmSync(join(folder, "w1"))
      const second = segments.read(2, 2 * mib) // looks for segments whose files are gone
      assert.deepStrictEqual([first[5], second[5]], [1, 2])
      assert.throws(() => segments.read(1, 10), "it is named twice in one message")
      segments.taken()
      assert.strictEqual(segments.read(3, 10)[5], 3)
      assert.strictEqual(first[2 * mib - 1], 1)
      segments.close()
    }))

  it("that were not taken are as they were", () =>
    inFolder((folder) => {
      const { free, segments } = reading(folder)
      writeFileSync(join(folder, "w1"), Buffer.alloc(2 * mib, 1))
      segments.read(1, 2 * mib)
      segments.thrownAway()
      segments.taken()
      segments.read(1, 2 * mib)
      assert.deepStrictEqual(free, [])
      segments.close()
    }))

  it("keep their memory from being moved to another thread, which nothing could tell", () =>
    inFolder((folder) => {
      const { segments } = reading(folder)
      writeFileSync(join(folder, "w1"), Buffer.alloc(2 * mib, 1))
      const { buffer } = segments.read(1, 2 * mib)
      assert.throws(() => structuredClone(buffer, { transfer: [buffer as ArrayBuffer] }))
      assert.strictEqual(new Uint8Array(structuredClone(buffer))[0], 1)
      segments.close()
    }))
})
