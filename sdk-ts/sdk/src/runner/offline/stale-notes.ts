import { bucketsSince, laterBucketEnd } from "@qmtl/core/intervals";
import type { IdentifiedGraph } from "../../strategy/graphs.ts";
import { gapText } from "../signals/signal-gap.ts";
import {
  missingSource,
  type SignalSource,
  type SourceValues,
  signalSources,
} from "../signals/signal-source.ts";
import type { SourceRows } from "../source-files/source-rows.ts";
import type { DeclaredTarget, IdentifiedStrategy } from "../strategy-loading/identify-strategy.ts";
import { type ComputedColumn, sourcesOf } from "./compute.ts";
import type { JudgedTarget } from "./notes.ts";

/** What is known of a target's signal after a run. */
interface SignalRun {
  readonly graph: IdentifiedGraph;
  readonly target: DeclaredTarget;
  readonly signal: ComputedColumn;
  /** Sources that were read, by name. */
  readonly feeds: ReadonlyMap<string, SourceRows>;
  /** End of the first bar that was traded. */
  readonly fromMs: number;
  /** End of the last bar at which anything was decided. */
  readonly untilMs: number;
}

/** Buckets in a row without a signal: `[first, end)` of the target's buckets. */
interface Gap {
  readonly first: number;
  readonly end: number;
}

/**
 * Notes that a target had no signal for as many buckets in a row as its `stale.after` says, after it had had one; of
 * several such gaps the longest, with the number of all buckets without one. The rows before the first value are
 * warm-up, which another note tells. Notes, too, each stream whose bars end long before the run does.
 *
 * @param feeds sources that were read, by name
 * @param timesMs ends of the bars that were traded
 */
export function staleNotes(
  identified: IdentifiedStrategy,
  judged: readonly JudgedTarget[],
  feeds: ReadonlyMap<string, SourceRows>,
  timesMs: Float64Array,
): string[] {
  const { graph } = identified;
  const untilMs = timesMs.at(-1)!;
  // After the last bar of all streams nothing is decided.
  const ends = sourcesOf(identified).map((name) => feeds.get(name)!.table.bucketEndMs.at(-1));
  const lastMs = Math.max(...ends.map((end) => end ?? Number.NEGATIVE_INFINITY));
  const range = { fromMs: timesMs[0]!, untilMs: Math.min(untilMs, lastMs) };
  return [
    ...judged.flatMap(({ instrument: { target }, signal }) =>
      staleNote({ graph, target, signal, feeds, ...range }),
    ),
    ...endedNotes(identified, feeds, untilMs),
  ];
}

/**
 * What a signal waited for before its first value: a source that had none, else the node with the longest window; empty
 * when neither is the reason.
 */
export function firstValueWait(
  { graph }: IdentifiedStrategy,
  { instrument: { target }, signal }: JudgedTarget,
  feeds: ReadonlyMap<string, SourceRows>,
): string {
  const first = signal.values.findIndex((value) => !Number.isNaN(value));
  if (first < 1) return "";
  const atMs = signal.endMs[first - 1]!;
  const run = { graph, target, signal, feeds, fromMs: signal.endMs[0]!, untilMs: atMs };
  const sources = signalSources(graph, target.signalId);
  const source = missingSource(sources, atMs, new FeedValues(run));
  if (source !== undefined) return `: source ${source} has no value before that`;
  const { name, rows } = longestWindow(graph, target.signalId);
  return rows > 1 ? `: "${name}" needs ${rows} rows` : "";
}

/** Of the nodes on which a node depends, itself included, the one that needs most rows for a value. */
function longestWindow(graph: IdentifiedGraph, nodeId: string): { name: string; rows: number } {
  const byId = new Map(graph.nodes.map((node) => [node.id, node]));
  const open = new Set([nodeId]);
  let longest = { name: "", rows: 0 };
  for (const id of open) {
    const { declared, hashable } = byId.get(id)!;
    for (const { node_id } of hashable.inputs) open.add(node_id);
    const { node, period, name } = declared;
    if (hashable.inputs.length === 0) continue;
    const rows = Math.max(period, node.kernel(period)?.warmup ?? 0);
    if (rows > longest.rows) longest = { name, rows };
  }
  return longest;
}

function staleNote(run: SignalRun): string[] {
  const { target, signal, fromMs, untilMs } = run;
  const { stale } = target.node;
  const endMs = [...signal.endMs.filter((each) => each <= untilMs), ...endsAfter(run)];
  const valueAt = (at: number): number => signal.values[at] ?? Number.NaN;
  const { longest: gap, missed } = gapsOf(endMs, valueAt, fromMs);
  if (gap === undefined || gap.end - gap.first < stale.after) return [];
  const intervals = Math.max(0, gap.end - signal.endMs.length);
  const rows = gap.end - gap.first - intervals;
  const sources = signalSources(run.graph, target.signalId);
  return [
    gapText({
      target: target.name,
      missed,
      stretch: gap.end - gap.first,
      buckets: endMs.filter((each) => each >= fromMs).length,
      sinceMs: endMs[gap.first - 1]!,
      untilMs: endMs[gap.end] ?? Number.NaN,
      intervalMs: target.intervalMs,
      source: missingSource(sources, endMs[gap.first]!, new FeedValues(run)),
      isFlat: stale.then === "flat" && Math.max(rows, intervals) >= stale.after,
    }),
  ];
}

/** What reads a stream that has ended stops, or keeps its last bar. */
function endedNotes(
  identified: IdentifiedStrategy,
  feeds: ReadonlyMap<string, SourceRows>,
  untilMs: number,
): string[] {
  const rows = 5; // as many as make a signal stale unless a target says otherwise
  return sourcesOf(identified).flatMap((name) => {
    const { table, intervalMs } = feeds.get(name)!;
    const lastMs = table.bucketEndMs.at(-1);
    if (lastMs === undefined || laterBucketEnd(lastMs, rows, intervalMs) > untilMs) return [];
    const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
    const last = day(table.openTimeMs.at(-1)!);
    return [`Source ${name} ends with the bar of ${last}; the run goes on to ${day(untilMs - 1)}.`];
  });
}

/** Ends of the intervals of a signal's clock after it has ended; see `isFlatByNow`. */
function endsAfter({ signal, target: { intervalMs }, untilMs }: SignalRun): number[] {
  const lastMs = signal.endMs.at(-1);
  if (lastMs === undefined) return [];
  const length = bucketsSince(lastMs, untilMs, intervalMs);
  return Array.from({ length }, (_, k) => laterBucketEnd(lastMs, k + 1, intervalMs));
}

/** The longest gap after the first value, and the number of buckets in all of them. */
function gapsOf(
  endMs: readonly number[],
  valueAt: (at: number) => number,
  fromMs: number,
): { longest: Gap | undefined; missed: number } {
  let longest: Gap | undefined;
  let missed = 0;
  let first = -1; // of the gap under way
  let hasBegun = false;
  for (let at = 0; at <= endMs.length; at++) {
    const isSilent = at < endMs.length && Number.isNaN(valueAt(at));
    if (isSilent && hasBegun && first < 0 && endMs[at]! >= fromMs) first = at;
    if (isSilent && first >= 0) missed++;
    if (isSilent) continue;
    if (first >= 0 && at - first > (longest === undefined ? 0 : longest.end - longest.first)) {
      longest = { first, end: at };
    }
    first = -1;
    hasBegun = true;
  }
  return { longest, missed };
}

/** Reads what sources had at a bucket from their rows. */
class FeedValues implements SourceValues {
  readonly #run: SignalRun;

  constructor(run: SignalRun) {
    this.#run = run;
  }

  hasValue({ source, column, intervalMs }: SignalSource, bucketEndMs: number): boolean {
    const feed = this.#run.feeds.get(source);
    if (feed === undefined) return true;
    const ends = feed.table.bucketEndMs;
    const row = ends.findLastIndex((end) => end <= bucketEndMs);
    const isRow = intervalMs > this.#run.target.intervalMs || ends[row] === bucketEndMs;
    return row >= 0 && isRow && !Number.isNaN(feed.column(column)[row]!);
  }
}
