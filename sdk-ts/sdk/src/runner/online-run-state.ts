import type { ComputedBucket } from "./computed-bucket.ts";
import { OnlineBook } from "./online-book.ts";
import { type Evaluations, noEvaluations } from "./online-evaluations.ts";
import type { OnlineGraph, OnlineTarget } from "./online-graph.ts";
import type { OnlineInput } from "./online-input.ts";
import type { OnlineOptions, RunStatus } from "./online-run.ts";
import type { TargetSender } from "./target-sender.ts";

/** The simulated book of one target, and the stream whose bars it trades. */
interface MarkedBook {
  readonly book: OnlineBook;
  readonly nodeId: string;
  /** Where open, high, low and close are among the stream's columns. */
  readonly at: readonly number[];
  /** Position of the target. */
  readonly target: number;
}

/** What a run counts, and the simulated books of its target sender. */
export class OnlineRunState {
  readonly evaluations: Evaluations = noEvaluations();
  reconnects = 0;
  readonly #books: readonly MarkedBook[];
  readonly #options: OnlineOptions;
  readonly #graph: OnlineGraph;

  constructor(graph: OnlineGraph, options: OnlineOptions) {
    this.#options = options;
    this.#graph = graph;
    this.#books = graph.targets.flatMap((target, at) => markedBook(graph, options, target, at));
  }

  get wantedOrders(): number {
    return this.#books.reduce((sum, { book }) => sum + book.wantedOrders, 0);
  }

  /** A bucket was decided: the books take it, the recorder its inputs. */
  decided(
    bucket: ComputedBucket,
    values: readonly number[],
    isGateShut: boolean,
    inputs: readonly OnlineInput[],
  ): void {
    const { bucketEndMs } = bucket;
    for (const { nodeId, key, source } of inputs) {
      const row = bucket.ends.find((end) => end.source === source)?.row;
      const bar = row === undefined ? undefined : key.row(row)?.content?.values;
      if (row === undefined || bar === undefined) continue;
      this.#options.recorder?.bucket({ nodeId, row, bucketEndMs, values: bar });
      for (const { book, at, target, nodeId: marked } of this.#books) {
        if (marked !== nodeId) continue;
        const [open, high, low, close] = at.map((column) => bar[column] ?? Number.NaN);
        const prices = { open: open!, high: high!, low: low!, close: close! };
        book.step(row, prices, values[target] ?? 0, isGateShut);
        this.evaluations.own++;
      }
    }
  }

  counts(): { readonly wantedOrders: number; readonly evaluations: Evaluations } {
    return { wantedOrders: this.wantedOrders, evaluations: this.evaluations };
  }

  /** Orders sent and the targets, zero before there is a sender. */
  senderStatus(
    sender: TargetSender | undefined,
  ): Pick<RunStatus, "row" | "bucketEnd" | "target" | "targets" | "sentOrders"> {
    const values = sender?.values ?? [];
    const targets = this.#graph.targets.map(({ instrument }, at) => [instrument, values[at] ?? 0]);
    return {
      row: sender?.decided?.row ?? -1,
      bucketEnd: sender?.decided?.bucketEndMs ?? Number.NaN,
      target: values[0] ?? 0,
      targets: Object.fromEntries(targets) as Record<string, number>,
      sentOrders: sender?.sentOrders ?? 0,
    };
  }
}

function markedBook(
  graph: OnlineGraph,
  { config }: OnlineOptions,
  { instrument, markSource }: OnlineTarget,
  target: number,
): MarkedBook[] {
  const stream = graph.sources.find(
    ({ node }) =>
      node.outputs.includes("close") && (markSource === undefined || node.source === markSource),
  );
  if (stream === undefined) return [];
  const { outputs } = stream.node;
  const at = ["open", "high", "low", "close"].map((name) => {
    const found = outputs.indexOf(name);
    return found < 0 ? outputs.indexOf("close") : found;
  });
  return [{ book: new OnlineBook(config, instrument), nodeId: stream.nodeId, at, target }];
}
