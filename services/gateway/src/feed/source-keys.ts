import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { parseNodeId, sourceComputeKey } from "@qmtl/core/canonical";
import type { Queryable } from "@qmtl/service-kit/db";
import type { SourceBar } from "../ports.ts";
import { allSourceKeys, findSourceKeys, type SourceKey } from "../store/source-key-store.ts";
import { BAR_COLUMNS, barsOf, hasBarColumns } from "./source-bars.ts";

/** Largest number of keys known not to be sources; beyond it the oldest is forgotten and looked up again. */
const plainKeysMax = 100_000;

/** The source nodes of a graph, as the gateway remembers them. */
export function sourceKeysOf(nodes: readonly Node[]): SourceKey[] {
  return nodes.flatMap((node) => {
    const { source } = node;
    if (source === undefined || node.inputs.length > 0) return [];
    const params: unknown = JSON.parse(node.paramsJson);
    return [
      {
        computeKey: sourceComputeKey(parseNodeId(node.nodeId)),
        nodeId: node.nodeId,
        source: source.source,
        columns: columnsOf(params),
        isReplay: source.adapter.endsWith("-replay"),
      },
    ];
  });
}

function columnsOf(params: unknown): string[] {
  if (typeof params !== "object" || params === null || !("columns" in params)) return [];
  const { columns } = params;
  return Array.isArray(columns) ? columns.filter((name) => typeof name === "string") : [];
}

/** Which compute keys are source queues: from memory, else from the store, which submissions fill. */
export class SourceKeys {
  readonly #db: Queryable;
  readonly #marked: MarkedInstruments;
  readonly #known = new Map<string, SourceKey>();
  readonly #plain = new Set<string>();

  constructor(db: Queryable, marked: MarkedInstruments) {
    this.#db = db;
    this.#marked = marked;
  }

  async load(): Promise<void> {
    this.add(await allSourceKeys(this.#db));
  }

  add(keys: readonly SourceKey[]): void {
    for (const key of keys) {
      this.#known.set(key.computeKey, key);
      this.#plain.delete(key.computeKey);
    }
  }

  /** Whether a source that a graph reads is replayed; undefined while none that reads it is known here. */
  isReplay(source: string): boolean | undefined {
    return this.ofSource(source)[0]?.isReplay;
  }

  /** Whether a source of a kind is known, replayed or live. */
  hasKind(isReplay: boolean): boolean {
    for (const key of this.#known.values()) if (key.isReplay === isReplay) return true;
    return false;
  }

  /** Source keys of a feed. */
  ofSource(source: string): SourceKey[] {
    return [...this.#known.values()].filter((key) => key.source === source);
  }

  /** The key if its rows pass a barrier; undefined for all others. */
  replayKey(computeKey: string): SourceKey | undefined {
    const key = this.#known.get(computeKey);
    return key?.isReplay === true ? key : undefined;
  }

  /**
   * The bars of a record: each row marks every instrument whose `mark_source` is the feed, whatever instrument the node
   * that reads it is about.
   */
  barsOf(key: SourceKey, record: QueueRecord): SourceBar[] {
    return barsOf(key, record, this.#marked.get(key.source) ?? []);
  }

  /** Keys of a feed whose rows can be booked. */
  booked(source: string): SourceKey[] {
    return this.#marked.has(source) ? this.ofSource(source).filter(hasBarColumns) : [];
  }

  /**
   * What to set so that rows of a feed can be booked; undefined when they can be, or when no graph that reads it is
   * known here.
   */
  whyUnbooked(source: string): string | undefined {
    if (this.ofSource(source).length === 0 || this.booked(source).length > 0) return undefined;
    return this.#marked.has(source)
      ? `the StreamInput of ${source} needs the columns ${BAR_COLUMNS.join(", ")}`
      : `set mark_source: ${source} on an instrument`;
  }

  /** Looks up keys that were never seen. Costs nothing for known ones. */
  async learn(computeKeys: Iterable<string>): Promise<void> {
    const isNew = (key: string) => !this.#known.has(key) && !this.#plain.has(key);
    const unseen = [...new Set(computeKeys)].filter(isNew);
    if (unseen.length === 0) return;
    this.add(await findSourceKeys(this.#db, unseen));
    for (const key of unseen) if (!this.#known.has(key)) this.#plain.add(key);
    for (const key of this.#plain) {
      if (this.#plain.size <= plainKeysMax) break;
      this.#plain.delete(key);
    }
  }
}

/** Instruments that take their mark from a feed, by the feed's name in `sources:`. */
type MarkedInstruments = ReadonlyMap<string, readonly string[]>;

/** Instruments by the feed that their `mark_source` names. */
export function markedInstrumentsOf(config: {
  readonly instruments: Readonly<Record<string, { readonly mark_source: string }>>;
}): MarkedInstruments {
  const marked = new Map<string, string[]>();
  for (const [symbol, { mark_source: source }] of Object.entries(config.instruments)) {
    marked.set(source, [...(marked.get(source) ?? []), symbol]);
  }
  return marked;
}
