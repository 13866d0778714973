/**
 * What an operator has changed of what workers tell, for a time: above what the configuration says, of the pool and of single places.
 *
 * **Details**
 *
 * It outlives workers, channels and Rosters. It ends by a reset, or when the configuration says something else of the pool's telemetry.
 */
import * as ConfigShape from "../config/ConfigShape.ts"
import type { PoolConfig } from "../PoolConfig.ts"

/** What workers tell: the section `telemetry` of a pool. */
export type Settings = PoolConfig["telemetry"]

export class TelemetryControl {
  private readonly listeners = new Set<() => void>()
  private configuration: Settings | undefined
  private ofPool: Partial<Settings> = {}
  private readonly ofPlaces = new Map<number, Partial<Settings>>()

  /** What holds for the worker in a place: its own change goes before the pool's, and that before the configuration. */
  of(slot: number, configured: Settings): Settings {
    return { ...configured, ...this.ofPool, ...this.ofPlaces.get(slot) }
  }

  /** `listener` is called at each change, before whoever made it goes on; gives how to stop that. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Adds to what was changed before. */
  change(change: Partial<Settings>, slot?: number): void {
    if (slot === undefined) this.ofPool = { ...this.ofPool, ...change }
    else this.ofPlaces.set(slot, { ...this.ofPlaces.get(slot), ...change })
    this.tell()
  }

  /** What the configuration says holds again; without a place, for the pool and each of its places. */
  reset(slot?: number): void {
    if (slot === undefined) this.clear()
    else this.ofPlaces.delete(slot)
    this.tell()
  }

  /** A configuration has taken effect. */
  configured(settings: Settings): void {
    if (this.configuration !== undefined && !ConfigShape.isSame(this.configuration, settings)) this.clear()
    this.configuration = settings
    this.tell()
  }

  private clear(): void {
    this.ofPool = {}
    this.ofPlaces.clear()
  }

  private tell(): void {
    for (const listener of this.listeners) listener()
  }
}
