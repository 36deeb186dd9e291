import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  SetTargetsRequestSchema,
  SubmitOrdersRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { OrderType } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import type { TargetTerm } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { readingAt } from "@qmtl/core/gate";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  createMetrics,
  type LogFields,
  type SessionScope,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { migrateTopics } from "@qmtl/service-kit/control";
import { applyMigrations, type Db, type PgliteHost, readMigrations } from "@qmtl/service-kit/db";
import { migrateOutbox } from "@qmtl/service-kit/outbox";
import { waitUntil } from "@qmtl/service-kit/testing";
import type { SliceCall } from "../../ports.ts";
import type { AccountSettings } from "../account/account-settings.ts";
import { PaperBroker } from "../broker/paper-broker.ts";
import type { PaperFault } from "../broker/paper-fault.ts";
import type { WeightBounds } from "../intake/declared-weights.ts";
import type { HaltService } from "../intake/halt-service.ts";
import { wireOrders } from "../module.ts";
import type { OrderPath } from "../order-path.ts";
import { setTargets, submitOrders } from "../rpc/order-routes.ts";
import type { HaltActions, HaltCoverage } from "../store/halts.ts";
import type { OrderWorld } from "../store/order-world.ts";
import { FakeWorld } from "./fake-world.ts";
import { named } from "./named-result.ts";
import { OutageDb } from "./outage-db.ts";
import { RemotePaper } from "./remote-paper.ts";

/** End of the bucket of a row, one day each. */
export function bucketOf(row: number): number {
  return Date.UTC(2015, 0, 2) + row * 86_400_000;
}

export const paperAccount: AccountSettings = {
  account: "paper",
  broker: "paper",
  currency: "USD",
  initialCash: 1_000_000,
  costs: { feeBps: 1, halfSpreadBps: 1 },
  instruments: [
    {
      symbol: "SPX",
      lotSize: "0.1",
      tick: 0.01,
      multiplier: 1,
      venue: "paper",
      minNotional: "0",
      markSource: "sp500",
    },
  ],
  limits: {},
  money: { kind: "margin", leverageMax: 4 },
  reconcileIntervalMs: 86_400_000,
};

export const replayWorld: OrderWorld = {
  worldId: "w1",
  accountId: "paper",
  source: "sp500",
  isReplay: true,
  maxLagMs: 604_800_000,
  onDemote: "flat",
  onLeaseLost: "cancel_opening",
  cancelProtective: false,
  reduceOnlyWhenShut: false,
};

/** A direct order as a test states it; decimal strings. */
export interface BenchOrder {
  readonly quantity: string;
  readonly limit?: string;
  readonly stop?: string;
  readonly instrument?: string;
  readonly reduceOnly?: boolean;
}

/** Terms of a target as a test states them. */
export interface BenchTerms {
  readonly sizedRow?: bigint;
  readonly rebalance?: { readonly drift: number };
  readonly clearTerms?: TargetTerm[];
}

/** Databases by schema: a PGlite, or connections to a PostgreSQL. */
export type BenchHost = Pick<PgliteHost, "db">;

export interface BenchOptions {
  /** Journal entries after a snapshot before the next one. @default 10000 */
  readonly entriesPerSnapshot?: number;
  /** The router takes the paper broker for one elsewhere. @default false */
  readonly isBrokerRemote?: boolean;
  /** Accounts beside the one that the bench trades on. @default none */
  readonly others?: readonly AccountSettings[];
  /** Of that broker, milliseconds; see `RemoteBroker`. @default 0 */
  readonly arrivalMsMax?: number;
}

/** An order path over a database and the paper broker, with a world that the test moves. */
export class OrderBench {
  readonly world: FakeWorld;
  readonly ended: string[] = [];
  /** Calls that ended a row, in the order they were taken. */
  readonly calls: SliceCall[] = [];
  /** Warnings that were logged. */
  readonly warnings: string[] = [];
  readonly errors: { readonly text: string; readonly fields: LogFields }[] = [];
  /** Why rows of the feed cannot be booked; undefined when they can. */
  unbooked: string | undefined;
  /** The feeds go on once a slice has ended. */
  goesOn = false;
  /** Largest targets that submissions declare: strategy → instrument → weight. */
  bounds: WeightBounds = new Map();
  /** Instruments of the targets that submissions declare, by strategy. */
  declared: ReadonlyMap<string, readonly string[]> = new Map();
  /** Strategies whose bounds were read, in order. */
  readonly boundsRead: string[] = [];
  /** Up to when buckets have closed, as the barrier knows it. */
  closedMs = Number.NEGATIVE_INFINITY;
  /** Last row of the log, as the barrier knows it. */
  logRow = Number.POSITIVE_INFINITY;
  orders: OrderPath;
  readonly #db: OutageDb;
  readonly #paperDb: Db;
  #settings: AccountSettings;
  fault: PaperFault = () => false;
  /** Changes the tables while the order path is down in a restart. */
  whileDown: () => Promise<unknown> = async () => {};
  /** How far ahead the clocks are by which leases are counted, in milliseconds. */
  aheadMs = 0;
  readonly metrics = createMetrics();
  readonly #together: SliceCall[] = [];
  #taking: Promise<void> | undefined;
  #requests = 0;

  #options: BenchOptions;
  #broker: PaperBroker | undefined;

  private constructor(
    host: BenchHost,
    settings: AccountSettings,
    world: OrderWorld,
    options: BenchOptions,
  ) {
    this.#options = options;
    this.#db = new OutageDb(host.db("gateway"));
    this.#paperDb = host.db("paper");
    this.#settings = settings;
    this.world = new FakeWorld(world);
    this.orders = this.#new();
  }

  static async open(
    host: BenchHost,
    settings: AccountSettings = paperAccount,
    world: OrderWorld = replayWorld,
    options: BenchOptions = {},
  ): Promise<OrderBench> {
    const bench = new OrderBench(host, settings, world, options);
    for (const schema of ["gateway", "paper"]) {
      await host.db(schema).script(`drop schema if exists ${schema} cascade`);
    }
    await bench.#start();
    return bench;
  }

  get db(): OutageDb {
    return this.#db;
  }

  /** The paper broker, whether the router knows that it is local or not. */
  get broker(): PaperBroker {
    return this.#broker!;
  }

  get router() {
    return this.orders.accounts.of("paper");
  }

  /** Accounts start again from their whole journal, as after a crash before the first snapshot. */
  forgetSnapshots(): void {
    this.whileDown = () => this.#db.query("DELETE FROM gateway.account_snapshot");
  }

  /** Stops and starts again, perhaps with another configuration: nothing but the tables stays. */
  async restart(settings = this.#settings, others = this.#options.others): Promise<void> {
    await this.orders.stop();
    await this.whileDown();
    this.#settings = settings;
    if (others !== undefined) this.#options = { ...this.#options, others };
    this.orders = this.#new();
    await this.#start();
  }

  /** Puts strategies on paper, each with its own session as emitter. */
  async promote(shares: Readonly<Record<string, number>>): Promise<void> {
    this.world.allocations = { ratio: 1, strategies: new Map(Object.entries(shares)) };
    for (const strategy of Object.keys(shares)) {
      this.world.bindings.add(strategy);
      this.world.modes.set(strategy, "paper");
      this.world.emitters.set(strategy, `session-${strategy}`);
    }
    this.world.publish();
    await this.armed();
  }

  /** Waits until the router's gate has applied the last state and has a lease. */
  async armed(): Promise<void> {
    await waitUntil(
      () => {
        const gate = this.orders.gates.get("w1");
        const revision = Number(this.world.state("w1")?.revision);
        return gate?.isArmed === true && gate.applied?.revision === revision;
      },
      { what: "armed gate" },
    );
    await this.idle();
  }

  /** Waits until the router's gate has applied the last state. */
  async applied(): Promise<void> {
    const revision = Number(this.world.state("w1")?.revision);
    await waitUntil(() => this.orders.gates.get("w1")?.applied?.revision === revision, {
      what: "applied gate",
    });
    await this.idle();
  }

  async idle(): Promise<void> {
    for (let round = 0; round < 3; round += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.router.queue.idle();
    }
  }

  bar(row: number, open: number, close = open): Promise<void> {
    return this.orders.onBars([
      {
        source: "sp500",
        instrument: "SPX",
        row,
        bucketEndMs: bucketOf(row),
        open,
        high: Math.max(open, close),
        low: Math.min(open, close),
        close,
      },
    ]);
  }

  /** The end of a row by a strategy's runner, with a target or without. */
  async end(
    strategy: string,
    row: number,
    value?: number,
    claim: {
      readonly fence?: number;
      readonly sessionId?: string;
      readonly leaseId?: string;
      readonly ticketStrategies?: readonly string[];
      readonly wanted?: bigint;
      /** Row that its targets name. @default the row that it ends */
      readonly targetRow?: number;
      /** Feed of the row. @default "sp500" */
      readonly source?: string;
      /** @default the end of the day of the row */
      readonly bucket?: number;
      /** @default "SPX" */
      readonly instrument?: string;
      readonly terms?: BenchTerms;
      /** Values of more targets of the call, by instrument. @default none */
      readonly others?: Readonly<Record<string, number>>;
      /** Buckets at which its target has had no signal. @default it has one */
      readonly silent?: number;
    } = {},
  ) {
    const sessionId = claim.sessionId ?? `session-${strategy}`;
    const request = create(SetTargetsRequestSchema, {
      ticket: "t",
      update: {
        claim: {
          leaseId: claim.leaseId ?? `${sessionId}/1`,
          fence: BigInt(claim.fence ?? this.world.fence),
          domain: ExecutionDomain.DRYRUN,
        },
        targets:
          value === undefined
            ? []
            : Object.entries({ [claim.instrument ?? "SPX"]: value, ...claim.others }).map(
                ([instrument, weight]) => ({
                  strategyId: strategy,
                  instrument,
                  size: { case: "weight" as const, value: weight },
                  row: BigInt(claim.targetRow ?? row),
                  bucketEndTime: timestampFromMs(claim.bucket ?? bucketOf(row)),
                  ...claim.terms,
                }),
              ),
        ends: [{ source: claim.source ?? "sp500", row: BigInt(row) }],
        strategyIds: [strategy],
        wantedOrders: claim.wanted ?? 0n,
        signalGaps:
          claim.silent === undefined
            ? []
            : [{ strategyId: strategy, instrument: "SPX", buckets: BigInt(claim.silent) }],
      },
    });
    const session = sessionOf(sessionId, claim.ticketStrategies ?? [strategy]);
    const answer = await setTargets(this.orders, request, session, Number.POSITIVE_INFINITY);
    return { ...answer, results: answer.results?.map((one) => named(one)) };
  }

  /** Direct orders of a strategy's runner, decided on a row; quantities in units. */
  async submit(
    strategy: string,
    row: number,
    orders: readonly BenchOrder[],
    how: {
      readonly requestId?: string;
      readonly fence?: number;
      readonly sessionId?: string;
      readonly leaseId?: string;
      readonly ticketStrategies?: readonly string[];
      readonly bucket?: number;
    } = {},
  ) {
    const sessionId = how.sessionId ?? `session-${strategy}`;
    this.#requests += 1;
    const request = create(SubmitOrdersRequestSchema, {
      ticket: "t",
      claim: {
        leaseId: how.leaseId ?? `${sessionId}/1`,
        fence: BigInt(how.fence ?? this.world.fence),
        domain: ExecutionDomain.DRYRUN,
      },
      orders: orders.map(({ quantity, limit, stop, instrument = "SPX", reduceOnly = false }) => ({
        strategyId: strategy,
        instrument,
        quantity: { value: quantity },
        type: OrderType.MARKET,
        ...(limit === undefined ? {} : { type: OrderType.LIMIT, limitPrice: { value: limit } }),
        ...(stop === undefined ? {} : { type: OrderType.STOP, stopPrice: { value: stop } }),
        reduceOnly,
        row: BigInt(row),
        bucketEndTime: timestampFromMs(how.bucket ?? bucketOf(row)),
      })),
      requestId: how.requestId ?? `request-${this.#requests}`,
    });
    const ticketed = how.ticketStrategies ?? [strategy];
    const answer = await submitOrders(
      this.orders,
      request,
      sessionOf(sessionId, ticketed),
      Number.POSITIVE_INFINITY,
    );
    return { ...answer, results: answer.results?.map((one) => named(one)) };
  }

  /** Sets a halt as the local owner. */
  halt(place: HaltCoverage, actions: Partial<HaltActions> = {}): ReturnType<HaltService["halt"]> {
    const all = { cancel: false, flatten: false, ...actions };
    return this.orders.halting.halt(place, all, cause);
  }

  /** Ends the halt with this coverage; resolves to the ids of the catch-up orders. */
  async resume(place: HaltCoverage): Promise<string[]> {
    const { orders } = await this.orders.halting.resume(this.orders.halting.find(place), cause);
    return [...orders];
  }

  lots(strategy: string): number {
    return this.router.core.book({ world: "w1", strategy, instrument: "SPX" })?.quantity ?? 0;
  }

  /** Orders of the journal, oldest first. */
  async list() {
    await this.router.stored();
    return this.#db.query<{
      id: string;
      strategy: string;
      lots: number;
      state: string;
      origin: string;
      reason: string;
      fence: number;
    }>(
      `SELECT client_order_id AS id, strategy_id AS strategy, lots, state, origin, reason, fence
       FROM gateway.client_order ORDER BY position`,
    );
  }

  /** What the broker took in. */
  accepted() {
    return this.#paperDb.query<{ id: string; fence: number; origin: string; lots: number }>(
      "SELECT order_id AS id, fence, origin, lots FROM paper.accepted_order ORDER BY position",
    );
  }

  async #start(): Promise<void> {
    const folder = fileURLToPath(new URL("../../../migrations-paper", import.meta.url));
    await migrateOutbox(this.#db);
    await migrateTopics(this.#db);
    await applyMigrations(this.#paperDb, "paper", await readMigrations(folder));
    await this.orders.start();
  }

  #new(): OrderPath {
    return wireOrders({
      db: this.#db,
      accounts: [this.#settings, ...(this.#options.others ?? [])],
      feeds: new Map([
        ["sp500", { intervalSeconds: 86_400, isSparse: false, periodsPerYear: 252 }],
        ["hours", { intervalSeconds: 3_600, isSparse: false, periodsPerYear: 8_760 }],
        ["rare", { intervalSeconds: 3_600, isSparse: true, periodsPerYear: 1_000 }],
      ]),
      openBroker: (settings) => {
        const fault: PaperFault = (order) => this.fault(order);
        const options = { ...settings, clock: systemClock, fault };
        const broker = new PaperBroker(this.#paperDb, options);
        if (settings.account === this.#settings.account) this.#broker = broker;
        const { isBrokerRemote, arrivalMsMax = 0 } = this.#options;
        if (isBrokerRemote !== true) return broker;
        return new RemotePaper(broker, this.#paperDb, arrivalMsMax);
      },
      peer: this.world,
      strategies: {
        find: async (id) => {
          await this.#db.query("SELECT 1");
          const found = id.replace("name of ", "");
          return ["A", "B"].includes(found) ? found : undefined;
        },
        weightBounds: async (_worldId, strategyIds) => {
          this.boundsRead.push(...strategyIds);
          return this.bounds;
        },
        targetInstruments: async (_worldId, strategyIds) =>
          new Map(strategyIds.map((id) => [id, this.declared.get(id) ?? []])),
      },
      gates: this.world,
      leases: this.world,
      outbox: { poke: () => {}, pokeSoon: () => {}, pokeGathering: () => {} },
      metrics: this.metrics,
      readClocks: () => readingAt(systemClock.monotonicMs() + this.aheadMs),
      barrier: {
        checkRow: async (source, row) => {
          if (source === "nosuch") throw new QmtlError("SOURCE_NOT_FOUND", `no feed ${source}`);
          if (row <= this.logRow) return;
          const fields = [{ field: "row", description: `the last row is ${this.logRow}` }];
          throw new QmtlError("INVALID_FIELD", `row ${row} is not in the log`, { fields });
        },
        isReplayed: () => true,
        end: async (call) => {
          // Calls that come together are of one slice.
          this.#together.push(call);
          this.calls.push(call);
          this.#taking ??= new Promise((resolve) => setImmediate(resolve)).then(() => {
            this.#taking = undefined;
            return this.orders.takeSlice(this.#together.splice(0), this.goesOn);
          });
          await this.#taking;
          for (const { source, row } of call.ends)
            this.ended.push(`${source} ${call.sessionId} ${row}`);
        },
        closedMs: () => this.closedMs,
        timelineOf: (source) => [source],
        whyUnbooked: () => this.unbooked,
      },
      ...(this.#options.entriesPerSnapshot === undefined
        ? {}
        : { entriesPerSnapshot: this.#options.entriesPerSnapshot }),
      clock: systemClock,
      logger: {
        ...silentLogger,
        warn: (message, fields) =>
          void this.warnings.push(`${message}: ${String(fields?.reason ?? "")}`),
        error: (text, fields = {}) => void this.errors.push({ text, fields }),
      },
    });
  }
}

const cause = { reason: "test", principal: "local" };

function sessionOf(sessionId: string, strategyIds: readonly string[]): SessionScope {
  const rights = ["observe", "compute", "trade"] as const;
  return { sessionId, worldId: "w1", strategyIds, sources: [], rights };
}
