import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import {
  AccountService,
  ActivationService,
  type ApplyRun,
  type FeedState,
  type Order,
  OrderService,
  type Position,
  QueueService,
} from "@qmtl/sdk/services";

const WORLD = "demo";
const ACCOUNT = "main";
const SOURCE = "sp500";
const pageSizeMax = 1_000;
const settleMsMax = 120_000;
const lookIntervalMs = 25;
/** Short, because the platform is killed once and comes back: the demo reconnects at once. */
const reconnectDelayMsMax = 200;

/** The state that the demo polls, over one connection of the SDK; its actions go through the command line. */
export class PlatformBooks {
  readonly #connection: Connection;

  constructor(gatewayUrl: string) {
    this.#connection = connectTo(gatewayUrl, { reconnectDelayMsMax });
  }

  /** Every order of the world, oldest first. */
  async orders(): Promise<Order[]> {
    const orders: Order[] = [];
    let pageToken = "";
    do {
      const page = await this.#connection
        .client(OrderService)
        .listOrders({ filter: { worldId: WORLD }, pageSize: pageSizeMax, pageToken });
      orders.push(...page.orders);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return orders;
  }

  /** Positions by strategy, and that of the whole account with an empty strategy. */
  async positions(): Promise<Position[]> {
    const client = this.#connection.client(AccountService);
    return (await client.listPositions({ accountId: ACCOUNT })).positions;
  }

  /** An apply run by its id; undefined while there is none. */
  async applyRun(runId: string): Promise<ApplyRun | undefined> {
    const client = this.#connection.client(ActivationService);
    const { runs } = await client.listApplyRuns({ worldId: WORLD });
    return runs.find((run) => run.runId === runId);
  }

  /** Lets the feed run to the end of a bucket, or to its own end, and waits until everything of it is booked. */
  async advance(untilMs: number | "end"): Promise<void> {
    const queues = this.#connection.client(QueueService);
    const toEnd = untilMs === "end";
    const end = performance.now() + settleMsMax;
    const scope = { scope: { case: "source" as const, value: SOURCE } };
    await queues.advanceFeed({
      scope,
      to: toEnd
        ? { case: "toEnd", value: true }
        : { case: "untilTime", value: timestampFromMs(untilMs) },
    });
    for (;;) {
      const [feed] = (await queues.listFeeds({ scope })).feeds;
      if (feed?.settled && (feed.ended || (!toEnd && passedMs(feed) >= untilMs))) return;
      if (performance.now() > end) throw new Error(`the feed did not settle at ${untilMs}`);
      await pause();
    }
  }

  close(): void {
    this.#connection.close();
  }
}

/** Waits from one poll to the next. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, lookIntervalMs));
}

function passedMs({ passedBucketEndTime }: FeedState): number {
  return passedBucketEndTime === undefined ? 0 : timestampMs(passedBucketEndTime);
}
