/** The names of a generated module. Pure. */

/** What a generated module already means something by: its imports, the globals that its types name, and words of the language. */
const taken = new Set(
  ("Schema Rpc RpcGroup Tool NdArray Array ReadonlyArray Date Uint8Array Object String Number Boolean " +
    "any arguments as async await bigint boolean break case catch class const continue debugger default delete do else enum eval export extends " +
    "false finally for function if implements import in instanceof interface let never new null number object package private protected public " +
    "return static string super switch symbol this throw true try type typeof undefined unknown var void while with yield").split(" ")
)

/** `GpuTools` for the adapter `app.gpu_tools`: the name of its contract. */
export const ofContract = (adapter: string): string =>
  free(
    (adapter.split(".").at(-1) ?? adapter).split("_").filter(Boolean).map((word) => word[0]!.toUpperCase() + word.slice(1)).join(""),
    taken
  )

/** A name for each named type: Python's own where TypeScript allows it. */
export const ofTypes = (types: ReadonlyArray<string>, contract: string): ReadonlyMap<string, string> => {
  const used = new Set([...taken, contract])
  return new Map(types.map((type) => {
    const name = free(type.replaceAll(/[^\w$]+/g, "_").replace(/_$/, "").replace(/^(?=\d)|^$/, "_"), used)
    used.add(name)
    return [type, name]
  }))
}

const free = (name: string, used: ReadonlySet<string>): string => used.has(name) ? free(`${name}_`, used) : name
