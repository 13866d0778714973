/** The classes of exits, by table: what is known of the end on the left, the judgement on the right. */
import { assert, describe, it } from "@effect/vitest"
import { ExitClass } from "@snakepit/pool"
import { classify, excerpt, type ExitEvidence } from "../src/process/ExitEvidence.ts"

const traceback = (
  last: string
) => ["Traceback (most recent call last):", "  File \"/app/tools.py\", line 3, in <module>", "    import torch", last]
const segfault = [
  "Fatal Python error: Segmentation fault",
  "",
  "Thread 0x7f (most recent call first):",
  "  File \"/app/tools.py\", line 9 in fit"
]
const cuda = "RuntimeError: CUDA error: an illegal memory access was encountered"

/** What it wrote right before its end, and what it had written more than two seconds before. */
interface Known extends Partial<Omit<ExitEvidence, "lines">> {
  readonly output?: ReadonlyArray<string>
  readonly stale?: ReadonlyArray<string>
}

const table: ReadonlyArray<readonly [what: string, evidence: Known, expected: ExitClass.ExitClass]> = [
  ["code 0", { code: 0 }, { _tag: "Clean" }],
  ["code 0 after SIGTERM: it drained", { code: 0, sent: "TERM" }, { _tag: "Clean" }],
  ["code 0 whatever it printed", { code: 0, output: [cuda] }, { _tag: "Clean" }],
  [
    "an adapter that does not import",
    { code: 78, stage: "import", output: traceback("ModuleNotFoundError: No module named 'torch'") },
    { _tag: "ImportException", exception: "ModuleNotFoundError: No module named 'torch'" }
  ],
  ["an adapter that does not import, silently", { code: 78, stage: "import" }, { _tag: "ImportException", exception: undefined }],
  [
    "an exception that ended it",
    { code: 1, output: [...traceback("app.errors.Broken: no"), "goodbye"] },
    { _tag: "Exception", code: 1, exception: "app.errors.Broken: no" }
  ],
  ["an exception without a message", { code: 1, output: traceback("KeyboardInterrupt") }, {
    _tag: "Exception",
    code: 1,
    exception: "KeyboardInterrupt"
  }],
  ["os._exit", { code: 3, output: ["last words"] }, { _tag: "Exception", code: 3, exception: undefined }],
  ["an ordinary line with a colon is no exception", { code: 3, output: ["INFO: all is well"] }, {
    _tag: "Exception",
    code: 3,
    exception: undefined
  }],
  ["SIGSEGV", { signal: "SIGSEGV", output: segfault }, { _tag: "Segfault", signal: "SIGSEGV" }],
  ["SIGBUS", { signal: "SIGBUS" }, { _tag: "Segfault", signal: "SIGBUS" }],
  ["SIGILL", { signal: "SIGILL" }, { _tag: "Segfault", signal: "SIGILL" }],
  ["SIGFPE", { signal: "SIGFPE" }, { _tag: "Segfault", signal: "SIGFPE" }],
  ["SIGABRT", { signal: "SIGABRT" }, { _tag: "Abort", line: undefined }],
  [
    "a corrupted heap",
    { signal: "SIGABRT", output: ["double free or corruption (out)", "Fatal Python error: Aborted", ""] },
    { _tag: "Abort", line: "double free or corruption (out)" }
  ],
  [
    "a C++ exception",
    { signal: "SIGABRT", output: ["terminate called after throwing an instance of 'std::runtime_error'", "  what():  no weights"] },
    { _tag: "Abort", line: "  what():  no weights" }
  ],
  [
    "SIGKILL with a kill in its own cgroup",
    { signal: "SIGKILL", oom: { evidence: "cgroup", kills: 1 } },
    { _tag: "OutOfMemory", evidence: "cgroup", kills: 1 }
  ],
  [
    "SIGKILL with a kill in the cgroup that it shares with the host",
    { signal: "SIGKILL", oom: { evidence: "cgroup-shared", kills: 1 } },
    { _tag: "OutOfMemory", evidence: "cgroup-shared", kills: 1 }
  ],
  [
    "SIGKILL with a kill in a version 1 cgroup",
    { signal: "SIGKILL", oom: { evidence: "cgroup-v1", kills: 2 } },
    { _tag: "OutOfMemory", evidence: "cgroup-v1", kills: 2 }
  ],
  [
    "SIGKILL while the machine's counter rose, after a SIGTERM of ours",
    { signal: "SIGKILL", sent: "TERM", oom: { evidence: "kernel", kills: 1 } },
    { _tag: "OutOfMemory", evidence: "kernel", kills: 1 }
  ],
  [
    "SIGKILL of ours while the counter rose: we know what we did",
    { signal: "SIGKILL", sent: "KILL", oom: { evidence: "kernel", kills: 1 } },
    { _tag: "KilledByUs", signal: "SIGKILL" }
  ],
  [
    "a child of it was killed for memory, and it then raised: the exception is its end",
    { code: 1, oom: { evidence: "cgroup", kills: 1 }, output: traceback("BrokenProcessPool: a child ended") },
    { _tag: "Exception", code: 1, exception: "BrokenProcessPool: a child ended" }
  ],
  ["MemoryError", { code: 1, output: traceback("MemoryError") }, { _tag: "OutOfMemory", evidence: "allocation", kills: 0 }],
  [
    "numpy's MemoryError at import",
    { code: 78, stage: "import", output: traceback("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 GiB") },
    { _tag: "OutOfMemory", evidence: "allocation", kills: 0 }
  ],
  [
    "std::bad_alloc",
    { signal: "SIGABRT", output: ["terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc"] },
    { _tag: "OutOfMemory", evidence: "allocation", kills: 0 }
  ],
  ["SIGTERM of ours", { signal: "SIGTERM", sent: "TERM" }, { _tag: "KilledByUs", signal: "SIGTERM" }],
  ["SIGKILL of ours", { signal: "SIGKILL", sent: "KILL" }, { _tag: "KilledByUs", signal: "SIGKILL" }],
  ["SIGKILL of nobody we know", { signal: "SIGKILL" }, { _tag: "KilledBySomeone", signal: "SIGKILL" }],
  ["SIGKILL after our SIGTERM, not ours", { signal: "SIGKILL", sent: "TERM" }, { _tag: "KilledBySomeone", signal: "SIGKILL" }],
  ["SIGKILL of somebody, whatever it printed", { signal: "SIGKILL", output: [cuda] }, { _tag: "KilledBySomeone", signal: "SIGKILL" }],
  ["SIGXCPU", { signal: "SIGXCPU" }, { _tag: "KilledBySomeone", signal: "SIGXCPU" }],
  ["a crash while it stops is a crash", { signal: "SIGSEGV", sent: "TERM" }, { _tag: "Segfault", signal: "SIGSEGV" }],
  ["a CUDA error, then an exit", { code: 1, output: traceback(cuda) }, { _tag: "GpuFault", runtime: "CUDA", line: cuda }],
  [
    "a CUDA error, then a crash",
    { signal: "SIGSEGV", output: ["cuda driver: CUDA_ERROR_LAUNCH_FAILED", ...segfault] },
    { _tag: "GpuFault", runtime: "CUDA", line: "cuda driver: CUDA_ERROR_LAUNCH_FAILED" }
  ],
  [
    "cuBLAS",
    { code: 1, output: ["CUBLAS_STATUS_NOT_INITIALIZED when calling cublasCreate"] },
    { _tag: "GpuFault", runtime: "CUDA", line: "CUBLAS_STATUS_NOT_INITIALIZED when calling cublasCreate" }
  ],
  [
    "a HIP error",
    { signal: "SIGABRT", output: ["Memory access fault by GPU node-1 (Agent handle: 0x55) on address 0x7f"] },
    { _tag: "GpuFault", runtime: "HIP", line: "Memory access fault by GPU node-1 (Agent handle: 0x55) on address 0x7f" }
  ],
  [
    "an XLA error",
    { code: 1, output: ["jaxlib.xla_extension.XlaRuntimeError: INTERNAL: failed to launch"] },
    { _tag: "GpuFault", runtime: "XLA", line: "jaxlib.xla_extension.XlaRuntimeError: INTERNAL: failed to launch" }
  ],
  [
    "an Xid in what it relays of the kernel's log",
    { code: 1, output: ["NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.", cuda] },
    { _tag: "GpuFault", runtime: "Xid", line: "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus." }
  ],
  ["a log that counts in Xids", { code: 1, output: ["Xid 42 of 100 done"] }, { _tag: "Exception", code: 1, exception: undefined }],
  [
    "a CUDA error that it survived, then a crash of another kind",
    { signal: "SIGSEGV", stale: [cuda], output: segfault },
    { _tag: "Segfault", signal: "SIGSEGV" }
  ],
  [
    "a MemoryError that it logged and survived, then os._exit",
    { code: 3, stale: traceback("MemoryError"), output: ["last words"] },
    { _tag: "Exception", code: 3, exception: undefined }
  ],
  ["a std::bad_alloc that it survived, then an abort", { signal: "SIGABRT", stale: ["caught std::bad_alloc"] }, {
    _tag: "Abort",
    line: undefined
  }],
  ["a MemoryError that was raised right before a crash: the crash is its end", { signal: "SIGSEGV", output: traceback("MemoryError") }, {
    _tag: "Segfault",
    signal: "SIGSEGV"
  }]
]

describe("the class of an exit", () => {
  it.each(table)("%s", (_, { output = [], stale = [], ...evidence }, expected) => {
    const nothing = { code: null, signal: null, sent: null, oom: null, stage: "serving" } as const
    const said = (lines: ReadonlyArray<string>, ageMillis: number) => lines.map((text) => ({ text, ageMillis }))
    assert.deepStrictEqual(classify({ ...nothing, ...evidence, lines: [...said(stale, 2001), ...said(output, 2000)] }), expected)
  })

  it("occurs in the table, each of them, and each says cause and next step in words of its own", () => {
    const classes = new Map(table.map(([, , expected]) => [expected._tag, expected]))
    assert.deepStrictEqual(
      [...classes.keys()].toSorted(),
      ExitClass.ExitClass.members.map(({ fields }) => fields._tag.schema.literal).toSorted()
    )
    assert.strictEqual(new Set([...classes.values()].map(ExitClass.cause)).size, classes.size)
    assert.strictEqual(new Set([...classes.values()].map(ExitClass.next)).size, classes.size)
  })
})

describe("the excerpt of an output", () => {
  const frames = (
    thread: string
  ) => [`${thread} (most recent call first):`, ...Array.from({ length: 30 }, (_, i) => `  File "${thread}", line ${i}`)]

  it("is its last lines", () => {
    assert.deepStrictEqual(excerpt(["a", "b", "c"], 2), ["b", "c"])
    assert.deepStrictEqual(excerpt([], 2), [])
  })

  it("is, after a crash, what came before it and the top of the stack that crashed, other threads left out", () => {
    const crash = ["1", "2", "3", "4", "5", "Fatal Python error: Aborted", "", ...frames("Thread 0x1"), "", ...frames("Current thread 0x2")]
    assert.deepStrictEqual(excerpt(crash, 8), [
      ...["2", "3", "4", "5", "Fatal Python error: Aborted"],
      ...["Current thread 0x2 (most recent call first):", "  File \"Current thread 0x2\", line 0", "  File \"Current thread 0x2\", line 1"]
    ])
  })

  it("is what there is when the stack was lost", () => {
    assert.deepStrictEqual(excerpt(["Fatal Python error: Segmentation fault", ""], 8), ["Fatal Python error: Segmentation fault", ""])
  })
})
