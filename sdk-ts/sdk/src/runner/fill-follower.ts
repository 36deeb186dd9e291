import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import type { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { type JournalEntry, JournalKind } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import type { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { quantityFromLots } from "@qmtl/core/execution";
import { z } from "zod";
import { pause, type SdkClock } from "../control/index.ts";
import type { StrategyFill } from "../strategy/index.ts";

export interface FillFollowerOptions {
  readonly worlds: Client<typeof WorldService>;
  readonly accounts: Client<typeof AccountService>;
  readonly clock: SdkClock;
  readonly worldId: string;
  readonly strategyId: string;
  /** Smallest step of an instrument's quantity. */
  readonly lotOf: (instrument: string) => string;
  /** End of the bucket of a feed's row, milliseconds; NaN when it is not known here. */
  readonly endMsOf: (source: string, row: number) => number;
  /** Called in the order of the journal, each fill once. */
  readonly onFill: (fill: StrategyFill) => void | Promise<void>;
  readonly onProblem: (problem: string) => void;
}

const orderSchema = z.object({ order: z.object({ id: z.string(), instrument: z.string() }) });
const fillSchema = z.object({
  fill: z.object({
    orderId: z.string(),
    executionId: z.string(),
    lots: z.number(),
    price: z.number(),
    fee: z.number(),
  }),
});

const kinds = [JournalKind.ORDER, JournalKind.FILL] as const;
const pageRows = 1_000;
/** Orders whose instrument is remembered at most; the oldest make room. */
const ordersMax = 10_000;
const againMs = 200;
const againMsMax = 8_000;

/**
 * Follows the journal of the world's account and tells a strategy its own fills, from the moment this is started on. A
 * break goes on where it was; a world without an account has none.
 */
export class FillFollower {
  readonly #options: FillFollowerOptions;
  readonly #stop = new AbortController();
  readonly #instruments = new Map<string, string>();
  #loop: Promise<void> = Promise.resolve();
  #accountId = "";
  #source = "";
  #entry = 0n;
  #isCurrent = false;

  constructor(options: FillFollowerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, onProblem } = this.#options;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        if (!(await this.#catchUp())) return;
        await this.#watch(() => {
          failures = 0;
        });
      } catch (failure) {
        if (signal.aborted) return;
        onProblem(failure instanceof Error ? failure.message : String(failure));
      }
      await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), signal);
    }
  }

  /** Passes over what is in the journal already; false for a world without an account. */
  async #catchUp(): Promise<boolean> {
    if (this.#isCurrent) return true;
    const { worlds, accounts, worldId } = this.#options;
    const { signal } = this.#stop;
    const { world } = await worlds.getWorld({ worldId }, { signal });
    this.#accountId = world?.accountId ?? "";
    this.#source = world?.source ?? "";
    if (this.#accountId === "") return false;
    const asked = { accountId: this.#accountId, pageSize: pageRows, kinds: [...kinds] };
    for (let isEnd = false; !isEnd; ) {
      const page = await accounts.listJournal({ ...asked, afterEntry: this.#entry }, { signal });
      for (const entry of page.entries) {
        this.#entry = entry.entry;
        if (this.#isOwn(entry)) this.#learn(entry);
      }
      isEnd = page.nextPageToken === "";
    }
    this.#isCurrent = true;
    return true;
  }

  async #watch(onUp: () => void): Promise<void> {
    const { accounts } = this.#options;
    const from = { accountId: this.#accountId, afterEntry: this.#entry, kinds: [...kinds] };
    for await (const { entries } of accounts.watchJournal(from, { signal: this.#stop.signal })) {
      onUp();
      for (const entry of entries) {
        if (entry.entry <= this.#entry) continue;
        this.#entry = entry.entry;
        if (this.#isOwn(entry)) await this.#take(entry);
      }
    }
  }

  #isOwn({ worldId, strategyId }: JournalEntry): boolean {
    return worldId === this.#options.worldId && strategyId === this.#options.strategyId;
  }

  #learn({ kind, bodyJson }: JournalEntry): void {
    if (kind !== JournalKind.ORDER) return;
    const { success, data } = orderSchema.safeParse(JSON.parse(bodyJson));
    if (!success) return;
    this.#instruments.set(data.order.id, data.order.instrument);
    for (const oldest of this.#instruments.keys()) {
      if (this.#instruments.size <= ordersMax) break;
      this.#instruments.delete(oldest);
    }
  }

  async #take(entry: JournalEntry): Promise<void> {
    this.#learn(entry);
    if (entry.kind !== JournalKind.FILL) return;
    const { onFill, onProblem, lotOf, endMsOf } = this.#options;
    const { success, data } = fillSchema.safeParse(JSON.parse(entry.bodyJson));
    const instrument = data && this.#instruments.get(data.fill.orderId);
    if (!success || instrument === undefined) {
      onProblem(`fill ${entry.entry} of the journal is of no order that is known here`);
      return;
    }
    const { orderId: clientOrderId, executionId, lots, price, fee } = data.fill;
    // Rows of a journal are those of the world's feed: the last one booked before the fill.
    const endMs = endMsOf(this.#source, Number(entry.row));
    try {
      await onFill({
        instrument,
        clientOrderId,
        executionId,
        side: lots > 0 ? "buy" : "sell",
        quantity: quantityFromLots(Math.abs(lots), lotOf(instrument)),
        price,
        fee,
        eventTimeMs: Number.isNaN(endMs) ? timestampMs(entry.createTime!) : endMs,
      });
    } catch (failure) {
      onProblem(`onFill failed: ${String(failure)}`);
    }
  }
}
