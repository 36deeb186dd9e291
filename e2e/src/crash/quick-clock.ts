import { uptime } from "node:os";
import { clockReader } from "@qmtl/core/gate";
import type { RunOptions } from "@qmtl/sdk";

/** Waits in this range are a strategy's pauses before it reconnects, and its renewals of node leases, milliseconds. */
const LONG_MS_MIN = 1_000;
const LONG_MS_MAX = 8_000;
const CUT_MS = 300;

/**
 * The machine's clocks, with long waits cut short: the platform dies many times in a story, which does not test how
 * long a strategy waits for an outage to end.
 */
export const quickClock: NonNullable<RunOptions["clock"]> = {
  nowMs: () => Date.now(),
  reading: clockReader({
    monotonicMs: () => performance.now(),
    uptimeMs: () => uptime() * 1000,
    wallMs: () => Date.now(),
  }),
  setTimer(callback, delayMs) {
    const isLong = delayMs >= LONG_MS_MIN && delayMs <= LONG_MS_MAX;
    const timer = setTimeout(callback, isLong ? CUT_MS : delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};
