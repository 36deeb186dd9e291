import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  dayInterest,
  OrderRouter,
  type SimulatedBar,
  SimulatedBroker,
  type SimulatedFill,
  type SimulatedOrder,
} from "./execution/index.ts";
import { bollinger } from "./nodes/bollinger.ts";
import type { KernelSpec } from "./nodes/kernel.ts";
import { rateOfChange } from "./nodes/rate-of-change.ts";
import { sma } from "./nodes/sma.ts";
import { stddev } from "./nodes/stddev.ts";

interface GoldenCase {
  readonly id: string;
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly expected: unknown;
}

interface GoldenFile {
  readonly cases: readonly GoldenCase[];
  /** Cases whose subject the product does not have, by id, with what they are of. */
  readonly not_built: Readonly<Record<string, string>>;
}

const FILES = [
  "fees",
  "slippage",
  "fills",
  "margin",
  "interest",
  "risk",
  "linearity",
  "shared",
  "transform",
  "indicator",
];

function goldenFile(name: string): GoldenFile {
  const url = new URL(`../../../e2e/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as GoldenFile;
}

type Input = Readonly<Record<string, number>>;

/** Fill of one order on the bar after its decision, at one price; undefined if there is none. */
function fillOf(
  price: number,
  order: Pick<SimulatedOrder, "lots" | "type" | "limitPrice" | "stopPrice">,
  costs: { feeBps: number; halfSpreadBps: number } = { feeBps: 0, halfSpreadBps: 0 },
): SimulatedFill | undefined {
  const broker = new SimulatedBroker({ instruments: [{ symbol: "X", lotSize: "1" }], costs });
  broker.accept({ id: "o", instrument: "X", bucket: 1_000, ...order });
  const at: SimulatedBar = {
    instrument: "X",
    row: 2,
    openTimeMs: 1_000,
    bucketEndMs: 2_000,
    open: price,
    high: price,
    low: price,
    close: price,
  };
  return broker.onBar(at)[0];
}

function filled(price: number, order: Parameters<typeof fillOf>[1]): unknown {
  const fill = fillOf(price, order);
  const quantity = fill?.lots ?? 0;
  return { quantity, price: fill?.price ?? price, stop_price: order.stopPrice ?? null };
}

function limitFill({ qty, market_price, limit }: Input): unknown {
  return filled(market_price!, { lots: qty!, type: "limit", limitPrice: limit! });
}

function stopFill({ qty, market_price, stop }: Input): unknown {
  return filled(market_price!, { lots: qty!, type: "stop", stopPrice: stop! });
}

/** Last row of each output of a node over one column. */
function lastOf<P>(spec: KernelSpec<P>, params: P, values: readonly number[]): number[] {
  const head = spec.lookback(params);
  const column = Float64Array.from([...new Array<number>(head).fill(Number.NaN), ...values]);
  const outputs = spec.outputs.map(() => new Float64Array(column.length).fill(Number.NaN));
  const kernel = spec.create(params);
  kernel.bind([column], outputs, {
    rowOf: () => null,
    endMs: () => new Float64Array(0),
    baseOf: () => 0,
    showsNan: () => false,
  });
  kernel.run(head, column.length, -head);
  return outputs.map((output) => output.at(-1)!);
}

const valuesOf = (input: GoldenCase["input"]): number[] =>
  (input.series as readonly (readonly (readonly [number, number])[])[])[0]!.map(([, x]) => x);

function returnsOf(input: GoldenCase["input"]): number[] {
  const values = valuesOf(input);
  return values
    .slice(1)
    .map((_, at) => lastOf(rateOfChange, { lag: 1 }, values.slice(at, at + 2))[0]!);
}

function slippage({ qty, price, pct = 0 }: Input): number | undefined {
  return fillOf(price!, { lots: qty! }, { feeBps: 0, halfSpreadBps: pct * 10_000 })?.price;
}

/** Whether a router makes an order whole; one beyond buying power is cut. */
function isMadeWhole({ cash, leverage, qty, price }: Input): boolean {
  const book = { world: "w", strategy: "s", instrument: "X" };
  const router = new OrderRouter({
    ...{ account: "a", instruments: [{ symbol: "X", lotSize: "1" }], initialCash: cash! },
    ...{ hashHex: String, orderId: () => "o" },
    money: { kind: "margin", leverageMax: leverage! },
  });
  router.setAllocation({ ...book, share: 1, equity: cash! });
  router.core.onMark("X", price!);
  const { effects } = router.submitOrder({ ...book, lots: qty!, bucket: 1 });
  return effects.some((effect) => effect.kind === "send" && effect.order.lots === qty);
}

/** Interest that a day brings on a balance at the rates of the first tiers, which this balance does not leave. */
function interest(input: GoldenCase["input"]): number {
  const { balance, cash_tiers, borrow_tiers } = input as {
    readonly balance: number;
    readonly cash_tiers: readonly (readonly [from: number, rate: number])[];
    readonly borrow_tiers: readonly (readonly [from: number, rate: number])[];
  };
  const [[, cashRate], [, debitRate]] = [cash_tiers[0]!, borrow_tiers[0]!];
  return -dayInterest({ cashRate, debitRate, borrowRate: 0, dayCount: 365, zone: "UTC" }, balance);
}

/** What the product gives for a case, by id. */
const gives: Readonly<Record<string, (input: GoldenCase["input"]) => unknown>> = {
  "fees-04": (input) => {
    const { qty, price } = input as Input;
    return fillOf(price!, { lots: qty! }, { feeBps: 10, halfSpreadBps: 0 })?.fee;
  },
  "slippage-01": (input) => slippage(input as Input),
  "slippage-02": (input) => slippage(input as Input),
  "slippage-04": (input) => slippage(input as Input),
  "fills-01": (input) => limitFill(input as Input),
  "fills-02": (input) => limitFill(input as Input),
  "fills-04": (input) => stopFill(input as Input),
  "fills-05": (input) => stopFill(input as Input),
  "margin-01": (input) => isMadeWhole(input as Input),
  "margin-02": (input) => isMadeWhole(input as Input),
  "interest-01": interest,
  "indicator-01": (input) => lastOf(sma, { window: 2 }, valuesOf(input))[0],
  "indicator-08": (input) => {
    const [mid, upper, lower] = lastOf(bollinger, { window: 3, multiplier: 2 }, valuesOf(input));
    return { mid, upper, lower };
  },
  "indicator-22": (input) => lastOf(stddev, { window: 2, ddof: 1 }, returnsOf(input))[0],
  "indicator-24": (input) => lastOf(stddev, { window: 4, ddof: 1 }, returnsOf(input))[0],
  "indicator-31": (input) => lastOf(rateOfChange, { lag: 1 }, valuesOf(input))[0],
  "indicator-34": (input) => {
    const values = valuesOf(input);
    const [volume_hat] = lastOf(sma, { window: 3 }, values);
    const [volume_std] = lastOf(stddev, { window: 3, ddof: 0 }, values);
    return { volume_hat, volume_std };
  },
};

describe.each(FILES)("golden cases of %s", (name) => {
  const { cases, not_built } = goldenFile(name);

  test("are all run, or listed with what they are of", () => {
    const run = cases.filter(({ id }) => id in gives).map(({ id }) => id);
    const listed = Object.keys(not_built);

    expect([...run, ...listed].sort()).toEqual(cases.map(({ id }) => id).sort());
  });

  test.each(cases.filter(({ id }) => id in gives))("$id $name", ({ id, input, expected }) => {
    expectNear(gives[id]!(input), expected);
  });
});

/** Numbers to 1e-9 of their size, everything else exactly. */
function expectNear(actual: unknown, expected: unknown): void {
  if (typeof expected === "number") {
    expect(Math.abs((actual as number) - expected)).toBeLessThanOrEqual(
      1e-9 * Math.max(1, Math.abs(expected)),
    );
    return;
  }
  if (typeof expected !== "object" || expected === null) {
    expect(actual).toEqual(expected);
    return;
  }
  expect(Object.keys(actual as object)).toEqual(Object.keys(expected));
  for (const [key, value] of Object.entries(expected))
    expectNear((actual as Record<string, unknown>)[key], value);
}
