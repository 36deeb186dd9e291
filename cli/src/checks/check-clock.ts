import type { QmtlConfig } from "@qmtl/sdk/config";
import type { Check } from "./check.ts";

/** Leases are measured as durations and tolerate any offset; tickets and data currency depend on the time of day. */
const offsetMsWarned = 2_000;
const offsetMsMax = 30_000;
/** A correct clock cannot show a time before this program was made. */
const earliestMs = Date.UTC(2026, 0, 1);

/** Another clock as read from here: the time it showed, and our own time halfway through the request. */
export interface ClockReading {
  readonly of: string;
  readonly theirMs: number;
  readonly ourMs: number;
}

/** Checks that our time of day agrees with that of the machines we work with. */
export function checkClock(nowMs: number, readings: readonly ClockReading[]): Check {
  const name = "clock";
  const time = new Date(nowMs).toISOString();
  const fix =
    "set the clock, and keep it right with a time service (chrony, systemd-timesyncd, w32time)";
  if (nowMs < earliestMs) {
    return { name, status: "error", detail: `${time} is before this program was built`, fix };
  }
  const offsets = readings.map(({ of, theirMs, ourMs }) => ({ of, ms: theirMs - ourMs }));
  const worst = offsets.reduce<(typeof offsets)[number] | undefined>(
    (most, each) => (most !== undefined && Math.abs(most.ms) >= Math.abs(each.ms) ? most : each),
    undefined,
  );
  if (worst === undefined) {
    return { name, status: "ok", detail: `${time}; no other clock to compare with` };
  }
  const seconds = (Math.abs(worst.ms) / 1000).toFixed(1);
  const detail = `${time}; ${worst.of} is ${seconds} s ${worst.ms < 0 ? "behind" : "ahead"}`;
  if (Math.abs(worst.ms) <= offsetMsWarned) return { name, status: "ok", detail };
  const status = Math.abs(worst.ms) > offsetMsMax ? "error" : "warning";
  return { name, status, detail, fix };
}

/** Time of day of the gateway's machine, from its HTTP server, accurate to a second; undefined when it gives none. */
export async function readGatewayClock(
  config: QmtlConfig,
  nowMs: () => number,
): Promise<ClockReading | undefined> {
  const { host, web_port } = config.gateway;
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  const scheme = config.security.tls === null ? "http" : "https";
  const before = nowMs();
  try {
    const { headers } = await fetch(`${scheme}://${name}:${web_port}/`, {
      signal: AbortSignal.timeout(2_000),
    });
    const theirs = Date.parse(headers.get("date") ?? "");
    if (Number.isNaN(theirs)) return undefined;
    // The header drops the fraction of the second: half a second on average.
    return { of: "the gateway", theirMs: theirs + 500, ourMs: (before + nowMs()) / 2 };
  } catch {
    return undefined;
  }
}
