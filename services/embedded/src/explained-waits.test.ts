import { timestampMs } from "@bufbuild/protobuf/wkt";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ProcessingNode, Runner, Strategy, WeightTargetNode } from "@qmtl/sdk";
import { expect, test } from "vitest";
import { type LabFeed, PaperLab } from "./testing/paper-lab.ts";
import {
  closesOf,
  dayMs,
  firstMs,
  historyDays,
  Legs,
  start,
  walk,
} from "./testing/paper-market.ts";

const days = historyDays + 20;
const dayOf = (day: number): number => firstMs + (historyDays + day) * dayMs;

/** A lab with a world on feed a, and what it tells of a strategy. */
async function openLab(feeds: Readonly<Record<string, LabFeed>>, more = "") {
  const lab = await PaperLab.open(feeds, start, { more });
  await lab.createWorld("a");
  const run = (strategy: Strategy) =>
    Runner.session(strategy, { config: lab.config, worldId: "w" });
  const explain = (strategyId: string) =>
    lab.connection.client(GatewayService).explainStrategy({ worldId: "w", strategyId });
  const feedOf = async (source: string) => {
    const scope = { scope: { case: "source" as const, value: source } };
    const { feeds: found } = await lab.connection.client(QueueService).listFeeds({ scope });
    return found[0]!;
  };
  return { lab, run, explain, feedOf };
}

async function computing(session: Awaited<ReturnType<typeof Runner.session>>): Promise<string> {
  await expect.poll(() => session.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  return session.status().strategyId;
}

test("a feed that only a strategy reads which is not run is named where a world waits for it, and by explain", async () => {
  const feeds = { a: walk(61, { to: days }), b: walk(62, { to: days }) };
  const { lab, run, explain, feedOf } = await openLab(feeds);
  await using _ = lab;
  await using first = await run(new Legs({ a: "1d" }, 0.5));
  const strategyId = await computing(first);
  const second = await run(new Legs({ b: "1d" }, 0.4));
  await computing(second);
  await lab.advance("a", dayOf(3));
  expect((await explain(strategyId)).waitsForSources).toEqual([]);

  await second.stop();
  await lab.release("a", dayOf(10));
  await expect
    .poll(async () => (await explain(strategyId)).waitsForSources, { timeout: 30_000 })
    .toEqual(["b"]);

  expect(await feedOf("a")).toMatchObject({ waitsForSources: ["b"], settled: false });
  expect((await explain(strategyId)).summary).toContain(
    "The feeds of its world wait for the next row of b, which nobody has offered: run a strategy that reads it, or unbind those that do.",
  );
}, 120_000);

test("a strategy that does not trade because a source has ended is explained by that source", async () => {
  const feeds = { a: walk(63, { to: days }), c: walk(64, { to: days - 12 }) };
  const { lab, run, explain } = await openLab(feeds);
  await using _ = lab;
  await using session = await run(new Legs({ a: "1d" }, 0.5, { c: "1d" }));
  const strategyId = await computing(session);
  await lab.advance("a", dayOf(5));
  expect((await explain(strategyId)).signalGaps).toEqual([]);

  await lab.advance("a", dayOf(17));

  const { signalGaps, summary } = await explain(strategyId);
  expect(signalGaps).toMatchObject([{ strategyId, instrument: "Z", source: "c" }]);
  const { buckets } = signalGaps[0]!;
  expect(Number(buckets)).toBe(session.status().signalStale.Z);
  expect(Number(buckets)).toBeGreaterThanOrEqual(5);
  expect(summary).toContain(
    `Its target of Z has had no signal for ${buckets} buckets, because source c has none.`,
  );
}, 120_000);

/** Short of feed a, three times its capital. */
class Short extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const inputs = { close: closesOf("a", "1d") };
    const signal = new ProcessingNode({ name: "short", inputs, period: 1, compute: () => -3 });
    this.addNodes([new WeightTargetNode({ signal, instrument: "Z", weightMin: -3 })]);
  }
}

test("a strategy that trades nothing because its account is ruined is explained by the ruin, with the time", async () => {
  const price = (day: number): number => (day < historyDays + 4 ? 100 : 200);
  const lines = Array.from({ length: days }, (_, day) => {
    const date = new Date(firstMs + day * dayMs).toISOString();
    return [date, ...new Array<number>(4).fill(price(day))].join(",");
  });
  const { lab, run, explain } = await openLab({ a: { interval: "1d", lines } }, "leverage_max: 4");
  await using _ = lab;
  await using session = await run(new Short());
  const strategyId = await computing(session);
  await lab.promote({ [strategyId]: 1 });
  await lab.advance("a", dayOf(3));
  expect((await explain(strategyId)).ruin).toBeUndefined();

  await lab.advance("a", dayOf(8));

  const { ruin, summary } = await explain(strategyId);
  const account = await lab.account();
  expect(timestampMs(ruin!.ruinTime!)).toBe(dayOf(5));
  expect(Number(ruin!.equity!.value)).toBeLessThan(-1_900_000);
  expect(account!.ruin).toEqual(ruin);
  expect(summary).toContain(
    `The account of its world is ruined since 2020-01-26T00:00:00.000Z (ACCOUNT_RUINED): its equity was ${Number(ruin!.equity!.value).toFixed(2)}, and no order is taken on it any more. To go on, trade on an account of another name.`,
  );
  expect(summary).not.toContain("It has no capital");
}, 120_000);
