/** What tests of supervised programs need: children that obey a script, a record of the events, generated trees and the laws they keep. */
export * as Generate from "./Generate.ts"
export * as Invariants from "./Invariants.ts"
export * as Order from "./Order.ts"
export * as Prediction from "./Prediction.ts"
export * as RecordedEvents from "./RecordedEvents.ts"
export * as Replay from "./Replay.ts"
export * as ScriptedChild from "./ScriptedChild.ts"
export * as TreePlan from "./TreePlan.ts"
