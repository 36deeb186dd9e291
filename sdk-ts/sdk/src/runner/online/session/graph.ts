import type { ClockSpec } from "@qmtl/core/dataflow";
import { bookedSources, type QmtlConfig } from "../../../config/index.ts";
import { parseTimeText } from "../../../sources/index.ts";
import { continuousRows, ReplayFeed, type ReplayRows } from "../../../sources/replay-feed.ts";
import {
  type IdentifiedGraph,
  type IdentifiedNode,
  streamClock,
} from "../../../strategy/graphs.ts";
import {
  type StaleSignal,
  Strategy,
  StreamInput,
  TagQueryNode,
  type WeightBounds,
} from "../../../strategy/index.ts";
import { type SignalSource, signalSources } from "../../signals/signal-source.ts";
import { fundingColumn } from "../../source-files/funding-column.ts";
import { checkInterval, loadSourceRows, rowsUntil } from "../../source-files/source-rows.ts";
import {
  type IdentifiedStrategy,
  identifyStrategy,
} from "../../strategy-loading/identify-strategy.ts";
import { StrategyRunError } from "../../strategy-loading/strategy-run-error.ts";

/** A stream of the graph with the file behind it. */
export interface OnlineSource {
  readonly nodeId: string;
  readonly node: StreamInput;
  readonly clock: ClockSpec;
  readonly feed: ReplayFeed;
}

/** A target node of the graph. */
export interface OnlineTarget {
  readonly nodeId: string;
  readonly name: string;
  readonly instrument: string;
  /** Largest weight that it may state. */
  readonly max: number;
  /** It is sized again when its held weight strays by more than this; 0: never. */
  readonly drift: number;
  /** Index of its output with the row at which it was last to be sized; −1: it has none. */
  readonly sizedRowOutput: number;
  /** Entry of `sources:` whose close is the instrument's mark; undefined: not configured. */
  readonly markSource: string | undefined;
  /** Id of the node from which the target is made. */
  readonly signalId: string;
  /** Columns of sources on which that depends, the nearest first. */
  readonly signalSources: readonly SignalSource[];
  /** Bounds at which its signal is held; undefined for a target of other values than its signal's. */
  readonly bounds: WeightBounds | undefined;
  /** When it counts as without a signal, and what is done then. */
  readonly stale: StaleSignal;
  /** Length of its buckets, milliseconds. */
  readonly intervalMs: number;
}

/** A tag query of the graph. */
export interface OnlineQuery {
  readonly nodeId: string;
  readonly name: string;
  readonly node: TagQueryNode;
  readonly intervalSeconds: number;
}

/** A strategy ready to run online. */
export interface OnlineGraph {
  readonly identified: IdentifiedStrategy;
  readonly sources: readonly OnlineSource[];
  /** Computed nodes, each after its inputs. */
  readonly computed: readonly IdentifiedNode[];
  readonly queries: readonly OnlineQuery[];
  /** Rows of each `sources:` entry to which a stream is bound. */
  readonly feeds: ReadonlyMap<string, ReplayRows>;
  readonly targets: readonly OnlineTarget[];
}

/** The graphs of strategies that are computed together: a node that several of them have is there once. */
export interface MergedGraph extends Omit<OnlineGraph, "identified" | "targets"> {
  /** The strategies, in a fixed order. Their targets are computed for each of them. */
  readonly members: readonly OnlineGraph[];
  /** The identified graph of each member. */
  readonly graphs: readonly IdentifiedGraph[];
  /** Hash of a node's code, by the node's id. */
  readonly codeHashes: ReadonlyMap<string, string>;
}

/**
 * Merges the graphs of strategies.
 *
 * @param members the strategies whose nodes are computed
 * @param readers those whose streams are read; members and maybe more. All must be bound by one {@link FeedCache}.
 * @throws {StrategyRunError} `INTERVAL_MISMATCH` if two strategies read one source with two schedules
 */
export function mergeOnlineGraphs(
  members: readonly OnlineGraph[],
  readers: readonly OnlineGraph[] = members,
): MergedGraph {
  const sources = firstById(
    readers.flatMap((each) => each.sources),
    ({ nodeId }) => nodeId,
  );
  checkSchedules(sources.map(({ node }) => node));
  const codeHashes = new Map<string, string>();
  for (const { identified } of readers) {
    for (const { id, hashable } of identified.graph.nodes) {
      if (!codeHashes.has(id)) codeHashes.set(id, identified.hashCode(hashable.code));
    }
  }
  return {
    ...{ members, sources, codeHashes },
    graphs: members.map(({ identified }) => identified.graph),
    computed: firstById(
      members.flatMap(({ computed }) => computed),
      ({ id }) => id,
    ),
    queries: firstById(
      members.flatMap(({ queries }) => queries),
      ({ nodeId }) => nodeId,
    ),
    feeds: new Map(readers.flatMap(({ feeds }) => [...feeds])),
  };
}

function firstById<T>(all: readonly T[], idOf: (one: T) => string): T[] {
  const found = new Map<string, T>();
  for (const one of all) if (!found.has(idOf(one))) found.set(idOf(one), one);
  return [...found.values()];
}

/** Loads the rows of sources, each once for all strategies of a process. */
export class FeedCache {
  readonly #load: (source: string) => Promise<ReplayRows>;
  readonly #loaded = new Map<string, Promise<ReplayRows>>();

  constructor(load: (source: string) => Promise<ReplayRows>) {
    this.#load = load;
  }

  /** Rows as a stream of this interval and schedule numbers them. */
  rows({ source, schedule }: StreamInput, intervalMs: number): Promise<ReplayRows> {
    const name = `${schedule} ${source}`;
    const loaded = this.#loaded.get(name) ?? this.#rows(source, schedule, intervalMs);
    this.#loaded.set(name, loaded);
    return loaded;
  }

  async #rows(source: string, schedule: string, intervalMs: number): Promise<ReplayRows> {
    const rows = await this.#load(source);
    if (schedule !== "continuous") return rows;
    try {
      return continuousRows(rows, intervalMs);
    } catch (failure) {
      const message = `source "${source}" does not fit the schedule "continuous": ${String(failure)}`;
      throw new StrategyRunError("INTERVAL_MISMATCH", message, { cause: failure });
    }
  }
}

/**
 * Binds the streams of a strategy to the files of the configuration. Where no stream of its own has the bars that mark
 * an instrument it trades, or the rates of its funding, it reads a further one: a feed is published by those that read
 * it, and without its bars nothing has a mark, and nothing fills.
 *
 * @throws {StrategyRunError} for a strategy with neither streams nor tag queries, for a stream of another interval than
 * its source, for streams of one source with two schedules, for rows that do not match their schedule, for a source of
 * funding without the column of the rates, or for two targets of one instrument.
 */
export async function onlineGraph(
  declared: IdentifiedStrategy,
  config: Pick<QmtlConfig, "instruments" | "sources">,
  cache: FeedCache,
): Promise<OnlineGraph> {
  const identified = withBookedStreams(declared, config);
  const { graph, strategy } = identified;
  const streams = graph.nodes.flatMap(({ id, declared }) => {
    const { node, name, intervalSeconds } = declared;
    return node instanceof StreamInput ? [{ nodeId: id, node, name, intervalSeconds }] : [];
  });
  const queries = graph.nodes.flatMap(({ id, declared }) => {
    const { node, name, intervalSeconds } = declared;
    return node instanceof TagQueryNode ? [{ nodeId: id, node, name, intervalSeconds }] : [];
  });
  if (streams.length === 0 && queries.length === 0) {
    const message = `strategy "${strategy.name}" reads no source entry and asks for no tags`;
    throw new StrategyRunError("SOURCE_UNKNOWN", message);
  }
  const feeds = new Map<string, ReplayRows>();
  for (const { node, name, intervalSeconds } of streams) {
    checkInterval(name, node.source, intervalSeconds, config);
    if (feeds.has(node.source)) continue;
    feeds.set(node.source, await cache.rows(node, intervalSeconds * 1_000));
  }
  checkSchedules(streams.map(({ node }) => node));
  const booked = bookedSources(config);
  for (const source of bookedBy(identified, config)) {
    const rows = feeds.get(source);
    for (const { instrument, column } of booked.get(source)?.funded ?? [])
      if (rows !== undefined) fundingColumn(instrument, { source, column }, rows);
  }
  return {
    identified,
    feeds,
    queries,
    sources: streams.map(({ nodeId, node, intervalSeconds }) => ({
      nodeId,
      node,
      clock: streamClock(node, intervalSeconds),
      feed: new ReplayFeed(feeds.get(node.source)!, node.outputs),
    })),
    computed: graph.nodes.filter(({ declared }) => !(declared.node instanceof StreamInput)),
    targets: targetsOf(identified, config),
  };
}

/** Streams that a strategy reads for the books of its account alone. */
class BookedStreams extends Strategy {
  readonly #streams: readonly StreamInput[];

  constructor(streams: readonly StreamInput[]) {
    super();
    this.#streams = streams;
  }

  override setup(): void {
    this.addNodes(this.#streams);
  }
}

/**
 * The strategy with a stream for each source that marks or funds its targets, where it declares none with all columns
 * that are booked of that source.
 */
function withBookedStreams(
  identified: IdentifiedStrategy,
  { instruments, sources }: Pick<QmtlConfig, "instruments" | "sources">,
): IdentifiedStrategy {
  const { graph } = identified;
  const own = graph.nodes.flatMap(({ declared: { node } }) =>
    node instanceof StreamInput ? [node] : [],
  );
  const booked = bookedSources({ instruments });
  const streams = [...bookedBy(identified, { instruments })].flatMap((source) => {
    const entry = sources[source];
    const { columns = [], marked = [] } = booked.get(source) ?? {};
    const hasAll = (node: StreamInput) => columns.every((name) => node.outputs.includes(name));
    const isRead = own.some((node) => node.source === source && hasAll(node));
    if (entry === undefined || isRead) return [];
    const { schedule } = own.find((node) => node.source === source) ?? {};
    const { interval } = entry;
    const name = `${source} (${marked.length > 0 ? "marks" : "funding"})`;
    return [new StreamInput({ name, source, columns, interval, schedule })];
  });
  if (streams.length === 0) return identified;
  const added = identifyStrategy(new BookedStreams(streams), { worldId: "" }).graph.nodes;
  const isFirst = ({ hashable }: IdentifiedNode) => hashable.inputs.length === 0;
  const firsts = [...graph.nodes.filter(isFirst), ...added].sort((a, b) => (a.id < b.id ? -1 : 1));
  const leaves = [...graph.leaves, ...added.map(({ id }) => id)].sort();
  const nodes = [...firsts, ...graph.nodes.filter((node) => !isFirst(node))];
  return { ...identified, graph: { ...graph, nodes, leaves } };
}

/** Sources that mark or fund what a strategy trades. */
function bookedBy(
  { targets }: IdentifiedStrategy,
  { instruments }: Pick<QmtlConfig, "instruments">,
): ReadonlySet<string> {
  const named = targets.flatMap(({ node }) => {
    const { mark_source, funding } = instruments[node.instrument] ?? {};
    return [mark_source, funding?.source];
  });
  return new Set(named.filter((source) => source !== undefined));
}

function checkSchedules(streams: readonly StreamInput[]): void {
  const schedules = new Map<string, string>();
  for (const { source, schedule } of streams) {
    if ((schedules.get(source) ?? schedule) !== schedule) {
      const message = `source "${source}" is read as observed and as continuous; its rows have one numbering`;
      throw new StrategyRunError("INTERVAL_MISMATCH", message);
    }
    schedules.set(source, schedule);
  }
}

function targetsOf(
  { targets, strategy, graph }: IdentifiedStrategy,
  config: Pick<QmtlConfig, "instruments">,
): OnlineTarget[] {
  const found = targets.map(({ nodeId, name, node, signalId, intervalMs }) => ({
    nodeId,
    name,
    instrument: node.instrument,
    max: node.largestWeight,
    drift: node.drift,
    sizedRowOutput: node.sizedRowOutput,
    markSource: config.instruments[node.instrument]?.mark_source,
    signalId,
    signalSources: signalSources(graph, signalId),
    bounds: node.bounds,
    stale: node.stale,
    intervalMs,
  }));
  const instruments = found.map(({ instrument }) => instrument);
  const twice = instruments.find((one, at) => instruments.indexOf(one) !== at);
  if (twice === undefined) return found;
  const message = `strategy "${strategy.name}" has two targets for ${twice}; one position has one target`;
  throw new StrategyRunError("TARGET_AMBIGUOUS", message);
}

/** Rows of a `sources:` entry: its history, which has ended by `start`, and its feed from there on. */
export async function loadReplayRows(config: QmtlConfig, source: string): Promise<ReplayRows> {
  const feed = await loadSourceRows(config, source, "all");
  const start = config.sources[source]?.start ?? null;
  const before = start === null ? 0 : rowsUntil(feed.table.bucketEndMs, parseTimeText(start));
  return {
    firstRow: feed.firstRow,
    startRow: feed.firstRow + before,
    endRow: feed.firstRow + feed.table.rows,
    bucketEndMs: feed.table.bucketEndMs,
    fingerprint: feed.datasetFingerprint,
    column: (name) => feed.column(name),
  };
}

/** Says which feeds have no bar for a world, because their `start` is later than their last one. */
export function emptyFeeds(
  { feeds }: OnlineGraph,
  { sources }: Pick<QmtlConfig, "sources">,
): string[] {
  return [...feeds].flatMap(([source, { startRow, endRow }]) => {
    const start = sources[source]?.start ?? null;
    if (start === null || startRow < endRow) return [];
    return [
      `source ${source} has no bar for a world: its "start" (${start}) is later than its last one`,
    ];
  });
}
