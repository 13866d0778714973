/**
 * Why a process ended, as far as can be told: one closed union with the facts that it was told by.
 *
 * **Details**
 *
 * A class is a judgement over what the kernel said (code, signal), who sent the signal, the kernel's memory counters and the last lines
 * of output. {@link cause} and {@link next} put it in words, for errors and events.
 */
import * as Schema from "effect/Schema"

/** It ended with code 0. */
export const Clean = Schema.TaggedStruct("Clean", {})

/** Its adapter raised while it was imported, or its tools could not be collected. */
export const ImportException = Schema.TaggedStruct("ImportException", {
  /** The last line of the traceback: `ModuleNotFoundError: No module named 'torch'`. */
  exception: Schema.optional(Schema.String)
})

/** It ended with a code other than 0. */
export const Exception = Schema.TaggedStruct("Exception", {
  code: Schema.Int,
  /** The last line of the traceback; `undefined` when it left without one (`os._exit`, `sys.exit`). */
  exception: Schema.optional(Schema.String)
})

/** Native code touched memory that is not its own, or could not go on (SIGSEGV, SIGBUS, SIGILL, SIGFPE). */
export const Segfault = Schema.TaggedStruct("Segfault", { signal: Schema.String })

/** Native code gave up by itself: a failed assertion, a C++ exception that nobody caught, a corrupted heap. */
export const Abort = Schema.TaggedStruct("Abort", {
  /** The line of the output that says why. */
  line: Schema.optional(Schema.String)
})

/** There was not enough memory for it. */
export const OutOfMemory = Schema.TaggedStruct("OutOfMemory", {
  /**
   * Who says so: the counter of its own cgroup, that of the cgroup which host and workers share (version 2 or 1), that of the whole machine, or the
   * process itself, which could not allocate.
   */
  evidence: Schema.Literals(["cgroup", "cgroup-shared", "cgroup-v1", "kernel", "allocation"]),
  /** Processes that the kernel ended for want of memory, by that counter, while it lived; 0 when the process said it. */
  kills: Schema.Int
})

/** It was ended by a signal that Snakepit sent: a stop, a hang, a call that overran. */
export const KilledByUs = Schema.TaggedStruct("KilledByUs", { signal: Schema.String })

/** It was ended by a signal that Snakepit did not send. */
export const KilledBySomeone = Schema.TaggedStruct("KilledBySomeone", { signal: Schema.String })

/** Who reports errors of a GPU: NVIDIA's and AMD's runtimes, JAX's compiler, NVIDIA's driver. */
export const GpuRuntime = Schema.Literals(["CUDA", "HIP", "XLA", "Xid"])

/** Who reports errors of a GPU. */
export type GpuRuntime = typeof GpuRuntime.Type

/** It ended abnormally after a GPU runtime reported an error. */
export const GpuFault = Schema.TaggedStruct("GpuFault", {
  runtime: GpuRuntime,
  /** The line of the output that says so. */
  line: Schema.String
})

/** Why a process ended. */
export const ExitClass = Schema.Union([
  Clean,
  ImportException,
  Exception,
  Segfault,
  Abort,
  OutOfMemory,
  KilledByUs,
  KilledBySomeone,
  GpuFault
])

/** Why a process ended, as plain data. */
export type ExitClass = typeof ExitClass.Type

/** The signals that a processor's complaint about native code becomes. */
const faults: ReadonlySet<string> = new Set(["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"])

/** What the end alone says, with nothing else known. */
export const ofEnd = ({ code, signal }: { readonly code: number | null; readonly signal: string | null }): ExitClass => {
  if (signal === null) return code === 0 ? { _tag: "Clean" } : { _tag: "Exception", code: code ?? -1, exception: undefined }
  if (faults.has(signal)) return { _tag: "Segfault", signal }
  return signal === "SIGABRT" ? { _tag: "Abort", line: undefined } : { _tag: "KilledBySomeone", signal }
}

const quoted = (line: string | undefined): string => line === undefined ? "" : ` (${line})`

/** The likely cause, as the rest of a sentence about the process. */
export const cause = (exit: ExitClass): string => {
  switch (exit._tag) {
    case "Clean":
      return "it left by itself with code 0"
    case "ImportException":
      return `its adapter raised while it was imported${quoted(exit.exception)}`
    case "Exception":
      return exit.exception === undefined
        ? `it left with code ${exit.code} and no traceback`
        : `an exception ended it (${exit.exception})`
    case "Segfault":
      return `native code crashed (${exit.signal})`
    case "Abort":
      return `native code gave up (SIGABRT)${quoted(exit.line)}`
    case "OutOfMemory":
      return exit.evidence === "allocation"
        ? "it could not allocate memory (MemoryError, or std::bad_alloc in native code)"
        : `the kernel ended it for want of memory (oom_kill rose by ${exit.kills}, ${counter[exit.evidence]})`
    case "KilledByUs":
      return `Snakepit ended it (${exit.signal})`
    case "KilledBySomeone":
      return `somebody else ended it (${exit.signal})`
    case "GpuFault":
      return `a GPU error came before its end (${exit.line})`
  }
}

const counter = {
  "cgroup": "memory.events of its own cgroup",
  "cgroup-shared": "memory.events of the cgroup that host and workers share",
  "cgroup-v1": "memory.oom_control of the cgroup that host and workers share",
  "kernel": "/proc/vmstat of the machine"
}

/** What to do about it. */
export const next = (exit: ExitClass): string => {
  switch (exit._tag) {
    case "Clean":
      return "Look for sys.exit, os._exit or a signal handler in the adapter: a worker ends when it is told to, not by itself"
    case "ImportException":
      return "Import the adapter by hand with the same interpreter, environment and python.path"
    case "Exception":
      return exit.exception === undefined
        ? "Look for sys.exit or os._exit in the adapter and its libraries: a tool that fails should raise"
        : "Its traceback above names the line; an exception in a tool is the caller's, so this one came from a thread or a callback"
    case "Segfault":
      return exit.signal === "SIGBUS"
        ? "A full /dev/shm or a file that shrank under a mapping is the usual cause of SIGBUS; the stack above names the library"
        : exit.signal === "SIGILL"
        ? "The package was likely built for another processor: install one built for this machine"
        : "The stack above names the library: update it, and try the tool alone. If workers are forked, try python.start \"spawn\""
    case "Abort":
      return "The stack above names the library. If workers are forked, try python.start \"spawn\": a library that was used at import may not stand a fork"
    case "OutOfMemory":
      return exit.evidence === "allocation"
        ? "Give the tool less at a time, or raise python.limits.addressSpace"
        : "Use fewer workers, give each less at a time, or give the machine or its container more memory"
    case "KilledByUs":
      return "The event before it says why it was ended"
    case "KilledBySomeone":
      return exit.signal === "SIGKILL" || exit.signal === "SIGXCPU"
        ? "An operator, a job manager, python.limits.cpuSeconds, or the kernel in want of memory without a counter to show it"
        : "An operator, a job manager or the adapter's own code sent it"
    case "GpuFault":
      return exit.runtime === "Xid"
        ? "The driver reports a fault of the device: look up the Xid in NVIDIA's list, and check the device"
        : "Check the device (nvidia-smi, rocm-smi) and its memory; an error like this leaves the process's GPU context unusable"
  }
}
