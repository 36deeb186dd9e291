import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import {
  column,
  ema,
  ProcessingNode,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
  type WorkerSession,
} from "@qmtl/sdk";
import { connectTo } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { delayed, type LabFeed, PaperLab, seededNumbers, symbolOf } from "./testing/paper-lab.ts";

const dayMs = 86_400_000;
const firstMs = Date.UTC(2020, 0, 1);
const historyDays = 20;
const days = historyDays + 40;
const dayOf = (day: number): number => firstMs + day * dayMs;
const start = new Date(dayOf(historyDays)).toISOString().slice(0, 10);
/** Day on which a strategy that is to fail does. */
const faultDay = historyDays + 17;

/** Daily bars of a random walk, but for the days that `isMissing` leaves out. */
function walk(seed: number, isMissing: (day: number) => boolean = () => false): LabFeed {
  const random = seededNumbers(seed);
  const lines: string[] = [];
  let close = 80 + 40 * random();
  for (let day = 0; day < days; day++) {
    const open = close * (1 + 0.01 * (random() - 0.5));
    close = open * (1 + 0.03 * (random() - 0.5));
    const [high, low] = [Math.max(open, close) * 1.002, Math.min(open, close) * 0.998];
    if (isMissing(day)) continue;
    const date = new Date(dayOf(day)).toISOString();
    lines.push([date, ...[open, high, low, close].map((price) => price.toFixed(4))].join(","));
  }
  return { interval: "1d", lines };
}

const feeds = { a: walk(2), b: walk(3, (day) => day % 7 === 3) };
/** Close of feed `a` on that day: by it the failing node knows the day. */
const faultClose = Number(feeds.a.lines[faultDay]!.split(",").at(-1));

/** Follows its distance from a mean that all of them have; the means of a feed are shared, what comes after is not. */
class Distance extends Strategy {
  static readonly module = import.meta.url;
  readonly #sources: readonly string[];
  readonly #gain: number;
  readonly #isOdd: boolean;

  constructor(name: string, sources: readonly string[], gain: number, isOdd = false) {
    super({ name });
    this.#sources = sources;
    this.#gain = gain;
    this.#isOdd = isOdd;
  }

  override setup(): void {
    for (const source of this.#sources) {
      const columns = ["open", "high", "low", "close"];
      const bars = new StreamInput({ source, columns, interval: "1d" });
      const close = column(bars, "close", { name: `close_${source}` });
      const inputs = { close, mean: ema(close, 3, { name: `mean_${source}` }) };
      const fault = this.#isOdd ? faultClose : 0;
      const signal = new ProcessingNode({
        name: `weight_${source}`,
        inputs,
        period: 1,
        params: { gain: this.#gain, most: 0.8 / this.#sources.length, fault },
        compute: (w, { gain, most, fault: odd }) => {
          if (w.close.latest() === odd) throw new Error("it does not like this price");
          const away = gain * (w.close.latest() / w.mean.latest() - 1);
          return most * Math.max(-1, Math.min(1, away));
        },
      });
      const target = { signal, instrument: symbolOf(source), weightMin: -1, weightMax: 1 };
      this.addNodes([new WeightTargetNode(target)]);
    }
  }
}

const strategies = (): Distance[] => [
  new Distance("both", ["a", "b"], 30),
  new Distance("only a", ["a"], 40),
  new Distance("only b", ["b"], -35),
];
const share = 0.25;
const cash = 1_000_000 * share;

/** Orders of each strategy, by its name, as text: instrument and signed quantity. */
async function ordersBy(lab: PaperLab, names: ReadonlyMap<string, string>) {
  const { orders } = await lab.connection.client(OrderService).listOrders({ pageSize: 1_000 });
  const found: Record<string, string[]> = {};
  for (const { strategyId, instrument, quantity } of orders) {
    const name = names.get(strategyId) ?? "";
    found[name] = [...(found[name] ?? []), `${instrument} ${Number(quantity?.value)}`];
  }
  return found;
}

/** What offline runs with the same capital order. */
async function offlineOrders({ config }: PaperLab): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const strategy of strategies()) {
    const range = { from: start, until: "2100-01-01", initialCash: cash };
    const { orders } = await Runner.offline(strategy, { config, ...range });
    found[strategy.name] = orders.map(({ instrument, lots }) => `${instrument} ${lots / 1_000}`);
  }
  return found;
}

/** Ids of a worker's strategies, with their names, once it computes. */
async function computing(worker: WorkerSession): Promise<Map<string, string>> {
  await expect.poll(() => worker.status().holderOf, { timeout: 60_000 }).toBeGreaterThan(0);
  return new Map(worker.status().strategies.map(({ strategyId, name }) => [strategyId, name]));
}

const failuresOf = (worker: WorkerSession) =>
  worker.status().strategies.map(({ name, failure }) => [name, failure]);

const sharesOf = (names: ReadonlyMap<string, string>) =>
  Object.fromEntries([...names.keys()].map((strategyId) => [strategyId, share]));

test("a worker with several strategies gives the orders of each one's offline run, and of processes of their own", async () => {
  await using lab = await PaperLab.open(feeds, start);
  await using other = await PaperLab.open(feeds, start);
  await lab.createWorld("a");
  await other.createWorld("a");
  const connection = delayed(connectTo(lab.config.sdk.gateway_url), 1, 4);
  const options = { config: lab.config, worldId: "w", connection };
  await using worker = await Runner.worker(strategies(), options);
  const names = await computing(worker);
  await lab.promote(sharesOf(names));
  const alone = await Promise.all(
    strategies().map((one) => Runner.run(one, { config: other.config, worldId: "w" })),
  );
  for (const run of alone)
    await expect.poll(() => run.status().row, { timeout: 60_000 }).toBeGreaterThan(-2);
  await expect
    .poll(() => alone.every((run) => run.status().strategyId !== ""), { timeout: 60_000 })
    .toBe(true);
  await expect
    .poll(() => alone.reduce((sum, run) => sum + run.status().holderOf, 0), { timeout: 60_000 })
    .toBeGreaterThan(8);
  await other.promote(sharesOf(names));

  await lab.advance("a");
  await worker.done;
  await other.advance("a");
  await Promise.all(alone.map(({ done }) => done));

  const orders = await ordersBy(lab, names);
  expect(orders).toEqual(await offlineOrders(lab));
  expect(orders).toEqual(await ordersBy(other, names));
  expect(await lab.orders()).toEqual(await other.orders());
  expect(await lab.equity()).toBe(await other.equity());
  // Sources, means and closes are there once, each with its rows; every strategy has nodes of its own.
  const apart = alone.reduce((sum, run) => sum + run.status().evaluations.shared, 0);
  expect(worker.status().evaluations.shared).toBe(apart);
}, 300_000);

test("so it does when one of them throws, and when the worker is started again and the platform, too", async () => {
  await using lab = await PaperLab.open(feeds, start);
  await lab.createWorld("a");
  const made = () => [...strategies(), new Distance("odd", ["a"], 25, true)];
  const work = () => Runner.worker(made(), { config: lab.config, worldId: "w" });
  const first = await work();
  const names = await computing(first);
  await lab.promote(sharesOf(names));

  await lab.advance("b", dayOf(historyDays + 25));
  const failures = failuresOf(first);
  await first.stop();
  await using second = await work();
  await computing(second);
  await expect
    .poll(() => second.status().strategies.filter(({ armed }) => armed).length, { timeout: 60_000 })
    .toBe(3);
  await lab.advance("a", dayOf(historyDays + 32));
  await lab.stop();
  await lab.start();
  await lab.settled("a");
  await lab.advance("a");
  await second.done;

  const { odd = [], ...others } = await ordersBy(lab, names);
  expect(others).toEqual(await offlineOrders(lab));
  expect(odd.length).toBeGreaterThan(0);
  // The price that it does not like is in its past now.
  expect(failuresOf(second)).toEqual(failures);
  expect(failures).toEqual([
    ["both", undefined],
    ["only a", undefined],
    ["only b", undefined],
    ["odd", expect.stringMatching(/weight_a.*it does not like this price/)],
  ]);
}, 300_000);
