import { blake3Hex } from "@qmtl/sdk/canonical";
import type { OrderOrigin, RouterOrder, SealedReturn } from "@qmtl/sdk/execution";
import { type Clock, failpoints, type Logger } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";
import type { Broker } from "../paper/broker-port.ts";
import { AccountCore } from "./account-core.ts";
import type { AccountSettings } from "./account-settings.ts";
import { Booking, type OutgoingOrder, type Permission, type Place } from "./booking.ts";
import type { Door } from "./door.ts";
import { lockGateFence } from "./gate-fence.ts";
import { reasonOfRefusal } from "./gate-reasons.ts";
import { type Halts, isHalted } from "./halts.ts";
import type { JournalOp } from "./journal-op.ts";
import { type JournalEntryRow, replayJournal, writeBooking } from "./journal-store.ts";
import { Market } from "./market.ts";
import type { OrderWorld } from "./order-world.ts";
import { sendOrders } from "./send-orders.ts";
import { SerialQueue } from "./serial-queue.ts";

export interface AccountRouterDeps {
  readonly settings: AccountSettings;
  readonly db: Db;
  readonly broker: Broker;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly halts: Halts;
  readonly doorOf: (worldId: string) => Door | undefined;
  readonly worldOf: (worldId: string) => OrderWorld | undefined;
  /** Fence stored for a world, while no state is applied. */
  readonly storedFenceOf: (worldId: string) => number;
  /** Entries that are durable now. */
  readonly onJournal: (account: string, rows: readonly JournalEntryRow[]) => void;
}

/** Origins that may leave while the gate is shut: they only reduce. */
const EXEMPT: ReadonlySet<OrderOrigin> = new Set<OrderOrigin>([
  "demote",
  "halt_flatten",
  "lease_lost",
]);

/** The gate, or a halt, changed between the decision and the commit: nothing was stored. */
export class PermissionLost extends Error {
  override readonly name = "PermissionLost";
  readonly reason: "FENCE_STALE" | "HALTED";
  constructor(reason: "FENCE_STALE" | "HALTED") {
    super(`permission lost: ${reason}`);
    this.reason = reason;
  }
}

/** What replay found that must be told again after a restart. */
export interface SealedBar {
  readonly source: string;
  readonly row: number;
  readonly bucket: number;
  readonly worlds: readonly string[];
  readonly sealed: readonly SealedReturn[];
}

const sealedBarsMax = 64;

/**
 * One account: its journal, the router's core that the journal rebuilds, and the broker. Operations run one at a
 * time; each performs on the core, commits journal and orders in one transaction that compares fence and halts, and
 * only then sends.
 */
export class AccountRouter {
  readonly deps: AccountRouterDeps;
  readonly queue = new SerialQueue();
  core: AccountCore;
  market = new Market();
  /** What does not agree with the broker; empty when reconciled. */
  difference = "not reconciled yet";
  reconcileTimeMs = 0;
  /** A bar was played at the broker and its fills are not known to be booked. */
  isDoubtful = false;
  /** Executions up to here are booked. */
  sequence = 0;
  /** Last bars of the journal, newest last. */
  sealedBars: SealedBar[] = [];
  /** Executed rebalances of the journal, for the broker's sub-accounts. */
  rebalances: Extract<JournalOp, { op: "rebalance" }>["input"][] = [];
  #head = 0;
  /** The core holds what could not be stored: it must be rebuilt before anything else. */
  #isStale = false;
  readonly permission: Permission = (order) => this.#permission(order);

  constructor(deps: AccountRouterDeps) {
    this.deps = deps;
    this.core = this.#newCore();
  }

  get account(): string {
    return this.deps.settings.account;
  }

  /** Number of the last entry; raised by every booking. */
  get head(): number {
    return this.#head;
  }

  /** Rebuilds everything from the journal. */
  async rebuild(): Promise<void> {
    const core = this.#newCore();
    const market = new Market();
    this.sealedBars = [];
    this.rebalances = [];
    this.sequence = 0;
    this.#head = await replayJournal(this.deps.db, this.account, (op) => {
      const { sealed = [], difference } = core.apply(op);
      if (difference !== undefined) this.difference = difference;
      if (op.op === "rebalance") this.rebalances.push(op.input);
      if (op.op !== "bar") return;
      market.take(op);
      this.sealedBars.push({ ...op, sealed });
      if (this.sealedBars.length > sealedBarsMax) this.sealedBars.shift();
    });
    this.core = core;
    this.market = market;
    this.#isStale = false;
  }

  /** Runs alone on this account. */
  exclusive<T>(operation: () => Promise<T>): Promise<T> {
    return this.queue.run(async () => {
      if (this.#isStale) await this.rebuild();
      return operation();
    });
  }

  booking(): Booking {
    return new Booking(this.core);
  }

  /** Where an entry about a world or strategy belongs now. */
  place(world: string, strategy = ""): Place {
    return { world, strategy, row: this.rowOf(world) };
  }

  rowOf(world: string): number {
    const source = this.deps.worldOf(world)?.source ?? "";
    return this.market.edge(source)?.row ?? -1;
  }

  /** End of the bucket that decisions are taken on now. */
  bucketOf(world: string): number {
    const found = this.deps.worldOf(world);
    const edge = found === undefined ? undefined : this.market.edge(found.source);
    return edge?.bucket ?? this.deps.clock.nowMs();
  }

  /** Commits, then sends and cancels, then commits what came of it. */
  async settle(booking: Booking, alongside?: (tx: Tx) => Promise<void>): Promise<void> {
    await this.commit(booking, alongside);
    if (booking.sends.length === 0 && booking.cancels.length === 0) return;
    const reports = this.booking();
    await sendOrders(this, booking, reports);
    await this.commit(reports);
  }

  /** Stores a booking. If that fails the core is rebuilt, as if nothing of it had happened, and the failure thrown. */
  async commit(booking: Booking, alongside?: (tx: Tx) => Promise<void>): Promise<void> {
    if (booking.isEmpty && alongside === undefined) return;
    const { db, clock } = this.deps;
    const isOrder = booking.made.length > 0;
    const isFill = booking.filledValue.size > 0;
    let rows: JournalEntryRow[];
    try {
      rows = await db.transaction(async (tx) => {
        await this.#compare(tx, booking.sends);
        const written = booking.isEmpty
          ? []
          : await writeBooking(tx, this.account, booking, this.core, this.#head, clock.nowMs());
        await alongside?.(tx);
        if (isOrder) await failpoints.hit("gw.order.before_commit");
        if (isFill) await failpoints.hit("gw.fill.before_commit");
        return written;
      });
    } catch (failure) {
      this.#isStale = true;
      await this.rebuild().catch((cause: unknown) => {
        this.deps.logger.error("books not rebuilt yet", { account: this.account, error: cause });
      });
      throw failure;
    }
    if (isOrder) await failpoints.hit("gw.order.after_commit");
    if (isFill) await failpoints.hit("gw.fill.after_commit");
    this.#head += rows.length;
    if (rows.length > 0) this.deps.onJournal(this.account, rows);
  }

  /** True when an order needs no open gate: it only reduces, and nobody trades by it. */
  isExempt(order: Readonly<RouterOrder>): boolean {
    if (EXEMPT.has(order.origin)) return true;
    return order.reduceOnly && this.deps.worldOf(order.world)?.reduceOnlyWhenShut === true;
  }

  async #compare(tx: Tx, sends: readonly OutgoingOrder[]): Promise<void> {
    const gated = sends.filter(({ order }) => !this.isExempt(order));
    if (gated.length === 0) return;
    for (const world of new Set(gated.map(({ order }) => order.world))) {
      const row = await lockGateFence(tx, world);
      const isSame = gated.every(
        ({ order, context }) => order.world !== world || context.fence === row?.fence,
      );
      if (row?.gate !== "OPEN" || !isSame) throw new PermissionLost("FENCE_STALE");
    }
    const subjects = gated.map(({ order }) => ({ ...order, account: this.account }));
    if (await isHalted(tx, subjects)) throw new PermissionLost("HALTED");
  }

  #permission(order: Readonly<RouterOrder>): ReturnType<Permission> {
    const { world, strategy } = order;
    const door = this.deps.doorOf(world);
    const applied = door?.applied ?? undefined;
    const context = {
      fence: applied?.fence ?? this.deps.storedFenceOf(world),
      decisionId: applied?.decision.id ?? "",
      sessionId: door?.emitterOf(strategy) ?? "",
      domain: door?.domainOf(strategy) ?? ("backtest" as const),
      row: this.rowOf(world),
    };
    if (this.isExempt(order)) return { context, refusal: undefined };
    if (this.deps.halts.covering({ account: this.account, world, strategy }) !== undefined) {
      return { context, refusal: "HALTED" };
    }
    const refusal = door?.check({ ...context, strategyId: strategy, side: order.side }) ?? null;
    if (door === undefined) return { context, refusal: "GATE_SHUT" };
    return { context, refusal: refusal === null ? undefined : reasonOfRefusal[refusal] };
  }

  #newCore(): AccountCore {
    const { account, instruments, initialCash, limits } = this.deps.settings;
    return new AccountCore({ account, instruments, initialCash, limits, hashHex: blake3Hex });
  }
}
