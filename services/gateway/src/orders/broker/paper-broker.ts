import {
  type AccountMoney,
  compileInstrument,
  type InstrumentSpec,
  SimulatedBroker,
  type SimulatedFill,
  type TradingCosts,
} from "@qmtl/core/execution";
import { type Clock, failpoints } from "@qmtl/service-kit";
import type { Db, Queryable } from "@qmtl/service-kit/db";
import { Writes } from "../../store/writes.ts";
import { ArrivingOrders } from "./arriving-orders.ts";
import type {
  AcceptReply,
  Broker,
  BrokerBar,
  BrokerFill,
  BrokerOrder,
  BrokerReport,
  Transfer,
} from "./broker-port.ts";
import { bookName, simulatedTerms } from "./order-record.ts";
import { noFault, type PaperFault } from "./paper-fault.ts";
import {
  type ArrivedOrder,
  addBars,
  addFills,
  addForgetting,
  addMoves,
  addOutcomes,
  hasFence,
  insertAccepted,
  loadPaper,
  movesOf,
  paperBarsMax,
  readExecutions,
} from "./paper-store.ts";

interface PaperBrokerOptions {
  readonly account: string;
  readonly instruments: readonly InstrumentSpec[];
  readonly initialCash: number;
  readonly costs: TradingCosts;
  readonly money: AccountMoney;
  readonly clock: Clock;
  /** @default no fault */
  readonly fault?: PaperFault;
}

/** An order that memory has taken in, or refused. */
interface TakenOrder extends ArrivedOrder {
  readonly reply: AcceptReply;
  /** The fills it had at once; undefined when there is nothing to store. */
  readonly writes?: Writes;
}

/** Bars stored between two deletions of those that are no longer kept. */
const forgetBarsEvery = 64;

/**
 * A broker that fills on the bars of a feed: the pure simulated broker over tables of its own.
 *
 * It compares the fence of an order with the one registered for its world in the statement that accepts it, so no clock
 * decides (tier T3), and keeps (order, fence, decision, time) of every order it took, for ever. Calls are made one at a
 * time, except for orders that are handed over together. After a failed transaction memory is read from the tables
 * again.
 */
export class PaperBroker implements Broker {
  readonly #db: Db;
  readonly #options: PaperBrokerOptions;
  readonly #lotUnits: ReadonlyMap<string, number>;
  readonly #fault: PaperFault;
  #core: SimulatedBroker;
  #sequence = 0;
  /** What the books have charged for holding positions; in no table, since the journal has it. */
  #financed = 0;
  #lost = new Set<string>();
  #isLoaded = false;
  readonly #arriving = new ArrivingOrders((orders) => this.#acceptSome(orders));
  /** Bars stored since older ones were last deleted. */
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

  /** Orders handed over before the first of them is taken in are taken in together. */
  accept(order: BrokerOrder): Promise<AcceptReply> {
    return this.#arriving.accept(order);
  }

  async cancel(orderId: string): Promise<"cancelled" | "finished" | "unknown"> {
    await this.#load();
    const outcome = this.#core.cancel(orderId);
    if (outcome !== "cancelled") return outcome;
    const writes = new Writes();
    addOutcomes(writes, this.#options.account, [orderId], "cancelled");
    await this.#stored(() => writes.storeIn(this.#db));
    return outcome;
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
    return this.#core.cash - this.#financed;
  }

  tellFinanced(cost: number): void {
    this.#financed = cost;
    this.#core.financed = cost;
  }

  async transfer(batchId: string, sides: readonly Transfer[]): Promise<void> {
    await this.#load();
    await this.#stored(() =>
      this.#db.transaction(async (tx) => {
        const { account } = this.#options;
        const taken = await tx.query(
          `INSERT INTO paper.transfer (account_id, batch_id) VALUES ($1, $2)
           ON CONFLICT DO NOTHING RETURNING batch_id`,
          [account, batchId],
        );
        if (taken.length === 0) return;
        const moves = sides.map((side) => ({ ...side, book: bookName(side) }));
        for (const { instrument, book, lots } of moves) this.#core.transfer(instrument, book, lots);
        const writes = new Writes();
        addMoves(writes, account, movesOf(moves));
        await writes.sendTo(tx);
      }),
    );
  }

  async onBars(bars: readonly BrokerBar[]): Promise<BrokerReport> {
    await this.#load();
    const { account } = this.#options;
    const writes = new Writes();
    const report = this.#book(
      writes,
      bars.flatMap((bar) => this.#core.onBar(bar)),
    );
    addBars(writes, account, bars);
    this.#barsToForget += bars.length;
    if (this.#barsToForget >= forgetBarsEvery) {
      this.#barsToForget = 0;
      addForgetting(writes, account, [...this.#lotUnits.keys()]);
    }
    await this.#stored(() => writes.storeIn(this.#db));
    return report;
  }

  /** Books fills in memory, and adds their writes. */
  #book(writes: Writes, fills: readonly SimulatedFill[]): BrokerReport {
    const { account } = this.#options;
    const told: BrokerFill[] = [];
    const stored = fills.map((fill) => {
      this.#sequence += 1;
      const cost = fill.lots * this.#lotUnits.get(fill.instrument)! * fill.price + fill.fee;
      const { executionId, orderId, instrument, lots, price, fee } = fill;
      const sequence = this.#sequence;
      if (!this.#lost.has(orderId)) {
        told.push({ sequence, executionId, orderId, instrument, lots, price, fee });
      }
      return { sequence, fill, cost };
    });
    const cancelled = this.#core.drainCancelled();
    const filled = new Set(fills.map((fill) => fill.orderId));
    const unfilled = cancelled.flatMap(({ id }) => (filled.has(id) ? [] : [id]));
    addFills(writes, account, stored);
    addOutcomes(writes, account, unfilled, "cancelled");
    return { fills: told, cancelled: cancelled.filter(({ id }) => !this.#lost.has(id)) };
  }

  /** Undefined for a reply that is lost. */
  async #acceptSome(orders: readonly BrokerOrder[]): Promise<(AcceptReply | undefined)[]> {
    await this.#load();
    const taken = orders.map((order) => this.#take(order));
    await failpoints.hit("paper.accept.before_commit");
    const fresh = taken.filter((one) => one.writes !== undefined);
    const stored = await this.#stored(() => this.#storeAccepted(fresh));
    // Memory has taken in orders that were not stored.
    if (stored.size < fresh.length) this.#isLoaded = false;
    await failpoints.hit("paper.accept.after_commit");
    const replies: (AcceptReply | undefined)[] = [];
    for (const { order, reply, writes, reportLost } of taken) {
      const isStale =
        writes === undefined
          ? !reply.accepted && !(await hasFence(this.#db, order))
          : !stored.has(order.id);
      if (isStale) replies.push({ accepted: false, reason: "FENCE_STALE" });
      else replies.push(reportLost ? undefined : reply);
    }
    return replies;
  }

  /** Takes an order into memory; without writes it changes nothing. */
  #take(order: BrokerOrder): TakenOrder {
    const { id, instrument, lots, bucket, reduceOnly } = order;
    if (this.#core.lookup(id) !== undefined) {
      return { order, reply: { accepted: true, report: NOTHING }, reportLost: false };
    }
    const reportLost = this.#fault(order);
    const outcome = this.#core.accept({
      ...{ id, instrument, lots, bucket, reduceOnly },
      ...simulatedTerms(order.terms),
      book: bookName(order),
    });
    if (!outcome.accepted) return { order, reply: outcome, reportLost: false };
    if (reportLost) this.#lost.add(id);
    const writes = new Writes();
    const report = this.#book(writes, outcome.fills);
    return { order, reply: { accepted: true, report }, reportLost, writes };
  }

  /**
   * Stores orders, with the fills they had at once. Resolves to the ids of those whose fence is the one registered
   * last.
   */
  async #storeAccepted(orders: readonly TakenOrder[]): Promise<ReadonlySet<string>> {
    if (orders.length === 0) return new Set();
    const { account, clock } = this.#options;
    const insert = (db: Queryable) => insertAccepted(db, account, orders, clock.nowMs());
    if (orders.every(({ writes }) => writes?.isEmpty === true)) return insert(this.#db);
    return this.#db.transaction(async (tx) => {
      const stored = await insert(tx);
      for (const { order, writes } of orders) if (stored.has(order.id)) await writes?.sendTo(tx);
      return stored;
    });
  }

  /** After a write that failed, or whose outcome was not heard, memory is read from the tables again. */
  async #stored<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
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
    this.#sequence = state.sequence;
    this.#lost = new Set(state.lost);
    this.#isLoaded = true;
  }

  #newCore(snapshot?: ConstructorParameters<typeof SimulatedBroker>[1]): SimulatedBroker {
    const { instruments, costs, money } = this.#options;
    const options = { instruments, costs, money, barsMax: paperBarsMax };
    const core = new SimulatedBroker(options, snapshot);
    core.financed = this.#financed;
    return core;
  }
}

const NOTHING: BrokerReport = { fills: [], cancelled: [] };
