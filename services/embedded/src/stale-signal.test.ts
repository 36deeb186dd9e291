import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { ProcessingNode, Runner, Strategy, WeightTargetNode } from "@qmtl/sdk";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { foreignSubmission } from "./testing/foreign-submission.ts";
import { PaperLab, symbolOf } from "./testing/paper-lab.ts";
import { closesOf, dayMs, firstMs, historyDays, start, walk } from "./testing/paper-market.ts";

const days = historyDays + 200;
const dayOf = (day: number): number => firstMs + (historyDays + day) * dayMs;
const feeds = { day: walk(71, { to: days }), gone: walk(72, { to: historyDays + 2 }) };
const closeOn = (day: number): number =>
  Number(feeds.day.lines[historyDays + day]!.split(",").at(-1));

/** Trades by two feeds, one of which has ended; at a price it throws. */
class Silent extends Strategy {
  static readonly module = import.meta.url;
  readonly #odd: number;

  constructor(name: string, odd = 0) {
    super({ name });
    this.#odd = odd;
  }

  override setup(): void {
    const own = new ProcessingNode({
      name: `own of ${this.name}`,
      inputs: { close: closesOf("day", "1d") },
      period: 1,
      params: { odd: this.#odd },
      compute: (w, { odd }) => {
        if (w.close.latest() === odd) throw new Error("an odd price");
        return w.close.latest();
      },
    });
    const signal = new ProcessingNode({
      name: `signal of ${this.name}`,
      inputs: { own, gone: closesOf("gone", "1d") },
      period: 1,
      compute: (w) => Math.sign(w.own.latest() - w.gone.latest()) / 2,
    });
    const instrument = symbolOf("day");
    this.addNodes([new WeightTargetNode({ signal, instrument, weightMin: -1, weightMax: 1 })]);
  }
}

let lab: PaperLab;
/** Days of feed `day` that have passed. */
let day = 2;
beforeAll(async () => {
  lab = await PaperLab.open(feeds, start, { metrics: true });
  await lab.createWorld("day");
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(async () => {
  expect(await told()).toEqual([]);
});

/** Lets more days of feed `day` pass. */
async function pass(more: number, timeoutMs?: number): Promise<void> {
  day += more;
  await lab.advance("day", dayOf(day), timeoutMs);
}

/** Strategies with a series in the metric. */
async function told(): Promise<string[]> {
  const series = await lab.series("signal_stale");
  return series.map((line) => /strategy="([^"]*)"/.exec(line)?.[1] ?? "");
}

const explain = (strategyId: string) =>
  lab.connection.client(GatewayService).explainStrategy({ worldId: "w", strategyId });

/** Ids of the strategies, once their worker has told of each that it has no signal. */
async function silentFor(worker: Awaited<ReturnType<typeof Runner.worker>>): Promise<string[]> {
  await expect.poll(() => worker.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  const ids = worker.status().strategies.map(({ strategyId }) => strategyId);
  await pass(8);
  await expect.poll(told, { timeout: 10_000 }).toHaveLength(ids.length);
  for (const id of ids) expect((await explain(id)).signalGaps).toHaveLength(1);
  return ids;
}

const run = (...strategies: Strategy[]) =>
  Runner.worker(strategies, { config: lab.config, worldId: "w" });

test("a strategy whose run has ended is not told of as one without a signal any more", async () => {
  const worker = await run(new Silent("first"));
  const [strategyId = ""] = await silentFor(worker);

  await worker.stop();

  expect(await told()).toEqual([]);
  const { signalGaps, summary } = await explain(strategyId);
  expect(signalGaps).toEqual([]);
  expect(summary).not.toContain("no signal");
}, 120_000);

test("a strategy that its worker took out is not told of any more, and the others of the worker are", async () => {
  await using worker = await run(new Silent("odd", closeOn(day + 10)), new Silent("even"));
  const [odd = "", even = ""] = await silentFor(worker);

  await pass(4);

  expect(worker.status().strategies.map(({ failure }) => failure !== undefined)).toEqual([
    true,
    false,
  ]);
  await expect.poll(told, { timeout: 15_000 }).toEqual([even]);
  expect((await explain(odd)).signalGaps).toEqual([]);
}, 120_000);

test("a strategy that is unbound is not told of any more, although its runner goes on, and again once it is bound", async () => {
  await using worker = await run(new Silent("unbound"));
  const [strategyId = ""] = await silentFor(worker);
  const worlds = () => lab.connection.client(WorldService);

  await worlds().deleteBinding({ worldId: "w", strategyId, reason: "the test" });
  await expect.poll(told).toEqual([]);
  await lab.stop();
  await lab.start();
  const state = () => worker.status().connection.state;
  await expect.poll(state, { timeout: 30_000 }).toBe("connected");
  await pass(3);
  expect(worker.status().strategies[0]?.bucketEnd).toBe(dayOf(day));
  expect(await told()).toEqual([]);

  await worlds().createBindings({ worldId: "w", strategies: [{ strategyId }] });
  await expect.poll(told, { timeout: 10_000 }).toEqual([strategyId]);
  expect((await explain(strategyId)).signalGaps).toHaveLength(1);
}, 120_000);

test("a strategy whose silent runner was dropped from its feeds is not told of any more", async () => {
  await using publisher = await run(new Silent("publisher"));
  const [own = ""] = await silentFor(publisher);
  const gateway = lab.connection.client(GatewayService);
  const { submission } = await gateway.submitStrategy(foreignSubmission("foreign", ["w"]));
  const { submissionId = "", strategyId = "" } = submission ?? {};
  for await (const _ of gateway.watchSubmission({ submissionId }));
  const { ticket } = await lab.connection.client(ControlStreamService).issueTicket({
    ...{ worldId: "w", strategyIds: [strategyId], rights: [TicketRight.COMPUTE] },
  });
  await lab.connection.client(QueueService).createReplayRunner({ ticket, sources: ["day"] });
  const gap = { strategyId, instrument: symbolOf("day"), buckets: 9n };
  await lab.connection.client(OrderService).setTargets({
    ticket,
    update: {
      claim: { fence: 1n, domain: ExecutionDomain.BACKTEST },
      ...{ strategyIds: [strategyId], signalGaps: [gap] },
    },
  });
  await expect.poll(async () => (await told()).toSorted()).toEqual([own, strategyId].toSorted());

  await pass(2, 25_000);

  expect(await told()).toEqual([own]);
  expect((await explain(strategyId)).signalGaps).toEqual([]);
}, 120_000);
