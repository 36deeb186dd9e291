import { OfflineAccount } from "@qmtl/core/execution";
import type { QmtlConfig } from "../../../config/index.ts";
import type { ComputedBucket } from "../compute/clocks.ts";
import type { OnlineInput } from "../log/input.ts";
import type { OnlineGraph, OnlineTarget } from "../session/graph.ts";
import type { Evaluations, OnlineOptions } from "../session/online-run.ts";

/** The simulated book of one target, and the stream whose bars it trades. */
interface MarkedBook {
  readonly book: SimulatedBook;
  readonly nodeId: string;
  /** Indexes of open, high, low and close among the stream's columns. */
  readonly at: readonly number[];
  /** Index of the target among those of the graph. */
  readonly target: number;
}

/** The simulated book of each target of a strategy, and who takes the rows that it consumed. */
export class RunState {
  readonly #evaluations: Evaluations;
  readonly #books: readonly MarkedBook[];
  readonly #options: OnlineOptions;
  readonly #streams: ReadonlySet<string>;

  /** @param evaluations counters of the process; updated here */
  constructor(graph: OnlineGraph, options: OnlineOptions, evaluations: Evaluations) {
    this.#options = options;
    this.#evaluations = evaluations;
    this.#streams = new Set(graph.sources.map(({ nodeId }) => nodeId));
    this.#books = graph.targets.flatMap((target, at) => markedBook(graph, options, target, at));
  }

  get wantedOrders(): number {
    return this.#books.reduce((sum, { book }) => sum + book.wantedOrders, 0);
  }

  /** A bucket was decided: the simulated books take its bars and targets, the recorder its inputs. */
  targetsFixed(
    bucket: ComputedBucket,
    values: readonly number[],
    isGateShut: boolean,
    inputs: readonly OnlineInput[],
  ): void {
    const { bucketEndMs } = bucket;
    for (const { nodeId, replica, source } of inputs) {
      if (!this.#streams.has(nodeId)) continue;
      const row = bucket.ends.find((end) => end.source === source)?.row;
      const bar = row === undefined ? undefined : replica.row(row)?.content?.values;
      if (row === undefined || bar === undefined) continue;
      this.#options.recorder?.bucket({ nodeId, row, bucketEndMs, values: bar });
      for (const { book, at, target, nodeId: marked } of this.#books) {
        if (marked !== nodeId) continue;
        const [open, high, low, close] = at.map((column) => bar[column] ?? Number.NaN);
        const prices = { open: open!, high: high!, low: low!, close: close! };
        book.step(row, prices, values[target] ?? 0, bucket.sizedRows[target], isGateShut);
        this.#evaluations.own++;
      }
    }
  }
}

function markedBook(
  graph: OnlineGraph,
  { config }: OnlineOptions,
  { instrument, markSource, drift }: OnlineTarget,
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
  return [
    { book: new SimulatedBook(config, instrument, drift), nodeId: stream.nodeId, at, target },
  ];
}

/** One bar of the instrument that is traded. */
interface BookBar {
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

/**
 * The runner's own simulated book: what the strategy would have traded, by the same router and broker as on paper.
 * It counts the orders that were wanted while the gate was shut.
 */
class SimulatedBook {
  readonly #account: OfflineAccount;
  #wanted = 0;
  #rows = 0;

  /** Cash, costs and lot are those of the configuration, for the account that trades the instrument. */
  constructor(config: QmtlConfig, instrument: string, drift: number) {
    const spec = config.instruments[instrument];
    const accounts = Object.values(config.accounts);
    const account = accounts.find((one) => one.instruments.includes(instrument)) ?? accounts[0];
    this.#account = new OfflineAccount({
      instruments: [
        {
          symbol: instrument,
          lotSize: spec?.lot ?? "1",
          multiplier: Number(spec?.multiplier ?? "1"),
          drift,
          costs: { feeBps: account?.fee_bps ?? 1, halfSpreadBps: account?.half_spread_bps ?? 1 },
        },
      ],
      capital: Number(account?.initial_cash ?? "1000000"),
      rowsExpected: 1,
    });
  }

  /** Orders decided while the gate was shut. */
  get wantedOrders(): number {
    return this.#wanted;
  }

  /** Rows stepped. */
  get rows(): number {
    return this.#rows;
  }

  /** Takes a bar and the target decided on it. Nothing of them is kept but the position and the counts. */
  step(
    row: number,
    bar: BookBar,
    target: number,
    sizedRow: number | undefined,
    isGateShut: boolean,
  ): void {
    this.#account.step(row, bar.open, bar.high, bar.low, bar.close, target, sizedRow);
    this.#rows++;
    if (isGateShut) this.#wanted += this.#account.orders.length;
    this.#account.forget();
  }
}
