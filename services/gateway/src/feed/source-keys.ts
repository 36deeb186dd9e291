import type { Node } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { parseNodeId, sourceComputeKey } from "@qmtl/sdk/canonical";
import type { Db } from "@qmtl/service-kit/db";
import { allSourceKeys, findSourceKeys, type SourceKey } from "../store/source-key-store.ts";

/** Keys known not to be sources at most; beyond it the oldest is forgotten and looked up again. */
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
        instrument: source.instrument,
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
  readonly #db: Db;
  readonly #known = new Map<string, SourceKey>();
  readonly #plain = new Set<string>();

  constructor(db: Db) {
    this.#db = db;
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

  /** Source keys of a feed. */
  ofSource(source: string): SourceKey[] {
    return [...this.#known.values()].filter((key) => key.source === source);
  }

  /** The key if its rows pass a barrier; undefined for all others. */
  replayKey(computeKey: string): SourceKey | undefined {
    const key = this.#known.get(computeKey);
    return key?.isReplay === true ? key : undefined;
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
