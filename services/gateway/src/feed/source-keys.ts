import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { parseNodeId, sourceComputeKey } from "@qmtl/core/canonical";
import type { BookedSource } from "@qmtl/sdk/config";
import type { Queryable } from "@qmtl/service-kit/db";
import type { SourceValue } from "../ports.ts";
import { allSourceKeys, findSourceKeys, type SourceKey } from "../store/source-key-store.ts";
import { hasColumns, valuesOf } from "./source-values.ts";

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
  readonly #booked: ReadonlyMap<string, BookedSource>;
  readonly #known = new Map<string, SourceKey>();
  readonly #plain = new Set<string>();

  /** @param booked sources that mark or fund instruments, by name */
  constructor(db: Queryable, booked: ReadonlyMap<string, BookedSource>) {
    this.#db = db;
    this.#booked = booked;
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
   * What the rows of a record bring: each marks every instrument whose `mark_source` is the feed, and states the
   * funding of every one whose `funding` names it, whatever instrument the node that reads it is about.
   */
  valuesOf(key: SourceKey, record: QueueRecord): SourceValue[] {
    const booked = this.#booked.get(key.source);
    return booked === undefined ? [] : valuesOf(key, record, booked);
  }

  /** Keys of a feed whose rows can be booked. */
  booked(source: string): SourceKey[] {
    const booked = this.#booked.get(source);
    if (booked === undefined) return [];
    return this.ofSource(source).filter((key) => hasColumns(key, booked));
  }

  /**
   * What to set so that rows of a feed can be booked; undefined when they can be, or when no graph that reads it is
   * known here.
   */
  whyUnbooked(source: string): string | undefined {
    if (this.ofSource(source).length === 0 || this.booked(source).length > 0) return undefined;
    const booked = this.#booked.get(source);
    return booked === undefined
      ? `set mark_source: ${source} on an instrument`
      : `the StreamInput of ${source} needs the columns ${booked.columns.join(", ")}`;
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
