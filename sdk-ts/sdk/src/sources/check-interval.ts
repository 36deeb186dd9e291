import { intervalText } from "@qmtl/core/dataflow";
import {
  bucketEnds,
  calendarLabel,
  calendarNames,
  calendarSeconds,
  canOpenAt,
  laterBucketEnd,
  restMs,
} from "@qmtl/core/intervals";
import type { BarTable } from "./bar-source.ts";

/** With fewer gaps than this nothing is concluded: two daily bars in a row may come before a weekend or a holiday. */
const gapsMin = 3;

const sparseAdvice =
  "sparse: true if bars come only now and then (each is then known when the next one opens)";

/**
 * Why the bars of a feed cannot have the interval that is declared for them; undefined if they can. An interval that is
 * too short would make bars known before their end: a weekly bar declared `1d` would show Friday's close on Tuesday.
 *
 * @param openMs open times, increasing
 * @param isSparse whether bars may come less often than the interval
 */
export function paceFault(
  openMs: Float64Array,
  intervalMs: number,
  isSparse: boolean,
): string | undefined {
  const label = labelFault(openMs, intervalMs);
  if (label !== undefined) return label;
  const endMs = bucketEnds(openMs, intervalMs);
  const steps = openMs.length - 1;
  let [overlaps, shortestMs] = [0, Number.POSITIVE_INFINITY];
  for (let i = 0; i < steps; i++) {
    const stepMs = openMs[i + 1]! - openMs[i]!;
    if (openMs[i + 1]! >= endMs[i]!) continue;
    overlaps++;
    if (stepMs < shortestMs) shortestMs = stepMs;
  }
  const given = `the interval given is ${intervalText(intervalMs)}`;
  if (overlaps * 2 > steps) {
    const what = `most bars open before the previous bar has ended, as little as ${shortestMs / 1_000} s after its open`;
    return [`${what}; ${given}`, ...fitting(openMs).map((one) => `give ${one}`)].join("; ");
  }
  if (isSparse || !endsTooEarly(openMs, endMs, intervalMs)) return undefined;
  const what = `most bars open later than the previous bar would have ended: ${given}, which is shorter than they are`;
  return `${what}; give ${[...fitting(openMs), sparseAdvice].join(", or ")}`;
}

/**
 * Whether bars end before the next one opens, most of them and in the most frequent case: not only at weekends, and not
 * because many minutes have no trade.
 */
export function endsTooEarly(
  openMs: Float64Array,
  endMs: Float64Array,
  intervalMs: number,
): boolean {
  const gaps = endMs.subarray(0, -1).map((end, i) => openMs[i + 1]! - end);
  const rest = restMs(intervalMs);
  let count = 0;
  for (const gap of gaps) if (gap > rest) count++;
  return count >= gapsMin && count * 2 > gaps.length && mostFrequent(gaps) > rest;
}

/** The value that appears most often, the smallest of several; 0 without values. */
function mostFrequent(values: Iterable<number>): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [first] = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return first?.[0] ?? 0;
}

/** Bars of which each is known when the next one opens. The last is left out: nothing says when it ended. */
export function sparseTable({ rows, openTimeMs, columns }: BarTable): BarTable {
  const kept = Math.max(0, rows - 1);
  return {
    rows: kept,
    openTimeMs: openTimeMs.slice(0, kept),
    bucketEndMs: openTimeMs.slice(1, rows),
    columns: new Map([...columns].map(([name, values]) => [name, values.slice(0, kept)])),
  };
}

const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** Names the first bar that a calendar interval cannot have. */
function labelFault(openMs: Float64Array, intervalMs: number): string | undefined {
  const label = calendarLabel(intervalMs);
  const odd = label === undefined ? undefined : openMs.find((open) => !canOpenAt(open, intervalMs));
  if (odd === undefined) return undefined;
  const time = new Date(odd).toISOString().replace("T00:00:00.000Z", "");
  const what = `bars of ${intervalText(intervalMs)} are labelled by ${label}, 00:00Z, but one is labelled ${time}, a ${weekdays[new Date(odd).getUTCDay()]}`;
  const sparse = "interval: 1d with sparse: true (each bar is then known when the next one opens)";
  return `${what}; give ${[...fitting(openMs), sparse].join(", or ")}`;
}

/** What to declare for the bars; empty where no interval fits. */
function fitting(openMs: Float64Array): string[] {
  const found = fittingInterval(openMs);
  if (found === undefined) return [];
  if (found !== "1w") return [`interval: ${found}`];
  return [
    "interval: 1w (known on Sunday, 24:00Z)",
    "5d if its market rests at weekends (on Friday)",
  ];
}

/** The longest calendar interval that labels all bars and separates most of them, otherwise the most frequent step. */
function fittingInterval(openMs: Float64Array): string | undefined {
  const calendar = calendarNames.findLast((name) => {
    const intervalMs = calendarSeconds(name)! * 1_000;
    const follows = openMs.filter(
      (open, i) => i > 0 && open === laterBucketEnd(openMs[i - 1]!, 1, intervalMs),
    );
    return (
      follows.length * 2 >= openMs.length && openMs.every((open) => canOpenAt(open, intervalMs))
    );
  });
  if (calendar !== undefined) return calendar;
  const stepMs = mostFrequent(openMs.subarray(1).map((open, i) => open - openMs[i]!));
  const isFixed = stepMs % 1_000 === 0 && stepMs > 0 && stepMs <= 86_400_000;
  return isFixed ? intervalText(stepMs) : undefined;
}
