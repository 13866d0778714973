/** What tests of supervised programs need: children that obey a script, and a record of the events. */
export * as RecordedEvents from "./RecordedEvents.ts"
export * as ScriptedChild from "./ScriptedChild.ts"
