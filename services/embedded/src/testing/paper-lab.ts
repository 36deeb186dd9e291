import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toJson } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { FeedStateSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { ApplyPhase } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { Account } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import { type Order, OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import type { StrategyTrace } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { MarkedReturns } from "@qmtl/core/metrics";
import { loadConfig, type QmtlConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { openPglite } from "@qmtl/service-kit/db";
import { freePorts, waitUntil } from "@qmtl/service-kit/testing";
import { type Platform, startPlatform } from "../start-platform.ts";

const POLICY = `
metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 5
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.99}
`;
const reason = "the test";

const stateNames = new Map<number, string>(
  Object.entries(OrderState).map(([name, state]) => [state, name]),
);

/** A feed of the lab: its bars, and the length of one. */
export interface LabFeed {
  readonly interval: string;
  /** Lines of its file, without the head: date, open, high, low, close. */
  readonly lines: readonly string[];
  /** Rows a second, which are then offered one by one. @default as fast as they are ended */
  readonly speed?: number;
}

/** A paper account of the lab. */
export interface LabAccount {
  readonly cash: number;
  readonly feeBps: number;
  /** Feeds whose instruments it lists. */
  readonly feeds: readonly string[];
}

export interface LabOptions {
  /** More keys of each account, in YAML's braces. @default none */
  readonly more?: string;
  /** Funding of the instruments of feeds, by feed: lines of date and rate, read as source `rates_` and the feed. @default none */
  readonly funding?: Readonly<Record<string, LabFeed>> | undefined;
  /** @default `main`, which lists the instruments of all feeds */
  readonly accounts?: Readonly<Record<string, LabAccount>>;
  /** Timers of node leases, in YAML's braces. @default those of the product */
  readonly nodeLeases?: string;
  /** Whether the platform has a page of metrics. @default false */
  readonly metrics?: boolean;
  /** Connection string of an empty PostgreSQL database. @default an embedded database */
  readonly dsn?: string | undefined;
}

/** The account of a lab that is not told of others. */
export const labMain = { cash: 1_000_000, feeBps: 2 };

/** A platform with feeds, an instrument of each, and paper accounts, held before the first bar. */
export class PaperLab implements AsyncDisposable {
  readonly config: QmtlConfig;
  /** Deleted with the lab. */
  readonly folder: string;
  #platform: Platform | undefined;
  #connection: Connection | undefined;

  private constructor(folder: string, config: QmtlConfig) {
    this.folder = folder;
    this.config = config;
  }

  static async open(
    feeds: Readonly<Record<string, LabFeed>>,
    start: string,
    options: LabOptions = {},
  ): Promise<PaperLab> {
    const { more = "", funding = {}, accounts, dsn, metrics = false, nodeLeases = "" } = options;
    const folder = mkdtempSync(join(tmpdir(), "qmtl-lab-"));
    const [gateway, web, dag, world, page] = await freePorts(5);
    const names = Object.keys(feeds);
    const rates = Object.entries(funding).map(([name, feed]) => [`rates_${name}`, feed] as const);
    const sources = [...Object.entries(feeds), ...rates].map(
      ([name, { interval, speed = "max" }]) =>
        `  ${name}: {adapter: csv-replay, file: ${name}.csv, interval: ${interval}, start: ${start}, until: start, speed: ${speed}}`,
    );
    const instruments = names.map(
      (name) =>
        `  ${symbolOf(name)}: {venue: paper, tick: "0.01", lot: "0.001", quote_currency: USD, mark_source: ${name}${name in funding ? `, funding: {source: rates_${name}, column: rate}` : ""}}`,
    );
    const listed = Object.entries(accounts ?? { main: { ...labMain, feeds: names } }).map(
      ([name, { cash, feeBps, feeds: own }]) =>
        `  ${name}: {broker: paper, currency: USD, initial_cash: "${cash}", fee_bps: ${feeBps}, half_spread_bps: 3, instruments: [${own.map(symbolOf).join(", ")}]${more === "" ? "" : `, ${more}`}}`,
    );
    for (const name of names) {
      const text = `date,open,high,low,close\n${feeds[name]!.lines.join("\n")}\n`;
      writeFileSync(join(folder, `${name}.csv`), text);
    }
    for (const [name, { lines }] of rates)
      writeFileSync(join(folder, `${name}.csv`), `date,rate\n${lines.join("\n")}\n`);
    if (dsn !== undefined) writeFileSync(join(folder, "dsn"), dsn, { mode: 0o600 });
    const storage =
      dsn === undefined
        ? "storage: {kind: embedded, data_dir: data}"
        : "storage: {kind: postgres, dsn: {file: dsn}}\nbus: {kind: embedded}";
    const file = join(folder, "qmtl.yml");
    writeFileSync(
      file,
      `${storage}
telemetry: {log_level: error${metrics ? `, metrics_port: ${page}` : ""}}
gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}${nodeLeases === "" ? "" : `, ${nodeLeases}`}}
world_service: {port: ${world}}
sdk: {gateway_url: "http://127.0.0.1:${gateway}"}
sources:
${sources.join("\n")}
instruments:
${instruments.join("\n")}
accounts:
${listed.join("\n")}
`,
    );
    const lab = new PaperLab(folder, loadConfig({ path: file, env: {} }));
    await lab.start();
    return lab;
  }

  get connection(): Connection {
    if (this.#connection === undefined) throw new Error("the platform is down");
    return this.#connection;
  }

  /** Starts the platform, again on the same ports and data. */
  async start(): Promise<void> {
    this.#platform = await startPlatform(this.config);
    this.#connection = connectTo(this.config.sdk.gateway_url);
  }

  /** Series of a metric of the platform, as its page states them. */
  async series(name: string): Promise<string[]> {
    const text = await (await fetch(this.#platform?.addresses.metrics ?? "")).text();
    return text.split("\n").filter((line) => line.startsWith(`${name}{`));
  }

  async stop(): Promise<void> {
    this.#connection?.close();
    this.#connection = undefined;
    await this.#platform?.stop();
    this.#platform = undefined;
  }

  /** Creates a world that lives by a feed. */
  async createWorld(source: string, { worldId = "w", accountId = "main" } = {}): Promise<void> {
    const world = {
      ...{ worldId, clock: WorldClock.REPLAY, source, accountId },
      maxLag: durationFromMs(40 * 86_400_000),
    };
    await this.connection.client(WorldService).createWorld({ world, requestId: worldId });
    const policy = { worldId, document: POLICY, requestId: `policy of ${worldId}` };
    await this.connection.client(PolicyService).createPolicy(policy);
  }

  /** Gives strategies these shares of all of the capital of a world. */
  async allocate(shares: Readonly<Record<string, number>>, worldId = "w"): Promise<void> {
    const strategies = Object.entries(shares).map(([strategyId, share]) => ({ strategyId, share }));
    await this.connection.client(RebalancingService).upsertAllocations({
      requestId: `shares of ${worldId}`,
      allocations: [{ worldId, ratio: 1, strategies }],
      reason,
    });
  }

  /** Puts strategies on paper in a world, with these shares of all of the capital. */
  async promote(shares: Readonly<Record<string, number>>, worldId = "w"): Promise<void> {
    await this.allocate(shares, worldId);
    for (const mode of [EffectiveMode.COMPUTE_ONLY, EffectiveMode.PAPER])
      await this.apply(mode, Object.keys(shares), worldId);
  }

  /** Raises a world and its strategies by one stage, in two phases. */
  async apply(
    targetMode: EffectiveMode,
    activate: readonly string[],
    worldId = "w",
  ): Promise<void> {
    const plan = { activate: [...activate], deactivate: [] };
    const runId = `to-${targetMode}`;
    const ask = { worldId, runId, targetMode, plan, reason };
    let last: ApplyPhase = ApplyPhase.UNSPECIFIED;
    for await (const { phase } of this.connection.client(ActivationService).apply(ask))
      last = phase;
    if (last !== ApplyPhase.COMPLETED) throw new Error(`the apply ended in phase ${last}`);
  }

  /** Moves the limit to a date, or removes it, and waits until the feed is settled there. */
  async advance(source: string, toMs?: number, timeoutMs = 120_000): Promise<void> {
    await this.release(source, toMs);
    await this.settled(source, timeoutMs);
  }

  /** Moves the limit to a date, or removes it. */
  async release(source: string, toMs?: number): Promise<void> {
    const queues = this.connection.client(QueueService);
    const scope = { scope: { case: "source" as const, value: source } };
    const to =
      toMs === undefined
        ? { case: "toEnd" as const, value: true }
        : { case: "untilTime" as const, value: { seconds: BigInt(toMs / 1_000), nanos: 0 } };
    await queues.advanceFeed({ scope, to });
  }

  /** Waits until a feed is settled. */
  async settled(source: string, timeoutMs = 120_000): Promise<void> {
    const scope = { scope: { case: "source" as const, value: source } };
    let seen = "";
    const isSettled = async (): Promise<boolean> => {
      const { feeds } = await this.connection.client(QueueService).listFeeds({ scope });
      const state = feeds.map((feed) => toJson(FeedStateSchema, feed));
      seen = JSON.stringify(state);
      return feeds.every(({ settled }) => settled);
    };
    await waitUntil(isSettled, { what: `${source} is settled`, timeoutMs }).catch((error) => {
      throw new Error(`${String(error)}; ${seen}`);
    });
  }

  /** Judges the strategies by a policy that is not in force. */
  async judged(policyDocument: string): Promise<readonly StrategyTrace[]> {
    const ask = { worldId: "w", validateOnly: true, policyDocument, requestId: "look" };
    const { evaluation } = await this.connection.client(DecisionService).evaluate(ask);
    return evaluation?.strategies ?? [];
  }

  /** Hands in a backtest series of a strategy. */
  async reportBacktest(strategyId: string, marked: MarkedReturns): Promise<void> {
    const { intervalSeconds, periodsPerYear, returns, endsMs } = marked;
    const series = {
      interval: durationFromMs(intervalSeconds * 1_000),
      ...{ periodsPerYear, domain: ExecutionDomain.BACKTEST },
      returns: Array.from(returns),
      bucketEndMs: Array.from(endsMs),
    };
    const report = { worldId: "w", returns: [{ strategyId, series }] };
    await this.connection.client(DecisionService).reportReturns(report);
  }

  /** Stops the platform, and reads the paper series that WorldService has stored, by strategy. */
  async storedSeries(): Promise<ReadonlyMap<string, MarkedReturns>> {
    await this.stop();
    const host = await openPglite({ dataDir: join(this.folder, "data") });
    try {
      const rows = await host.db("world").query<StoredChunk>(
        `SELECT s.strategy_id, interval_seconds, periods_per_year, returns, bucket_ends
         FROM world.returns_series s JOIN world.returns_chunk USING (world_id, strategy_id, domain)
         WHERE domain = 'dryrun' ORDER BY s.strategy_id, chunk`,
      );
      const strategies = new Set(rows.map((row) => row.strategy_id));
      return new Map([...strategies].map((id) => [id, seriesOf(rows, id)]));
    } finally {
      await host.close();
    }
  }

  /** Orders of an account that were sent, as text: instrument and signed quantity. */
  async orders(accountId = "main"): Promise<string[]> {
    const all = await this.#allOrders(accountId);
    return all.map(({ instrument, quantity }) => `${instrument} ${Number(quantity?.value)}`);
  }

  /** Orders of an instrument, as text: signed quantity, state, and what of it is filled. */
  async ordersOf(instrument: string, accountId = "main"): Promise<string[]> {
    const all = await this.#allOrders(accountId);
    return all
      .filter((order) => order.instrument === instrument)
      .map(({ quantity, state, filledQuantity: filled }) => {
        const name = stateNames.get(state);
        return `${Number(quantity?.value)} ${name} ${Number(filled?.value ?? 0)}`;
      });
  }

  async #allOrders(accountId: string): Promise<Order[]> {
    const client = this.connection.client(OrderService);
    const all: Order[] = [];
    let pageToken = "";
    do {
      const answer = await client.listOrders({ filter: { accountId }, pageSize: 500, pageToken });
      all.push(...answer.orders);
      pageToken = answer.nextPageToken;
    } while (pageToken !== "");
    return all;
  }

  async equity(accountId = "main"): Promise<string> {
    return (await this.account(accountId))?.equity?.value ?? "";
  }

  async account(accountId = "main"): Promise<Account | undefined> {
    return (await this.connection.client(AccountService).getAccount({ accountId })).account;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

interface StoredChunk {
  readonly strategy_id: string;
  readonly interval_seconds: number;
  readonly periods_per_year: number;
  readonly returns: Uint8Array;
  readonly bucket_ends: Uint8Array;
}

function seriesOf(rows: readonly StoredChunk[], strategyId: string): MarkedReturns {
  const chunks = rows.filter((row) => row.strategy_id === strategyId);
  const [first] = chunks;
  return {
    intervalSeconds: first?.interval_seconds ?? Number.NaN,
    periodsPerYear: first?.periods_per_year ?? Number.NaN,
    source: "dryrun",
    returns: chunks.flatMap((chunk) => floatsOf(chunk.returns)),
    endsMs: chunks.flatMap((chunk) => floatsOf(chunk.bucket_ends)),
  };
}

/** Little-endian float64 values of bytes. */
function floatsOf(bytes: Uint8Array): number[] {
  const buffer = Buffer.from(bytes);
  return Array.from({ length: buffer.length / 8 }, (_, at) => buffer.readDoubleLE(8 * at));
}

/** Instrument of a feed that is named by one small letter: Z for a, Y for b, so that the two sort differently. */
export function symbolOf(feed: string): string {
  return String.fromCharCode("a".charCodeAt(0) + "Z".charCodeAt(0) - feed.charCodeAt(0));
}

/** Numbers from 0 to 1 that depend on the seed alone. */
export function seededNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A connection that waits for a random while, `delayMsMax` at most, in front of every call. */
export function delayed(
  connection: Pick<Connection, "client">,
  seed: number,
  delayMsMax: number,
): Pick<Connection, "client"> {
  const random = seededNumbers(seed);
  const late = (): Promise<void> =>
    new Promise((resolve) => {
      setTimeout(resolve, random() * delayMsMax);
    });
  return {
    client(service) {
      const client = connection.client(service) as Record<string, unknown>;
      const slow: Record<string, unknown> = {};
      for (const { localName, methodKind } of service.methods) {
        const call = client[localName];
        if (typeof call !== "function") continue;
        if (methodKind === "unary") {
          slow[localName] = async (...args: unknown[]) => {
            await late();
            return call.apply(client, args);
          };
        } else if (methodKind === "bidi_streaming") {
          slow[localName] = (frames: AsyncIterable<unknown>, ...rest: unknown[]) =>
            each(call.apply(client, [each(frames, late), ...rest]), late);
        } else slow[localName] = (...args: unknown[]) => call.apply(client, args);
      }
      return slow as ReturnType<typeof connection.client<typeof service>>;
    },
  };
}

/** What a stream has, each after a wait, in order. */
async function* each(items: AsyncIterable<unknown>, wait: () => Promise<void>) {
  for await (const item of items) {
    await wait();
    yield item;
  }
}
