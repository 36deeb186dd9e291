import { HeldSignalMonitor } from "../../signals/held-signal.ts";
import { gapText } from "../../signals/signal-gap.ts";
import type { ComputedBucket, EndedClock } from "../compute/clocks.ts";
import type { OnlineTarget } from "../session/graph.ts";
import type { RunReports } from "../session/run-reporter.ts";

/** What is known of one target's signal. */
interface WatchedSignal {
  readonly target: OnlineTarget;
  /** Buckets of the target in this run. */
  buckets: number;
  /** Buckets in a row without a signal; after its clock has ended, intervals of it. */
  missed: number;
  /** Those of `missed` that were buckets. */
  missedRows: number;
  /** Intervals since the last bucket of its clock, once that has ended; 0 before. */
  ended: number;
  /** All buckets without a signal since the first one that had one. */
  missedInAll: number;
  /** It has had a value, in this run or in the past that it was started with. */
  isWarm: boolean;
  /** End of the last bucket with a signal; NaN before the first in this run. */
  sinceMs: number;
  /** The nearest source without a value at the last bucket; undefined if all had one. */
  source: string | undefined;
  /** Number of `missed` at which it is reported next. */
  reportAt: number;
  /** Signals beyond the bounds of the target, and the number of them at which they are reported next. */
  readonly held: HeldSignalMonitor | undefined;
  heldReportAt: number;
}

/** A target that is stale, and the nearest source without a value; empty if all have one. */
interface StaleTarget {
  readonly instrument: string;
  /** Name of the target node. */
  readonly target: string;
  readonly buckets: number;
  readonly source: string;
}

/** Takes a bucket without a signal, or what has become of an ended clock; returns how many buckets that is more. */
function addedBuckets(signal: WatchedSignal, ended: EndedClock | undefined): number {
  const before = signal.ended;
  signal.ended = ended?.intervals ?? 0;
  if (ended === undefined) {
    signal.missedRows++;
    return 1;
  }
  if (Number.isNaN(signal.sinceMs)) signal.sinceMs = ended.sinceMs;
  return Math.max(0, ended.intervals - before);
}

/** Until its first value a target without one is stale only if a source has none. */
function isWarmUp({ isWarm, source }: WatchedSignal): boolean {
  return !isWarm && source === undefined;
}

/**
 * Counts the buckets in a row at which a target has no signal, and reports a target that is stale: at `stale.after`,
 * and again each time the number has doubled. After the clock of a target has ended, its intervals since its last bucket
 * are counted, as `isFlatByNow` does, whatever other clocks have in between. Until its first value, in this run or in the past that it was started with,
 * it is reported only if a source has none: everything else is warm-up. Reports, too, a signal that is beyond the bounds
 * of its target: once, and again each time the number of such buckets has doubled.
 */
export class SignalMonitor {
  readonly #reports: RunReports;
  readonly #signals: readonly WatchedSignal[];

  constructor(targets: readonly OnlineTarget[], reports: RunReports) {
    this.#reports = reports;
    this.#signals = targets.map((target) => {
      const reportAt = target.stale.after;
      const held = target.bounds === undefined ? undefined : new HeldSignalMonitor(target.bounds);
      const counts = {
        buckets: 0,
        missed: 0,
        missedRows: 0,
        ended: 0,
        missedInAll: 0,
        reportAt,
        heldReportAt: 1,
        isWarm: false,
      };
      return { target, ...counts, sinceMs: Number.NaN, source: undefined, held };
    });
  }

  /** Buckets in a row without a signal, by instrument. */
  get missed(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      this.#signals.map(({ target, missed }) => [target.instrument, missed]),
    );
  }

  /** Targets that are stale now, for the platform. Warm-up is not. */
  get gaps(): readonly StaleTarget[] {
    return this.#signals
      .filter((each) => each.missed >= each.target.stale.after && !isWarmUp(each))
      .map(({ target, missed, source = "" }) => {
        return { instrument: target.instrument, target: target.name, buckets: missed, source };
      });
  }

  /** Takes the next bucket. */
  take({ signals, bucketEndMs }: Pick<ComputedBucket, "signals" | "bucketEndMs">): void {
    this.#signals.forEach((each, at) => {
      const state = signals[at];
      if (state === undefined || state.kind === "none") return;
      if (state.kind === "value") {
        each.buckets++;
        each.missed = 0;
        each.missedRows = 0;
        each.ended = 0;
        if (Number.isNaN(each.sinceMs)) each.missedInAll = 0;
        each.isWarm = true;
        each.sinceMs = bucketEndMs;
        each.reportAt = each.target.stale.after;
        if (state.beyond !== undefined) this.#takeBeyond(each, state.beyond);
        return;
      }
      const added = addedBuckets(each, state.ended);
      if (added === 0) return;
      each.buckets += added;
      each.missed += added;
      each.missedInAll += added;
      each.source = state.source;
      each.isWarm ||= state.isWarm;
      if (each.missed < each.reportAt || isWarmUp(each)) return;
      each.reportAt = each.missed * 2;
      const { name, intervalMs, stale } = each.target;
      const { missed: stretch, missedInAll: missed, buckets, sinceMs } = each;
      const isFlat = stale.then === "flat" && Math.max(each.missedRows, each.ended) >= stale.after;
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
