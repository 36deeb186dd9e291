import { gapText } from "../../signals/signal-gap.ts";
import type { ComputedBucket } from "../compute/clocks.ts";
import type { OnlineTarget } from "../session/graph.ts";
import type { RunReports } from "../session/run-reporter.ts";

/** What is known of one target's signal. */
interface WatchedSignal {
  readonly target: OnlineTarget;
  /** Buckets of the target in this run. */
  buckets: number;
  /** Buckets in a row without a signal. */
  missed: number;
  /** End of the last bucket with a signal; NaN before the first in this run. */
  sinceMs: number;
  /** Number of `missed` at which it is reported next. */
  reportAt: number;
}

/**
 * Counts the buckets in a row at which a target has no signal, and reports a target that is stale: at `stale.after`,
 * and again each time the number has doubled. Until its first value, in this run or in the past that it was started with,
 * it is reported only if a source has none: everything else is warm-up.
 */
export class SignalMonitor {
  readonly #reports: RunReports;
  readonly #signals: readonly WatchedSignal[];

  constructor(targets: readonly OnlineTarget[], reports: RunReports) {
    this.#reports = reports;
    this.#signals = targets.map((target) => {
      const reportAt = target.stale.after;
      return { target, buckets: 0, missed: 0, sinceMs: Number.NaN, reportAt };
    });
  }

  /** Buckets in a row without a signal, by instrument. */
  get missed(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      this.#signals.map(({ target, missed }) => [target.instrument, missed]),
    );
  }

  /** Takes the next bucket. */
  take({ signals, bucketEndMs }: Pick<ComputedBucket, "signals" | "bucketEndMs">): void {
    this.#signals.forEach((each, at) => {
      const state = signals[at];
      if (state === undefined || state.kind === "none") return;
      each.buckets++;
      if (state.kind === "value") {
        each.missed = 0;
        each.sinceMs = bucketEndMs;
        each.reportAt = each.target.stale.after;
        return;
      }
      each.missed++;
      const isCold = Number.isNaN(each.sinceMs) && !state.isWarm;
      const isWarmUp = isCold && state.source === undefined;
      if (each.missed < each.reportAt || isWarmUp) return;
      each.reportAt = each.missed * 2;
      const { name, intervalMs, stale } = each.target;
      const { missed, buckets, sinceMs } = each;
      const isFlat = stale.then === "flat";
      const when = { sinceMs, untilMs: Number.NaN, intervalMs };
      const gap = { target: name, missed, buckets, ...when, source: state.source, isFlat };
      this.#reports.problem(gapText(gap));
    });
  }
}
