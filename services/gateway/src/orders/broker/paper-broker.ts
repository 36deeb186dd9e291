import {
  type AccountMoney,
  compileInstrument,
  type InstrumentSpec,
  SimulatedBroker,
  type TradingCosts,
} from "@qmtl/core/execution";
import type { Clock } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { Writes } from "../../store/writes.ts";
import type { BrokerBooking, BrokerFill, LocalBroker, Transfer } from "./broker-port.ts";
import { bookName } from "./order-record.ts";
import { PaperBooking, type PaperMemory } from "./paper-booking.ts";
import { noFault, type PaperFault } from "./paper-fault.ts";
import {
  addForgetting,
  addMoves,
  loadPaper,
  movesOf,
  paperBarsMax,
  readExecutions,
  writeFence,
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

/** Bars stored between two deletions of those that are no longer kept. */
const forgetBarsEvery = 64;

/**
 * A broker that fills on the bars of a feed: the pure simulated broker over tables of its own, in the order router's
 * database.
 *
 * The fence of an order is compared with the one registered for its world in the statement that stores it, so no clock
 * decides (tier T3), and (order, fence, decision, time) of every order it took is kept, for ever. Calls are made one at
 * a time. After a write that failed, or whose outcome was not heard, memory is read from the tables again.
 */
export class PaperBroker implements LocalBroker {
  readonly #db: Db;
  readonly #options: PaperBrokerOptions;
  readonly #lotUnits: ReadonlyMap<string, number>;
  readonly #fault: PaperFault;
  /** What the books have charged for holding positions; in no table, since the journal has it. */
  #financed = 0;
  /** Undefined: to be read. */
  #memory: Promise<PaperMemory> | undefined;
  /** Bars stored since older ones were last deleted. */
  #barsToForget = forgetBarsEvery;

  /** `db` is the one that the router's bookings are stored in. */
  constructor(db: Db, options: PaperBrokerOptions) {
    this.#db = db;
    this.#options = options;
    this.#fault = options.fault ?? noFault;
    const compiled = options.instruments.map((spec) => compileInstrument(spec));
    this.#lotUnits = new Map(compiled.map(({ symbol, lotUnit }) => [symbol, lotUnit]));
  }

  async registerFence(worldId: string, fence: number): Promise<void> {
    const memory = await this.#load();
    await this.#stored(async () => {
      memory.fences.set(worldId, await writeFence(this.#db, worldId, fence));
    });
  }

  async prepare(): Promise<BrokerBooking> {
    const { account, clock } = this.#options;
    const memory = await this.#load();
    memory.core.financed = this.#financed;
    return new PaperBooking({
      ...{ account, lotUnits: this.#lotUnits, fault: this.#fault, memory },
      nowMs: () => clock.nowMs(),
      forgetBars: (writes, stored) => this.#forgetBars(writes, stored),
      forgetMemory: () => this.#forgetMemory(),
    });
  }

  async lookup(orderIds: readonly string[]) {
    const { core } = await this.#load();
    const found = new Map<string, "working" | "filled" | "cancelled">();
    for (const id of orderIds) {
      const outcome = core.lookup(id);
      if (outcome !== undefined) found.set(id, outcome);
    }
    return found;
  }

  executions(afterSequence: number): Promise<BrokerFill[]> {
    return readExecutions(this.#db, this.#options.account, afterSequence);
  }

  async positions(): Promise<ReadonlyMap<string, number>> {
    const { core } = await this.#load();
    return new Map([...this.#lotUnits.keys()].map((symbol) => [symbol, core.netLots(symbol)]));
  }

  async cash(): Promise<number> {
    const { core } = await this.#load();
    return core.cash - this.#financed;
  }

  tellFinanced(cost: number): void {
    this.#financed = cost;
  }

  async transfer(batchId: string, sides: readonly Transfer[]): Promise<void> {
    const { core } = await this.#load();
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
        for (const { instrument, book, lots } of moves) core.transfer(instrument, book, lots);
        const writes = new Writes();
        addMoves(writes, account, movesOf(moves));
        await writes.sendTo(tx);
      }),
    );
  }

  #forgetBars(writes: Writes, stored: number): void {
    this.#barsToForget += stored;
    if (stored === 0 || this.#barsToForget < forgetBarsEvery) return;
    this.#barsToForget = 0;
    addForgetting(writes, this.#options.account, [...this.#lotUnits.keys()]);
  }

  async #stored(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (failure) {
      this.#forgetMemory();
      throw failure;
    }
  }

  #forgetMemory(): void {
    this.#memory = undefined;
  }

  /** Read once for all who ask meanwhile. */
  #load(): Promise<PaperMemory> {
    if (this.#memory === undefined) {
      const memory = this.#read();
      this.#memory = memory;
      memory.catch(() => {
        if (this.#memory === memory) this.#memory = undefined;
      });
    }
    return this.#memory;
  }

  async #read(): Promise<PaperMemory> {
    const { account, initialCash, instruments, costs, money } = this.#options;
    const { snapshot, sequence, lost, fences } = await loadPaper(this.#db, account, initialCash);
    const options = { instruments, costs, money, barsMax: paperBarsMax };
    const core = new SimulatedBroker(options, snapshot);
    return { core, sequence, lost: new Set(lost), fences: new Map(fences) };
  }
}
