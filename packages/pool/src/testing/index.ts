/** What tests of programs with pools need: a runtime whose workers obey a script. */
export * as ScriptedCodec from "./ScriptedCodec.ts"
export * as ScriptedRuntime from "./ScriptedRuntime.ts"
export * as ScriptedTool from "./ScriptedTool.ts"
