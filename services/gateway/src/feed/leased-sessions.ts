import type { Clock } from "@qmtl/service-kit";
import type { SliceCall } from "../ports.ts";

/** Largest number of sessions with a lease that are remembered. */
const leasedMax = 10_000;
/** Longest time that a runner's call is under way, milliseconds. */
const callMsMax = 10_000;

/** When sessions were given a lease for the first time since the gate of their world opened. */
export class LeasedSessions {
  readonly #clock: Clock;
  readonly #fenceOf: (worldId: string) => bigint;
  readonly #sinceMs = new Map<string, number>();

  /** @param fenceOf fence of a world's gate as it is; 0 while none is known */
  constructor(clock: Clock, fenceOf: (worldId: string) => bigint) {
    this.#clock = clock;
    this.#fenceOf = fenceOf;
  }

  /** A session was given a lease, or was given it again. @returns whether it is the first since the gate opened */
  granted(sessionId: string): boolean {
    if (this.#sinceMs.has(sessionId)) return false;
    if (this.#sinceMs.size >= leasedMax) this.#sinceMs.clear();
    this.#sinceMs.set(sessionId, this.#clock.monotonicMs());
    return true;
  }

  forget(sessionId: string): void {
    this.#sinceMs.delete(sessionId);
  }

  /**
   * Whether a call states something under a lease of the gate as it is, given since it opened. One under the lease of
   * before may be the last: a runner whose lease then lapses would end slices without their orders. One that names no
   * lease may have been sent before its sender knew of it; later than that, the sender has nothing to state.
   */
  isArmed({ sessionId, worldId, isArmed, fence }: SliceCall): boolean {
    const sinceMs = this.#sinceMs.get(sessionId);
    if (sinceMs === undefined) return false;
    if (!isArmed) return this.#clock.monotonicMs() - sinceMs > callMsMax;
    return BigInt(fence) >= this.#fenceOf(worldId);
  }
}
