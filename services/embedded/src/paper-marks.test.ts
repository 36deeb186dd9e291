import {
  column,
  ema,
  ProcessingNode,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk";
import { expect, test } from "vitest";
import { type LabFeed, PaperLab, seededNumbers } from "./testing/paper-lab.ts";

const dayMs = 86_400_000;
const firstMs = Date.UTC(2020, 0, 1);
const historyDays = 10;
const days = historyDays + 20;
const start = new Date(firstMs + historyDays * dayMs).toISOString().slice(0, 10);

/** Daily bars of a random walk, without every `holiday`th day. */
function walk(seed: number, holiday: number): LabFeed {
  const random = seededNumbers(seed);
  let close = 100;
  const lines = Array.from({ length: days }, (_, day) => {
    const open = close * (1 + 0.01 * (random() - 0.5));
    close = open * (1 + 0.03 * (random() - 0.5));
    const prices = [open, Math.max(open, close), Math.min(open, close), close];
    const date = new Date(firstMs + day * dayMs).toISOString();
    return [date, ...prices.map((price) => price.toFixed(4))].join(",");
  });
  return { interval: "1d", lines: lines.filter((_, day) => day % holiday !== 3) };
}

/** Trades an instrument by the closes of feed a, the only column it reads. */
class Closes extends Strategy {
  static readonly module = import.meta.url;
  readonly #instruments: readonly string[];

  constructor(instruments: readonly string[]) {
    super();
    this.#instruments = instruments;
  }

  override setup(): void {
    const bars = new StreamInput({ source: "a", columns: ["close"], interval: "1d" });
    const close = column(bars, "close");
    const mean = ema(close, 3);
    const weight = new ProcessingNode({
      name: "weight",
      inputs: { close, mean },
      period: 1,
      compute: (w) => Math.max(-0.4, Math.min(0.4, 30 * (w.close.latest() / w.mean.latest() - 1))),
    });
    this.addNodes(
      this.#instruments.map(
        (instrument) =>
          new WeightTargetNode({ signal: weight, instrument, weightMin: -1, weightMax: 1 }),
      ),
    );
  }
}

/** Runs a strategy on paper over all of the data, and offline on the same. */
async function runBoth(make: () => Strategy) {
  await using lab = await PaperLab.open({ a: walk(1, 1_000), b: walk(2, 7) }, start);
  const { config } = lab;
  const offline = await Runner.offline(make(), { config, from: start, until: "2100-01-01" });
  await lab.createWorld("a");
  await using run = await Runner.session(make(), { config, worldId: "w" });
  await expect.poll(() => run.status().holderOf, { timeout: 30_000 }).toBeGreaterThan(0);
  await lab.promote({ [run.status().strategyId]: 1 });
  await lab.advance("a");
  await run.done;
  return {
    offline: {
      orders: offline.orders.map(({ instrument, lots }) => `${instrument} ${lots / 1_000}`),
      equity: offline.equity.at(-1),
    },
    paper: { orders: await lab.orders(), equity: Number(await lab.equity()) },
  };
}

test("a strategy that reads only the closes of what it trades has its orders on paper, too", async () => {
  const { offline, paper } = await runBoth(() => new Closes(["Z"]));

  expect(offline.orders.length).toBeGreaterThan(5);
  expect(paper).toEqual(offline);
}, 120_000);

test("an instrument whose feed the strategy does not read is marked and filled on paper, too", async () => {
  const { offline, paper } = await runBoth(() => new Closes(["Y", "Z"]));

  expect(offline.orders.filter((order) => order.startsWith("Y"))).not.toEqual([]);
  expect(paper).toEqual(offline);
}, 120_000);
