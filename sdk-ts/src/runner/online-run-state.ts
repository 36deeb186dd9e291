import { OnlineBook } from "./online-book.ts";
import type { ComputedRow } from "./online-compute.ts";
import type { OnlineEdge } from "./online-edge.ts";
import { type Evaluations, noEvaluations } from "./online-evaluations.ts";
import type { OnlineGraph } from "./online-graph.ts";
import type { OnlineKey } from "./online-key.ts";
import type { OnlineOptions } from "./online-run.ts";

/** What a run counts, and the simulated book of its bucket edge. */
export class OnlineRunState {
  readonly evaluations: Evaluations = noEvaluations();
  reconnects = 0;
  readonly #book: OnlineBook | undefined;
  readonly #options: OnlineOptions;
  readonly #marks: { readonly nodeId: string; readonly at: readonly number[] } | undefined;

  constructor(graph: OnlineGraph, options: OnlineOptions) {
    this.#options = options;
    const instrument = graph.target?.instrument;
    const source = instrument && options.config.instruments[instrument]?.mark_source;
    const stream = graph.sources.find(
      ({ node }) =>
        node.outputs.includes("close") && (source === undefined || node.source === source),
    );
    if (instrument === undefined || stream === undefined) return;
    const column = (name: string): number => {
      const found = stream.node.outputs.indexOf(name);
      return found < 0 ? stream.node.outputs.indexOf("close") : found;
    };
    const at = ["open", "high", "low", "close"].map(column);
    this.#marks = { nodeId: stream.nodeId, at };
    this.#book = new OnlineBook(options.config, instrument);
  }

  get wantedOrders(): number {
    return this.#book?.wantedOrders ?? 0;
  }

  /** A row was decided: the book takes it, the recorder its inputs. */
  decided(
    row: ComputedRow,
    target: number,
    isGateShut: boolean,
    sourceKeys: ReadonlyMap<string, OnlineKey>,
  ): void {
    for (const [nodeId, key] of sourceKeys) {
      const values = key.row(row.row)?.content?.values;
      if (values === undefined) continue;
      const { bucketEndMs } = row;
      this.#options.recorder?.bucket({ nodeId, row: row.row, bucketEndMs, values });
      if (this.#marks?.nodeId !== nodeId) continue;
      const [open, high, low, close] = this.#marks.at.map((at) => values[at] ?? Number.NaN);
      const bar = { open: open!, high: high!, low: low!, close: close! };
      this.#book?.step(row.row, bar, target, isGateShut);
      this.evaluations.own++;
    }
  }

  counts(): { readonly wantedOrders: number; readonly evaluations: Evaluations } {
    return { wantedOrders: this.wantedOrders, evaluations: this.evaluations };
  }

  /** Orders sent and the target, zero before there is an edge. */
  edgeStatus(edge: OnlineEdge | undefined): {
    readonly row: number;
    readonly target: number;
    readonly sentOrders: number;
  } {
    const row = edge?.decidedRow ?? Number.NEGATIVE_INFINITY;
    return {
      row: Number.isFinite(row) ? row : -1,
      target: edge?.target ?? 0,
      sentOrders: edge?.sentOrders ?? 0,
    };
  }
}
