/**
 * Files mapped into this process's memory, by the C library's own `mmap`: Node has no way of its own.
 *
 * **Details**
 *
 * koffi calls it, an optional dependency: where it is not installed, segments are read and written as files, which copies once more and is
 * slower. V8 keeps a view of mapped memory from being transferred to another thread, so its memory is in use exactly as long as the view's
 * ArrayBuffer is reachable.
 */
import { createRequire } from "node:module"

/** A file's bytes. */
export interface Mapped {
  readonly byteLength: number
  /** Its first bytes. Each call gives an ArrayBuffer of its own, so that it can be told when the last view of that is gone. */
  readonly view: (length: number) => ArrayBuffer
  /** No view may be used any more. */
  readonly unmap: () => void
}

/** What can be done with a file that is open. */
export interface SharedMemory {
  /** Shared, to read and write. Throws. */
  readonly map: (file: number, length: number) => Mapped
  /** Takes the memory of so many bytes now, or throws: written without, they would end the process where none is left. */
  readonly allocate: (file: number, length: number) => void
}

/** What is used of koffi. */
interface Koffi {
  readonly load: (path: null) => { readonly func: (prototype: string) => (...args: ReadonlyArray<unknown>) => unknown }
  readonly address: (pointer: unknown) => bigint
  readonly view: (pointer: unknown, length: number) => ArrayBuffer
}

const readAndWrite = 0x1 | 0x2 // PROT_READ | PROT_WRITE
const shared = 0x1 // MAP_SHARED
const failed = 0xffff_ffff_ffff_ffffn // MAP_FAILED

const load = (): SharedMemory | undefined => {
  if (process.platform !== "linux") return undefined // nothing else has /dev/shm
  try {
    const koffi = createRequire(import.meta.url)("koffi") as Koffi
    const libc = koffi.load(null)
    const mmap = libc.func("void *mmap(void *at, size_t length, int protection, int flags, int file, long offset)")
    const munmap = libc.func("int munmap(void *at, size_t length)")
    const allocate = libc.func("int posix_fallocate(int file, long offset, long length)")
    return {
      map: (file, length) => {
        const at = mmap(null, length, readAndWrite, shared, file, 0)
        if (at === null || koffi.address(at) === failed) throw new Error(`mmap of ${length} bytes failed`)
        return { byteLength: length, view: (length) => koffi.view(at, length), unmap: () => void munmap(at, length) }
      },
      allocate: (file, length) => {
        const error = allocate(file, 0, length)
        if (error !== 0) throw new Error(`posix_fallocate of ${length} bytes failed with error ${String(error)}`)
      }
    }
  } catch { // it is not installed, or not for this system
    return undefined
  }
}

let loaded: { readonly memory: SharedMemory | undefined } | undefined

/** Loaded at the first use. `undefined` where there is none. */
export const sharedMemory = (): SharedMemory | undefined => (loaded ??= { memory: load() }).memory
