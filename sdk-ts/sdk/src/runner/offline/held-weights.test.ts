import { readFileSync } from "node:fs";
import {
  type BarSource,
  type BarTable,
  column,
  ProcessingNode,
  type Rebalance,
  Runner,
  Strategy,
  StreamInput,
  WeightTargetNode,
} from "@qmtl/sdk"; // not by relative path: what a strategy's file reaches is read and hashed in every run
import { barsOfCloses, barsProject } from "@qmtl/sdk/testing";
import { describe, expect, test } from "vitest";

const day = { interval: "1d" } as const;
const dayMs = 86_400_000;

/** Holds fixed weights of A and B. */
class Fixed extends Strategy {
  readonly #weights: Readonly<Record<string, number>>;
  readonly #rebalance: Rebalance | undefined;

  constructor(weights: Readonly<Record<string, number>>, rebalance?: Rebalance) {
    super();
    this.#weights = weights;
    this.#rebalance = rebalance;
  }

  override setup(): void {
    for (const [instrument, weight] of Object.entries(this.#weights)) {
      const columns = ["open", "high", "low", "close"];
      const bars = new StreamInput({ source: instrument, columns, ...day });
      const signal = new ProcessingNode({
        name: `weight of ${instrument}`,
        inputs: { close: column(bars, "close") },
        period: 1,
        params: { weight },
        compute: (_, params) => params.weight,
      });
      const rebalance = this.#rebalance;
      this.addNodes([new WeightTargetNode({ signal, instrument, rebalance })]);
    }
  }
}

const module = import.meta.url;

/** A at 100, then 150; B at 100. */
async function halves(rebalance?: Rebalance) {
  const from = { from: "2020-01-06" };
  await using project = await barsProject(
    {
      A: barsOfCloses([100, 100, 150, 150, 150], from),
      B: barsOfCloses([100, 100, 100, 100, 100], from),
    },
    { instruments: { A: {}, B: {} } },
  );
  const options = { config: project.config, module, initialCash: 1_000, noCosts: true };
  return await Runner.offline(new Fixed({ A: 0.6, B: 0.4 }, rebalance), options);
}

const told = ({ fills }: Awaited<ReturnType<typeof halves>>): string[] =>
  fills.map(({ side, quantity, instrument }) => `${side} ${quantity} ${instrument}`);

describe("60/40 of two instruments, one of which rises by half", () => {
  test("what is held drifts from its target, and a note names the largest stray", async () => {
    const result = await halves();

    expect(told(result)).toEqual(["buy 6 A", "buy 4 B"]);
    expect(result.notes.filter((note) => note.includes("target 0."))).toEqual([
      expect.stringMatching(/^A: target 0\.60, held up to 0\.69 on 2020-01-09\. /),
    ]);
  });

  test("a drift of 0.05 is exceeded at 0.6923: both are sized again, the reduction first", async () => {
    const result = await halves({ drift: 0.05 });

    expect(told(result)).toEqual(["buy 6 A", "buy 4 B", "sell 1 A", "buy 1 B"]);
    expect(result.orders.map(({ instrument, lots }) => [instrument, lots])).toEqual([
      ["A", 6],
      ["B", 4],
      ["A", -1],
      ["B", 1],
    ]);
  });

  test("a drift of 0.1 is not exceeded, and nothing is done", async () => {
    expect(told(await halves({ drift: 0.1 }))).toEqual(["buy 6 A", "buy 4 B"]);
  });

  test("buy and hold, for comparison, is never sized again", async () => {
    const { buyAndHold } = await halves({ drift: 0.01 });

    expect(buyAndHold.orders).toBe(2);
  });
});

interface Case {
  readonly name: string;
  readonly every: string | null;
  readonly drift: number | null;
  readonly expected: {
    readonly final: number;
    readonly every_50th: readonly number[];
    readonly fills: number;
    readonly units: Readonly<Record<string, number>>;
    readonly first_fills: readonly (readonly [string, number])[];
    readonly held: Readonly<Record<string, number>>;
    readonly stray: readonly [instrument: string, held: number, day: number];
  };
}

const url = new URL("../../../../../e2e/vectors/held-weights.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(url, "utf8")) as { cases: Case[] };

/** The bars of `held_weights.py`. */
class MadeBars implements BarSource {
  readonly intervalMs = dayMs;
  readonly schedule = "observed";
  readonly #table: BarTable;

  constructor(seed: number, start: number, tilt: number, holiday: number) {
    let state = seed;
    let price = start;
    const roll = (below: number): number => {
      state = (state * 16_807) % 2_147_483_647;
      return state % below;
    };
    const times: number[] = [];
    const opens: number[] = [];
    const closes: number[] = [];
    let count = 0;
    for (let ms = Date.UTC(2000, 0, 3); ms < Date.UTC(2018, 0, 1); ms += dayMs) {
      if ([0, 6].includes(new Date(ms).getUTCDay())) continue;
      const opened = Math.floor((price * (10_000 + roll(101) - 50)) / 10_000);
      const closed = Math.floor((opened * (10_000 + roll(401) - 200 + tilt)) / 10_000);
      if (holiday > 0 && count++ % holiday === holiday - 1) continue;
      times.push(ms);
      opens.push(opened / 10_000);
      closes.push(closed / 10_000);
      price = closed;
    }
    const open = Float64Array.from(opens);
    const close = Float64Array.from(closes);
    const columns = { open, close, high: open.map((o, k) => Math.max(o, close[k]!)) };
    const low = open.map((o, k) => Math.min(o, close[k]!));
    const openTimeMs = Float64Array.from(times);
    this.#table = {
      rows: times.length,
      openTimeMs,
      bucketEndMs: openTimeMs.map((ms) => ms + dayMs),
      columns: new Map(Object.entries({ ...columns, low })),
    };
  }

  async load(): Promise<BarTable> {
    return this.#table;
  }

  async datasetFingerprint(): Promise<string> {
    return `blake3:${"0".repeat(64)}`;
  }
}

describe("60/40 over 18 years equals a simulator that shares nothing with it", () => {
  test.each(cases)("sized $name", async ({ every, drift, expected }) => {
    const only = barsOfCloses([1]);
    const instrument = { tick: "0.0001" };
    await using project = await barsProject(
      { A: only, B: only },
      { instruments: { A: instrument, B: instrument } },
    );
    const rebalance = {
      ...(every === null ? {} : { every }),
      ...(drift === null ? {} : { drift }),
    };
    const isHeld = every !== null || drift !== null;
    const result = await Runner.offline(
      new Fixed({ A: 0.6, B: 0.4 }, isHeld ? rebalance : undefined),
      {
        config: project.config,
        module,
        costs: { feeBps: 5, halfSpreadBps: 2 },
        account: { leverageMax: 2 }, // the simulator knows of no buying power
        sources: { A: new MadeBars(11, 500_000, 5, 0), B: new MadeBars(23, 800_000, 1, 29) },
      },
    );

    const sold = result.fills.map(({ instrument: of, side, quantity }) => [
      of,
      side === "buy" ? Number(quantity) : -Number(quantity),
    ]);
    expect(sold.slice(0, 8)).toEqual(expected.first_fills);
    expect(result.fills.length).toBe(expected.fills);
    for (const { instrument: of, quantity } of result.instruments) {
      expect(Number(quantity)).toBe(expected.held[of]);
    }
    const each50th = result.equity.filter((_, k) => k % 50 === 0);
    expect(each50th.length).toBe(expected.every_50th.length);
    each50th.forEach((value, k) => {
      expect(Math.abs(value / expected.every_50th[k]! - 1)).toBeLessThan(1e-9);
    });
    expect(Math.abs(result.equity.at(-1)! / expected.final - 1)).toBeLessThan(1e-9);
    const [of, held, days] = expected.stray;
    const date = new Date(days * dayMs).toISOString().slice(0, 10);
    const target = of === "A" ? 0.6 : 0.4;
    const way = held > target ? "up" : "down";
    const note = `${of}: target ${target.toFixed(2)}, held ${way} to ${held.toFixed(2)} on ${date}.`;
    const noted = result.notes.filter((text) => text.includes(": target 0."));
    const isFar = Math.abs(held - target) >= 0.05;
    expect(noted.map((text) => text.slice(0, note.length))).toEqual(isFar ? [note] : []);
  });
});
