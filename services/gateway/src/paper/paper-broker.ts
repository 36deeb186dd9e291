import {
  compileInstrument,
  type InstrumentSpec,
  SimulatedBroker,
  type SimulatedFill,
  type TradingCosts,
} from "@qmtl/sdk/execution";
import { type Clock, failpoints } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";
import {
  type AcceptReply,
  type Broker,
  type BrokerBar,
  type BrokerFill,
  type BrokerOrder,
  type BrokerReport,
  ReplyLost,
  type Transfer,
} from "./broker-port.ts";
import { bookName, simulatedTerms } from "./order-record.ts";
import { noFault, type PaperFault } from "./paper-fault.ts";
import {
  forgetBars,
  insertAccepted,
  insertBars,
  insertFills,
  loadPaper,
  moveHoldings,
  movesOf,
  paperBarsMax,
  readExecutions,
  setOutcomes,
} from "./paper-store.ts";

export interface PaperBrokerOptions {
  readonly account: string;
  readonly instruments: readonly InstrumentSpec[];
  readonly initialCash: number;
  readonly costs: TradingCosts;
  readonly clock: Clock;
  /** @default no fault */
  readonly fault?: PaperFault;
}

/** Bars stored between two deletions of those that are not kept any more. */
const forgetBarsEvery = 64;

/**
 * A broker that fills on the bars of a feed: the pure simulated broker over tables of its own.
 *
 * It compares the fence of an order with the one registered for its world in the transaction that accepts it, so
 * no clock decides (tier T3), and keeps (order, fence, decision, time) of everything it took, for ever. Calls are
 * made one at a time. After a failed transaction memory is read from the tables again.
 */
export class PaperBroker implements Broker {
  readonly #db: Db;
  readonly #options: PaperBrokerOptions;
  readonly #lotUnits: ReadonlyMap<string, number>;
  readonly #fault: PaperFault;
  #core: SimulatedBroker;
  #cash = 0;
  #sequence = 0;
  #lost = new Set<string>();
  #isLoaded = false;
  /** Bars stored since older ones were deleted last. */
  #barsToForget = forgetBarsEvery;

  constructor(db: Db, options: PaperBrokerOptions) {
    this.#db = db;
    this.#options = options;
    this.#fault = options.fault ?? noFault;
    const compiled = options.instruments.map((spec) => compileInstrument(spec));
    this.#lotUnits = new Map(compiled.map(({ symbol, lotUnit }) => [symbol, lotUnit]));
    this.#core = this.#newCore();
  }

  async registerFence(worldId: string, fence: number): Promise<void> {
    await this.#db.query(
      `INSERT INTO paper.world_fence AS f (world_id, fence) VALUES ($1, $2)
       ON CONFLICT (world_id) DO UPDATE SET fence = greatest(f.fence, excluded.fence)`,
      [worldId, fence],
    );
  }

  async accept(order: BrokerOrder): Promise<AcceptReply> {
    let isLost = false;
    const reply = await this.#write(async (tx): Promise<AcceptReply> => {
      const known = this.#core.lookup(order.id);
      if (known !== undefined) return { accepted: true, report: NOTHING };
      isLost = this.#fault(order);
      const { account, clock } = this.#options;
      if (!(await insertAccepted(tx, account, order, clock.nowMs(), isLost))) {
        return { accepted: false, reason: "FENCE_STALE" };
      }
      const { id, instrument, lots, bucket, reduceOnly } = order;
      const outcome = this.#core.accept({
        id,
        instrument,
        lots,
        bucket,
        reduceOnly,
        ...simulatedTerms(order.terms),
        book: bookName(order),
      });
      if (!outcome.accepted) {
        await tx.query("DELETE FROM paper.accepted_order WHERE account_id = $1 AND order_id = $2", [
          account,
          id,
        ]);
        return { accepted: false, reason: outcome.reason };
      }
      if (isLost) this.#lost.add(id);
      const report = await this.#book(tx, outcome.fills);
      await failpoints.hit("paper.accept.before_commit");
      return { accepted: true, report };
    });
    await failpoints.hit("paper.accept.after_commit");
    if (isLost) throw new ReplyLost(`no reply for order ${order.id}`);
    return reply;
  }

  async cancel(orderId: string): Promise<"cancelled" | "finished" | "unknown"> {
    return this.#write(async (tx) => {
      const outcome = this.#core.cancel(orderId);
      if (outcome === "cancelled")
        await setOutcomes(tx, this.#options.account, [orderId], "cancelled");
      return outcome;
    });
  }

  async lookup(orderIds: readonly string[]) {
    await this.#load();
    const found = new Map<string, "working" | "filled" | "cancelled">();
    for (const id of orderIds) {
      const outcome = this.#core.lookup(id);
      if (outcome !== undefined) found.set(id, outcome);
    }
    return found;
  }

  executions(afterSequence: number): Promise<BrokerFill[]> {
    return readExecutions(this.#db, this.#options.account, afterSequence);
  }

  async positions(): Promise<ReadonlyMap<string, number>> {
    await this.#load();
    return new Map(
      [...this.#lotUnits.keys()].map((symbol) => [symbol, this.#core.netLots(symbol)]),
    );
  }

  async cash(): Promise<number> {
    await this.#load();
    return this.#cash;
  }

  async transfer(batchId: string, sides: readonly Transfer[]): Promise<void> {
    await this.#write(async (tx) => {
      const { account } = this.#options;
      const taken = await tx.query(
        `INSERT INTO paper.transfer (account_id, batch_id) VALUES ($1, $2)
         ON CONFLICT DO NOTHING RETURNING batch_id`,
        [account, batchId],
      );
      if (taken.length === 0) return;
      const moves = sides.map((side) => ({ ...side, book: bookName(side) }));
      for (const { instrument, book, lots } of moves) this.#core.transfer(instrument, book, lots);
      await moveHoldings(tx, account, movesOf(moves));
    });
  }

  async onBars(bars: readonly BrokerBar[]): Promise<BrokerReport> {
    return this.#write(async (tx) => {
      const { account } = this.#options;
      const fills = bars.flatMap((bar) => this.#core.onBar(bar));
      this.#barsToForget += bars.length;
      const isFull = this.#barsToForget >= forgetBarsEvery;
      if (isFull) this.#barsToForget = 0;
      const [report] = await Promise.all([
        this.#book(tx, fills),
        insertBars(tx, account, bars),
        isFull ? forgetBars(tx, account, [...this.#lotUnits.keys()]) : undefined,
      ]);
      return report;
    });
  }

  async #book(tx: Tx, fills: readonly SimulatedFill[]): Promise<BrokerReport> {
    const { account } = this.#options;
    const told: BrokerFill[] = [];
    const stored = fills.map((fill) => {
      this.#sequence += 1;
      const cost = fill.lots * this.#lotUnits.get(fill.instrument)! * fill.price + fill.fee;
      this.#cash -= cost;
      const { executionId, orderId, instrument, lots, price, fee } = fill;
      const sequence = this.#sequence;
      if (!this.#lost.has(orderId)) {
        told.push({ sequence, executionId, orderId, instrument, lots, price, fee });
      }
      return { sequence, fill, cost };
    });
    const cancelled = this.#core.drainCancelled();
    const filled = new Set(fills.map((fill) => fill.orderId));
    const unfilled = cancelled.filter((id) => !filled.has(id));
    await Promise.all([
      insertFills(tx, account, stored),
      setOutcomes(tx, account, unfilled, "cancelled"),
    ]);
    return { fills: told, cancelled: cancelled.filter((id) => !this.#lost.has(id)) };
  }

  async #write<T>(operation: (tx: Tx) => Promise<T>): Promise<T> {
    await this.#load();
    try {
      return await this.#db.transaction(operation);
    } catch (failure) {
      this.#isLoaded = false;
      throw failure;
    }
  }

  async #load(): Promise<void> {
    if (this.#isLoaded) return;
    const { account, initialCash } = this.#options;
    const state = await loadPaper(this.#db, account, initialCash);
    this.#core = this.#newCore(state.snapshot);
    this.#cash = state.cash;
    this.#sequence = state.sequence;
    this.#lost = new Set(state.lost);
    this.#isLoaded = true;
  }

  #newCore(snapshot?: ConstructorParameters<typeof SimulatedBroker>[1]): SimulatedBroker {
    const { instruments, costs } = this.#options;
    return new SimulatedBroker({ instruments, costs, barsMax: paperBarsMax }, snapshot);
  }
}

const NOTHING: BrokerReport = { fills: [], cancelled: [] };
