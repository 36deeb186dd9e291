import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toJson } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Connection } from "@qmtl/sdk/rpc";
import { QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { type Stack, startStack } from "../harness/start-stack.ts";

const DAY = 86_400_000;
const FIRST_DAY = Date.UTC(2020, 0, 1);
/** Rows before the feed begins. */
export const HISTORY = 120;
const ROWS = HISTORY + 20;

/** Date of a row of the feed. */
export const dateOf = (row: number): string =>
  new Date(FIRST_DAY + row * DAY).toISOString().slice(0, 10);
/** End of a row's bucket, milliseconds since the epoch. */
export const bucketEndOf = (row: number): number => FIRST_DAY + (row + 1) * DAY;

/** Trades now and then in its history, so that a policy can judge it; in the feed it wants no position. */
const STRATEGY = `
import { column, PositionTargetNode, Strategy, StreamInput, sma } from "@qmtl/sdk";

export class Idler extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d" });
    const signal = sma(column(bars, "close", { name: "close" }), 2, { name: "mean" });
    const thresholds = { longEnter: 105, longExit: 104, shortEnter: 20, shortExit: 30 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}
`;

const POLICY = `
metrics_from: {enter_paper: backtest, stay_paper: dryrun}
min_samples: 20
thresholds:
  drawdown: {metric: max_drawdown_ratio, max: 0.99}
`;

const CONFIG = `
sources:
  day: {adapter: csv-replay, file: feed.csv, interval: 1d, start: ${dateOf(HISTORY)}, until: start}
instruments: {X: {venue: paper, tick: "0.01", lot: "0.1", quote_currency: USD, mark_source: day}}
accounts:
  main:
    {initial_cash: "1000000", instruments: [X], limits: {max_order_notional: 5000, max_gross_notional: 8000}}
`;

/** Rows of the feed, as CSV; in the feed itself the close is 100. */
export function feedRows(rows = ROWS): string[] {
  return Array.from({ length: rows }, (_, row) => {
    const close = row < HISTORY ? 100 + ((row * 5) % 7) : 100;
    return [dateOf(row), close, close + 1, close - 1, close].join(",");
  });
}

export const FEED_HEADER = "date,open,high,low,close";

/** One platform that bad input is sent to. */
export interface BadInputStack extends AsyncDisposable {
  readonly stack: Stack;
  readonly connection: Connection;
  /** Runs commands against it, in its folder. */
  readonly qmtl: QmtlCommand;
  call(...args: readonly string[]): Promise<unknown>;
  /** Everything the platform has stored on request, as text to compare. */
  stored(): Promise<string>;
}

/** Starts the platform, with a world `w` that has a policy, and a strategy in a file. */
export async function startBadInputStack(): Promise<BadInputStack> {
  const stack = await startStack({ config: CONFIG });
  const { folder } = stack;
  await writeFile(join(folder, "feed.csv"), `${FEED_HEADER}\n${feedRows().join("\n")}\n`);
  await writeFile(join(folder, "idler.ts"), STRATEGY);
  await writeFile(join(folder, "policy.yml"), POLICY);
  const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
  await symlink(modules, join(folder, "node_modules"));
  const connection = stack.connect();
  const qmtl = new QmtlCommand(stack.configFile, folder);
  const call = (...args: readonly string[]) =>
    qmtl.lines("--gateway-url", stack.gatewayUrl, ...args);
  await call("world", "create", "w", "--clock", "replay", "--source", "day", "--account", "main");
  await call("policy", "add", "w", "policy.yml");
  return {
    stack,
    connection,
    qmtl,
    call,
    stored: () => storedOf(connection),
    [Symbol.asyncDispose]: async () => {
      connection.close();
      await stack[Symbol.asyncDispose]();
    },
  };
}

async function storedOf(connection: Connection): Promise<string> {
  const worldId = "w";
  const worlds = await connection.client(WorldService).listWorlds({ pageSize: 1_000 });
  const bindings = await connection.client(WorldService).listBindings({ worldId });
  const audit = await connection
    .client(WorldService)
    .listAuditEntries({ worldId, pageSize: 1_000 });
  const policies = await connection.client(PolicyService).listPolicies({ worldId });
  const runs = await connection.client(ActivationService).listApplyRuns({ worldId });
  const queues = await connection.client(QueueService).listQueueStats({});
  const journal = await connection
    .client(AccountService)
    .listJournal({ accountId: "main", pageSize: 1_000 });
  return JSON.stringify(
    {
      worlds: worlds.worlds.map((each) => each.worldId),
      bindings: bindings.bindings.map((each) => each.strategyId),
      audit: audit.entries.map((each) => [each.type, each.bodyJson]),
      policies: policies.policies.map((each) => [each.version, each.isDefault, each.checksum]),
      runs: runs.runs.map((each) => [each.runId, each.phase]),
      queues: queues.queues.map((each) => each.queue?.queue),
      journal: journal.entries.map((each) => [Number(each.entry), each.bodyJson]),
      events: await eventsOf(connection),
    },
    undefined,
    1,
  );
}

/** Control events except those of gates, which change with time alone. */
async function eventsOf(connection: Connection): Promise<unknown[]> {
  const events: unknown[] = [];
  let pageToken = "";
  do {
    const page = await connection.client(GatewayService).listEvents({ pageSize: 1_000, pageToken });
    const kept = page.events.filter(({ topicKey }) => !topicKey.endsWith("/gate"));
    events.push(...kept.map((event) => toJson(ControlEventSchema, event)));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return events;
}
