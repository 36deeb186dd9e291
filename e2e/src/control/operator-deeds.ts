import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { RebalancingExecutionService } from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { type Connection, QmtlError } from "@qmtl/sdk/rpc";
import { STORY_WORLD } from "../crash/story-world.ts";

const worldId = STORY_WORLD;
const accountId = "main";
const reason = "the control story";

/** Reasons of refusals that follow from earlier deeds, or from the feed that moves on meanwhile. */
const REFUSALS = new Set([
  ...["HALTED", "GATE_SHUT", "ACCOUNT_UNRECONCILED", "ACCOUNT_REVISION_STALE"],
  ...["PLAN_NOT_EXECUTABLE", "MARK_INVALID"],
]);

/** What the platform acknowledged, each by the id that its topic reports. */
export interface Acknowledged {
  readonly halts: Set<string>;
  readonly policies: Set<number>;
  /** Batches with their number of position changes, oldest first. */
  readonly batches: { readonly batchId: string; readonly deltas: number }[];
}

/** What operators do to halts, policies and capital. Every choice follows from `next`, whose numbers are in [0, 1). */
export class OperatorDeeds {
  readonly acknowledged: Acknowledged = {
    halts: new Set(),
    policies: new Set(),
    batches: [],
  };
  /** How often a rebalance was refused for one of `REFUSALS`. */
  refused = 0;
  /** Repeats the request of a batch whose answer was lost with the platform; undefined when there is none. */
  #unanswered: (() => Promise<void>) | undefined;
  #count = 0;
  readonly #connection: Connection;
  readonly #next: () => number;
  readonly #strategyIds: () => readonly string[];

  constructor(connection: Connection, next: () => number, strategyIds: () => readonly string[]) {
    this.#connection = connection;
    this.#next = next;
    this.#strategyIds = strategyIds;
  }

  async halt(): Promise<void> {
    const strategyId = this.#pick(this.#strategyIds());
    const target = this.#pick([
      { case: "everything" as const, value: {} },
      { case: "accountId" as const, value: accountId },
      { case: "worldId" as const, value: worldId },
      { case: "strategyId" as const, value: strategyId },
    ]);
    const ask = { target: { target }, reason, cancel: this.#next() < 0.5 };
    const { halt } = await this.#orders.halt(ask);
    if (halt?.stored) this.acknowledged.halts.add(halt.haltId);
  }

  /** Ends one of the halts in force, by its id or by what it halts. */
  async resume(): Promise<void> {
    const { halts } = await this.#orders.listHalts({});
    if (halts.length === 0) return;
    const halt = this.#pick(halts);
    const which =
      this.#next() < 0.5 || halt.target === undefined
        ? ({ case: "haltId", value: halt.haltId } as const)
        : ({ case: "target", value: halt.target } as const);
    await this.#orders.resume({ which, reason });
  }

  async resumeAll(): Promise<void> {
    for (const { haltId } of (await this.#orders.listHalts({})).halts)
      await this.#orders.resume({ which: { case: "haltId", value: haltId }, reason });
  }

  /** Stores another policy, which lets everybody in, too. */
  async policy(): Promise<void> {
    const max = 0.9 + Math.floor(this.#next() * 90) / 1000;
    const document = `metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 5
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: ${max}}
`;
    const requestId = `policy-${++this.#count}`;
    const { policy } = await this.#policies.createPolicy({ worldId, document, requestId });
    if (policy !== undefined && this.#next() < 0.7) await this.#setDefault(policy.version);
  }

  async otherDefault(): Promise<void> {
    const { policies } = await this.#policies.listPolicies({ worldId, pageSize: 1_000 });
    await this.#setDefault(this.#pick(policies).version);
  }

  async allocate(): Promise<void> {
    const requestId = `allocate-${++this.#count}`;
    const allocations = [this.#allocation()];
    const capital = this.#connection.client(RebalancingService);
    await capital.upsertAllocations({ requestId, allocations, reason });
  }

  async preview(): Promise<void> {
    const order = { accountId, allocations: [this.#allocation()] };
    const client = this.#connection.client(RebalancingExecutionService);
    await this.#unlessRefused(async () => {
      await client.previewRebalance({ order, perStrategy: this.#next() < 0.5 });
    });
  }

  async execute(): Promise<void> {
    const batchId = `batch-${++this.#count}`;
    const order = { accountId, allocations: [this.#allocation()] };
    const client = this.#connection.client(RebalancingExecutionService);
    const act = () =>
      this.#unlessRefused(async () => {
        const { plan } = await client.executeRebalance({ batchId, order, reason });
        this.acknowledged.batches.push({ batchId, deltas: plan?.deltas.length ?? 0 });
      });
    this.#unanswered = act;
    await act();
    this.#unanswered = undefined;
  }

  /** Repeats the batch whose answer was lost with the platform, as its caller would. */
  async finish(): Promise<void> {
    await this.#unanswered?.();
    this.#unanswered = undefined;
  }

  /** Strategies of the world, including those whose submission is under way. */
  async strategies(): Promise<string[]> {
    const gateway = this.#connection.client(GatewayService);
    const { strategies } = await gateway.listStrategies({ pageSize: 1_000 });
    return strategies.map(({ strategyId }) => strategyId);
  }

  /** Ids of all orders that the world ever had. */
  async orderIds(): Promise<string[]> {
    const ids: string[] = [];
    let pageToken = "";
    do {
      const ask = { filter: { worldId }, pageSize: 100, pageToken };
      const page = await this.#orders.listOrders(ask);
      ids.push(...page.orders.map(({ clientOrderId }) => clientOrderId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return ids;
  }

  async #setDefault(version: number): Promise<void> {
    await this.#policies.setDefaultPolicy({ worldId, version });
    this.acknowledged.policies.add(version);
  }

  #allocation() {
    const [first = "", second = ""] = this.#strategyIds();
    const share = Math.round(this.#next() * 50) / 100;
    return {
      worldId,
      ratio: 0.3 + Math.round(this.#next() * 60) / 100,
      strategies: [
        { strategyId: first, share },
        { strategyId: second, share: 0.1 + Math.round(this.#next() * 30) / 100 },
      ],
    };
  }

  async #unlessRefused(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (failure) {
      if (!(failure instanceof QmtlError && REFUSALS.has(failure.reason))) throw failure;
      this.refused += 1;
    }
  }

  #pick<T>(all: readonly T[]): T {
    const one = all[Math.floor(this.#next() * all.length)];
    if (one === undefined) throw new Error("nothing to choose from");
    return one;
  }

  get #orders() {
    return this.#connection.client(OrderService);
  }

  get #policies() {
    return this.#connection.client(PolicyService);
  }
}
