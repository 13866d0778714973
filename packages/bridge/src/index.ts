/** Python workers for the pools: processes, the wire, the runtime. */
export * as BridgeEvent from "./BridgeEvent.ts"
export * as Containment from "./process/Containment.ts"
export * as DataFolder from "./process/DataFolder.ts"
export * as ProcessRegistry from "./process/ProcessRegistry.ts"
export * as RunFolder from "./process/RunFolder.ts"
export * as Survivors from "./process/Survivors.ts"
export * as PythonConfig from "./PythonConfig.ts"
export * as PythonRuntime from "./PythonRuntime.ts"
