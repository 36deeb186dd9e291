import { describe, expect, test } from "vitest";
import type { BrokerPositions } from "./broker-positions.ts";
import { SimulatedBroker, type SimulatedBrokerOptions } from "./simulated-broker.ts";
import type { SimulatedBar, SimulatedOrder } from "./simulated-order.ts";
import type { TradingCosts } from "./trading-costs.ts";

const INSTRUMENTS = [{ symbol: "X", lotSize: "0.1", tick: 0.5 }];
const FREE: SimulatedBrokerOptions = { instruments: INSTRUMENTS, noCosts: true };

function spanOf(t: number) {
  return { openTimeMs: (t - 1) * 1_000, bucketEndMs: t * 1_000 };
}

function bar(t: number, open: number, high = open, low = open, close = open): SimulatedBar {
  return { instrument: "X", row: t, ...spanOf(t), open, high, low, close };
}

function order(more: Partial<SimulatedOrder> = {}): SimulatedOrder {
  return { id: "o", instrument: "X", lots: 10, bucket: 1_000, ...more };
}

describe("market orders", () => {
  test("fill at the open of the bar after their bucket, never on it", () => {
    const broker = new SimulatedBroker(FREE);
    broker.accept(order());

    expect(broker.onBar(bar(1, 100))).toEqual([]);
    expect(broker.onBar(bar(2, 105))).toMatchObject([
      { executionId: "o:2", lots: 10, price: 105, fee: 0 },
    ]);
    expect(broker.netLots("X")).toBe(10);
  });

  test("get the same fill when they arrive after the bar they belong to", () => {
    const early = new SimulatedBroker(FREE);
    const late = new SimulatedBroker(FREE);
    early.accept(order());
    const bars = [bar(1, 100), bar(2, 105), bar(3, 110)];

    const fills = bars.flatMap((one) => early.onBar(one));
    for (const one of bars) {
      late.onBar(one);
    }
    const outcome = late.accept(order());

    expect(outcome).toEqual({ accepted: true, duplicate: false, fills });
  });

  test("of a bucket whose next bar is no longer kept are refused", () => {
    const broker = new SimulatedBroker({ ...FREE, barsMax: 1 });
    broker.onBar(bar(2, 100));
    broker.onBar(bar(3, 100));

    expect(broker.accept(order())).toEqual({ accepted: false, reason: "BUCKET_TOO_OLD" });
  });

  test("pay half the spread and the fee, each in bps of the notional", () => {
    const costs = { feeBps: 3, halfSpreadBps: 2 };
    const broker = new SimulatedBroker({ instruments: INSTRUMENTS, costs });
    broker.accept(order({ id: "buy" }));
    broker.accept(order({ id: "sell", lots: -10 }));

    const [buy, sell] = broker.onBar(bar(2, 100));

    expect(buy).toMatchObject({ price: 100.02 });
    expect(sell).toMatchObject({ price: 99.98 });
    for (const fill of [buy!, sell!]) {
      expect(fill.fee).toBeCloseTo(100 * 3e-4, 12);
      expect(fill.spreadCost).toBeCloseTo(100 * 2e-4, 12);
    }
  });

  test("fill at their own bar's close only when that is named", () => {
    const broker = new SimulatedBroker({ ...FREE, sameBarClose: true });
    broker.onBar(bar(1, 100, 110, 90, 108));

    expect(broker.accept(order())).toMatchObject({ fills: [{ price: 108, row: 1 }] });
  });

  test("wait over a bar without an open", () => {
    const broker = new SimulatedBroker(FREE);
    broker.accept(order());

    expect(broker.onBar(bar(2, Number.NaN))).toEqual([]);
    expect(broker.onBar(bar(3, 99))).toMatchObject([{ price: 99 }]);
  });
});

describe("limit and stop orders", () => {
  const cases: [string, Partial<SimulatedOrder>, SimulatedBar, number | undefined][] = [
    [
      "a buy limit touched, not traded through",
      { type: "limit", limitPrice: 99 },
      bar(2, 100, 101, 99),
      undefined,
    ],
    [
      "a buy limit traded through by a tick",
      { type: "limit", limitPrice: 99 },
      bar(2, 100, 101, 98.5),
      99,
    ],
    [
      "a buy limit gapped through fills at the open",
      { type: "limit", limitPrice: 99 },
      bar(2, 95, 96, 94),
      95,
    ],
    [
      "a sell limit traded through",
      { type: "limit", limitPrice: 101, lots: -10 },
      bar(2, 100, 101.5, 99),
      101,
    ],
    ["a buy stop touched", { type: "stop", stopPrice: 101 }, bar(2, 100, 101, 99), 101],
    [
      "a gapped buy stop fills at the open",
      { type: "stop", stopPrice: 101 },
      bar(2, 104, 105, 103),
      104,
    ],
    [
      "a gapped sell stop fills at the open",
      { type: "stop", stopPrice: 99, lots: -10 },
      bar(2, 90, 91, 89),
      90,
    ],
    [
      "a sell stop not reached",
      { type: "stop", stopPrice: 99, lots: -10 },
      bar(2, 100, 101, 99.5),
      undefined,
    ],
  ];

  test.each(cases)("%s", (_, more, next, price) => {
    const broker = new SimulatedBroker(FREE);
    broker.accept(order(more));

    expect(broker.onBar(next).map((fill) => fill.price)).toEqual(
      price === undefined ? [] : [price],
    );
  });

  test("without a price are refused", () => {
    const broker = new SimulatedBroker(FREE);

    expect(broker.accept(order({ type: "limit" }))).toEqual({
      accepted: false,
      reason: "BAD_ORDER",
    });
    expect(broker.accept(order({ lots: 0.5 }))).toEqual({ accepted: false, reason: "BAD_ORDER" });
  });
});

describe("an order decided while a bar is in progress", () => {
  // Bar 2 runs from 1,000 to 2,000.
  const cases: [string, Partial<SimulatedOrder>, number][] = [
    ["a market order", {}, 107],
    ["a limit", { type: "limit", limitPrice: 105 }, 105],
    ["a stop", { type: "stop", stopPrice: 102 }, 107],
    ["a sell stop", { type: "stop", stopPrice: 100, lots: -10 }, 100],
  ];

  test.each(cases)("%s fills on the next one only", (_, more, price) => {
    const early = new SimulatedBroker(FREE);
    const late = new SimulatedBroker(FREE);
    const decided = order({ bucket: 1_400, ...more });
    const wild = bar(2, 101, 120, 80, 107);
    const next = bar(3, 107, 115, 95, 111);
    early.accept(decided);
    late.onBar(wild);
    late.onBar(next);

    expect(early.onBar(wild)).toEqual([]);
    expect(early.onBar(next)).toMatchObject([{ price, row: 3 }]);
    expect(late.accept(decided)).toMatchObject({ fills: [{ price, row: 3 }] });
    expect(late.snapshot()).toEqual(early.snapshot());
  });

  test("fills on the bar that begins at that moment, whatever was missing before it", () => {
    const broker = new SimulatedBroker(FREE);
    broker.onBar(bar(1, 100));
    broker.accept(order({ bucket: 4_000 }));

    expect(broker.onBar(bar(5, 104))).toMatchObject([{ price: 104, row: 5 }]);
  });

  test("fills on the bar after the one it was decided on, though that begins before its nominal end", () => {
    const broker = new SimulatedBroker(FREE);
    broker.onBar(bar(1, 100));
    broker.accept(order());

    expect(broker.onBar({ ...bar(2, 101), openTimeMs: 960 })).toMatchObject([{ price: 101 }]);
  });

  test("fills at its close when that is named: it is later than the decision", () => {
    const broker = new SimulatedBroker({ ...FREE, sameBarClose: true });
    broker.accept(order({ bucket: 1_400 }));
    broker.accept(order({ id: "limit", bucket: 1_400, type: "limit", limitPrice: 105 }));

    expect(broker.onBar(bar(2, 101, 120, 80, 107))).toMatchObject([{ orderId: "o", price: 107 }]);
  });
});

test("reduce-only fills down to flat in its own sub-account, and the venue tells of the rest", () => {
  const broker = new SimulatedBroker(FREE);
  broker.transfer("X", "s", 4);
  broker.transfer("X", "t", -4);
  expect(broker.accept(order({ id: "none", lots: 3, reduceOnly: true, book: "s" }))).toEqual({
    accepted: false,
    reason: "REDUCE_ONLY_NOTHING_TO_REDUCE",
  });

  broker.accept(order({ lots: -10, reduceOnly: true, book: "s" }));

  expect(broker.onBar(bar(2, 100))).toMatchObject([{ lots: -4, book: "s" }]);
  expect(broker.drainCancelled()).toEqual([{ id: "o", reason: "NOTHING_TO_REDUCE" }]);
  expect(broker.drainCancelled()).toEqual([]);
  expect(broker.lotsOf("X", "s")).toBe(0);
});

test("an id is taken once, cancelled once, and can be looked up", () => {
  const broker = new SimulatedBroker(FREE);
  expect(broker.lookup("o")).toBeUndefined();
  broker.accept(order());

  expect(broker.accept(order())).toMatchObject({ duplicate: true });
  expect(broker.lookup("o")).toBe("working");
  expect(broker.cancel("o")).toBe("cancelled");
  expect(broker.cancel("o")).toBe("finished");
  expect(broker.cancel("never")).toBe("unknown");
  expect(broker.accept(order())).toMatchObject({ duplicate: true, fills: [] });
});

test("a repeated bar does nothing, and a restored broker goes on the same", () => {
  const broker = new SimulatedBroker(FREE);
  broker.onBar(bar(1, 100));
  broker.accept(order());
  const restored = new SimulatedBroker(FREE, JSON.parse(JSON.stringify(broker.snapshot())));

  expect(broker.onBar(bar(1, 50))).toEqual([]);
  expect(restored.onBar(bar(2, 101))).toEqual(broker.onBar(bar(2, 101)));
  expect(restored.snapshot()).toEqual(broker.snapshot());
});

test("costs must be sound, and the one that is not is named", () => {
  const broker = (costs: object) => () =>
    new SimulatedBroker({ instruments: INSTRUMENTS, costs: costs as TradingCosts });

  expect(broker({ feeBps: -1, halfSpreadBps: 0 })).toThrow("costs.feeBps must be basis points");
  expect(broker({ feeBps: 5 })).toThrow(
    "costs.halfSpreadBps must be basis points, 0 or above, not undefined",
  );
  expect(broker({ feeBps: 0, halfSpreadBps: Infinity })).toThrow(RangeError);
});

test("where an account keeps the positions, each fill is booked there before the next order is looked at", () => {
  let held = 10;
  const booked: number[] = [];
  const positions: BrokerPositions = {
    lotsOf: () => held,
    bookFill: ({ lots }) => {
      held += lots;
      booked.push(lots);
    },
    lotsToFill: ({ lots }) => lots,
  };
  const broker = new SimulatedBroker({ ...FREE, positions });
  broker.accept(order({ id: "a", lots: -7, reduceOnly: true }));
  broker.accept(order({ id: "b", lots: -7, reduceOnly: true }));

  broker.onBar(bar(2, 100));

  expect(booked).toEqual([-7, -3]);
  expect(broker.lotsOf("X")).toBe(0);
  expect(broker.drainCancelled()).toEqual([{ id: "b", reason: "NOTHING_TO_REDUCE" }]);
  expect(broker.snapshot().positions).toEqual([]);
});
