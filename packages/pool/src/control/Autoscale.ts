/**
 * How many workers a pool should have, by how long calls wait: pure.
 *
 * ```text
 *   the longest wait > targetDelay, and cooldown since the last change            ─▶ one more, up to max
 *   the longest wait ≤ half of it, and three quarters of one worker fewer would
 *   do for what runs, all through a whole cooldown                                ─▶ one fewer, down to min
 *   anything between                                                              ─▶ as it is
 * ```
 *
 * The two conditions exclude each other with room between them, and both count from the last change, so a load that stays the same cannot
 * have it go up and down.
 */
import * as Duration from "effect/Duration"
import type { PoolConfig } from "../PoolConfig.ts"

/** What it goes by. */
export interface Load {
  /** How many workers the pool is to have. */
  readonly size: number
  /** How long the call that waits longest has waited, in milliseconds; 0 when none waits. */
  readonly delayMillis: number
  /** What runs, in workers: calls that run, divided by what one worker runs at once. */
  readonly busy: number
}

export interface AutoscaleState {
  /** When the size was changed last. */
  readonly changedAt: number
  /** Since when it could do with one fewer. */
  readonly calmSince: number | undefined
}

export const initial: AutoscaleState = { changedAt: Number.NEGATIVE_INFINITY, calmSince: undefined }

/** 3/4: with one fewer, a quarter of what is left is free still. */
const calmShare = 0.75

type Settings = NonNullable<PoolConfig["autoscale"]>

/** A size within the bounds. */
export const within = (size: number, bounds: Pick<Settings, "min" | "max"> | undefined): number =>
  bounds === undefined ? size : Math.min(Math.max(size, bounds.min), bounds.max)

/** The size that the pool should have from `now` on. Total. */
export const decide = (
  state: AutoscaleState,
  { busy, delayMillis, size }: Load,
  settings: Settings,
  now: number
): { readonly state: AutoscaleState; readonly size: number } => {
  const bounded = within(size, settings)
  if (bounded !== size) return { state: { changedAt: now, calmSince: undefined }, size: bounded }
  const target = Duration.toMillis(settings.targetDelay)
  const cooldown = Duration.toMillis(settings.cooldown)
  const isCool = now - state.changedAt >= cooldown
  if (delayMillis > target) {
    return isCool && size < settings.max
      ? { state: { changedAt: now, calmSince: undefined }, size: size + 1 }
      : { state: { ...state, calmSince: undefined }, size }
  }
  const isCalm = delayMillis <= target / 2 && busy <= calmShare * (size - 1)
  if (!isCalm) return { state: { ...state, calmSince: undefined }, size }
  const calmSince = state.calmSince ?? now
  return isCool && now - calmSince >= cooldown && size > settings.min
    ? { state: { changedAt: now, calmSince: undefined }, size: size - 1 }
    : { state: { ...state, calmSince }, size }
}
