/** What tests of what reads a history need. */
export * as HistoryInMemory from "./HistoryInMemory.ts"
