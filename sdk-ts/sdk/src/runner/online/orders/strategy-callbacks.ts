import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type JournalEntry, JournalKind } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import { quantityFromLots } from "@qmtl/core/execution";
import { z } from "zod";
import type { QmtlConfig } from "../../../config/index.ts";
import { pause, type SdkClock } from "../../../control/index.ts";
import { Strategy } from "../../../strategy/index.ts";
import type { ComputedBucket } from "../compute/clocks.ts";
import type { OnlineGraph } from "../session/graph.ts";
import type { OnlineOptions } from "../session/online-run.ts";
import type { RunReports } from "../session/run-reporter.ts";
import type { OnlineServices } from "../session/services.ts";

/** Calls `onSignal` and `onFill` of a running strategy, for changed targets and for fills. */
export class StrategyCallbacks {
  readonly #graph: OnlineGraph;
  readonly #options: OnlineOptions;
  readonly #services: OnlineServices;
  readonly #clock: SdkClock;
  readonly #reports: RunReports;
  readonly #values: number[];
  #fills: FillFollower | undefined;

  constructor(
    graph: OnlineGraph,
    options: OnlineOptions,
    services: OnlineServices,
    clock: SdkClock,
    reports: RunReports,
  ) {
    this.#graph = graph;
    this.#options = options;
    this.#services = services;
    this.#clock = clock;
    this.#reports = reports;
    this.#values = graph.targets.map(() => 0);
  }

  /** Follows the fills of the strategy, if it overrides `onFill`. */
  follow(strategyId: string): void {
    const { strategy } = this.#graph.identified;
    if (strategy.onFill === Strategy.prototype.onFill) return;
    const { config, worldId } = this.#options;
    this.#fills = new FillFollower({
      services: this.#services,
      clock: this.#clock,
      worldId,
      strategyId,
      graph: this.#graph,
      instruments: config.instruments,
      reports: this.#reports,
    });
    this.#fills.start();
  }

  /** A bucket was decided: calls `onSignal` for each target that changed. */
  targetsFixed({ row, bucketEndMs }: ComputedBucket, values: readonly number[]): void {
    const { targets, identified } = this.#graph;
    targets.forEach(({ name: node, instrument }, at) => {
      const target = values[at] ?? 0;
      if (target === this.#values[at]) return;
      this.#values[at] = target;
      const signal = { node, instrument, target, row, bucketEndMs };
      // Called after the decision: what the author's code throws, at once or later, is reported and ends nothing.
      Promise.resolve()
        .then(() => identified.strategy.onSignal(signal))
        .catch((error: unknown) => this.#reports.problem(`onSignal failed: ${String(error)}`));
    });
  }

  async stop(): Promise<void> {
    await this.#fills?.stop();
  }
}

interface FillFollowerOptions {
  readonly services: Pick<OnlineServices, "worlds" | "accounts">;
  readonly clock: SdkClock;
  readonly worldId: string;
  readonly strategyId: string;
  /** The strategy, and the rows of its feeds. Its `onFill` is called in the order of the journal, once per fill. */
  readonly graph: OnlineGraph;
  /** The `instruments:` of the configuration. */
  readonly instruments: QmtlConfig["instruments"];
  readonly reports: Pick<RunReports, "problem">;
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
/** Largest number of orders whose instrument is remembered; the oldest are forgotten. */
const ordersMax = 10_000;
const againMs = 200;
const againMsMax = 8_000;

/**
 * Follows the journal of the world's account and passes a strategy its own fills, from the start of this run on. After
 * a break it continues where it was; a world without an account has no journal.
 */
class FillFollower {
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
    const { clock, reports } = this.#options;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        if (!(await this.#catchUp())) return;
        await this.#watch(() => {
          failures = 0;
        });
      } catch (failure) {
        if (signal.aborted) return;
        reports.problem(failure instanceof Error ? failure.message : String(failure));
      }
      await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), signal);
    }
  }

  /** Skips the entries that are in the journal already; false for a world without an account. */
  async #catchUp(): Promise<boolean> {
    if (this.#isCurrent) return true;
    const { services, worldId } = this.#options;
    const { worlds, accounts } = services;
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
    const { accounts } = this.#options.services;
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
    const { graph, instruments, reports } = this.#options;
    const { success, data } = fillSchema.safeParse(JSON.parse(entry.bodyJson));
    const instrument = data && this.#instruments.get(data.fill.orderId);
    if (!success || instrument === undefined) {
      reports.problem(`fill ${entry.entry} of the journal is of no order that is known here`);
      return;
    }
    const { orderId: clientOrderId, executionId, lots, price, fee } = data.fill;
    // The row of a journal entry is one of the world's feed: the last one booked before the fill.
    const endMs = this.#endMsOf(Number(entry.row));
    try {
      await graph.identified.strategy.onFill({
        instrument,
        clientOrderId,
        executionId,
        side: lots > 0 ? "buy" : "sell",
        quantity: quantityFromLots(Math.abs(lots), instruments[instrument]?.lot ?? "1"),
        price,
        fee,
        eventTimeMs: Number.isNaN(endMs) ? timestampMs(entry.createTime!) : endMs,
      });
    } catch (failure) {
      reports.problem(`onFill failed: ${String(failure)}`);
    }
  }

  /** End of the bucket of a row of the world's feed, milliseconds; NaN if it is not known here. */
  #endMsOf(row: number): number {
    const rows = this.#options.graph.feeds.get(this.#source);
    return rows?.bucketEndMs[row - rows.firstRow] ?? Number.NaN;
  }
}
