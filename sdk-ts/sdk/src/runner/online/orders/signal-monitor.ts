import { HeldSignalMonitor } from "../../signals/held-signal.ts";
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
  /** All buckets without a signal since the first one that had one. */
  missedInAll: number;
  /** End of the last bucket with a signal; NaN before the first in this run. */
  sinceMs: number;
  /** Number of `missed` at which it is reported next. */
  reportAt: number;
  /** Signals beyond the bounds of the target, and the number of them at which they are reported next. */
  readonly held: HeldSignalMonitor | undefined;
  heldReportAt: number;
}

/**
 * Counts the buckets in a row at which a target has no signal, and reports a target that is stale: at `stale.after`,
 * and again each time the number has doubled. Until its first value in a run it is reported only if a source has none:
 * everything else is warm-up. Reports, too, a signal that is beyond the bounds of its target: once, and again each time
 * the number of such buckets has doubled.
 */
export class SignalMonitor {
  readonly #reports: RunReports;
  readonly #signals: readonly WatchedSignal[];

  constructor(targets: readonly OnlineTarget[], reports: RunReports) {
    this.#reports = reports;
    this.#signals = targets.map((target) => {
      const reportAt = target.stale.after;
      const held = target.bounds === undefined ? undefined : new HeldSignalMonitor(target.bounds);
      const since = { sinceMs: Number.NaN, reportAt };
      return { target, buckets: 0, missed: 0, missedInAll: 0, ...since, held, heldReportAt: 1 };
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
        if (Number.isNaN(each.sinceMs)) each.missedInAll = 0;
        each.sinceMs = bucketEndMs;
        each.reportAt = each.target.stale.after;
        if (state.beyond !== undefined) this.#takeBeyond(each, state.beyond);
        return;
      }
      each.missed++;
      each.missedInAll++;
      const isWarmUp = Number.isNaN(each.sinceMs) && state.source === undefined;
      if (each.missed < each.reportAt || isWarmUp) return;
      each.reportAt = each.missed * 2;
      const { name, intervalMs, stale } = each.target;
      const { missed: stretch, missedInAll: missed, buckets, sinceMs } = each;
      const isFlat = stale.then === "flat";
      const when = { sinceMs, untilMs: Number.NaN, intervalMs };
      const gap = { target: name, missed, stretch, buckets, ...when, source: state.source, isFlat };
      this.#reports.problem(gapText(gap));
    });
  }

  /** Counts a signal that its target held at a bound: reported once, and again each time the number has doubled. */
  #takeBeyond(signal: WatchedSignal, value: number): void {
    const { held, target } = signal;
    if (held === undefined) return;
    held.take(value);
    if (held.bars < signal.heldReportAt) return;
    signal.heldReportAt = held.bars * 2;
    for (const text of held.texts()) this.#reports.problem(`signal of ${target.name}: ${text}`);
  }
}
