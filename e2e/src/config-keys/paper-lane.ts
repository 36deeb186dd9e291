import { durationFromMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import {
  column,
  type OfflineResult,
  type OnlineSession,
  PositionTargetNode,
  type QmtlConfig,
  Runner,
  Strategy,
  StreamInput,
  sma,
} from "@qmtl/sdk";
import type { Connection } from "@qmtl/sdk/rpc";
import { waitFor } from "../crash/wait-for.ts";

/** What a lane trades: entries of `sources`, `instruments` and `accounts` of the one configuration. */
export interface Lane {
  /** Name of its world and of its strategy. */
  readonly name: string;
  readonly source: string;
  readonly instrument: string;
  readonly account: string;
}

/** An order as the backtest and the account report it alike. Quantity and fill are units, signed. */
export interface LaneOrder {
  readonly quantity: number;
  readonly filled: number;
  /** Mean price of what was filled, 0 while nothing is. */
  readonly price: number;
}

/** Lets every strategy in: these tests look at orders, not at promotion. */
const POLICY = `metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 2
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.99}
`;

const REASON = "keys of the configuration";

/** Reverses its position with the mean of the last two closes. */
export class LaneStrategy extends Strategy {
  static readonly module = import.meta.url;
  readonly #lane: Lane;

  constructor(lane: Lane) {
    super({ name: lane.name });
    this.#lane = lane;
  }

  override setup(): void {
    const { source, instrument } = this.#lane;
    const columns = ["open", "high", "low", "close"];
    const bars = new StreamInput({ source, columns, instrument, interval: "1d" });
    const signal = sma(column(bars, "close", { name: "close" }), 2, { name: "mean" });
    const thresholds = { longEnter: 103, longExit: 103, shortEnter: 102.5, shortExit: 102.5 };
    this.addNodes([new PositionTargetNode({ signal, instrument, thresholds })]);
  }
}

/** Orders of a backtest, in the order they were made. */
export function offlineOrders(result: OfflineResult, lotSize = 1): LaneOrder[] {
  return result.orders.map(({ id, lots, filledLots }) => {
    const fills = result.fills.filter(({ clientOrderId }) => clientOrderId === id);
    const units = fills.reduce((sum, { quantity }) => sum + Number(quantity), 0);
    const price = fills.length === 1 ? fills[0]!.price : meanPrice(fills, units);
    return {
      quantity: lots * lotSize,
      filled: filledLots * lotSize,
      price,
    };
  });
}

function meanPrice(fills: OfflineResult["fills"], units: number): number {
  const paid = fills.reduce((sum, { quantity, price }) => sum + Number(quantity) * price, 0);
  return units === 0 ? 0 : paid / units;
}

/** Trades a lane on paper in a world of its own, from the first row of the feed to its end. Gives its orders. */
export class PaperLanes {
  readonly #connection: Connection;
  readonly #config: QmtlConfig;
  readonly #gatewayUrl: string;

  constructor(connection: Connection, config: QmtlConfig, gatewayUrl: string) {
    this.#connection = connection;
    this.#config = config;
    this.#gatewayUrl = gatewayUrl;
  }

  /** Starts the lane's strategy and opens its gate at the first row of the feed. */
  async start(lane: Lane): Promise<OnlineSession> {
    const worldId = lane.name;
    const { source, account } = lane;
    const worlds = this.#connection.client(WorldService);
    await worlds.createWorld({
      world: {
        worldId,
        clock: WorldClock.REPLAY,
        source,
        accountId: account,
        maxLag: durationFromMs(604_800_000),
      },
      requestId: worldId,
    });
    const policies = this.#connection.client(PolicyService);
    await policies.createPolicy({ worldId, document: POLICY, requestId: worldId });
    let strategyId = "";
    let isOpen = false;
    const run = await Runner.run(new LaneStrategy(lane), {
      worldId,
      config: this.#config,
      gatewayUrl: this.#gatewayUrl,
      connection: this.#connection,
      onEvent: ({ kind, message }) => {
        if (kind === "submitted") strategyId = message.split(":")[0] ?? "";
        if (kind === "gate_opened") isOpen = true;
      },
    });
    await waitFor(`${worldId} is submitted`, async () => strategyId !== "" || undefined);
    const allocation = { worldId, ratio: 1, strategies: [{ strategyId, share: 1 }] };
    await this.#connection
      .client(RebalancingService)
      .upsertAllocations({ requestId: worldId, allocations: [allocation], reason: REASON });
    for (const [runId, targetMode] of [
      ["watch", EffectiveMode.COMPUTE_ONLY],
      ["trade", EffectiveMode.PAPER],
    ] as const) {
      const ask = { worldId, runId: `${worldId}-${runId}`, targetMode, reason: REASON };
      for await (const _ of this.#connection.client(ActivationService).apply(ask));
    }
    await waitFor(`the gate of ${worldId} is open`, async () => isOpen || undefined);
    return run;
  }

  /** Lets a feed pass up to a moment and waits until it is settled there. */
  async advance(source: string, untilMs: number): Promise<void> {
    const queues = this.#connection.client(QueueService);
    const scope = { scope: { case: "source" as const, value: source } };
    const to = { case: "untilTime" as const, value: timestampFromMs(untilMs) };
    await queues.advanceFeed({ scope, to });
    await this.settledAt(source);
  }

  /** Orders of a lane's world, oldest first. */
  async orders({ name, account }: Lane): Promise<LaneOrder[]> {
    const filter = { accountId: account, worldId: name };
    const client = this.#connection.client(OrderService);
    const { orders } = await client.listOrders({ filter, pageSize: 1_000 });
    return orders.map(({ quantity, filledQuantity, averagePrice }) => ({
      quantity: Number(quantity?.value ?? 0),
      filled: Number(filledQuantity?.value ?? 0),
      price: Number(averagePrice?.value ?? 0),
    }));
  }

  /** Waits until a feed has passed a row and is settled; gives the end of that row, milliseconds. */
  async settledAt(source: string): Promise<number> {
    const scope = { scope: { case: "source" as const, value: source } };
    return waitFor(`${source} is settled`, async () => {
      const [feed] = (await this.#connection.client(QueueService).listFeeds({ scope })).feeds;
      if (feed?.settled !== true || feed.passedBucketEndTime === undefined) return undefined;
      return timestampMs(feed.passedBucketEndTime);
    });
  }

  /** Row of a lane's first order. */
  async firstRow({ name, account }: Lane): Promise<number> {
    const filter = { accountId: account, worldId: name };
    const { orders } = await this.#connection.client(OrderService).listOrders({ filter });
    return Number(orders[0]?.row ?? -1);
  }
}
