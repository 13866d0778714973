/**
 * Which events are news: what has happened, as against how things stand. Lists for people, the event log and the logs over OTLP have the news; the bus, its
 * handlers and the live feed have everything.
 */
import { type Event, SupervisorEvent } from "@snakepit/core"

/** What comes at intervals whatever happens: figures of pools each second, of workers each ten. They would push the decisions out, and fill a disk. */
const atIntervals = /^snakepit\.(pool\.sample|python\.(memory|cpu|gc|gpu)\.\w+)$/

export const isNews = ({ name }: Pick<Event.Event, "name">): boolean => !atIntervals.test(name) && !SupervisorEvent.isObservation(name)
