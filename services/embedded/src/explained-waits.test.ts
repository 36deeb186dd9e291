import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { Runner, type Strategy } from "@qmtl/sdk";
import { expect, test } from "vitest";
import { type LabFeed, PaperLab } from "./testing/paper-lab.ts";
import { dayMs, firstMs, historyDays, Legs, start, walk } from "./testing/paper-market.ts";

const days = historyDays + 20;
const dayOf = (day: number): number => firstMs + (historyDays + day) * dayMs;

/** A lab with a world on feed a, and what it tells of a strategy. */
async function openLab(feeds: Readonly<Record<string, LabFeed>>) {
  const lab = await PaperLab.open(feeds, start);
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
